package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// filled writes a file with enough in it to have branch pages, and returns its path.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	l := mustOpen(t, path, Options{flushEvery: never})
	for i := range 2000 {
		_, err := l.Add(t.Context(), KeyOf("r", "failures", fmt.Append(nil, i)), 1, time.Hour)
		must(t, err)
	}
	must(t, l.Close())
	return path
}

func edit(t *testing.T, path string, change func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(change))
	must(t, db.Close())
}

// overwrite spoils bytes from an offset on; a negative length means up to the end.
func overwrite(t *testing.T, path string, from, length int, with byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if length < 0 {
		length = len(b) - from
	}
	copy(b[from:], bytes.Repeat([]byte{with}, length))
	must(t, os.WriteFile(path, b, 0o600))
}

func TestLocalRefusesADamagedFileAndNamesIt(t *testing.T) {
	size := os.Getpagesize()
	for name, spoil := range map[string]func(t *testing.T, path string){
		"text": func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("alice:secret\n"), 0o600)) },
		"long text": func(t *testing.T, path string) {
			must(t, os.WriteFile(path, bytes.Repeat([]byte("alice:secret\n"), 9999), 0o600))
		},
		"all zero":         func(t *testing.T, path string) { overwrite(t, path, 0, -1, 0) },
		"cut after page 2": func(t *testing.T, path string) { must(t, os.Truncate(path, int64(2*size))) },
		"cut inside page":  func(t *testing.T, path string) { must(t, os.Truncate(path, int64(3*size/2))) },
		"cut in half": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, info.Size()/2))
		},
		"cut by one byte of what counts": func(t *testing.T, path string) {
			var end int64
			edit(t, path, func(tx *bolt.Tx) error { end = tx.Size(); return nil })
			must(t, os.Truncate(path, end-1))
		},
		"garbage behind the meta pages": func(t *testing.T, path string) { overwrite(t, path, 2*size, -1, 0xA5) },
		"zeros behind the meta pages":   func(t *testing.T, path string) { overwrite(t, path, 2*size, -1, 0) },
		"another program's": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			edit(t, path, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
		},
		"another format": func(t *testing.T, path string) {
			edit(t, path, func(tx *bolt.Tx) error {
				return tx.Bucket([]byte(aboutBucket)).Put([]byte(formatKey), []byte("2"))
			})
		},
		"no epoch": func(t *testing.T, path string) {
			edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket([]byte(aboutBucket)).Delete([]byte(epochKey)) })
		},
		"no entries": func(t *testing.T, path string) {
			edit(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(entriesBucket)) })
		},
		"one bit of one entry": func(t *testing.T, path string) {
			edit(t, path, func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte(entriesBucket))
				k, v := b.Cursor().First()
				v = bytes.Clone(v)
				v[len(v)-1] ^= 1
				return b.Put(k, v)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			spoil(t, path)
			before, err := os.ReadFile(path)
			must(t, err)
			for range 2 { // the second time would find a lock that the first left behind
				_, err = OpenLocal(path, Options{})
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move the file away") {
					t.Fatalf("error %v", err)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Fatalf("the file was changed (%v)", err)
			}
			must(t, os.Remove(path)) // the advice works
			must(t, mustOpen(t, path, Options{}).Ready())
		})
	}
}

func TestLocalNamesAPathItCannotUse(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	for name, path := range map[string]string{
		"a folder":            dir,
		"a file as folder":    filepath.Join(plain, "state.db"),
		"a file above folder": filepath.Join(plain, "x", "state.db"),
	} {
		_, err := OpenLocal(path, Options{})
		if err == nil || errors.Is(err, ErrLocked) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	f := &file{path: plain}
	err := f.openError(&fs.PathError{Op: "open", Path: plain, Err: fs.ErrPermission})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), plain) {
		t.Errorf("error %v", err)
	}
}

// full makes the disk full (or not), between two commits.
func full(t *testing.T, l *Local, yes bool) {
	t.Helper()
	c := l.live.Load()
	must(t, c.file.update(func(b *bolt.Bucket) error {
		if c.file.db.MaxSize = 0; yes {
			c.file.db.MaxSize = 1
		}
		return nil
	}))
}

// A failed write takes nothing, shows nothing, and is no reason to fail the next one.
func TestLocalSurvivesAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	l := mustOpen(t, path, Options{Now: clock.now, flushEvery: never})
	until := noon.Add(time.Hour)
	big := bytes.Repeat([]byte("x"), 1<<20)
	old, ended, spent := KeyOf("r", "session", []byte("old")), KeyOf("r", "session", []byte("ended")), KeyOf("r", "spent")
	must(t, l.Put(t.Context(), old, []byte("old"), until))
	must(t, l.Put(t.Context(), ended, []byte("ended"), until))

	full(t, l, true)
	must(t, l.Ready())
	if err := l.Put(t.Context(), old, big, until); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("put: error %v", err)
	}
	wantValue(t, l, old, "old")
	if err := l.Ready(); err == nil {
		t.Fatal("ready after a failed write")
	}

	// The others fail in one transaction with a big one.
	c := l.live.Load()
	m := entry{kind: mark, until: nanos(until)}
	if !c.table.take(spent, m, nanos(clock.now())) {
		t.Fatal("not first")
	}
	ops := []*op{
		{do: take, key: spent, entry: m, done: make(chan error, 1)},
		{do: remove, key: ended, done: make(chan error, 1)},
		{do: put, key: old, entry: newRecord(big, until), done: make(chan error, 1)},
	}
	c.mu.Lock()
	c.queue = append(c.queue, ops...)
	c.mu.Unlock()
	c.wake <- struct{}{}
	for _, o := range ops {
		if err := <-o.done; err == nil {
			t.Fatal("no error from a full disk")
		}
	}
	wantValue(t, l, old, "old")
	wantValue(t, l, ended, "") // ended here, though a crash now might bring it back

	full(t, l, false)
	if first, err := l.Take(t.Context(), epochOf(l), spent, until); err != nil || !first {
		t.Fatalf("take after a failed take: %t, %v", first, err)
	}
	must(t, l.Put(t.Context(), old, []byte("new"), until))
	must(t, l.Close())
	found := entriesIn(t, path)
	if len(found) != 2 || found[spent].kind != mark || string(found[old].value) != "new" {
		t.Fatalf("in the file: %d entries, %+v, %+v", len(found), found[spent], found[old])
	}
}

func TestLocalKeepsNotesOfAFlushThatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	l := mustOpen(t, path, Options{Now: clock.now, flushEvery: time.Millisecond})
	k := KeyOf("r", "session")
	must(t, l.Put(t.Context(), k, []byte("old"), noon.Add(time.Hour)))
	settled(t, l)

	full(t, l, true)
	big := bytes.Repeat([]byte("x"), 1<<20)
	must(t, l.Refresh(t.Context(), k, big, noon.Add(time.Hour)))
	for l.Ready() == nil { // nobody waits for a flush, so its failure shows here
		runtime.Gosched()
	}
	full(t, l, false)
	settled(t, l)
	must(t, l.Ready())

	full(t, l, true)
	must(t, l.Refresh(t.Context(), k, bytes.Repeat(big, 8), noon.Add(time.Hour)))
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("close lost a change and says %v", err)
	}
	if e := entriesIn(t, path)[k]; !bytes.Equal(e.value, big) {
		t.Fatalf("in the file: %d bytes %.10q", len(e.value), e.value)
	}
}

// A file that is spoilt while we hold it fails writes, closed, and neither crashes nor hangs anything.
func TestLocalSurvivesAFileSpoiltUnderItsFeet(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"overwritten": func(t *testing.T, path string) { overwriteOpen(t, path) },
		"cut":         func(t *testing.T, path string) { must(t, os.Truncate(path, int64(2*os.Getpagesize()))) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			l := mustOpen(t, path, Options{flushEvery: never})
			spoil(t, path)
			k, until := KeyOf("r", "spent"), time.Now().Add(time.Hour)
			for range 2 {
				if first, err := l.Take(t.Context(), epochOf(l), k, until); first || !errors.Is(err, ErrDamaged) {
					t.Fatalf("take: %t, %v", first, err)
				}
			}
			if err := l.Ready(); !errors.Is(err, ErrDamaged) {
				t.Fatalf("ready: %v", err)
			}
			if _, err := l.Get(t.Context(), k); err != nil {
				t.Fatalf("get: %v", err)
			}
			if err := l.Close(); !errors.Is(err, ErrDamaged) {
				t.Fatalf("close: %v", err)
			}
			if _, err := OpenLocal(path, Options{}); !errors.Is(err, ErrDamaged) { // and not locked
				t.Fatalf("open again: %v", err)
			}
			must(t, os.Remove(path))
			must(t, mustOpen(t, path, Options{}).Ready())
		})
	}
}

// overwriteOpen spoils all but the meta pages in place, so that an open map sees it.
func overwriteOpen(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	from := 2 * int64(os.Getpagesize())
	_, err = f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size()-from)), from)
	must(t, err)
}
