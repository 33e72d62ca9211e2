package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Whichever call of the store fails, every page of a user's own and every form on
// them says so, or does what it does without that call: nothing in between.
func TestSES11_WhicheverCallFailsPagesSaySoAndFormsDoAllOrNothing(t *testing.T) {
	many := &LimitConfig{Events: 100_000, Window: caddy.Duration(time.Hour)}
	config := signUpByEmail()
	config.Throttle = &ThrottleConfig{Client: many, User: many, Issue: many}
	config.Accounts.SignUpLimit = &SignUpLimitConfig{PerClient: 10_000}
	config.SecondStep.Channel, config.Realm = channelNone, realmOf(t)
	s := new(faultyStore)
	s.ofRealm(t, config.Realm)
	g, _ := stepGate(t, annasContact, config)
	for name, c := range map[string]struct {
		path   string
		fields map[string]string // of a form; none is a page
		accept string
		good   int
	}{
		"account":               {"/captcha-gate/account", nil, "text/html", 200},
		"account, script":       {"/captcha-gate/account", nil, typeJSON, 200},
		"sign-up":               {"/captcha-gate/sign-up", nil, "text/html", 303},
		"sign-in":               {"/login", nil, "text/html", 303},
		"second step":           {"/captcha-gate/second-step", nil, "text/html", 303},
		"ending others":         {"/captcha-gate/account", map[string]string{"action": "end_others"}, typeJSON, 200},
		"how good a password":   {"/captcha-gate/password-strength", map[string]string{"password": "x"}, typeJSON, 200},
		"a wrong old password":  {"/captcha-gate/account", map[string]string{"current_password": "wrong", "new_password": freshPassword, "confirm_password": freshPassword}, typeJSON, 401},
		"a code, nobody waits":  {"/captcha-gate/second-step", map[string]string{"code": "123456"}, typeJSON, 403},
		"a sign-up, no captcha": {"/captcha-gate/sign-up", map[string]string{"username": "carol"}, typeJSON, 403},
	} {
		t.Run(name, func(t *testing.T) {
			for n := int64(1); ; n++ {
				// An address each, and a network: failures before ask for nothing.
				v := newGuest(t, g, fmt.Sprintf("10.%d.%d.1", len(name), n))
				v.want(v.enters("anna"), "signed_in")
				r := request("GET", c.path)
				if c.fields != nil {
					body, err := json.Marshal(c.fields)
					if err != nil {
						t.Fatal(err)
					}
					r = jsonPost(string(body))
					r.URL.Path, r.RequestURI = c.path, c.path
				}
				r.Header.Set("Accept", c.accept)
				s.left.Store(n)
				w := v.send(r)
				failed := s.left.Swap(0) <= 0
				if w.Code != c.good && (!failed || w.Code != http.StatusServiceUnavailable) {
					t.Errorf("call %d, failed: %v: %d %s", n, failed, w.Code, w.Body)
				}
				if w.Code == http.StatusServiceUnavailable && (w.Header()["Set-Cookie"] != nil || w.Header().Get("Retry-After") == "") {
					t.Errorf("call %d: cookies %v, Retry-After %q", n, w.Header()["Set-Cookie"], w.Header().Get("Retry-After"))
				}
				if !v.isIn() {
					t.Errorf("call %d signed somebody out", n)
				}
				if !failed {
					return
				}
			}
		})
	}
}

// A password is changed, or it is not, and the reply says which.
func TestUSR3_WhicheverCallFailsThePasswordIsTheOneThatWasSaid(t *testing.T) {
	many := &LimitConfig{Events: 100_000, Window: caddy.Duration(time.Hour)}
	realm := realmOf(t)
	s := new(faultyStore)
	s.ofRealm(t, realm)
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realm, State: &StateConfig{Store: storeMemory},
		Throttle: &ThrottleConfig{Client: many, User: many, Issue: many},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	for n := int64(1); ; n++ {
		s.left.Store(n)
		reply := v.to("/captcha-gate/account", map[string]string{
			"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
		})
		failed := s.left.Swap(0) <= 0
		users, err := g.users.Table()
		if err != nil {
			t.Fatal(err)
		}
		if _, changed := users.Verify("anna", freshPassword); changed != (reply.Code == "password_changed") {
			t.Fatalf("call %d: %s, and it is changed: %v", n, reply.Code, changed)
		} else if changed {
			return
		}
		if !failed || reply.Code != codeStateUnavailable {
			t.Fatalf("call %d, failed: %v: %s", n, failed, reply.Code)
		}
	}
}
