//go:build unix && !aix

package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

const foldersSync = true

func checkLinks(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return ErrHardLinks
	}
	return nil
}

// inherit gives a new file the owner, the group and the attributes of the old one. It fails where they differ and cannot
// be changed, which takes root: a file that changes hands without a word may be closed to whoever else needs it, or
// open to who should not write it.
func inherit(file *os.File, target string, old fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return failed("look at the new file for", err)
	}
	was, ok1 := old.Sys().(*syscall.Stat_t)
	is, ok2 := info.Sys().(*syscall.Stat_t)
	if ok1 && ok2 && (was.Uid != is.Uid || was.Gid != is.Gid) {
		if err := file.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return owned(was, bare(err))
		}
	}
	return keepAttributes(file.Name(), target)
}

func owned(by *syscall.Stat_t, err error) error {
	return fmt.Errorf("keep its owner %d and group %d: %w; it must belong to the user that runs Caddy and to a group of theirs",
		by.Uid, by.Gid, err)
}

// checkReplaceable looks for what would stop an edit, without an edit.
func checkReplaceable(target string, info fs.FileInfo) error {
	folder := filepath.Dir(target)
	if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return failed(fmt.Sprintf("make a new file in folder %q for", folder), err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() != 0 && (int(st.Uid) != os.Geteuid() || !inGroup(int(st.Gid))) {
		return owned(st, syscall.EPERM)
	}
	if isMountPoint(target) {
		return failed("rename the new file over", syscall.EBUSY)
	}
	return nil
}

func inGroup(gid int) bool {
	groups, err := os.Getgroups()
	return gid == os.Getegid() || err == nil && slices.Contains(groups, gid)
}
