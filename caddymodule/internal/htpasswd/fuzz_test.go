package htpasswd

import (
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

var reasons = []string{reasonNameEmpty, reasonNameLong, reasonNameUTF8, reasonNameControl, reasonDuplicate, reasonNoColon,
	reasonLineLong, reasonKinds, reasonUnrecognised, reasonMalformed, reasonCost}

// cheap reports whether a verdict takes a few milliseconds at most.
func cheap(t *Table) bool {
	return !slices.ContainsFunc(t.work, func(w workload) bool {
		switch w.kind.scheme {
		case schemeBcrypt:
			return w.kind.cost > 4
		case schemeArgon2id:
			return w.kind.memory*w.kind.cost > 1024
		}
		return w.kind.cost > 5000
	}) && len(t.work) <= 4
}

// FuzzParse reads whole files.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "\n", "\ufeff", mixedFile, strings.ReplaceAll(mixedFile, "\n", "\r\n"), one, two, three,
		garbage, "bob\nbob:" + hashSHA, "bob:" + hashSHA + "\nbob:x", "bob:!" + hashSHA + "\nbob:x\nann:!", "# c\n\n \n:\n\x00:\n\xff:\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, problems := Parse(data)
		lines := strings.Split(strings.TrimPrefix(string(data), byteOrderMark), "\n")
		if table.Len()+table.LockedLen()+len(problems) > len(lines) || table.Weak() > table.Len() {
			t.Fatalf("%d lines give %d users, %d weak, %d problems", len(lines), table.Len(), table.Weak(), len(problems))
		}
		last := 0
		for _, p := range problems {
			if p.Line <= last || p.Line > len(lines) || !slices.Contains(reasons, p.Reason) {
				t.Fatalf("problem %+v after line %d of %d", p, last, len(lines))
			}
			last = p.Line
		}
		if len(table.work) == 0 || len(table.work) > maxKinds {
			t.Fatalf("%d kinds", len(table.work))
		}
		// Whoever can sign in has a line, and the first line of that name decides.
		for name := range table.entries {
			_, usable := table.Fingerprint(name)
			first := slices.IndexFunc(lines, func(line string) bool {
				line = strings.TrimRight(line, "\r")
				before, _, _ := strings.Cut(line, ":")
				start := strings.TrimLeft(line, " \t")
				return before == name && start != "" && start[0] != '#' // those are no entries
			})
			if first < 0 || !utf8.ValidString(name) {
				t.Fatalf("no line for %q", name)
			}
			reported := slices.ContainsFunc(problems, func(p Problem) bool { return p.Line == first+1 })
			if locked := table.Locked(name); usable && locked || (usable || locked) == reported {
				t.Fatalf("%q on line %d: usable %v, locked %v, reported %v", name, first+1, usable, locked, reported)
			}
		}
		// What comes after changes nothing.
		more, again := Parse(append(slices.Clip(data), "\nann:x\n#\n"...))
		if more.Len() != table.Len() && !strings.HasSuffix(string(data), "\r") || len(again) < len(problems) && len(lines) > 1 {
			t.Fatalf("a bad line at the end makes %d users of %d", more.Len(), table.Len())
		}
	})
}

// FuzzLine reads one line and tries to sign in with it.
func FuzzLine(f *testing.F) {
	for _, hash := range understood {
		f.Add("bob", hash)
	}
	for _, hash := range []string{"", "x", "$", "$5$rounds=", "$5$rounds=1000$$", "$6$rounds=01000$a$b", "$2y$04$", "$apr1$$",
		"{SHA}", "{SSHA}====", "$argon2id$v=19$m=8,t=1,p=1$$", "a:b"} {
		f.Add("bob", hash)
	}
	f.Fuzz(func(t *testing.T, name, hash string) {
		if strings.Contains(name+hash, "\n") {
			return // more than one line: see FuzzParse
		}
		table, problems := Parse([]byte(name + ":" + hash))
		if table.Len() == 0 {
			return
		}
		if table.Len() != 1 || len(problems) != 0 || strings.ContainsAny(name, ":\n\r\x00") {
			t.Fatalf("%d users with problems %v", table.Len(), problems)
		}
		name = strings.TrimPrefix(name, byteOrderMark)
		fp, ok := table.Fingerprint(name)
		if !ok {
			t.Fatal("the user is not the one of the line")
		}
		for _, tail := range []string{"\r\n", ":third", "\n" + name + ":x"} {
			other, _ := Parse([]byte(name + ":" + hash + tail))
			if got, ok := other.Fingerprint(name); !ok || got != fp {
				t.Fatalf("%q after the line changes it", tail)
			}
		}
		if !cheap(table) {
			return
		}
		for _, password := range []string{hash, name + ":" + hash, "", "\x00"} {
			if _, ok := table.Verify(name, password); ok && password != "" {
				t.Fatalf("signs in with %q", password)
			}
		}
	})
}

// FuzzVerify makes hashes of a password and compares them with another one.
func FuzzVerify(f *testing.F) {
	for _, password := range []string{"", "password", " x ", "nul\x00nul", "\x00", strings.Repeat("x", 72), strings.Repeat("x", 73),
		strings.Repeat("x", 512), strings.Repeat("x", 513), "pässwörd", "\xff"} {
		f.Add(password, password+"x", "saltsalt")
		f.Add(password, "password", "salt salt")
	}
	f.Fuzz(func(t *testing.T, password, other, salt string) {
		salt = (salt + "saltsalt")[:8]
		check := func(name, hash string) {
			table, problems := Parse([]byte(name + ":" + hash))
			if len(problems) > 0 || !cheap(table) {
				t.Fatalf("%s: %v", hash, problems)
			}
			if got := signsIn(table, name, password); got != (len(password) <= 512 && !strings.Contains(password, "\x00")) {
				t.Fatalf("%s: right password gives %v", name, got)
			}
			if other != password && signsIn(table, name, other) {
				t.Fatalf("%s: signs in with %q for %q", name, other, password)
			}
		}
		check("sha", "{SHA}"+sha(password, ""))
		check("ssha", "{SSHA}"+sha(password, salt))
		check("argon2id", "$argon2id$v=19$m=8,t=1,p=1$"+base64.RawStdEncoding.EncodeToString([]byte(salt))+"$"+
			base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(password), []byte(salt), 1, 8, 1, 32)))
		// Bcrypt takes a key and the same key after a NUL for one, the empty one and a lone NUL included (fact 9).
		if hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost); err == nil && !strings.Contains(password, "\x00") {
			check("bcrypt", string(hash))
		}
	})
}

func sha(password, salt string) string {
	sum := sha1.Sum([]byte(password + salt))
	return base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}
