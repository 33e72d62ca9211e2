package integration

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// value evaluates JavaScript in the page, whatever its content security policy.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to become true, across navigations.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && ok {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("still not: %s\n%s (%v)\n%s", what, expression, err, b.describe())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// describe is what the tab shows, for messages of failing tests.
func (b *tab) describe() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		`location.href + "\nfocus: " + document.activeElement.cloneNode().outerHTML + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// visit types an address, absolute or of the site, and waits for the page.
func (b *tab) visit(address string) {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.site.url + address
	}
	b.must(chromedp.Do(b.ctx, chromedp.Navigate(address)))
}

// reload presses the reload button.
func (b *tab) reload() {
	b.t.Helper()
	b.must(chromedp.Do(b.ctx, chromedp.Reload()))
}

// back presses the back button. The page may come from the network or from
// the browser's memory; the caller waits for what it should show.
func (b *tab) back() {
	b.t.Helper()
	history := call(b, page.GetNavigationHistory, cdp.Empty{})
	if history.CurrentIndex < 1 {
		b.t.Fatal("there is nothing to go back to")
	}
	call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{
		EntryID: history.Entries[history.CurrentIndex-1].ID,
	})
}

func (b *tab) viewport(width, height int64, scale float64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: scale,
	})
}

// scheme is what the person's system prefers: light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
}

// language is what the person reads, best first.
func (b *tab) language(tags string) {
	b.t.Helper()
	call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent: b.c.userAgent, AcceptLanguage: tags,
	})
}

// withoutScript switches JavaScript off for the pages to come.
func (b *tab) withoutScript() {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// quote makes a JavaScript string.
func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// element is a JavaScript expression for the one element that a selector finds.
func element(selector string) string { return "document.querySelector(" + quote(selector) + ")" }

// centre scrolls an element into view, waits until nothing covers it, and
// returns where its middle is.
func (b *tab) centre(selector string) (x, y float64) {
	b.t.Helper()
	b.until(selector+" can be clicked", `(e => {
		if (!e) return false;
		e.scrollIntoView({block: "nearest", behavior: "instant"});
		const r = e.getBoundingClientRect();
		const hit = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		return hit && (e.contains(hit) || hit.contains(e));
	})(`+element(selector)+`)`)
	at := value[[]float64](b, `(r => [r.x + r.width / 2, r.y + r.height / 2])(`+element(selector)+`.getBoundingClientRect())`)
	return at[0], at[1]
}

// click moves the mouse to an element and presses its button.
func (b *tab) click(selector string) {
	b.t.Helper()
	x, y := b.centre(selector)
	b.must(chromedp.Do(b.ctx, chromedp.MouseEvent(chromedp.MouseMoved, x, y), chromedp.MouseClickXY(x, y)))
}

// press presses keys, of package kb or characters.
func (b *tab) press(keys string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	b.must(chromedp.Do(b.ctx, chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...))))
}

// write clicks a field, empties it and types.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.click(selector)
	b.must(chromedp.Do(b.ctx, chromedp.Evaluate[chromedp.Void](element(selector)+".select()")))
	b.press(text)
	if got := b.field(selector); got != text {
		b.t.Fatalf("%s holds %q after typing %q", selector, got, text)
	}
}

func (b *tab) field(selector string) string {
	b.t.Helper()
	return value[string](b, element(selector)+".value")
}

// focused is a selector-like description of the element with the focus.
func (b *tab) focused() string {
	b.t.Helper()
	return value[string](b, `(e => e.name ? e.localName + "[name=" + e.name + "]" : e.id ? "#" + e.id : e.localName)(document.activeElement)`)
}

// still waits until nothing moves but what moves for ever.
func (b *tab) still() {
	b.t.Helper()
	b.until("transitions are over", `document.getAnimations().every(a => a.effect.getComputedTiming().endTime === Infinity)`)
}

// shoot keeps a screenshot of the whole page among the artifacts.
func (b *tab) shoot(name string) {
	b.t.Helper()
	// Chromium moves a page that is written from right to left aside where there
	// is nothing beyond the window.
	tall, _ := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("document.documentElement.scrollHeight > innerHeight"))
	picture, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &tall})
	if err != nil {
		b.t.Logf("no screenshot: %v", err)
		return
	}
	name = strings.ReplaceAll(name, " ", "-") + ".png"
	if err := os.MkdirAll("artifacts", 0o755); err != nil {
		b.t.Error(err)
	}
	if err := os.WriteFile(filepath.Join("artifacts", name), picture.Data, 0o644); err != nil {
		b.t.Error(err)
	}
}
