package atomicfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user and a group that own nothing.
const nobody = 65534

func init() {
	jobs["edit"] = refused
	jobs["small disk"] = func(folder string) string {
		path, err := mounted(folder, 0, "size=16k")
		return orRefused(path, err)
	}
	jobs["read-only disk"] = func(folder string) string {
		path, err := mounted(folder, 0, "size=1m")
		if err == nil {
			err = syscall.Mount("none", folder, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		}
		return orRefused(path, err)
	}
	jobs["mounted file"] = func(folder string) string {
		path, err := mounted(folder, 0, "size=1m")
		if err == nil {
			err = os.WriteFile(folder+"/mount", []byte(oldText), 0o600)
		}
		if err == nil {
			err = syscall.Mount(path, folder+"/mount", "", syscall.MS_BIND, "")
		}
		return orRefused(folder+"/mount", err)
	}
	jobs["read-only mounted file"] = func(folder string) string {
		path, err := mounted(folder, 0, "size=1m")
		if err == nil {
			err = syscall.Mount(path, path, "", syscall.MS_BIND, "")
		}
		if err == nil {
			err = syscall.Mount("", path, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		}
		return orRefused(path, err)
	}
	jobs["limited size"] = func(path string) string {
		limit := unix.Rlimit{Cur: 8192, Max: 8192}
		return orRefused(path, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	}
}

var (
	oldText = strings.Repeat("old\n", 1000)
	newText = strings.Repeat("new\n", 10000)
)

// mounted makes a file on a disk of its own, which only this process sees.
func mounted(folder string, flags uintptr, options string) (path string, err error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return "", err
	}
	if err := syscall.Mount("none", folder, "tmpfs", flags, options); err != nil {
		return "", err
	}
	path = filepath.Join(folder, "users")
	return path, os.WriteFile(path, []byte(oldText), 0o600)
}

func orRefused(path string, err error) string {
	if err != nil {
		return "set-up: " + err.Error()
	}
	return refused(path)
}

// refused tries to edit and tells what came of it, and whether everything is as it was.
func refused(path string) string {
	before := names(filepath.Dir(path))
	f := eager(path)
	said := fmt.Sprintf("edit: %v\nwritable: %v\n", f.Edit(to(newText)), f.Writable())
	if now, err := os.ReadFile(path); err != nil || string(now) != oldText {
		said += fmt.Sprintf("WRONG: file holds %.20q, %v\n", now, err)
	}
	if now := names(filepath.Dir(path)); !slices.Equal(now, before) {
		said += fmt.Sprintf("WRONG: folder holds %q\n", now)
	}
	return said
}

// unprivileged is nobody for root, and whoever runs the tests otherwise.
func unprivileged() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// mounting are the ways to be allowed to mount, for a process with a view of the disks of its own.
func mounting() []*syscall.SysProcAttr {
	id := []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	return []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNS},
		{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: group},
	}
}

// openFolder makes a folder that everybody can reach.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "atomicfile")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755))
	return folder
}

func TestUSR8_RefusalsOfTheSystemLeaveEverythingAsItWas(t *testing.T) {
	const denied = "permission denied; it and its folder must be writable for the user that runs Caddy"
	for _, test := range []struct {
		job            string
		prepare        func(t *testing.T, path string)
		mounts         bool
		edit, writable string
	}{
		{job: "small disk", mounts: true,
			edit: "write the new file for it: no space left on device; make room on its disk", writable: "<nil>"},
		{job: "read-only disk", mounts: true, edit: "read-only file system; mount it and its folder for writing",
			writable: "read-only file system"},
		{job: "mounted file", mounts: true,
			edit:     "rename the new file over it: device or resource busy; it is mounted by itself; mount its folder instead",
			writable: "it is mounted by itself; mount its folder instead"},
		{job: "read-only mounted file", mounts: true, edit: "open for writing it: read-only file system",
			writable: "read-only file system"},
		{job: "limited size", edit: "write the new file for it: file too large; make room on its disk", writable: "<nil>"},
		{job: "edit", prepare: func(t *testing.T, path string) {
			must(t, os.Chmod(path, 0o666))
			must(t, os.Chmod(filepath.Dir(path), 0o555))
		}, edit: "make a new file in folder", writable: denied},
		{job: "edit", prepare: func(t *testing.T, path string) {
			must(t, os.Chmod(path, 0o444))
			must(t, os.Chmod(filepath.Dir(path), 0o777))
		}, edit: "open for writing it: " + denied, writable: denied},
	} {
		t.Run(test.job, func(t *testing.T) {
			folder := openFolder(t)
			path := filepath.Join(folder, "users")
			must(t, os.WriteFile(path, []byte(oldText), 0o600))
			ways, target := []*syscall.SysProcAttr{nil}, path
			switch {
			case test.mounts:
				ways, target = mounting(), folder
			case test.prepare != nil:
				test.prepare(t, path)
				defer os.Chmod(folder, 0o755)
				ways = []*syscall.SysProcAttr{unprivileged()}
			}
			said := ""
			for _, way := range ways {
				out, err := process(test.job, target, way).Output()
				said = string(out)
				if err != nil {
					said = "set-up: " + err.Error()
				}
				if !strings.HasPrefix(said, "set-up: ") {
					break
				}
			}
			if strings.HasPrefix(said, "set-up: ") && test.job != "limited size" {
				// The next test has the same refusals without the system's help.
				t.Logf("this machine allows no mounts, or no other user: %s", said)
				return
			}
			edit, writable, _ := strings.Cut(said, "\n")
			if !strings.Contains(edit, test.edit) || !strings.Contains(writable, "writable: ") ||
				!strings.Contains(writable, test.writable) || strings.Contains(said, "WRONG") {
				t.Errorf("it says:\n%s\nwant edit: %s\nwant writable: %s", said, test.edit, test.writable)
			}
		})
	}
}

func TestUSR8_RefusedRenameLeavesEverythingAsItWas(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EBUSY:  "mounted by itself; mount its folder instead",
		syscall.EROFS:  "mount it and its folder for writing",
		syscall.EACCES: "must be writable for the user that runs Caddy",
		syscall.EPERM:  "must be writable for the user that runs Caddy",
		syscall.ENOSPC: "make room on its disk",
		syscall.EDQUOT: "make room on its disk",
		syscall.EIO:    "input/output error",
	} {
		path := newFile(t, "old")
		f := eager(path)
		f.rename = func(from, to string) error {
			if text, err := os.ReadFile(from); err != nil || string(text) != "new" || to != path {
				t.Errorf("rename of %q to %s: %v", text, to, err)
			}
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: errno}
		}
		err := f.Edit(to("new"))
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "captcha-gate") {
			t.Errorf("error %v, want %s", err, want)
		}
		wantText(t, path, "old")
		wantFolder(t, filepath.Dir(path), "users")
	}
}

func TestUSR4_OwnerIsKeptOrTheEditFails(t *testing.T) {
	groups, err := os.Getgroups()
	must(t, err)
	owners := [][2]int{{os.Geteuid(), os.Getegid()}}
	for _, group := range groups {
		owners = append(owners, [2]int{os.Geteuid(), group})
	}
	if os.Geteuid() == 0 {
		owners = append(owners, [2]int{nobody, nobody}, [2]int{0, nobody}, [2]int{nobody, 0}, [2]int{12345, 54321})
	}
	for _, owner := range owners {
		path := newFile(t, "old")
		if err := os.Chown(path, owner[0], owner[1]); err != nil {
			t.Logf("this machine has no %v: %v", owner, err)
			continue
		}
		must(t, os.Chmod(path, 0o640))
		f := eager(path)
		must(t, f.Writable())
		must(t, f.Edit(to("new")))
		info, err := os.Stat(path)
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		if int(st.Uid) != owner[0] || int(st.Gid) != owner[1] || info.Mode() != 0o640 {
			t.Errorf("%v became %d:%d %v", owner, st.Uid, st.Gid, info.Mode())
		}
	}
	if os.Geteuid() != 0 {
		return // nobody but root can make the files of others that follow
	}
	for _, owner := range [][2]int{{0, nobody}, {nobody, 0}, {0, 0}} {
		folder := openFolder(t)
		if err := os.Chown(folder, nobody, nobody); err != nil {
			t.Logf("this machine has no other user: %v", err)
			return
		}
		path := filepath.Join(folder, "users")
		must(t, os.WriteFile(path, []byte(oldText), 0o600))
		must(t, os.Chown(path, owner[0], owner[1]))
		must(t, os.Chmod(path, 0o666))
		out, err := process("edit", path, unprivileged()).Output()
		if errors.Is(err, syscall.EPERM) {
			t.Logf("this machine allows no other user: %v", err)
			return
		}
		want := fmt.Sprintf("keep its owner %d and group %d: operation not permitted; it must belong", owner[0], owner[1])
		if err != nil || strings.Count(string(out), want) != 2 || strings.Contains(string(out), "WRONG") {
			t.Errorf("%v: it says\n%s%v", owner, out, err)
		}
	}
}

// accessRights builds an access list in the kernel's form: owner, one user, group, mask, others.
func accessRights(user, group, mask uint16) []byte {
	var b bytes.Buffer
	entry := func(tag, rights uint16, id uint32) {
		_ = binary.Write(&b, binary.LittleEndian, []uint16{tag, rights})
		_ = binary.Write(&b, binary.LittleEndian, id)
	}
	_ = binary.Write(&b, binary.LittleEndian, uint32(2))
	entry(0x01, 6, 0xffffffff)
	entry(0x02, user, uint32(os.Geteuid()))
	entry(0x04, group, 0xffffffff)
	entry(0x10, mask, 0xffffffff)
	entry(0x20, 0, 0xffffffff)
	return b.Bytes()
}

func TestUSR4_AttributesAreKept(t *testing.T) {
	path := newFile(t, "old")
	// The rights of the group are less than the mask, which is what the mode shows.
	kept := map[string][]byte{accessList: accessRights(6, 0, 6), "user.note": bytes.Repeat([]byte("long "), 200), "user.empty": {}}
	for name, value := range kept {
		if err := unix.Setxattr(path, name, value, 0); errors.Is(err, unix.ENOTSUP) {
			t.Logf("no %s on this disk", name)
			delete(kept, name)
		} else {
			must(t, err)
		}
	}
	before, err := os.Stat(path)
	must(t, err)
	must(t, eager(path).Edit(to("new")))
	wantText(t, path, "new")
	after, err := os.Stat(path)
	must(t, err)
	if before.Mode() != after.Mode() {
		t.Errorf("mode %v became %v", before.Mode(), after.Mode())
	}
	for name, value := range kept {
		if got, err := attribute(path, name); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s is %x, want %x; %v", name, got, value, err)
		}
	}
}

// A list that the folder hands to new files would let people in who could not read the old one.
func TestUSR4_AccessListOfTheFolderIsNotTakenOn(t *testing.T) {
	path := newFile(t, "old")
	must(t, os.Chmod(path, 0o660))
	err := unix.Setxattr(filepath.Dir(path), "system.posix_acl_default", accessRights(6, 6, 6), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Log("no access lists on this disk")
	} else {
		must(t, err)
	}
	must(t, eager(path).Edit(to("new")))
	if got, err := attribute(path, accessList); err == nil {
		t.Errorf("the new file has the list %x", got)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o660 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Files of /proc have size 0 and more in them, like one that grows while it is read.
func TestFileIsReadToItsEndWhateverItsSize(t *testing.T) {
	want, err := os.ReadFile("/proc/self/cmdline")
	must(t, err)
	got, err := Read("/proc/self/cmdline")
	if err != nil || string(got) != string(want) || len(got) == 0 {
		t.Errorf("%d bytes, want %d; error %v", len(got), len(want), err)
	}
	if _, err := Read("/proc/self/mem"); err == nil {
		t.Error("a failing read is no error")
	}
}

func TestPipeIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := Read(path); !errors.Is(err, errNotRegular) {
		t.Error(err)
	}
	if err := eager(path).Edit(to("new")); !errors.Is(err, errNotRegular) {
		t.Error(err)
	}
}

// Two who lock different files under one name would not wait for each other.
func TestLockOfAFileThatWasReplacedDoesNotCount(t *testing.T) {
	path := newFile(t, "old")
	for _, replace := range []func(){
		func() { must(t, os.Rename(path, path+".old")) },
		func() { must(t, os.WriteFile(path, []byte("new"), 0o600)) },
	} {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			file, err = os.OpenFile(path+".old", os.O_RDWR, 0)
		}
		must(t, err)
		replace()
		if _, err := lockOpen(file, path); !errors.Is(err, errHeld) {
			t.Errorf("error %v, want %v", err, errHeld)
		}
		if err := file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the file was left open: %v", err)
		}
	}
	unlock, err := tryLock(path)
	must(t, err)
	unlock()
}
