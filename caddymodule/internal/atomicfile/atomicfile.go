// Package atomicfile changes a small file so that every reader, at any moment and after any crash, finds the whole old
// or the whole new content (USR-4).
//
// # How
//
// [File.Edit] locks the file, reads it, asks for the new content, writes that to a new file in the same folder, flushes
// it to disk, makes sure that the old file is still what was read, renames the new one over it and flushes the folder.
// Links are followed first, so that a link stays and its target changes. Mode, owner, group and, on Linux, the access
// control list, the SELinux label and user attributes are kept; an edit that cannot keep them fails.
//
// The lock is flock on the file itself: nothing lies about that could be left over or belong to another user, and it
// works between containers that share the file. It ends with its process. Whoever waited for it looks again at which
// file has the name now. On Windows, which refuses to rename over an open file, a lock file that the system itself
// deletes stands in. AIX and Solaris have neither; there, only edits of one [File] wait for each other.
//
// Programs that know nothing of the lock are reckoned with as far as one can. A file that changed in the last 100 ms by
// another hand is left alone until it rests, because Apache's htpasswd writes in place, and an edit of half a file would
// lose the other half for good. A change between reading and renaming makes the edit start again. What remains are the
// microseconds between the last look and the rename.
//
// # What it refuses
//
// A file with several hard links, because a rename would part them; a file that is a mount point by itself, as with one
// that is mounted into a container (mount its folder instead); anything over 16 MiB; and whatever the system refuses. Then
// the file is as it was, and so is the folder (USR-8): there is no second way of writing in place. A process that is
// killed may leave its new file behind, named .NAME.captcha-gate-NUMBER; the next edit removes those of 10 minutes ago.
//
// renameio is not used: it has no place for the comparison, the owner and the attributes, and leaves the folder unflushed.
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

var (
	// ErrBusy is wrapped when somebody else has the lock for too long.
	ErrBusy = errors.New("another process is editing it")
	// ErrRestless is wrapped when the file changes again and again while it is edited.
	ErrRestless = errors.New("it keeps changing")
	// ErrHardLinks is wrapped when the file has other names.
	ErrHardLinks = errors.New("it has several hard links, which an edit would part; use a symbolic link")

	errHeld    = errors.New("locked")
	errChanged = errors.New("changed in between")
)

const (
	// defaultWait is how long an edit waits for its turn, the lock and the file to rest.
	defaultWait = 10 * time.Second
	// defaultQuiet is for how long a file that somebody else wrote must have rested.
	defaultQuiet = 100 * time.Millisecond
	// defaultStale is the age from which a new file that never got its name was left behind.
	defaultStale = 10 * time.Minute
	// attempts is how often an edit begins because the file changed under it.
	attempts = 5
)

// File is a file to be changed, by this process and others. It is safe for concurrent use.
type File struct {
	path    string
	written func(data []byte)

	wait, quiet, stale time.Duration
	rename             func(from, to string) error

	// turn has one place, for the edit under way. That edit owns what follows.
	turn chan struct{}
	// mine is the file that this File put in place last.
	mine fs.FileInfo
}

// New remembers the path and opens nothing. After each change, written, which may be nil, gets the new content, while
// the lock is still held: so it hears of changes in the order in which they happened. It must not edit.
func New(path string, written func(data []byte)) *File {
	if written == nil {
		written = func([]byte) {}
	}
	return &File{path: path, written: written, wait: defaultWait, quiet: defaultQuiet, stale: defaultStale,
		rename: os.Rename, turn: make(chan struct{}, 1)}
}

// Edit changes the file to what change makes of its content. It gives up with what change returns as an error, and does
// nothing where the content stays the same. change must not modify old; it is called again when the file changed in
// between. Errors of Edit leave out the path, which the caller names.
//
// After an error the file is as it was, with one exception that the error tells: the new content is in place and the
// folder could not be flushed to disk.
func (f *File) Edit(change func(old []byte) ([]byte, error)) error {
	deadline := time.Now().Add(f.wait)
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-timer.C:
		return ErrBusy
	}
	for range attempts {
		err := f.attempt(deadline, change)
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return ErrRestless
}

// attempt edits once. It returns errChanged when it has to be done again.
func (f *File) attempt(deadline time.Time, change func([]byte) ([]byte, error)) error {
	target, unlock, err := f.lock(deadline)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := f.settled(target, deadline)
	if err != nil {
		return err
	}
	if err := checkLinks(before.info); err != nil {
		return err
	}
	text, err := change(before.data)
	switch {
	case err != nil:
		return err
	case bytes.Equal(text, before.data):
		return nil
	case len(text) > MaxSize:
		return errTooLarge
	}
	return f.replace(target, before, text)
}

// lock finds the file behind all links and locks it.
func (f *File) lock(deadline time.Time) (target string, unlock func(), err error) {
	for {
		target, err = filepath.EvalSymlinks(f.path)
		if err != nil {
			return "", nil, failed("find", err)
		}
		unlock, err = tryLock(target)
		if !errors.Is(err, errHeld) {
			return target, unlock, err
		}
		// The pause is random, so that two who wait do not keep step.
		pause := time.Millisecond + rand.N(9*time.Millisecond) //nolint:gosec // nobody gains by guessing it
		if time.Until(deadline) < pause {
			return "", nil, ErrBusy
		}
		time.Sleep(pause)
	}
}

// settled reads the file once nobody is in the middle of writing it.
func (f *File) settled(target string, deadline time.Time) (snapshot, error) {
	for {
		s, err := take(target)
		if err != nil {
			return s, failed("read", err)
		}
		// A time ahead of the clock says nothing, and waiting for it could take years.
		age := time.Since(s.info.ModTime())
		if age < 0 || age >= f.quiet || f.mine != nil && sameFile(f.mine, s.info) {
			return s, nil
		}
		if time.Until(deadline) < f.quiet {
			return s, ErrRestless
		}
		time.Sleep(f.quiet - age)
	}
}

// replace puts a file with the text in the place of the one that was read.
func (f *File) replace(target string, before snapshot, text []byte) error {
	folder, prefix := filepath.Dir(target), tempPrefix(target)
	sweep(folder, prefix, f.stale)
	temp, info, err := prepare(folder, prefix, target, before.info, text)
	if err != nil {
		return err
	}
	if err = f.unchanged(target, before); err == nil {
		err = failed("rename the new file over", f.rename(temp, target))
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	f.mine = info
	err = syncFolder(folder)
	f.written(text)
	if err != nil {
		return fmt.Errorf("the new content is in place, but may not survive a loss of power: flush folder %q: %w", folder, err)
	}
	return nil
}

// unchanged is the last look before the rename.
func (f *File) unchanged(target string, before snapshot) error {
	now, err := take(target)
	if err != nil {
		return failed("read again", err)
	}
	if again, err := filepath.EvalSymlinks(f.path); err != nil || again != target ||
		!os.SameFile(now.info, before.info) || now.info.Mode() != before.info.Mode() || !bytes.Equal(now.data, before.data) {
		return errChanged
	}
	return nil
}

// sameFile reports whether a file is still the one it was, as far as that is seen from outside.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Writable tells why an edit could not work now, or nil, and changes nothing. It is for a default at start: between now
// and an edit much may happen, and not every obstacle can be seen from here.
func (f *File) Writable() error {
	target, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return failed("find", err)
	}
	info, err := os.Stat(target)
	if err == nil {
		err = checkRegular(info)
	}
	if err != nil {
		return failed("look at", err)
	}
	if err := checkLinks(info); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return failed("open for writing", err)
	}
	if err := file.Close(); err != nil {
		return failed("close", err)
	}
	return checkReplaceable(target, info)
}
