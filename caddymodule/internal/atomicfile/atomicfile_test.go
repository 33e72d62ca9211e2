package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUSR4_LinksStayAndTheirTargetChanges(t *testing.T) {
	for _, test := range []struct {
		name  string
		links [][2]string // from, to
		open  string
	}{
		{"no link", nil, "real/users"},
		{"absolute link", [][2]string{{"link", "/real/users"}}, "link"},
		{"relative link", [][2]string{{"link", "real/users"}}, "link"},
		{"link of a link", [][2]string{{"a", "b"}, {"b", "real/users"}}, "a"},
		{"link of the folder", [][2]string{{"folder", "real"}}, "folder/users"},
		{"as Kubernetes does", [][2]string{{"..data", "real"}, {"users", "..data/users"}}, "users"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			real := filepath.Join(root, "real", "users")
			must(t, os.Mkdir(filepath.Dir(real), 0o700))
			must(t, os.WriteFile(real, []byte("old"), 0o640))
			for _, link := range test.links {
				target := link[1]
				if strings.HasPrefix(target, "/") {
					target = root + target
				}
				must(t, os.Symlink(target, filepath.Join(root, link[0])))
			}
			before := names(root)
			path := filepath.Join(root, test.open)
			f := eager(path)
			must(t, f.Writable())
			must(t, f.Edit(to("new")))
			wantText(t, real, "new")
			wantText(t, path, "new")
			wantFolder(t, root, before...)
			wantFolder(t, filepath.Dir(real), "users")
			for _, link := range test.links {
				if info, err := os.Lstat(filepath.Join(root, link[0])); err != nil || info.Mode()&fs.ModeSymlink == 0 {
					t.Errorf("%s is no link any more: %v, %v", link[0], info, err)
				}
			}
		})
	}
}

func TestUSR4_ModeIsKept(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o700, 0o755, 0o604 | fs.ModeSetuid} {
		path := newFile(t, "old")
		must(t, os.Chmod(path, mode))
		must(t, eager(path).Edit(to("new")))
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("mode %v became %v", mode, info.Mode())
		}
		wantText(t, path, "new")
	}
}

func TestEditThatChangesNothingWritesNothing(t *testing.T) {
	path := newFile(t, "old")
	before, err := os.Stat(path)
	must(t, err)
	f := New(path, func([]byte) { t.Error("heard of a change") })
	f.quiet = 0
	must(t, f.Edit(to("old")))
	wrong := errors.New("wrong")
	if err := f.Edit(func([]byte) ([]byte, error) { return []byte("new"), wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v, want that of the change", err)
	}
	after, err := os.Stat(path)
	must(t, err)
	if !sameFile(before, after) {
		t.Error("the file was touched")
	}
	wantText(t, path, "old")
	wantFolder(t, filepath.Dir(path), "users")
}

func TestEditTellsTheNewContentInOrder(t *testing.T) {
	path := newFile(t, "0")
	var told []string
	f := New(path, func(data []byte) { told = append(told, string(data)) })
	f.quiet = 0
	for _, text := range []string{"1", "2", "2", "3"} {
		must(t, f.Edit(to(text)))
	}
	if got := fmt.Sprint(told); got != "[1 2 3]" {
		t.Errorf("told %s", got)
	}
}

func TestUSR4_ChangeInBetweenStartsAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(t *testing.T, path, text string)
	}{
		{"in place", func(t *testing.T, path, text string) { must(t, os.WriteFile(path, []byte(text), 0o600)) }},
		{"in place, with the old time", func(t *testing.T, path, text string) {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(text), 0o600))
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
		{"renamed over", func(t *testing.T, path, text string) {
			must(t, os.WriteFile(path+".new", []byte(text), 0o600))
			must(t, os.Rename(path+".new", path))
		}},
		{"same text in another file", func(t *testing.T, path, _ string) {
			text, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path+".new", text, 0o600))
			must(t, os.Rename(path+".new", path))
		}},
		{"mode", func(t *testing.T, path, text string) { must(t, os.Chmod(path, 0o640+fs.FileMode(text[0]-'0'))) }},
		{"link to another file", func(t *testing.T, path, text string) {
			must(t, os.WriteFile(path+text, []byte(text), 0o600))
			must(t, os.Symlink(path+text, path+".new"))
			must(t, os.Rename(path+".new", path))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := newFile(t, "0")
			f := eager(path)
			calls := 0
			must(t, f.Edit(func(old []byte) ([]byte, error) {
				if calls++; calls <= 3 {
					test.set(t, path, fmt.Sprint(calls))
				}
				return append([]byte("new after "), old...), nil
			}))
			last := "3"
			if test.name == "mode" || strings.HasPrefix(test.name, "same text") {
				last = "0"
			}
			wantText(t, path, "new after "+last)
			if calls != 4 {
				t.Errorf("%d calls, want 4", calls)
			}

			calls = 0
			err := f.Edit(func([]byte) ([]byte, error) {
				calls++
				test.set(t, path, fmt.Sprint(calls))
				return []byte("new"), nil
			})
			if !errors.Is(err, ErrRestless) || calls != attempts {
				t.Errorf("error %v after %d calls", err, calls)
			}
			for _, name := range names(filepath.Dir(path)) {
				if strings.Contains(name, "captcha-gate") {
					t.Errorf("%s is left over", name)
				}
			}
		})
	}
}

// Fact 15: Apache's htpasswd writes in place. An edit of half a file would lose the other half.
func TestUSR5_FileThatIsBeingWrittenIsLeftToRest(t *testing.T) {
	path := newFile(t, "")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer file.Close()
	done := make(chan error, 1)
	go func() {
		f := New(path, nil)
		f.quiet = 300 * time.Millisecond
		done <- f.Edit(func(old []byte) ([]byte, error) { return append(old[:len(old):len(old)], "new"...), nil })
	}()
	for i := range 20 {
		_, err = fmt.Fprintln(file, i)
		must(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	must(t, <-done)
	got, err := os.ReadFile(path)
	must(t, err)
	if !strings.HasPrefix(string(got), "0\n1\n2\n") || !strings.HasSuffix(string(got), "18\n19\nnew") {
		t.Errorf("half a file was edited: %q", got)
	}
}

func TestRestIsWaitedForWithinReason(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration
		least   time.Duration
		most    time.Duration
		quiet   time.Duration
		failure error
	}{
		{"just written", 0, 100 * time.Millisecond, time.Minute, 150 * time.Millisecond, nil},
		{"old", time.Hour, 0, time.Minute, time.Hour, nil},
		{"clock was wrong", -time.Hour, 0, time.Minute, time.Hour, nil},
		{"longer than an edit may take", 0, 0, time.Minute, time.Hour, ErrRestless},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := newFile(t, "old")
			if test.age != 0 {
				must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-test.age)))
			}
			f := New(path, nil)
			f.quiet = test.quiet
			start := time.Now()
			if err := f.Edit(to("new")); !errors.Is(err, test.failure) {
				t.Fatal(err)
			}
			if took := time.Since(start); took < test.least || took > test.most {
				t.Errorf("took %v, want %v to %v", took, test.least, test.most)
			}
			if test.failure != nil {
				wantText(t, path, "old")
				return
			}
			// Its own file is known, and not waited for.
			f.quiet = time.Hour
			for i := range 5 {
				must(t, f.Edit(to(fmt.Sprint(i))))
			}
		})
	}
}

func TestUSR8_WhatCannotBeEditedIsRefused(t *testing.T) {
	folder := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	huge := at("huge", "")
	must(t, os.Truncate(huge, MaxSize+1))
	linked := at("linked", "old")
	must(t, os.Link(linked, linked+"2"))
	loop := filepath.Join(folder, "loop")
	must(t, os.Symlink(loop, loop))
	before := names(folder)
	for _, test := range []struct {
		path, want string
	}{
		{filepath.Join(folder, "absent"), "find it: no such file"},
		{filepath.Join(linked, "below"), "find it: not a directory"},
		{folder, "look at it: not a regular file"},
		{os.DevNull, "look at it: not a regular file"},
		{huge, "look at it: over 16 MiB"},
		{linked, ErrHardLinks.Error()},
		{linked + "2", ErrHardLinks.Error()},
		{loop, "too many links"},
		{"", "not a regular file"},
	} {
		f := eager(test.path)
		for what, err := range map[string]error{"edit": f.Edit(to("new")), "writable": f.Writable()} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s %q: error %v, want %s", what, test.path, err, test.want)
			}
			if err != nil && test.path != "" && strings.Contains(err.Error(), test.path) && test.path != loop {
				t.Errorf("%s: error %q names the path, which the caller does", what, err)
			}
		}
	}
	wantText(t, linked, "old")
	wantFolder(t, folder, before...)

	path := newFile(t, "old")
	if err := eager(path).Edit(to(strings.Repeat("x", MaxSize+1))); !errors.Is(err, errTooLarge) {
		t.Errorf("too much text: %v", err)
	}
	must(t, eager(path).Edit(to(strings.Repeat("x", MaxSize))))
	wantFolder(t, filepath.Dir(path), "users")
}

func TestLeftoversOfCrashesAreRemoved(t *testing.T) {
	path := newFile(t, "old")
	folder := filepath.Dir(path)
	long := time.Now().Add(-time.Hour)
	for name, old := range map[string]bool{
		".users.captcha-gate-123":   true,
		".users.captcha-gate-9":     true,
		".users.captcha-gate-77":    false, // may be in the making
		".users.captcha-gate-12a":   true,  // not one of ours, and so on
		".users.captcha-gate-":      true,
		".users2.captcha-gate-5":    true,
		"users.captcha-gate-5":      true,
		".users.captcha-gate-5.bak": true,
	} {
		must(t, os.WriteFile(filepath.Join(folder, name), nil, 0o600))
		if old {
			must(t, os.Chtimes(filepath.Join(folder, name), long, long))
		}
	}
	must(t, os.Mkdir(filepath.Join(folder, ".users.captcha-gate-4"), 0o700))
	must(t, os.Chtimes(filepath.Join(folder, ".users.captcha-gate-4"), long, long))
	must(t, eager(path).Edit(to("new")))
	wantFolder(t, folder, ".users.captcha-gate-", ".users.captcha-gate-12a", ".users.captcha-gate-4",
		".users.captcha-gate-5.bak", ".users.captcha-gate-77", ".users2.captcha-gate-5", "users", "users.captcha-gate-5")
}

func TestNamesOfAnyLengthWork(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"x", strings.Repeat("y", 255), strings.Repeat("ü", 127), "* [a]", "-rf", "with\nline"} {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte("old"), 0o600))
		if err := eager(path).Edit(to("new")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		wantText(t, path, "new")
	}
	if n := len(names(folder)); n != 6 {
		t.Errorf("folder holds %d names: %q", n, names(folder))
	}
}
