package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The file is a bbolt database with two buckets: what it is, and the entries by key.
const (
	aboutBucket   = "captcha gate state"
	entriesBucket = "entries"
	formatKey     = "format"
	epochKey      = "epoch"
	format        = "1"
)

// ErrDamaged is wrapped by errors about a file that is not, or no longer, a state file.
var ErrDamaged = errors.New("not a usable state file")

const damagedAdvice = "stop Caddy and move the file away: a new one is made at the next start, and everybody signs in again"

// file is the durable side of a Local. After open, only the committer's goroutine touches it.
type file struct {
	path   string
	db     *bolt.DB
	raw    *os.File // the descriptor inside db, for when db cannot be closed any more
	epoch  Epoch
	broken error // set once bbolt has panicked; db is not touched again
}

// openFile opens or creates the file. It waits for the lock at most as long as given.
func openFile(path string, random io.Reader, wait time.Duration) (*file, error) {
	f := &file{path: path}
	if err := f.guarded(func() error { return f.open(random, wait) }); err != nil {
		_ = f.close()
		return nil, err
	}
	return f, nil
}

// guarded runs what reads the file through bbolt, which answers damage with a panic, and a file cut short with a memory
// fault. Both become errors, and the file is not touched again.
func (f *file) guarded(run func() error) (err error) {
	if f.broken != nil {
		return f.broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			f.broken = f.damaged(p)
			err = f.broken
		}
	}()
	return run()
}

// open's choice of bbolt's options: the free list is kept in the file, because finding it again costs a second pass over
// everything at start, after any failed write as well, and runs in a goroutine whose panic nobody could catch. The hash
// map form of the list stays fast when a mass of entries has expired.
func (f *file) open(random io.Reader, wait time.Duration) error {
	err := os.MkdirAll(filepath.Dir(f.path), 0o700)
	if err != nil {
		return fmt.Errorf("folder of the state file %s: %w", f.path, err)
	}
	f.db, err = bolt.Open(f.path, 0o600, &bolt.Options{
		Timeout:      wait,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			var err error
			f.raw, err = os.OpenFile(name, flag, mode)
			return f.raw, err
		},
	})
	if err != nil {
		return f.openError(err)
	}
	return f.prepare(random)
}

func (f *file) openError(err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("state file %s: %w", f.path, ErrLocked)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("state file %s: %w; it must belong to the user that runs Caddy", f.path, err)
	case errors.As(err, &pathErr), errors.As(err, &errno):
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	return f.damaged(err)
}

func (f *file) damaged(why any) error {
	return fmt.Errorf("state file %s: %w (%v); %s", f.path, ErrDamaged, why, damagedAdvice)
}

// prepare makes a new file ours, or makes sure that an old one is.
func (f *file) prepare(random io.Reader) error {
	fresh := false
	err := f.db.View(func(tx *bolt.Tx) error {
		if info, err := f.raw.Stat(); err != nil {
			return err
		} else if info.Size() < tx.Size() {
			return f.damaged(fmt.Sprintf("cut short at %d of %d bytes", info.Size(), tx.Size()))
		}
		about := tx.Bucket([]byte(aboutBucket))
		if about == nil {
			first, _ := tx.Cursor().First()
			if fresh = first == nil; !fresh {
				return f.damaged("a database of another program")
			}
			return nil
		}
		if v := string(about.Get([]byte(formatKey))); v != format {
			return f.damaged(fmt.Sprintf("format %q, this version reads %q", v, format))
		}
		if n := copy(f.epoch[:], about.Get([]byte(epochKey))); n != len(f.epoch) || tx.Bucket([]byte(entriesBucket)) == nil {
			return f.damaged("parts are missing")
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return f.create(random)
}

// create writes what makes the file ours, in one transaction, so that a crash leaves either nothing or all of it.
func (f *file) create(random io.Reader) error {
	var err error
	if f.epoch, err = newEpoch(random); err != nil {
		return err
	}
	err = f.db.Update(func(tx *bolt.Tx) error {
		about, err := tx.CreateBucket([]byte(aboutBucket))
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket([]byte(entriesBucket)); err != nil {
			return err
		}
		if err := about.Put([]byte(epochKey), f.epoch[:]); err != nil {
			return err
		}
		return about.Put([]byte(formatKey), []byte(format))
	})
	if err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	// The name must survive power loss too. Not every system can sync a folder, and without it the worst is an empty
	// store, so a failure is no reason to refuse.
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// load fills the table with what is live and returns the keys of what is not.
func (f *file) load(t *table, now int64) (expired []Key, err error) {
	if err := f.readAhead(); err != nil {
		return nil, err
	}
	err = f.guarded(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(entriesBucket)).ForEach(func(name, b []byte) error {
				e, err := decode(name, b)
				if err != nil {
					return f.damaged(err)
				}
				if k := Key(name); e.live(now) {
					t.set(k, e)
				} else {
					expired = append(expired, k)
				}
				return nil
			})
		})
	})
	return expired, err
}

// readAhead reads the file once from front to back. In the order of the keys its pages lie all over the place, and a disk
// that has to seek for each is many times slower than this.
func (f *file) readAhead() error {
	info, err := f.raw.Stat()
	if err == nil {
		_, err = io.Copy(io.Discard, io.NewSectionReader(f.raw, 0, info.Size()))
	}
	if err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	return nil
}

// update runs one durable transaction. After an error the entries touched may be in the file or not.
func (f *file) update(change func(*bolt.Bucket) error) error {
	return f.guarded(func() error {
		err := f.db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket([]byte(entriesBucket))) })
		if err != nil {
			return fmt.Errorf("state file %s: %w", f.path, err)
		}
		return nil
	})
}

// close releases the file and its lock. After a panic bbolt's own locks may still be held, and its Close would wait for
// them for ever; then its memory map is left behind, and only lock and descriptor are released.
func (f *file) close() error {
	switch {
	case f.broken != nil && f.raw != nil:
		return errors.Join(unlock(f.raw), f.raw.Close())
	case f.broken == nil && f.db != nil:
		return f.db.Close()
	}
	return nil
}

// An entry in the file: CRC-32C of key and rest (bbolt's pages carry no checksum of their own), kind, until, and then the
// value of a record or the count of a counter.
const headLen = 4 + 1 + 8

func encode(k Key, e entry) []byte {
	b := make([]byte, headLen, headLen+max(len(e.value), 4))
	b[4] = byte(e.kind)
	binary.BigEndian.PutUint64(b[5:], uint64(e.until))
	switch e.kind {
	case record:
		b = append(b, e.value...)
	case counter:
		b = binary.BigEndian.AppendUint32(b, uint32(e.count))
	}
	binary.BigEndian.PutUint32(b, checksum(k[:], b[4:]))
	return b
}

func decode(name, b []byte) (entry, error) {
	if len(name) != len(Key{}) || len(b) < headLen || binary.BigEndian.Uint32(b) != checksum(name, b[4:]) {
		return entry{}, errors.New("an entry does not match its checksum")
	}
	e := entry{kind: kind(b[4]), until: int64(binary.BigEndian.Uint64(b[5:]))}
	rest := b[headLen:]
	switch {
	case e.kind == record:
		e.value = append(make([]byte, 0, len(rest)), rest...)
	case e.kind == mark && len(rest) == 0:
	case e.kind == counter && len(rest) == 4:
		e.count = int32(binary.BigEndian.Uint32(rest))
	default:
		return entry{}, fmt.Errorf("an entry of unknown kind %d", e.kind)
	}
	return e, nil
}

func checksum(name, b []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, b)
}
