package htpasswd

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCRD5_FileIsReadAsServersReadIt(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		name     string
		text     string
		users    []string // that sign in with "password"
		problems []Problem
	}{
		{"empty file", "", nil, nil},
		{"one user", "bob:" + hashSHA + "\n", []string{"bob"}, nil},
		{"no final line end", "bob:" + hashSHA, []string{"bob"}, nil},
		{"CRLF", "ann:" + hashAPR1 + "\r\nbob:" + hashSHA + "\r\n", []string{"ann", "bob"}, nil},
		{"CRLF converted twice", "bob:" + hashSHA + "\r\r\n", []string{"bob"}, nil},
		{"byte order mark", "\ufeffbob:" + hashSHA, []string{"bob"}, nil},
		{"byte order mark later", "ann:" + hashSHA + "\n\ufeffbob:" + hashSHA, []string{"ann", "\ufeffbob"}, nil},
		{"byte order mark alone", "\ufeff", nil, nil},
		{"comments and blanks", "# bob:" + hashSHA + "\n\n \t\r\n  # x\n#\n", nil, nil},
		{"# inside a name", "b#b:" + hashSHA, []string{"b#b"}, nil},
		{"third field", "bob:" + hashSHA + ":Bob Smith:more\n", []string{"bob"}, nil},
		{"empty third field", "bob:" + hashSHA + ":\n", []string{"bob"}, nil},
		{"names keep their spaces", " bob :" + hashSHA + "\n", []string{" bob "}, nil},
		{"names keep their case", "Bob:" + hashSHA + "\nbob:" + hashAPR1, []string{"Bob", "bob"}, nil},
		{"UTF-8 name", "zoë:" + hashSHA, []string{"zoë"}, nil},
		{"name of 255 bytes", long[:255] + ":" + hashSHA, []string{long[:255]}, nil},

		{"first duplicate wins", "bob:" + hashSHA + "\nbob:" + strings.Replace(hashSHA, "W6", "X6", 1), []string{"bob"},
			[]Problem{{2, reasonDuplicate}}},
		{"unusable entry hides a later one", "bob:plain\nbob:" + hashSHA, nil,
			[]Problem{{1, reasonUnrecognised}, {2, reasonDuplicate}}},
		{"name without colon hides a later one", "bob\nbob:" + hashSHA, nil,
			[]Problem{{1, reasonNoColon}, {2, reasonDuplicate}}},
		{"disabled by an empty hash", "bob:\n", nil, []Problem{{1, reasonUnrecognised}}},
		{"one bad line spoils no other", "x\n:" + hashSHA + "\nbob:" + hashSHA + "\ny:z\nann:" + hashSHA, []string{"ann", "bob"},
			[]Problem{{1, reasonNoColon}, {2, reasonNameEmpty}, {4, reasonUnrecognised}}},
		{"lines are counted from 1, all of them", "# a\r\n\r\nbob\r\n", nil, []Problem{{3, reasonNoColon}}},
		{"name of 256 bytes", long + ":" + hashSHA, nil, []Problem{{1, reasonNameLong}}},
		{"name with a control character", "b\tb:" + hashSHA, nil, []Problem{{1, reasonNameControl}}},
		{"name with NUL", "b\x00:" + hashSHA, nil, []Problem{{1, reasonNameControl}}},
		{"name with a C1 control", "b\u0085:" + hashSHA, nil, []Problem{{1, reasonNameControl}}},
		{"name in Latin-1", "zo\xeb:" + hashSHA, nil, []Problem{{1, reasonNameUTF8}}},
		{"old Mac line ends", "ann:" + hashSHA + "\rbob:" + hashSHA + "\r", nil, []Problem{{1, reasonUnrecognised}}},
		{"UTF-16", "\xff\xfeb\x00o\x00b\x00:\x00", nil, []Problem{{1, reasonNameUTF8}}},
		{"line of 8 KiB", "bob:" + hashSHA + ":" + strings.Repeat("x", maxLine-5-len(hashSHA)), []string{"bob"}, nil},
		{"line over 8 KiB hides a later one", "bob:" + hashSHA + ":" + strings.Repeat("x", maxLine-4-len(hashSHA)) +
			"\nbob:" + hashSHA, nil, []Problem{{1, reasonLineLong}, {2, reasonDuplicate}}},
		{"line over 8 KiB spoils no other", "# " + strings.Repeat("x", maxLine) + "\nbob:" + hashSHA, []string{"bob"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, problems := parseText(test.text)
			if !slices.Equal(problems, test.problems) {
				t.Errorf("problems %v, want %v", problems, test.problems)
			}
			if table.Len() != len(test.users) {
				t.Errorf("%d users, want %d", table.Len(), len(test.users))
			}
			for _, name := range test.users {
				if !signsIn(table, name, "password") {
					t.Errorf("%q cannot sign in", name)
				}
			}
			for _, name := range []string{"bob", "ann", "Bob", "bob ", " bob", "", "# bob", "#", "\ufeff", "zo\xeb", "b\tb"} {
				if !slices.Contains(test.users, name) && signsIn(table, name, "password") {
					t.Errorf("%q signs in", name)
				}
			}
		})
	}
}

func TestCRD5_FirstDuplicateWinsAlsoWhereItIsWrong(t *testing.T) {
	table, _ := parseText("bob:" + strings.Replace(hashSHA, "W6", "X6", 1) + "\nbob:" + hashSHA)
	if table.Len() != 1 || signsIn(table, "bob", "password") {
		t.Error("the second line counts")
	}
}

func TestParseSharesNothingWithItsInput(t *testing.T) {
	data := []byte("bob:" + hashSHA)
	table, _ := Parse(data)
	for i := range data {
		data[i] = 'x'
	}
	if !signsIn(table, "bob", "password") {
		t.Error("table changed with the bytes it was made of")
	}
}

func TestCRD6_KindsAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range maxKinds + 1 {
		hash := strings.Replace(hashSHA256R1000, "1000", fmt.Sprint(1000+i), 1)
		fmt.Fprintf(&b, "user%d:%s\n", i, hash)
	}
	fmt.Fprintf(&b, "user%d:%s\n", maxKinds, hashSHA256R1000)
	fmt.Fprintf(&b, "again:%s\n", hashSHA256R1000)
	table, problems := parseText(b.String())
	want := []Problem{{maxKinds + 1, reasonKinds}, {maxKinds + 2, reasonDuplicate}}
	if !slices.Equal(problems, want) {
		t.Errorf("problems %v, want %v", problems, want)
	}
	if table.Len() != maxKinds+1 || len(table.work) != maxKinds {
		t.Errorf("%d users of %d kinds", table.Len(), len(table.work))
	}
	if !signsIn(table, "user0", "password") || !signsIn(table, "again", "password") {
		t.Error("user of a counted kind cannot sign in")
	}
}

func TestCRD12_WeakHashesAreCounted(t *testing.T) {
	bcrypt := func(cost string) string { return "$2y$" + cost + hashBcrypt4[6:] }
	argon := func(parameters string) string { return strings.Replace(hashArgon2, "m=256,t=2,p=1", parameters, 1) }
	for _, test := range []struct {
		hash string
		weak int
	}{
		{bcrypt("04"), 1}, {bcrypt("09"), 1}, {bcrypt("10"), 0}, {bcrypt("14"), 0},
		{argon("m=256,t=2,p=1"), 1}, {argon("m=7168,t=5,p=1"), 0}, {argon("m=7168,t=4,p=1"), 1},
		{argon("m=7167,t=16,p=1"), 1}, {argon("m=19456,t=2,p=1"), 0}, {argon("m=47104,t=1,p=1"), 0}, {hashArgon2Good, 0},
		{hashSHA256, 1}, {hashSHA512, 1}, {strings.Replace(hashSHA512R1000, "1000", "1000000", 1), 1},
		{hashAPR1, 1}, {hashSSHA, 1}, {hashSHA, 1},
		{"plain", 0},
	} {
		table, _ := parseText("bob:" + test.hash)
		if table.Weak() != test.weak {
			t.Errorf("%s: %d weak, want %d", test.hash, table.Weak(), test.weak)
		}
	}
	table, _ := parseText("a:" + hashSHA + "\nb:" + hashAPR1 + "\nc:" + hashBcrypt10 + "\nd:plain\na:" + hashSHA)
	if table.Weak() != 2 || table.Len() != 3 {
		t.Errorf("%d of %d weak, want 2 of 3", table.Weak(), table.Len())
	}
}

func TestSES5_FingerprintFollowsNameAndHash(t *testing.T) {
	first, _ := parseText("ann:" + hashSHA + "\nbob:" + hashSHA + "\nshut:plain")
	again, _ := parse([]byte("# moved\nbob:"+hashSHA+":third\r\n\r\nann:"+hashAPR1), [32]byte{9})
	of := func(table *Table, name string) [16]byte {
		fp, ok := table.Fingerprint(name)
		if !ok {
			t.Fatalf("no fingerprint for %s", name)
		}
		return fp
	}
	if of(first, "bob") != of(again, "bob") {
		t.Error("fingerprint changed although name and hash did not")
	}
	if of(first, "ann") == of(again, "ann") {
		t.Error("fingerprint did not change with the hash")
	}
	if of(first, "ann") == of(first, "bob") {
		t.Error("two users of one hash share a fingerprint")
	}
	if fp, ok := first.Verify("bob", "password"); !ok || fp != of(first, "bob") {
		t.Error("Verify and Fingerprint differ")
	}
	for _, name := range []string{"shut", "nobody", ""} {
		if fp, ok := first.Fingerprint(name); ok || fp != ([16]byte{}) {
			t.Errorf("fingerprint for %q", name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { first.Fingerprint("bob") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// SHA-256 of 0,0,0,3 "bob" 0,0,0,33 hash, computed elsewhere: stored sessions hold it, so it must never change.
	if got := fmt.Sprintf("%x", of(first, "bob")); got != "449947f45ef740fe0782fc16a16b6a57" {
		t.Errorf("fingerprint of bob is %s", got)
	}
}

func TestSES5_FingerprintFieldsCannotRunIntoEachOther(t *testing.T) {
	r := reader{}
	if r.fingerprint("a", "bc") == r.fingerprint("ab", "c") {
		t.Error("the boundary of name and hash does not count")
	}
}

func TestLOG1_NothingPrintsAHash(t *testing.T) {
	table, problems := parseText("bob:" + hashBcrypt4 + "\nann:topsecret\nsecretline\n\x01secret:x\n")
	held := struct {
		T *Table
		V Table
	}{table, *table}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
		for _, value := range []any{table, *table, &held, held, problems} {
			got := fmt.Sprintf(verb, value)
			for _, secret := range []string{"Ad456", "bob", "ann", "secret", fmt.Sprintf("%x", "Ad456")} {
				if strings.Contains(got, secret) {
					t.Errorf("%s of %T shows %q", verb, value, secret)
				}
			}
		}
	}
	if got := fmt.Sprint(table); got != "users table with 1 users" {
		t.Errorf("prints as %q", got)
	}
	if reflect.TypeFor[Problem]().NumField() != 2 {
		t.Error("Problem has grown: does it still hold nothing of the line?")
	}
}

func TestProblemsAreListedShortly(t *testing.T) {
	for _, test := range []struct {
		lines int
		want  string
	}{
		{0, ""},
		{1, "line 1: no colon"},
		{5, "line 1: no colon; line 2: no colon; line 3: no colon; line 4: no colon; line 5: no colon"},
		{7, "line 1: no colon; line 2: no colon; line 3: no colon; line 4: no colon; line 5: no colon; and 2 more"},
	} {
		var text strings.Builder
		for i := range test.lines {
			fmt.Fprintf(&text, "user%d\n", i)
		}
		if _, problems := parseText(text.String()); list(problems) != test.want {
			t.Errorf("%d: %q", test.lines, list(problems))
		}
	}
}
