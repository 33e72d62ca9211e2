//go:build unix && !aix && !solaris

package state

import (
	"os"
	"syscall"
)

// unlock frees the file's lock at once. Closing the descriptor would not: a memory map of the file holds on to it.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
