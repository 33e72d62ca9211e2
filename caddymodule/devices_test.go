package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// known is the browser that a guest's cookie tells of.
func (v *guest) known() []browser {
	v.t.Helper()
	r := withCookies(request("GET", "/"), []*http.Cookie{v.cookies["captcha_gate_browser"]})
	return v.g.knownBrowsers(&visitor{presented: v.g.cookies.Take(r.Header, false)})
}

// failures are those of a user at the guest's browser.
func (v *guest) failures(user string) int {
	v.t.Helper()
	n, err := v.g.throttle.Failures(v.t.Context(), v.g.caller(throughCaddy(request("POST", "/login"), false, v.address), v.known(), user))
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

// THR-4: at a known device the failures of its user end when all factors have passed,
// and not before.
func TestTHR4_FailuresAtAKnownDeviceEndWithTheSignIn(t *testing.T) {
	plain := memoryGate(t, "anna", "bert")
	codes, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelSMS}, Realm: "devices"})
	for name, g := range map[string]*Gate{"password": plain, "password and code": codes} {
		t.Run(name, func(t *testing.T) {
			v := newGuest(t, g, "192.0.2.1")
			sent := 0
			enters := func() {
				t.Helper()
				reply := v.enters("anna")
				if g.asksCode() {
					v.want(reply, codeSecondStepRequired)
					if sent > 0 && v.failures("anna") != 2 {
						t.Errorf("%d failures before the code", v.failures("anna"))
					}
					reply = v.types(l.last(t, sent).Code)
					sent++
				}
				v.want(reply, "signed_in")
				if v.cookies["captcha_gate_pending"] != nil && v.cookies["captcha_gate_pending"].MaxAge >= 0 {
					t.Error("the cookie of the step stays")
				}
				delete(v.cookies, "captcha_gate")
			}
			enters()
			for range 2 {
				v.want(v.to("/login", v.captchaOn("/login", map[string]string{"username": "anna", "password": "wrong"})), codeCredentialsWrong)
			}
			if n := v.failures("anna"); n != 2 {
				t.Fatalf("%d failures", n)
			}
			enters()
			if n := v.failures("anna"); n != 0 {
				t.Errorf("%d failures after all factors passed", n)
			}
		})
	}
}

func TestABrowserKnowsAllWhoSignedInThere(t *testing.T) {
	g := memoryGate(t, "anna", "bert")
	v := newGuest(t, g, "192.0.2.1")
	for _, name := range []string{"anna", "bert"} {
		v.want(v.enters(name), "signed_in")
		delete(v.cookies, "captcha_gate")
	}
	users, err := g.users.Table()
	if err != nil {
		t.Fatal(err)
	}
	known := v.known()
	for _, name := range []string{"anna", "bert"} {
		fingerprint, _ := users.Fingerprint(name)
		if len(known) != 1 || !known[0].knows(g.userTag(name, fingerprint)) {
			t.Errorf("%s is a stranger", name)
		}
	}
	if known[0].knows(g.userTag("anna", [16]byte{})) {
		t.Error("somebody who never was there is known")
	}
}

// Two cookies of one name come from paths and domains; the challenge is of one.
func TestCAP6_AChallengeIsGoodForAnyOfTheBrowsersIds(t *testing.T) {
	g := memoryGate(t, "anna")
	v, other := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.1")
	other.open()
	token := v.open()
	for name, c := range map[string]struct {
		browsers []*guest
		want     code
	}{
		"another first": {[]*guest{other, v}, codeCredentialsWrong}, "another alone": {[]*guest{other}, codeCaptchaExpired}, "none": {nil, codeCookiesRequired},
	} {
		if name == "another first" {
			token = v.open()
		}
		body, _ := json.Marshal(map[string]string{
			"username": "anna", "password": "wrong", "captcha_token": token, "captcha_answer": answer(t, g.Realm, token),
		})
		r := jsonPost(string(body))
		for _, b := range c.browsers {
			r.AddCookie(b.cookies["captcha_gate_browser"])
		}
		w, _ := serve(t, g, r)
		var reply failure
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Code != c.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if (reply.Captcha != nil) != (len(c.browsers) > 0) {
			t.Errorf("%s: a challenge for the next try: %+v", name, reply.Captcha)
		}
	}
}

func TestASessionIsKeptForAsLongAsWasWished(t *testing.T) {
	month, none := caddy.Duration(30*24*time.Hour), caddy.Duration(0)
	for name, c := range map[string]struct {
		offered  *caddy.Duration
		wish     string
		seconds  int // of the cookie
		remember bool
	}{
		"wished":             {&month, "on", int(30 * 24 * time.Hour / time.Second), true},
		"not wished":         {&month, "", 0, false},
		"wished, not there":  {&none, "on", 0, false},
		"neither, not there": {&none, "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := load(t, Gate{
				Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
				Session: &SessionConfig{Remember: c.offered},
			})
			if err != nil {
				t.Fatal(err)
			}
			v := newGuest(t, g, "192.0.2.1")
			fields := v.captchaOn("/login", map[string]string{"username": "anna", "password": "anna-password"})
			if c.wish != "" {
				fields["remember"] = c.wish
			}
			v.want(v.to("/login", fields), "signed_in")
			cookie := v.cookies["captcha_gate"]
			record, found, err := g.sessions.Find(t.Context(), cookie.Value)
			if cookie.MaxAge != c.seconds || record.Remember != c.remember || !found || err != nil {
				t.Errorf("kept for %d s; record %+v, %v", cookie.MaxAge, record, err)
			}
			if record.Network != "192.0.2.0/24" {
				t.Errorf("from %q", record.Network)
			}
		})
	}
}

// Placeholders and the access log have the name, and nobody's where there is
// none.
func TestPlaceholdersTellWhoItIs(t *testing.T) {
	g, _ := stepGate(t, annasContact, Gate{})
	human, err := load(t, Gate{HumanOnly: true, Secret: []Secret{gateSecret}, Realm: "placeholders", State: &StateConfig{Store: storeMemory}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		g           *Gate
		user, email string
	}{"with an address": {g, "anna", "anna@example.com"}, "without": {g, "bert", ""}, "a person": {human, "", ""}} {
		v := newGuest(t, c.g, "192.0.2.1")
		v.want(v.enters(c.user), "signed_in")
		replacer := caddy.NewReplacer()
		r := withCookies(request("GET", "/", "Remote-User", "root"), []*http.Cookie{v.cookies["captcha_gate"]})
		r = throughCaddy(r, false, v.address)
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, replacer))
		reached := false
		_ = c.g.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			reached = true
			if got := r.Header.Get("Remote-User"); got != c.user {
				t.Errorf("%s: the app is told %q", name, got)
			}
			return nil
		}))
		for placeholder, want := range map[string]string{"http.auth.user.id": c.user, "http.auth.user.email": c.email} {
			got, known := replacer.GetString(placeholder)
			if !reached || got != want || known != (want != "") {
				t.Errorf("%s: %s is %q, known: %v", name, placeholder, got, known)
			}
		}
	}
}

// The limits for codes count a sign-up's under a name that no user has.
func TestOTP2_CodesOfSignUpsAreCountedApart(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	r := throughCaddy(request("POST", "/captcha-gate/second-step"), false, "192.0.2.1")
	for _, c := range []struct {
		purpose secondstep.Purpose
		user    string
	}{{secondstep.SignIn, "anna"}, {secondstep.SignUp, ":anna"}} {
		got := g.guesser(r, new(visitor), secondstep.Pending{Purpose: c.purpose, User: "anna"})
		if got != (throttle.Visitor{Client: clientAddr(r), User: c.user}) {
			t.Errorf("%s: %+v", c.purpose, got)
		}
	}
}

// A step counts only for what it was begun for.
func TestOTP4_AStepWaitsOnlyForWhatItWasBegunFor(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	users, err := g.users.Table()
	if err != nil {
		t.Fatal(err)
	}
	annas, _ := users.Fingerprint("anna")
	good := secondstep.Pending{Purpose: secondstep.SignIn, User: "anna", Fingerprint: annas, Channel: channelEmail, Destination: "anna@example.com"}
	for name, c := range map[string]struct {
		change func(*secondstep.Pending)
		want   bool
	}{
		"as begun":         {func(*secondstep.Pending) {}, true},
		"another password": {func(p *secondstep.Pending) { p.Fingerprint = [16]byte{1} }, false},
		"user gone":        {func(p *secondstep.Pending) { p.User, p.Fingerprint, p.Destination = "nobody", [16]byte{}, "" }, false},
		"another channel":  {func(p *secondstep.Pending) { p.Channel = channelSMS }, false},
		"another address":  {func(p *secondstep.Pending) { p.Destination = "thief@example.net" }, false},
		"a sign-up":        {func(p *secondstep.Pending) { *p = secondstep.Pending{Purpose: secondstep.SignUp, User: "carol"} }, true},
	} {
		p := good
		c.change(&p)
		if got, err := g.stillWaits(p); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestMessagesSayWhatTheCodeIsFor(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	var seen []string
	for name, p := range map[string]secondstep.Pending{
		"sign-in by sms":   {Purpose: secondstep.SignIn, Channel: channelSMS},
		"sign-in by email": {Purpose: secondstep.SignIn, Channel: channelEmail},
		"sign-up":          {Purpose: secondstep.SignUp, Channel: channelEmail},
	} {
		p.Lang = "en"
		subject, text := g.message(p, "123456")
		if !strings.Contains(text, "123456") || slices.Contains(seen, text) || (subject == "") != (p.Channel == channelSMS) {
			t.Errorf("%s: %q, %q", name, subject, text)
		}
		seen = append(seen, text)
	}
}
