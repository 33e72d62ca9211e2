package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The browser would go on sending its cookie for ever: the limits are the
// server's (SES-4).
func TestSES4_SessionsEndByTheServersClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits   string
		remember string
	}{
		"lifetime":            {"lifetime 2s", ""},
		"idle":                {"idle 2s", ""},
		"lifetime remembered": {"remember 2s", "on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t, "session {\n"+c.limits+"\n}")
			v := newVisitor(t, s)
			form := fields(t, v.page("/login").body)
			form.Set("remember", c.remember)
			a := v.form("/login", form)
			if a.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			session := ""
			for _, cookie := range a.Cookies() {
				if cookie.Name == "captcha_gate" {
					session = cookie.Value
				}
			}
			// Asking keeps an idle session alive, so each look is later than the one before.
			for wait := time.Second; newVisitor(t, s).do("GET", "/app", "", "Cookie", "captcha_gate="+session).StatusCode != http.StatusUnauthorized; wait += time.Second {
				if wait > 6*time.Second {
					t.Fatal("the session does not end")
				}
				time.Sleep(wait)
			}
		})
	}
}

func TestSES2_SigningInAlwaysMakesANewSession(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	planted := strings.Repeat("A", 43)
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	a := v.do("POST", "/login", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Cookie", "captcha_gate="+planted)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	first := sessionCookie(t, v)
	if first == planted {
		t.Error("the planted id was taken")
	}
	if a := newVisitor(t, s).do("GET", "/app", "", "Cookie", "captcha_gate="+planted); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the planted id opens the app: %d", a.StatusCode)
	}
	again := fields(t, challenge(t, v))
	if a := v.form("/login", again); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if sessionCookie(t, v) == first {
		t.Error("the second sign-in kept the id")
	}
	if a := newVisitor(t, s).do("GET", "/app", "", "Cookie", "captcha_gate="+first); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the first session is still alive: %d", a.StatusCode)
	}
}

func TestCSR2_OtherSitesCannotSignAnybodyOut(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			a := v.do("POST", "/logout", "", append([]string{"Accept", accept}, header...)...)
			if a.StatusCode != http.StatusForbidden || a.Header.Get("Set-Cookie") != "" || !v.isSignedIn() {
				t.Errorf("%v: %d, still signed in: %v", header, a.StatusCode, v.isSignedIn())
			}
		}
	}
	if a := v.do("POST", "/logout", "", "Sec-Fetch-Site", "same-origin"); a.StatusCode != http.StatusSeeOther || v.isSignedIn() {
		t.Errorf("the site's own button: %d", a.StatusCode)
	}
}

// Whatever looks at an address without meaning it changes nothing.
func TestCSR1_LookingChangesNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, "landing /home")
	v := newVisitor(t, s)
	for path, want := range map[string]int{"/login": http.StatusOK, "/app": http.StatusUnauthorized, "/logout": http.StatusOK, "/captcha-gate/session": http.StatusUnauthorized} {
		get, head := v.page(path), v.do("HEAD", path, "", "Accept", navigation)
		if get.StatusCode != want || head.StatusCode != want || head.body != "" || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("%s: GET %d, HEAD %d %s", path, get.StatusCode, head.StatusCode, head.Header.Get("Content-Type"))
		}
	}
	v.signIn()
	for _, method := range []string{"GET", "HEAD"} {
		if a := v.do(method, "/logout", "", "Sec-Purpose", "prefetch"); a.StatusCode != http.StatusOK || a.Header.Get("Set-Cookie") != "" || !v.isSignedIn() {
			t.Errorf("%s logout: %d", method, a.StatusCode)
		}
		if a := v.do(method, "/login", ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/home" || !v.isSignedIn() {
			t.Errorf("%s login: %d to %q", method, a.StatusCode, a.Header.Get("Location"))
		}
		if a := v.do(method, "/file", ""); a.StatusCode != http.StatusOK {
			t.Errorf("%s of the app: %d", method, a.StatusCode)
		}
	}
}

func TestPlaceholderAndAccessLogKnowTheUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("log\ncaptcha_gate /private/* {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address + " {\nheader_up X-Id {http.auth.user.id}\n}"))
	v := newVisitor(t, s)
	id := func(path string) string {
		var app seen
		if a := v.do("GET", path, ""); json.Unmarshal([]byte(a.body), &app) != nil {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return app.Header.Get("X-Id")
	}
	// Caddy leaves a placeholder that nobody has set as it is.
	if got := id("/public"); got != "{http.auth.user.id}" {
		t.Errorf("nobody is called %q", got)
	}
	v.signIn()
	for _, path := range []string{"/public", "/private/x"} {
		if got := id(path); got != testUser {
			t.Errorf("%s: the placeholder is %q", path, got)
		}
	}
	eventually(t, "the access log names the user", 10*time.Second, func() bool { return strings.Contains(s.log.String(), `"user_id":"`+testUser+`"`) })
}
