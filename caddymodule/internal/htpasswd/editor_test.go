package htpasswd

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// fingerprint is that of a user in a text, or zero.
func fingerprint(t *testing.T, text, name string) [16]byte {
	t.Helper()
	table, _ := parseText(text)
	fp, _ := table.Fingerprint(name)
	return fp
}

// rested makes a users file that nobody has touched for long.
func rested(t *testing.T, text string) string {
	t.Helper()
	path := usersFile(t, text)
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path, long, long))
	return path
}

// The operations of the tables below, on bob.
func add(e *Editor, _ [16]byte) error {
	return e.Add("bob", hashAPR1, AddOptions{Fold: strings.ToLower})
}
func addLocked(e *Editor, _ [16]byte) error {
	return e.Add("bob", hashAPR1, AddOptions{Locked: true, Fold: strings.ToLower})
}
func addThird(e *Editor, _ [16]byte) error { return e.Add("bob", hashAPR1, AddOptions{MaxUsers: 3}) }
func set(e *Editor, old [16]byte) error    { return e.SetHash("bob", old, hashAPR1) }
func put(e *Editor, _ [16]byte) error      { return e.PutHash("bob", hashAPR1) }
func remove(e *Editor, _ [16]byte) error   { return e.Remove("bob") }
func approve(e *Editor, _ [16]byte) error  { return e.Approve("bob") }

func TestUSR4_EditsLeaveEverythingElseAsItIs(t *testing.T) {
	const (
		sha, apr = hashSHA, hashAPR1
		bob      = "bob:" + hashSHA
		ann      = "ann:" + hashSHA
		edited   = "bob:" + hashAPR1
	)
	type op = func(*Editor, [16]byte) error
	for _, test := range []struct {
		name string
		do   op
		text string
		want string // "" for the old text
		err  error
	}{
		{"add to an empty file", add, "", edited + "\n", nil},
		{"add to a mark alone", add, "\ufeff", "\ufeff" + edited + "\n", nil},
		{"add to comments", add, "# x\n\n#y\n", "# x\n\n#y\n" + edited + "\n", nil},
		{"add to a user", add, ann + "\n", ann + "\n" + edited + "\n", nil},
		{"add with a mark", add, "\ufeff" + ann + "\n", "\ufeff" + ann + "\n" + edited + "\n", nil},
		{"add without final line end", add, ann, ann + "\n" + edited + "\n", nil},
		{"add to a comment without line end", add, "# bob", "# bob\n" + edited + "\n", nil},
		{"add to white space without line end", add, ann + "\n  ", ann + "\n  \n" + edited + "\n", nil},
		{"add with CRLF", add, ann + "\r\n", ann + "\r\n" + edited + "\r\n", nil},
		{"add with CRLF without final line end", add, "#\r\n" + ann, "#\r\n" + ann + "\r\n" + edited + "\r\n", nil},
		{"add with both line ends", add, "#\r\n" + ann + "\n", "#\r\n" + ann + "\n" + edited + "\n", nil},
		{"add with both line ends, CRLF last", add, "#\n" + ann + "\r\n", "#\n" + ann + "\r\n" + edited + "\r\n", nil},
		{"add after blank lines", add, ann + "\n\n\n", ann + "\n\n\n" + edited + "\n", nil},
		{"add after garbage", add, "garbage\n\xff\x00:\n", "garbage\n\xff\x00:\n" + edited + "\n", nil},
		{"add beside a comment of the name", add, "#bob:" + sha + "\n", "#bob:" + sha + "\n" + edited + "\n", nil},
		{"add beside names that go on", add, "bobby:x\nbob :x\n bob:x\n", "bobby:x\nbob :x\n bob:x\n" + edited + "\n", nil},
		{"add locked", addLocked, ann + "\n", ann + "\nbob:!" + apr + "\n", nil},
		{"add who is there", add, bob + "\n", "", ErrExists},
		{"add a look-alike", add, "BOB:" + sha + "\n", "", ErrExists},
		{"add who is locked", add, "bob:!" + sha + "\n", "", ErrExists},
		{"add who has no hash", add, "bob\n", "", ErrExists},
		{"add who has a bad hash", add, "bob:x\n", "", ErrExists},
		{"add to two of three", addThird, "a:" + sha + "\nb:!\n", "a:" + sha + "\nb:!\n" + edited + "\n", nil},
		{"add to three of three", addThird, "a:" + sha + "\nb:!\nc:x\n", "", ErrFull},
		{"add to three of three who is there", addThird, "a:" + sha + "\nbob:!\nc:x\n", "", ErrExists},
		{"duplicates count once", addThird, "a:x\na:x\nb:x\n", "a:x\na:x\nb:x\n" + edited + "\n", nil},

		{"set", set, ann + "\n" + bob + "\n#\n", ann + "\n" + edited + "\n#\n", nil},
		{"set without final line end", set, ann + "\n" + bob, ann + "\n" + edited, nil},
		{"set with CRLF", set, bob + "\r\n" + ann + "\r\n", edited + "\r\n" + ann + "\r\n", nil},
		{"set with CRLF converted twice", set, bob + "\r\r\n", edited + "\r\r\n", nil},
		{"set after a mark", set, "\ufeff" + bob + "\n", "\ufeff" + edited + "\n", nil},
		{"set keeps more fields", set, bob + ":Bob Smith:\t:\r\n", edited + ":Bob Smith:\t:\r\n", nil},
		{"set keeps an empty field", set, bob + ":\n", edited + ":\n", nil},
		{"set the first of three", set, "#bob:x\n" + bob + "\nbob:x\nbob:" + sha, "#bob:x\n" + edited + "\nbob:x\nbob:" + sha, nil},
		{"set who is unknown", set, ann + "\n", "", ErrUnknown},
		{"set a name that begins alike", set, "bobby:" + sha + "\n", "", ErrUnknown},
		{"set who is a comment", set, "#" + bob + "\n", "", ErrUnknown},
		{"set who is locked", set, "bob:!" + sha + "\n", "", ErrChanged},
		{"set who cannot sign in", set, "bob:x\nbob:" + sha + "\n", "", ErrChanged},

		{"put who is new", put, ann, ann + "\n" + edited + "\n", nil},
		{"put who is there", put, bob + ":x\r\n" + ann, edited + ":x\r\n" + ann, nil},
		{"put who is locked", put, "bob:!" + sha + "\n", edited + "\n", nil},
		{"put who has a bad hash", put, "bob:x y:z\n", edited + ":z\n", nil},
		{"put who has none", put, "bob\r\nann\r\n", edited + "\r\nann\r\n", nil},
		{"put who has an empty one", put, "bob:\n", edited + "\n", nil},
		{"put the same", put, edited + "\r\n", "", nil},
		{"put on a line that stays too long", put, "bob:x:" + strings.Repeat("x", maxLine) + "\n", "", ErrNoEffect},
		{"put on a line with a long hash", put, "bob:" + strings.Repeat("x", maxLine) + "\n", edited + "\n", nil},

		{"remove", remove, "#\r\n" + bob + "\r\n" + ann + "\r\n", "#\r\n" + ann + "\r\n", nil},
		{"remove the last", remove, ann + "\n" + bob, ann + "\n", nil},
		{"remove the only one", remove, bob + "\n", "", nil},
		{"remove all of a name", remove, bob + "\nbob:x\n" + ann + "\nbob\r\n#bob:\nbob:" + sha, ann + "\n#bob:\n", nil},
		{"remove after a mark", remove, "\ufeff" + bob + "\n" + ann, "\ufeff" + ann, nil},
		{"remove before a name that begins with a mark", remove, bob + "\r\n\ufeff" + ann, "\r\n\ufeff" + ann, nil},
		{"remove with a mark before such a name", remove, "\ufeff" + bob + "\n\ufeff" + ann, "\ufeff\ufeff" + ann, nil},
		{"remove who is locked", remove, "bob:!\n", "", nil},
		{"remove who is unknown", remove, ann + "\n#bob:x\nbobby:x\n", "", ErrUnknown},

		{"approve", approve, ann + "\nbob:!" + apr + ":x\r\n", ann + "\n" + edited + ":x\r\n", nil},
		{"approve who is locked twice", approve, "bob:!!" + apr, edited, nil},
		{"approve the first", approve, "bob:!" + apr + "\nbob:!" + sha, edited + "\nbob:!" + sha, nil},
		{"approve who is open", approve, bob, "", ErrNotLocked},
		{"approve who has a bad hash", approve, "bob:x!", "", ErrNotLocked},
		{"approve who has a hash behind the lock", approve, bob + "\nbob:!" + sha, "", ErrNotLocked},
		{"approve who would have no hash", approve, "bob:!*", "", ErrNoEffect},
		{"approve who is unknown", approve, ann, "", ErrUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := rested(t, test.text)
			err := test.do(NewEditor(path), fingerprint(t, test.text, "bob"))
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not name the file", err)
			}
			want := test.want
			emptied := strings.HasPrefix(test.name, "remove who is locked") || test.name == "remove the only one"
			if want == "" && !emptied {
				want = test.text
			}
			if got := read(t, path); got != want {
				t.Errorf("file holds\n%q\nwant\n%q", got, want)
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
				t.Errorf("%d files in the folder, %v", len(entries), err)
			}
		})
	}
}

// USR-3: who changes a password has to know which entry it was.
func TestUSR3_HashIsSetOnlyOnTheEntryThatIsMeant(t *testing.T) {
	path := rested(t, two)
	e := NewEditor(path)
	ann, bob := fingerprint(t, two, "ann"), fingerprint(t, two, "bob")
	for what, old := range map[string][16]byte{"nothing": {}, "another user": bob} {
		if err := e.SetHash("ann", old, hashAPR1); !errors.Is(err, ErrChanged) {
			t.Errorf("with the fingerprint of %s: %v", what, err)
		}
	}
	must(t, e.SetHash("ann", ann, hashAPR1))
	if err := e.SetHash("ann", ann, hashBcrypt4); !errors.Is(err, ErrChanged) {
		t.Errorf("twice: %v", err)
	}
	if got, want := read(t, path), "ann:"+hashAPR1+"\nbob:"+hashSHA+"\n"; got != want {
		t.Errorf("file holds %q", got)
	}
}

// One more kind of hash than a table takes would close the door to whoever has the last.
func TestEditNeverLocksAnotherUserOut(t *testing.T) {
	var text strings.Builder
	text.WriteString("first:" + hashSHA + "\nsecond:" + hashSHA + "\n")
	for rounds := 1001; rounds < 1000+maxKinds; rounds++ {
		text.WriteString(strings.ReplaceAll("uN:$5$rounds=N$salt$", "N", strconv.Itoa(rounds)) + strings.Repeat("x", 43) + "\n")
	}
	path := rested(t, text.String())
	e := NewEditor(path)
	if err := e.PutHash("first", hashAPR1); !errors.Is(err, ErrOthers) {
		t.Errorf("put: %v", err)
	}
	if err := e.Add("bob", hashAPR1, AddOptions{}); !errors.Is(err, ErrNoEffect) {
		t.Errorf("add: %v", err)
	}
	if read(t, path) != text.String() {
		t.Error("the file was changed")
	}
	must(t, e.PutHash("first", strings.Replace(hashSHA, "W6", "X6", 1)))
	must(t, e.Remove("u1001"))
	must(t, e.Add("bob", hashAPR1, AddOptions{}))
}

func TestWritable(t *testing.T) {
	must(t, NewEditor(rested(t, one)).Writable())
	path := filepath.Join(t.TempDir(), "absent")
	if err := NewEditor(path).Writable(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("absent: %v", err)
	}
	if err := NewEditor(path).Remove("bob"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("absent: %v", err)
	}
}

// Fact 15: Apache's tool and we edit one file in turn.
func TestApacheAndWeEditOneFile(t *testing.T) {
	path := rested(t, "# users\n"+one)
	e := NewEditor(path)
	hash := func(password string) string { return "{SHA}" + sha(password, "") }
	check := func(name, password string, want bool) {
		t.Helper()
		table, _ := parseText(read(t, path))
		_, code := apache(t, "-vb", path, name, password)
		if signsIn(table, name, password) != want || (code == 0) != want {
			t.Errorf("%s with %s: we say %v, Apache's code is %d, want %v", name, password, !want, code, want)
		}
	}
	must(t, e.Add("bob", hash("first"), AddOptions{}))
	check("bob", "first", true)
	must(t, e.Add("cat", hash("locked"), AddOptions{Locked: true}))
	check("cat", "locked", false)
	if _, code := apache(t, "-bs", path, "dan", "theirs"); code != 0 {
		t.Fatal("Apache's tool cannot add")
	}
	must(t, e.Approve("cat"))
	check("cat", "locked", true)
	check("dan", "theirs", true)
	if _, code := apache(t, "-bs", path, "bob", "second"); code != 0 {
		t.Fatal("Apache's tool cannot change")
	}
	must(t, e.SetHash("dan", fingerprint(t, read(t, path), "dan"), hash("ours")))
	check("bob", "second", true)
	check("dan", "ours", true)
	check("dan", "theirs", false)
	must(t, e.Remove("bob"))
	check("bob", "second", false)
	check("ann", "password", true)
	if _, code := apache(t, "-D", path, "dan"); code != 0 {
		t.Fatal("Apache's tool cannot remove")
	}
	must(t, e.PutHash("ann", hash("new")))
	check("ann", "new", true)
	check("dan", "ours", false)
	if got := read(t, path); !strings.HasPrefix(got, "# users\nann:{SHA}") || strings.Count(got, "\n") != 3 {
		t.Errorf("file holds\n%s", got)
	}
}
