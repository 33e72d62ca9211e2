package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/crypto/bcrypt"

	"github.com/captcha-gate/captcha-gate/captcha"
)

const gateSecret = "unit-test-secret-0123456789-abcdef"

// usersFile writes a users file in which every password is the user's name
// with "-password" behind it.
func usersFile(t testing.TB, names ...string) string {
	t.Helper()
	var lines strings.Builder
	for _, name := range names {
		hash, err := bcrypt.GenerateFromPassword([]byte(name+"-password"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	path := filepath.Join(t.TempDir(), "users.htpasswd")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load provisions a gate as Caddy does, strict decoding included.
func load(t testing.TB, config Gate) (*Gate, error) {
	t.Helper()
	ownStorage(t)
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.LoadModuleByID("http.handlers.captcha_gate", raw)
	if err != nil {
		return nil, err
	}
	g := module.(*Gate)
	t.Cleanup(func() {
		if err := g.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return g, nil
}

// ownStorage gives the test a data directory and a storage of its own. Caddy
// decides on the storage's place when the program starts.
func ownStorage(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	before := caddy.DefaultStorage.Path
	caddy.DefaultStorage.Path = filepath.Join(dir, "caddy")
	t.Cleanup(func() { caddy.DefaultStorage.Path = before })
}

// memoryGate is a gate that keeps its state in memory, under a realm of its own.
func memoryGate(t testing.TB, names ...string) *Gate {
	t.Helper()
	g, err := load(t, Gate{
		Users: usersFile(t, names...), Secret: []Secret{gateSecret}, Realm: realmOf(t),
		State: &StateConfig{Store: storeMemory},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var notRealm = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func realmOf(t testing.TB) string {
	name := notRealm.ReplaceAllString(t.Name(), ".")
	return name[:min(len(name), 64)]
}

// serve sends a request through the gate. The returned request is what the app
// saw, nil if it was not reached.
func serve(t testing.TB, g *Gate, r *http.Request) (*httptest.ResponseRecorder, *http.Request) {
	t.Helper()
	return serveFrom(t, g, r, "192.0.2.1")
}

// serveFrom does the same for a client of another address.
func serveFrom(t testing.TB, g *Gate, r *http.Request, address string) (*httptest.ResponseRecorder, *http.Request) {
	t.Helper()
	r = throughCaddy(r, false, address)
	r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	w := httptest.NewRecorder()
	var reached *http.Request
	err := g.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		reached = r
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return w, reached
}

var tokenField = regexp.MustCompile(`name="captcha_token" value="([^"]+)"`)

// signInAs walks through the form and returns the cookies.
func signInAs(t testing.TB, g *Gate, user, password string) (*httptest.ResponseRecorder, []*http.Cookie) {
	t.Helper()
	w, _ := serve(t, g, signInRequest(t, g, user, password))
	return w, w.Result().Cookies()
}

// signInRequest is a filled-in form with a right captcha.
func signInRequest(t testing.TB, g *Gate, user, password string) *http.Request {
	t.Helper()
	page, _ := serve(t, g, request("GET", "/login", "Accept", "text/html"))
	match := tokenField.FindStringSubmatch(page.Body.String())
	if match == nil {
		t.Fatalf("no challenge in %d\n%s", page.Code, page.Body)
	}
	body := url.Values{
		"username": {user}, "password": {password},
		"captcha_token": {match[1]}, "captcha_answer": {answer(t, g.Realm, match[1])},
	}
	post := httptest.NewRequest("POST", "/login", strings.NewReader(body.Encode()))
	post.Header.Set("Content-Type", typeForm)
	for _, c := range page.Result().Cookies() {
		post.AddCookie(c)
	}
	return post
}

func answer(t testing.TB, realm, token string) string {
	t.Helper()
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(gateSecret)}, Realm: realm})
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	claims, err := maker.Unpack(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims.Answer
}

func withCookies(r *http.Request, cookies []*http.Cookie) *http.Request {
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

func TestSES15_IdentityNeverCrossesUnderLoad(t *testing.T) {
	users := []string{"anna", "bert"}
	g := memoryGate(t, users...)
	var wg sync.WaitGroup
	for _, user := range users {
		w, cookies := signInAs(t, g, user, user+"-password")
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d", user, w.Code)
		}
		for range 5 {
			wg.Go(func() {
				for range 1000 {
					_, app := serve(t, g, withCookies(request("GET", "/"), cookies))
					if app == nil || app.Header.Get("Remote-User") != user {
						t.Errorf("%s is not %s at the app", app.Header.Get("Remote-User"), user)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestINP7_APanicOfTheGateClosesOneRequest(t *testing.T) {
	g := memoryGate(t, "anna")
	site := g.site
	g.site = nil // the next page cannot be made
	w, app := serve(t, g, request("GET", "/", "Accept", "text/html"))
	if w.Code != http.StatusInternalServerError || app != nil {
		t.Errorf("got %d, app reached: %v", w.Code, app != nil)
	}
	g.site = site
	if w, _ := serve(t, g, request("GET", "/", "Accept", "text/html")); w.Code != http.StatusUnauthorized {
		t.Errorf("the next request: %d", w.Code)
	}
}

func TestAPanicOfTheAppIsNotTheGatesBusiness(t *testing.T) {
	g := memoryGate(t, "anna")
	_, cookies := signInAs(t, g, "anna", "anna-password")
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the panic did not come through")
		}
	}()
	r := throughCaddy(withCookies(request("GET", "/"), cookies), false, "192.0.2.1")
	_ = g.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		panic(http.ErrAbortHandler)
	}))
}

func TestSecretsPrintAsRedacted(t *testing.T) {
	g := Gate{Secret: []Secret{gateSecret}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if out := fmt.Sprintf(format, g.Secret); strings.Contains(out, "unit") || strings.Contains(out, "756e6974") || !strings.Contains(out, "REDACTED") {
			t.Errorf("%s: %s", format, out)
		}
	}
}

func TestTheSecretIsMadeOnceAndKept(t *testing.T) {
	g, err := load(t, Gate{Users: usersFile(t, "anna"), Realm: "kept", State: &StateConfig{Store: storeMemory}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(caddy.DefaultStorage.Path, "captcha_gate", "kept.secret")
	first, err := os.ReadFile(file)
	if err != nil || len(first) != 2*madeSecretBytes {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := storedSecret(ctx, ctx.Storage(), g.Realm); err != nil || string(again) != string(first) {
		t.Errorf("asked again, it is another one: %v", err)
	}
	if other, err := storedSecret(ctx, ctx.Storage(), "other"); err != nil || string(other) == string(first) {
		t.Errorf("another realm has the same one: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := storedSecret(ctx, ctx.Storage(), "kept"); err == nil || !strings.Contains(err.Error(), "kept.secret") {
		t.Errorf("a storage that cannot be read: %v", err)
	}
}

func TestHDR8_WhatAClientSendsIsNeverExpanded(t *testing.T) {
	t.Setenv("GATE_TEST_LEAK", "leaked")
	g := memoryGate(t, "anna")
	w, _ := signInAs(t, g, "{env.GATE_TEST_LEAK}", "{env.GATE_TEST_LEAK}")
	if body := w.Body.String(); strings.Contains(body, "leaked") || !strings.Contains(body, "{env.GATE_TEST_LEAK}") {
		t.Errorf("the name did not come back as text:\n%s", body)
	}
}
