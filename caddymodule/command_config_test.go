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
