package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	codeField      = `input[name="code"]`
	newField       = `input[name="new_password"]`
	currentField   = `input[name="current_password"]`
	confirmField   = `input[name="confirm_password"]`
	emailField     = `input[name="email"]`
	strengthMeter  = `meter`
	notices        = `document.readyState === "complete" && document.querySelector("#notice")?.innerText.trim()`
	accountShown   = `document.readyState === "complete" && document.querySelector('input[name="new_password"]')`
	codeAsked      = `document.readyState === "complete" && document.querySelector('input[name="code"]')`
	carolsAppShown = `document.title === "App" && document.querySelector("h1").textContent === "Hello carol"`
)

// testSecondStep types a wrong code and then, pasted with a space in it, the right
// one.
func testSecondStep(t *testing.T, c *chromium) {
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "resend 3s")
	s.serveApp()
	b := c.person(t, s)
	b.visit("/report?q=1#part")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the code is asked for", codeAsked)
	b.expect("on a keyboard of digits", element(codeField)+`.inputMode === "numeric"`)
	b.expect("with the cursor in its field", `document.activeElement === `+element(codeField))
	b.expect("without the number", `!document.body.innerText.includes("15112345678")`)
	b.judge("second step")
	code := p.next(0).code(t)
	b.typeCode(wrongCode(code))
	b.until("the failure is told", messages)
	b.judge("second step wrong")
	b.until("a new code can be asked for", `!document.querySelector("#resend button").disabled`)
	b.click("#resend button")
	second := p.next(1).code(t)
	b.until("the new code is told", notices)
	b.expect("the next has to wait", `document.querySelector("#resend button").disabled`)
	b.write(codeField, "")
	b.must(paste(b, codeField, second[:3]+" "+second[3:]))
	b.until("the app is shown", appShown)
	b.expect("at the address that was asked for", `location.pathname + location.search === "/report?q=1"`)
}

// typeCode types into the field for the code, which is sent by itself with its last
// digit: what the field then holds is the page's business.
func (b *tab) typeCode(code string) {
	b.t.Helper()
	b.click(codeField)
	b.press(code)
}

// paste puts a text into a field as the clipboard does, at once.
func paste(b *tab, selector, text string) error {
	b.t.Helper()
	value[bool](b, `(e => { e.focus(); document.execCommand("insertText", false, `+quote(text)+`); return true })(document.querySelector(`+quote(selector)+`))`)
	return nil
}

func testSecondStepWithoutJavaScript(t *testing.T, c *chromium) {
	p, sender := mailbox(t)
	s := startSecondStep(t, "email", sender, "resend 1s")
	s.serveApp()
	b := c.person(t, s)
	b.withoutScript()
	b.visit("/report?q=1")
	b.fillIn(testUser, testPassword, b.solution())
	b.click(signInButton)
	b.until("the code is asked for", codeAsked)
	code := p.next(0).code(t)
	b.write(codeField, wrongCode(code))
	b.press(kb.Enter)
	b.until("the failure is told", messages)
	time.Sleep(1100 * time.Millisecond)
	b.click("#resend button")
	b.until("the new code is told", notices)
	b.write(codeField, p.next(1).code(t))
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
	b.expect("at the address that was asked for", `location.pathname + location.search === "/report?q=1"`)
}

// testSecondStepByKeyboard signs in, asks for another code and types it without a
// mouse.
func testSecondStepByKeyboard(t *testing.T, c *chromium) {
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "resend 1s")
	s.serveApp()
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the code is asked for", codeAsked)
	p.next(0)
	b.until("a new code can be asked for", `!document.querySelector("#resend button").disabled`)
	b.tabTo("#resend button")
	b.press(kb.Enter)
	code := p.next(1).code(t)
	b.until("the new code is told", notices)
	b.tabTo(codeField, chromedp.ModifierShift)
	b.press(code)
	b.until("the app is shown", appShown)
}

func testSenderDown(t *testing.T, c *chromium) {
	p, sender := twilio(t)
	p.set(500, 0)
	s := startSecondStep(t, "sms", sender, "")
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the failure is told", messages)
	b.judge("sender down")
}

// testChangePassword meets each fault once, sees the meter, and ends as a user with
// a new password who is still signed in.
func testChangePassword(t *testing.T, c *chromium) {
	s := newApp(t, "")
	b := c.person(t, s)
	b.visit("/login")
	b.until("the gate is shown", gateShown)
	b.signIn()
	other := c.person(t, s)
	other.visit("/login")
	other.until("the gate is shown", gateShown)
	other.signIn()

	b.visit(accountPath)
	b.until("the account is shown", accountShown)
	b.expect("both devices are listed", `document.querySelectorAll("#sessions > li").length === 2`)
	b.expect("one is this", `document.querySelectorAll("#sessions > li[data-current]").length === 1`)
	b.judge("account")
	b.write(newField, "password123")
	b.until("the meter shows a weak one", element(strengthMeter)+`.value <= 1`)
	b.write(newField, newPassword)
	b.until("the meter shows a strong one", element(strengthMeter)+`.value >= 3`)
	b.write(currentField, "not it at all")
	b.write(confirmField, newPassword)
	b.click("#change-password button[type=submit]")
	b.until("the failure is told", messages)
	b.until("a captcha is asked for", captchaAsked)
	b.until("its picture is drawn", pictureDrawn)
	b.judge("account wrong password")
	b.write(currentField, testPassword)
	b.write(newField, newPassword)
	b.write(confirmField, newPassword)
	b.write(answerField, b.solution())
	b.click("#change-password button[type=submit]")
	b.until("the change is told", notices)
	b.judge("account changed")
	b.visit("/app")
	b.expect("still signed in", appShown)
	other.visit("/app")
	other.until("the other device is asked again", gateShown)
	other.fillIn(testUser, newPassword, other.solution())
	other.press(kb.Enter)
	other.until("the app is shown", appShown)
}

func testChangePasswordWithoutJavaScript(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, ""))
	b.withoutScript()
	b.visit("/login")
	b.signIn()
	b.visit(accountPath)
	b.write(currentField, testPassword)
	b.write(newField, "password123")
	b.write(confirmField, "password123")
	b.click("#change-password button[type=submit]")
	b.until("the failure is told", messages)
	b.write(currentField, testPassword)
	b.write(newField, newPassword)
	b.write(confirmField, newPassword)
	b.press(kb.Enter)
	b.until("the change is told", notices)
	b.visit("/app")
	b.expect("still signed in", appShown)
}

// testSessionsList ends one other device and then all.
func testSessionsList(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	var people []*tab
	for range 4 {
		b := c.person(t, s)
		b.visit("/login")
		b.until("the gate is shown", gateShown)
		b.signIn()
		people = append(people, b)
	}
	b := people[0]
	b.visit(accountPath)
	b.until("the account is shown", accountShown)
	count := func(n string) string { return `document.querySelectorAll("#sessions > li").length === ` + n }
	b.until("all are listed", count("4"))
	b.expect("with the browser's name", `document.querySelector("#sessions").innerText.includes("Chrome on Linux")`)
	b.click("#sessions form button") // the first but this one
	b.until("one is gone", count("3"))
	b.click("#end-others button")
	b.until("all others are gone", count("1"))
	b.expect("which is told", notices)
	for _, other := range people[1:] {
		other.visit("/app")
		other.until("it is asked again", gateShown)
	}
	b.visit("/app")
	b.expect("still signed in", appShown)
	b.visit("/logout")
	b.expect("sign-out leads to the account", `document.querySelector('a[href="`+accountPath+`"]')`)
	b.visit(accountPath)
	b.click(`form[action="/logout"] button`)
	b.until("signed out", gateShown)
}

// testSignUp makes every mistake once, confirms the address, and is in the app.
func testSignUp(t *testing.T, c *chromium) {
	p, sender := mailbox(t)
	s := newSite(t)
	contacts := s.writeFile("contacts.json", "{}\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + "contacts " + contacts + "\npage {\ntitle Wiki\n}\naccounts {\nsign_up on\n}\nsecond_step none {\n" + sender + "}\n}\nreverse_proxy " + s.upstream.address))
	s.serveApp()
	b := c.person(t, s)
	b.visit("/report?q=1")
	b.until("the gate is shown", gateShown)
	b.click(`a[href^="` + signUpPath + `"]`)
	b.until("the form is shown", `document.readyState === "complete" && document.querySelector('input[name="email"]')`)
	b.judge("sign-up")
	b.write(userField, testUser)
	b.write(emailField, "carol@example.com")
	b.write(passwordField, "password123")
	b.write(confirmField, "something else")
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the faults are told", messages)
	b.judge("sign-up faults")
	b.write(userField, "carol")
	b.write(passwordField, newPassword)
	b.write(confirmField, newPassword)
	b.until("the picture is drawn", pictureDrawn)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the code is asked for", codeAsked)
	b.judge("sign-up code")
	mail := p.next(0)
	if !strings.Contains(mail.text, "Wiki") {
		t.Errorf("the mail does not say where it comes from:\n%s", mail.text)
	}
	b.typeCode(mail.code(t))
	b.until("the app is shown", carolsAppShown)
	b.expect("at the address that was asked for", `location.pathname + location.search === "/report?q=1"`)
}

func testSignUpWithoutJavaScript(t *testing.T, c *chromium) {
	s := newApp(t, "accounts {\nsign_up on\n}\n"+roomy)
	b := c.person(t, s)
	b.withoutScript()
	b.visit("/login")
	b.click(`a[href^="` + signUpPath + `"]`)
	b.until("the form is shown", `document.readyState === "complete" && document.querySelector('input[name="confirm_password"]')`)
	b.write(userField, testUser)
	b.write(passwordField, newPassword)
	b.write(confirmField, newPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the fault is told", messages)
	b.write(userField, "carol")
	b.write(passwordField, newPassword)
	b.write(confirmField, newPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", carolsAppShown)
}

func testSignUpAwaitsApproval(t *testing.T, c *chromium) {
	s := newApp(t, "accounts {\nsign_up on\napproval on\n}")
	b := c.person(t, s)
	b.visit(signUpPath)
	b.until("the form is shown", gateShown)
	b.write(userField, "carol")
	b.write(passwordField, newPassword)
	b.write(confirmField, newPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the wait is told", notices)
	b.judge("awaiting approval")
}
