package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Another process holds the state file, so that nobody can tell who is signed
// in and what was spent. Everything that needs to know is refused with 503 and
// changes nothing; what needs nothing goes on (contract 4 and 8).
func TestStateUnavailableIsSaidAndCostsNothing(t *testing.T) {
	t.Parallel()
	holder := newSite(t)
	state := "state local " + filepath.Join(holder.dir, "shared.db")
	holder.start(holder.standard(state))
	in, out := newVisitor(t, holder), newVisitor(t, holder)
	in.signIn()
	form := fields(t, out.page("/login").body)
	object := map[string]any{}
	for name := range form {
		object[name] = form.Get(name)
	}

	s := newSite(t)
	s.start(s.caddyfile("captcha_gate /private/* {\n" + s.basics() + state + "\n}\nreverse_proxy " + s.upstream.address))
	in.site, out.site = s, s // ports do not part cookies
	unavailable := func(what string, a answer) {
		t.Helper()
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q", what, a.StatusCode, a.Header.Get("Retry-After"))
		}
		if a.Header["Set-Cookie"] != nil {
			t.Errorf("SES-11: %s sets %v", what, a.Header["Set-Cookie"])
		}
		if a.Header.Get("Content-Type") == "application/json" {
			if r := decode(t, a); r.Code != "state_unavailable" || r.Status != "failed" || r.RetryAfter < 1 {
				t.Errorf("%s: %s", what, a.body)
			}
		}
	}
	unavailable("the app with a session", in.do("GET", "/private/x", ""))
	unavailable("the app with a session, in a browser", in.page("/private/x"))
	unavailable("the session", in.do("GET", "/captcha-gate/session", ""))
	unavailable("GET login with a session", in.page("/login"))
	unavailable("signing out", in.form("/logout", nil))
	unavailable("GET login", out.page("/login"))
	unavailable("GET login for the first time", newVisitor(t, s).page("/login"))
	unavailable("the app for the first time", newVisitor(t, s).page("/private/x"))
	unavailable("signing in", out.form("/login", form))
	byJSON, _ := out.json("/login", object)
	unavailable("signing in by JSON", byJSON)
	unavailable("a challenge", out.do("GET", "/captcha-gate/challenge", ""))
	unavailable("a picture", out.do("GET", "/captcha-gate/challenge/"+form.Get("captcha_token")+".png", ""))
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}

	// Neither needs the state.
	if a := newVisitor(t, s).do("GET", "/private/x", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a script without cookies: %d", a.StatusCode)
	}
	for name, v := range map[string]*visitor{"nobody": newVisitor(t, s), "somebody": in} {
		var app seen
		a := v.do("GET", "/public", "", "Remote-User", "root")
		if err := json.Unmarshal([]byte(a.body), &app); err != nil || a.StatusCode != http.StatusOK || app.Header["Remote-User"] != nil {
			t.Errorf("unprotected, %s: %d, Remote-User %q, %v", name, a.StatusCode, app.Header["Remote-User"], err)
		}
	}

	holder.stop()
	eventually(t, "the session is back", 10*time.Second, func() bool {
		return in.do("GET", "/private/x", "").StatusCode == http.StatusOK
	})
	if a := out.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the challenge was used up: %d", a.StatusCode)
	}
}

// A store that no configuration uses any more is closed, so that another
// process can have its file.
func TestAReloadLetsGoOfTheStateItNoLongerUses(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	state := "state local " + filepath.Join(first.dir, "shared.db")
	first.start(first.standard(state))
	v := newVisitor(t, first)
	v.signIn()
	for range 2 { // however often it was shared
		if status, body := first.load(first.standard(state + "\nlanding /other")); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, body := first.load(first.standard("state memory")); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if v.isSignedIn() {
		t.Error("the session is in the new store too")
	}
	second := newSite(t)
	second.start(second.standard(state))
	v.site = second
	eventually(t, "the other process has the file", 10*time.Second, v.isSignedIn)
}

// INP-6: a client that never ends its form does not hold the connection.
func TestINP6_ASlowFormIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	fmt.Fprint(conn, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nusername=a")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", response.StatusCode)
	}
	s.blamesNobody()
}

// Whoever closes the tab while a sign-in is judged leaves nothing behind that
// looks like a fault of the gate.
func TestAClientThatHangsUpIsNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	v := newVisitor(t, s)
	v.page("/login")
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, c := range v.client.Jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	for i := range 5 {
		form := fields(t, challenge(t, v))
		form.Set("password", "wrong")
		body := form.Encode()
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			strings.Join(cookies, "; "), len(body), body)
		_ = conn.Close()
		eventually(t, "the try is judged", 20*time.Second, func() bool { return strings.Count(s.log.String(), `"msg":"sign-in failed"`) > i })
	}
	s.stop() // and with it the last line of the log is written
	s.blamesNobody()
}

// blamesNobody expects that no error is in the log: errors are faults of the
// gate's own.
func (s *site) blamesNobody() {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"level":"error"`) {
			s.t.Errorf("logged as a fault: %s", line)
		}
	}
}
