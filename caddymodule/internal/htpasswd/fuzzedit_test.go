package htpasswd

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// The edits that FuzzEdit makes.
const (
	fuzzAdd = iota
	fuzzAddLocked
	fuzzSet
	fuzzPut
	fuzzRemove
	fuzzApprove
	fuzzEdits
)

// fuzzEdit makes an edit of a text as an Editor does with that of a file.
func fuzzEdit(t *testing.T, data []byte, what int, name, hash string) (text []byte, err error) {
	t.Helper()
	text = slices.Clone(data)
	e := &Editor{rewrite: func(change func([]byte) ([]byte, error)) error {
		changed, err := change(data)
		if err == nil {
			text = changed
		}
		return err
	}}
	switch what {
	case fuzzAdd, fuzzAddLocked:
		err = e.Add(name, hash, AddOptions{Locked: what == fuzzAddLocked})
	case fuzzSet:
		err = e.SetHash(name, fingerprint(t, string(data), name), hash)
	case fuzzPut:
		err = e.PutHash(name, hash)
	case fuzzRemove:
		err = e.Remove(name)
	case fuzzApprove:
		err = e.Approve(name)
	}
	return text, err
}

// others are the lines of a text that are not of that name, with their ends.
func others(data []byte, name string) (lines []string) {
	text := strings.TrimPrefix(string(data), byteOrderMark)
	for line := range strings.SplitAfterSeq(text, "\n") {
		inner := strings.TrimRight(strings.TrimSuffix(line, "\n"), "\r")
		comment := strings.HasPrefix(strings.TrimLeft(inner, " \t"), "#")
		if blank := strings.Trim(inner, " \t") == ""; blank || comment || inner != name && !strings.HasPrefix(inner, name+":") {
			lines = append(lines, line)
		}
	}
	if n := len(lines); n > 0 && lines[n-1] == "" {
		lines = lines[:n-1] // what Split sees after the last end
	}
	return lines
}

func FuzzEdit(f *testing.F) {
	for what := range fuzzEdits {
		for _, text := range []string{"", mixedFile, strings.ReplaceAll(mixedFile, "\n", "\r\n"), byteOrderMark + two, three + "#",
			"bob:!" + hashSHA, "bob:" + hashSHA + "\n" + byteOrderMark + "ann:x\nbob:", "#bob:x\n #bob\nbob:x:y\n  "} {
			f.Add([]byte(text), uint8(what), "bob", uint8(0))
			f.Add([]byte(text), uint8(what), "ann", uint8(3))
		}
	}
	hashes := []string{hashSHA, hashAPR1, hashBcrypt4, hashSSHA, hashArgon2, hashSHA256R1000}
	f.Fuzz(func(t *testing.T, data []byte, which uint8, name string, pick uint8) {
		what, hash := int(which)%fuzzEdits, hashes[int(pick)%len(hashes)]
		before, _ := Parse(data)
		_, known := before.entries[name]
		text, err := fuzzEdit(t, data, what, name, hash)
		if err != nil {
			if string(text) != string(data) {
				t.Fatalf("%v, and yet the file was changed", err)
			}
			checkRefusal(t, before, known, what, name, err)
			return
		}
		after, _ := Parse(text)
		checkEdited(t, before, after, what, name, hash)
		checkLines(t, data, text, name, known)

		again, err := fuzzEdit(t, text, what, name, hash)
		want := map[int]error{fuzzAdd: ErrExists, fuzzAddLocked: ErrExists, fuzzRemove: ErrUnknown, fuzzApprove: ErrNotLocked}[what]
		if !errors.Is(err, want) || (err == nil) != (want == nil) || string(again) != string(text) {
			t.Fatalf("a second time: %v, want %v, file\n%q\nwant\n%q", err, want, again, text)
		}
	})
}

// checkRefusal checks that an edit was refused for a reason that holds.
func checkRefusal(t *testing.T, before *Table, known bool, what int, name string, err error) {
	t.Helper()
	invalid := ValidName(name) != nil
	switch {
	case errors.Is(err, ErrName) && invalid && (what <= fuzzAddLocked || what == fuzzPut && !known):
	case errors.Is(err, ErrExists) && what <= fuzzAddLocked && known:
	case errors.Is(err, ErrUnknown) && what >= fuzzSet && what != fuzzPut && !known:
	case errors.Is(err, ErrChanged) && what == fuzzSet && known && !before.signsIn(name):
	case errors.Is(err, ErrNotLocked) && what == fuzzApprove && known && !before.Locked(name):
	case errors.Is(err, ErrNoEffect) && (what == fuzzApprove || what == fuzzPut || len(before.work) == maxKinds):
	case errors.Is(err, ErrOthers) && len(before.work) == maxKinds:
	default:
		t.Fatalf("edit %d of %q, known %v: %v", what, name, known, err)
	}
}

// checkEdited checks that what was meant changed, and nothing else.
func checkEdited(t *testing.T, before, after *Table, what int, name, hash string) {
	t.Helper()
	own, known := after.entries[name]
	switch what {
	case fuzzAdd, fuzzSet, fuzzPut:
		if own.hash != hash || !after.signsIn(name) {
			t.Fatalf("%q has the hash %q", name, own.hash)
		}
	case fuzzAddLocked:
		if !own.locked {
			t.Fatalf("%q is not locked", name)
		}
	case fuzzRemove:
		if known {
			t.Fatalf("%q is still there", name)
		}
	case fuzzApprove:
		if !after.signsIn(name) {
			t.Fatalf("%q is not approved", name)
		}
	}
	for _, tables := range [][2]*Table{{before, after}, {after, before}} {
		for other, entry := range tables[0].entries {
			now, there := tables[1].entries[other]
			if other != name && (!there || now.hash != entry.hash || now.fingerprint != entry.fingerprint || now.locked != entry.locked) &&
				len(before.work) < maxKinds {
				t.Fatalf("%q changed from %+v to %+v", other, entry, now)
			}
		}
	}
}

// checkLines checks that the lines of all others are what they were.
func checkLines(t *testing.T, data, text []byte, name string, known bool) {
	t.Helper()
	if strings.HasPrefix(string(data), byteOrderMark) != strings.HasPrefix(string(text), byteOrderMark) {
		t.Fatal("the byte order mark came or went")
	}
	if !known {
		rest, ok := strings.CutPrefix(string(text), string(data))
		if ok && strings.TrimLeft(rest, "\r\n") != rest && strings.HasSuffix(string(data), "\n") {
			t.Fatalf("a blank line was added: %q", rest)
		}
		if !ok || strings.Count(strings.TrimLeft(rest, "\r\n"), "\n") != 1 || !strings.HasSuffix(rest, "\n") {
			t.Fatalf("not one line was appended: %q", rest)
		}
		return
	}
	was, is := others(data, name), others(text, name)
	if len(is) == len(was)+1 && strings.Trim(is[0], "\r\n") == "" && strings.HasPrefix(was[0], byteOrderMark) {
		is = is[1:] // a blank line keeps the mark inside
	}
	if !slices.Equal(was, is) {
		t.Fatalf("lines of others were\n%q\nand are\n%q", was, is)
	}
}
