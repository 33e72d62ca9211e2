package htpasswd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
)

// write makes or overwrites a file in place.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// usersFile makes a file in a folder of its own.
func usersFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.htpasswd")
	write(t, path, text)
	return path
}

// capture returns a logger and what it heard.
func capture() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return zap.New(core), logs
}

// said lists the messages heard since it was last asked.
func said(logs *observer.ObservedLogs) string {
	var messages []string
	for _, entry := range logs.TakeAll() {
		messages = append(messages, entry.Level.String()+": "+entry.Message)
	}
	return strings.Join(messages, "; ")
}

// users says how many can sign in, or that nobody knows.
func users(f *File) string {
	table, err := f.Table()
	if err != nil {
		if table != nil || !errors.Is(err, ErrUnavailable) {
			return fmt.Sprintf("table %v with error %v", table, err)
		}
		return "closed"
	}
	return fmt.Sprint(table.Len())
}

func TestUSR7_OpenJudgesTheFile(t *testing.T) {
	folder := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(folder, name)
		write(t, path, text)
		return path
	}
	huge := at("huge", "")
	must(t, os.Truncate(huge, atomicfile.MaxSize+1))
	loop := filepath.Join(folder, "loop")
	must(t, os.Symlink(loop, loop))
	for _, test := range []struct {
		path string
		want string // users, or parts of the error
	}{
		{at("good", two), "2"},
		{at("some good", one+garbage), "1"},
		{at("empty", ""), "0"},
		{at("comments", "# nobody\n\n"), "0"},
		{filepath.Join(folder, "absent"), "absent|no such file"},
		{filepath.Join(folder, "good", "below"), "below"},
		{folder, folder + "|not a regular file"},
		{loop, "loop"},
		{"", `""`},
		{os.DevNull, os.DevNull + "|not a regular file"},
		{huge, "huge|over 16 MiB"},
		{at("garbage", "# x\nsecret\nann:topsecret\n:\n"), "garbage|no line can be used|" +
			"line 2: no colon; line 3: unrecognised hash; line 4: no user name"},
	} {
		t.Run(filepath.Base(test.path), func(t *testing.T) {
			f, err := Open(test.path, Options{})
			if err == nil {
				defer f.Close()
				if got := users(f); got != test.want {
					t.Errorf("%s users, want %s", got, test.want)
				}
				return
			}
			for _, part := range strings.Split(test.want, "|") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("LOG-1: error %q shows a line", err)
			}
			if strings.Count(err.Error(), test.path) != 1 && test.path != "" {
				t.Errorf("error %q does not name the file once", err)
			}
		})
	}
	_, err := Open(filepath.Join(folder, "absent"), Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	if _, err := Open(at("ok", one), Options{Rand: iotest.ErrReader(io.ErrUnexpectedEOF)}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without randomness: %v", err)
	}
}

func TestLargestFileIsRead(t *testing.T) {
	path := usersFile(t, one)
	text := one + "#" + strings.Repeat("x", atomicfile.MaxSize-len(one)-1)
	write(t, path, text)
	f, err := Open(path, Options{})
	must(t, err)
	defer f.Close()
	if users(f) != "1" {
		t.Errorf("%s users", users(f))
	}
}
