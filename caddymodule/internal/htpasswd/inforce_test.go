package htpasswd

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOwnEditsAreInForceWhenTheyReturn(t *testing.T) {
	path := rested(t, one)
	logger, logs := capture()
	inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
		e := f.Editor()
		said(logs)
		check := func(err error, want string) {
			t.Helper()
			must(t, err)
			if users(f) != want {
				t.Errorf("%s users, want %s", users(f), want)
			}
		}
		start := time.Now()
		check(e.Add("bob", hashBcrypt10, AddOptions{}), "2")
		check(e.Add("cat", hashBcrypt10, AddOptions{Locked: true}), "2")
		check(e.Approve("cat"), "3")
		check(e.PutHash("bob", hashAPR1), "3")
		if table, _ := f.Table(); !signsIn(table, "bob", "password") || table.Weak() != 2 {
			t.Error("bob has the old hash")
		}
		check(e.Remove("cat"), "2")
		check(e.Remove("bob"), "1")
		check(e.Remove("ann"), "0") // no accident: no settle time
		check(e.Add("ann", hashBcrypt10, AddOptions{}), "1")
		if took := time.Since(start); took > 0 {
			t.Errorf("waited %v", took)
		}
		if got := said(logs); strings.Count(got, "info: users reloaded") != 8 || strings.Contains(got, "error") {
			t.Errorf("log: %s", got)
		}
		// The polling finds nothing new in that.
		pass(time.Minute)
		if got := said(logs); got != "" || users(f) != "1" {
			t.Errorf("%s users a minute later; log: %s", users(f), got)
		}
	})
}

// USR-5 stays for everybody else, before and after an edit of ours.
func TestUSR5_EditsOfOthersStillNeedTwoReadings(t *testing.T) {
	path := rested(t, one)
	inBubble(t, path, Options{}, func(t *testing.T, f *File) {
		pass(time.Second)
		must(t, f.Editor().Add("bob", hashSHA, AddOptions{}))
		write(t, path, three)
		pass(400 * time.Millisecond)
		if users(f) != "2" {
			t.Errorf("%s users at once", users(f))
		}
		pass(1100 * time.Millisecond)
		if users(f) != "3" {
			t.Errorf("%s users after 1.5 s", users(f))
		}
		// A change of theirs that ours builds upon comes with it.
		write(t, path, one)
		long := time.Now().Add(-time.Hour)
		must(t, os.Chtimes(path, long, long))
		must(t, f.Editor().PutHash("eve", hashSHA))
		if users(f) != "2" {
			t.Errorf("%s users, want ann and eve", users(f))
		}
	})
}

func TestOwnEditEndsTrouble(t *testing.T) {
	path := rested(t, two)
	logger, logs := capture()
	inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
		write(t, path, garbage)
		pass(time.Minute)
		if users(f) != "closed" {
			t.Fatalf("%s users", users(f))
		}
		said(logs)
		must(t, f.Editor().PutHash("bob", hashBcrypt10))
		if users(f) != "1" {
			t.Errorf("%s users", users(f))
		}
		pass(time.Minute)
		if got := said(logs); users(f) != "1" || got != "info: users reloaded; warn: users file has lines that cannot be used" {
			t.Errorf("%s users; log: %s", users(f), got)
		}
	})
}

// Readings that are under way while we edit must not bring the old content back.
func TestOwnEditsAndReadingsDoNotCross(t *testing.T) {
	path := rested(t, "# "+strings.Repeat("x", 1<<18)+"\n"+one)
	f, err := Open(path, Options{Poll: time.Millisecond, Agree: time.Microsecond})
	must(t, err)
	defer f.Close()
	e := f.Editor()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			name := fmt.Sprint("user", worker)
			for range 12 {
				for _, hash := range []string{hashSHA, hashAPR1} {
					if err := e.PutHash(name, hash); err != nil {
						t.Error(err)
						return
					}
					want := fingerprint(t, name+":"+hash, name)
					for range 3 {
						table, err := f.Table()
						if fp, ok := table.Fingerprint(name); err != nil || !ok || fp != want {
							t.Errorf("%s: the edit is not in force: %v, %v", name, ok, err)
							return
						}
						time.Sleep(300 * time.Microsecond)
					}
				}
			}
		})
	}
	wg.Wait()
	if users(f) != "5" {
		t.Errorf("%s users", users(f))
	}
}

// A reload closes the file while requests that write to it are under way.
func TestOwnEditsAfterCloseAreInForceToo(t *testing.T) {
	path := rested(t, one)
	f, err := Open(path, Options{})
	must(t, err)
	e := f.Editor()
	f.Close()
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			name := fmt.Sprint("user", n)
			if err := e.Add(name, hashBcrypt10, AddOptions{}); err != nil {
				t.Error(err)
			}
			if table, err := f.Table(); err != nil || !table.Has(name, nil) {
				t.Errorf("%s is not in force, %v", name, err)
			}
		})
	}
	all.Wait()
	f.Close()
	if n := strings.Count(read(t, path), "\n"); n != 9 {
		t.Errorf("the file holds %d lines", n)
	}
}
