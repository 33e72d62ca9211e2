package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/bcrypt"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/captcha"
)

func init() {
	caddy.RegisterModule(pigeon{})
}

// pigeon is a sender that brings messages into a loft.
type pigeon struct {
	Loft string `json:"loft"`
}

// loft is where the messages of one test arrive.
type loft struct {
	mu    sync.Mutex
	err   error
	sent  []senders.Message
	tries int
}

var lofts sync.Map // by name

func (pigeon) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha_gate.senders.pigeon", New: func() caddy.Module { return new(pigeon) }}
}

func (pigeon) Channels() []senders.Channel { return []senders.Channel{senders.SMS, senders.Email} }

func (p pigeon) Send(_ context.Context, m senders.Message) error {
	value, _ := lofts.Load(p.Loft)
	l := value.(*loft)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.err == nil {
		l.sent = append(l.sent, m)
	}
	return l.err
}

func (l *loft) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// last waits for the message after so many.
func (l *loft) last(t testing.TB, after int) senders.Message {
	t.Helper()
	for range 500 {
		l.mu.Lock()
		if len(l.sent) > after {
			defer l.mu.Unlock()
			return l.sent[after]
		}
		l.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no message came")
	return senders.Message{}
}

// stepGate is a gate with senders; contacts is the text of that file.
func stepGate(t testing.TB, contacts string, config Gate) (*Gate, *loft) {
	t.Helper()
	l := new(loft)
	lofts.Store(t.Name(), l)
	config.Secret, config.State = []Secret{gateSecret}, &StateConfig{Store: storeMemory}
	orText(&config.Realm, realmOf(t))
	if config.Users == "" {
		config.Users = usersFile(t, "anna", "bert")
	}
	config.Contacts = filepath.Join(t.TempDir(), "contacts.json")
	if err := os.WriteFile(config.Contacts, []byte(contacts), 0o600); err != nil {
		t.Fatal(err)
	}
	if config.SecondStep != nil {
		config.SecondStep.SendersRaw = []json.RawMessage{json.RawMessage(`{"sender":"pigeon","loft":"` + t.Name() + `"}`)}
	}
	g, err := load(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return g, l
}

// to posts fields as a script does.
func (v *guest) to(path string, fields map[string]string) failure {
	v.t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		v.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", typeJSON)
	r.Header.Set("Accept", typeJSON)
	w := v.send(r)
	var reply failure
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		v.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return reply
}

// captchaOn adds a right captcha of a page to the fields of its form.
func (v *guest) captchaOn(path string, fields map[string]string) map[string]string {
	v.t.Helper()
	w := v.send(request("GET", path, "Accept", "text/html"))
	match := tokenField.FindStringSubmatch(w.Body.String())
	if match == nil {
		v.t.Fatalf("no challenge in %d\n%s", w.Code, w.Body)
	}
	fields["captcha_token"], fields["captcha_answer"] = match[1], answer(v.t, v.g.Realm, match[1])
	return fields
}

const freshPassword = "seven green kites at dawn"

// joins sends the sign-up form.
func (v *guest) joins(name, email string) failure {
	v.t.Helper()
	return v.to("/captcha-gate/sign-up", v.captchaOn("/captcha-gate/sign-up", map[string]string{
		"username": name, "email": email, "password": freshPassword, "confirm_password": freshPassword,
	}))
}

// waits has a sign-up wait for its code, as the form leaves it but for the time
// that a hash takes, and returns the code.
func (v *guest) waits(name, email string) string {
	v.t.Helper()
	v.send(request("GET", "/login", "Accept", "text/html"))
	opened, err := v.g.browsers.Open(v.cookies["captcha_gate_browser"].Value)
	if err != nil {
		v.t.Fatal(err)
	}
	b, _, _ := parseBrowser(opened.Plaintext)
	token, code, _, err := v.g.steps.Begin(v.t.Context(), secondstep.Pending{
		Purpose: secondstep.SignUp, User: name, Browser: b.id, PasswordHash: cheapHash(v.t), Channel: channelEmail, Destination: email,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.cookies["captcha_gate_pending"] = &http.Cookie{Name: "captcha_gate_pending", Value: token}
	return code
}

// enters sends the sign-in form with the password of usersFile.
func (v *guest) enters(name string) failure {
	v.t.Helper()
	return v.to("/login", v.captchaOn("/login", map[string]string{"username": name, "password": name + "-password"}))
}

func (v *guest) types(code string) failure {
	v.t.Helper()
	return v.to("/captcha-gate/second-step", map[string]string{"code": code})
}

const annasContact = `{"anna": {"email": "anna@example.com", "phone": "+4915112345678"}}`

func signUpByEmail() Gate {
	return Gate{Accounts: &AccountsConfig{SignUp: true}, SecondStep: &SecondStepConfig{Channel: channelEmail}}
}

// A step is begun at one gate and ended at another that shares the realm, as after
// a reload.
func TestUSR2_AGateWithoutSignUpEndsNoneThatBeganElsewhere(t *testing.T) {
	open, _ := stepGate(t, annasContact, signUpByEmail())
	closed, _ := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelEmail}})
	v := newGuest(t, open, "192.0.2.1")
	code := v.waits("mallory", "mallory@example.net")
	v.g = closed
	if reply := v.types(code); reply.Code != codeSecondStepExpired {
		t.Errorf("%s", reply.Code)
	}
	if text, _ := os.ReadFile(closed.Users); strings.Contains(string(text), "mallory") {
		t.Errorf("in the file of a gate where nobody signs up:\n%s", text)
	}
}

func TestSES6_AStolenPendingCookieIsOfNoUseInAnotherBrowser(t *testing.T) {
	g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelSMS}})
	anna, thief := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.1")
	anna.want(anna.enters("anna"), codeSecondStepRequired)
	thief.open() // has a browser cookie of its own
	thief.cookies["captcha_gate_pending"] = anna.cookies["captcha_gate_pending"]
	code := l.last(t, 0).Code
	thief.want(thief.types(code), codeSecondStepExpired)
	anna.want(anna.types(code), "signed_in")
}

// What the operator changes ends the steps that wait: a phone that was stolen gets
// no further code.
func TestOTP4_AStepEndsWithItsContactAndItsUser(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Gate){
		"contact changed": func(t *testing.T, g *Gate) {
			contact, _ := g.contacts.Get("anna")
			contact.Phone = "+4915187654321"
			if err := g.contacts.Set("anna", contact); err != nil {
				t.Fatal(err)
			}
		},
		"user removed": func(t *testing.T, g *Gate) {
			if err := g.editor.Remove("anna"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelSMS, Resend: caddy.Duration(time.Second)}})
			v := newGuest(t, g, "192.0.2.1")
			v.want(v.enters("anna"), codeSecondStepRequired)
			code := l.last(t, 0).Code
			change(t, g)
			v.want(v.to("/captcha-gate/second-step/resend", map[string]string{}), codeSecondStepExpired)
			v.want(v.types(code), codeSecondStepExpired)
		})
	}
}

// Anybody may sign up with anybody's address; its owner must still get codes.
func TestOTP4_StrangersWhoSignUpUseUpNobodysCodes(t *testing.T) {
	config := signUpByEmail()
	config.SecondStep.Limits = &SendLimitsConfig{
		Destination: &LimitConfig{Events: 2, Window: caddy.Duration(time.Hour)},
		Network:     &LimitConfig{Events: 3, Window: caddy.Duration(time.Hour)},
		Total:       &LimitConfig{Events: 4, Window: caddy.Duration(time.Hour)},
	}
	g, _ := stepGate(t, annasContact, config)
	for n, c := range []struct {
		address, email string
		want           code
	}{
		{"192.0.2.1", "Anna@Example.com", ""},
		{"192.0.2.1", "anna@example.com", ""},
		{"198.51.100.1", "anna@example.com", codeThrottled},
		{"192.0.2.1", "xavier@example.net", ""},
		{"192.0.2.1", "yolanda@example.net", codeThrottled},
		{"198.51.100.1", "yolanda@example.net", ""},
		{"203.0.113.1", "zacharias@example.net", codeThrottled},
	} {
		r := throughCaddy(request("POST", "/captcha-gate/sign-up"), false, c.address)
		p := secondstep.Pending{Purpose: secondstep.SignUp, User: fmt.Sprint("user.", n), Channel: channelEmail, Destination: c.email}
		if result := g.beginStep(r, new(visitor), p); result.code != c.want {
			t.Errorf("%+v: %q", c, result.code)
		}
	}
	anna := newGuest(t, g, "192.0.2.1")
	anna.want(anna.enters("anna"), codeSecondStepRequired)
}

// Who began to sign up under a name that somebody else then got guesses wrong.
func TestOTP2_WrongCodesOfASignUpKeepNoUserOut(t *testing.T) {
	config := signUpByEmail()
	config.Throttle = &ThrottleConfig{User: &LimitConfig{Events: 3, Window: caddy.Duration(time.Hour)}}
	g, l := stepGate(t, annasContact, config)
	stranger, carol := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.2")
	stranger.waits("carol", "mallory@example.net")
	carol.want(carol.types(carol.waits("carol", "carol@example.com")), "signed_in")
	for range 3 {
		stranger.want(stranger.types("000000"), codeSecondStepWrong)
	}
	stranger.want(stranger.types("000000"), codeThrottled)
	again := newGuest(t, g, "192.0.2.3")
	again.want(again.to("/login", again.captchaOn("/login", map[string]string{"username": "carol", "password": freshPassword})), codeSecondStepRequired)
	again.want(again.types(l.last(t, 0).Code), "signed_in")
}

// The address in the contacts file becomes that of whoever has the name.
func TestUSR1_NobodySignsUpIntoSomebodysAddress(t *testing.T) {
	g, _ := stepGate(t, `{"carol": {"email": "carol@example.com"}}`, Gate{Accounts: &AccountsConfig{SignUp: true}})
	v := newGuest(t, g, "192.0.2.1")
	if reply := v.joins("carol", ""); reply.Errors["username"] != codeUsernameTaken {
		_, app := serveFrom(t, g, withCookies(request("GET", "/"), []*http.Cookie{v.cookies["captcha_gate"]}), v.address)
		t.Errorf("%s; the app is told %q", reply.Code, app.Header.Get("Remote-Email"))
	}
	v.want(v.joins("dave", ""), "signed_in")
}

// Several have a right code for one name at the same moment.
func TestUSR9_TheAddressIsThatOfWhoGotTheName(t *testing.T) {
	g, _ := stepGate(t, `{}`, signUpByEmail())
	r := throughCaddy(request("POST", "/captcha-gate/second-step"), false, "192.0.2.1")
	for round := range 5 {
		p := secondstep.Pending{Purpose: secondstep.SignUp, User: fmt.Sprint("carol.", round), PasswordHash: cheapHash(t)}
		won := make(chan string, 10)
		var wg sync.WaitGroup
		for n := range 10 {
			wg.Go(func() {
				p := p
				p.Destination = fmt.Sprintf("%d@example.com", n)
				if g.register(r, new(visitor), p).code == "" {
					won <- p.Destination
				}
			})
		}
		wg.Wait()
		close(won)
		if contact, _ := g.contacts.Get(p.User); contact.Email == "" || contact.Email != <-won || len(won) > 0 {
			t.Fatal("the address is somebody else's")
		}
	}
}

// cheapHash is a hash that takes no time.
func cheapHash(t testing.TB) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(freshPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestUSR2_WhoIsNotTakenLeavesNoAddressBehind(t *testing.T) {
	config := signUpByEmail()
	config.Accounts.SignUpLimit = &SignUpLimitConfig{Users: 2} // as many as there are
	g, _ := stepGate(t, annasContact, config)
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.types(v.waits("carol", "carol@example.com")), codeSignUpFull)
	if _, found := g.contacts.Get("carol"); found {
		t.Error("an operator's later user of that name would have the address")
	}
}

func TestUSR8_ASignUpWhoseAddressCannotBeWrittenIsUndone(t *testing.T) {
	g, _ := stepGate(t, annasContact, signUpByEmail())
	v := newGuest(t, g, "192.0.2.1")
	code := v.waits("carol", "carol@example.com")
	if err := os.Link(g.Contacts, g.Contacts+".link"); err != nil { // is not edited
		t.Fatal(err)
	}
	before, _ := os.ReadFile(g.Users)
	v.want(v.types(code), codeUsersUnavailable)
	if after, _ := os.ReadFile(g.Users); string(after) != string(before) {
		t.Errorf("the users file is now\n%s", after)
	}
}

// A provider that is out of order for a while must not cost its users the day.
func TestOTP4_CodesThatAProviderCouldNotSendAreNotCounted(t *testing.T) {
	g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{
		Channel: channelSMS, Limits: &SendLimitsConfig{Destination: &LimitConfig{Events: 1, Window: caddy.Duration(time.Hour)}},
	}})
	l.fail(errors.New("out of order"))
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), codeSenderUnavailable)
	v.want(v.enters("anna"), codeSenderUnavailable)
	l.mu.Lock()
	tries := l.tries
	l.mu.Unlock()
	if tries != 1 {
		t.Fatalf("%d tries; the second should not get so far", tries)
	}
	who := g.caller(throughCaddy(request("GET", "/"), false, "192.0.2.1"), nil, "anna")
	if _, err := g.throttle.ReserveSend(t.Context(), who, "+4915112345678", g.sendRules(secondstep.SignIn)); err != nil {
		t.Error(err)
	}
}

// fullStore has no room for further records.
type fullStore struct{ state.Store }

func (fullStore) Put(context.Context, state.Key, []byte, time.Time) error { return errors.New("full") }

func TestUSR3_AChangedPasswordIsSaidAlsoWhereNoSessionBegins(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	entries, log := observer.New(zap.InfoLevel)
	g.logger = zap.New(entries)
	g.sessions = session.New(fullStore{g.store}, g.Realm, session.Limits{Lifetime: time.Hour}, g.now, strings.NewReader(strings.Repeat("x", 32)))
	v.want(v.to("/captcha-gate/account", map[string]string{
		"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
	}), "password_changed")
	users, _ := g.users.Table()
	if _, ok := users.Verify("anna", freshPassword); !ok || log.FilterMessage("password changed").Len() != 1 {
		t.Errorf("changed: %v, log: %v", ok, log.All())
	}
	if w := v.send(request("GET", "/captcha-gate/session")); w.Code != http.StatusUnauthorized {
		t.Errorf("the old session: %d", w.Code)
	}
}

// Both verify the weak entry; the second finds it written anew.
func TestUpgradedEntriesEndNoSignInThatIsUnderWay(t *testing.T) {
	config := Gate{
		Users: usersFile(t, "anna", "bert"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
		Accounts: &AccountsConfig{UpgradeHashes: true},
	}
	g, err := load(t, config)
	if err != nil {
		t.Fatal(err)
	}
	r := throughCaddy(request("POST", "/login"), false, "192.0.2.1")
	users, _ := g.users.Table()
	old, _ := users.Fingerprint("anna")
	hash, err := g.hash(t.Context(), "anna-password")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.editor.SetHash("anna", old, hash); err != nil { // by the first
		t.Fatal(err)
	}
	users, _ = g.users.Table()
	now, _ := users.Fingerprint("anna")
	if got := g.upgradeHash(r, "anna", "anna-password", old); got != now {
		t.Error("the session would begin with an entry that is gone")
	}
	bert := newGuest(t, g, "192.0.2.1")
	bert.want(bert.enters("bert"), "signed_in")
	if text, _ := os.ReadFile(g.Users); !bert.isIn() || strings.Contains(string(text), "bert:$2a$04$") {
		t.Errorf("bert is in: %v, with the file\n%s", bert.isIn(), text)
	}
}

func TestUSR1_NamesThatLookLikeReservedOnesAreReserved(t *testing.T) {
	for name, want := range map[string]bool{"admin": true, "ADMIN": true, "adm1n": true, "r00t": true, "adrnin": true, "adam": false} {
		if isReserved(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// A known device has few failures where its network has many.
func TestAKnownDeviceSignsUpOnASuspiciousNetwork(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
		Captcha: &CaptchaConfig{When: whenSuspicious, Work: beside(captcha.MinWork)}, Accounts: &AccountsConfig{SignUp: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	v.want(v.to("/login", map[string]string{"username": "anna", "password": "anna-password"}), "signed_in")
	delete(v.cookies, "captcha_gate") // signed out
	who := throttleVisitor(v.address)
	for range 4 {
		attempt, err := g.throttle.ReserveSignIn(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		attempt.CaptchaFailed(t.Context())
	}
	var c challengeJSON
	w := v.send(request("GET", "/captcha-gate/challenge?for=sign_up"))
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	solution, err := c.Work.Solve()
	if err != nil {
		t.Fatal(err)
	}
	v.want(v.to("/captcha-gate/sign-up", map[string]string{
		"username": "carol", "password": freshPassword, "confirm_password": freshPassword,
		"captcha_token": c.Token, "captcha_answer": answer(t, g.Realm, c.Token), "captcha_work": solution,
	}), "signed_in")
}

func throttleVisitor(address string) throttle.Visitor {
	return throttle.Visitor{Client: netip.MustParseAddr(address)}
}

func TestCSR2_NoFormOfTheGateTakesARequestOfAnotherSite(t *testing.T) {
	g, l := stepGate(t, annasContact, signUpByEmail())
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), codeSecondStepRequired)
	code := l.last(t, 0).Code
	for _, path := range []string{"/login", "/logout", "/captcha-gate/sign-up", "/captcha-gate/second-step", "/captcha-gate/second-step/resend", "/captcha-gate/password-strength"} {
		for _, site := range []string{"cross-site", "same-site"} {
			r := postRequest(typeForm, "code="+code+"&password="+freshPassword)
			r.URL.Path, r.RequestURI = path, path
			r.Header.Set("Accept", typeJSON)
			r.Header.Set("Sec-Fetch-Site", site)
			var reply failure
			if w := v.send(r); json.Unmarshal(w.Body.Bytes(), &reply) != nil || reply.Code != codeCrossOrigin || w.Code != http.StatusForbidden {
				t.Errorf("%s to %s: %d %s", site, path, w.Code, w.Body)
			}
		}
	}
	v.want(v.types(code), "signed_in")
}

// Behind handle_path every address that the browser gets has the prefix.
func TestTheSecondStepStaysBehindItsPrefix(t *testing.T) {
	g, l := stepGate(t, annasContact, signUpByEmail())
	v := newGuest(t, g, "192.0.2.1")
	fields := v.captchaOn("/login", map[string]string{"username": "anna", "password": "anna-password", "rd": "//evil.example"})
	behind := func(path string, fields map[string]string) string {
		t.Helper()
		body, _ := json.Marshal(fields)
		r := jsonPost(string(body))
		asked := *r
		asked.URL = &url.URL{Path: "/wiki" + path}
		r.URL.Path = path
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, asked))
		var reply success
		if w := v.send(r); json.Unmarshal(w.Body.Bytes(), &reply) != nil || reply.RedirectURL == nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return *reply.RedirectURL
	}
	if to := behind("/login", fields); to != "/wiki/captcha-gate/second-step" {
		t.Errorf("after the password: %s", to)
	}
	if to := behind("/captcha-gate/second-step", map[string]string{"code": l.last(t, 0).Code, "rd": "/wiki/captcha-gate/account"}); to != "/wiki/" {
		t.Errorf("after the code: %s", to)
	}
}

func TestDigitsOfEveryScriptAreDigits(t *testing.T) {
	for typed, want := range map[string]string{
		"123456": "123456", "12 34-56": "123456", "１２３４５６": "123456", "٠١٢٣٤٥٦٧٨٩": "0123456789", "०१२३४५६७८९": "0123456789",
		"𝟎𝟗𝟘𝟡": "0909", "abc": "", "½²": "",
	} {
		if got := strings.Map(plainDigit, typed); got != want {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
}
