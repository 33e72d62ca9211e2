package integration

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const (
	captchaBox   = "#captcha"
	listenLink   = `.actions [data-kind=audio]`
	pictureLink  = `.actions [data-kind=image]`
	neitherLink  = "#neither"
	soundReady   = `document.querySelector("#sound")?.readyState > 0 && document.querySelector("#sound").duration > 3`
	soundIsShown = `document.querySelector("#captcha").dataset.kind === "audio"`
)

// testListenInstead goes to the sound and back by mouse, without losing what
// was typed, and signs in with what was heard.
func testListenInstead(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.visit("/report?q=1#part")
	b.until("the gate is shown", gateShown)
	b.write(userField, testUser)
	b.write(passwordField, testPassword)
	first := b.field(tokenField)
	b.click(listenLink)
	b.until("the sound is offered", soundIsShown)
	value[bool](b, element("#sound")+`.preload = "auto", true`) // as pressing play does
	b.until("the sound can be played", soundReady)
	b.expect("the answer has the focus", `document.activeElement === `+element(answerField))
	b.expect("digits are asked for", element(answerField)+`.inputMode === "numeric"`)
	b.expect("user name and password are kept", element(userField)+`.value === `+quote(testUser)+` && `+
		element(passwordField)+`.value === `+quote(testPassword))
	b.expect("the picture is hidden", element("#picture")+`.getBoundingClientRect().width === 0`)
	if b.field(tokenField) == first {
		t.Error("CAP-11: the sound belongs to the picture's challenge")
	}
	b.judge("listening")

	b.click(pictureLink)
	b.until("the picture is back", element(captchaBox)+`.dataset.kind === "image"`)
	b.until("it is drawn", pictureDrawn)
	b.expect("the sound is hidden", element("#sound")+`.getBoundingClientRect().width === 0`)
	b.click(listenLink)
	b.until("the sound is offered again", soundIsShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
	b.expect("the fragment is kept", `location.hash === "#part"`)
}

// testVoices chooses another language for the sound, by keyboard.
func testVoices(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.language("ru-RU")
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.click(listenLink)
	b.until("the sound is offered", soundIsShown)
	b.expect("it is spoken in the browser's language", element("#voice")+`.lang === "ru"`)
	russian := b.field(tokenField)
	b.click("summary")
	b.until("the languages are shown", element("details")+".open")
	b.judge("voices")
	b.click(`details [lang=de]`)
	b.until("another sound is there", element(tokenField)+".value !== "+quote(russian))
	b.expect("its language is told", element("#voice")+`.textContent === "Deutsch" && !`+element("details")+".open")
	german := b.field(tokenField)
	b.click(listenLink)
	b.until("a new sound is there", element(tokenField)+".value !== "+quote(german))
	for token, want := range map[string]string{russian: "ru", german: "de", b.field(tokenField): "de"} {
		if got := claimsOf(t, token).Language; got != want {
			t.Errorf("spoken in %s; want %s", got, want)
		}
	}
}

// testListenWithoutJavaScript does the same with plain links.
func testListenWithoutJavaScript(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.withoutScript()
	b.visit("/report?q=1")
	b.click(listenLink)
	b.until("the page has a sound", `document.querySelector("#captcha").dataset.kind === "audio" && `+element("#sound")+`.src.endsWith(".wav")`)
	b.expect("what needs a script is hidden", element(neitherLink)+`.hidden`)
	b.click("summary")
	b.click(`details [lang=fr]`)
	b.until("the page has another sound", element("#voice")+`?.lang === "fr"`)
	if got := claimsOf(t, b.field(tokenField)).Language; got != "fr" {
		t.Errorf("spoken in %s", got)
	}
	b.fillIn(testUser, testPassword, b.wrongAnswer())
	b.press(kb.Enter)
	b.until("a message", messages)
	b.expect("it is still a sound", soundIsShown)
	b.write(passwordField, testPassword)
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
	b.expect("at the address that was asked for", `location.search === "?q=1"`)
}

// testNeither signs in without reading or hearing, by keyboard alone.
func testNeither(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy+"\ncaptcha {\n\twork_alone 3s\n}"))
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.write(userField, testUser)
	b.write(passwordField, "not it")
	b.tabTo(neitherLink)
	b.press(kb.Enter)
	b.until("the device works", element(captchaBox)+`.dataset.kind === "work"`)
	b.expect("nothing is to be answered", element(answerField)+`.getBoundingClientRect().width === 0`)
	b.expect("the button has the focus", `document.activeElement === `+element(signInButton))
	b.judge("working")
	b.press(kb.Enter)
	b.until("the wrong password is told", messages)
	b.expect("at the password", element(passwordField)+`.getAttribute("aria-invalid") === "true"`)
	b.expect("the user name is kept", element(userField)+`.value === `+quote(testUser))
	b.until("another puzzle is solved", element("#work")+`.value === 1`)
	b.judge("worked")
	b.write(passwordField, testPassword)
	b.press(kb.Enter)
	b.until("the app is shown", appShown)
}

// testSilentWork asks for a puzzle beside the picture. The page was sent for
// browsers without scripts; the script swaps its challenge.
func testSilentWork(t *testing.T, c *chromium) {
	s := newApp(t, roomy+"\ncaptcha {\n\twork 1s\n\tlevel easy\n}")
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.until("the challenge is swapped", `performance.getEntriesByType("resource").some(e => e.name.includes("/challenge?kind=image"))`)
	b.until("its picture is drawn", pictureDrawn)
	b.until("a worker runs or ran", element(tokenField)+`.value && performance.getEntriesByType("resource").some(e => e.name.includes("/assets/work-"))`)
	if level := claimsOf(t, b.field(tokenField)).Level.String(); level != "easy" {
		t.Errorf("with a script the picture is %s", level)
	}
	b.signIn()

	plain := c.person(t, s)
	plain.withoutScript()
	plain.visit("/report")
	if level := claimsOf(t, plain.field(tokenField)).Level.String(); level != "hard" {
		t.Errorf("without a script the picture is %s", level)
	}
	plain.fillIn(testUser, testPassword, plain.solution())
	plain.press(kb.Enter)
	plain.until("the app is shown", appShown)
}

// testPuzzlesRunOut meets the limit on puzzles that stand in for an answer.
func testPuzzlesRunOut(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	sameNetwork := newVisitor(t, s)
	for range 6 {
		if a := sameNetwork.do("GET", "/captcha-gate/challenge?kind=work", ""); a.StatusCode != http.StatusOK {
			t.Fatalf("status %d", a.StatusCode)
		}
	}
	b.click(neitherLink)
	b.until("a message", messages)
	b.expect("it says how long to wait", `/minutes/.test(document.querySelector("#form-error").textContent)`)
	b.expect("the picture is still there", pictureDrawn)
	b.signIn()
}
