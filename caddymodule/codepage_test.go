package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

const secondStepPath, resendPath = "/captcha-gate/second-step", "/captcha-gate/second-step/resend"

// wantPage looks for texts in a page.
func wantPage(t *testing.T, what string, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	page := w.Body.String()
	if w.Code != status {
		t.Errorf("%s: %d, want %d", what, w.Code, status)
	}
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("%s: the page lacks %q\n%s", what, text, page)
		}
	}
}

// wantSeconds looks for an attribute of so many seconds, or fewer.
func wantSeconds(t *testing.T, w *httptest.ResponseRecorder, attribute string, most int) {
	t.Helper()
	_, rest, _ := strings.Cut(w.Body.String(), attribute+`="`)
	number, _, _ := strings.Cut(rest, `"`)
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > most {
		t.Errorf("%s is %q, want at most %d", attribute, number, most)
	}
}

func (v *guest) page(path string) *httptest.ResponseRecorder {
	v.t.Helper()
	return v.send(request("GET", path, "Accept", "text/html"))
}

// Without JavaScript a sign-in with a code goes through pages alone.
func TestThePageForTheCodeSaysHowThingsStand(t *testing.T) {
	g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{
		Channel: channelSMS, Digits: 7, Limits: &SendLimitsConfig{Destination: &LimitConfig{Events: 2, Window: caddy.Duration(time.Hour)}},
	}})
	v := newGuest(t, g, "192.0.2.1")
	fields := v.captchaOn("/login", map[string]string{"username": "anna", "password": "anna-password", "rd": "/wiki"})
	w := v.formOf("/login", fields)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != secondStepPath+"?rd=%2Fwiki" {
		t.Fatalf("after the password: %d to %q", w.Code, to)
	}
	shown := []string{`data-digits="7"`, "&#43;49 ••• 78", `name="rd" value="/wiki"`, g.site.Text("en", "heading_phone")}
	page := v.page(secondStepPath + "?rd=%2Fwiki")
	wantPage(t, "the page", page, http.StatusOK, shown...)
	wantSeconds(t, page, "data-left", 300)
	wantSeconds(t, page, "data-in", 60)
	wrong := v.formOf(secondStepPath, map[string]string{"code": "000", "rd": "/wiki"})
	wantPage(t, "a wrong code", wrong, codeSecondStepWrong.status(), append(shown, `id="code-error" class="error" role="alert">`+g.site.Text("en", string(codeSecondStepWrong)))...)
	soon := v.formOf(resendPath, map[string]string{"rd": "/wiki"})
	wantPage(t, "another code at once", soon, http.StatusTooManyRequests, shown...)
	reply := v.to(resendPath, map[string]string{})
	if wait := reply.RetryAfter; reply.Code != codeThrottled || wait < 1 || wait > 60 || soon.Header().Get("Retry-After") == "" {
		t.Errorf("another code at once, for a script: %s, again in %d", reply.Code, wait)
	}
	who := g.caller(throughCaddy(request("GET", "/"), false, "192.0.2.1"), nil, "anna")
	if _, err := g.throttle.ReserveSend(t.Context(), who, "+4915112345678", g.sendRules(secondstep.SignIn)); err != nil {
		t.Errorf("what was asked for too soon counts: %v", err)
	}
	in := v.formOf(secondStepPath, map[string]string{"code": l.last(t, 0).Code, "rd": "/wiki"})
	if in.Code != http.StatusSeeOther || in.Header().Get("Location") != "/wiki" || !v.isIn() {
		t.Errorf("the right code: %d to %q", in.Code, in.Header().Get("Location"))
	}
	if to := v.page(secondStepPath + "?rd=%2Fwiki").Header().Get("Location"); to != "/wiki" {
		t.Errorf("the page once signed in leads to %q", to)
	}
}

func TestOTP4_AnotherCodeTakesThePlaceOfTheFirst(t *testing.T) {
	for name, again := range map[string]func(t *testing.T, v *guest){
		"a script's": func(t *testing.T, v *guest) {
			reply := v.to(resendPath, map[string]string{"rd": "/wiki"})
			if reply.Code != "code_sent" || reply.RetryAfter < 1 || reply.RetryAfter > 2 || reply.RedirectURL == nil || *reply.RedirectURL != secondStepPath+"?rd=%2Fwiki" {
				t.Errorf("%+v", reply)
			}
		},
		"a form's": func(t *testing.T, v *guest) {
			w := v.formOf(resendPath, map[string]string{"rd": "/wiki"})
			wantPage(t, "another code", w, http.StatusOK, ">"+v.g.site.Text("en", "code_sent")+"</p>", `name="rd" value="/wiki"`)
			wantSeconds(t, w, "data-in", 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelEmail, Resend: caddy.Duration(time.Second)}})
			v := newGuest(t, g, "192.0.2.1")
			v.want(v.enters("anna"), codeSecondStepRequired)
			first := l.last(t, 0).Code
			time.Sleep(time.Second)
			again(t, v)
			second := l.last(t, 1).Code
			if second != first { // one in a million times it is the same
				v.want(v.types(first), codeSecondStepWrong)
			}
			v.want(v.types(second), "signed_in")
		})
	}
}

// Whose provider fails between the first code and another is told so, and the code
// that did not go out is none of the user's few.
func TestOTP4_AnotherCodeThatCannotBeSentIsSaidAndNotCounted(t *testing.T) {
	g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{
		Channel: channelSMS, Resend: caddy.Duration(time.Second),
		Limits: &SendLimitsConfig{Destination: &LimitConfig{Events: 2, Window: caddy.Duration(time.Hour)}},
	}})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), codeSecondStepRequired)
	l.last(t, 0)
	l.fail(errors.New("out of order"))
	time.Sleep(time.Second)
	v.want(v.to(resendPath, map[string]string{}), codeSenderUnavailable)
	who := g.caller(throughCaddy(request("GET", "/"), false, "192.0.2.1"), nil, "anna")
	if _, err := g.throttle.ReserveSend(t.Context(), who, "+4915112345678", g.sendRules(secondstep.SignIn)); err != nil {
		t.Errorf("the second of two codes: %v", err)
	}
}

func TestUSR1_ASignUpWithACodeNeedsAnAddressAndEndsWhereTheNameIsTaken(t *testing.T) {
	g, l := stepGate(t, annasContact, signUpByEmail())
	v := newGuest(t, g, "192.0.2.1")
	for email, want := range map[string]code{"": codeEmailMissing, "nobody": codeEmailInvalid, "a@b@c": codeEmailInvalid} {
		if reply := v.joins("carol", email); reply.Code != codeInvalid || len(reply.Errors) != 1 || reply.Errors["email"] != want {
			t.Errorf("%q: %s %v", email, reply.Code, reply.Errors)
		}
	}
	w := v.formOf(signUpPath, v.captchaOn(signUpPath, map[string]string{
		"username": "carol", "email": "carol@example.com", "password": freshPassword, "confirm_password": freshPassword, "rd": "/wiki",
	}))
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != secondStepPath+"?rd=%2Fwiki" {
		t.Fatalf("after the form: %d to %q\n%s", w.Code, to, w.Body)
	}
	page := v.page(secondStepPath)
	wantPage(t, "the page", page, http.StatusOK, "c•••@example.com", `href="`+signUpPath+`"`)
	if err := g.editor.Add("carol", cheapHash(t), htpasswd.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	taken := v.formOf(secondStepPath, map[string]string{"code": l.last(t, 0).Code})
	wantPage(t, "the name is taken", taken, http.StatusUnprocessableEntity, g.site.Text("en", string(codeUsernameTaken)), `id="sign-up"`)
	if v.isIn() || v.cookies["captcha_gate_pending"].Value != "" {
		t.Errorf("in: %v; still waits: %v", v.isIn(), v.cookies["captcha_gate_pending"])
	}
}

func TestINP5_FormsTakeNoOtherMethods(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	for path, allow := range map[string]string{
		"/login": "GET, HEAD, POST", "/logout": "GET, HEAD, POST", signUpPath: "GET, HEAD, POST", secondStepPath: "GET, HEAD, POST",
		resendPath: "POST", "/captcha-gate/account": "GET, HEAD, POST", "/captcha-gate/challenge": "GET, HEAD",
	} {
		w, app := serve(t, g, request("PUT", path))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow || app != nil {
			t.Errorf("%s: %d, allows %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

// A code to the address of a new account is none to a phone.
func TestOTP5_TheCodeOfASignUpStandsOnlyForOneOfTheSameKind(t *testing.T) {
	for channel, want := range map[string]session.Level{channelNone: session.Password, channelEmail: session.SecondStep} {
		config := signUpByEmail()
		config.SecondStep.Channel = channel
		config.Realm = realmOf(t) + channel
		g, _ := stepGate(t, annasContact, config)
		v := newGuest(t, g, "192.0.2.1")
		v.want(v.types(v.waits("carol", "carol@example.com")), "signed_in")
		record, found, err := g.sessions.Find(t.Context(), v.cookies["captcha_gate"].Value)
		if !found || err != nil || record.Level != want {
			t.Errorf("second step by %s: level %d, want %d, %v", channel, record.Level, want, err)
		}
	}
}
