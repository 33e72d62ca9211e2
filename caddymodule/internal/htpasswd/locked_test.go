package htpasswd

import (
	"strings"
	"testing"
	"time"
)

func TestLockedEntryExistsAndCannotSignIn(t *testing.T) {
	for _, test := range []struct {
		text     string
		locked   bool
		problems int
	}{
		{"bob:!" + hashBcrypt4, true, 0},
		{"bob:!!" + hashSHA + "\r\n", true, 0},
		{"bob:!", true, 0},
		{"bob:!*:Bob Smith", true, 0},
		{"bob:!password", true, 0},
		{"bob:!" + hashSHA + "\nbob:" + hashSHA, true, 1},
		{"bob:" + hashSHA + "\nbob:!" + hashSHA, false, 1},
		{"bob:*" + hashSHA, false, 1},
		{"bob: !" + hashSHA, false, 1},
		{"bob", false, 1},
		{"bob:!" + strings.Repeat("x", maxLine), false, 1},
		{"#bob:!" + hashSHA, false, 0},
		{"ann:!" + hashSHA, false, 0},
	} {
		table, problems := parseText(test.text)
		if table.Locked("bob") != test.locked || len(problems) != test.problems {
			t.Errorf("%q: locked %v with %d problems", test.text, table.Locked("bob"), len(problems))
		}
		if !test.locked {
			continue
		}
		if _, ok := table.Fingerprint("bob"); ok || table.LockedLen() != 1 || table.Len() != 0 || table.Weak() != 0 {
			t.Errorf("%q: %d locked, %d users", test.text, table.LockedLen(), table.Len())
		}
		for _, password := range []string{"password", "", "!", "!password", "!" + hashSHA, "!" + hashBcrypt4} {
			if signsIn(table, "bob", password) || apacheSaysYes(t, test.text, "bob", password) && test.problems == 0 {
				t.Errorf("%q: signs in with %q", test.text, password)
			}
		}
	}
}

// CRD-6: a locked user costs what every other does.
func TestCRD6_LockedUserTakesTheSameWork(t *testing.T) {
	table, _ := parseText("ann:" + hashBcrypt4 + "\nbob:!" + hashSHA + "\ncat:" + hashSHA + "\n")
	work := func(name string) (kinds []kind) {
		table.observe = func(k kind, _ int) { kinds = append(kinds, k) }
		signsIn(table, name, "password")
		return kinds
	}
	known, locked := work("ann"), work("bob")
	if len(known) != 2 || len(locked) != 2 || known[0] != locked[0] || known[1] != locked[1] {
		t.Errorf("known %v, locked %v", known, locked)
	}
}

// Locking the last user by hand is no accident that the settle time is for.
func TestLockingEverybodyIsInForceWithin2Seconds(t *testing.T) {
	path := usersFile(t, one)
	logger, logs := capture()
	inBubble(t, path, Options{Logger: logger}, func(t *testing.T, f *File) {
		said(logs)
		write(t, path, "ann:!"+hashSHA+"\ngarbage\n")
		pass(2 * time.Second)
		if users(f) != "0" {
			t.Errorf("%s users", users(f))
		}
		if got := said(logs); got != "info: users reloaded; warn: users file has lines that cannot be used" {
			t.Errorf("log: %s", got)
		}
	})
	inBubble(t, path, Options{Logger: logger}, func(*testing.T, *File) {
		if got := said(logs); got != "warn: all users are locked; nobody can sign in; warn: users file has lines that cannot be used" {
			t.Errorf("log: %s", got)
		}
	})
}
