package htpasswd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// apache runs the htpasswd of the Apache project and returns what it prints and its exit code.
func apache(t *testing.T, arguments ...string) (output string, code int) {
	t.Helper()
	path, err := exec.LookPath("htpasswd")
	if err != nil {
		t.Fatalf("%v: these tests compare with Apache's tool; install it with `apt-get install apache2-utils`, "+
			"`dnf install httpd-tools`, `apk add apache2-utils` or `brew install httpd`", err)
	}
	out, err := exec.CommandContext(t.Context(), path, arguments...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// apacheSaysYes asks Apache's tool for its verdict.
func apacheSaysYes(t *testing.T, file, name, password string) bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, code := apache(t, "-vb", path, name, password)
	return code == 0
}

func TestApacheWritesWhatIsRead(t *testing.T) {
	passwords := []string{"password", " with spaces ", "pässwörd ☃", "a:b$c", "x", strings.Repeat("long", 17),
		"\xff\xfe no UTF-8", "tab\tand\x01", ""}
	for name, flags := range map[string][]string{
		"bcrypt 4": {"-B", "-C", "4"}, "bcrypt default": {"-B"}, "apr1": {"-m"}, "SHA-1": {"-s"},
		"sha256-crypt": {"-2", "-r", "1000"}, "sha256-crypt default": {"-2"},
		"sha512-crypt": {"-5", "-r", "1234"}, "sha512-crypt default": {"-5"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, password := range passwords {
				line, code := apache(t, append(flags, "-nb", "bob", password)...)
				if code != 0 {
					t.Fatalf("exit code %d", code)
				}
				table, problems := parseText(line)
				if len(problems) > 0 || table.Len() != 1 {
					t.Fatalf("%s: %v", line, problems)
				}
				if !signsIn(table, "bob", password) {
					t.Errorf("%s: %q is refused", line, password)
				}
				for _, other := range []string{password + "x", strings.ToUpper(password) + "y", strings.TrimSpace(password) + "\n"} {
					if signsIn(table, "bob", other) != apacheSaysYes(t, line, "bob", other) {
						t.Errorf("%s: verdicts differ on %q", line, other)
					}
				}
			}
		})
	}
}

func TestApacheReadsAlike(t *testing.T) {
	rest := hashBcrypt4[4:]
	for _, test := range []struct {
		name string
		file string
		// differs says why the verdicts on "password" differ, where they do; it is always Apache that says yes.
		differs string
	}{
		{name: "bcrypt 2y", file: "bob:" + hashBcrypt4},
		{name: "bcrypt 2a", file: "bob:$2a$" + rest},
		{name: "bcrypt 2b", file: "bob:$2b$" + rest},
		{name: "bcrypt 2", file: "bob:$2$" + rest},
		{name: "bcrypt 2z", file: "bob:$2z$" + rest},
		{name: "bcrypt 2x", file: "bob:$2x$" + rest, differs: "a broken bcrypt of before 2011"},
		{name: "bcrypt and a letter", file: "bob:" + hashBcrypt4 + "x"},
		{name: "bcrypt and a space", file: "bob:" + hashBcrypt4 + " \n"},
		{name: "bcrypt of 59", file: "bob:" + hashBcrypt4[:59]},
		{name: "apr1", file: "bob:" + hashAPR1},
		{name: "apr1 short salt", file: "bob:" + hashAPR1Short},
		{name: "apr1 long salt", file: "bob:$apr1$abcdefghi$" + strings.Repeat("x", 22)},
		{name: "md5-crypt", file: "bob:$1$abc$BXBqpb9BZcZhXLgbee.0s/", differs: "not in the contract"},
		{name: "sha", file: "bob:" + hashSHA},
		{name: "sha without padding", file: "bob:" + strings.TrimRight(hashSHA, "=")},
		{name: "sha with the wrong case", file: "bob:{sha}" + hashSHA[5:]},
		{name: "sha256-crypt", file: "bob:" + hashSHA256},
		{name: "sha256-crypt short salt", file: "bob:" + hashSHA256Short},
		{name: "sha256-crypt rounds", file: "bob:" + hashSHA256R1000},
		{name: "sha256-crypt zero in front of the rounds", file: "bob:" + strings.Replace(hashSHA256R1000, "=1", "=01", 1)},
		{name: "sha512-crypt", file: "bob:" + hashSHA512},
		{name: "sha512-crypt rounds", file: "bob:" + hashSHA512R1000},
		{name: "plain text", file: "bob:password"},
		{name: "empty hash", file: "bob:"},
		{name: "DES crypt", file: "bob:XWY0iySw5BtkY", differs: "eight characters of it count"},
		{name: "CRLF", file: "ann:" + hashSHA + "\r\nbob:" + hashSHA + "\r\n"},
		{name: "comment and blank", file: "#bob:x\n\nbob:" + hashSHA + "\n"},
		// Apache's tool wants all lines of a name to match, its server and we the first alone.
		{name: "twice right", file: "bob:" + hashSHA + "\nbob:" + hashAPR1 + "\n"},
		{name: "first wins, wrong", file: "bob:" + strings.Replace(hashSHA, "W6", "X6", 1) + "\nbob:" + hashSHA + "\n"},
		{name: "first wins, unusable", file: "bob:x\nbob:" + hashSHA + "\n"},
		{name: "name with another case", file: "Bob:" + hashSHA},
		{name: "name that goes on", file: "bobby:" + hashSHA},
		{name: "name with a space", file: "bob :" + hashSHA},
		{name: "somebody else", file: "ann:" + hashSHA},
		{name: "commented out", file: "#bob:" + hashSHA},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, _ := parseText(test.file)
			for _, password := range []string{"password", "passwort", ""} {
				ours, theirs := signsIn(table, "bob", password), apacheSaysYes(t, test.file, "bob", password)
				switch {
				case test.differs == "" || password != "password":
					if ours != theirs {
						t.Errorf("%q: we say %v, Apache says %v", password, ours, theirs)
					}
				case ours || !theirs:
					t.Errorf("%q: we say %v, Apache says %v; should be no and yes (%s)", password, ours, theirs, test.differs)
				}
			}
		})
	}
}

// CRD-1: the one place where we refuse what Apache lets in, on purpose.
func TestCRD1_ApacheIgnoresWhatFollows72Bytes(t *testing.T) {
	long := strings.Repeat("x", 72)
	line, _ := apache(t, "-nbB", "-C", "4", "bob", long)
	table, _ := parseText(line)
	if !signsIn(table, "bob", long) || !apacheSaysYes(t, line, "bob", long) {
		t.Error("72 bytes are refused")
	}
	if signsIn(table, "bob", long+"y") || !apacheSaysYes(t, line, "bob", long+"y") {
		t.Error("73 bytes: we should refuse, Apache accept")
	}
}
