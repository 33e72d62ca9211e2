package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const languagePath = "/captcha-gate/language"

// startEveryPage starts a site that has every page of the gate, with an app behind
// it.
func startEveryPage(t *testing.T) (*site, *provider) {
	t.Helper()
	p, sender := mailbox(t)
	s := newSite(t)
	contacts := s.writeFile("contacts.json", `{"`+testUser+`": {"email": "alice@example.com"}}`)
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + roomy + "contacts " + contacts + "\naccounts {\nsign_up on\n}\n" +
		"second_step email {\n" + sender + "}\npage {\ntitle \"Harbour Notes\"\ncontact mailto:harbour@example.com\n}\n}\n" +
		"reverse_proxy " + s.upstream.address))
	s.serveApp()
	return s, p
}

// overflow is what leaves its place: text beyond the card or its button, what is
// cut off, and words that are broken where their script does not break them.
const overflow = `(() => {
	const faults = [];
	const say = (what, e) => faults.push(what + ": " + e.outerHTML.slice(0, 160));
	if (document.documentElement.scrollWidth > innerWidth) faults.push(document.documentElement.scrollWidth + " wide");
	for (const e of document.querySelectorAll("button, a, label, summary, .badge, h1, h2, p, dt, dd")) {
		if (!e.checkVisibility() || getComputedStyle(e).display === "inline") continue;
		if (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) say("cut off", e);
	}
	for (const e of document.querySelectorAll("main, footer")) {
		const r = e.getBoundingClientRect();
		if (r.left < 0 || r.right > innerWidth) say("beside the window", e);
	}
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const text = walker.currentNode, e = text.parentElement;
		if (!text.data.trim() || !e.checkVisibility()) continue;
		const inside = e.closest("button, .button, .languages a") || e.closest("main, footer");
		const range = document.createRange();
		for (const word of text.data.matchAll(/[\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Arabic}\p{Script=Devanagari}\p{M}]+/gu)) {
			range.setStart(text, word.index);
			range.setEnd(text, word.index + word[0].length);
			if (new Set(Array.from(range.getClientRects(), r => Math.round(r.top))).size > 1) say("broken at " + word[0], e);
		}
		range.selectNodeContents(text);
		const box = inside.getBoundingClientRect();
		for (const r of range.getClientRects()) {
			if (r.width > 1 && (r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1)) say("leaves its place", e);
		}
	}
	return faults;
})()`

// fits looks at the page on a phone, where everything is tightest, or in a window
// of another width, and keeps a screenshot.
func (b *tab) fits(name string, widths ...int64) {
	b.t.Helper()
	for _, width := range append(widths, 320) {
		b.viewport(width, 800, 1)
		b.until("the window has its size", fmt.Sprintf(`innerWidth === %d`, width))
		b.still()
		if faults := value[[]string](b, overflow); len(faults) > 0 {
			b.t.Errorf("%s at %d:\n%s", name, width, strings.Join(faults, "\n"))
		}
		b.shoot(fmt.Sprintf("%s %d", name, width))
	}
}

// walked are the languages that make test walks through: long words, and right to
// left. make languages walks through all.
var walked = []string{"de", "ar"}

// testEveryLanguage walks through every page in the languages that the gate has.
func testEveryLanguage(t *testing.T, c *chromium) {
	s, _ := startEveryPage(t)
	offered := regexp.MustCompile(`hreflang="([\w-]+)"`).FindAllStringSubmatch(newVisitor(t, s).page(languagePath).body, -1)
	if len(offered) < 8 {
		t.Fatalf("%d languages", len(offered))
	}
	for _, match := range offered {
		if os.Getenv("CAPTCHA_GATE_EVERY_LANGUAGE") == "" && !slices.Contains(walked, match[1]) {
			continue
		}
		t.Run(match[1], func(t *testing.T) {
			t.Parallel()
			walkInLanguage(t, c, match[1])
		})
	}
}

func walkInLanguage(t *testing.T, c *chromium, lang string) {
	s, p := startEveryPage(t)
	other := newVisitor(t, s) // so that the account has another device
	other.password()
	if _, r := other.code(p.next(0).code(t)); r.Code != "signed_in" {
		t.Fatalf("the other device: %s", r.Code)
	}
	b := c.person(t, s)
	name := func(state string) string { return "language " + lang + " " + state }
	inLanguage := func(state string) {
		t.Helper()
		b.expect(state+" is in "+lang, `document.documentElement.lang === `+quote(lang)+` && document.documentElement.dir === `+quote(direction(lang)))
	}
	look := func(state string) {
		t.Helper()
		inLanguage(state)
		if lang == "de" || lang == "ar" { // long words, and the other direction
			b.fits(name(state), 1000)
		} else {
			b.fits(name(state))
		}
	}

	b.visit(languagePath + "?rd=%2Freport")
	b.click(`a[hreflang="` + lang + `"]`)
	b.until("the gate is shown", gateShown)
	b.until("the picture is drawn", pictureDrawn)
	look("sign-in")
	b.axe(name("sign-in"))
	b.fail(testUser, "not it", b.solution())
	look("sign-in failed")
	b.visit(languagePath)
	b.until("the languages are shown", `document.querySelector("[hreflang]")`)
	look("languages")

	b.visit(signUpPath)
	b.until("the form is shown", gateShown)
	look("sign-up")
	b.write(userField, testUser)
	b.write(emailField, "carol@example.com")
	b.write(passwordField, "password123")
	b.until("the strength is told, which moves what is below", `document.querySelector("#strength-text").textContent`)
	b.write(confirmField, "something else")
	b.write(answerField, b.solution())
	b.press(kb.Enter)
	b.until("the faults are told", messages)
	look("sign-up failed")

	b.visit("/report?q=1")
	b.until("the gate is shown", gateShown)
	inLanguage("the page in place")
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the code is asked for", codeAsked)
	look("second step")
	mail := p.next(1)
	code := mail.code(t)
	b.typeCode(wrongCode(code))
	b.until("the failure is told", messages)
	look("second step failed")
	b.click(codeField)
	value[string](b, element(codeField)+`.value = ""`)
	b.press(code) // the last digit sends it
	b.until("the app is shown", appShown)
	b.expect("at the address that was asked for", `location.pathname + location.search === "/report?q=1"`)

	b.visit(accountPath)
	b.until("the account is shown", accountShown)
	look("account")
	b.visit("/logout")
	look("sign-out")
	b.visit("/captcha-gate/nothing")
	look("not found")
}

// direction is which way a language is written.
func direction(lang string) string {
	if lang == "ar" {
		return "rtl"
	}
	return "ltr"
}

// testPicker chooses a language by mouse, and finds it again later.
func testPicker(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.language("fr-CA,fr,en")
	in := func(lang string) {
		t.Helper()
		b.until("the gate is shown", gateShown)
		b.expect("the page is in "+lang, `document.documentElement.lang === `+quote(lang))
	}
	b.visit("/some/page?x=1&lang=es")
	in("fr")
	b.click(`footer a[href^="` + languagePath + `"]`)
	b.until("the languages are shown", `document.querySelector("[hreflang]")`)
	b.judge("languages")
	b.click(`a[hreflang="de"]`)
	in("de")
	b.expect("with the place to return to", `document.querySelector('input[name="rd"]').value === "/some/page?x=1&lang=es"`)
	b.reload()
	in("de")
	b.fail(testUser, testPassword, b.wrongAnswer())
	b.expect("the message is German", messages+`.includes("Captcha")`)
	b.click(listenLink)
	b.until("the sound is German", `document.querySelector("#voice").lang === "de"`)
	b.visit("/some/page?x=1&lang=es")
	in("de")
	b.signIn()
	b.expect("the app sees its own address", `location.pathname + location.search === "/some/page?x=1&lang=es"`)
}

// testPickerWithoutJavaScript does the same with links alone, and by keyboard.
func testPickerWithoutJavaScript(t *testing.T, c *chromium) {
	b := c.person(t, newApp(t, roomy))
	b.withoutScript()
	b.visit("/report?q=1")
	b.click(`footer a[href^="` + languagePath + `"]`)
	b.until("the languages are shown", `document.querySelector("[hreflang]")`)
	b.tabTo(`a[hreflang="ru"]`)
	b.press(kb.Enter)
	b.until("the gate is shown", gateShown)
	b.expect("the page is Russian", `document.documentElement.lang === "ru"`)
	b.signIn()
	b.expect("at the address that was asked for", `location.pathname + location.search === "/report?q=1"`)
}

// testRightToLeft turns the pages around, whatever their language.
func testRightToLeft(t *testing.T, c *chromium) {
	s, p := startEveryPage(t)
	b := c.person(t, s)
	b.viewport(320, 800, 1)
	turned := func(state string) {
		t.Helper()
		value[string](b, `document.documentElement.dir = "rtl"`)
		b.fits("right to left " + state)
		b.expect("the page begins at the right", `getComputedStyle(document.querySelector("h1")).direction === "rtl"`)
		b.expect("passwords run on to the eye", `[...document.querySelectorAll(".secret")].every(e => {
			const [field, eye] = e.children, f = field.getBoundingClientRect(), r = eye.getBoundingClientRect();
			const s = getComputedStyle(field);
			return s.direction === "ltr" && Math.abs(f.right - r.right) < 2 && parseFloat(s.paddingRight) >= r.width;
		})`)
		b.expect("what is Latin stays so", `[...document.querySelectorAll("#answer, #code")].every(e => getComputedStyle(e).direction === "ltr")`)
	}
	b.visit("/login")
	b.until("the gate is shown", gateShown)
	b.until("the picture is drawn", pictureDrawn)
	b.write(userField, testUser)
	b.write(passwordField, "abc!")
	b.click(showPassword)
	turned("sign-in")
	b.visit(signUpPath)
	b.until("the form is shown", gateShown)
	turned("sign-up")
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.press(kb.Enter)
	b.until("the code is asked for", codeAsked)
	b.typeCode("123")
	turned("second step")
	b.click(codeField)
	value[string](b, element(codeField)+`.value = ""`)
	b.press(p.next(0).code(t)) // the last digit sends it
	b.until("the app is shown", appShown)
	b.visit(accountPath)
	b.until("the account is shown", accountShown)
	turned("account")
}
