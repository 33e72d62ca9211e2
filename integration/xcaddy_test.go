package integration

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command of xcaddy.md, in a checkout. Go asks the module proxy whether
// there is a module of the handler's own path before it tries the one above it;
// proxies differ in how they say no to a module that was never published, so
// the test answers this one question as a proxy that knows no such module does,
// and sends everything else on.
func TestXcaddyBuildsTheCheckout(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	upstream := strings.FieldsFunc(strings.TrimSpace(string(out)), func(c rune) bool { return c == ',' || c == '|' })[0]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/github.com/captcha-gate/") {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		http.Redirect(w, r, strings.TrimSuffix(upstream, "/")+r.URL.Path, http.StatusFound)
	}))
	defer proxy.Close()

	binary := filepath.Join(t.TempDir(), "caddy")
	build := exec.CommandContext(t.Context(), "go", "tool", "xcaddy", "build", "v2.11.9",
		"--with", "github.com/captcha-gate/captcha-gate/caddymodule",
		"--replace", "github.com/captcha-gate/captcha-gate="+checkout,
		"--output", binary)
	build.Env = append(os.Environ(), "GOPROXY="+proxy.URL)
	if !measuring && !counting {
		// Compiled like the other Caddy of these tests, so that Caddy is not compiled once more.
		build.Env = append(build.Env, "XCADDY_RACE_DETECTOR=1", "XCADDY_GO_BUILD_FLAGS=-tags=nobadger,nomysql,nopgx")
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	modules, err := exec.CommandContext(t.Context(), binary, "list-modules").Output()
	if err != nil || !strings.Contains(string(modules), "http.handlers.captcha_gate") {
		t.Errorf("%v\n%s", err, modules)
	}
	s := newSite(t)
	s.writeFile("Caddyfile", s.standard(""))
	validate := exec.CommandContext(t.Context(), binary, "validate", "--config", "Caddyfile", "--adapter", "caddyfile")
	validate.Dir = s.dir
	validate.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	if out, err := validate.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
