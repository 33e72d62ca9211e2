package integration

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// The documents keep their word: every Caddyfile in them is accepted by the
// real program, every link and picture is there, every command exists.
//
// A fenced block says what it is:
//
//	```caddyfile            a whole file, formatted as `caddy fmt` does
//	```caddyfile site       what stands inside a site
//	```caddyfile gate       what stands inside captcha_gate { }
//
// The files that it names are made by docFiles, its variables by docVariables.

// docFiles are the files that the documents may name, and what is in them.
// Folders end in a slash.
var docFiles = map[string]string{
	"/etc/caddy/users.htpasswd":              testUser + ":" + testHash + "\n",
	"/etc/caddy/users/users.htpasswd":        testUser + ":" + testHash + "\n",
	"/etc/caddy/contacts.json":               "{}",
	"/var/lib/caddy/users/users.htpasswd":    testUser + ":" + testHash + "\n",
	"/var/lib/caddy/users/contacts.json":     "{}",
	"/run/secrets/mail":                      "mail-password\n",
	"/srv/www/":                              "",
	"/srv/app/":                              "",
	"/srv/wordpress/":                        "",
	"/run/php/php-fpm.sock":                  "",
	"/var/log/caddy/captcha-gate.log":        "",
	"/etc/caddy/members.htpasswd":            testUser + ":" + testHash + "\n",
	"/etc/caddy/staff.htpasswd":              testUser + ":" + testHash + "\n",
	"/etc/captcha-gate/users/users.htpasswd": testUser + ":" + testHash + "\n",
	"/etc/captcha-gate/secret/secret":        testSecret + "\n",
	"/etc/caddy/themes/garden/theme.css":     "",
	"/etc/caddy/themes/garden/logo.svg":      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`,
	"/etc/caddy/themes/garden/templates/":    "",
}

// docVariables are the variables of the environment that the documents may name.
var docVariables = []string{
	"GATE_SECRET=" + testSecret, "TWILIO_ACCOUNT_SID=AC00112233445566778899aabbccddeeff", "TWILIO_AUTH_TOKEN=token",
	"MESSAGES_TOKEN=token", "MESSAGES_SECRET=" + testSecret,
}

var (
	docPath     = regexp.MustCompile(`(?:/etc/caddy|/etc/captcha-gate|/var/lib|/var/log|/run|/srv)/[\w./-]*`)
	docVariable = regexp.MustCompile(`\{env\.(\w+)\}`)
)

// docBlock is a fenced block of a document.
type docBlock struct {
	file string
	line int
	info string
	text string
}

// documents are the pages of the repository, by their path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "bin", "artifacts"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		found[strings.TrimPrefix(filepath.ToSlash(path), "../")] = string(text)
		return err
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("%d documents, %v", len(found), err)
	}
	return found
}

// blocksOf are the fenced blocks of a document, and the text without them.
func blocksOf(file, text string) (blocks []docBlock, rest string) {
	var prose strings.Builder
	var open *docBlock
	number := 0
	for line := range strings.Lines(text) {
		number++
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &docBlock{file: file, line: number, info: info}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		default:
			prose.WriteString(line)
		}
	}
	return blocks, prose.String()
}

func TestEveryCaddyfileInTheDocumentsIsValid(t *testing.T) {
	t.Parallel()
	root := newDocRoot(t)
	seen := 0
	for file, text := range documents(t) {
		blocks, _ := blocksOf(file, text)
		for _, b := range blocks {
			kind, isCaddyfile := strings.CutPrefix(b.info, "caddyfile")
			if !isCaddyfile {
				continue
			}
			seen++
			t.Run(file+":"+strconv.Itoa(b.line), func(t *testing.T) {
				t.Parallel()
				switch kind {
				case "":
					root.validate(t, b.text, true)
				case " site":
					root.validate(t, "example.com {\n"+b.text+"\n}\n", false)
				case " gate":
					root.validate(t, "example.com {\ncaptcha_gate {\nusers /etc/caddy/users.htpasswd\ncontacts /etc/caddy/contacts.json\n"+b.text+"\n}\n}\n", false)
				default:
					t.Errorf("a block of an unknown kind: %q", b.info)
				}
			})
		}
	}
	if seen < 20 {
		t.Errorf("only %d Caddyfiles", seen)
	}
}

// The Caddyfiles that lie beside the documents are held to the same.
func TestEveryCaddyfileBesideTheDocumentsIsValid(t *testing.T) {
	t.Parallel()
	root := newDocRoot(t)
	for _, pattern := range []string{"../docs/*/*Caddyfile", "../packaging/*Caddyfile"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				root.validate(t, string(text), true)
			})
		}
	}
}

// docRoot is a folder that stands for the root of the documents' machine.
type docRoot struct {
	dir  string
	site *site
}

func newDocRoot(t *testing.T) docRoot {
	t.Helper()
	r := docRoot{dir: t.TempDir(), site: newSite(t)}
	for name, content := range docFiles {
		path := filepath.Join(r.dir, name)
		folder := path
		if !strings.HasSuffix(name, "/") {
			folder = filepath.Dir(path)
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if folder != path {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// validate lets the real program judge a Caddyfile.
func (r docRoot) validate(t *testing.T, text string, formatted bool) {
	t.Helper()
	for _, name := range docPath.FindAllString(text, -1) {
		_, file := docFiles[name]
		_, folder := docFiles[name+"/"]
		if !file && !folder {
			t.Errorf("%s is not among docFiles", name)
		}
	}
	for _, m := range docVariable.FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(docVariables, func(v string) bool { return strings.HasPrefix(v, m[1]+"=") }) {
			t.Errorf("%s is not among docVariables", m[1])
		}
	}
	name := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(name, []byte(docPath.ReplaceAllString(text, r.dir+"$0")), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir() // a state file belongs to one process
	validate := r.site.command(t.Context(), "validate", "--config", name, "--adapter", "caddyfile")
	validate.Env = append(append(validate.Env, docVariables...), "XDG_DATA_HOME="+home)
	out, err := validate.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
	if formatted && strings.Contains(string(out), "not formatted") {
		t.Errorf("not as caddy fmt writes it:\n%s", text)
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	htmlLink     = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	codeSpan     = regexp.MustCompile("`[^`]*`")
	inLink       = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

func TestLinksInTheDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := documents(t)
	for file, text := range pages {
		_, prose := blocksOf(file, text)
		prose = codeSpan.ReplaceAllString(prose, "")
		links := append(markdownLink.FindAllStringSubmatch(prose, -1), htmlLink.FindAllStringSubmatch(prose, -1)...)
		for _, m := range links {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %q: %v", file, m[1], err)
				continue
			}
			if u.Scheme != "" {
				continue
			}
			target := file
			if u.Path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(file), u.Path))
				if _, err := os.Stat(filepath.Join("..", target)); err != nil {
					t.Errorf("%s: %s: %v", file, m[1], err)
				}
			}
			if u.Fragment != "" && !slices.Contains(anchors(pages[target]), u.Fragment) {
				t.Errorf("%s: %s: %s has no such heading", file, m[1], target)
			}
		}
	}
}

// anchors are the names that GitHub gives to the headings of a document.
func anchors(text string) (names []string) {
	_, prose := blocksOf("", text)
	for line := range strings.Lines(prose) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		title = inLink.ReplaceAllString(strings.TrimSpace(title), "$1")
		names = append(names, strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case unicode.IsLetter(c), unicode.IsDigit(c), c == '-', c == '_':
				return unicode.ToLower(c)
			}
			return -1
		}, title))
	}
	return names
}

// Every page in docs/ can be found from the index, and the README leads there.
func TestEveryDocumentIsInTheIndex(t *testing.T) {
	t.Parallel()
	pages := documents(t)
	for file := range pages {
		name, inDocs := strings.CutPrefix(file, "docs/")
		if inDocs && name != "README.md" && !strings.Contains(pages["docs/README.md"], "]("+name+")") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
	if !strings.Contains(pages["README.md"], "](docs/README.md)") {
		t.Error("README.md does not lead to docs/README.md")
	}
}

var (
	docCommand    = regexp.MustCompile("caddy captcha-gate ([a-z-]+)([^\n`]*)")
	docFlag       = regexp.MustCompile(`--[a-z-]+`)
	listedCommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)
)

func TestCommandsInTheDocumentsExist(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	help, problems, err := s.run("captcha-gate", "--help")
	if err != nil {
		t.Fatalf("%v\n%s", err, problems)
	}
	helps := map[string]string{}
	for _, m := range listedCommand.FindAllStringSubmatch(help, -1) {
		if helps[m[1]], _, err = s.run("captcha-gate", m[1], "--help"); err != nil {
			t.Fatal(err)
		}
	}
	if len(helps) < 2 {
		t.Fatalf("only the commands %v in\n%s", helps, help)
	}
	seen := 0
	for file, text := range documents(t) {
		for _, m := range docCommand.FindAllStringSubmatch(text, -1) {
			seen++
			known, ok := helps[m[1]]
			if !ok {
				t.Errorf("%s: there is no command %q", file, m[0])
			}
			for _, flag := range docFlag.FindAllString(m[2], -1) {
				if ok && m[1] != "user" && !strings.Contains(known, flag) {
					t.Errorf("%s: %q has no %s", file, m[1], flag)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no commands")
	}
}

func TestJSONInTheDocumentsIsJSON(t *testing.T) {
	t.Parallel()
	for file, text := range documents(t) {
		blocks, _ := blocksOf(file, text)
		for _, b := range blocks {
			if b.info == "json" && !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d is not JSON", file, b.line)
			}
		}
	}
}
