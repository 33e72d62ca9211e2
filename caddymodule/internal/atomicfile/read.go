package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// MaxSize is in bytes: for a users file some 200,000 users.
const MaxSize = 16 << 20

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("over 16 MiB")
)

// Read returns the content of a regular file of at most [MaxSize] bytes. Its errors leave out the path, which the caller
// names.
func Read(path string) ([]byte, error) {
	s, err := take(path)
	return s.data, bare(err)
}

// snapshot is a file at one moment.
type snapshot struct {
	data []byte
	// info is of after reading, so that its time tells when the content was complete.
	info fs.FileInfo
}

func take(path string) (s snapshot, err error) {
	// Asked before opening, because opening a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	if err := checkRegular(info); err != nil {
		return s, err
	}
	file, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer file.Close()
	if s.data, err = readAll(file, info.Size()); err != nil {
		return snapshot{}, err
	}
	s.info, err = file.Stat()
	return s, err
}

func checkRegular(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errNotRegular
	}
	if info.Size() > MaxSize {
		return errTooLarge
	}
	return nil
}

func readAll(file *os.File, size int64) ([]byte, error) {
	// One byte more than the size shows the end without growing; one more than the limit shows that it is exceeded.
	data := make([]byte, 0, size+1)
	for {
		n, err := file.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case len(data) > MaxSize:
			return nil, errTooLarge
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}
