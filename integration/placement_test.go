package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestTheMatcherSelectsWhatIsProtected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate /private/* {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	if a := v.do("GET", "/public", ""); a.StatusCode != http.StatusOK {
		t.Errorf("unprotected: %d", a.StatusCode)
	}
	for path, want := range map[string]int{
		"/private/x": http.StatusUnauthorized, "/PRIVATE/x": http.StatusUnauthorized, "/privateer": http.StatusOK,
		"/login": http.StatusOK, "/captcha-gate/session": http.StatusUnauthorized, "/public?/private/x": http.StatusOK,
	} {
		if a := v.do("GET", path, ""); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
	v.signIn()
	var app seen
	if err := json.Unmarshal([]byte(v.do("GET", "/public", "").body), &app); err != nil || app.Header.Get("Remote-User") != testUser {
		t.Errorf("signed in on an unprotected path, the app saw %v, %v", app.Header, err)
	}
}

// Everything outside of /public/ is protected. None of these may get through
// without a session, however some upstream would read them (facts 3 and 4).
func TestPTH1_OddSpellingsAreProtected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("@inside not path /public/*\ncaptcha_gate @inside {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	for _, target := range []string{
		"/public/x", "/public/", "/public/caf%C3%A9", "/public/a%20b",
	} {
		if status := raw(t, s, "GET "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); status != http.StatusOK {
			t.Errorf("plain %s: %d", target, status)
		}
	}
	before := len(s.upstream.requests())
	for _, target := range []string{
		"/admin", "/", "/publicity", "/public", "/public/../admin", "/public/./x", "/public/..", "/public/../admin?x=/public/", "/admin?/public/x",
		"/public/%2e%2e/admin", "/public/%2E%2E/admin", "/public/.%2e/admin", "/public/%2e./admin", "/public/%252e%252e/admin", "/public/%25252e/x",
		"/public/..;/admin", "/public/..;x=y/admin", "/public;x/../admin", "/public/x;y", "/public/%3b/admin", "/public/..%3b/admin",
		"/public/..%5cadmin", "/public/..%5Cadmin", "/public/%5c..%5cadmin", `/public/..\admin`, `/public\..\admin`,
		"/public/..%2fadmin", "/public/%2e%2e%2fadmin", "/public%2f..%2fadmin", "/public/..%252fadmin", "/public/%2f/admin",
		"//admin", "//public/x", "/public//admin", "/public///..//admin", "/public/x%00", "/public/%00/admin", "/public/x%0d%0a", "/public/%1f",
		"/public/x%23", "/admin#/public/x", "/public/x%3f", "/public/%c0%ae%c0%ae/admin", "/public/%ff", "/public/...", "/public/x%2520",
		"/public/%ef%bc%8e%ef%bc%8e/admin", "/public/%u002e%u002e/admin", "*", "http://evil.example/public/../admin",
	} {
		status := raw(t, s, "GET "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		if n := len(s.upstream.requests()); n != before {
			t.Errorf("%s: %d, and the app was reached", target, status)
			before = n
		}
	}
}

// gated is a site block with a gate somewhere in it, and where a browser meets
// the gate's paths.
type gated struct {
	body   func(s *site) string
	app    string // an address of the app
	prefix string // in front of the gate's paths
	login  string
}

func TestTheGateWorksWhereverItIsPut(t *testing.T) {
	t.Parallel()
	gate := func(s *site, more string) string { return "captcha_gate {\n" + s.basics() + more + "\n}\n" }
	proxy := func(s *site) string { return "reverse_proxy " + s.upstream.address + "\n" }
	for name, c := range map[string]gated{
		"handle": {func(s *site) string { return "handle {\n" + gate(s, "") + proxy(s) + "}" }, "/app", "", "/login"},
		"handle with paths of its own": {func(s *site) string {
			return "handle /app/* {\n" + gate(s, "login /app/sign-in\nlogout /app/sign-out\nbase_path /app/gate\nlanding /app/home\n") + proxy(s) + "}\nrespond other 404"
		}, "/app/x", "", "/app/sign-in"},
		"handle_path": {func(s *site) string {
			return "handle_path /app/* {\n" + gate(s, "") + proxy(s) + "}\nrespond other 404"
		}, "/app/x", "/app", "/login"},
		"route":            {func(s *site) string { return "route {\n" + gate(s, "") + proxy(s) + "}" }, "/app", "", "/login"},
		"uri strip_prefix": {func(s *site) string { return "uri strip_prefix /app\n" + gate(s, "") + proxy(s) }, "/app/x", "/app", "/login"},
		"try_files": {func(s *site) string {
			return "root * " + s.dir + "\ntry_files {path} /index.html\n" + gate(s, "") + "file_server"
		}, "/deep/link", "", "/login"},
		"rewrite": {func(s *site) string { return "rewrite * /index.html\n" + gate(s, "") + proxy(s) }, "/deep/link", "", "/login"},
		"before basic_auth, written after": {func(s *site) string {
			return proxy(s) + "basic_auth /never/* {\nbob " + testHash + "\n}\n" + gate(s, "")
		}, "/app", "", "/login"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.writeFile("index.html", "the app")
			s.start(s.caddyfile(c.body(s)))
			v := newVisitor(t, s)
			page := v.page(c.app)
			if page.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%s: %d", c.app, page.StatusCode)
			}
			for _, link := range links(page.body) {
				if !strings.HasPrefix(link, c.prefix+"/") {
					t.Errorf("%s does not begin with %s", link, c.prefix)
				}
				if strings.Contains(link, "/assets/") || strings.HasSuffix(link, ".png") {
					if a := v.do("GET", link, ""); a.StatusCode != http.StatusOK || a.body == "the app" {
						t.Errorf("%s: %d", link, a.StatusCode)
					}
				}
			}
			form := fields(t, page.body)
			form.Set("rd", c.app)
			a := v.form(c.prefix+c.login, form)
			if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != c.app {
				t.Fatalf("sign-in: %d to %q\n%s", a.StatusCode, a.Header.Get("Location"), a.body)
			}
			if a := v.do("GET", c.app, ""); a.StatusCode != http.StatusOK {
				t.Errorf("the app: %d", a.StatusCode)
			}
		})
	}
}

var linkPattern = regexp.MustCompile(`(?:href|src|action|data-challenge)="(/[^"]*)"`)

// links are the addresses on a page of the gate.
func links(page string) (all []string) {
	for _, match := range linkPattern.FindAllStringSubmatch(page, -1) {
		all = append(all, match[1])
	}
	return all
}

func TestSES7_ACookieOfOneRealmIsNothingInAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gate := func(realm string) string {
		return "captcha_gate {\n" + s.basics() + "realm " + realm + "\n}\nreverse_proxy " + s.upstream.address
	}
	second := freePort(t)
	s.start(s.caddyfile(gate("one")) + fmt.Sprintf("http://127.0.0.1:%d {\n%s\n}\n", second, gate("two")))
	v := newVisitor(t, s)
	challenge := token(t, v.page("/login").body)
	form := map[string]any{
		"username": testUser, "password": testPassword, "captcha_token": challenge, "captcha_answer": solveIn(t, "one", challenge),
	}
	if a, _ := v.json("/login", form); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if !v.isSignedIn() {
		t.Fatal("not signed in")
	}
	// The jar sends the cookie to the other port too: ports do not part cookies.
	s.url = fmt.Sprintf("http://127.0.0.1:%d", second)
	if v.isSignedIn() {
		t.Error("the session opens the other realm")
	}
}

func TestHumanOnlyAsksForTheCaptchaAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate {\nhuman_only\nsecret " + testSecret + "\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	page := v.page("/")
	if strings.Contains(page.body, `name="password"`) {
		t.Error("the page asks for a password")
	}
	form := fields(t, page.body)
	form.Del("username")
	form.Del("password")
	wrong := fields(t, v.page("/").body)
	wrong.Set("captcha_answer", "wrong")
	if a := v.form("/login", wrong); a.StatusCode != http.StatusForbidden || v.isSignedIn() {
		t.Errorf("a wrong answer: %d", a.StatusCode)
	}
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	var app seen
	if err := json.Unmarshal([]byte(v.do("GET", "/", "").body), &app); err != nil {
		t.Fatal(err)
	}
	if got, has := app.Header["Remote-User"]; has {
		t.Errorf("Remote-User is %q", got)
	}
}

// The other way round: only /private/* is protected, and no spelling of it is
// mistaken for a path beside it.
func TestPTH1_OddSpellingsOfAProtectedPathAreProtected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate /private/* {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	for _, target := range []string{
		"/private/x", "/private/", "/PRIVATE/x", "/Private/x", "/%70rivate/x", "/p%72ivat%65/x", "/private/%78", "/private/x?y=/public", "/private/x#/public",
		"/public/../private/x", "/public/./../private/x", "/public/%2e%2e/private/x", "/public/.%2E/private/x", "/public/..;/private/x",
		"/public/..;a=b/private/x", "/public/%5c..%5cprivate/x", `/public\..\private\x`, "/public/..%5cprivate/x", "/public/..%2fprivate/x",
		"/public/%252e%252e/private/x", "/public/%25252e%25252e/private/x", "/public/..%252fprivate/x", "/public/%u002e%u002e/private/x",
		"/public/%c0%ae%c0%ae/private/x", "/public/%ef%bc%8e%ef%bc%8e/private/x", "/public%ef%bc%8f..%ef%bc%8fprivate/x",
		"//private/x", "///private/x", "/./private/x", "/.//private/x", "/x/..//private/x", "/private//x", "/private/./x", "/private/../private/x",
		"/private;a/x", "/private;/x", "/;/private/x", "/private%3b/x", "/private%2fx", "/private%2Fx", "/private%5cx", "/%2fprivate/x", "/%5cprivate/x",
		"/private%00/x", "/private%09/x", "/private%20/x", "/%20/private/x", "/private%0a/x", "/private%0d/x", "/private%7f/x", "/private%3f/x", "/private%23/x",
		"/%2570rivate/x", "/%25%37%30rivate/x", "/private/%2e", "/%2e/private/x", "/...//private/x", "/public/%ff/../private/x",
		"http://127.0.0.1/private/x", "http://127.0.0.1//private/x",
	} {
		before := len(s.upstream.requests())
		status := raw(t, s, "GET "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		if len(s.upstream.requests()) != before || status < 400 || status >= 500 {
			t.Errorf("%s: %d, the app was reached: %v", target, status, len(s.upstream.requests()) != before)
		}
	}
	for _, method := range []string{"HEAD", "OPTIONS", "POST", "PUT", "PROPFIND", "FOO", "get"} {
		before := len(s.upstream.requests())
		if raw(t, s, method+" /private/x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") != http.StatusUnauthorized || len(s.upstream.requests()) != before {
			t.Errorf("PTH-6: %s is free", method)
		}
	}
}

func TestTheGateComesBeforeOtherAuthenticationWithoutOrder(t *testing.T) {
	t.Parallel()
	t.Run("forward_auth", func(t *testing.T) {
		s, checker := newSite(t), newUpstream(t)
		s.start(s.caddyfile("reverse_proxy " + s.upstream.address + "\nforward_auth " + checker.address + " {\nuri /check\n}\ncaptcha_gate {\n" + s.basics() + "\n}"))
		v := newVisitor(t, s)
		if a := v.page("/app"); a.StatusCode != http.StatusUnauthorized || len(checker.requests()) != 0 {
			t.Errorf("without a session: %d, the other one was asked %d times", a.StatusCode, len(checker.requests()))
		}
		v.signIn()
		if !v.isSignedIn() {
			t.Fatal("not signed in")
		}
		asked := checker.requests()
		if len(asked) != 1 || asked[0].URI != "/check" || asked[0].Header.Get("Remote-User") != testUser {
			t.Errorf("the other one was asked %v", asked)
		}
		if cookies := fmt.Sprint(asked[0].Header["Cookie"]); strings.Contains(cookies, "captcha_gate") {
			t.Errorf("SES-12: the other one saw %s", cookies)
		}
	})
	t.Run("basic_auth", func(t *testing.T) {
		s := newSite(t)
		s.start(s.caddyfile("reverse_proxy " + s.upstream.address + "\nbasic_auth {\nbob " + testHash + "\n}\ncaptcha_gate {\n" + s.basics() + "\n}"))
		v := newVisitor(t, s)
		if a := v.page("/app"); a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Cookie ") || token(t, a.body) == "" {
			t.Errorf("without a session: %d %v", a.StatusCode, a.Header)
		}
		v.signIn()
		if a := v.do("GET", "/app", ""); a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("with a session: %d %v", a.StatusCode, a.Header)
		}
		if n := len(s.upstream.requests()); n != 0 {
			t.Errorf("the app was reached %d times", n)
		}
	})
}

// SES-7, from end to end: neither a session nor a solved challenge of one realm
// is worth anything in the other, with one secret and one state file for both.
func TestSES7_AChallengeOfOneRealmIsNothingInAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gate := func(realm string) string {
		return "captcha_gate {\n" + s.basics() + "realm " + realm + "\n}\nreverse_proxy " + s.upstream.address
	}
	second := freePort(t)
	s.start(s.caddyfile(gate("one")) + fmt.Sprintf("http://127.0.0.1:%d {\n%s\n}\n", second, gate("two")))
	v := newVisitor(t, s)
	solved := token(t, v.page("/login").body)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", second)
	v.page("/login")
	post := func() (answer, reply) {
		return v.json("/login", map[string]any{
			"username": testUser, "password": testPassword, "captcha_token": solved, "captcha_answer": solveIn(t, "one", solved),
		})
	}
	if a, r := post(); a.StatusCode != http.StatusForbidden || r.Code != "captcha_expired" {
		t.Errorf("in the other realm: %d %s", a.StatusCode, r.Code)
	}
}
