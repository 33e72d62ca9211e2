package integration

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
)

func testTwoTabs(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	first := c.person(t, s)
	second, third := first.another(), first.another()
	for i, b := range []*tab{first, second, third} {
		b.visit([]string{"/one", "/two", "/three"}[i])
		b.until("the gate is shown", gateShown)
	}
	first.signIn()
	second.reload()
	second.until("a reload finds itself signed in", appShown+` && location.pathname === "/two"`)
	third.signIn()
	third.expect("the third tab is where it wanted to go", `location.pathname === "/three"`)
	first.reload()
	first.until("the first tab is still signed in", appShown)

	first.click("button") // the app's own, for signing out
	first.until("the gate is shown", gateShown)
	second.reload()
	second.until("the other tab is refused", gateShown+` && location.pathname === "/two"`)
	second.signIn()

	// Two tabs that a browser restores at once get a browser cookie each, and
	// the later one wins. The other tab's picture is then good for nothing; it
	// says so once and goes on.
	second.click("button")
	second.until("the gate is shown", gateShown)
	call(first, network.ClearBrowserCookies, cdp.Empty{})
	first.visit("/one")
	first.until("the gate is shown", gateShown)
	call(first, network.ClearBrowserCookies, cdp.Empty{})
	second.visit("/two")
	second.until("the gate is shown", gateShown)
	first.fail(testUser, testPassword, first.solution())
	first.toMend(answerField)
	first.write(answerField, first.solution())
	first.click(signInButton)
	first.until("the app is shown", appShown)
}

func testBackButton(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.visit("/start")
	b.until("the gate is shown", gateShown)
	b.visit("/login?rd=%2Freport%3Fyear%3D2024#part-2")
	b.until("the gate is shown", gateShown)
	b.signIn()
	b.expect("on the page of the link, at its fragment", `location.href === `+quote(s.url+"/report?year=2024#part-2"))
	b.back()
	b.until("no form after signing in, but the app", appShown)
	// The two visits, the way on, and the way back, which may be redirected.
	if loads := b.sent("GET", "/start") + b.sent("GET", "/login") + b.sent("GET", "/report"); loads > 5 {
		t.Errorf("%d page loads look like a loop", loads)
	}

	b.visit("/report")
	b.until("the app is shown", appShown)
	b.click("button")
	b.until("the gate is shown", gateShown+` && location.pathname === "/login"`)
	b.back()
	b.until("no app after signing out", gateShown+` && location.pathname === "/report"`)
	b.signIn()
}

// newSiteWithoutCookies starts a site under the name whose cookies the browser
// blocks.
func newSiteWithoutCookies(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	address := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	config := s.caddyfile("captcha_gate {\n" + s.basics() + roomy + "}\nreverse_proxy " + s.upstream.address)
	s.start(strings.Replace(config, s.url, address, 1))
	s.url = address
	s.serveApp()
	return s
}

func testCookiesBlocked(t *testing.T, c *chromium) {
	s := newSiteWithoutCookies(t)
	for _, script := range []bool{true, false} {
		b := c.person(t, s)
		if !script {
			b.withoutScript()
		}
		b.visit("/report")
		b.until("the gate is shown", gateShown)
		b.fillIn(testUser, testPassword, b.solution())
		b.click(signInButton)
		b.until("the page says that cookies are needed", gateShown+` && /cookie/i.test(`+messages+`)`)
		loads, posts := b.sent("GET", "/report")+b.sent("GET", "/login"), b.sent("POST", "/login")
		if loads != 1 || posts != 1 {
			t.Errorf("script %v: %d page loads and %d POSTs", script, loads, posts)
		}
		if script {
			b.judge("cookies_required")
		}
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("the app saw %d requests", n)
	}
}

func testThrottled(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, "throttle {\n client 2 10m\n}"))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.fillIn(testUser, testPassword, b.solution())
	b.click(signInButton)
	b.until("the page says how long to wait", `/\d+ (second|minute)/.test(`+messages+`)`)
	b.expect("the user name is kept", element(userField)+`.value === `+quote(testUser))
	b.expect("the button waits as well", element(signInButton)+`.disabled`)
	b.judge("throttled")
	b.submit("/login", "username", testUser, "password", testPassword,
		"captcha_token", b.field(tokenField), "captcha_answer", b.solution())
	b.until("the plain form's answer says so, too", `/\d+ (second|minute)/.test(`+messages+`)`)
	b.judge("throttled without script")
}

// testTooManyPictures is somebody who wants more pictures than the network may
// have.
func testTooManyPictures(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, "throttle {\n issue 2 10m\n}"))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	before := b.field(tokenField)
	b.click(refreshButton)
	b.until("a new picture", element(tokenField)+`.value !== `+quote(before)+` && `+pictureDrawn)
	b.click(refreshButton)
	b.until("the page says how long to wait", `/\d+ (second|minute)/.test(`+messages+`)`)
	b.expect("the last picture stays", pictureDrawn)
	b.judge("too many pictures")
	b.signIn()

	b.click("button")
	b.until("the known device has pictures of its own", gateShown)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.visit("/report")
	b.until("there is nothing to fill in, and the page says when there is", `/\d+ (second|minute)/.test(`+messages+`) && !`+element(signInButton))
	b.judge("too many pages")
}

func testExpiredPictureRenewsItself(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy+"captcha {\n lifetime 8s\n}"))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.write(userField, testUser)
	b.write(passwordField, testPassword)
	before := b.field(tokenField)
	b.until("a new challenge without being asked", element(tokenField)+`.value !== `+quote(before))
	b.until("the new picture is drawn", pictureDrawn)
	b.expect("nothing is said about it", `!`+messages)
	b.expect("the typed fields are kept", element(userField)+`.value === `+quote(testUser)+` && `+
		element(passwordField)+`.value === `+quote(testPassword))
	b.expect("the focus is kept", `document.activeElement === `+element(passwordField))

	// An answer that is being typed stays as long as it can, and then it is said.
	b.write(answerField, "abc")
	before = b.field(tokenField)
	b.until("a new challenge at the end of the old one", element(tokenField)+`.value !== `+quote(before))
	b.until("the page says so", messages)
	b.write(answerField, b.solution())
	b.click(signInButton)
	b.until("the app is shown", appShown)
}

func testChinese(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.language("zh-CN,zh,en")
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.expect("the page says that it is Chinese", `/^zh\b/.test(document.documentElement.lang)`)
	for _, part := range []string{signInButton, "h1", "label"} {
		b.expect(part+" is Chinese", `/\p{Script=Han}/u.test(`+element(part)+`.innerText)`)
	}
	b.judge("Chinese")
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.expect("the message is Chinese", `/\p{Script=Han}/u.test(`+messages+`)`)
	b.judge("Chinese captcha_wrong")
	b.signIn()
}
