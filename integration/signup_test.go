package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const signUpPath = "/captcha-gate/sign-up"

func newcomer(name string) map[string]any {
	return map[string]any{"username": name, "password": newPassword, "confirm_password": newPassword, "email": name + "@example.com"}
}

// signUp sends the form as a script does, with a right captcha.
func (v *visitor) signUp(f map[string]any) (answer, signUpReply) {
	v.t.Helper()
	challenge := token(v.t, v.page(signUpPath).body)
	f["captcha_token"], f["captcha_answer"] = challenge, solve(v.t, challenge)
	a, r := v.json(signUpPath, f)
	reply := signUpReply{reply: r}
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil {
		v.t.Fatal(err)
	}
	return a, reply
}

type signUpReply struct {
	reply
	Errors   map[string]string
	Messages map[string]string `json:"error_messages"`
}

func startSignUp(t *testing.T, more string) *site {
	t.Helper()
	return startSite(t, "accounts {\nsign_up on\n"+more+"\n}")
}

func TestUSR2_SignUpIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	if a := v.page(signUpPath); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := v.page("/login"); strings.Contains(a.body, signUpPath) {
		t.Error("the page offers it")
	}
	if a := v.do("GET", "/captcha-gate/challenge?for=sign_up", ""); a.StatusCode != 404 {
		t.Errorf("a challenge for it: %d", a.StatusCode)
	}
}

func TestSignUpMakesAUserWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "")
	v := newVisitor(t, s)
	if page := v.page("/login?rd=/report"); !strings.Contains(page.body, signUpPath+"?rd=%2Freport") {
		t.Error("the sign-in page does not offer it")
	}
	f := newcomer("carol")
	f["rd"] = "/report"
	a, r := v.signUp(f)
	wantCode(t, "the sign-up", a, r.reply, 200, "signed_in")
	if r.RedirectURL == nil || *r.RedirectURL != "/report" || !v.isSignedIn() {
		t.Errorf("%+v", r)
	}
	if !htpasswdAccepts(t, s.users, "carol", newPassword) {
		t.Error("Apache's htpasswd disagrees")
	}
	text, _ := os.ReadFile(s.users)
	if !strings.HasPrefix(string(text), testUser+":"+testHash+"\ncarol:$2y$10$") || !strings.HasSuffix(string(text), "\n") {
		t.Errorf("%q", text)
	}
	if !strings.Contains(s.log.String(), `"msg":"signed up"`) || strings.Contains(s.log.String(), newPassword) {
		t.Error("the log misses the event or shows the password")
	}
	form := newVisitor(t, s)
	page := form.page(signUpPath)
	challenge := token(t, page.body)
	done := form.form(signUpPath, url.Values{"username": {"dave"}, "password": {newPassword}, "confirm_password": {newPassword},
		"captcha_token": {challenge}, "captcha_answer": {solve(t, challenge)}, "rd": {"/x"}})
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/x" || !form.isSignedIn() {
		t.Errorf("by form: %d to %q", done.StatusCode, done.Header.Get("Location"))
	}
}

func TestUSR1_EveryFaultOfASignUpIsToldAtOnce(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "sign_up_limit 100 1000")
	for name, want := range map[string]string{
		"":                      "username_missing",
		"ab":                    "username_invalid",
		strings.Repeat("a", 26): "username_invalid",
		"car:ol":                "username_invalid",
		"#carol":                "username_invalid",
		"car ol":                "username_invalid",
		"аlice":                 "username_invalid", // Cyrillic
		"admin":                 "username_reserved",
		"ROOT":                  "username_reserved",
		"alice":                 "username_taken",
		"Alice":                 "username_taken",
		"a1ice":                 "username_taken",
	} {
		a, r := newVisitor(t, s).signUp(map[string]any{"username": name, "password": "password123", "confirm_password": "x"})
		wantCode(t, fmt.Sprintf("%q", name), a, r.reply, 422, "invalid")
		if r.Errors["username"] != want || r.Errors["password"] != "password_too_common" || r.Errors["confirm_password"] != "passwords_differ" || len(r.Errors) != 3 {
			t.Errorf("%q: %v", name, r.Errors)
		}
		for field, text := range r.Messages {
			if text == "" || strings.Contains(text, "wrong on our side") {
				t.Errorf("%s: %q", field, text)
			}
		}
		if r.Captcha == nil {
			t.Error("no new captcha")
		}
	}
	for name := range map[string]bool{"car\nol": true, "car\x00ol": true, "carol\r": true} {
		a, r := newVisitor(t, s).signUp(newcomer(name))
		wantCode(t, fmt.Sprintf("%q", name), a, r.reply, 400, "malformed")
	}
	if text, _ := os.ReadFile(s.users); string(text) != testUser+":"+testHash+"\n" {
		t.Errorf("the file is now %q", text)
	}
}

func TestCAP12_NobodySignsUpWithoutACaptcha(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "")
	v := newVisitor(t, s)
	v.page(signUpPath)
	a, r := v.json(signUpPath, newcomer("carol"))
	wantCode(t, "none", a, r, 403, "captcha_required")
	f := newcomer("carol")
	login := token(t, v.page("/login").body)
	f["captcha_token"], f["captcha_answer"] = login, solve(t, login)
	a, r = v.json(signUpPath, f)
	wantCode(t, "CAP-6: that of the sign-in form", a, r, 403, "captcha_expired")
	f["captcha_token"], f["captcha_answer"] = r.Captcha.Token, "wrong"
	a, r = v.json(signUpPath, f)
	wantCode(t, "a wrong answer", a, r, 403, "captcha_wrong")
	if text, _ := os.ReadFile(s.users); strings.Contains(string(text), "carol") {
		t.Error("she is in the file")
	}
}

func TestUSR2_SignUpsAreLimited(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "sign_up_limit 2 100")
	for _, name := range []string{"carol", "dave"} {
		a, r := newVisitor(t, s).signUp(newcomer(name))
		wantCode(t, name, a, r.reply, 200, "signed_in")
	}
	a, r := newVisitor(t, s).signUp(newcomer("erin"))
	wantCode(t, "the third of a network", a, r.reply, 429, "throttled")

	full := startSignUp(t, "sign_up_limit 10 2")
	a, r = newVisitor(t, full).signUp(newcomer("carol"))
	wantCode(t, "the second user", a, r.reply, 200, "signed_in")
	a, r = newVisitor(t, full).signUp(newcomer("dave"))
	wantCode(t, "the third user", a, r.reply, 403, "sign_up_full")
}

func TestUSR9_OfFiftySignUpsOfOneNameOneWins(t *testing.T) {
	t.Parallel()
	s := startSite(t, "accounts {\nsign_up on\nsign_up_limit 1000 1000\n}\nthrottle {\nclient 1000 10m\nhashing 4\n}")
	var won, taken atomic.Int32
	var wg sync.WaitGroup
	var forms []func()
	for range 50 {
		v := newVisitor(t, s)
		f := newcomer("carol")
		// One browser draws them all: drawing is limited for each network.
		challenge := decodeChallenge(t, v)
		f["captcha_token"], f["captcha_answer"] = challenge, solve(t, challenge)
		forms = append(forms, func() {
			_, r := v.json(signUpPath, f)
			switch r.Code {
			case "signed_in":
				won.Add(1)
			case "invalid", "busy": // hashing under the race detector takes long
				taken.Add(1)
			default:
				t.Errorf("%s", r.Code)
			}
		})
	}
	for _, send := range forms {
		wg.Go(send)
	}
	wg.Wait()
	text, _ := os.ReadFile(s.users)
	if n := strings.Count(string(text), "\ncarol:"); n != 1 || won.Load() != 1 || taken.Load() != 49 {
		t.Errorf("%d lines, %d won, %d were told that it is taken, or to wait", n, won.Load(), taken.Load())
	}
}

// decodeChallenge gets a browser its cookie and a challenge for the sign-up form.
func decodeChallenge(t *testing.T, v *visitor) string {
	t.Helper()
	return token(t, v.page(signUpPath).body)
}

func TestSignUpConfirmsTheAddressByACode(t *testing.T) {
	t.Parallel()
	p, sender := mailbox(t)
	s := newSite(t)
	contacts := s.writeFile("contacts.json", "{}\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "contacts " + contacts + "\naccounts {\nsign_up on\n}\nsecond_step email {\n" + sender + "}\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	for email, want := range map[string]string{"": "email_missing", "carol": "email_invalid", "Carol <c@example.com>": "email_invalid"} {
		f := newcomer("carol")
		f["email"] = email
		a, r := newVisitor(t, s).signUp(f)
		wantCode(t, email, a, r.reply, 422, "invalid")
		if r.Errors["email"] != want {
			t.Errorf("%q: %v", email, r.Errors)
		}
	}
	a, r := v.signUp(newcomer("carol"))
	wantCode(t, "the form", a, r.reply, 200, "second_step_required")
	if text, _ := os.ReadFile(s.users); strings.Contains(string(text), "carol") {
		t.Fatal("she is in the file before the address is confirmed")
	}
	mail := p.next(0)
	if mail.to != "carol@example.com" {
		t.Errorf("sent to %q", mail.to)
	}
	a, wrong := v.code(wrongCode(mail.code(t)))
	wantCode(t, "a wrong code", a, wrong, 403, "second_step_wrong")
	a, right := v.code(mail.code(t))
	wantCode(t, "the code", a, right, 200, "signed_in")
	if !v.isSignedIn() || !htpasswdAccepts(t, s.users, "carol", newPassword) {
		t.Error("not signed in, or not in the file")
	}
	last := s.upstream.requests()[len(s.upstream.requests())-1]
	if last.Header.Get("Remote-Email") != "carol@example.com" {
		t.Errorf("the app saw %v", last.Header)
	}
	if text, _ := os.ReadFile(contacts); !strings.Contains(string(text), `"carol@example.com"`) {
		t.Errorf("contacts are %s", text)
	}
	// The next sign-in sends its code to the address.
	next := newVisitor(t, s)
	f := fields(t, next.page("/login").body)
	f.Set("username", "carol")
	f.Set("password", newPassword)
	if a := next.form("/login", f); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d", a.StatusCode)
	}
	a, r2 := next.code(p.next(1).code(t))
	wantCode(t, "her second sign-in", a, r2, 200, "signed_in")
}

func TestANewUserWaitsForApproval(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "approval on")
	v := newVisitor(t, s)
	a, r := v.signUp(newcomer("carol"))
	wantCode(t, "the sign-up", a, r.reply, 200, "awaiting_approval")
	if v.isSignedIn() {
		t.Fatal("signed in before the approval")
	}
	f := fields(t, v.page("/login").body)
	f.Set("username", "carol")
	f.Set("password", newPassword)
	if a := v.form("/login", f); a.StatusCode != 401 {
		t.Errorf("a sign-in before the approval: %d", a.StatusCode)
	}
	if htpasswdAccepts(t, s.users, "carol", newPassword) {
		t.Error("Apache lets her in")
	}
	a, r = newVisitor(t, s).signUp(newcomer("carol"))
	wantCode(t, "the name again", a, r.reply, 422, "invalid")
}

func TestCRD11_TheMeterSaysHowGoodAPasswordIs(t *testing.T) {
	t.Parallel()
	s := startSignUp(t, "")
	v := newVisitor(t, s)
	for password, want := range map[string]string{
		"short": "password_too_short", "password123": "password_too_common", "carol-1234": "password_like_name", newPassword: "",
	} {
		a := v.do("POST", "/captcha-gate/password-strength", encode(t, map[string]any{"password": password, "username": "carol"}),
			"Content-Type", "application/json")
		var r struct {
			Score         int
			Code, Message string
		}
		if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.StatusCode != 200 || r.Code != want || (r.Message == "") != (want == "") {
			t.Errorf("%q: %d %s %v", password, a.StatusCode, a.body, err)
		}
	}
	off := startSite(t, "")
	if a := newVisitor(t, off).do("POST", "/captcha-gate/password-strength", `{"password":"x"}`, "Content-Type", "application/json"); a.StatusCode != 401 {
		t.Errorf("a stranger where nobody signs up: %d", a.StatusCode)
	}
}
