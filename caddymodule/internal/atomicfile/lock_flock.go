//go:build unix && !aix && !solaris

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks the file, or returns errHeld when somebody else has it or has put another file in its place.
func tryLock(target string) (unlock func(), err error) {
	info, err := os.Stat(target)
	if err == nil {
		err = checkRegular(info)
	}
	if err != nil {
		return nil, failed("look at", err)
	}
	// For writing, though nothing is written: NFS wants that of an exclusive lock, and a file that is closed to writing
	// is not to be changed by way of its folder either.
	file, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return nil, failed("open for writing", err)
	}
	return lockOpen(file, target)
}

// lockOpen locks an open file if it still has the name, and closes it otherwise.
func lockOpen(file *os.File, target string) (unlock func(), err error) {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, failed("lock", err)
	}
	unlock = func() {
		// Explicitly, because a process that is just being started has a copy of the descriptor for a moment.
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
		_ = file.Close()
	}
	held, err1 := file.Stat()
	now, err2 := os.Stat(target)
	if err1 != nil || err2 != nil || !os.SameFile(held, now) {
		unlock()
		return nil, errHeld
	}
	return unlock, nil
}
