package integration

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// try is one way to fail a sign-in: what it changes in a right form, or the
// whole body.
type try struct {
	change func(t *testing.T, v *visitor, form url.Values)
	header []string
	code   string
	status int
}

func set(name, value string) func(*testing.T, *visitor, url.Values) {
	return func(_ *testing.T, _ *visitor, form url.Values) { form.Set(name, value) }
}

func TestEveryRefusalHasItsCodeInFormAndJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\ndisabled:!\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "throttle {\nclient 1000 10m\nuser 1000 10m\nissue 1000 1m\n}\n}\nreverse_proxy " + s.upstream.address))
	for name, c := range map[string]try{
		"wrong password":      {set("password", "wrong"), nil, "credentials_wrong", 401},
		"unknown user":        {set("username", "nobody"), nil, "credentials_wrong", 401},
		"disabled entry":      {set("username", "disabled"), nil, "credentials_wrong", 401},
		"no user name":        {set("username", ""), nil, "credentials_wrong", 401},
		"CRD-1 case of name":  {set("username", strings.ToUpper(testUser)), nil, "credentials_wrong", 401},
		"CRD-1 space behind":  {set("password", testPassword+" "), nil, "credentials_wrong", 401},
		"CRD-1 past bcrypt":   {set("password", testPassword+strings.Repeat("x", 80)), nil, "credentials_wrong", 401},
		"CRD-3 the hash":      {set("password", testHash), nil, "credentials_wrong", 401},
		"no token":            {set("captcha_token", ""), nil, "captcha_required", 403},
		"no answer":           {set("captcha_answer", ""), nil, "captcha_required", 403},
		"wrong answer":        {set("captcha_answer", "AAAAAA"), nil, "captcha_wrong", 403},
		"CAP-2 unknown token": {set("captcha_token", "x"), nil, "captcha_expired", 403},
		"CAP-4 forged token":  {set("captcha_token", strings.Repeat("A", 131)), nil, "captcha_expired", 403},
		"CAP-4 other secret": {func(t *testing.T, _ *visitor, form url.Values) {
			form.Set("captcha_token", foreignToken(t, "another-secret-0123456789-abcdefgh", "default", "login"))
		}, nil, "captcha_expired", 403},
		"SES-7 other realm": {func(t *testing.T, _ *visitor, form url.Values) {
			form.Set("captcha_token", foreignToken(t, testSecret, "other", "login"))
		}, nil, "captcha_expired", 403},
		"CAP-6 other form": {func(t *testing.T, _ *visitor, form url.Values) {
			form.Set("captcha_token", foreignToken(t, testSecret, "default", "sign_up"))
		}, nil, "captcha_expired", 403},
		"CAP-6 other browser": {func(t *testing.T, v *visitor, form url.Values) {
			other := fields(t, newVisitor(t, v.site).page("/login").body)
			form.Set("captcha_token", other.Get("captcha_token"))
			form.Set("captcha_answer", other.Get("captcha_answer"))
		}, nil, "captcha_expired", 403},
		"CAP-1 used before": {func(t *testing.T, v *visitor, form url.Values) {
			once := maps.Clone(form)
			once.Set("password", "wrong")
			v.form("/login", once)
		}, nil, "captcha_expired", 403},
		"CAP-1 used before, wrongly": {func(t *testing.T, v *visitor, form url.Values) {
			once := maps.Clone(form)
			once.Set("captcha_answer", "wrong")
			v.form("/login", once)
		}, nil, "captcha_expired", 403},
		"CSR-2 cross-site":         {nil, []string{"Sec-Fetch-Site", "cross-site"}, "cross_origin", 403},
		"CSR-2 same-site":          {nil, []string{"Sec-Fetch-Site", "same-site"}, "cross_origin", 403},
		"CSR-2 other origin":       {nil, []string{"Origin", "https://evil.example"}, "cross_origin", 403},
		"CSR-2 null origin":        {nil, []string{"Origin", "null"}, "cross_origin", 403},
		"CSR-2 other port":         {nil, []string{"Origin", "http://127.0.0.1:1"}, "cross_origin", 403},
		"control character":        {set("username", "a\x01"), nil, "malformed", 400},
		"NUL in the password":      {set("password", testPassword+"\x00"), nil, "malformed", 400},
		"name too long":            {set("username", strings.Repeat("x", 300)), nil, "malformed", 400},
		"CAP-3 too long an answer": {set("captcha_answer", strings.Repeat("A", 100)), nil, "malformed", 400},
		"too large":                {set("x", strings.Repeat("x", 17<<10)), nil, "too_large", 413},
	} {
		for _, kind := range []string{"form", "json"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				v := newVisitor(t, s)
				form := fields(t, v.page("/login").body)
				if c.change != nil {
					c.change(t, v, form)
				}
				var a answer
				if kind == "json" {
					object := map[string]any{}
					for name := range form {
						object[name] = form.Get(name)
					}
					a = v.do("POST", "/login", encode(t, object), append([]string{"Content-Type", "application/json"}, c.header...)...)
					r := decode(t, a)
					if r.Code != c.code || r.Status != "failed" || r.RedirectURL != nil || r.ErrorMessage == "" {
						t.Errorf("got %s, want %s", a.body, c.code)
					}
					if c.code != "cookies_required" && r.Captcha == nil {
						t.Errorf("no new challenge: %s", a.body)
					}
				} else {
					a = v.do("POST", "/login", form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}, c.header...)...)
					if fresh := token(t, a.body); fresh == form.Get("captcha_token") {
						t.Error("the page shows the old challenge")
					}
				}
				if a.StatusCode != c.status {
					t.Errorf("got %d, want %d", a.StatusCode, c.status)
				}
				if a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("WEB-1: %v", a.Header)
				}
				if v.isSignedIn() {
					t.Error("signed in")
				}
			})
		}
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}
}

// foreignToken is a challenge that some other gate made.
func foreignToken(t *testing.T, secret, realm, purpose string) string {
	t.Helper()
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(secret)}, Realm: realm})
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	c, err := maker.Issue(captcha.Spec{Kind: captcha.Image}, captcha.Scope{Purpose: purpose})
	if err != nil {
		t.Fatal(err)
	}
	return c.Token
}

func TestCRD10_ShapesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, patient)
	form, json := "application/x-www-form-urlencoded", "application/json"
	for name, c := range map[string]struct {
		kind, body, code string
		status           int
	}{
		"field twice":        {form, "username=a&username=b", "malformed", 400},
		"same twice":         {form, "captcha_token=a&captcha_token=a", "malformed", 400},
		"bad escape":         {form, "username=%zz&password=ok", "malformed", 400},
		"cut escape":         {form, "username=a&password=%4", "malformed", 400},
		"semicolon":          {form, "username=a;password=b", "malformed", 400},
		"not utf-8":          {form, "username=%ff", "malformed", 400},
		"surrogate":          {form, "password=%ed%a0%80", "malformed", 400},
		"overlong":           {form, "username=%c0%80", "malformed", 400},
		"control":            {form, "username=a%0d%0aX:%20y", "malformed", 400},
		"form with charset":  {form + "; charset=iso-8859-1", "username=a", "unsupported_media_type", 415},
		"json twice":         {json, `{"username":"a","username":"b"}`, "malformed", 400},
		"json twice escaped": {json, `{"username":"a","user\u006eame":"b"}`, "malformed", 400},
		"json and more":      {json, `{"username":"a"}{}`, "malformed", 400},
		"json and text":      {json, `{"username":"a"} x`, "malformed", 400},
		"json cut":           {json, `{"username":"a"`, "malformed", 400},
		"json nested":        {json, `{"username":{}}`, "malformed", 400},
		"json list":          {json, `{"username":["a"]}`, "malformed", 400},
		"json of a list":     {json, `["username"]`, "malformed", 400},
		"json of a text":     {json, `"username"`, "malformed", 400},
		"json null":          {json, `null`, "malformed", 400},
		"json null value":    {json, `{"username":null}`, "malformed", 400},
		"json number":        {json, `{"username":1}`, "malformed", 400},
		"json empty":         {json, ``, "malformed", 400},
		"json not utf-8":     {json, "{\"username\":\"\xff\"}", "malformed", 400},
		"json surrogate":     {json, `{"password":"\ud800"}`, "malformed", 400},
		"json control":       {json, `{"username":"a\u0000"}`, "malformed", 400},
		"json name's case":   {json, `{"Captcha_Token":"x","CAPTCHA_ANSWER":"x"}`, "cookies_required", 403},
		"INP-2 multipart":    {"multipart/form-data; boundary=x", "--x--", "unsupported_media_type", 415},
		"CSR-4 plain text":   {"text/plain", `{}`, "unsupported_media_type", 415},
		"json in disguise":   {"text/json", `{}`, "unsupported_media_type", 415},
		"no type":            {"", "a=b", "unsupported_media_type", 415},
		"two types":          {form + ", " + json, "a=b", "unsupported_media_type", 415},
		"too large":          {json, `{"x":"` + strings.Repeat("x", 17<<10) + `"}`, "too_large", 413},
		"too large a form":   {form, strings.Repeat("x", 16<<10+1), "too_large", 413},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Accept", "application/json"}
			if c.kind != "" {
				header = append(header, "Content-Type", c.kind)
			}
			a := newVisitor(t, s).do("POST", "/login", c.body, header...)
			if r := decode(t, a); a.StatusCode != c.status || r.Code != c.code {
				t.Errorf("got %d %s, want %d %s", a.StatusCode, r.Code, c.status, c.code)
			}
			if c.kind == json {
				return
			}
			header[1] = navigation
			if a := newVisitor(t, s).do("POST", "/login", c.body, header...); a.StatusCode != c.status || token(t, a.body) == "" {
				t.Errorf("a browser got %d, want %d\n%s", a.StatusCode, c.status, a.body)
			}
			// No length in front: the limit holds while reading.
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/login", io.MultiReader(strings.NewReader(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "application/json")
			r.Header.Set("Content-Type", c.kind)
			if a := newVisitor(t, s).send(r); a.StatusCode != c.status {
				t.Errorf("chunked: got %d, want %d", a.StatusCode, c.status)
			}
		})
	}
	compressed := newVisitor(t, s).do("POST", "/login", "x", "Content-Type", form, "Content-Encoding", "gzip", "Accept", json)
	if r := decode(t, compressed); r.Code != "unsupported_media_type" {
		t.Errorf("compressed: %s", compressed.body)
	}
}

func TestCookiesThatDoNotComeBackAreSaid(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	stranger := newVisitor(t, s)
	a := stranger.form("/login", form)
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "cookie") {
		t.Errorf("form: %d\n%s", a.StatusCode, a.body)
	}
	_, r := newVisitor(t, s).json("/login", map[string]any{"captcha_token": form.Get("captcha_token"), "captcha_answer": "x"})
	if r.Code != "cookies_required" || r.Captcha != nil {
		t.Errorf("json: %+v", r)
	}
}

func TestINP5_WrongMethodsAreRefusedWithAllow(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	for path, allow := range map[string]string{
		"/login": "GET, HEAD, POST", "/logout": "GET, HEAD, POST", "/captcha-gate/session": "GET, HEAD",
		"/captcha-gate/challenge": "GET, HEAD", "/captcha-gate/challenge/x.png": "GET, HEAD", "/captcha-gate/assets/x": "GET, HEAD",
	} {
		methods := []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FOO", "get"}
		if !strings.Contains(allow, "POST") {
			methods = append(methods, "POST")
		}
		for _, method := range methods {
			for _, accept := range []string{"application/json", navigation} {
				a := v.do(method, path, "", "Accept", accept)
				if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != allow {
					t.Errorf("%s %s: %d, Allow %q", method, path, a.StatusCode, a.Header.Get("Allow"))
				}
				if accept == "application/json" && decode(t, a).Code != "method_not_allowed" {
					t.Errorf("%s %s: %s", method, path, a.body)
				}
			}
		}
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app was reached %d times", n)
	}
}

func TestPTH5_EverythingBelowTheBasePathIsTheGates(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	for _, path := range []string{
		"/captcha-gate", "/captcha-gate/", "/captcha-gate/x", "/captcha-gate/../admin", "/captcha-gate/challenge/", "/captcha-gate/answer",
		"/captcha-gate/debug", "/captcha-gate/assets/", "/captcha-gate/assets/../../x", "/captcha-gate/challenge?kind=video", "/captcha-gate/accounts",
		"/captcha-gate/sign-up", "/captcha-gate/second-step", "/captcha-gate/second-step/resend", // switched off
	} {
		before := len(s.upstream.requests())
		status := raw(t, s, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nCookie: captcha_gate="+sessionCookie(t, v)+"\r\n\r\n")
		if status != http.StatusNotFound || len(s.upstream.requests()) != before {
			t.Errorf("%s: %d, app reached: %v", path, status, len(s.upstream.requests()) != before)
		}
	}
}

func TestAnExpiredChallengeIsRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, "captcha {\nlifetime 1s\n}")
	v := newVisitor(t, s)
	page := v.page("/login")
	form := fields(t, page.body)
	picture := "/captcha-gate/challenge/" + form.Get("captcha_token") + ".png"
	eventually(t, "the picture is gone", 10*time.Second, func() bool { return v.do("GET", picture, "").StatusCode == http.StatusNotFound })
	if r := decode(t, v.do("GET", picture, "")); r.Code != "captcha_expired" {
		t.Errorf("picture: %s", r.Code)
	}
	if a := v.form("/login", form); a.StatusCode != http.StatusForbidden || v.isSignedIn() {
		t.Errorf("CAP-7: %d", a.StatusCode)
	}
}

func TestCAP1_OneSolvedChallengeIsJudgedOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, "throttle {\nclient 1000 10m\nuser 1000 10m\nissue 1000 1m\n}")
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	var in, expired, other atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch a := v.form("/login", form); a.StatusCode {
			case http.StatusSeeOther:
				in.Add(1)
			case http.StatusForbidden:
				expired.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 || expired.Load() != 99 {
		t.Errorf("%d signed in, %d expired, %d other", in.Load(), expired.Load(), other.Load())
	}
}

func TestCRD9_NobodyCanTellWhyCredentialsAreWrong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nbroken:$2y$99$nonsense\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "\n}\nreverse_proxy " + s.upstream.address))
	variable := regexp.MustCompile(`"captcha":\{[^}]*\}`)
	bodies := map[string]bool{}
	for _, name := range []string{testUser, "broken", "nobody"} {
		v := newVisitor(t, s)
		form := fields(t, v.page("/login").body)
		a, _ := v.json("/login", map[string]any{
			"username": name, "password": "wrong", "captcha_token": form.Get("captcha_token"), "captcha_answer": form.Get("captcha_answer"),
		})
		bodies[fmt.Sprint(a.StatusCode)+variable.ReplaceAllString(a.body, "")] = true
	}
	if len(bodies) != 1 {
		t.Errorf("different answers: %v", bodies)
	}
}

func TestLimitsAreHeldAndSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		throttle string
		fail     func(*testing.T, *visitor) answer
	}{
		"client": {"client 3 10m", func(t *testing.T, v *visitor) answer {
			form := fields(t, v.page("/login").body)
			form.Set("captcha_answer", "wrong")
			return v.form("/login", form)
		}},
		"user, whatever its spelling": {"user 3 10m", func(t *testing.T, v *visitor) answer {
			form := fields(t, v.page("/login").body)
			form.Set("username", []string{"Bob", "bob ", "BOB", "ｂｏｂ"}[len(form.Get("captcha_token"))%4])
			form.Set("password", "wrong")
			return v.form("/login", form)
		}},
		"issue": {"issue 3 10m", func(t *testing.T, v *visitor) answer { return v.page("/login") }},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, startSite(t, "throttle {\n"+c.throttle+"\n}"))
			for i := range 3 {
				if a := c.fail(t, v); a.StatusCode == http.StatusTooManyRequests {
					t.Fatalf("throttled at %d", i+1)
				}
			}
			a := c.fail(t, v)
			if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
				t.Errorf("THR-10: %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
			}
		})
	}
}

func TestBusyWhenNoHashSlotGetsFree(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// A hash of the highest cost that is accepted keeps the one slot for long.
	s.writeFile("users.htpasswd", testUser+":$2y$14$"+strings.Repeat("a", 53)+"\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "throttle {\nhashing 1\nclient 1000 10m\nuser 1000 10m\n}\n}\nreverse_proxy " + s.upstream.address))
	var busy atomic.Int32
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			v := newVisitor(t, s)
			v.client.Timeout = 2 * time.Minute
			a := v.form("/login", fields(t, v.page("/login").body))
			if a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "" {
				busy.Add(1)
			} else if a.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %d", a.StatusCode)
			}
		})
	}
	wg.Wait()
	if busy.Load() == 0 {
		t.Error("nobody was told that the gate is busy")
	}
}

func TestFaultsOfOursAre503AndCostNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	in := newVisitor(t, s)
	in.signIn()
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	if err := os.Rename(s.users, s.users+".away"); err != nil {
		t.Fatal(err)
	}
	// The last good table stays for ten seconds.
	eventually(t, "users_unavailable", 30*time.Second, func() bool {
		return in.do("GET", "/app", "").StatusCode == http.StatusServiceUnavailable
	})
	a := v.do("POST", "/login", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json")
	if r := decode(t, a); a.StatusCode != http.StatusServiceUnavailable || r.Code != "users_unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a.Header.Get("Set-Cookie") != "" {
		t.Errorf("SES-11: %v", a.Header["Set-Cookie"])
	}
	if err := os.Rename(s.users+".away", s.users); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is back", 10*time.Second, in.isSignedIn)
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the challenge was used up: %d", a.StatusCode)
	}
}
