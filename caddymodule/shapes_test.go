package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestCSR2_OnlyTheSiteItselfChangesSomething(t *testing.T) {
	g := memoryGate(t, "anna")
	for name, c := range map[string]struct {
		header []string
		secure bool
		want   bool
	}{
		"a form of the page":               {[]string{"Sec-Fetch-Site", "same-origin"}, true, true},
		"typed, or a program":              {nil, true, true},
		"another site":                     {[]string{"Sec-Fetch-Site", "cross-site"}, true, false},
		"a neighbour":                      {[]string{"Sec-Fetch-Site", "same-site"}, true, false},
		"old browser, this site":           {[]string{"Origin", "https://example.com"}, true, true},
		"old browser, another site":        {[]string{"Origin", "https://evil.example"}, true, false},
		"old browser, plain HTTP":          {[]string{"Origin", "http://example.com"}, true, false},
		"old browser, plain HTTP all over": {[]string{"Origin", "http://example.com"}, false, true},
		"new browser says it better":       {[]string{"Origin", "http://example.com", "Sec-Fetch-Site", "same-origin"}, true, true},
		"no origin that can be read":       {[]string{"Origin", "null"}, true, false},
	} {
		r := request("POST", "/login", c.header...)
		if got := g.sameOrigin(r, &visitor{secure: c.secure}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// CSR-3: each form of the account page carries a token of its own session; JSON, which
// other sites cannot send, may go without.
func TestCSR3_FormsOfTheAccountPageAreOfThisSession(t *testing.T) {
	g := memoryGate(t, "anna", "bert")
	v, other := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	other.want(other.enters("bert"), "signed_in")
	token := func(v *guest) string {
		t.Helper()
		var told accountJSON
		if w := v.send(request("GET", "/captcha-gate/account", "Accept", typeJSON)); json.Unmarshal(w.Body.Bytes(), &told) != nil {
			t.Fatal(w.Body)
		}
		return told.FormToken
	}
	for name, c := range map[string]struct {
		kind, token, site string
		status            int
		want              string
	}{
		"its own":               {typeForm, token(v), "same-origin", 200, "session_ended"},
		"none":                  {typeForm, "", "same-origin", 403, string(codeFormExpired)},
		"of another session":    {typeForm, token(other), "same-origin", 403, string(codeFormExpired)},
		"made up":               {typeForm, "x", "same-origin", 403, string(codeFormExpired)},
		"its own, another site": {typeForm, token(v), "cross-site", 403, string(codeCrossOrigin)},
		"JSON":                  {typeJSON, "", "same-origin", 200, "session_ended"},
		"JSON, of another":      {typeJSON, token(other), "same-origin", 403, string(codeFormExpired)},
		"JSON, another site":    {typeJSON, "", "cross-site", 403, string(codeCrossOrigin)},
	} {
		t.Run(name, func(t *testing.T) {
			body := url.Values{"action": {"end_session"}, "session": {"x"}, "form_token": {c.token}}.Encode()
			if c.kind == typeJSON {
				text, _ := json.Marshal(map[string]string{"action": "end_session", "session": "x", "form_token": c.token})
				body = string(text)
			}
			r := httptest.NewRequest(http.MethodPost, "/captcha-gate/account", strings.NewReader(body))
			r.Header.Set("Content-Type", c.kind)
			r.Header.Set("Accept", typeJSON)
			r.Header.Set("Sec-Fetch-Site", c.site)
			var reply failure
			if w := v.send(r); json.Unmarshal(w.Body.Bytes(), &reply) != nil || w.Code != c.status || string(reply.Code) != c.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestSES14_AUserEndsOtherSessionsAndNotThisOne(t *testing.T) {
	g := memoryGate(t, "anna")
	var all []*guest
	for range 4 {
		v := newGuest(t, g, "192.0.2.1")
		v.want(v.enters("anna"), "signed_in")
		all = append(all, v)
	}
	v := all[0]
	const path = "/captcha-gate/account"
	id := func(v *guest) string { return g.sessions.ID(v.cookies["captcha_gate"].Value) }
	alive := func() (n int) {
		for _, v := range all {
			if v.isIn() {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name, action, session string
		want                  code
		alive                 int
	}{
		{"none", "end_session", "", "session_ended", 4},
		{"this one", "end_session", id(v), "session_ended", 4},
		{"another", "end_session", id(all[1]), "session_ended", 3},
		{"it again", "end_session", id(all[1]), "session_ended", 3},
		{"what is not there", "sing", "", codeMalformed, 3},
		{"all others", "end_others", "", "sessions_ended", 1},
	} {
		v.want(v.to(path, map[string]string{"action": c.action, "session": c.session}), c.want)
		if n := alive(); n != c.alive {
			t.Errorf("%s: %d alive, want %d", c.name, n, c.alive)
		}
	}
	if !v.isIn() {
		t.Error("signed out by the own hand")
	}
}

func TestUSR3_ANewPasswordIsJudgedBeforeTheOldOne(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	old := v.cookies["captcha_gate"].Value
	for _, c := range []struct {
		present, next, confirm string
		want                   code
		field                  string
	}{
		{"wrong", "", "", codePasswordMissing, "new_password"},
		{"wrong", "short", "short", "password_too_short", "new_password"},
		{"wrong", freshPassword, freshPassword + ".", codePasswordsDiffer, "confirm_password"},
		{freshPassword, freshPassword, freshPassword, codePasswordUnchanged, "new_password"},
	} {
		reply := v.to("/captcha-gate/account", map[string]string{
			"current_password": c.present, "new_password": c.next, "confirm_password": c.confirm,
		})
		if reply.Code != c.want || len(reply.Errors) != 1 || reply.Errors[c.field] != c.want {
			t.Errorf("%+v: %+v", c, reply)
		}
	}
	if n := v.failures("anna"); n != 0 {
		t.Errorf("%d failures, though no password was tried", n)
	}
	v.want(v.to("/captcha-gate/account", map[string]string{
		"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
	}), "password_changed")
	if !v.isIn() || v.cookies["captcha_gate"].Value == old {
		t.Error("the browser that changed it is out, or still has the old id")
	}
	stale := withCookies(request("GET", "/"), []*http.Cookie{{Name: "captcha_gate", Value: old}})
	if w, app := serve(t, g, stale); app != nil || w.Code != http.StatusUnauthorized {
		t.Errorf("the old session: %d", w.Code)
	}
}

// SES-5: what another hand changes in the file ends the sessions of before.
func TestSES5_AnEntryThatChangedEndsItsSessions(t *testing.T) {
	for name, change := range map[string]func(*Gate) error{
		"changed": func(g *Gate) error { return g.editor.ReplaceHash("anna", cheapHash(t)) },
		"removed": func(g *Gate) error { return g.editor.Remove("anna") },
	} {
		t.Run(name, func(t *testing.T) {
			g := memoryGate(t, "anna", "bert")
			v := newGuest(t, g, "192.0.2.1")
			v.want(v.enters("anna"), "signed_in")
			if !v.isIn() {
				t.Fatal("not in")
			}
			if err := change(g); err != nil {
				t.Fatal(err)
			}
			if v.isIn() {
				t.Error("still in")
			}
		})
	}
}

// PTH-1: a path that is odd, as asked for or as rewritten, is protected whatever the
// matcher says.
func TestPTH1_OddPathsAreProtectedBeforeAndAfterRewrites(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
		ProtectRaw: caddyhttp.RawMatcherSets{{"path": caddyconfig.JSON([]string{"/private/*"}, nil)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		asked, rewritten string
		want             bool
	}{
		{"/public/x", "/public/x", false}, {"/private/x", "/private/x", true}, {"/public/../private", "/public/x", true},
		{"/public/x", "/public/../private", true}, {"/public/../x", "/x/../y", true}, {"/public/x", "/private/x", true},
	} {
		r := request("GET", "/")
		asked := *r
		asked.URL, r.URL = &url.URL{Path: c.asked}, &url.URL{Path: c.rewritten}
		ctx := context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, asked)
		r = r.WithContext(context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer()))
		if got := g.isProtected(r); got != c.want {
			t.Errorf("%s as %s: %v", c.asked, c.rewritten, got)
		}
	}
}

// INP-6: the gate does not wait for the body of what it refuses.
func TestINP6_TheConnectionEndsWithARefusedBody(t *testing.T) {
	g := memoryGate(t, "anna")
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"with a body":         {httptest.NewRequest(http.MethodPost, "/upload", strings.NewReader("x")), "close"},
		"without":             {httptest.NewRequest(http.MethodPost, "/upload", nil), ""},
		"HTTP/2, with a body": {httptest.NewRequest(http.MethodPost, "/upload", strings.NewReader("x")), ""},
	} {
		if strings.HasPrefix(name, "HTTP/2") {
			c.r.Proto, c.r.ProtoMajor, c.r.ProtoMinor = "HTTP/2.0", 2, 0
		}
		w, _ := serve(t, g, c.r)
		if got := w.Header().Get("Connection"); w.Code != http.StatusUnauthorized || got != c.want {
			t.Errorf("%s: %d, Connection %q", name, w.Code, got)
		}
	}
}

func TestCAP8_PartsOfAFileAreThoseAskedFor(t *testing.T) {
	body := []byte("0123456789")
	for asked, want := range map[string]struct {
		status int
		body   string
	}{
		"": {200, "0123456789"}, "bytes=0-": {206, "0123456789"}, "bytes=0-0": {206, "0"}, "bytes=5-5": {206, "5"}, "bytes=9-": {206, "9"},
		"bytes=8-99": {206, "89"}, "bytes=10-": {200, "0123456789"}, "bytes=11-12": {200, "0123456789"}, "bytes=5-4": {200, "0123456789"},
		"bytes=-3": {200, "0123456789"}, "bytes=0-1,3-4": {200, "0123456789"}, "lines=1-2": {200, "0123456789"},
	} {
		w := httptest.NewRecorder()
		serveBytes(w, request("GET", "/x", "Range", asked), body)
		if w.Code != want.status || w.Body.String() != want.body {
			t.Errorf("%q: %d %q", asked, w.Code, w.Body)
		}
	}
}

func TestRED1_TheWayBackGoesThroughTheSecondStep(t *testing.T) {
	g := memoryGate(t, "anna")
	for returnTo, want := range map[string]string{
		"": "/captcha-gate/second-step", "/notes?a=b&c": "/captcha-gate/second-step?rd=%2Fnotes%3Fa%3Db%26c", "//evil.example": "/captcha-gate/second-step",
		"https://evil.example/": "/captcha-gate/second-step", "/login": "/captcha-gate/second-step", "/captcha-gate/account": "/captcha-gate/second-step",
	} {
		if got := g.secondStepURL(new(visitor), returnTo); got != want {
			t.Errorf("%q: %s, want %s", returnTo, got, want)
		}
	}
}

// A cookie only on a navigation of the site itself: whatever else loads the page gets
// none.
func TestOnlyNavigationsGetABrowserCookie(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	for name, c := range map[string]struct {
		header []string
		status int
		want   bool
	}{
		"a navigation":        {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "none"}, http.StatusOK, true},
		"an old browser":      {nil, http.StatusOK, true},
		"a script":            {[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin"}, http.StatusOK, false},
		"a script, elsewhere": {[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, false},
	} {
		w, _ := serve(t, g, request("GET", "/captcha-gate/sign-up", append(c.header, "Accept", "text/html")...))
		if got := len(w.Result().Cookies()) > 0; w.Code != c.status || got != c.want {
			t.Errorf("%s: %d, a cookie: %v", name, w.Code, got)
		}
	}
}
