package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const severalGates = `
{
	servers {
		trusted_proxies static private_ranges
		trusted_proxies_strict
	}
}
example.com {
	handle /admin* {
		captcha_gate {
			users /tmp/u
			realm admin
		}
	}
	handle {
		captcha_gate {
			users /tmp/u
			realm main
		}
	}
}
*.example.com {
	captcha_gate {
		users /tmp/u
		realm wild
	}
}
http://plain.example:8080 {
	route {
		captcha_gate {
			users /tmp/u
			realm plain
			secret {env.CAPTCHA_GATE_TEST_SECRET}
		}
	}
}
`

func TestTheGateOfAnAddressIsFound(t *testing.T) {
	t.Setenv("CAPTCHA_GATE_TEST_SECRET", gateSecret)
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(severalGates), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := readConfig(file, "")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[[3]string]string{
		{"example.com", "443", "/"}:           "main",
		{"EXAMPLE.com", "443", "/admin/x"}:    "admin",
		{"a.example.com", "443", "/"}:         "wild",
		{"plain.example", "443", "/"}:         "plain", // behind a proxy that speaks HTTPS
		{"elsewhere.example", "443", "/"}:     "",
		{"a.b.example.com", "443", "/"}:       "",
		{"plain.example", "8080", "/admin/x"}: "plain",
	} {
		found, note, err := config.choose(address[0], address[1], address[2])
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "plain.example") {
				t.Errorf("%v: %v", address, err)
			}
			continue
		}
		if err != nil || note != "" || !found.strict {
			t.Errorf("%v: %v, %q, strict %v", address, err, note, found.strict)
			continue
		}
		if g, err := found.gate(); err != nil || g.Realm != want {
			t.Errorf("%v: realm %v, error %v; want %s", address, g, err, want)
		}
	}
}

// The two gates of docs/static-site.md stand side by side on one site.
func TestOfTwoGatesOnASiteTheOneWithThePathIsFound(t *testing.T) {
	document, err := os.ReadFile("../docs/static-site.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(document), "\n## Two groups of people\n")
	_, text, _ = strings.Cut(text, "```caddyfile\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("the document has no such Caddyfile")
	}
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := readConfig(file, "")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"/staff": "staff", "/staff/rota": "staff", "/Staff/rota": "staff", "/staff/sign-in": "staff", "/staff/gate/challenge": "staff",
		"/members": "members", "/members/list": "members", "/members/sign-out": "members",
	} {
		found, note, err := config.choose("example.com", "443", at)
		if err != nil || note != "" {
			t.Errorf("%s: %v, %q", at, err, note)
			continue
		}
		if g, err := found.gate(); err != nil || g.Realm != want {
			t.Errorf("%s: realm %v, error %v; want %s", at, g, err, want)
		}
	}
	if _, note, err := config.choose("example.com", "443", "/"); err != nil || note == "" {
		t.Errorf("a page that neither protects: %v, %q", err, note)
	}
}

func TestAGateIsChosenByWhatItProtects(t *testing.T) {
	for name, c := range map[string]struct{ first, second, at, want string }{
		"a matcher before none":          {"", "/b/*", "/b/x", "second"},
		"none before another's matcher":  {"/b/*", "", "/c", "second"},
		"the longer pattern":             {"/b*", "/b/c/*", "/b/c/d", "second"},
		"all sets must name a path":      {"@both", "/b/*", "/c", "first"},
		"login of one that protects all": {"", "/b/*", "/first/login", "first"},
		"base path outside the matcher":  {"", "/b/*", "/second/gate/challenge", "second"},
		"own path inside another's":      {"/b/*", "/second/*", "/second/gate", "second"},
		"logout":                         {"/second/*", "/b/*", "/second/logout", "second"},
	} {
		t.Run(name, func(t *testing.T) {
			gate := func(name, matcher string) string {
				return "captcha_gate " + matcher + " {\nusers users.htpasswd\nrealm " + name + "\nlogin /" + name + "/login\nlogout /" + name +
					"/logout\nbase_path /" + name + "/gate\n}\n"
			}
			file := filepath.Join(t.TempDir(), "Caddyfile")
			text := "example.com {\n@both method POST\n" + gate("first", c.first) + gate("second", c.second) + "}\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := readConfig(file, "")
			if err != nil {
				t.Fatal(err)
			}
			found, note, err := config.choose("example.com", "443", c.at)
			if err != nil || note != "" {
				t.Fatalf("%v, %q", err, note)
			}
			if g, err := found.gate(); err != nil || g.Realm != c.want {
				t.Errorf("realm %v, error %v; want %s", g, err, c.want)
			}
		})
	}
}

func TestWhatIsWrongWithAConfigurationIsTold(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"syntax":      {"Caddyfile", "example.com {\ncaptcha_gate {\nuser x\n}\n}", "unrecognized subdirective"},
		"no gate":     {"Caddyfile", "example.com {\nrespond hello\n}", "no captcha_gate"},
		"no JSON":     {"caddy.json", "{", "caddy.json"},
		"placeholder": {"Caddyfile", "example.com {\ncaptcha_gate {\nusers {env.CAPTCHA_GATE_NO_SUCH}\n}\n}", "CAPTCHA_GATE_NO_SUCH"},
		"secret":      {"Caddyfile", "example.com {\ncaptcha_gate {\nusers x\nsecret short\n}\n}", "at least 32"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := readConfig(file, "")
			if err == nil {
				var found foundGate
				if found, _, err = config.choose("example.com", "443", "/"); err == nil {
					_, err = found.gate()
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "short") {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}
