package integration

import (
	"fmt"
	"net/http"
	"testing"
)

// testSinglePageApp runs the app of docs/single-page-app.md: its dialog signs in
// again in place, by the sign-in API.
func testSinglePageApp(t *testing.T, c *chromium) {
	blocks, _ := blocksOf("", documents(t)["docs/single-page-app.md"])
	markup, script := "", ""
	for _, b := range blocks {
		switch b.info {
		case "html":
			markup += b.text
		case "js":
			script += b.text
		}
	}
	s := startSite(t, roomy)
	s.upstream.mu.Lock()
	s.upstream.handle = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:image/svg+xml;,"><h1>Hello alice</h1>%s<script>%s</script>`, markup, script)
	})
	s.upstream.mu.Unlock()

	b := c.person(t, s)
	b.visit("/notes")
	b.until("the gate is shown", gateShown)
	b.fillIn(testUser, testPassword, b.solution())
	b.click(signInButton)
	b.until("the app is shown", appShown)

	value[bool](b, `fetch("/logout", {method: "POST", headers: {Accept: "application/json"}}).then(() => window.out = true), true`)
	b.until("the session has ended", `window.out`)
	value[bool](b, `signIn().then(() => window.back = true), true`)
	const picture = `dialog[open] img`
	drawn := `(e => e && e.complete && e.naturalWidth > 0)(` + element(picture) + `)`
	b.until("the dialog shows a picture", drawn)
	first := value[string](b, `captcha.token`)

	fill := func(answer string) {
		b.write(`dialog input[name=username]`, testUser)
		b.write(`dialog input[name=password]`, testPassword)
		b.write(`dialog input[name=captcha_answer]`, answer)
		b.click(`dialog button`)
	}
	fill("BBBBB")
	b.until("a message and another picture", element(`dialog [role=alert]`)+`.textContent && captcha.token !== `+quote(first)+` && `+drawn)
	fill(solve(t, value[string](b, `captcha.token`)))
	b.until("signed in again", `window.back && !`+element(`dialog[open]`))
	value[bool](b, `api("/captcha-gate/session").then(r => r.json()).then(r => window.who = r.user.id), true`)
	b.until("the gate knows who it is", `window.who === `+quote(testUser))
	b.expect("the app was never loaded again", `window.out`)
}
