package contacts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// contactsFile makes a file that nobody has touched for long, in a folder of its own.
func contactsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "contacts.json")
	write(t, path, text)
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path, long, long))
	return path
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("file holds\n%s\nwant\n%s\nerror %v", got, want, err)
	}
}

// inBubble follows a real file under a false clock.
func inBubble(t *testing.T, path string, test func(t *testing.T, f *File, said func() string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		f, err := Open(path, Options{Logger: zap.New(core)})
		must(t, err)
		defer f.Close()
		test(t, f, func() string {
			var lines []string
			for _, entry := range logs.TakeAll() {
				lines = append(lines, fmt.Sprintf("%s: %s %v", entry.Level, entry.Message, entry.ContextMap()))
			}
			return strings.Join(lines, "\n")
		})
	})
}

// pass lets time pass and everything due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantPhone(t *testing.T, f *File, user, want string) {
	t.Helper()
	if c, ok := f.Get(user); c.Phone != want || ok != (want != "") {
		t.Errorf("%s has the phone %q (%v), want %q", user, c.Phone, ok, want)
	}
}

func phone(n int) string { return fmt.Sprintf(`{"bob": {"phone": "+4930%d"}}`, n) }

func TestOpenJudgesTheFile(t *testing.T) {
	path := contactsFile(t, alice)
	f, err := Open(path, Options{})
	must(t, err)
	defer f.Close()
	if c, ok := f.Get("alice"); !ok || c != (Contact{"alice@example.com", "+15551234567"}) || f.Len() != 1 {
		t.Errorf("alice: %+v, %v", c, ok)
	}
	if c, ok := f.Get("Alice"); ok || c != (Contact{}) {
		t.Errorf("Alice: %+v, %v", c, ok)
	}
	for _, test := range []struct{ path, want string }{
		{path + "x", "no such file"},
		{filepath.Dir(path), "not a regular file"},
		{contactsFile(t, "{\n\"eve\": {\"email\": \"secret\"}}"), `line 2: user "eve": email: not a bare e-mail address`},
		{contactsFile(t, ""), "line 1: not JSON"},
	} {
		_, err := Open(test.path, Options{})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Count(err.Error(), test.path) != 1 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", test.path, err, test.want)
		}
	}
	if _, err := Open(path+"x", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	if _, err := Open(path, Options{Countries: []string{"+49"}}); err == nil || !strings.Contains(err.Error(), `line 1: user "alice": phone: not a phone number of the countries`) {
		t.Errorf("country: %v", err)
	}
}

func TestChangesAreNoticedWithin1500ms(t *testing.T) {
	path := contactsFile(t, phone(100000))
	inBubble(t, path, func(t *testing.T, f *File, said func() string) {
		for i := 100001; i < 100010; i++ {
			pass(130 * time.Millisecond)
			switch i % 3 {
			case 0:
				write(t, path, phone(i))
			case 1:
				write(t, path+".new", phone(i))
				must(t, os.Rename(path+".new", path))
			default:
				target := fmt.Sprint(path, i)
				write(t, target, phone(i))
				must(t, os.Symlink(target, path+".new"))
				must(t, os.Rename(path+".new", path))
			}
			pass(450 * time.Millisecond)
			wantPhone(t, f, "bob", fmt.Sprint("+4930", i-1)) // one reading is not enough
			pass(1050 * time.Millisecond)
			wantPhone(t, f, "bob", fmt.Sprint("+4930", i))
			if got := said(); got != fmt.Sprintf("info: contacts reloaded map[file:%s users:1]", path) {
				t.Errorf("log: %s", got)
			}
		}
		pass(time.Hour)
		if got := said(); got != "" {
			t.Errorf("log: %s", got)
		}
	})
}

func TestUSR5_BadContentKeepsTheLastGoodOne(t *testing.T) {
	path := contactsFile(t, phone(100000))
	inBubble(t, path, func(t *testing.T, f *File, said func() string) {
		trouble := func(reason string) string {
			return fmt.Sprintf("error: contacts file cannot be used; keeping the last good one map[error:%s file:%s]", reason, path)
		}
		check := func(want string) {
			t.Helper()
			pass(time.Hour)
			wantPhone(t, f, "bob", "+4930100000")
			if got := said(); got != want {
				t.Errorf("log: %s\nwant %s", got, want)
			}
		}
		write(t, path, `{"bob": {"phone": "secret"}}`)
		check(trouble(`line 1: user "bob": phone: ` + errPhone.Error()))
		write(t, path, "\nsecret")
		check(trouble("line 2: not JSON"))
		must(t, os.Remove(path))
		check(trouble("no such file or directory"))
		write(t, path, phone(100000)) // the old one is back
		check(fmt.Sprintf("info: contacts reloaded map[file:%s users:1]", path))
		write(t, path, "")
		pass(time.Second)
		write(t, path, phone(100000))
		pass(time.Second)
		said()
		write(t, path, phone(123456))
		pass(2 * time.Second)
		wantPhone(t, f, "bob", "+4930123456")
	})
}

func TestUSR5_FileWrittenPieceByPieceIsTakenWhole(t *testing.T) {
	path := contactsFile(t, phone(100000))
	inBubble(t, path, func(t *testing.T, f *File, said func() string) {
		text := phone(123456)
		for end := range len(text) {
			write(t, path, text[:end])
			pass(300 * time.Millisecond)
			wantPhone(t, f, "bob", "+4930100000")
		}
		write(t, path, text)
		pass(1500 * time.Millisecond)
		wantPhone(t, f, "bob", "+4930123456")
		if got := said(); !strings.HasPrefix(got, "info: contacts reloaded") || strings.Contains(got, "error") {
			t.Errorf("log: %s", got)
		}
	})
}

func TestOwnEditsAreInForceWhenTheyReturn(t *testing.T) {
	path := contactsFile(t, "{\n  \"alice\": {\"phone\": \"+15551234567\"}\n}\n")
	must(t, os.Chmod(path, 0o640))
	inBubble(t, path, func(t *testing.T, f *File, said func() string) {
		must(t, f.Writable())
		must(t, f.Set("bob", Contact{Phone: "+4930123456"}))
		wantPhone(t, f, "bob", "+4930123456")
		must(t, f.Set("alice", Contact{Email: "a@x.de", Phone: "+15557654321"}))
		wantPhone(t, f, "alice", "+15557654321")
		wantText(t, path, "{\n  \"alice\": {\"email\": \"a@x.de\", \"phone\": \"+15557654321\"},\n  \"bob\": {\"phone\": \"+4930123456\"}\n}\n")
		must(t, f.Remove("alice"))
		must(t, f.Remove("alice"))
		wantPhone(t, f, "alice", "")
		wantText(t, path, "{\n  \"bob\": {\"phone\": \"+4930123456\"}\n}\n")
		// The polling finds nothing new in that.
		pass(time.Minute)
		if got := said(); got != "" {
			t.Errorf("log: %s", got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files in the folder, %v", len(entries), err)
		}
	})
}

func TestUSR8_BadEditsLeaveTheFileAsItWas(t *testing.T) {
	path := contactsFile(t, alice)
	f, err := Open(path, Options{Countries: []string{"+1", "+49"}})
	must(t, err)
	defer f.Close()
	for _, test := range []struct {
		user string
		c    Contact
		want string
	}{
		{"bob", Contact{Email: "secret"}, `user "bob": email: not a bare`},
		{"bob", Contact{Phone: "secret"}, `user "bob": phone: not a phone number in`},
		{"bob", Contact{Phone: "+33123456789"}, `user "bob": phone: not a phone number of the countries`},
		{"bob", Contact{Email: "a@b.c\",\"phone\":\"+15550000000"}, `email: not a bare`},
		{"", Contact{}, "user name is empty"},
		{"a:b", Contact{}, "no user can have such a name"},
		{"\xff", Contact{}, "not UTF-8"},
	} {
		err := f.Set(test.user, test.c)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q %v: %v, want %s", test.user, test.c, err, test.want)
		}
	}
	wantText(t, path, alice)

	must(t, os.Link(path, path+".too"))
	for what, err := range map[string]error{"set": f.Set("bob", Contact{}), "remove": f.Remove("alice"), "writable": f.Writable()} {
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "hard links") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.Remove(path+".too"))

	bad := "{\"bob\": {},\n\"eve\": 5}"
	write(t, path, bad)
	if err := f.Set("bob", Contact{Email: "b@x.de"}); err == nil || !strings.Contains(err.Error(), `line 2: user "eve": not an object`) {
		t.Errorf("on a bad file: %v", err)
	}
	wantText(t, path, bad)
}

func TestUSR9_NoEditIsLost(t *testing.T) {
	path := contactsFile(t, "{}")
	f, err := Open(path, Options{Poll: time.Millisecond})
	must(t, err)
	defer f.Close()
	other, err := Open(path, Options{})
	must(t, err)
	defer other.Close()
	var wg sync.WaitGroup
	for worker := range 10 {
		wg.Go(func() {
			for i := range 5 {
				user, want := fmt.Sprintf("user%d-%d", worker, i), Contact{Phone: fmt.Sprint("+4930", 100000+i)}
				if worker == 0 {
					if err := other.Set(user, want); err != nil {
						t.Error(err)
					}
					continue
				}
				if err := f.Set(user, want); err != nil {
					t.Error(err)
				}
				if got, ok := f.Get(user); !ok || got != want {
					t.Errorf("%s: %+v, %v", user, got, ok)
				}
			}
		})
	}
	wg.Wait()
	must(t, f.Set("last", Contact{}))
	if f.Len() != 51 {
		t.Errorf("%d users", f.Len())
	}
	if n := testing.AllocsPerRun(100, func() { f.Get("last") }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}

func TestCloseEndsFollowing(t *testing.T) {
	path := contactsFile(t, phone(100000))
	f, err := Open(path, Options{Poll: time.Millisecond})
	must(t, err)
	f.Close()
	f.Close()
	must(t, f.Set("bob", Contact{Phone: "+4930123456"}))
	time.Sleep(20 * time.Millisecond)
	wantPhone(t, f, "bob", "+4930100000")
	wantText(t, path, phone(123456))
}
