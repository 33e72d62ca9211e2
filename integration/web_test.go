package integration

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// Assets alone may be kept: their names carry a hash of what they are.
func TestWEB1_NoAnswerOfTheGateIsStored(t *testing.T) {
	t.Parallel()
	s := startSite(t, "landing /home\naccounts {\nsign_up on\n}\nthrottle {\nclient 4 10m\nissue 1000 1m\n}")
	v, in, kept := newVisitor(t, s), newVisitor(t, s), newVisitor(t, s)
	kept.signIn()
	page := v.page("/login")
	challenge := "/captcha-gate/challenge/" + token(t, page.body)
	signedIn := in.form("/login", fields(t, in.page("/login").body))
	wrong := func(name string) answer {
		form := fields(t, v.page("/login").body)
		form.Set(name, "wrong")
		return v.form("/login", form)
	}
	for _, c := range []struct {
		what   string
		answer answer
		status int
	}{
		{"the page in place of the app", v.page("/app"), 401},
		{"the refusal of a script", v.do("GET", "/app", "", "Accept", "application/json"), 401},
		{"the sign-in page", page, 200},
		{"its head", v.do("HEAD", "/login", "", "Accept", navigation), 200},
		{"a challenge for a script", v.do("GET", "/captcha-gate/challenge", ""), 200},
		{"a picture", v.do("GET", challenge+".png", ""), 200},
		{"a sound of a picture's challenge", v.do("GET", challenge+".wav", ""), 404},
		{"a sound", v.do("GET", "/captcha-gate/challenge/"+token(t, v.page("/login?kind=audio").body)+".wav", ""), 200},
		{"a sign-in", signedIn, 303},
		{"the sign-in page of who is signed in", in.page("/login"), 303},
		{"the session", in.do("GET", "/captcha-gate/session", ""), 200},
		{"no session", v.do("GET", "/captcha-gate/session", ""), 401},
		{"the account", in.page(accountPath), 200},
		{"a stranger's account", v.page(accountPath), 303},
		{"the page to sign up", v.page("/captcha-gate/sign-up"), 200},
		{"the strength of a password", v.do("POST", "/captcha-gate/password-strength", `{"password":"x"}`, "Content-Type", "application/json"), 200},
		{"the choice of a language", v.page("/captcha-gate/language"), 200},
		{"the page to sign out", in.page("/logout"), 200},
		{"nothing", v.page("/captcha-gate/nothing"), 404},
		{"another method", v.do("DELETE", "/login", ""), 405},
		{"a form of another site", v.do("POST", "/login", "", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site"), 403},
		{"a form of no known type", v.do("POST", "/login", "x", "Content-Type", "text/plain"), 415},
		{"no form", v.do("POST", "/login", "{", "Content-Type", "application/json"), 400},
		{"a wrong answer", wrong("captcha_answer"), 403},
		{"a wrong password", wrong("password"), 401},
		{"one too many", func() answer { wrong("password"); wrong("password"); return wrong("password") }(), 429},
		{"a sign-out", in.form("/logout", nil), 303},
		{"no users file", func() (unavailable answer) {
			if err := os.Remove(s.users); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the users file is missed", 30*time.Second, func() bool { // the last table stays for ten seconds
				unavailable = kept.do("GET", "/captcha-gate/session", "")
				return unavailable.StatusCode >= 500
			})
			return unavailable
		}(), 503},
	} {
		if c.answer.StatusCode != c.status || c.answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", c.what, c.answer.StatusCode, c.answer.Header.Values("Cache-Control"))
		}
	}
	_, style, _ := strings.Cut(page.body, `<link rel="stylesheet" href="`)
	style, _, _ = strings.Cut(style, `"`)
	if a := v.do("GET", style, ""); a.StatusCode != http.StatusOK || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the style sheet %s: %d, Cache-Control %q", style, a.StatusCode, a.Header.Get("Cache-Control"))
	}
}

// A token that is the same on each page can be read from the lengths of compressed
// pages that repeat what the visitor sends (BREACH).
func TestWEB4_TokensDifferOnEachPage(t *testing.T) {
	t.Parallel()
	s := startSite(t, "accounts {\nsign_up on\n}")
	stranger, in := newVisitor(t, s), newVisitor(t, s)
	in.signIn()
	for what, read := range map[string]func() string{
		"of the account":   func() string { return formToken(t, in.page(accountPath).body) },
		"of a script":      func() string { return in.account().FormToken },
		"of the captcha":   func() string { return token(t, stranger.page("/login").body) },
		"of the sign-up":   func() string { return token(t, stranger.page("/captcha-gate/sign-up").body) },
		"of the 401":       func() string { return token(t, stranger.page("/app").body) },
		"after a mistake":  func() string { return token(t, stranger.form("/login", url.Values{"username": {"x"}}).body) },
		"of the sound":     func() string { return token(t, stranger.page("/login?kind=audio").body) },
		"of the challenge": func() string { return token(t, challenge(t, stranger)) },
	} {
		first, second := read(), read()
		same := 0 // from the start, where a compressor would find the one in the other
		for same < min(len(first), len(second)) && first[same] == second[same] {
			same++
		}
		if same > 16 || first == second {
			t.Errorf("%s: %q and %q", what, first, second)
		}
	}
}
