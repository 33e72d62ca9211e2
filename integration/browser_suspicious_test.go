package integration

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const (
	captchaHidden = `document.querySelector("#captcha").getBoundingClientRect().height === 0`
	captchaAsked  = `document.querySelector("#captcha").getBoundingClientRect().height > 0`
)

// testSuspicious signs in without a captcha, and then meets one after a
// failure: in place, with nothing lost.
func testSuspicious(t *testing.T, c *chromium) {
	s := newApp(t, "captcha {\n\twhen suspicious\n\twork 100ms\n}")
	b := c.person(t, s)
	b.visit("/report?q=1")
	b.until("the gate is shown", element(userField)+` !== null`)
	b.expect("no captcha is asked for", captchaHidden)
	b.judge("unsuspicious")
	b.write(userField, testUser)
	b.write(passwordField, "not it")
	b.press(kb.Enter)
	b.until("the failure is told", messages)
	b.until("a captcha is asked for", captchaAsked)
	b.until("its picture is drawn", pictureDrawn)
	b.expect("in the size of the settings", element("#picture")+`.getBoundingClientRect().width <= 240`)
	b.expect("the user name is kept", element(userField)+`.value === `+quote(testUser))
	if level := claimsOf(t, b.field(tokenField)).Level.String(); level != "easy" {
		t.Errorf("the first is %s", level)
	}
	b.judge("suspicious")
	b.write(passwordField, testPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
}

// testSuspiciousWithoutJavaScript does the same with plain forms.
func testSuspiciousWithoutJavaScript(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, "captcha {\n\twhen suspicious\n}"))
	b.withoutScript()
	b.visit("/report?q=1")
	b.expect("no captcha is asked for", captchaHidden)
	b.write(userField, testUser)
	b.write(passwordField, "not it")
	b.press(kb.Enter)
	b.until("the failure is told", messages)
	b.expect("a captcha is asked for", captchaAsked)
	b.write(passwordField, testPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
	b.expect("at the address that was asked for", `location.search === "?q=1"`)
}
