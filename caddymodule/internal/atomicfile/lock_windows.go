package atomicfile

import (
	"errors"
	"syscall"
)

const (
	fileFlagDeleteOnClose = 0x04000000
	errorSharingViolation = syscall.Errno(32)
)

// tryLock makes a lock file that nobody else can open, and that Windows deletes when it is closed or its process ends.
func tryLock(target string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(target + ".captcha-gate-lock")
	if err != nil {
		return nil, failed("lock", err)
	}
	const access, sharing = syscall.GENERIC_READ | syscall.GENERIC_WRITE, 0
	handle, err := syscall.CreateFile(name, access, sharing, nil, syscall.OPEN_ALWAYS, fileFlagDeleteOnClose, 0)
	switch {
	case err == nil:
		return func() { _ = syscall.CloseHandle(handle) }, nil
	case errors.Is(err, errorSharingViolation):
		return nil, errHeld
	}
	return nil, failed("lock", err)
}
