package htpasswd

import (
	"errors"
	"strings"
	"testing"
)

func TestCRD12_NewHashesAreReadByApacheAndUs(t *testing.T) {
	for _, password := range []string{" a:b$c\td ☃ ", strings.Repeat("x", 72), "\xff\xfe no UTF-8"} {
		hash, err := HashPassword(password)
		if err != nil {
			t.Fatalf("%q: %v", password, err)
		}
		line := "bob:" + hash
		table, problems := parseText(line)
		if !strings.HasPrefix(hash, "$2y$10$") || len(hash) != 60 || len(problems) > 0 || table.Weak() != 0 {
			t.Errorf("%q: %s gives %v, %d weak", password, hash, problems, table.Weak())
		}
		if !signsIn(table, "bob", password) || !apacheSaysYes(t, line, "bob", password) {
			t.Errorf("%q is refused", password)
		}
		if other := password[1:] + "y"; apacheSaysYes(t, line, "bob", other) {
			t.Errorf("%q signs in for %q", other, password)
		}
	}
	one, _ := HashPassword("password")
	two, _ := HashPassword("password")
	if one == two {
		t.Error("no salt")
	}
}

func TestCRD1_PasswordsThatBcryptWouldCutAreRefused(t *testing.T) {
	for password, want := range map[string]string{"": "empty", "\x00": "NUL", "secret\x00secret": "NUL",
		strings.Repeat("x", 73): "over 72 bytes", strings.Repeat("ä", 37): "over 72 bytes"} {
		hash, err := HashPassword(password)
		if hash != "" || !errors.Is(err, ErrPassword) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", password, hash, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("LOG-1: %v shows the password", err)
		}
	}
}

func TestUSR1_NamesOfNewUsers(t *testing.T) {
	for _, name := range []string{"bob", "b", "Bob Smith", "zoë", "b#b", "bob@example.com", "DOM\\bob", "李", "-bob", "a..b",
		strings.Repeat("x", 64), strings.Repeat("ä", 32), "!bob", "$bob"} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		// What may be written is read back as it is.
		if table, problems := parseText(name + ":" + hashSHA); len(problems) > 0 || !table.signsIn(name) {
			t.Errorf("%q: %v", name, problems)
		}
	}
	for _, name := range []string{"", "a:b", ":", "bob\n", "bob\nann", "bob\r", "a\rb", "a\tb", "\tb", "a\x00b", "a\x7fb", "a\u0085b",
		"a\u2028b", "a\u2029b", "#bob", "# bob", " bob", "bob ", " #bob", "\u00a0bob", "bob\u3000", "bo\xffb", "\xed\xa0\x80",
		"\ufeffbob", "b\u200bob", "b\u202eob", "b\u00adob", strings.Repeat("x", 65), strings.Repeat("ä", 33), "\U000e0001bob"} {
		if err := ValidName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		e := NewEditor(rested(t, one))
		if err := e.Add(name, hashSHA, AddOptions{}); !errors.Is(err, ErrName) {
			t.Errorf("add %q: %v", name, err)
		}
		if err := e.PutHash(name, hashSHA); !errors.Is(err, ErrName) {
			t.Errorf("put %q: %v", name, err)
		}
		if got := read(t, e.path); got != one {
			t.Errorf("%q: file holds %q", name, got)
		}
	}
}

func TestUSR1_HashesThatWouldNotBeReadAreNotWritten(t *testing.T) {
	path := usersFile(t, one)
	e := NewEditor(path)
	fp := fingerprint(t, one, "ann")
	for _, hash := range []string{"", "x", "!" + hashSHA, hashSHA + "\nbob:" + hashSHA, hashSHA + ":", hashSHA + "\r", hashSHA + " ",
		"$apr1$a:b$" + strings.Repeat("x", 22), "$2y$31$" + hashBcrypt4[7:], hashBcrypt4 + "x"} {
		for what, err := range map[string]error{"add": e.Add("bob", hash, AddOptions{}), "set": e.SetHash("ann", fp, hash),
			"put": e.PutHash("ann", hash)} {
			if !errors.Is(err, errHash) {
				t.Errorf("%s %q: %v", what, hash, err)
			}
		}
	}
	if got := read(t, path); got != one {
		t.Errorf("file holds %q", got)
	}
}
