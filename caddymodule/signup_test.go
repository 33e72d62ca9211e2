package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// openGate takes sign-ups without any confirmation.
func openGate(t *testing.T, accounts AccountsConfig) *Gate {
	t.Helper()
	accounts.SignUp = true
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory}, Accounts: &accounts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const signUpPath = "/captcha-gate/sign-up"

// formOf posts fields as a browser without JavaScript does.
func (v *guest) formOf(path string, fields map[string]string) *httptest.ResponseRecorder {
	v.t.Helper()
	values := url.Values{}
	for name, value := range fields {
		values.Set(name, value)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", typeForm)
	r.Header.Set("Accept", "text/html")
	return v.send(r)
}

// Every fault of a sign-up is told at once, to scripts by code, to people beside
// what they typed; none of them makes a user.
func TestUSR1_FaultsOfASignUpAreToldAtOnce(t *testing.T) {
	g := openGate(t, AccountsConfig{})
	for name, c := range map[string]struct {
		fields map[string]string
		errors map[string]code
	}{
		"nothing":       {map[string]string{}, map[string]code{"username": codeUsernameMissing, "password": codePasswordMissing}},
		"no name":       {map[string]string{"username": "x!", "password": freshPassword, "confirm_password": freshPassword}, map[string]code{"username": codeUsernameInvalid}},
		"reserved":      {map[string]string{"username": "admin", "password": freshPassword, "confirm_password": freshPassword}, map[string]code{"username": codeUsernameReserved}},
		"taken":         {map[string]string{"username": "ANNA", "password": freshPassword, "confirm_password": freshPassword}, map[string]code{"username": codeUsernameTaken}},
		"weak password": {map[string]string{"username": "carol", "password": "x", "confirm_password": "x"}, map[string]code{"password": "password_too_short"}},
		"differ":        {map[string]string{"username": "carol", "password": freshPassword}, map[string]code{"confirm_password": codePasswordsDiffer}},
	} {
		v := newGuest(t, g, "192.0.2.1")
		reply := v.to(signUpPath, v.captchaOn(signUpPath, c.fields))
		if reply.Code != codeInvalid || len(reply.Errors) != len(c.errors) {
			t.Errorf("%s: %s %v", name, reply.Code, reply.Errors)
		}
		for field, want := range c.errors {
			if reply.Errors[field] != want {
				t.Errorf("%s: %s: %s, want %s", name, field, reply.Errors[field], want)
			}
		}
		if reply.Captcha == nil {
			t.Errorf("%s: no challenge for the next try", name)
		} else if claims, err := g.captchas.Unpack(reply.Captcha.Token); err != nil || claims.Purpose != purposeSignUp {
			t.Errorf("%s: the next challenge is for %q, %v", name, claims.Purpose, err)
		}
		w := v.formOf(signUpPath, v.captchaOn(signUpPath, c.fields))
		page := w.Body.String()
		if w.Code != http.StatusUnprocessableEntity || !tokenField.MatchString(page) || c.fields["username"] != "" && !strings.Contains(page, `value="`+c.fields["username"]+`"`) {
			t.Errorf("%s: the page: %d", name, w.Code)
		}
		for _, want := range c.errors {
			if text := g.site.Text("en", string(want)); !strings.Contains(page, strings.Split(text, "%")[0]) {
				t.Errorf("%s: the page does not say %q", name, text)
			}
		}
	}
	if users, err := g.users.Table(); err != nil || users.Len() != 1 {
		t.Error("somebody was made", err)
	}
}

func TestUSR2_WhatCameToNothingIsNotCounted(t *testing.T) {
	g := openGate(t, AccountsConfig{SignUpLimit: &SignUpLimitConfig{PerClient: 1, Users: 2}})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.joins("anna", ""), codeInvalid) // taken
	v.want(v.joins("carol", ""), "signed_in")
	if !v.isIn() {
		t.Error("not in")
	}
	other := newGuest(t, g, "192.0.2.1")
	other.want(other.joins("dave", ""), codeThrottled)
	elsewhere := newGuest(t, g, "192.0.3.1")
	for range 2 { // full, and yet the network's only sign-up of the day is not used up
		elsewhere.want(elsewhere.joins("dave", ""), codeSignUpFull)
	}
}

func TestWhoAwaitsApprovalIsTold(t *testing.T) {
	g := openGate(t, AccountsConfig{Approval: true})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.joins("carol", ""), "awaiting_approval")
	w := v.formOf(signUpPath, v.captchaOn(signUpPath, map[string]string{"username": "dave", "password": freshPassword, "confirm_password": freshPassword}))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), g.site.Text("en", "awaiting_approval")) || v.isIn() {
		t.Errorf("%d, in: %v\n%s", w.Code, v.isIn(), w.Body)
	}
}

func TestTheSignUpPageIsInTheKindThatWasWishedFor(t *testing.T) {
	g := openGate(t, AccountsConfig{})
	for query, kind := range map[string]captcha.Kind{"": captcha.Image, "?kind=image": captcha.Image, "?kind=audio": captcha.Audio, "?kind=work": captcha.Image} {
		claims, _, _, page := openPage(t, g, signUpPath+query)
		if claims.Kind != kind || claims.Purpose != purposeSignUp || !strings.Contains(page, signUpPath+"?kind=") {
			t.Errorf("%q: %v for %q", query, claims.Kind, claims.Purpose)
		}
	}
}

// How good a password is, is told to whoever may choose one, about the own name, and
// not as often as one likes.
func TestThePasswordMeterTellsWhoMayChooseAPassword(t *testing.T) {
	open, closed := openGate(t, AccountsConfig{}), memoryGate(t, "anna")
	anna := newGuest(t, closed, "192.0.2.1")
	anna.want(anna.enters("anna"), "signed_in")
	for name, c := range map[string]struct {
		v      *guest
		fields map[string]string
		code   code
		status int
	}{
		"signing up, short":             {newGuest(t, open, "192.0.2.1"), map[string]string{"password": "x"}, "password_too_short", 200},
		"signing up, good":              {newGuest(t, open, "192.0.2.1"), map[string]string{"password": freshPassword}, "", 200},
		"signing up, the name":          {newGuest(t, open, "192.0.2.1"), map[string]string{"password": "carolinabeach", "username": "carolinabeach"}, "password_like_name", 200},
		"signed in, the own name":       {anna, map[string]string{"password": "anna", "username": "carol"}, "password_too_short", 200},
		"nobody signs up here":          {newGuest(t, closed, "192.0.2.1"), map[string]string{"password": "x"}, codeUnauthenticated, 401},
		"signed in, where nobody joins": {anna, map[string]string{"password": freshPassword}, "", 200},
	} {
		body, _ := json.Marshal(c.fields)
		r := jsonPost(string(body))
		r.URL.Path, r.RequestURI = "/captcha-gate/password-strength", "/captcha-gate/password-strength"
		w := c.v.send(r)
		var reply struct {
			Code    code
			Message string
			Score   int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != c.status || reply.Code != c.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if says := reply.Message != ""; c.status == http.StatusOK && says != (c.code != "") {
			t.Errorf("%s: says %q", name, reply.Message)
		}
	}
	v := newGuest(t, open, "198.51.100.1")
	last := 0
	for range 121 {
		r := jsonPost(`{"password":"x"}`)
		r.URL.Path, r.RequestURI = "/captcha-gate/password-strength", "/captcha-gate/password-strength"
		last = v.send(r).Code
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the 121st: %d", last)
	}
}
