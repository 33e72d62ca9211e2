package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// exitOf is a command's exit code.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// operator runs the user commands in a folder.
type operator struct {
	t    *testing.T
	site *site
	file string
}

func newOperator(t *testing.T, content string) *operator {
	t.Helper()
	s := newSite(t)
	return &operator{t: t, site: s, file: s.writeFile("file", content)}
}

// with runs "user" with input and returns the exit code and what was printed.
func (o *operator) with(input string, args ...string) (code int, out, problems string) {
	o.t.Helper()
	command := o.site.command(o.t.Context(), append([]string{"captcha-gate", "user"}, args...)...)
	return o.finish(command, input)
}

// apache runs Apache's htpasswd.
func (o *operator) apache(input string, args ...string) (code int, out, problems string) {
	o.t.Helper()
	command := exec.CommandContext(o.t.Context(), "htpasswd", args...)
	command.Dir = o.site.dir
	return o.finish(command, input)
}

func (o *operator) finish(command *exec.Cmd, input string) (int, string, string) {
	o.t.Helper()
	var out, problems strings.Builder
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &problems
	code := exitOf(o.t, command.Run())
	for _, line := range strings.Split(input, "\n") {
		if len(line) > 8 && strings.Contains(out.String()+problems.String(), line) {
			o.t.Errorf("%v prints the password: %s%s", command.Args, out.String(), problems.String())
		}
	}
	return code, out.String(), problems.String()
}

func (o *operator) content() string {
	o.t.Helper()
	content, err := os.ReadFile(o.file)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(content)
}

// What both programs can do ends with the same exit code. Each starts from the same file.
func TestExitCodesAreThoseOfHtpasswd(t *testing.T) {
	t.Parallel()
	const good = "alice:" + testHash + "\n"
	long := strings.Repeat("n", 256)
	for name, c := range map[string]struct {
		file, input string
		apache      []string // before the file and the name
		gate        string
		name        string
		missing     bool
		want        int
	}{
		"add":                        {good, "a good password\n", []string{"-iB"}, "add", "bob", false, 0},
		"add to no file":             {"", "a good password\n", []string{"-iB"}, "add", "bob", true, 1},
		"add with a colon":           {good, "a good password\n", []string{"-iB"}, "add", "a:b", false, 6},
		"add a name too long":        {good, "a good password\n", []string{"-iB"}, "add", long, false, 5},
		"add a password too long":    {good, strings.Repeat("p", 300) + "\n", []string{"-iB"}, "add", "bob", false, 5},
		"add to another kind":        {"nocolon\n", "a good password\n", []string{"-iB"}, "add", "bob", false, 7},
		"add to a damaged file":      {good + "nocolon\n", "a good password\n", []string{"-iB"}, "add", "bob", false, 7},
		"set-password":               {good, "a good password\n", []string{"-iB"}, "set-password", "alice", false, 0},
		"set-password with no file":  {"", "a good password\n", []string{"-iB"}, "set-password", "alice", true, 1},
		"set-password, damaged file": {good + "nocolon\n", "a good password\n", []string{"-iB"}, "set-password", "alice", false, 7},
		"remove":                     {good, "", []string{"-D"}, "remove", "alice", false, 0},
		"remove nobody":              {good, "", []string{"-D"}, "remove", "bob", false, 0},
		"remove from no file":        {"", "", []string{"-D"}, "remove", "alice", true, 1},
		"remove with a colon":        {good, "", []string{"-D"}, "remove", "a:b", false, 6},
		"remove, damaged file":       {good + "nocolon\n", "", []string{"-D"}, "remove", "alice", false, 7},
		"verify":                     {good, testPassword + "\n", []string{"-vi"}, "verify", "alice", false, 0},
		"verify a wrong one":         {good, "another password\n", []string{"-vi"}, "verify", "alice", false, 3},
		"verify nobody":              {good, testPassword + "\n", []string{"-vi"}, "verify", "bob", false, 6},
		"verify in no file":          {"", testPassword + "\n", []string{"-vi"}, "verify", "alice", true, 1},
		"verify, damaged file":       {good + "nocolon\n", testPassword + "\n", []string{"-vi"}, "verify", "alice", false, 7},
		"verify with CR LF":          {good, testPassword + "\r\n", []string{"-vi"}, "verify", "alice", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t, c.file)
			theirs := o.site.writeFile("theirs", c.file)
			if c.missing {
				_ = os.Remove(o.file)
				_ = os.Remove(theirs)
			}
			their, _, said := o.apache(c.input, append(c.apache, theirs, c.name)...)
			ours, _, says := o.with(c.input, c.gate, "--file", o.file, "--", c.name)
			if ours != c.want || their != c.want {
				t.Errorf("ours %d (%s), htpasswd's %d (%s), want %d", ours, says, their, said, c.want)
			}
			if c.want != 0 && !c.missing && o.content() != c.file {
				t.Errorf("the file was changed: %q", o.content())
			}
		})
	}
}

// What htpasswd has not, or does otherwise.
func TestExitCodesOfOurOwn(t *testing.T) {
	t.Parallel()
	const good = "alice:" + testHash + "\nbob:!" + testHash + "\ncarol:plain\n"
	for name, c := range map[string]struct {
		input string
		args  []string
		want  int
		says  string
	}{
		"nothing to do":               {"", nil, 2, "Available Commands"},
		"an unknown command":          {"", []string{"delete", "alice"}, 2, "delete"},
		"no file":                     {"", []string{"list"}, 2, "--file"},
		"no name":                     {"", []string{"add", "--file", "FILE"}, 2, "name"},
		"a password as an argument":   {"", []string{"add", "--file", "FILE", "dave", "secret-word"}, 2, "never"},
		"an unknown flag":             {"", []string{"add", "--file", "FILE", "--password=secret-word", "dave"}, 2, "unknown flag"},
		"add who is there":            {"a good password\n", []string{"add", "--file", "FILE", "alice"}, 6, "exists"},
		"add who is locked":           {"a good password\n", []string{"add", "--file", "FILE", "bob"}, 6, "exists"},
		"add a comment":               {"a good password\n", []string{"add", "--file", "FILE", "#dave"}, 6, "#"},
		"add no name":                 {"a good password\n", []string{"add", "--file", "FILE", ""}, 6, "empty"},
		"add a name over 64 bytes":    {"a good password\n", []string{"add", "--file", "FILE", strings.Repeat("n", 65)}, 5, "64"},
		"add no password":             {"\n", []string{"add", "--file", "FILE", "dave"}, 2, "empty"},
		"add nothing at all":          {"", []string{"add", "--file", "FILE", "dave"}, 2, "empty"},
		"add a NUL":                   {"a good\x00password\n", []string{"add", "--file", "FILE", "dave"}, 2, "character"},
		"add a password over 72":      {strings.Repeat("p", 73) + "\n", []string{"add", "--file", "FILE", "dave"}, 5, "72"},
		"add a line without end":      {strings.Repeat("p", 1<<16), []string{"add", "--file", "FILE", "dave"}, 5, "too long"},
		"add a weak one":              {"password\n", []string{"add", "--file", "FILE", "dave"}, 0, "warning"},
		"add a short one":             {"Zx9#q\n", []string{"add", "--file", "FILE", "dave"}, 0, "8 characters"},
		"add one like the name":       {"dave2026\n", []string{"add", "--file", "FILE", "dave"}, 0, "name"},
		"add a look-alike":            {"a good password\n", []string{"add", "--file", "FILE", "A1ice"}, 0, "added"},
		"set-password of nobody":      {"a good password\n", []string{"set-password", "--file", "FILE", "dave"}, 6, "no such user"},
		"set-password of the locked":  {"a good password\n", []string{"set-password", "--file", "FILE", "bob"}, 0, "still locked"},
		"set-password mends":          {"a good password\n", []string{"set-password", "--file", "FILE", "carol"}, 0, "changed"},
		"verify the locked":           {testPassword + "\n", []string{"verify", "--file", "FILE", "bob"}, 3, "locked"},
		"verify the unusable":         {"plain\n", []string{"verify", "--file", "FILE", "carol"}, 3, "cannot be used"},
		"approve the locked":          {"", []string{"approve", "--file", "FILE", "bob"}, 0, "approved"},
		"approve who is not locked":   {"", []string{"approve", "--file", "FILE", "alice"}, 0, "not locked"},
		"approve the unusable":        {"", []string{"approve", "--file", "FILE", "carol"}, 7, "set-password"},
		"approve nobody":              {"", []string{"approve", "--file", "FILE", "dave"}, 6, "no such user"},
		"list":                        {"", []string{"list", "--file", "FILE"}, 0, ""},
		"list no file":                {"", []string{"list", "--file", "FILE/none"}, 1, "FILE"},
		"create in no folder":         {"a good password\n", []string{"add", "--create", "--file", "FILE.d/users", "dave"}, 1, "FILE"},
		"create what is there":        {"a good password\n", []string{"add", "--create", "--file", "FILE", "dave"}, 0, "added"},
		"names that begin with minus": {"a good password\n", []string{"add", "--file", "FILE", "--", "-dave"}, 0, "added"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t, good)
			for i, arg := range c.args {
				c.args[i] = strings.Replace(arg, "FILE", o.file, 1)
			}
			code, out, problems := o.with(c.input, c.args...)
			says := strings.ReplaceAll(out+problems, o.file, "FILE")
			if code != c.want || !strings.Contains(says, c.says) || strings.Contains(says, "secret-word") {
				t.Errorf("%d, want %d:\n%s", code, c.want, says)
			}
			if code != 0 && o.content() != good {
				t.Errorf("the file was changed:\n%s", o.content())
			}
		})
	}
}

func TestHelpSaysTheExitCodes(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "")
	for _, command := range []string{"add", "set-password", "remove", "list", "verify", "approve"} {
		code, out, _ := o.with("", command, "--help")
		for _, want := range []string{"Exit codes", "\n  0  ", "\n  7  ", "Examples:", "--file"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: %d, no %q:\n%s", command, code, want, out)
			}
		}
	}
}

// Each program reads what the other wrote, and leaves it as it is.
func TestFilesGoToAndFroBetweenHtpasswdAndTheGate(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "")
	_ = os.Remove(o.file)
	must := func(want int) func(code int, out, problems string) {
		return func(code int, out, problems string) {
			t.Helper()
			if code != want {
				t.Fatalf("%d, want %d: %s%s", code, want, out, problems)
			}
		}
	}
	must(0)(o.with("first password\n", "add", "--file", o.file, "--create", "alice"))
	if info, err := os.Stat(o.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !strings.HasPrefix(o.content(), "alice:$2y$10$") {
		t.Errorf("not bcrypt of cost 10: %s", o.content())
	}
	must(0)(o.apache("first password\n", "-vi", o.file, "alice"))
	for name, flags := range map[string]string{"md5": "-im", "sha": "-is", "crypt256": "-i2", "crypt512": "-i5", "bcrypt": "-iB"} {
		must(0)(o.apache("password of "+name+"\n", flags, o.file, name))
		must(0)(o.with("password of "+name+"\n", "verify", "--file", o.file, name))
		must(3)(o.with("password of another\n", "verify", "--file", o.file, name))
	}
	before := o.content()
	must(0)(o.with("a word, spaces, ümläute \n", "set-password", "--file", o.file, "md5"))
	must(0)(o.apache("a word, spaces, ümläute \n", "-vi", o.file, "md5"))
	must(3)(o.apache("a word, spaces, ümläute\n", "-vi", o.file, "md5"))
	if lines(before) != lines(o.content()) {
		t.Errorf("lines came or went:\n%s\nwas\n%s", o.content(), before)
	}
	must(0)(o.with("", "remove", "--file", o.file, "sha"))
	must(6)(o.apache("password of sha\n", "-vi", o.file, "sha"))
	must(0)(o.apache("", "-D", o.file, "alice"))
	must(6)(o.with("first password\n", "verify", "--file", o.file, "alice"))
}

func lines(s string) int { return strings.Count(s, "\n") }

func TestListForPeopleAndForScripts(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "# staff\nalice:"+goodHash+"\nbob:!"+goodHash+"\ncarol:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\nda\x1bve:plain\nerin:plain\n")
	code, out, problems := o.with("", "list", "--file", o.file)
	want := `NAME        STATE     HASH            STRENGTH  LINE  REASON
alice       active    bcrypt cost 10  good      2     -
bob         locked    bcrypt cost 10  good      3     -
carol       active    SHA             weak      4     -
"da\x1bve"  unusable  -               -         5     control character in user name
erin        unusable  -               -         6     unrecognised hash
`
	if code != 0 || out != want || problems != "" {
		t.Errorf("%d\n%s%s\nwant\n%s", code, out, problems, want)
	}
	code, out, _ = o.with("", "list", "--file", o.file, "--json")
	var users []struct {
		Name, State, Reason, Hash string
		Weak                      bool
		Line                      int
	}
	if err := json.Unmarshal([]byte(out), &users); err != nil || code != 0 || len(users) != 5 {
		t.Fatalf("%d, %v\n%s", code, err, out)
	}
	if u := users[2]; u.Name != "carol" || u.State != "active" || u.Hash != "SHA" || !u.Weak || u.Line != 4 {
		t.Errorf("%+v", u)
	}
	o.site.writeFile("file", "")
	if code, out, _ = o.with("", "list", "--file", o.file, "--json"); code != 0 || out != "[]\n" {
		t.Errorf("an empty file: %d, %q", code, out)
	}
	o.site.writeFile("file", "alice:"+testHash+"\nnocolon\n")
	if code, out, _ = o.with("", "list", "--file", o.file); code != 7 || !strings.Contains(out, "no colon") || !strings.Contains(out, "alice") {
		t.Errorf("a damaged file: %d\n%s", code, out)
	}
}

func TestUSR9_TwentyUsersAddedAtOnceAreAllThere(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "# staff\n")
	_ = os.Remove(o.file)
	const users = 20
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			command := o.site.command(t.Context(), "captcha-gate", "user", "add", "--create", "--file", o.file, fmt.Sprintf("user%d", i))
			command.Stdin = strings.NewReader(fmt.Sprintf("password of %d\n", i))
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("user%d: %v %s", i, err, out)
			}
		})
	}
	all.Wait()
	if _, out, _ := o.with("", "list", "--file", o.file); strings.Count(out, "active") != users {
		t.Errorf("of %d users there are\n%s", users, out)
	}
	if files, err := os.ReadDir(filepath.Dir(o.file)); err != nil || len(files) > 4 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// A running gate takes in what the commands do.
func TestTheGateFollowsTheCommands(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	o := &operator{t: t, site: s, file: s.users}
	v := newVisitor(t, s)
	v.signIn()
	if code, _, says := o.with("quite another word\n", "set-password", "--file", o.file, testUser); code != 0 {
		t.Fatalf("%d %s", code, says)
	}
	eventually(t, "the old session has ended", 5*time.Second, func() bool { return !v.isSignedIn() })
	form := fields(t, v.page("/login").body)
	form.Set("password", "quite another word")
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("with the new password: %d", a.StatusCode)
	}
	// With nobody left the gate would wait whether the empty file is an accident.
	for _, args := range [][]string{{"add", "--file", o.file, "bob"}, {"remove", "--file", o.file, testUser}} {
		if code, _, says := o.with("quite another word\n", args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, says)
		}
	}
	eventually(t, "the removed user is out", 5*time.Second, func() bool { return !v.isSignedIn() })
}
