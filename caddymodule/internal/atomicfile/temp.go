package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxPrefix leaves room for the number at the end in a name, which may have 255 bytes.
const maxPrefix = 240

// tempPrefix is how the names begin that new files for the target get until they are complete.
func tempPrefix(target string) string {
	const mark = ".captcha-gate-"
	name := filepath.Base(target)
	return "." + name[:min(len(name), maxPrefix-len(mark))] + mark
}

// prepare makes a complete file with the text and everything else the old one has, and flushes it to disk. After an
// error there is none.
func prepare(folder, prefix, target string, old fs.FileInfo, text []byte) (path string, info fs.FileInfo, err error) {
	file, err := os.CreateTemp(folder, prefix+"*") // exclusive and for its owner alone
	if err != nil {
		return "", nil, failed(fmt.Sprintf("make a new file in folder %q for", folder), err)
	}
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = failed("close the new file for", e)
		}
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(text); err != nil {
		return "", nil, failed("write the new file for", err)
	}
	if err := inherit(file, target, old); err != nil {
		return "", nil, err
	}
	// The mode comes last, because a new owner clears parts of it.
	if err := file.Chmod(old.Mode()); err != nil {
		return "", nil, failed("keep the mode of", err)
	}
	if err := file.Sync(); err != nil {
		return "", nil, failed("flush the new file for", err)
	}
	if info, err = file.Stat(); err != nil {
		return "", nil, failed("look at the new file for", err)
	}
	return file.Name(), info, nil
}

// sweep removes what killed processes left behind. It is no fault when that does not work. Age decides, because a file
// of another process may be in the making: its lock was on a file that somebody has since put another in the place of.
func sweep(folder, prefix string, stale time.Duration) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		number, found := strings.CutPrefix(entry.Name(), prefix)
		if !found || number == "" || strings.Trim(number, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) >= stale {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

// syncFolder makes the rename last. Some file systems cannot flush a folder, and say so.
func syncFolder(path string) error {
	if !foldersSync {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return bare(err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return bare(err)
	}
	return nil
}

// failed says what could not be done with the file, why, and what the operator can do. It is nil for nil.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	err = bare(err)
	if advice := advise(err); advice != "" {
		return fmt.Errorf("%s it: %w; %s", what, err, advice)
	}
	return fmt.Errorf("%s it: %w", what, err)
}

func advise(err error) string {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return "it is mounted by itself; mount its folder instead"
	case errors.Is(err, syscall.EROFS):
		return "mount it and its folder for writing"
	case errors.Is(err, fs.ErrPermission):
		return "it and its folder must be writable for the user that runs Caddy"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return "make room on its disk"
	}
	return ""
}

// bare takes the path and the system call off an error; the path may be that of a file that is gone again.
func bare(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	case errors.As(err, &call):
		return call.Err
	}
	return err
}
