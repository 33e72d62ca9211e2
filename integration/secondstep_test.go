package integration

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const secondStepPath = "/captcha-gate/second-step"

// startSecondStep starts a site that sends codes by the sender's directives.
func startSecondStep(t *testing.T, channel, sender, more string) *site {
	t.Helper()
	s := newSite(t)
	s.start(s.withSecondStep(channel, sender, more))
	return s
}

func (s *site) withSecondStep(channel, sender, more string) string {
	s.t.Helper()
	contacts := s.writeFile("contacts.json", `{"`+testUser+`": {"email": "alice@example.com", "phone": "+4915112345678"}}`)
	return s.caddyfile("captcha_gate {\n" + s.basics() + "contacts " + contacts + "\nsecond_step " + channel + " {\n" + sender + more + "\n}\n}\nreverse_proxy " + s.upstream.address)
}

// password passes captcha and password by form, and returns the page for the code.
func (v *visitor) password() answer {
	v.t.Helper()
	page := v.page("/login?rd=/report")
	f := fields(v.t, page.body)
	f.Set("rd", "/report")
	a := v.form("/login", f)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), secondStepPath) {
		v.t.Fatalf("after the password: %d to %q\n%s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	return v.page(a.Header.Get("Location"))
}

// code sends a code as a script does.
func (v *visitor) code(code string) (answer, reply) {
	v.t.Helper()
	return v.json(secondStepPath, map[string]any{"code": code, "rd": "/report"})
}

func wrongCode(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return "9" + code[1:]
}

func wantCode(t *testing.T, what string, a answer, r reply, status int, code string) {
	t.Helper()
	if a.StatusCode != status || r.Code != code {
		t.Fatalf("%s: %d %s, want %d %s", what, a.StatusCode, r.Code, status, code)
	}
}

func TestOTP1_TheCodeIsAskedForOverEverySender(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		channel string
		to      string
		start   func(*testing.T) (*provider, string)
	}{
		"twilio":           {"sms", "+4915112345678", twilio},
		"webhook by sms":   {"sms", "+4915112345678", webhook},
		"webhook by email": {"email", "alice@example.com", webhook},
		"smtp":             {"email", "alice@example.com", mailbox},
	} {
		t.Run(name, func(t *testing.T) {
			p, sender := c.start(t)
			s := startSecondStep(t, c.channel, sender, "")
			v := newVisitor(t, s)
			page := v.password()
			if page.StatusCode != 200 || !strings.Contains(page.body, `autocomplete="one-time-code"`) || strings.Contains(page.body, c.to) {
				t.Fatalf("the page for the code: %d\n%s", page.StatusCode, page.body)
			}
			if v.isSignedIn() {
				t.Fatal("signed in without the code")
			}
			sent := p.next(0)
			if sent.to != c.to {
				t.Errorf("sent to %q, want %q", sent.to, c.to)
			}
			a, r := v.code(wrongCode(sent.code(t)))
			wantCode(t, "a wrong code", a, r, 403, "second_step_wrong")
			if v.isSignedIn() {
				t.Fatal("signed in with a wrong code")
			}
			code := sent.code(t)
			done := v.form(secondStepPath, url.Values{"code": {code[:3] + " " + code[3:]}, "rd": {"/report"}})
			if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/report" || !v.isSignedIn() {
				t.Fatalf("the code: %d to %q", done.StatusCode, done.Header.Get("Location"))
			}
			last := s.upstream.requests()[len(s.upstream.requests())-1]
			if last.Header.Get("Remote-User") != testUser || last.Header.Get("Remote-Email") != "alice@example.com" {
				t.Errorf("the app saw %v", last.Header)
			}
			a, r = newVisitor(t, s).code(code)
			wantCode(t, "the code in another browser", a, r, 403, "second_step_expired")
			for _, secret := range []string{code, c.to, twilioToken, webhookSecret} {
				if strings.Contains(s.log.String(), secret) {
					t.Errorf("OTP-7: the log holds %q", secret)
				}
			}
			if !strings.Contains(s.log.String(), `"msg":"code sent"`) {
				t.Error("no event in the log")
			}
		})
	}
}

func TestSES6_ThePendingCookieOpensNothing(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "")
	v := newVisitor(t, s)
	v.password()
	p.next(0)
	address, _ := url.Parse(s.url)
	pending := ""
	for _, c := range v.client.Jar.Cookies(address) {
		if c.Name == "captcha_gate_pending" {
			pending = c.Value
		}
	}
	if pending == "" {
		t.Fatal("no pending cookie")
	}
	for _, name := range []string{"captcha_gate", "captcha_gate_pending", "captcha_gate_browser"} {
		a := newVisitor(t, s).do("GET", "/app", "", "Cookie", name+"="+pending)
		if a.StatusCode != 401 {
			t.Errorf("as %s: %d", name, a.StatusCode)
		}
		a = newVisitor(t, s).do("GET", "/captcha-gate/account", "", "Cookie", name+"="+pending)
		if a.StatusCode != 401 {
			t.Errorf("account as %s: %d", name, a.StatusCode)
		}
	}
}

// TestOTP2_GuessesAtCodesAreCountedOverAllCodes brute-forces codes the way the
// documentation allows: five a code, ten a user in ten minutes.
func TestOTP2_GuessesAtCodesAreCountedOverAllCodes(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "resend 1s\nlimits user=100/1d destination=100/1d network=100/1d")
	judged := 0
	outcomes := map[string]int{}
	for round := range 4 { // new sign-ins, each with a code of its own
		v := newVisitor(t, s)
		v.password()
		code := wrongCode(p.next(round).code(t))
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 12 {
			wg.Go(func() {
				_, r := v.code(code)
				mu.Lock()
				defer mu.Unlock()
				outcomes[r.Code]++
				if r.Code == "second_step_wrong" {
					judged++
				}
			})
		}
		wg.Wait()
	}
	if judged != 10 {
		t.Errorf("%d guesses judged, want 10: %v", judged, outcomes)
	}
	if outcomes["throttled"] == 0 {
		t.Errorf("nobody was throttled: %v", outcomes)
	}
}

func TestOTP3_AResentCodeReplacesTheOld(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "resend 2s")
	v := newVisitor(t, s)
	v.password()
	first := p.next(0).code(t)
	a, r := v.json(secondStepPath+"/resend", map[string]any{})
	wantCode(t, "at once", a, r, 429, "throttled")
	if a.Header.Get("Retry-After") == "" || r.RetryAfter < 1 || r.RetryAfter > 2 {
		t.Errorf("retry after %q, %d", a.Header.Get("Retry-After"), r.RetryAfter)
	}
	time.Sleep(2100 * time.Millisecond)
	a, r = v.json(secondStepPath+"/resend", map[string]any{})
	wantCode(t, "after the wait", a, r, 200, "code_sent")
	if r.RetryAfter < 3 || r.RetryAfter > 4 {
		t.Errorf("the next wait is %d s, want twice as long", r.RetryAfter)
	}
	second := p.next(1).code(t)
	if first != second {
		a, r = v.code(first)
		wantCode(t, "the old code", a, r, 403, "second_step_wrong")
	}
	a, r = v.code(second)
	wantCode(t, "the new code", a, r, 200, "signed_in")
}

func TestOTP4_BudgetsBoundWhatIsSent(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "limits destination=2/1d")
	for range 2 {
		newVisitor(t, s).password()
	}
	v := newVisitor(t, s)
	f := fields(t, v.page("/login").body)
	a := v.form("/login", f)
	if a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("the third: %d", a.StatusCode)
	}
	time.Sleep(300 * time.Millisecond)
	if n := len(p.all()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// TestOTP5_NoStepIsSkippedWhenTheProviderFails: whatever the provider does, there
// is a 503 and no session. A try at a slow provider ends after four seconds; the
// rest is for a machine that is busy.
func TestOTP5_NoStepIsSkippedWhenTheProviderFails(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	dead := strings.Replace(sender, "base_url http://127.0.0.1:", "base_url http://127.0.0.1:1\n#", 1)
	for name, c := range map[string]struct {
		sender string
		broken int
		slow   time.Duration
	}{
		"answers 500": {sender, 500, 0},
		"slow":        {sender, 0, 7 * time.Second},
		"unreachable": {dead, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p.set(c.broken, c.slow)
			s := startSecondStep(t, "sms", c.sender, "")
			v := newVisitor(t, s)
			began := time.Now()
			for a := v.form("/login", fields(t, v.page("/login").body)); a.StatusCode != 503; a = v.page(secondStepPath) {
				if time.Since(began) > 30*time.Second {
					t.Fatalf("after %v still %d", time.Since(began), a.StatusCode)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if v.isSignedIn() {
				t.Fatal("signed in")
			}
			// It is known to be down now, so the next one hears of it at once.
			other := newVisitor(t, s)
			a, r := other.json("/login", map[string]any{"username": testUser, "password": testPassword,
				"captcha_token": "x", "captcha_answer": "x"})
			wantCode(t, "a wrong captcha is still told first", a, r, 403, "cookies_required")
			f := fields(t, other.page("/login").body)
			if a := other.form("/login", f); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || other.isSignedIn() {
				t.Errorf("the next sign-in: %d", a.StatusCode)
			}
		})
	}
}

func TestACodeIsSentAfterARestart(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	p.set(0, 0)
	s := newSite(t)
	config := s.withSecondStep("sms", sender, "")
	s.start(config)
	v := newVisitor(t, s)
	v.password()
	first := p.next(0)
	s.kill()
	s.start(config)
	a, r := v.code(first.code(t))
	wantCode(t, "after kill -9 and a start", a, r, 200, "signed_in")
	if n := len(p.all()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestAReloadKeepsPendingSteps(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := newSite(t)
	config := s.withSecondStep("sms", sender, "")
	s.start(config)
	v := newVisitor(t, s)
	v.password()
	if status, body := s.load(strings.Replace(config, "grace_period 2s", "grace_period 3s", 1)); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	a, r := v.code(p.next(0).code(t))
	wantCode(t, "after a reload", a, r, 200, "signed_in")
}

func TestARightCodeIsRightOnce(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "")
	v := newVisitor(t, s)
	v.password()
	code := p.next(0).code(t)
	var signedIn atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, r := v.code(code); r.Code == "signed_in" {
				signedIn.Add(1)
			}
		})
	}
	wg.Wait()
	if n := signedIn.Load(); n != 1 {
		t.Errorf("%d sessions for one code", n)
	}
}

func TestAUserWithoutAContactCannotSignIn(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := newSite(t)
	config := s.withSecondStep("sms", sender, "")
	s.writeFile("contacts.json", `{"bob": {"phone": "+4915112345678"}}`)
	s.start(config)
	v := newVisitor(t, s)
	if a := v.form("/login", fields(t, v.page("/login").body)); a.StatusCode != 503 || v.isSignedIn() {
		t.Errorf("%d", a.StatusCode)
	}
	if n := len(p.all()); n != 0 || !strings.Contains(s.log.String(), "no contact for the second step") {
		t.Errorf("%d messages, and the log does not say why", n)
	}
}

func TestSecondStepConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	_, sender := twilio(t)
	for name, c := range map[string]struct{ contacts, step, want string }{
		"no sender":         {`{}`, "second_step sms", "needs a sender"},
		"no contacts":       {"", "second_step sms {\n" + sender + "}", "needs a contacts file"},
		"wrong sender":      {`{}`, "second_step email {\n" + sender + "}", "none of the senders can send by email"},
		"unknown sender":    {`{}`, "second_step sms {\nsender pigeon\n}", "pigeon"},
		"unknown channel":   {`{}`, "second_step pigeon", "one of sms, email, none"},
		"five digits":       {`{}`, "second_step sms {\n" + sender + "digits 5\n}", "digits: 5"},
		"an hour":           {`{}`, "second_step sms {\n" + sender + "lifetime 1h\n}", "lifetime"},
		"not a country":     {`{}`, "second_step sms {\n" + sender + "countries 49\n}", "countries"},
		"number abroad":     {`{"alice":{"phone":"+15005550006"}}`, "second_step sms {\n" + sender + "countries +49\n}", "alice"},
		"line break":        {`{"alice":{"email":"a@example.com\n"}}`, "second_step sms {\n" + sender + "}", "alice"},
		"sign-up by sms":    {`{}`, "accounts {\nsign_up on\n}\nsecond_step sms {\n" + sender + "}", "sign_up"},
		"a limit of none":   {`{}`, "second_step sms {\n" + sender + "limits user=0/1d\n}", "limits user"},
		"an unknown limit":  {`{}`, "second_step sms {\n" + sender + "limits users=1/1d\n}", "limit"},
		"a limit twice":     {`{}`, "second_step sms {\n" + sender + "limits user=1/1d user=1/1d\n}", "twice"},
		"password too lax":  {`{}`, "accounts {\npassword_min 6\n}", "password_min"},
		"approval for none": {`{}`, "accounts {\napproval on\n}", "approval"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			directives := s.basics()
			if c.contacts != "" {
				directives += "contacts " + s.writeFile("contacts.json", c.contacts) + "\n"
			}
			s.writeFile("Caddyfile", s.caddyfile("captcha_gate {\n"+directives+c.step+"\n}\nrespond ok"))
			out, err := s.command(t.Context(), "validate", "--config", "Caddyfile", "--adapter", "caddyfile").CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("accepted: %v, or without %q:\n%s", err == nil, c.want, out)
			}
			if strings.Contains(string(out), twilioToken) {
				t.Error("the error shows the token")
			}
		})
	}
}
