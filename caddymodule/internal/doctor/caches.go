package doctor

import (
	"context"
	"strconv"
	"strings"
)

const mendCache = "let the cache in front obey Cache-Control: no-store, in nginx: no proxy_ignore_headers Cache-Control; " +
	"in Varnish: return (pass) for no-store; at a CDN: a rule that bypasses the cache for this host"

// checkCaches asks whether something in front keeps the gate's pages. page is one that somebody else got. It is false
// where all visitors get one page, so that nothing more can be seen.
func (e *examination) checkCaches(ctx context.Context, page answer) bool {
	control := page.header.Get("Cache-Control")
	if hit := cacheHit(page); hit != "" {
		e.problem("cache", mendCache, "a cache in front keeps the sign-in page (%s): visitors get each other's captcha", hit)
		return true
	}
	other, err := e.newBrowser(nil).navigate(ctx, e.signInPage())
	if err == nil && tokenIn(other.body) != "" && tokenIn(other.body) == tokenIn(page.body) {
		e.problem("cache", mendCache, "a cache in front keeps the sign-in page: two visitors get the same captcha, and nobody can sign in")
		return false
	}
	if control != "no-store" {
		e.problem("cache", "let the header through as it is, in nginx: no expires and no add_header Cache-Control for this host", "the gate sends Cache-Control: no-store, and %q arrives", control)
		return true
	}
	e.ok("cache", "nothing in front keeps the sign-in page")
	return true
}

// cacheHit is how an answer shows that it comes from a cache, "" if it does not.
func cacheHit(a answer) string {
	if age, err := strconv.Atoi(a.header.Get("Age")); err == nil && age > 0 {
		return "Age: " + a.header.Get("Age")
	}
	for _, name := range []string{"X-Cache", "X-Cache-Status", "CF-Cache-Status", "X-Proxy-Cache", "Cache-Status"} {
		value := strings.ToLower(a.header.Get(name))
		if strings.HasPrefix(value, "hit") || strings.Contains(value, "; hit") {
			return name + ": " + a.header.Get(name)
		}
	}
	return ""
}

// checkPrivate asks whether a cache in front could show one user's page to another.
func (e *examination) checkPrivate(a answer) {
	control := strings.ToLower(a.header.Get("Cache-Control"))
	switch hit := cacheHit(a); {
	case hit != "":
		e.problem("cache", mendCache, "a cache in front keeps pages of the app (%s): what one user sees, anybody may get", hit)
	case strings.Contains(control, "public") || strings.Contains(control, "s-maxage"):
		e.warn("cache", "in the site block: header Cache-Control private; or let the app send it", "the app lets caches keep this page (Cache-Control: %s); one in front would show it to everybody", control)
	}
}
