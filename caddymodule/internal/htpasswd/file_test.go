package htpasswd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
)

// inBubble follows a real file under a false clock, by polling alone.
func inBubble(t *testing.T, path string, o Options, test func(t *testing.T, f *File)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, err := load(path, o)
		must(t, err)
		f.follow(nil)
		defer f.Close()
		test(t, f)
	})
}

// pass lets time pass and everything due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestUSR6_EveryKindOfChangeIsNoticedWithin2Seconds(t *testing.T) {
	large := "# " + strings.Repeat("x", maxCheap) + "\n"
	link := func(t *testing.T, path, target string) {
		t.Helper()
		must(t, os.Symlink(target, path+".new"))
		must(t, os.Rename(path+".new", path))
	}
	for _, test := range []struct {
		name    string
		padding string
		set     func(t *testing.T, path, text string)
	}{
		{"in place", "", write},
		{"in place, large", large, write},
		{"rename", "", func(t *testing.T, path, text string) {
			write(t, path+".tmp", text)
			must(t, os.Rename(path+".tmp", path))
		}},
		{"remove and create", "", func(t *testing.T, path, text string) {
			_ = os.Remove(path)
			write(t, path, text)
		}},
		{"same time and identity", "", func(t *testing.T, path, text string) {
			write(t, path, text)
			must(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		}},
		{"same size, time and identity, large", large, func(t *testing.T, path, text string) {
			write(t, path, text+strings.Repeat("#", 1000-len(text)+len(large)))
			must(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		}},
		{"symlink", "", func(t *testing.T, path, text string) {
			target, err := os.MkdirTemp(filepath.Dir(path), "v")
			must(t, err)
			write(t, filepath.Join(target, "users"), text)
			link(t, path, filepath.Join(target, "users"))
		}},
		{"symlink of the folder, as Kubernetes does", "", func(t *testing.T, path, text string) {
			target, err := os.MkdirTemp(filepath.Dir(path), "..v")
			must(t, err)
			write(t, filepath.Join(target, "users"), text)
			link(t, filepath.Join(filepath.Dir(path), "..data"), filepath.Base(target))
			if _, err := os.Lstat(path); err != nil {
				must(t, os.Symlink(filepath.Join("..data", "users"), path))
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			test.set(t, path, test.padding+one)
			inBubble(t, path, Options{}, func(t *testing.T, f *File) {
				pass(7 * time.Second)
				for i, text := range []string{two, three, one, two, three, two, one, three, one, two, three} {
					// Changes come at any moment between two looks.
					pass(90 * time.Millisecond)
					test.set(t, path, test.padding+text)
					want := fmt.Sprint(strings.Count(text, "\n"))
					before := users(f)
					pass(400 * time.Millisecond)
					if users(f) != before {
						t.Errorf("change %d is in force before two readings half a second apart", i+1)
					}
					// 1.5 s by design; the rest is for machines that are busy.
					pass(1100 * time.Millisecond)
					if users(f) != want {
						t.Fatalf("change %d: %s users after 1.5 s, want %s", i+1, users(f), want)
					}
				}
			})
		})
	}
}

func TestUSR5_LossOfTheFile(t *testing.T) {
	const (
		keeping = "error: users file cannot be used; keeping the last good one"
		closed  = "error: users file unusable; sign-in is closed"
	)
	for _, test := range []struct {
		name string
		lose func(t *testing.T, path string)
		then string
		says string // in the fields
	}{
		{"missing", func(t *testing.T, path string) { must(t, os.Remove(path)) }, "closed", "no such file"},
		{"a folder instead", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		}, "closed", "not a regular file"},
		{"too large", func(t *testing.T, path string) { must(t, os.Truncate(path, atomicfile.MaxSize+1)) }, "closed", "over 16 MiB"},
		{"nothing usable", func(t *testing.T, path string) { write(t, path, "topsecret\nann:topsecret\n") }, "closed",
			"line 1: no colon; line 2: unrecognised hash"},
		{"emptied", func(t *testing.T, path string) { write(t, path, "") }, "0", "file is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := usersFile(t, two)
			logger, logs := capture()
			inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
				pass(3100 * time.Millisecond)
				said(logs)
				test.lose(t, path)
				pass(2 * time.Second)
				if users(f) != "2" {
					t.Fatalf("%s users soon after", users(f))
				}
				for _, entry := range logs.All() {
					fields := fmt.Sprint(entry.ContextMap())
					if !strings.Contains(fields, test.says) || !strings.Contains(fields, path) || strings.Contains(fields, "secret") {
						t.Errorf("%s says %s", entry.Message, fields)
					}
				}
				if got := said(logs); got != keeping {
					t.Errorf("log: %s", got)
				}
				pass(7900 * time.Millisecond) // 9.9 s since
				if users(f) != "2" || logs.Len() != 0 {
					t.Errorf("%s users before the settle time is over; log: %s", users(f), said(logs))
				}
				pass(1100 * time.Millisecond) // 11 s since
				if users(f) != test.then {
					t.Errorf("%s users after the settle time, want %s", users(f), test.then)
				}
				if got := said(logs); got != closed {
					t.Errorf("log: %s", got)
				}
				pass(time.Hour)
				if logs.Len() != 0 || users(f) != test.then {
					t.Errorf("%s users an hour later; log: %s", users(f), said(logs))
				}

				must(t, os.RemoveAll(path))
				write(t, path, three)
				pass(2 * time.Second)
				if users(f) != "3" {
					t.Errorf("%s users after the file is back", users(f))
				}
				if got := said(logs); got != "info: users reloaded; warn: weak password hashes" {
					t.Errorf("log: %s", got)
				}
			})
		})
	}
}

func TestUSR5_ShortLossIsSurvived(t *testing.T) {
	path := usersFile(t, two)
	logger, logs := capture()
	inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
		said(logs)
		must(t, os.Rename(path, path+".away"))
		pass(9 * time.Second)
		must(t, os.Rename(path+".away", path))
		pass(2 * time.Second)
		if users(f) != "2" {
			t.Errorf("%s users", users(f))
		}
		if got := said(logs); got != "error: users file cannot be used; keeping the last good one; info: users reloaded" {
			t.Errorf("log: %s", got)
		}
	})
}

func TestUSR5_FileWrittenPieceByPieceIsTakenWhole(t *testing.T) {
	path := usersFile(t, three)
	inBubble(t, path, Options{}, func(t *testing.T, f *File) {
		pass(time.Second)
		text := strings.Replace(three, "ann", "dan", 1) + "eve:" + hashSHA + "\n"
		for end := 1; end < len(text); end += 11 {
			write(t, path, text[:end])
			pass(300 * time.Millisecond)
			if users(f) != "3" {
				t.Fatalf("%s users with %d bytes written", users(f), end)
			}
		}
		write(t, path, text)
		pass(2 * time.Second)
		if users(f) != "4" {
			t.Errorf("%s users in the end", users(f))
		}
	})
}

func TestLogSaysWhatAnOperatorNeeds(t *testing.T) {
	path := usersFile(t, one+"eve:topsecret\n")
	logger, logs := capture()
	inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
		check := func(want ...string) {
			t.Helper()
			var got []string
			for _, entry := range logs.TakeAll() {
				fields := entry.ContextMap()
				if fields["file"] != path {
					t.Errorf("%s names the file %v", entry.Message, fields["file"])
				}
				delete(fields, "file")
				got = append(got, fmt.Sprintf("%s: %s %v", entry.Level, entry.Message, fields))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		check("warn: users file has lines that cannot be used map[first:line 2: unrecognised hash problems:1]",
			"warn: weak password hashes map[users:1]")
		write(t, path, one+"\n"+garbage)
		pass(2 * time.Second)
		check("info: users reloaded map[problems:1 users:1 weak:1]",
			"warn: users file has lines that cannot be used map[first:line 3: no colon problems:1]")
		write(t, path, two)
		pass(2 * time.Second)
		check("info: users reloaded map[problems:0 users:2 weak:2]", "warn: weak password hashes map[users:2]")
		write(t, path, "ann:"+hashBcrypt10)
		pass(2 * time.Second)
		check("info: users reloaded map[problems:0 users:1 weak:0]")
	})
	write(t, path, "")
	inBubble(t, path, Options{Logger: logger}, func(*testing.T, *File) {
		if got := said(logs); got != "warn: users file is empty; nobody can sign in" {
			t.Errorf("log: %s", got)
		}
	})
}

func TestOptionsAreFollowed(t *testing.T) {
	path := usersFile(t, one)
	start := time.Now()
	o := Options{Poll: 10 * time.Second, Agree: 30 * time.Second, Settle: time.Hour, Rand: bytes.NewReader(make([]byte, 32)),
		Now: func() time.Time { return start.Add(time.Since(start)) }}
	inBubble(t, path, o, func(t *testing.T, f *File) {
		write(t, path, two)
		pass(39 * time.Second) // seen at 10 s
		if users(f) != "1" {
			t.Error("reloaded too soon")
		}
		pass(2 * time.Second)
		if users(f) != "2" {
			t.Error("not reloaded")
		}
		must(t, os.Remove(path))
		pass(time.Hour)
		if users(f) != "2" {
			t.Error("closed too soon")
		}
		pass(20 * time.Second)
		if users(f) != "closed" {
			t.Error("not closed")
		}
	})
}

// eventually waits for the notification of a real change.
func eventually(t *testing.T, f *File, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); users(f) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s users after 30 s, want %s", users(f), want)
		}
	}
}

func TestUSR6_FolderIsWatched(t *testing.T) {
	path := usersFile(t, one)
	// Polling would take an hour.
	f, err := Open(path, Options{Poll: time.Hour, Agree: 20 * time.Millisecond})
	must(t, err)
	defer f.Close()
	for i, text := range []string{two, three, one, three} {
		if i%2 == 0 {
			write(t, path, text)
		} else {
			write(t, path+".tmp", text)
			must(t, os.Rename(path+".tmp", path))
		}
		eventually(t, f, fmt.Sprint(strings.Count(text, "\n")))
	}
}

func TestUSR6_PollingNeedsNoWatch(t *testing.T) {
	// The folder of the path is gone after opening, and with it the watch.
	folder := filepath.Join(t.TempDir(), "mounted")
	must(t, os.Mkdir(folder, 0o700))
	path := filepath.Join(folder, "users")
	write(t, path, one)
	f, err := Open(path, Options{Poll: 10 * time.Millisecond, Agree: 10 * time.Millisecond, Settle: time.Minute})
	must(t, err)
	defer f.Close()
	must(t, os.RemoveAll(folder))
	must(t, os.Mkdir(folder, 0o700))
	write(t, path, two)
	eventually(t, f, "2")
	write(t, path, three)
	eventually(t, f, "3")
}

func TestUSR6_PollingOutlivesTheWatcher(t *testing.T) {
	path := usersFile(t, one)
	f, err := load(path, Options{Poll: 10 * time.Millisecond, Agree: 10 * time.Millisecond})
	must(t, err)
	watcher, err := fsnotify.NewWatcher()
	must(t, err)
	f.follow(watcher)
	defer f.Close()
	must(t, watcher.Close())
	write(t, path, two)
	eventually(t, f, "2")
	write(t, path, three)
	eventually(t, f, "3")
}

func TestCloseEndsFollowing(t *testing.T) {
	path := usersFile(t, one)
	f, err := Open(path, Options{Poll: time.Millisecond, Agree: time.Millisecond, Settle: time.Millisecond})
	must(t, err)
	f.Close()
	f.Close()
	must(t, os.Remove(path))
	time.Sleep(50 * time.Millisecond)
	if users(f) != "1" {
		t.Errorf("%s users after Close", users(f))
	}
}

func TestTableIsReadWhileTheFileChanges(t *testing.T) {
	path := usersFile(t, one)
	f, err := Open(path, Options{Poll: time.Millisecond, Agree: time.Millisecond})
	must(t, err)
	defer f.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 50 {
			text := one
			if i%2 == 0 {
				text = two
			}
			if os.WriteFile(path+".tmp", []byte(text), 0o600) != nil || os.Rename(path+".tmp", path) != nil {
				return
			}
			time.Sleep(4 * time.Millisecond)
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		table, err := f.Table()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := table.Fingerprint("ann"); !ok || !signsIn(table, "ann", "password") {
			t.Fatal("ann was gone for a moment")
		}
		time.Sleep(100 * time.Microsecond)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = f.Table() }); n != 0 {
		t.Errorf("Table allocates %v times", n)
	}
}
