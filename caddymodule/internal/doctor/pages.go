package doctor

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

const mendRoute = "put captcha_gate directly into the site block, in front of everything and outside of handle, and load it: caddy reload --config Caddyfile"

// checkPages loads the protected page and the sign-in page. It returns the browser that did so, and the sign-in page,
// which is the gate's. ok is false when there is nothing more to look at.
func (e *examination) checkPages(ctx context.Context) (b *browser, page answer, ok bool) {
	b = e.newBrowser(nil)
	a, err := b.navigate(ctx, e.URL)
	if err == nil && e.becameHTTPS(a) {
		if !e.checkReach(ctx) {
			return b, a, false
		}
		b = e.newBrowser(nil)
		a, err = b.navigate(ctx, e.URL)
	}
	if err != nil {
		e.problem("page", "see Caddy's log", "no answer from %s: %s", e.URL, plainFault(err))
		return b, a, false
	}
	if e.judgeFault(ctx, b, "page", a) {
		return b, a, false
	}
	asks := a.status == 401 && a.isGates() && tokenIn(a.body)+actionIn(a.body) != ""
	e.findPrefix(a)
	b = e.newBrowser(nil) // one that nobody has seen, whose cookie is to be looked at
	page, err = b.navigate(ctx, e.signInPage())
	if err != nil {
		e.problem("sign-in page", "see Caddy's log", "no answer from %s: %s", e.own(e.Login), plainFault(err))
		return b, page, false
	}
	if e.judgeFault(ctx, b, "sign-in page", page) {
		return b, page, false
	}
	shows := page.status == 200 && tokenIn(page.body) != ""
	if !asks && !shows {
		e.problem("gate", mendRoute+"; is this the right --url?", "the gate is not there: %s is answered with %s, and %s with %s",
			e.URL, describe(a), e.own(e.Login).Path, describe(page))
		return b, page, false
	}
	e.judgePages(a, page, asks, shows)
	return b, page, shows && e.checkBase(ctx, b)
}

// judgePages reports on the two pages, at least one of which is the gate's.
func (e *examination) judgePages(a, page answer, asks, shows bool) {
	if asks {
		e.ok("page", "%s asks to sign in, in place (401)", e.URL)
	} else {
		e.open = true
		e.warn("page", "ask for a protected page with --url, or widen the matcher that stands behind captcha_gate, as in captcha_gate /private/*; without one everything is protected",
			"%s is not protected: it is answered with %s without a sign-in", e.URL, describe(a))
	}
	if shows {
		e.ok("sign-in page", "%s is the gate's", e.own(e.Login).Path)
		return
	}
	e.problem("sign-in page", mendRoute+"; or choose another path: login /sign-in",
		"%s is not the gate's: it is answered with %s, by the app or by another handler in front, so that nobody can sign in", e.own(e.Login).Path, describe(page))
}

// becameHTTPS follows the one redirect that is as it should be.
func (e *examination) becameHTTPS(a answer) bool {
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status < 300 || a.status > 399 || e.URL.Scheme != "http" || to.Scheme != "https" || to.Hostname() != e.URL.Hostname() {
		return false
	}
	e.ok("page", "%s leads to HTTPS; going on there", e.URL)
	e.URL = to
	return true
}

// judgeFault reports an answer by which the gate says that it cannot work now.
func (e *examination) judgeFault(ctx context.Context, b *browser, check string, a answer) bool {
	if !a.isGates() || a.status < 500 && a.status != 429 {
		return false
	}
	code := ""
	if script, err := b.ask(ctx, e.own(e.BasePath+"/challenge")); err == nil {
		code = script.reply().Code
	}
	e.judgeCode(check, code, a)
	return true
}

// judgeCode explains what no visitor can help.
func (e *examination) judgeCode(check, code string, a answer) {
	switch code {
	case "state_unavailable":
		mend := "see the check \"state\" and Caddy's log"
		switch e.State {
		case "local":
			mend += "; if another Caddy holds the file, stop that one, or give this one a file of its own: state local FILE"
		case "redis":
			mend += "; where Redis is: state redis redis://HOST:6379"
		}
		e.problem(check, mend, "the gate cannot reach its store (%s): nobody can sign in", code)
	case "users_unavailable":
		e.problem(check, "see the check \"users\" and Caddy's log", "the gate cannot use its users file (%s): nobody can sign in", code)
	case "throttled":
		e.problem(check, "wait "+a.header.Get("Retry-After")+" seconds; where many people share one address, raise the limits, in the block throttle: client 100 10m and issue 300 1m",
			"too many attempts from this network (%s)", code)
	case "busy":
		e.problem(check, "wait, or let more be checked at a time, in the block throttle: hashing 4", "the gate has more passwords to check than it can (%s)", code)
	default:
		e.problem(check, "see Caddy's log", "the gate answers %d %s", a.status, code)
	}
}

// findPrefix reads from the page what stands in front of the gate's paths, as inside of handle_path.
func (e *examination) findPrefix(a answer) {
	action := actionIn(a.body)
	if _, path, found := strings.Cut(a.header.Get("WWW-Authenticate"), `form-action="`); found {
		action, _, _ = strings.Cut(path, `"`)
	}
	if action == "" {
		return
	}
	prefix, fits := strings.CutSuffix(action, e.Login)
	if !fits {
		e.problem("configuration", "caddy reload --config Caddyfile", "the running gate signs in at %s, the configuration says %s: it runs with another one", action, e.Login)
		return
	}
	e.prefix = prefix
}

// checkBase asks for a path below base_path.
func (e *examination) checkBase(ctx context.Context, b *browser) bool {
	at := e.own(e.BasePath + "/session")
	a, err := b.ask(ctx, at)
	switch {
	case err != nil:
		e.problem("base path", "see Caddy's log", "no answer from %s: %s", at, plainFault(err))
	case a.status == 401 && a.reply().Code == "unauthenticated":
		e.ok("base path", "%s is the gate's", e.prefix+e.BasePath)
		return true
	default:
		e.problem("base path", mendRoute+"; or choose another: base_path /gate", "%s is answered with %s, not by the gate: pictures and scripts do not load", at.Path, describe(a))
	}
	return false
}

// describe is an answer in a few words.
func describe(a answer) string {
	text := fmt.Sprint(a.status)
	if to := a.header.Get("Location"); to != "" {
		text += " to " + to
	}
	if server := a.header.Get("Server"); server != "" {
		text += " by " + server
	}
	return text
}
