package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// trusting makes Caddy believe what the test says of the client's address and
// protocol.
func trusting(caddyfile string) string {
	return strings.Replace(caddyfile, "auto_https off\n", "auto_https off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n", 1)
}

// patient has limits that no test reaches by accident.
const patient = "throttle {\nclient 1000 10m\nuser 1000 10m\nissue 1000 1m\n}\n"

func TestCAP3_NothingThatAClientAddsSkipsTheCaptcha(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	wishes := url.Values{}
	for _, name := range []string{
		"captcha", "captcha_skip", "skip_captcha", "captcha_when", "when", "captcha_kind", "kind", "length", "alphabet", "lifetime",
		"level", "debug", "test", "answer", "work", "captcha_work", "human_only", "realm", "purpose", "for", "second_step",
	} {
		wishes.Set(name, map[bool]string{true: "off", false: "1"}[strings.HasPrefix(name, "captcha")])
	}
	headers := []string{
		"X-Captcha", "off", "X-Captcha-Skip", "1", "X-Captcha-Answer", "x", "X-Debug", "1", "X-Test", "1", "X-Forwarded-Proto", "https",
		"User-Agent", "Googlebot/2.1", "Cookie", "captcha=off; captcha_gate_browser=; captcha_gate_skip=1; debug=1",
	}
	for name, change := range map[string]func(url.Values){
		"wrong answer": func(form url.Values) { form.Set("captcha_answer", "wrong") },
		"no answer":    func(form url.Values) { form.Del("captcha_answer") },
		"no token":     func(form url.Values) { form.Del("captcha_token") },
		"neither":      func(form url.Values) { form.Del("captcha_token"); form.Del("captcha_answer") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, s)
			form := fields(t, v.page("/login").body)
			maps.Copy(form, wishes)
			change(form)
			a := v.do("POST", "/login?"+wishes.Encode(), form.Encode(),
				append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}, headers...)...)
			if a.StatusCode != http.StatusForbidden || v.isSignedIn() {
				t.Errorf("got %d, signed in: %v", a.StatusCode, v.isSignedIn())
			}
		})
	}
	t.Run("nor changes the challenge", func(t *testing.T) {
		v := newVisitor(t, s)
		v.page("/login")
		for _, query := range []string{"length=1&alphabet=A", "kind=image&for=login&length=1&width=600&height=240&level=easy", "answer=A&captcha_answer=A&test=1"} {
			var c struct {
				Token    string `json:"token"`
				ImageURL string `json:"image_url"`
			}
			a := v.do("GET", "/captcha-gate/challenge?"+query, "", headers[:12]...)
			if err := json.Unmarshal([]byte(a.body), &c); err != nil {
				t.Fatalf("%d %s, %v", a.StatusCode, a.body, err)
			}
			if answer := solve(t, c.Token); len(answer) != 5 || strings.Trim(answer, "A") == "" {
				t.Errorf("%s: the answer is %q", query, answer)
			}
			picture := v.do("GET", c.ImageURL+"?"+query, "")
			drawn, err := png.DecodeConfig(strings.NewReader(picture.body))
			if err != nil || drawn.Width*80 != drawn.Height*240 {
				t.Errorf("%s: %dx%d, %v", query, drawn.Width, drawn.Height, err)
			}
			if plain := v.do("GET", c.ImageURL, ""); plain.body != picture.body {
				t.Errorf("%s changes the picture", query)
			}
		}
	})
}

func TestCAP12_NoOtherWayToTryAPassword(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(testUser+":"+testPassword))
	for _, path := range []string{"/app", "/login", "/captcha-gate/session"} {
		v := newVisitor(t, s)
		if a := v.do("GET", path, "", "Authorization", basic, "Accept", "application/json"); a.StatusCode == http.StatusSeeOther || v.isSignedIn() {
			t.Errorf("Authorization: Basic at %s: %d", path, a.StatusCode)
		}
	}
	// CRD-10: credentials count in the body only, CSR-1: and in a POST only.
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "post"} {
		v := newVisitor(t, s)
		form := fields(t, v.page("/login").body)
		a := v.do(method, "/login?"+form.Encode(), "", "Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", "POST")
		if a.StatusCode == http.StatusSeeOther || v.isSignedIn() {
			t.Errorf("%s with everything in the query: %d", method, a.StatusCode)
		}
		if method == "POST" {
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+"/login", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if a := v.send(r); a.StatusCode == http.StatusSeeOther || v.isSignedIn() {
			t.Errorf("%s with everything in the body: %d", method, a.StatusCode)
		}
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}
}

// Hashes of the highest cost that is accepted keep the one slot for longer than a
// sign-in waits for it. Whatever needs a hash now is told that the gate is busy; a
// wrong captcha and a session must not notice.
func TestCAP10_AWrongCaptchaNeedsNoHashAndCRD8_NorDoesASession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nslow:$2y$14$"+strings.Repeat("a", 53)+"\n")
	s.start(s.standard("throttle {\nhashing 1\nclient 1000 10m\nuser 1000 10m\nissue 1000 1m\n}"))
	in := newVisitor(t, s)
	in.client.Timeout = 2 * time.Minute
	in.signIn()

	var busy, done atomic.Int32
	var wg sync.WaitGroup
	const tries = 24
	for range tries {
		v := newVisitor(t, s)
		v.client.Timeout = 2 * time.Minute
		form := fields(t, v.page("/login").body)
		form.Set("username", "slow")
		wg.Go(func() {
			if v.form("/login", form).StatusCode == http.StatusServiceUnavailable {
				busy.Add(1)
			}
			done.Add(1)
		})
	}
	probes := 0 // answered while somebody still waited for the slot
	for done.Load() < tries && (probes == 0 || busy.Load() == 0) {
		v := newVisitor(t, s)
		form := fields(t, v.page("/login").body)
		form.Set("captcha_answer", "wrong")
		if a := v.form("/login", form); a.StatusCode != http.StatusForbidden {
			t.Errorf("a wrong captcha waits for a hash: %d", a.StatusCode)
		}
		if !in.isSignedIn() {
			t.Error("the session is not served")
		}
		if done.Load() < tries {
			probes++
		}
	}
	wg.Wait()
	if probes == 0 || busy.Load() == 0 {
		t.Errorf("nothing was tried while the gate was busy: %d probes, %d busy", probes, busy.Load())
	}
}

func TestHDR7_OnlyTheRealRequestCounts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(trusting(s.caddyfile("captcha_gate /private/* {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address)))
	v := newVisitor(t, s)
	for _, header := range [][]string{
		{"X-Forwarded-Uri", "/public"}, {"X-Original-URL", "/public"}, {"X-Original-URI", "/public"}, {"X-Rewrite-URL", "/public"},
		{"X-Forwarded-Path", "/public"}, {"X-Forwarded-Prefix", "/public"}, {"X-Forwarded-Method", "OPTIONS"}, {"X-HTTP-Method-Override", "GET"},
		{"X-Forwarded-Host", "public.example"}, {"Forwarded", "for=127.0.0.1;host=public;proto=https"}, {"X-Real-IP", "127.0.0.1"},
		{"Referer", s.url + "/login"}, {"User-Agent", "kube-probe/1.30"}, {"Remote-User", testUser}, {"X-Forwarded-User", testUser},
		{"Authorization", "Bearer x"}, {"Cookie", "captcha_gate="}, {"Cookie", "captcha_gate=" + testUser},
	} {
		if a := v.do("GET", "/private/x", "", header...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %d", header, a.StatusCode)
		}
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}
}

func TestHDR8_PlaceholdersOfAClientStayText(t *testing.T) {
	t.Parallel()
	const wish = "{env.HOME}" // the site's directory
	s := newSite(t)
	s.writeFile("users.htpasswd", wish+":"+testHash+"\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address + " {\nheader_up X-Id {http.auth.user.id}\n}"))
	v := newVisitor(t, s)
	text := func(what string, a answer) {
		t.Helper()
		if strings.Contains(a.body, s.dir) || strings.Contains(fmt.Sprint(a.Header), s.dir) {
			t.Errorf("%s expands what the client sent: %v\n%s", what, a.Header, a.body)
		}
	}
	page := v.page("/" + url.PathEscape(wish) + "?x=" + wish)
	text("the page", page)
	form := fields(t, page.body)
	form.Set("username", wish)
	form.Set("password", wish)
	form.Set("rd", "/"+wish+"?x="+wish)
	refused := v.form("/login", form)
	text("the page after a failure", refused)
	if !strings.Contains(refused.body, `value="`+wish+`"`) {
		t.Errorf("the user name is not kept:\n%s", refused.body)
	}
	text("JSON", v.do("GET", "/captcha-gate/"+wish, "", "Accept", "application/json", "Accept-Language", wish))

	form = fields(t, refused.body)
	form.Set("username", wish)
	form.Set("rd", "/x?y="+wish)
	in := v.form("/login", form)
	text("the redirect", in)
	if target, err := url.QueryUnescape(in.Header.Get("Location")); in.StatusCode != http.StatusSeeOther || err != nil || target != "/x?y="+wish {
		t.Errorf("%d to %q", in.StatusCode, in.Header.Get("Location"))
	}
	var app seen
	if err := json.Unmarshal([]byte(v.do("GET", "/x?y="+wish, "", "X-Own", wish).body), &app); err != nil {
		t.Fatal(err)
	}
	if name, err := url.PathUnescape(app.Header.Get("Remote-User")); err != nil || name != wish {
		t.Errorf("Remote-User: %q", app.Header.Get("Remote-User"))
	}
	if app.Header.Get("X-Id") != wish || app.Header.Get("X-Own") != wish || app.URI != "/x?y="+wish {
		t.Errorf("the app saw X-Id %q, X-Own %q, %s", app.Header.Get("X-Id"), app.Header.Get("X-Own"), app.URI)
	}
}

func TestPTH4_TheSpellingOfTheHostOpensNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(strings.Replace(s.standard(""), "http://127.0.0.1:", "http://localhost:", 1))
	for _, host := range []string{
		"localhost", "LOCALHOST", "localhost.", "LocalHost.", fmt.Sprintf("localhost:%d", s.port), "localhost:1", "localhost.:80", "evil.example",
		"127.0.0.1", "[::1]", "localhost%00", "a@localhost", "localhost/", "",
	} {
		raw(t, s, "GET /app HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}
}

func TestSES15_IdentitiesNeverCross(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nbob:"+testHash+"\n")
	s.start(s.standard(""))
	var wg sync.WaitGroup
	for _, name := range []string{testUser, "bob", ""} {
		v := newVisitor(t, s)
		if name != "" {
			form := fields(t, v.page("/login").body)
			form.Set("username", name)
			if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
				t.Fatal(a.StatusCode)
			}
		}
		for range 8 {
			wg.Go(func() {
				for range 100 {
					a := v.do("GET", "/app", "", "Remote-User", "root")
					var app seen
					if name == "" {
						if a.StatusCode != http.StatusUnauthorized {
							t.Errorf("nobody got %d", a.StatusCode)
						}
					} else if err := json.Unmarshal([]byte(a.body), &app); err != nil || !slices.Equal(app.Header["Remote-User"], []string{name}) {
						t.Errorf("%s was told to the app as %v, %v", name, app.Header["Remote-User"], err)
					}
				}
			})
		}
	}
	wg.Wait()
}
