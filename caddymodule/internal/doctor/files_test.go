package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

const (
	goodHash = "$2y$10$cAjKtdfbpHAVQzy7wbvEi.SQFS3E4N6GQNzC1XrxvXqgW/QLRT6rO"
	weakHash = "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="
)

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestUsersFiles(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		gate    Gate
		want    Level
		says    string
	}{
		"good":         {"alice:" + goodHash + "\n", 0o600, Gate{EditsUsers: true}, OK, "1 can sign in, 0 locked"},
		"humans only":  {"", 0o600, Gate{HumanOnly: true}, OK, "no users file"},
		"empty":        {"", 0o600, Gate{}, Problem, "nobody can sign in"},
		"all locked":   {"a:!" + goodHash + "\nb:!" + goodHash + "\n", 0o600, Gate{}, Problem, "2 users are locked"},
		"of no use":    {"alice\n", 0o600, Gate{}, Problem, "line 1: no colon"},
		"damaged":      {"alice:" + goodHash + "\nbob:plain\n", 0o600, Gate{}, Warning, "line 2: unrecognised hash"},
		"weak":         {"alice:" + weakHash + "\n", 0o600, Gate{}, Warning, "1 hash is easily guessed"},
		"for all eyes": {"alice:" + goodHash + "\n", 0o644, Gate{}, Warning, "everybody"},
	} {
		t.Run(name, func(t *testing.T) {
			c.gate.Users = write(t, c.content, c.mode)
			e := &examination{Gate: c.gate}
			found := heard(e, e.checkUsers)
			if says := text(found); worst(found) != c.want || !strings.Contains(says, c.says) || strings.Contains(says, goodHash) {
				t.Errorf("%s, want %s and %q:\n%s", worst(found), c.want, c.says, says)
			}
		})
	}
}

// A file with two names cannot be changed, whoever asks.
func TestUsersThatCannotChangeTheirEntries(t *testing.T) {
	path := write(t, "alice:"+goodHash+"\n", 0o600)
	if err := os.Link(path, path+".too"); err != nil {
		t.Fatal(err)
	}
	for want, gate := range map[Level]Gate{Problem: {Users: path, EditsUsers: true}, OK: {Users: path, MayEdit: true}} {
		e := &examination{Gate: gate}
		if found := heard(e, e.checkUsers); worst(found) != want || !strings.Contains(text(found), "hard links") {
			t.Errorf("want %s:\n%s", want, text(found))
		}
	}
}

func TestContactsThatCodesNeed(t *testing.T) {
	users := write(t, "alice:"+goodHash+"\nbob:"+goodHash+"\ncarol:!"+goodHash+"\n", 0o600)
	contacts := write(t, `{"alice": {"email": "alice@example.com", "phone": "+4915112345678"}, "bob": {"email": "bob@example.com"}}`, 0o600)
	for name, c := range map[string]struct {
		gate Gate
		want Level
		says string
	}{
		"no code":        {Gate{}, OK, "2 users"},
		"by e-mail":      {Gate{AsksCode: true}, OK, "2 users"},
		"by phone":       {Gate{AsksCode: true, ByPhone: true}, Warning, "1 user cannot sign in"},
		"other country":  {Gate{AsksCode: true, ByPhone: true, Countries: []string{"+1"}}, Problem, "contacts file"},
		"no such file":   {Gate{Contacts: contacts + ".none"}, Problem, "no such file"},
		"no JSON":        {Gate{Contacts: users}, Problem, "contacts file"},
		"not configured": {Gate{Contacts: "-"}, OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.gate.Users = users
			switch c.gate.Contacts {
			case "":
				c.gate.Contacts = contacts
			case "-":
				c.gate.Contacts = ""
			}
			e := &examination{Gate: c.gate}
			found := heard(e, e.checkContacts)
			if says := text(found); worst(found) != c.want || !strings.Contains(says, c.says) || strings.Contains(says, "alice@") && c.want != Problem {
				t.Errorf("%s, want %s and %q:\n%s", worst(found), c.want, c.says, says)
			}
		})
	}
}

func TestStateFiles(t *testing.T) {
	held := filepath.Join(t.TempDir(), "state.db")
	store, err := state.OpenLocal(held, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for name, c := range map[string]struct {
		path string
		want Level
		says string
	}{
		"of a running server": {held, OK, "held by a running server"},
		"missing":             {held + ".none", Warning, "is not there"},
		"damaged":             {write(t, "something else", 0o600), Problem, "state file"},
	} {
		e := &examination{Gate: Gate{State: "local", StateFile: c.path}}
		if found := heard(e, func() { e.checkState(t.Context()) }); worst(found) != c.want || !strings.Contains(text(found), c.says) {
			t.Errorf("%s: want %s:\n%s", name, c.want, text(found))
		}
	}
}

func text(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(string(f.Level) + " " + f.Says + "\n")
	}
	return b.String()
}
