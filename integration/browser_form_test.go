package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// toMend expects a message, and one field marked and focused.
func (b *tab) toMend(field string) {
	b.t.Helper()
	b.until("the field to mend has the focus", `document.activeElement === `+element(field))
	b.expect("the field is marked", element(field)+`.getAttribute("aria-invalid") === "true"`)
	b.expect("no other field is marked", `document.querySelectorAll('[aria-invalid="true"]').length === 1`)
	b.expect("there is one message, and it belongs to the field", `(`+element(field)+`.getAttribute("aria-describedby") || "").split(" ").some(
		id => document.getElementById(id)?.innerText.trim() === `+messages+`)`)
	b.until("the new picture is drawn", pictureDrawn)
}

// freshAgain types into a field and expects that nothing is marked any more.
func (b *tab) freshAgain(field string) {
	b.t.Helper()
	b.click(field)
	b.press("x")
	b.until("mark and message are gone", `!document.querySelector('[aria-invalid="true"]') && !`+messages)
}

func testWrongAnswer(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.toMend(answerField)
	b.expect("user name and password are kept", element(userField)+`.value === `+quote(testUser)+` && `+
		element(passwordField)+`.value === `+quote(testPassword))
	b.expect("the wrong answer is gone", element(answerField)+`.value === ""`)
	b.freshAgain(answerField)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
}

func testWrongPassword(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fail(testUser, "not it", b.solution())
	b.toMend(passwordField)
	b.expect("the user name is kept", element(userField)+`.value === `+quote(testUser))
	b.freshAgain(passwordField)
	b.fail("nobody", testPassword, b.solution())
	b.toMend(passwordField)
	b.signIn()
}

// hold makes the browser wait before it sends what matches.
func (b *tab) hold(pattern string) {
	b.t.Helper()
	call(b, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: b.site.url + pattern}}})
}

// held does something and returns the request that then waits.
func (b *tab) held(trigger chromedp.Action[chromedp.Void]) fetch.RequestID {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	paused, err := chromedp.Run(ctx, chromedp.WaitEvent(fetch.RequestPaused, nil, trigger))
	b.must(err)
	return paused.RequestID
}

func testDoubleClickPostsOnce(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.hold("/login*")
	x, y := b.centre(signInButton)
	request := b.held(chromedp.Steps(
		chromedp.MouseClickXY(x, y),
		chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)),
		chromedp.KeyEvent(kb.Enter),
	))
	b.until("the button shows that it works", element(signInButton)+`.getAttribute("aria-busy") === "true"`)
	b.shoot("busy light")
	b.click(signInButton)
	call(b, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: request})
	b.until("the app is shown", appShown)
	if n := b.sent("POST", "/login"); n != 1 {
		t.Errorf("%d POSTs", n)
	}
}

func testNetworkDown(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.hold("/login*")
	b.mu.Lock()
	b.offline = true
	b.mu.Unlock()
	x, y := b.centre(signInButton)
	request := b.held(chromedp.MouseClickXY(x, y))
	call(b, fetch.FailRequest, fetch.FailRequestParams{RequestID: request, ErrorReason: network.ErrorReasonConnectionFailed})
	b.until("a message", messages)
	b.shoot("network down light")
	call(b, fetch.Disable, cdp.Empty{})
	b.until("one can try again", `!`+element(signInButton)+`.disabled`)
	b.write(answerField, b.solution())
	b.click(signInButton)
	b.until("the app is shown", appShown)
}

func testPasswordHelpers(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.write(passwordField, testPassword)
	b.click(showPassword)
	b.until("the password can be read", element(passwordField)+`.type === "text"`)
	b.click(showPassword)
	b.until("the password is hidden", element(passwordField)+`.type === "password"`)

	// The protocol cannot hold Caps Lock down, so the key event is made by hand.
	key := func(on bool) {
		value[bool](b, fmt.Sprintf(`%s.dispatchEvent(new KeyboardEvent("keydown", {key: "A", bubbles: true, modifierCapsLock: %v}))`,
			element(passwordField), on))
		value[bool](b, fmt.Sprintf(`%s.dispatchEvent(new KeyboardEvent("keyup", {key: "A", bubbles: true, modifierCapsLock: %v}))`,
			element(passwordField), on))
	}
	const hint = `/caps lock/i.test(document.body.innerText)`
	b.expect("no hint", "!"+hint)
	key(true)
	b.until("the hint is shown", hint)
	b.shoot("caps lock light")
	key(false)
	b.until("the hint is gone", "!"+hint)
}

func testStaySignedIn(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	kept := func() bool {
		for _, cookie := range call(b, network.GetCookies, network.GetCookiesParams{}).Cookies {
			if cookie.Name == "captcha_gate" {
				return !cookie.Session
			}
		}
		t.Fatal("no session cookie")
		return false
	}
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.signIn()
	if kept() {
		t.Error("the cookie outlives the browser although the box was not ticked")
	}
	b.click("button")
	b.until("the gate is shown", gateShown)
	b.click(rememberBox)
	b.signIn()
	if !kept() {
		t.Error("the cookie ends with the browser although the box was ticked")
	}
}
