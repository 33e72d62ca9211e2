package htpasswd

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const listHash = "$2y$10$cAjKtdfbpHAVQzy7wbvEi.SQFS3E4N6GQNzC1XrxvXqgW/QLRT6rO"

func TestListTellsWhatEachLineMeans(t *testing.T) {
	file := "\xef\xbb\xbf# users\n\nalice:" + listHash + "\r\n" +
		"bob:!" + listHash + "\ncarol:$apr1$abcdefgh$" + strings.Repeat("a", 22) + ":comment\n" +
		"dave:plain\nalice:" + listHash + "\nnocolon\ne\x1bvil:" + listHash + "\ngrace:!!\n" +
		"heidi:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="
	want := []Line{
		{Number: 3, Name: "alice", State: Active, Hash: "bcrypt cost 10"},
		{Number: 4, Name: "bob", State: Locked, Hash: "bcrypt cost 10"},
		{Number: 5, Name: "carol", State: Active, Hash: "apr1", Weak: true},
		{Number: 6, Name: "dave", State: Unusable, Reason: reasonUnrecognised},
		{Number: 7, Name: "alice", State: Unusable, Reason: reasonDuplicate, Hash: "bcrypt cost 10"},
		{Number: 8, Name: "nocolon", State: Unusable, Reason: reasonNoColon},
		{Number: 9, Name: "e\x1bvil", State: Unusable, Reason: reasonNameControl, Hash: "bcrypt cost 10"},
		{Number: 10, Name: "grace", State: Locked},
		{Number: 11, Name: "heidi", State: Active, Hash: "SHA", Weak: true},
	}
	if got := List([]byte(file)); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if line := Foreign([]byte(file)); line != 8 {
		t.Errorf("line %d has no colon; want 8", line)
	}
	if line := Foreign([]byte("# no colon here\n\n a:b\r\n")); line != 0 {
		t.Errorf("line %d has no colon; want none", line)
	}
}

func TestKindsAreNamed(t *testing.T) {
	for hash, want := range map[string]string{
		listHash: "bcrypt cost 10",
		"$argon2id$v=19$m=65536,t=3,p=4$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43): "argon2id 64 MiB x 3",
		"$5$salt$" + strings.Repeat("a", sha256Length):                                              "sha256-crypt 5000 rounds",
		"$6$rounds=9000$salt$" + strings.Repeat("a", sha512Length):                                  "sha512-crypt 9000 rounds",
		"{SSHA}" + "2jmj7l5rSw0yVb/vlWAYkK/YBwlhYWFh":                                               "SSHA",
	} {
		k, reason := classify(hash)
		if reason != "" || k.String() != want {
			t.Errorf("%s: %q, %s; want %q", hash, k, reason, want)
		}
	}
}

func TestReplaceHashKeepsALock(t *testing.T) {
	other := "$2y$10$" + strings.Repeat("b", 53)
	for name, c := range map[string]struct {
		before, after string
		want          error
	}{
		"a user":           {"alice:" + listHash + ":x\nbob:!" + listHash + "\n", "alice:" + other + ":x\nbob:!" + listHash + "\n", nil},
		"a locked user":    {"alice:!" + listHash + "\n", "alice:!" + other + "\n", nil},
		"a damaged entry":  {"alice:plain\n", "alice:" + other + "\n", nil},
		"an unknown user":  {"bob:" + listHash + "\n", "bob:" + listHash + "\n", ErrUnknown},
		"a line too long":  {"alice:x:" + strings.Repeat("x", maxLine) + "\n", "alice:x:" + strings.Repeat("x", maxLine) + "\n", ErrNoEffect},
		"the first counts": {"alice:" + listHash + "\nalice:plain\n", "alice:" + other + "\nalice:plain\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := NewEditor(path).ReplaceHash("alice", other); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.after {
				t.Errorf("got %q, want %q", got, c.after)
			}
		})
	}
}

func TestWhatIsTooLongSaysSo(t *testing.T) {
	_, password := HashPassword(strings.Repeat("x", 73))
	for want, err := range map[error]error{ErrPassword: password, ErrName: ValidName(strings.Repeat("x", 65))} {
		if !errors.Is(err, want) || !errors.Is(err, ErrTooLong) {
			t.Errorf("%v is not %v and too long", err, want)
		}
	}
	if err := ValidName("a:b"); !errors.Is(err, ErrName) || errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
}
