package doctor

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

const (
	mendTrust = "in the global options, under servers: trusted_proxies static private_ranges (or the proxy's own addresses); " +
		"and let the proxy send X-Forwarded-For and X-Forwarded-Proto, in nginx: proxy_set_header X-Forwarded-Proto $scheme;"
	mendSetCookie = "let the header Set-Cookie through, in nginx: no proxy_hide_header Set-Cookie; at a CDN: no rule that removes cookies"
	mendChanged   = "let Set-Cookie through unchanged, in nginx: no proxy_cookie_domain, proxy_cookie_path or proxy_cookie_flags for this host"
)

// checkBrowserCookie judges the cookie that challenges are bound to, and whether it comes back. Without it nobody can
// sign in, and ok is false.
func (e *examination) checkBrowserCookie(ctx context.Context, b *browser, page answer) bool {
	cookie := e.find(page.cookies, "_browser")
	if cookie == nil {
		e.problem("cookie", mendSetCookie+"; if the running gate has another cookie_name: caddy reload",
			"the sign-in page sets no cookie %s_browser: something in between removes it, and nobody can sign in", e.Cookies.Name)
		return false
	}
	if !e.judgeCookie("cookie", cookie) {
		return false
	}
	again, err := b.navigate(ctx, e.signInPage())
	if err != nil {
		e.problem("cookie", "see Caddy's log", "no answer from %s: %s", e.own(e.Login), plainFault(err))
		return false
	}
	// The gate sets it only where it did not get one.
	if e.find(again.cookies, "_browser") != nil {
		e.problem("cookie", "let the header Cookie through, in nginx: proxy_set_header Cookie $http_cookie; at a CDN: forward cookies for this host",
			"the browser's cookie does not reach the gate: something in between removes it, or several Caddys have different secrets (give all the same: secret {env.GATE_SECRET})")
		return false
	}
	e.ok("cookie", "%s is set and comes back", cookie.Name)
	return true
}

// find is the gate's cookie with this end of its name, whatever stands in front.
func (e *examination) find(cookies []*http.Cookie, suffix string) *http.Cookie {
	for _, c := range cookies {
		name := strings.TrimPrefix(strings.TrimPrefix(c.Name, "__Host-"), "__Secure-")
		if name == e.Cookies.Name+suffix && c.MaxAge >= 0 {
			return c
		}
	}
	return nil
}

// judgeCookie reports what a browser would refuse, or somebody changed. It is false where a browser would not keep or
// send it.
func (e *examination) judgeCookie(check string, c *http.Cookie) bool {
	https := e.URL.Scheme == "https"
	host := e.URL.Hostname()
	prefixed := strings.HasPrefix(c.Name, "__Host-") || strings.HasPrefix(c.Name, "__Secure-")
	switch {
	case https && !prefixed && e.untold: // said before
	case https && !prefixed:
		e.untold = true
		e.problem("https", mendTrust, "you ask over HTTPS, and the gate takes it for plain HTTP (its cookie has no __Host- in front): the proxy that speaks HTTPS is not trusted, or does not tell")
	case !https && (prefixed || c.Secure):
		e.problem("https", "ask for https:// with --url; or the proxy in front must not say X-Forwarded-Proto: https for plain HTTP",
			"you ask over plain HTTP, and the gate sets a cookie for HTTPS, which browsers drop: a proxy says that visitors come by HTTPS")
		return false
	case prefixed && !c.Secure, strings.HasPrefix(c.Name, "__Host-") && (c.Domain != "" || c.Path != "/"):
		e.problem(check, mendChanged, "browsers refuse the cookie %s: it needs Secure, Path=/ and no Domain, and something in between changed that", c.Name)
		return false
	}
	if c.Domain != "" && !domainHolds(c.Domain, host) {
		e.problem(check, "in the block session: cookie_domain "+parent(host)+"; or leave it out", "browsers refuse the cookie: it is for %s, and this is %s", c.Domain, host)
		return false
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		e.warn(check, mendChanged, "the cookie %s is not as the gate sets it (HttpOnly, SameSite=Lax, Path=/)", c.Name)
	}
	return true
}

// domainHolds reports whether a cookie of a domain goes to a host.
func domainHolds(domain, host string) bool {
	domain = strings.TrimPrefix(strings.ToLower(domain), ".")
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return domain == host
	}
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// parent is the domain that a host lies in.
func parent(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	if _, above, found := strings.Cut(host, "."); found && strings.Contains(above, ".") {
		return above
	}
	return host
}
