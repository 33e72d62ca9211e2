package caddymodule

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// visitor is what the gate knows of who sent one request. It lives as long as
// the request.
type visitor struct {
	// secure says that the browser's own connection is HTTPS.
	secure bool
	// presented are the gate's cookies, which the request no longer holds.
	presented session.Presented
	// prefix is what stands in front of the gate's paths in the browser.
	prefix string
	// lang is the language of what the visitor reads; chosen is the same where
	// the visitor chose it, and else "".
	lang, chosen page.Lang
}

// isSecure is about the visitor's connection: TLS here, or a trusted proxy that
// says https. A header of anybody else is not believed (SES-8).
func isSecure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		return false
	}
	lines := r.Header["X-Forwarded-Proto"]
	if len(lines) == 0 {
		return false
	}
	last := lines[len(lines)-1]
	return strings.EqualFold(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "https")
}

// clientAddr is Caddy's own opinion of the client's address, which honours
// trusted_proxies (HDR-6). The zero Addr stands for one that cannot be told;
// all such clients share their limits.
func clientAddr(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// network is what a challenge is bound to beside the browser: coarse by
// default, since phones and privacy addresses change within their network.
func (g *Gate) network(r *http.Request) string {
	addr := clientAddr(r)
	if !addr.IsValid() || g.Captcha.Bind == bindOff {
		return ""
	}
	if g.Captcha.Bind == bindAddress {
		return addr.String()
	}
	return networkOf(r)
}

// networkOf is the part of an address that stays while a device does: an IPv4
// /24, an IPv6 /56. It is empty for an address that cannot be told.
func networkOf(r *http.Request) string {
	addr := clientAddr(r)
	if !addr.IsValid() {
		return ""
	}
	bits := 24
	if addr.Is6() {
		bits = 56
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}

// detached is the context for what a request makes the gate remember. It does
// not end with the request: a client that hangs up is no fault of the store, and
// must not leave a step half done.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

// original is the URL that the browser asked for, before rewrites.
func original(r *http.Request) *url.URL {
	if or, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && or.URL != nil {
		return or.URL
	}
	return r.URL
}

// pathPrefix is what handle_path or uri strip_prefix took off the front of the
// path. The browser needs it in front of every link to the gate; since part of
// it may come from the client it must be plain.
func pathPrefix(r *http.Request) string {
	prefix, ok := strings.CutSuffix(original(r).Path, r.URL.Path)
	if !ok || prefix == "" || !localpath.Plain(&url.URL{Path: prefix}) {
		return ""
	}
	return (&url.URL{Path: prefix}).EscapedPath()
}

// isNavigation reports whether a person's browser is loading a page, as opposed
// to a script, an image or a tool asking for data (WEB-6).
func isNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || isScript(r) {
		return false
	}
	_, upgrade := r.Header["Upgrade"]
	return !upgrade && quality(r.Header["Accept"], "text/html", false) > 0
}

// isScript reports a request that a script in a page made.
func isScript(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode != "" && mode != "navigate" || strings.EqualFold(r.Header.Get("X-Requested-With"), "XMLHttpRequest")
}

// isForeign reports a request that another site makes without its visitor seeing the
// answer: pictures, frames, scripts. Following a link is none.
func isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
		return mode != "" && mode != "navigate" || dest != "" && dest != "document"
	}
	return false
}

// wantsJSON reports whether the answer should be JSON: the request brings it,
// prefers it, or comes from a script.
func wantsJSON(r *http.Request) bool {
	if mediaType(r) == typeJSON {
		return true
	}
	accept := r.Header["Accept"]
	json, html := quality(accept, typeJSON, false), quality(accept, "text/html", true)
	return json > 0 && json > html || isScript(r) && quality(accept, "text/html", false) == 0
}

// quality is the weight that an Accept header gives to a type, 0 to 1000. With
// wildcards a "*/*" or "text/*" counts too.
func quality(lines []string, want string, wildcards bool) int {
	kind, _, _ := strings.Cut(want, "/")
	best := 0
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			name = strings.TrimSpace(name)
			if !strings.EqualFold(name, want) && (!wildcards || name != "*/*" && !strings.EqualFold(name, kind+"/*")) {
				continue
			}
			best = max(best, weight(parameters))
		}
	}
	return best
}

func weight(parameters string) int {
	for p := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || q < 0 || q > 1 {
				return 0
			}
			return int(q * 1000)
		}
	}
	return 1000
}

// The browser cookie's content: a format byte, the browser's id, when it was
// made in Unix seconds, and who signed in with it, the latest first.
const (
	browserFormat   = 2
	browserFixed    = 1 + 16 + 8
	browserLifetime = 180 * 24 * time.Hour
	maxBrowserUsers = 4
)

// browser is one that the gate has met before.
type browser struct {
	id    [16]byte
	users [][16]byte // of each, what userTag says
}

// userTag stands for a user in the browser cookie, and for the user's present
// entry in the users file: a new password makes every browser a stranger, also
// one of somebody who knew the old.
func (g *Gate) userTag(name string, fingerprint [16]byte) [16]byte {
	key := state.KeyOf(g.Realm, "browser user", []byte(name), fingerprint[:])
	return [16]byte(key[:16])
}

// knows reports whether the user signed in with this browser.
func (b browser) knows(tag [16]byte) bool { return slices.Contains(b.users, tag) }

// with is the browser after a user has signed in.
func (b browser) with(tag [16]byte) browser {
	users := [][16]byte{tag}
	for _, u := range b.users {
		if u != tag && len(users) < maxBrowserUsers {
			users = append(users, u)
		}
	}
	return browser{b.id, users}
}

// knownBrowsers are those of the browser cookies that the gate itself made.
// There is one, unless a neighbouring host planted another (SES-10).
func (g *Gate) knownBrowsers(v *visitor) []browser {
	var browsers []browser
	for _, value := range v.presented.Browsers() {
		opened, err := g.browsers.Open(value)
		if err != nil {
			continue
		}
		if b, made, ok := parseBrowser(opened.Plaintext); ok && g.now().Before(made.Add(browserLifetime)) {
			browsers = append(browsers, b)
		}
	}
	return browsers
}

func parseBrowser(b []byte) (_ browser, made time.Time, ok bool) {
	if len(b) < browserFixed || b[0] != browserFormat || (len(b)-browserFixed)%16 != 0 {
		return browser{}, time.Time{}, false
	}
	found := browser{id: [16]byte(b[1:17])}
	made = time.Unix(int64(binary.BigEndian.Uint64(b[17:])), 0)
	for rest := b[browserFixed:]; len(rest) > 0; rest = rest[16:] {
		found.users = append(found.users, [16]byte(rest))
	}
	return found, made, true
}

// rememberBrowser sets the browser cookie. Before the sign-in it ends with the
// browser, afterwards it stays, since it is then a known device.
func (g *Gate) rememberBrowser(w http.ResponseWriter, v *visitor, b browser, lifetime time.Duration) error {
	plaintext := make([]byte, 0, browserFixed+16*maxBrowserUsers)
	plaintext = append(plaintext, browserFormat)
	plaintext = append(plaintext, b.id[:]...)
	plaintext = binary.BigEndian.AppendUint64(plaintext, uint64(g.now().Unix()))
	for _, u := range b.users {
		plaintext = append(plaintext, u[:]...)
	}
	value, err := g.browsers.Seal(plaintext, rand.Reader)
	if err != nil {
		return err
	}
	g.cookies.SetBrowser(w, v.secure, value, lifetime)
	return nil
}

func newBrowser() (b browser) {
	_, _ = io.ReadFull(rand.Reader, b.id[:]) // never fails
	return b
}

// as is what the limits count for a user of this browser. Several users of one
// browser must not share it: one's success would clear another's failures.
func (b browser) as(tag [16]byte) [16]byte {
	sum := sha256.Sum256(append(b.id[:], tag[:]...))
	return [16]byte(sum[:16])
}

// drawer is whom drawing counts for: a known device, else the network.
func drawer(r *http.Request, b browser) throttle.Visitor {
	v := throttle.Visitor{Client: clientAddr(r)}
	if len(b.users) > 0 {
		v.Device = b.id
	}
	return v
}

// caller is whom the limits count: a known device of the user, or of the latest
// one as long as nobody says who it is, else the network and the user (THR-4).
func (g *Gate) caller(r *http.Request, browsers []browser, user string) throttle.Visitor {
	caller := throttle.Visitor{Client: clientAddr(r), User: user}
	var tag [16]byte // of nobody
	if user != "" && !g.HumanOnly {
		if users, err := g.users.Table(); err == nil {
			if fingerprint, ok := users.Fingerprint(user); ok {
				tag = g.userTag(user, fingerprint)
			}
		}
	}
	for _, b := range browsers {
		if user == "" && len(b.users) > 0 {
			tag = b.users[0]
		}
		if b.knows(tag) {
			caller.Device = b.as(tag)
			break
		}
	}
	return caller
}
