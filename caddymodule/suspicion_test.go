package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// beside is work beside an answer.
func beside(d time.Duration) *caddy.Duration {
	work := caddy.Duration(d)
	return &work
}

func suspiciousGate(t testing.TB, c CaptchaConfig) *Gate {
	t.Helper()
	c.When = whenSuspicious
	if c.Work == nil {
		c.Work = beside(captcha.MinWork) // the tests solve puzzles too
	}
	return captchaGate(t, c)
}

// guest is a browser at an address.
type guest struct {
	t       testing.TB
	g       *Gate
	address string
	cookies map[string]*http.Cookie
}

func newGuest(t testing.TB, g *Gate, address string) *guest {
	return &guest{t, g, address, map[string]*http.Cookie{}}
}

func (v *guest) send(r *http.Request) *httptest.ResponseRecorder {
	v.t.Helper()
	for _, c := range v.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w, _ := serveFrom(v.t, v.g, r, v.address)
	for _, c := range w.Result().Cookies() {
		v.cookies[c.Name] = c
	}
	return w
}

// open shows the page and returns the token in it, empty if nothing is asked.
func (v *guest) open() string {
	v.t.Helper()
	w := v.send(request("GET", "/login", "Accept", "text/html"))
	if w.Code != http.StatusOK {
		v.t.Fatalf("page: %d", w.Code)
	}
	match := tokenField.FindStringSubmatch(w.Body.String())
	if match == nil {
		return ""
	}
	return match[1]
}

// post sends the form as a script does; an empty token leaves the captcha out.
func (v *guest) post(user, password, token, answer string) failure {
	v.t.Helper()
	fields := map[string]string{"username": user, "password": password}
	if token != "" {
		fields["captcha_token"], fields["captcha_answer"] = token, answer
	}
	return v.postFields(fields)
}

// postSolved adds the solution of the challenge's puzzle.
func (v *guest) postSolved(user, password string, c *challengeJSON, answer string) failure {
	v.t.Helper()
	fields := map[string]string{"username": user, "password": password, "captcha_token": c.Token, "captcha_answer": answer}
	if c.Work != nil {
		solution, err := c.Work.Solve()
		if err != nil {
			v.t.Fatal(err)
		}
		fields["captcha_work"] = solution
	}
	return v.postFields(fields)
}

func (v *guest) postFields(fields map[string]string) failure {
	v.t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		v.t.Fatal(err)
	}
	w := v.send(jsonPost(string(body)))
	var reply failure
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		v.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return reply
}

func jsonPost(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(body))
	r.Header.Set("Content-Type", typeJSON)
	r.Header.Set("Accept", typeJSON)
	return r
}

func (v *guest) want(reply failure, want code) {
	v.t.Helper()
	if reply.Code != want {
		v.t.Fatalf("%s; want %s", reply.Code, want)
	}
}

// failCaptchas fails some times without a password being judged.
func (v *guest) failCaptchas(user string, times int) {
	v.t.Helper()
	for range times {
		c, status := v.challenge()
		if c == nil {
			v.t.Fatalf("challenge: %d", status)
		}
		v.want(v.postSolved(user, "x", c, "?"), codeCaptchaWrong)
	}
}

func (v *guest) challenge() (*challengeJSON, int) {
	v.t.Helper()
	w := v.send(request("GET", "/captcha-gate/challenge"))
	var c challengeJSON
	if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &c) != nil {
		return nil, w.Code
	}
	return &c, w.Code
}

func TestSuspiciousAsksNothingOfWhoHasNotFailed(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.post("anna", "anna-password", "", ""), codeCookiesRequired)
	if token := v.open(); token != "" {
		t.Fatal("the page asks for a captcha")
	}
	v.want(v.post("anna", "anna-password", "", ""), "signed_in")
	_, app := serveFrom(t, g, withCookies(request("GET", "/"), []*http.Cookie{v.cookies["captcha_gate"]}), v.address)
	if app == nil || app.Header.Get("Remote-User") != "anna" {
		t.Fatal("not signed in")
	}
}

func TestSuspiciousAsksFromTheFirstFailureOn(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	reply := v.post("anna", "wrong", "", "")
	v.want(reply, codeCredentialsWrong)
	if reply.Captcha == nil || reply.Captcha.Work == nil {
		t.Fatalf("no challenge with a puzzle after a failure: %+v", reply.Captcha)
	}
	v.want(v.post("anna", "anna-password", "", ""), codeCaptchaRequired)
	token := v.open()
	claims, err := g.captchas.Unpack(token)
	if err != nil || claims.Level != captcha.Hard {
		t.Fatalf("the page, which may meet no script, has level %v, %v", claims.Level, err)
	}
	v.want(v.post("anna", "anna-password", token, claims.Answer), "signed_in")

	other := newGuest(t, g, "203.0.113.1")
	if other.open() != "" {
		t.Fatal("another network is asked")
	}
}

func TestSuspiciousCountsTheUserToo(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	attacker := newGuest(t, g, "203.0.113.1")
	attacker.open()
	attacker.want(attacker.post("Anna ", "wrong", "", ""), codeCredentialsWrong)

	stranger := newGuest(t, g, "192.0.2.1")
	if stranger.open() != "" {
		t.Fatal("a clean network is asked before it says who it is")
	}
	reply := stranger.post("anna", "anna-password", "", "")
	stranger.want(reply, codeCaptchaRequired)
	if reply.Captcha == nil {
		t.Fatal("no challenge")
	}
	stranger.want(stranger.post("somebody", "wrong", "", ""), codeCredentialsWrong)
}

func TestSuspiciousRisesWithTheFailures(t *testing.T) {
	for name, c := range map[string]struct {
		config   CaptchaConfig
		failures int
		level    captcha.Level
		work     time.Duration
	}{
		"one":              {CaptchaConfig{}, 1, captcha.Easy, time.Second},
		"three":            {CaptchaConfig{}, 3, captcha.Normal, 2 * time.Second},
		"six":              {CaptchaConfig{}, 6, captcha.Hard, 4 * time.Second},
		"level is least":   {CaptchaConfig{Level: "normal"}, 1, captcha.Normal, time.Second},
		"work is the unit": {CaptchaConfig{Work: beside(3 * time.Second)}, 6, captcha.Hard, 12 * time.Second},
		"work is bounded":  {CaptchaConfig{Work: beside(time.Minute)}, 6, captcha.Hard, captcha.MaxWork},
		"work is off":      {CaptchaConfig{Work: beside(0)}, 6, captcha.Hard, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.When = whenSuspicious
			g := captchaGate(t, c.config)
			if level, work := g.price(c.failures); level != c.level || work != c.work {
				t.Fatalf("%v with %v; want %v with %v", level, work, c.level, c.work)
			}
		})
	}
}

func TestCAP3_AChallengeFromBetterTimesIsRefusedAndNotSpent(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	v.failCaptchas("anna", 1)
	early, _ := v.challenge()
	claims, err := g.captchas.Unpack(early.Token)
	if err != nil || claims.Level != captcha.Easy {
		t.Fatalf("level %v, %v", claims.Level, err)
	}
	v.failCaptchas("anna", 5)
	reply := v.post("anna", "anna-password", early.Token, claims.Answer)
	v.want(reply, codeCaptchaExpired)
	if claims, err = g.captchas.Unpack(reply.Captcha.Token); err != nil || claims.Level != captcha.Hard {
		t.Fatalf("the next one has level %v, %v", claims.Level, err)
	}
}

func TestTHR4_AKnownDeviceSeesNoCaptchaWhateverOthersDo(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	owner := newGuest(t, g, "192.0.2.1")
	owner.open()
	owner.want(owner.post("anna", "anna-password", "", ""), "signed_in")
	delete(owner.cookies, "captcha_gate") // signed out

	neighbour := newGuest(t, g, "192.0.2.1")
	neighbour.open()
	neighbour.failCaptchas("anna", 19)
	attacker := newGuest(t, g, "203.0.113.1")
	attacker.open()
	attacker.want(attacker.post("anna", "wrong", "", ""), codeCredentialsWrong)

	if owner.open() != "" {
		t.Fatal("the known device is asked")
	}
	reply := owner.post("bert", "wrong", "", "")
	owner.want(reply, codeCaptchaRequired) // it is known for anna only
	owner.want(owner.post("anna", "wrong", "", ""), codeCredentialsWrong)
	if owner.open() == "" {
		t.Fatal("a known device that failed is not asked")
	}
}

func TestTHR4_AFloodKeepsNeitherPictureNorSignInFromAKnownDevice(t *testing.T) {
	g := memoryGate(t, "anna")
	owner := newGuest(t, g, "192.0.2.1")
	token := owner.open()
	owner.want(owner.post("anna", "anna-password", token, answer(t, g.Realm, token)), "signed_in")
	delete(owner.cookies, "captcha_gate")

	neighbour := newGuest(t, g, "192.0.2.1")
	neighbour.open()
	neighbour.failCaptchas("anna", 20)
	neighbour.want(neighbour.post("anna", "x", "t", "a"), codeThrottled)
	for range 60 {
		neighbour.challenge()
	}
	if _, status := neighbour.challenge(); status != http.StatusTooManyRequests {
		t.Fatalf("the network may still draw: %d", status)
	}
	token = owner.open()
	owner.want(owner.post("anna", "anna-password", token, answer(t, g.Realm, token)), "signed_in")
}

// Two users of one browser: what one does right says nothing of the other.
func TestTHR7_UsersOfOneBrowserDoNotShareItsBucket(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna", "bert"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory},
		Captcha: &CaptchaConfig{When: whenSuspicious, Work: beside(captcha.MinWork)},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	for _, user := range []string{"anna", "bert"} {
		v.want(v.post(user, user+"-password", "", ""), "signed_in")
	}
	v.want(v.post("anna", "wrong", "", ""), codeCredentialsWrong)
	v.want(v.post("bert", "bert-password", "", ""), "signed_in")
	v.want(v.post("anna", "wrong", "", ""), codeCaptchaRequired)
	delete(v.cookies, "captcha_gate")
	if v.open() != "" {
		t.Error("bert, who signed in last, is asked")
	}
}

// The page does not know the name yet when a visitor asks for another picture or
// a sound.
func TestSuspiciousNextChallengeIsNoEasierThanTheLast(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	for i := range 3 {
		attacker := newGuest(t, g, fmt.Sprintf("203.0.113.%d", i))
		attacker.open()
		attacker.failCaptchas("x", 1)
		c, _ := attacker.challenge()
		attacker.want(attacker.postSolved("anna", "wrong", c, answer(t, g.Realm, c.Token)), codeCredentialsWrong)
	}
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	reply := v.post("anna", "anna-password", "", "")
	v.want(reply, codeCaptchaRequired)
	for _, kind := range []string{"image", "audio"} {
		var next challengeJSON
		w := v.send(request("GET", "/captcha-gate/challenge?kind="+kind+"&token="+reply.Captcha.Token))
		if err := json.Unmarshal(w.Body.Bytes(), &next); err != nil {
			t.Fatal(err)
		}
		if claims, err := g.captchas.Unpack(next.Token); err != nil || claims.Level != captcha.Normal {
			t.Errorf("%s: level %v, %v", kind, claims.Level, err)
		}
	}
	easy, _ := v.challenge()
	v.want(v.postSolved("anna", "anna-password", easy, answer(t, g.Realm, easy.Token)), codeCaptchaExpired)

	// Without JavaScript whoever asks for a sound gets one, asked or not.
	w := v.send(request("GET", "/login?kind=audio", "Accept", "text/html"))
	if !tokenField.MatchString(w.Body.String()) {
		t.Error("no sound")
	}
	body := url.Values{"username": {"anna"}, "password": {"x"}}
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(body.Encode()))
	r.Header.Set("Content-Type", typeForm)
	w = v.send(r)
	if !tokenField.MatchString(w.Body.String()) || !strings.Contains(w.Body.String(), `href="/login?kind=image"`) {
		t.Errorf("no picture for the name, or no way to another: %s", w.Body)
	}
}

func TestASignInKeepsTheBrowserForHalfAYear(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	token := v.open()
	before := v.cookies["captcha_gate_browser"]
	v.want(v.post("anna", "anna-password", token, answer(t, g.Realm, token)), "signed_in")
	after := v.cookies["captcha_gate_browser"]
	if before.MaxAge != 0 || after.MaxAge != int(browserLifetime/time.Second) {
		t.Errorf("kept for %d s before the sign-in, %d s after", before.MaxAge, after.MaxAge)
	}
	ids := map[[16]byte]bool{}
	for _, c := range []*http.Cookie{before, after} {
		r := withCookies(request("GET", "/"), []*http.Cookie{c})
		for _, b := range g.knownBrowsers(&visitor{presented: g.cookies.Take(r.Header, false)}) {
			ids[b.id] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d browsers", len(ids))
	}
}

func TestTHR8_OneOfManyParallelGuessesGoesWithoutCaptcha(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	v := newGuest(t, g, "192.0.2.1")
	v.open()
	var judged atomic.Int32
	var wg sync.WaitGroup
	for range 19 {
		wg.Go(func() {
			r := jsonPost(`{"username":"anna","password":"wrong"}`)
			r.AddCookie(v.cookies["captcha_gate_browser"])
			w, _ := serve(t, g, r)
			if strings.Contains(w.Body.String(), string(codeCredentialsWrong)) {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if n := judged.Load(); n != 1 {
		t.Fatalf("%d guesses were judged without a captcha", n)
	}
}

func TestSuspiciousAsksEveryStrangerInASurge(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	for i := range surgeFailures / 5 {
		v := newGuest(t, g, fmt.Sprintf("203.0.113.%d", i))
		v.open()
		v.failCaptchas(fmt.Sprint("user", i), 5)
	}
	stranger := newGuest(t, g, "192.0.2.1")
	token := stranger.open()
	if token == "" {
		t.Fatal("a stranger is not asked")
	}
}

func TestTHR4_ANewPasswordMakesEveryBrowserAStranger(t *testing.T) {
	g := memoryGate(t, "anna")
	fingerprint := func() [16]byte {
		users, err := g.users.Table()
		if err != nil {
			t.Fatal(err)
		}
		found, ok := users.Fingerprint("anna")
		if !ok {
			t.Fatal("no anna")
		}
		return found
	}
	r := throughCaddy(request("POST", "/login"), false, "192.0.2.1")
	b := newBrowser().with(g.userTag("anna", fingerprint()))
	stranger := [16]byte{}
	if g.caller(r, []browser{b}, "anna").Device == stranger {
		t.Fatal("not known")
	}
	for name, other := range map[string]string{"another user": "bert", "another spelling": "Anna"} {
		if g.caller(r, []browser{b}, other).Device != stranger {
			t.Errorf("known for %s", name)
		}
	}
	old := b
	old.users = [][16]byte{g.userTag("anna", [16]byte{1})}
	if g.caller(r, []browser{old}, "anna").Device != stranger {
		t.Error("known although the password is new")
	}
}

func TestTheBrowserCookieRemembersTheLatestUsers(t *testing.T) {
	g := memoryGate(t, "anna")
	b := newBrowser()
	for i := range 6 {
		b = b.with(g.userTag(fmt.Sprint("user", i), [16]byte{}))
	}
	b = b.with(g.userTag("user4", [16]byte{}))
	w := httptest.NewRecorder()
	v := &visitor{}
	if err := g.rememberBrowser(w, v, b, browserLifetime); err != nil {
		t.Fatal(err)
	}
	r := withCookies(request("GET", "/"), w.Result().Cookies())
	v.presented = g.cookies.Take(r.Header, false)
	found := g.knownBrowsers(v)
	if len(found) != 1 || found[0].id != b.id || len(found[0].users) != maxBrowserUsers {
		t.Fatalf("found %+v", found)
	}
	for i, known := range []bool{false, false, true, true, true, true} {
		if found[0].knows(g.userTag(fmt.Sprint("user", i), [16]byte{})) != known {
			t.Errorf("user%d: known %t", i, !known)
		}
	}
	later := g.now
	g.now = func() time.Time { return later().Add(browserLifetime + time.Second) }
	if found := g.knownBrowsers(v); len(found) != 0 {
		t.Fatal("known for ever")
	}
}
