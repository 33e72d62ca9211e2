package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// Who opens a page that is not for them right now is led on: people by a redirect,
// scripts by a code.
func TestAPageThatIsNotForNowLeadsOn(t *testing.T) {
	g, l := stepGate(t, annasContact, signUpByEmail())
	stranger, anna := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.2")
	anna.want(anna.enters("anna"), codeSecondStepRequired)
	anna.want(anna.types(l.last(t, 0).Code), "signed_in")
	const people, scripts = "text/html", typeJSON
	for name, c := range map[string]struct {
		who          *guest
		path, accept string
		status       int
		location     string
		code         code
	}{
		"a code that nobody waits for":         {stranger, "/captcha-gate/second-step", people, 303, "/login", ""},
		"a code that nobody waits for, script": {stranger, "/captcha-gate/second-step", scripts, 403, "", codeSecondStepExpired},
		"a code, signed in":                    {anna, "/captcha-gate/second-step?rd=/notes", people, 303, "/notes", ""},
		"a code, signed in, rd elsewhere":      {anna, "/captcha-gate/second-step?rd=//evil.example", people, 303, "/", ""},
		"sign-up, signed in":                   {anna, "/captcha-gate/sign-up?rd=/notes", people, 303, "/notes", ""},
		"sign-up, signed in, rd elsewhere":     {anna, "/captcha-gate/sign-up?rd=https://evil.example/", people, 303, "/", ""},
		"sign-in, signed in":                   {anna, "/login?rd=/notes", people, 303, "/notes", ""},
		"sign-in, script":                      {stranger, "/login", scripts, 401, "", codeUnauthenticated},
		"account":                              {stranger, "/captcha-gate/account", people, 303, "/login", ""},
		"account, script":                      {stranger, "/captcha-gate/account", scripts, 401, "", codeUnauthenticated},
		"account, signed in":                   {anna, "/captcha-gate/account", people, 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("GET", c.path, "Accept", c.accept)
			if c.accept == scripts {
				r.Header.Set("Sec-Fetch-Mode", "cors")
			}
			w := c.who.send(r)
			var reply failure
			if c.code != "" {
				if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			if w.Code != c.status || w.Header().Get("Location") != c.location || reply.Code != c.code {
				t.Errorf("%d to %q, %s", w.Code, w.Header().Get("Location"), reply.Code)
			}
		})
	}
}

// SES-5: a session is worth what was proved when it began, and no more than the gate
// asks for now.
func TestSES5_ASessionCountsForWhatItProved(t *testing.T) {
	passwords := memoryGate(t, "anna")
	codes, _ := stepGate(t, annasContact, Gate{
		Realm: "codes", Users: passwords.Users, SecondStep: &SecondStepConfig{Channel: channelSMS},
	})
	human, err := load(t, Gate{HumanOnly: true, Secret: []Secret{gateSecret}, Realm: "human", State: &StateConfig{Store: storeMemory}})
	if err != nil {
		t.Fatal(err)
	}
	users, err := passwords.users.Table()
	if err != nil {
		t.Fatal(err)
	}
	annas, _ := users.Fingerprint("anna")
	for name, c := range map[string]struct {
		g      *Gate
		record session.Record
		want   bool
	}{
		"a person, where names are asked for":     {passwords, session.Record{Level: session.Human}, false},
		"a password":                              {passwords, session.Record{User: "anna", Fingerprint: annas, Level: session.Password}, true},
		"a code, where a password is enough":      {passwords, session.Record{User: "anna", Fingerprint: annas, Level: session.SecondStep}, true},
		"a person under a name":                   {passwords, session.Record{User: "anna", Fingerprint: annas, Level: session.Human}, false},
		"another password by now":                 {passwords, session.Record{User: "anna", Fingerprint: [16]byte{1}, Level: session.Password}, false},
		"gone by now":                             {passwords, session.Record{User: "bert", Level: session.Password}, false},
		"a password, where a code is asked for":   {codes, session.Record{User: "anna", Fingerprint: annas, Level: session.Password}, false},
		"a code":                                  {codes, session.Record{User: "anna", Fingerprint: annas, Level: session.SecondStep}, true},
		"a person, where that is all":             {human, session.Record{Level: session.Human}, true},
		"a password, where persons are asked for": {human, session.Record{User: "anna", Fingerprint: annas, Level: session.Password}, false},
	} {
		if current, err := c.g.isCurrent(c.record); current != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, current, err)
		}
	}
}

// brokenMatcher cannot tell.
type brokenMatcher struct{}

func (brokenMatcher) MatchWithError(*http.Request) (bool, error) { return false, errors.New("broken") }

func TestPTH1_WhatAMatcherCannotTellIsProtected(t *testing.T) {
	g := memoryGate(t, "anna")
	g.protect = caddyhttp.MatcherSets{{brokenMatcher{}}}
	w, app := serve(t, g, request("GET", "/public"))
	if app != nil || w.Code != http.StatusUnauthorized {
		t.Errorf("%d, app reached: %v", w.Code, app != nil)
	}
}

// The account page asks for a captcha from the first wrong password on, in the kind
// that was wished for, and refuses without.
func TestUSR3_AWrongPresentPasswordBringsACaptcha(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	const path = "/captcha-gate/account"
	change := func(fields map[string]string) failure {
		t.Helper()
		fields["new_password"], fields["confirm_password"] = freshPassword, freshPassword
		return v.to(path, fields)
	}
	if w := v.send(request("GET", path, "Accept", "text/html")); tokenField.MatchString(w.Body.String()) {
		t.Error("a captcha before anything was wrong")
	}
	wrong := change(map[string]string{"current_password": "wrong"})
	if v.want(wrong, codeCredentialsWrong); wrong.Captcha == nil || wrong.Errors["current_password"] != codeCredentialsWrong {
		t.Errorf("%+v", wrong)
	}
	v.want(change(map[string]string{"current_password": "anna-password"}), codeCaptchaRequired)

	kinds := map[string]captcha.Kind{"": captcha.Image, "?kind=image": captcha.Image, "?kind=audio": captcha.Audio}
	for query, kind := range kinds {
		match := tokenField.FindStringSubmatch(v.send(request("GET", path+query, "Accept", "text/html")).Body.String())
		if match == nil {
			t.Fatalf("no captcha on the page%s", query)
		}
		if claims, err := g.captchas.Unpack(match[1]); err != nil || claims.Kind != kind {
			t.Errorf("%s: %v, %v", query, claims.Kind, err)
		}
	}
	var told accountJSON
	if w := v.send(request("GET", path, "Accept", typeJSON)); json.Unmarshal(w.Body.Bytes(), &told) != nil || told.Captcha == nil {
		t.Error("scripts are not told of the captcha")
	}
	login := v.captchaOn(path, map[string]string{"current_password": "anna-password"})
	kept := v.cookies["captcha_gate_browser"]
	delete(v.cookies, "captcha_gate_browser")
	v.want(change(login), codeCookiesRequired)
	v.cookies["captcha_gate_browser"] = kept
	v.want(change(v.captchaOn(path, map[string]string{"current_password": "anna-password", "captcha_answer": "x"})), "password_changed")
}

// Between the check of the present password and the writing of the new one somebody
// else may have changed or removed the entry: that must stay.
func TestUSR4_AnEntryThatChangedMeanwhileIsNotWrittenOver(t *testing.T) {
	for name, change := range map[string]func(*Gate) error{
		"changed": func(g *Gate) error { return g.editor.ReplaceHash("anna", cheapHash(t)) },
		"removed": func(g *Gate) error { return g.editor.Remove("anna") },
	} {
		t.Run(name, func(t *testing.T) {
			g := memoryGate(t, "anna", "bert")
			users, err := g.users.Table()
			if err != nil {
				t.Fatal(err)
			}
			verified, _ := users.Fingerprint("anna")
			if err := change(g); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(g.Users)
			r := throughCaddy(request("POST", "/captcha-gate/account"), false, "192.0.2.1")
			who := owner{Record: session.Record{User: "anna"}}
			if result := g.setPassword(r, new(visitor), who, verified, freshPassword, newBrowser()); result.code != codeUnauthenticated || result.token != "" {
				t.Errorf("%+v", result)
			}
			if after, _ := os.ReadFile(g.Users); string(after) != string(before) {
				t.Errorf("the file is now\n%s", after)
			}
		})
	}
}

func TestACodeIsShownToGoWhereOnlyItsOwnerRecognises(t *testing.T) {
	for destination, want := range map[string]string{
		"anna@example.com": "a•••@example.com", "@example.com": "•••@example.com", "+4915112345678": "+49 ••• 78", "+491511": "•••", "": "•••",
	} {
		if got := masked(secondstep.Pending{Destination: destination}); got != want {
			t.Errorf("%q is shown as %q, want %q", destination, got, want)
		}
	}
}

// What a sender says decides whether the outbox tries again.
func TestTheOutboxUnderstandsWhatSendersSay(t *testing.T) {
	l := new(loft)
	lofts.Store(t.Name(), l)
	other := errors.New("out of order")
	for name, c := range map[string]struct{ says, hears error }{
		"sent": {nil, nil}, "refused": {senders.ErrRefused, outbox.ErrRefused}, "deferred": {senders.ErrDeferred, outbox.ErrDeferred}, "other": {other, other},
	} {
		l.fail(c.says)
		err := adapter{pigeon{Loft: t.Name()}}.Send(t.Context(), outbox.Message{Channel: channelSMS})
		if !errors.Is(err, c.hears) || !errors.Is(err, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An operator's approval comes after the address is confirmed; until then nobody is
// in.
func TestWhoAwaitsApprovalIsNotIn(t *testing.T) {
	config := signUpByEmail()
	config.Accounts.Approval = true
	g, _ := stepGate(t, annasContact, config)
	for _, accept := range []string{typeJSON, "text/html"} {
		v := newGuest(t, g, "192.0.2.1")
		name := map[string]string{typeJSON: "carol", "text/html": "dave"}[accept]
		typed := v.waits(name, name+"@example.com")
		r := postRequest(typeForm, "code="+typed)
		r.URL.Path, r.RequestURI = "/captcha-gate/second-step", "/captcha-gate/second-step"
		r.Header.Set("Accept", accept)
		if w := v.send(r); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", accept, w.Code, w.Body)
		}
		users, _ := g.users.Table()
		contact, _ := g.contacts.Get(name)
		if v.isIn() || !users.Locked(name) || contact.Email != name+"@example.com" {
			t.Errorf("%s is in: %v, locked: %v, contact %+v", name, v.isIn(), users.Locked(name), contact)
		}
	}
}

func TestAWeakEntryThatCannotBeWrittenStaysGood(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
		Accounts: &AccountsConfig{UpgradeHashes: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(g.Users, g.Users+".link"); err != nil { // is not edited
		t.Fatal(err)
	}
	if users, err := g.users.Table(); err != nil || !users.IsWeak("anna") {
		t.Fatal("the entry is not weak", err)
	}
	before, _ := os.ReadFile(g.Users)
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	if after, _ := os.ReadFile(g.Users); string(after) != string(before) || !v.isIn() {
		t.Errorf("in: %v, and the file is now\n%s", v.isIn(), after)
	}
}
