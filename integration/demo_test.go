package integration

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// Caddyfile.example is what `make demo` runs. Here it gets ports that are free
// and paths that do not depend on the working directory, and nothing else.
func TestTheDemoGreetsWhoeverSignsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := filepath.Abs("../docs/demo")
	if err != nil {
		t.Fatal(err)
	}
	s.start(strings.NewReplacer(
		"docs/demo", demo, "localhost:8080", "localhost:"+strconv.Itoa(s.port), ":8081", ":"+strconv.Itoa(freePort(t)),
	).Replace(string(example)))
	if strings.Contains(s.log.String(), "not formatted") {
		t.Error("Caddyfile.example is not formatted")
	}
	s.url = "http://localhost:" + strconv.Itoa(s.port)

	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const user, password = "demo", "open-sesame-please"
	if !strings.Contains(string(readme), "`"+user+"`") || !strings.Contains(string(readme), "`"+password+"`") {
		t.Error("the README does not say how to sign in")
	}
	// The demo has no secret in its configuration: this is the one it made.
	secret, err := os.ReadFile(filepath.Join(s.dir, "data/caddy/captcha_gate/demo.secret"))
	if err != nil {
		t.Fatal(err)
	}
	// Nothing that a gate of the same user would want as well, who tries both at once.
	for _, name := range []string{"state.db", "default.secret"} {
		if _, err := os.Stat(filepath.Join(s.dir, "data/caddy/captcha_gate", name)); !os.IsNotExist(err) {
			t.Errorf("the demo shares %s with other gates: %v", name, err)
		}
	}
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{secret}, Realm: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()

	v := newVisitor(t, s)
	page := v.page("/")
	if page.StatusCode != http.StatusUnauthorized || !strings.Contains(page.body, "Captcha Gate demo") {
		t.Fatalf("%d\n%s", page.StatusCode, page.body)
	}
	claims, err := maker.Unpack(token(t, page.body))
	if err != nil {
		t.Fatal(err)
	}
	a := v.form("/login", url.Values{
		"username": {user}, "password": {password}, "captcha_token": {token(t, page.body)}, "captcha_answer": {claims.Answer},
	})
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d\n%s", a.StatusCode, a.body)
	}
	if app := v.page("/"); !strings.Contains(app.body, "Hello, "+user+".") || !strings.Contains(app.body, "Remote-User: "+user) {
		t.Errorf("%d\n%s", app.StatusCode, app.body)
	}
	if style := v.do("GET", "/style.css", ""); style.StatusCode != http.StatusOK || !strings.Contains(style.body, "--sea") {
		t.Errorf("style: %d", style.StatusCode)
	}
}
