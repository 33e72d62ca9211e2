package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const navigation = "text/html,application/xhtml+xml,*/*;q=0.8"

func TestAVisitorWithoutASessionIsAsked(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)

	page := v.page("/wiki/page?x=1&y=a%20b")
	if page.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("a navigation got %d %s", page.StatusCode, page.Header.Get("Content-Type"))
	}
	if !strings.Contains(page.body, `name="rd" value="/wiki/page?x=1&amp;y=a%20b"`) {
		t.Errorf("the page does not remember where it was asked for:\n%s", page.body)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("WEB-3 policy: %q", policy)
	}

	script := v.do("GET", "/wiki/page", "", "Accept", "*/*")
	if r := decode(t, script); script.StatusCode != http.StatusUnauthorized || r.Code != "unauthenticated" || r.Status != "failed" {
		t.Errorf("a script got %d %s", script.StatusCode, script.body)
	}
	if got := script.Header.Get("WWW-Authenticate"); got != `Cookie realm="default" form-action="/login"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	if len(s.upstream.requests()) != 0 {
		t.Errorf("the app was reached: %v", s.upstream.requests())
	}
}

func TestSignInAndOutByForm(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	page := v.page("/wiki?x=1")
	form := fields(t, page.body)
	form.Set("rd", "/wiki?x=1")
	a := v.form("/login", form)
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/wiki?x=1" {
		t.Fatalf("got %d to %q\n%s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	var app seen
	if err := json.Unmarshal([]byte(v.do("GET", "/wiki?x=1", "", "Cookie", "mine=1").body), &app); err != nil {
		t.Fatal(err)
	}
	if got := app.Header["Remote-User"]; len(got) != 1 || got[0] != testUser {
		t.Errorf("the app saw Remote-User %q", got)
	}
	if cookies := strings.Join(app.Header["Cookie"], ";"); strings.Contains(cookies, "captcha_gate") || !strings.Contains(cookies, "mine=1") {
		t.Errorf("SES-12: the app saw the cookies %q", cookies)
	}

	info := v.do("GET", "/captcha-gate/session", "")
	var session struct {
		Authenticated bool `json:"authenticated"`
		User          struct{ ID, Email string }
		ExpiresAt     time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(info.body), &session); err != nil || !session.Authenticated || session.User.ID != testUser {
		t.Errorf("session: %d %s, %v", info.StatusCode, info.body, err)
	}
	if again := v.page("/login?rd=/wiki"); again.StatusCode != http.StatusSeeOther || again.Header.Get("Location") != "/wiki" {
		t.Errorf("the sign-in page for somebody signed in: %d to %q", again.StatusCode, again.Header.Get("Location"))
	}

	if out := v.page("/logout"); out.StatusCode != http.StatusOK || !v.isSignedIn() {
		t.Errorf("CSR-1: GET logout: %d, still signed in: %v", out.StatusCode, v.isSignedIn())
	}
	old := sessionCookie(t, v)
	if out := v.form("/logout", nil); out.StatusCode != http.StatusSeeOther || out.Header.Get("Location") != "/login" {
		t.Errorf("sign-out: %d to %q", out.StatusCode, out.Header.Get("Location"))
	}
	if v.isSignedIn() {
		t.Error("still signed in")
	}
	if replay := newVisitor(t, s).do("GET", "/app", "", "Cookie", "captcha_gate="+old); replay.StatusCode != http.StatusUnauthorized {
		t.Errorf("SES-3: the old cookie still opens the app: %d", replay.StatusCode)
	}
}

// sessionCookie is the visitor's session token.
func sessionCookie(t *testing.T, v *visitor) string {
	t.Helper()
	at, err := url.Parse(v.site.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.client.Jar.Cookies(at) {
		if c.Name == "captcha_gate" {
			return c.Value
		}
	}
	t.Fatal("no session cookie")
	return ""
}

func TestSignInAndOutByJSON(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.page("/login")
	challenge := v.do("GET", "/captcha-gate/challenge?kind=image&for=login", "", "Accept", "application/json")
	var c map[string]any
	if err := json.Unmarshal([]byte(challenge.body), &c); err != nil || challenge.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", challenge.StatusCode, challenge.body, err)
	}
	for _, key := range []string{"token", "kind", "image_url", "audio_url", "work", "expires_at"} {
		if _, has := c[key]; !has {
			t.Errorf("a challenge has no %s: %s", key, challenge.body)
		}
	}
	picture := v.do("GET", c["image_url"].(string), "")
	if picture.StatusCode != http.StatusOK || picture.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(picture.body, "\x89PNG") {
		t.Errorf("picture: %d %s", picture.StatusCode, picture.Header.Get("Content-Type"))
	}
	if again := v.do("GET", c["image_url"].(string), ""); again.body != picture.body {
		t.Error("CAP-8: the picture is not the same the second time")
	}
	if head := v.do("HEAD", c["image_url"].(string), ""); head.StatusCode != http.StatusOK || head.ContentLength != int64(len(picture.body)) {
		t.Errorf("HEAD of the picture: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	token := c["token"].(string)
	a, _ := v.json("/login", map[string]any{
		"username": testUser, "password": testPassword, "captcha_token": token, "captcha_answer": strings.ToLower(solve(t, token)),
		"rd": "/deep?x=1", "remember": true,
	})
	want := `{"status":"success","code":"signed_in","redirect_url":"/deep?x=1","error_message":""}`
	if a.StatusCode != http.StatusOK || strings.TrimSpace(a.body) != want {
		t.Fatalf("got %d %s, want %s", a.StatusCode, a.body, want)
	}
	if !v.isSignedIn() {
		t.Error("not signed in")
	}
	out, r := v.json("/logout", map[string]any{})
	if out.StatusCode != http.StatusOK || r.Code != "signed_out" || v.isSignedIn() {
		t.Errorf("sign-out: %d %s", out.StatusCode, out.body)
	}
}

func TestSES8_CookieAttributes(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	for name, c := range map[string]struct {
		remember string
		maxAge   int
	}{"for this visit": {"", 0}, "remembered": {"on", 30 * 24 * 3600}} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, s)
			form := fields(t, v.page("/login").body)
			form.Set("remember", c.remember)
			a := v.form("/login", form)
			found := false
			for _, cookie := range a.Cookies() {
				if cookie.Name != "captcha_gate" {
					continue
				}
				found = true
				if cookie.MaxAge != c.maxAge || cookie.Path != "/" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Domain != "" {
					t.Errorf("%s", cookie.Raw)
				}
			}
			if !found {
				t.Errorf("no session cookie in %v", a.Header["Set-Cookie"])
			}
		})
	}
}

func TestOnlyNavigationsGetTheBrowserCookie(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	for name, c := range map[string]struct {
		path   string
		header []string
		want   bool
	}{
		"page":          {"/", []string{"Accept", navigation, "Sec-Fetch-Mode", "navigate"}, true},
		"sign-in page":  {"/login", []string{"Accept", navigation}, true},
		"script":        {"/", []string{"Accept", navigation, "Sec-Fetch-Mode", "cors"}, false},
		"image":         {"/x.png", []string{"Accept", "image/*", "Sec-Fetch-Mode", "no-cors"}, false},
		"challenge":     {"/captcha-gate/challenge", nil, false},
		"unknown below": {"/captcha-gate/nope", []string{"Accept", navigation}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newVisitor(t, s).do("GET", c.path, "", c.header...)
			if got := len(a.Header["Set-Cookie"]) > 0; got != c.want {
				t.Errorf("got %v", a.Header["Set-Cookie"])
			}
		})
	}
}

func TestHDR1_IdentityComesFromTheGateOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate /private/* {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	v.signIn()
	session := sessionCookie(t, v)
	for _, path := range []string{"/public", "/private/x"} {
		for _, cookie := range []string{"", "Cookie: captcha_gate=" + session + "\r\n"} {
			if path == "/private/x" && cookie == "" {
				continue
			}
			before := len(s.upstream.requests())
			status := raw(t, s, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+cookie+
				"Remote-User: root\r\nremote_user: root\r\nREMOTE.USER: root\r\nRemote-Groups: admin\r\nRemote_Email: a@b\r\nrEmOtE-NaMe: Root\r\n"+
				"Connection: close, Remote-User, X-Forwarded-For\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
			if status != 200 {
				t.Fatalf("%s: %d", path, status)
			}
			app := s.upstream.requests()[before]
			var names []string
			for name, values := range app.Header {
				if folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)); strings.HasPrefix(folded, "remote-") {
					names = append(names, name+"="+strings.Join(values, ","))
				}
			}
			want := "[]"
			if cookie != "" {
				want = "[Remote-User=" + testUser + "]"
			}
			if fmt.Sprint(names) != want {
				t.Errorf("%s with %q: the app saw %v, want %s", path, cookie, names, want)
			}
			if app.Header.Get("Upgrade") != "" || app.Header.Get("Http2-Settings") != "" {
				t.Errorf("HDR-3: an h2c upgrade came through: %v", app.Header)
			}
			if app.Header.Get("X-Forwarded-For") == "" {
				t.Error("HDR-2: Connection made the proxy drop X-Forwarded-For")
			}
		}
	}
}

// raw sends bytes as they are and returns the status of the answer.
func raw(t *testing.T, s *site, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestTheNameIsEncodedForTheApp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", "jürgen, \"jo\":"+testHash+"\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	form.Set("username", "jürgen, \"jo\"")
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	v.do("GET", "/", "")
	seen := s.upstream.requests()
	if got := seen[len(seen)-1].Header.Get("Remote-User"); got != "j%C3%BCrgen%2C %22jo%22" {
		t.Errorf("HDR-5: %q", got)
	}
}

func TestRED1_NoReturnTargetLeavesTheHost(t *testing.T) {
	t.Parallel()
	s := startSite(t, "landing /home")
	for _, wish := range []string{
		"//evil.example", `/\evil.example`, "https://evil.example/", "/%5cevil.example", "/..//evil.example", "/\t/evil.example",
		"javascript:alert(1)", "/login", "/captcha-gate/session", "/logout", "evil", "/x#y", "/%2f/evil.example", "/\r\nX: y",
	} {
		t.Run(wish, func(t *testing.T) {
			v := newVisitor(t, s)
			form := fields(t, v.page("/login?rd="+url.QueryEscape(wish)).body)
			form.Set("rd", wish)
			a := v.form("/login", form)
			if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/home" {
				t.Errorf("%d to %q", a.StatusCode, a.Header.Get("Location"))
			}
		})
	}
}

func TestHDR6_OnlyATrustedProxyChangesTheClient(t *testing.T) {
	t.Parallel()
	spoof := func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }
	for name, c := range map[string]struct {
		trusted string
		want    int // of the fourth failure
	}{
		"nobody trusted": {"", http.StatusTooManyRequests},
		"proxy trusted":  {"servers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			file := s.caddyfile("captcha_gate {\n" + s.basics() + "throttle {\nclient 3 10m\n}\ncaptcha {\nbind off\n}\n}\nreverse_proxy " + s.upstream.address)
			s.start(strings.Replace(file, "auto_https off\n", "auto_https off\n\t"+c.trusted, 1))
			v := newVisitor(t, s)
			status := 0
			for i := range 4 {
				form := fields(t, v.page("/login").body)
				form.Set("captcha_answer", "wrong")
				status = v.do("POST", "/login", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", spoof(i)).StatusCode
			}
			if status != c.want {
				t.Errorf("the fourth failure: %d, want %d", status, c.want)
			}
		})
	}
}

func TestSES8_AForwardedProtocolIsBelievedOfATrustedProxyOnly(t *testing.T) {
	t.Parallel()
	for name, trusted := range map[string]bool{"stranger": false, "trusted proxy": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			file := s.caddyfile("captcha_gate {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address)
			if trusted {
				file = strings.Replace(file, "auto_https off\n", "auto_https off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n", 1)
			}
			s.start(file)
			a := newVisitor(t, s).do("GET", "/", "", "Accept", navigation, "X-Forwarded-Proto", "https")
			cookie := a.Header.Get("Set-Cookie")
			if strings.HasPrefix(cookie, "__Host-captcha_gate_browser=") != trusted || strings.Contains(cookie, "Secure") != trusted {
				t.Errorf("%s", cookie)
			}
		})
	}
}
