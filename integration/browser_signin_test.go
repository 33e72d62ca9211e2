package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The parts of the page, by what the contract or HTML itself says of them.
const (
	userField     = `input[name="username"]`
	passwordField = `input[name="password"]`
	answerField   = `input[name="captcha_answer"]`
	tokenField    = `input[name="captcha_token"]`
	rememberBox   = `input[name="remember"]`
	signInButton  = `form button[type="submit"]`
	showPassword  = `#reveal`
	refreshButton = `#captcha a[data-kind="image"]`
	picture       = `#picture`
	card          = `main`
)

// Expressions about the page.
const (
	// What the live regions say, one line each.
	messages     = `Array.from(document.querySelectorAll('[role="alert"]'), e => e.innerText.trim()).filter(Boolean).join("\n")`
	pictureDrawn = `(e => e && e.complete && e.naturalWidth > 0 && !e.classList.contains("loading"))(document.querySelector("#picture"))`
	appShown     = `document.title === "App" && document.querySelector("h1").textContent === "Hello ` + testUser + `"`
	gateShown    = `document.readyState === "complete" && document.querySelector('input[name="captcha_token"]')`
)

// roomy keeps the limits out of the way of tests that are not about them.
const roomy = "throttle {\n client 1000 10m\n user 1000 10m\n issue 10000 1m\n}\n"

// newApp starts a site whose upstream is a small app with pages for people,
// which are not to be cached.
func newApp(t *testing.T, directives string) *site {
	t.Helper()
	s := startSite(t, directives)
	s.serveApp()
	return s
}

func (s *site) serveApp() {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	s.upstream.handle = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>App</title><h1>Hello %s</h1>
			<form method="post" action="/logout"><button>Sign out</button></form>`, r.Header.Get("Remote-User"))
	})
}

// solution is the answer to the challenge in the page.
func (b *tab) solution() string {
	b.t.Helper()
	return solve(b.t, b.field(tokenField))
}

// wrongAnswer is one that fits the field and is never right.
func (b *tab) wrongAnswer() string {
	b.t.Helper()
	right := b.solution()
	return strings.Repeat("B", len(right)) // B is not in the alphabet
}

// fillIn types into every field.
func (b *tab) fillIn(user, password, answer string) {
	b.t.Helper()
	b.write(userField, user)
	b.write(passwordField, password)
	b.write(answerField, answer)
}

// signIn fills in the page that is shown, and waits for the app.
func (b *tab) signIn() {
	b.t.Helper()
	b.fillIn(testUser, testPassword, b.solution())
	b.click(signInButton)
	b.until("the app is shown", appShown)
}

// fail tries to sign in and waits for the message that the page then shows.
func (b *tab) fail(user, password, answer string) {
	b.t.Helper()
	before := b.field(tokenField)
	b.fillIn(user, password, answer)
	b.click(signInButton)
	b.until("a message and a new picture", element(tokenField)+`.value !== `+quote(before)+` && `+messages)
}

func (b *tab) expect(what, expression string) {
	b.t.Helper()
	if !value[bool](b, "Boolean("+expression+")") {
		b.t.Errorf("not so: %s\n%s\n%s", what, expression, b.describe())
	}
}

func testSignInByMouse(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	const address = "/report?year=2024&name=a%20b&name=%C3%A9#part-2"
	b.visit(address)
	b.until("the gate is shown", gateShown)
	b.expect("the address stays", `location.href === `+quote(s.url+address))
	b.expect("the picture is drawn", pictureDrawn)

	value[string](b, `window.mark = "kept"`)
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.fail(testUser, "not it", b.solution())
	b.expect("failing reloads nothing", `window.mark === "kept"`)
	if n := b.sent("GET", "/report"); n != 1 {
		t.Errorf("the page was loaded %d times", n)
	}

	b.signIn()
	b.expect("back at the address first asked for", `location.href === `+quote(s.url+address))
	if n := b.sent("POST", "/login"); n != 3 {
		t.Errorf("%d POSTs for three tries", n)
	}
}

// tabTo presses Tab until the element has the focus. Wherever the focus is on
// the way, it can be seen.
func (b *tab) tabTo(selector string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	var passed []string
	for range 15 {
		b.press(kb.Tab, modifiers...)
		b.expect("the focus can be seen", `(e => {
			const s = getComputedStyle(e);
			return e === document.body || e.matches(":focus-visible") &&
				(s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || s.boxShadow !== "none");
		})(document.activeElement)`)
		if value[bool](b, "document.activeElement === "+element(selector)) {
			return
		}
		passed = append(passed, b.focused())
	}
	b.t.Fatalf("the Tab key does not reach %s, only %q", selector, passed)
}

func testSignInByKeyboard(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	order := []string{b.focused()}
	for range 8 {
		b.press(kb.Tab)
		order = append(order, b.focused())
	}
	if want := []string{"input[name=username]", "input[name=password]", "#reveal", "input[name=captcha_answer]",
		"a", "a", "#neither", "input[name=remember]", "button"}; !slices.Equal(order, want) {
		t.Errorf("the Tab key goes to %q, not %q", order, want)
	}
	b.tabTo(userField, chromedp.ModifierShift)
	b.press(testUser)
	b.tabTo(passwordField)
	b.press(testPassword)
	b.tabTo(showPassword)
	b.press(" ")
	b.until("the password can be read", element(passwordField)+`.type === "text"`)
	b.press(" ")
	b.until("the password is hidden", element(passwordField)+`.type === "password"`)

	// Back over the way that one came, and forth again.
	b.tabTo(passwordField, chromedp.ModifierShift)
	b.tabTo(userField, chromedp.ModifierShift)
	before := b.field(tokenField)
	b.tabTo(refreshButton)
	b.press(kb.Enter)
	b.until("a new picture", element(tokenField)+`.value !== `+quote(before))
	b.until("the new picture is drawn", pictureDrawn)
	b.until("the answer can be typed at once", `document.activeElement === `+element(answerField))
	b.press(strings.ToLower(b.solution()))
	b.tabTo(rememberBox)
	b.press(" ")
	b.until("the box is ticked", element(rememberBox)+".checked")
	b.tabTo(signInButton)
	b.press(kb.Enter)
	b.until("the app is shown", appShown)

	b.visit("/logout")
	b.tabTo(signInButton)
	b.press(" ")
	b.until("the gate is shown", gateShown+` && location.pathname === "/login"`)
	b.visit("/report")
	b.until("the gate is shown", gateShown)

	// Enter in a field sends the form, too.
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
}

func testWithoutJavaScript(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.withoutScript()
	b.visit("/report?year=2024")
	b.until("the gate is shown", gateShown)
	b.shoot("no script light")
	b.expect("the picture is drawn", pictureDrawn)

	before := b.field(tokenField)
	b.click(refreshButton)
	b.until("a new picture", gateShown+` && `+element(tokenField)+`.value !== `+quote(before))
	b.expect("the picture is drawn", pictureDrawn)

	b.fillIn(testUser, testPassword, b.wrongAnswer())
	b.click(rememberBox)
	b.click(signInButton)
	b.until("a message", gateShown+` && `+element(answerField)+`.getAttribute("aria-invalid") === "true"`)
	b.shoot("no script captcha_wrong light")
	b.expect("the message is in a live region", messages)
	b.expect("the user name is kept", element(userField)+`.value === `+quote(testUser))
	b.expect("the box stays ticked", element(rememberBox)+`.checked`)
	b.expect("the password is not sent back", element(passwordField)+`.value === ""`)
	b.expect("the answer has the focus", `document.activeElement === `+element(answerField))

	b.fillIn(testUser, "not it", b.solution())
	b.click(signInButton)
	b.until("the password has the focus", gateShown+` && document.activeElement === `+element(passwordField))
	b.expect("the message is in a live region", messages)

	before = b.field(tokenField)
	b.click(refreshButton)
	b.until("a new picture", gateShown+` && `+element(tokenField)+`.value !== `+quote(before))

	b.signIn()
	b.expect("back at the address first asked for", `location.href === `+quote(s.url+"/report?year=2024"))

	b.visit("/logout")
	b.click(signInButton)
	b.until("the gate is shown", gateShown+` && location.pathname === "/login"`)
	b.visit("/report?year=2024")
	b.until("the gate is shown", gateShown)
	if n := b.sent("POST", "/login"); n != 3 {
		t.Errorf("%d POSTs for three tries", n)
	}
}

func testRefreshPicture(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.write(userField, testUser)
	b.write(passwordField, testPassword)
	b.write(answerField, "abc")
	for _, control := range []string{refreshButton, picture} {
		before := b.field(tokenField)
		source := value[string](b, element(picture)+".src")
		b.click(control)
		b.until("a new challenge", element(tokenField)+`.value !== `+quote(before))
		b.until("a new picture is drawn", pictureDrawn+` && `+element(picture)+`.src !== `+quote(source))
		b.expect("the typed fields are kept", element(userField)+`.value === `+quote(testUser)+` && `+
			element(passwordField)+`.value === `+quote(testPassword))
		b.expect("the old token is gone", `!document.documentElement.outerHTML.includes(`+quote(before)+`)`)
		b.expect("the old answer is gone", element(answerField)+`.value === ""`)
	}
	b.write(answerField, b.solution())
	b.click(signInButton)
	b.until("the app is shown", appShown)
	if n := b.sent("GET", "/report"); n != 2 {
		t.Errorf("the address was loaded %d times, not once by the gate and once by the app", n)
	}
}
