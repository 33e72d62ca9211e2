package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const accessList = "system.posix_acl_access"

// kept reports whether an attribute goes with the file. The others belong to the system, which makes them anew.
func kept(name string) bool {
	return name == accessList || name == "security.selinux" || strings.HasPrefix(name, "user.")
}

// keepAttributes gives the new file the attributes of the old one. The access list is more than a nicety: with one, the
// mode's bits for the group are its mask, and would without it let the whole group in.
func keepAttributes(temp, target string) error {
	names, err := attributeNames(target)
	if err != nil {
		return failed("list the attributes of", err)
	}
	listed := false
	for _, name := range names {
		if !kept(name) {
			continue
		}
		listed = listed || name == accessList
		want, err := attribute(target, name)
		if err != nil {
			return failed("read attribute "+name+" of", err)
		}
		if have, err := attribute(temp, name); err == nil && bytes.Equal(have, want) {
			continue
		}
		if err := unix.Setxattr(temp, name, want, 0); err != nil {
			return fmt.Errorf("keep its attribute %s: %w", name, err)
		}
	}
	if listed {
		return nil
	}
	// The folder may hand a list of its own to new files.
	err = unix.Removexattr(temp, accessList)
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return failed("remove the folder's access list from the new file for", err)
	}
	return nil
}

func attributeNames(path string) ([]string, error) {
	list, err := grow(func(buffer []byte) (int, error) { return unix.Listxattr(path, buffer) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), err
}

func attribute(path, name string) ([]byte, error) {
	return grow(func(buffer []byte) (int, error) { return unix.Getxattr(path, name, buffer) })
}

// grow calls get with a buffer that is large enough.
func grow(get func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buffer := make([]byte, size)
		n, err := get(buffer)
		if !errors.Is(err, unix.ERANGE) || size > 1<<20 {
			return buffer[:max(n, 0)], err
		}
	}
}

func isMountPoint(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
