package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axeSource is the accessibility checker, as npm installed it.
var axeSource = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

// violation is what axe-core has to say against a page.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// axe expects that axe-core, with all its rules, finds nothing. What it cannot
// decide counts too where it is the contrast of text: behind the card is a
// gradient, which is taken away so that it can.
func (b *tab) axe(state string) {
	b.t.Helper()
	source, err := axeSource()
	if err != nil {
		b.t.Fatalf("%v; run: make tools", err)
	}
	if value[bool](b, "!window.axe") {
		value[bool](b, source+"\n;true")
	}
	value[string](b, `scrollTo(0, 0), document.body.style.backgroundImage = "none"`)
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]violation](
		`axe.run(document, {preload: false}).then(r => r.violations.concat(r.incomplete.filter(v => v.id === "color-contrast")))`,
		chromedp.EvalAwaitPromise))
	b.must(err)
	value[string](b, `document.body.style.backgroundImage = ""`)
	for _, v := range found {
		var where strings.Builder
		for _, node := range v.Nodes {
			fmt.Fprintf(&where, "\n%s\n%s", node.HTML, node.FailureSummary)
		}
		b.t.Errorf("%s: axe-core: %s: %s%s", state, v.ID, v.Help, where.String())
	}
}

// judge looks at the page as it is now: in light and dark for accessibility, on
// phones for its width and for targets that a finger can hit. It keeps a
// screenshot of each.
func (b *tab) judge(state string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.still()
		b.axe(state + " " + scheme)
		b.shoot(state + " " + scheme)
	}
	b.scheme("light")
	for _, width := range []int64{390, 320} {
		b.viewport(width, 800, 1)
		b.until("the window is narrow", fmt.Sprintf("innerWidth === %d", width))
		b.still()
		if got := value[int64](b, "document.documentElement.scrollWidth"); got > width {
			b.t.Errorf("%s: %d wide on a phone with %d", state, got, width)
		}
		low := value[[]string](b, `Array.from(document.querySelectorAll("button, input:not([type=hidden]):not([type=checkbox])"))
			.filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44)
			.map(e => e.outerHTML.slice(0, 120) + " " + e.getBoundingClientRect().height)`)
		if len(low) > 0 {
			b.t.Errorf("%s at %d: lower than 44 pixels: %q", state, width, low)
		}
		b.axe(fmt.Sprintf("%s at %d", state, width))
		b.shoot(fmt.Sprintf("%s phone %d", state, width))
	}
	b.viewport(1000, 800, 1)
}

// submit posts a form natively, past the page's script, as a browser without
// JavaScript would. Fields are given as pairs.
func (b *tab) submit(action string, fields ...string) {
	b.t.Helper()
	post := `((action, fields) => {
		const form = document.createElement("form");
		form.method = "post";
		form.action = action;
		for (let i = 0; i < fields.length; i += 2) {
			const input = document.createElement("input");
			input.type = "hidden";
			input.name = fields[i];
			input.value = fields[i + 1];
			form.append(input);
		}
		document.body.append(form);
		window.submitted = true;
		form.submit();
		return true;
	})(` + quote(action) + `, [` + quoteAll(fields) + `])`
	byThePerson := func(p *runtime.EvaluateParams) { p.UserGesture = new(true) }
	_, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](post, byThePerson))
	b.must(err)
	b.until("the answer has come", `!window.submitted && document.readyState === "complete"`)
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ",")
}

func testEveryState(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	for _, state := range []struct {
		name  string
		reach func(*tab)
	}{
		{"fresh", func(b *tab) { b.visit("/report") }},
		{"captcha_wrong", func(b *tab) {
			b.visit("/report")
			b.fail(testUser, testPassword, b.wrongAnswer())
		}},
		{"credentials_wrong", func(b *tab) {
			b.visit("/report")
			b.fail(testUser, "not it", b.solution())
		}},
		{"captcha_expired", func(b *tab) {
			b.visit("/report")
			spent, answer := b.field(tokenField), b.solution()
			b.fail(testUser, "not it", answer)
			value[string](b, element(tokenField)+`.value = `+quote(spent))
			b.fail(testUser, testPassword, answer)
		}},
		{"captcha_required without script", func(b *tab) {
			b.visit("/report")
			b.submit("/login", "username", testUser, "password", testPassword, "captcha_token", "", "captcha_answer", "")
		}},
		{"captcha_wrong without script", func(b *tab) {
			b.visit("/report")
			b.submit("/login", "username", testUser, "password", testPassword,
				"captcha_token", b.field(tokenField), "captcha_answer", "BBBBB", "remember", "on")
		}},
		{"credentials_wrong without script", func(b *tab) {
			b.visit("/report")
			b.submit("/login", "username", testUser, "password", "not it",
				"captcha_token", b.field(tokenField), "captcha_answer", b.solution())
		}},
		{"malformed", func(b *tab) {
			b.visit("/report")
			b.submit("/login", "username", testUser, "username", testUser)
		}},
		{"too_large", func(b *tab) {
			b.visit("/report")
			b.submit("/login", "username", strings.Repeat("a", 17<<10))
		}},
		{"cross_origin", func(b *tab) {
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, `<!doctype html><html lang="en"><title>Elsewhere</title><body>`)
			}))
			b.t.Cleanup(other.Close)
			b.mu.Lock()
			b.alsoAllowed = append(b.alsoAllowed, other.URL)
			b.mu.Unlock()
			b.visit(other.URL + "/")
			b.submit(s.url+"/login", "username", testUser)
		}},
		{"sign-out", func(b *tab) {
			b.visit("/report")
			b.signIn()
			b.visit("/logout")
		}},
		{"sign-out of nobody", func(b *tab) { b.visit("/logout") }},
		{"not_found", func(b *tab) { b.visit("/captcha-gate/nothing") }},
		{"method_not_allowed", func(b *tab) {
			b.visit("/report")
			b.submit("/captcha-gate/session", "a", "b")
		}},
	} {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			b := c.person(t, s)
			state.reach(b)
			b.until("the page is there", `document.readyState === "complete" && document.querySelector("h1")`)
			b.judge(state.name)
		})
	}
}

// testHumanOnly is the gate without users: a picture and a button.
func testHumanOnly(t *testing.T, c *chromium) {
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate {\nhuman_only\nsecret " + testSecret + "\n" + roomy + "}\nreverse_proxy " + s.upstream.address))
	s.serveApp()
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.expect("no user name, no password", `!`+element(userField)+` && !`+element(passwordField))
	b.judge("human_only")
	before := b.field(tokenField)
	b.write(answerField, b.wrongAnswer())
	b.click(signInButton)
	b.until("a message and a new picture", element(tokenField)+`.value !== `+quote(before)+` && `+messages)
	b.toMend(answerField)
	b.judge("human_only captcha_wrong")
	b.write(answerField, b.solution())
	b.click(signInButton)
	b.until("the app is shown", `document.title === "App"`)
	b.visit("/logout")
	b.judge("human_only sign-out")
}

// testEveryPageOption is a page with all that an operator can put on it.
func testEveryPageOption(t *testing.T, c *chromium) {
	s := newSite(t)
	logo := s.writeFile("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg" width="160" height="48" viewBox="0 0 160 48">`+
		`<rect width="160" height="48" rx="8" fill="#264653"/><circle cx="28" cy="24" r="12" fill="#e9c46a"/></svg>`)
	style := s.writeFile("own.css", "h1 { letter-spacing: 0.125em; }\n")
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + roomy + "session {\nremember 0\n}\ncaptcha {\nsize 600 240\n}\npage {\ntitle \"Harbour Notes\"\nlogo " + logo +
		"\nstylesheet " + style + "\ncontact mailto:harbour@example.com\n}\n}\nreverse_proxy " + s.upstream.address))
	s.serveApp()
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.expect("the title is the operator's", `document.title.includes("Harbour Notes") && document.body.innerText.includes("Harbour Notes")`)
	b.expect("the logo is drawn", `Array.from(document.images).some(i => i.complete && i.naturalWidth === 160)`)
	b.expect("the stylesheet counts", `getComputedStyle(document.querySelector("h1")).letterSpacing !== "normal"`)
	b.expect("help is offered", `document.querySelector('a[href="mailto:harbour@example.com"]')`)
	b.expect("the box is hidden", `!`+element(rememberBox))
	b.judge("every option")
}

// testUsersUnavailable takes the users file away.
func testUsersUnavailable(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	if err := os.Remove(s.users); err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, s)
	v.page("/login")
	eventually(t, "the gate misses the users file", patience, func() bool {
		_, reply := v.json("/login", map[string]any{"captcha_token": "none", "captcha_answer": "none"})
		return reply.Code == "users_unavailable"
	})
	b.fillIn(testUser, testPassword, b.solution())
	b.click(signInButton)
	b.until("a message", messages)
	b.judge("users_unavailable")
}

// testDocsPicture makes the picture of the README, where it is asked to.
func testDocsPicture(t *testing.T, c *chromium) {
	s := newApp(t, roomy)
	b := c.person(t, s)
	b.scheme("light")
	b.viewport(560, 900, 2)
	b.visit("/report")
	b.until("the gate is shown", gateShown)
	b.until("the picture is drawn", pictureDrawn)
	value[bool](b, `document.activeElement.blur(), true`)
	b.still()
	const margin = 24
	box := value[[]float64](b, `(r => [r.x, r.y, r.width, r.height])(`+element(card)+`.getBoundingClientRect())`)
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &page.Viewport{
		X: box[0] - margin, Y: box[1] - margin, Width: box[2] + 2*margin, Height: box[3] + 2*margin, Scale: 1,
	}})
	const limit = 150 << 10
	if len(shot.Data) > limit {
		t.Errorf("the picture has %d bytes; more than %d are too many for a README", len(shot.Data), limit)
	}
	target := filepath.Join("artifacts", "sign-in.png")
	if os.Getenv("CAPTCHA_GATE_DOCS") != "" {
		target = filepath.Join("..", "docs", "sign-in.png")
	}
	b.must(os.MkdirAll(filepath.Dir(target), 0o755))
	b.must(os.WriteFile(target, shot.Data, 0o644))
}
