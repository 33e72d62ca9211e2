package integration

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// Rows of the list of requirements that no other test is about.

func TestCAP14_NoHookTellsAnswers(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	v := newVisitor(t, s)
	challenge := token(t, v.page("/login").body)
	answer := solve(t, challenge)
	for _, path := range []string{
		"/captcha-gate/challenge/" + challenge, "/captcha-gate/challenge/" + challenge + ".txt", "/captcha-gate/challenge/" + challenge + "/answer",
		"/captcha-gate/answer/" + challenge, "/captcha-gate/answer", "/captcha-gate/debug", "/captcha-gate/debug/vars", "/captcha-gate/debug/pprof/",
		"/captcha-gate/test", "/captcha-gate/metrics", "/captcha-gate/status", "/captcha-gate/health", "/captcha-gate/config", "/captcha-gate/.env",
	} {
		a := v.do("GET", path+"?answer=1&test=1&debug=1", "", "X-Debug", "1", "X-Test", "1")
		if a.StatusCode != http.StatusNotFound || strings.Contains(strings.ToUpper(a.body), answer) {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		for name, values := range a.Header {
			if strings.Contains(strings.Join(values, " "), answer) {
				t.Errorf("%s: header %s tells it", path, name)
			}
		}
	}
}

func TestCRD2_LongPasswordsWorkAndTooLongOnesAreRefusedInClearWords(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	v := newVisitor(t, s)
	v.signIn()
	long := strings.Repeat("kx7 pqzv", 8) // 64 characters
	a, r := v.json(accountPath, change(testPassword, long+"123456789"))
	wantCode(t, "73 bytes", a, r, 422, "password_too_long")
	if r.ErrorMessage == "" || strings.Contains(r.ErrorMessage, "our side") {
		t.Errorf("it says %q", r.ErrorMessage)
	}
	a, r = v.json(accountPath, change(testPassword, long))
	wantCode(t, "64 characters", a, r, 200, "password_changed")
	for password, right := range map[string]bool{long: true, long[:63]: false, long + "1": false, " " + long: false} {
		other := newVisitor(t, s)
		f := fields(t, other.page("/login").body)
		f.Set("password", password)
		if a := other.form("/login", f); (a.StatusCode == http.StatusSeeOther) != right {
			t.Errorf("%d characters: %d", len(password), a.StatusCode)
		}
	}
}

// TestCSR5_NobodyIsSignedInAsSomebodyElse: an attacker's page posts the attacker's
// own right sign-in from the victim's browser.
func TestCSR5_NobodyIsSignedInAsSomebodyElse(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	attacker := newVisitor(t, s)
	form := fields(t, attacker.page("/login").body)
	for what, victim := range map[string]*visitor{"never here before": newVisitor(t, s), "has the page open": newVisitor(t, s)} {
		if what != "never here before" {
			victim.page("/login")
		}
		for _, header := range [][]string{nil, {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}} {
			a := victim.do("POST", "/login", form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
			if a.StatusCode != http.StatusForbidden || victim.isSignedIn() {
				t.Errorf("%s, %v: %d", what, header, a.StatusCode)
			}
		}
	}
	if a := attacker.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the attacker's own try was used up: %d", a.StatusCode)
	}
}

func TestRED2_ATamperedReturnTargetFallsBack(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	for _, target := range []string{
		"//evil.example", "https://evil.example", `/\evil.example`, "/%5cevil.example", "/a\r\nSet-Cookie: x=1", "javascript:alert(1)",
		"/login", "/captcha-gate/session", "/logout", "\\\\evil.example", "/..//evil.example", "/\t/evil.example",
	} {
		v := newVisitor(t, s)
		form := fields(t, v.page("/login?rd=/fine").body) // the page was drawn with a good one
		form.Set("rd", target)
		a := v.form("/login", form)
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
			t.Errorf("%q leads to %d %q", target, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestPTH2_QueriesAndFragmentsOpenNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("@private not path /public /public/*\ncaptcha_gate @private {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address))
	for path, open := range map[string]bool{
		"/public": true, "/public/": true, "/public/a": true, "/public/a?x=/private": true,
		"/private?/public": false, "/private?x=/public/": false, "/private?public": false,
		"/private%3f/public/": false, "/private%23/public/": false,
		// PTH-3: whole segments
		"/publicity": false, "/public.": false, "/publi": false, "/x/public/a": false, "/public%2fa": false, "/PUBLICITY": false,
	} {
		a := newVisitor(t, s).do("GET", path, "", "Accept", "application/json")
		if want := map[bool]int{true: 200, false: 401}[open]; a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
}

func TestPTH3_WholeSegmentsCount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate /admin/* {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address))
	for path, open := range map[string]bool{
		"/administration": true, "/admin": true, "/admin/": false, "/admin/x": false, "/ADMIN/x": false, "/admin//x": false, "/x/../admin/x": false,
	} {
		a := newVisitor(t, s).do("GET", path, "", "Accept", "application/json")
		if want := map[bool]int{true: 200, false: 401}[open]; a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
}

// TestINP4_TheBuildUsesAGoWithoutTheKnownFaults: before 1.26.6 net/http had some.
func TestINP4_TheBuildUsesAGoWithoutTheKnownFaults(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "version", caddyBinary).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	version := string(out[strings.LastIndex(string(out), "go1"):])
	for _, old := range []string{"go1.26.0", "go1.26.1", "go1.26.2", "go1.26.3", "go1.26.4", "go1.26.5", "go1.26rc"} {
		if strings.HasPrefix(version, old) && (len(version) == len(old) || version[len(old)] < '0' || version[len(old)] > '9') {
			t.Errorf("built with %s", version)
		}
	}
}

func TestUSR10_HtpasswdKeepsContacts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	contacts := s.writeFile("contacts.json", `{"`+testUser+`": {"email": "alice@example.com"}}`)
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "contacts " + contacts + "\n}\nreverse_proxy " + s.upstream.address))
	if out, err := exec.CommandContext(t.Context(), "htpasswd", "-bB", "-C", "10", s.users, testUser, newPassword).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v := newVisitor(t, s)
	eventually(t, "the new password is known", 5e9, func() bool {
		f := fields(t, v.page("/login").body)
		f.Set("password", newPassword)
		return v.form("/login", f).StatusCode == http.StatusSeeOther
	})
	a := v.do("GET", "/captcha-gate/session", "")
	if !strings.Contains(a.body, `"email":"alice@example.com"`) {
		t.Errorf("%s", a.body)
	}
	v.do("GET", "/app", "", "Remote-Email", "root@example.com")
	last := s.upstream.requests()[len(s.upstream.requests())-1]
	if got := last.Header["Remote-Email"]; len(got) != 1 || got[0] != "alice@example.com" {
		t.Errorf("the app saw %q", got)
	}
}
