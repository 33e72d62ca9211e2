package doctor

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// secondAddress is an address of every Linux machine that no other program uses, in a network of its own.
var secondAddress = netip.MustParseAddr("127.77.0.1")

// checkAddress finds out where the gate took the doctor to come from. A proxy in front that is not trusted hides all
// visitors behind its own address; they then share one limit, and one of them can lock out all.
func (e *examination) checkAddress(ctx context.Context, b *browser, page answer, claims captcha.Claims) {
	if e.Bind == "off" {
		e.ok("client address", "captcha bind is off: the doctor cannot see which address the gate takes visitors to have")
		return
	}
	id, known := e.browserID(b, page)
	if !known {
		return
	}
	seen, found := e.seenFrom(claims, id, page.local, page.remote)
	switch {
	case !found:
		e.warn("client address", mendTrust, "the gate takes you to come from a network that this machine is not in; right if you are behind a gateway, "+
			"wrong if a proxy in front is not trusted%s", hint(page))
	case page.remote == page.local || page.remote.IsLoopback():
		e.checkFromHere(ctx, seen)
	default:
		e.judgeAddress(page, seen)
	}
}

// judgeAddress is for a site on another machine.
func (e *examination) judgeAddress(page answer, seen netip.Prefix) {
	switch {
	case seen.Contains(page.local):
		e.ok("client address", "the gate sees where you come from (%s)", seen)
	case seen.Addr().IsLoopback(), seen.Contains(page.remote):
		e.problem("client address", mendTrust, "all visitors seem to come from %s, where a proxy in front is that is not trusted: they share one limit on attempts", seen)
	case isLocal(page.local) && !isLocal(seen.Addr()) && hint(page) == "" && !e.untold:
		e.ok("client address", "the gate sees you come from %s, through a gateway", seen)
	default:
		e.warn("client address", mendTrust, "the gate takes you to come from %s; if that is not your network but that of a proxy, all visitors share one limit on attempts%s", seen, hint(page))
	}
}

// checkFromHere is for a site on this machine, where a proxy and a visitor have the same address. It asks again from
// another one.
func (e *examination) checkFromHere(ctx context.Context, seen netip.Prefix) {
	b := e.newBrowser(net.IP(secondAddress.AsSlice()))
	page, err := b.navigate(ctx, e.signInPage())
	if err != nil {
		e.ok("client address", "the gate takes you to come from %s; run the doctor from another machine to see whether it tells visitors apart", seen)
		return
	}
	id, known := e.browserID(b, page)
	claims, err := e.maker.Unpack(tokenIn(page.body))
	if err != nil || !known {
		return
	}
	again, found := e.seenFrom(claims, id, secondAddress, page.remote)
	switch {
	case found && again.Contains(secondAddress):
		e.ok("client address", "the gate sees where visitors come from (%s and %s were told apart)", seen, again)
	case found && again == seen && e.StrictProxies:
		e.ok("client address", "the gate takes you to come from %s; with trusted_proxies_strict only a visit from another machine shows whether it tells visitors apart", seen)
	case found && again == seen:
		e.problem("client address", mendTrust, "all visitors seem to come from %s, where a proxy in front is that is not trusted: they share one limit on attempts", seen)
	default:
		e.warn("client address", mendTrust, "the gate does not see where visitors come from%s", hint(page))
	}
}

// browserID is the id in the browser's cookie, which the challenge of the same page is bound to.
func (e *examination) browserID(b *browser, page answer) (id [16]byte, ok bool) {
	cookies := page.cookies
	if b.client.Jar != nil {
		cookies = append(cookies, b.client.Jar.Cookies(e.URL)...)
	}
	cookie := e.find(cookies, "_browser")
	if cookie == nil {
		return id, false
	}
	opened, err := e.browsers.Open(cookie.Value)
	if err != nil || len(opened.Plaintext) < 17 {
		return id, false
	}
	return [16]byte(opened.Plaintext[1:17]), true // after the byte that tells the format
}

// seenFrom is the network that a challenge is bound to: of the ones at hand, else by trying all.
func (e *examination) seenFrom(claims captcha.Claims, id [16]byte, near ...netip.Addr) (netip.Prefix, bool) {
	if interfaces, err := net.InterfaceAddrs(); err == nil {
		for _, i := range interfaces {
			if p, err := netip.ParsePrefix(i.String()); err == nil {
				near = append(near, p.Addr())
			}
		}
	}
	near = append(near, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback())
	for _, a := range near {
		if p, ok := e.networkOf(a); ok && claims.BoundTo(captcha.Binding{Browser: id, Network: e.spell(p)}) {
			return p, true
		}
	}
	if e.Bind == "address" {
		return netip.Prefix{}, false // there are too many
	}
	for n := range uint32(1 << 24) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], n<<8)
		p := netip.PrefixFrom(netip.AddrFrom4(b), 24)
		if claims.BoundTo(captcha.Binding{Browser: id, Network: p.String()}) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// networkOf is what a challenge is bound to for an address, as the gate has it.
func (e *examination) networkOf(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if e.Bind == "network" {
		bits = map[bool]int{true: 24, false: 56}[a.Is4()]
	}
	p, err := a.Prefix(bits)
	return p, err == nil && a.IsValid()
}

// spell is a network as the gate writes it into a binding.
func (e *examination) spell(p netip.Prefix) string {
	if e.Bind == "address" {
		return p.Addr().String()
	}
	return p.String()
}

// isLocal reports an address that means nothing elsewhere.
func isLocal(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }

// hint is what an answer of the gate tells of a proxy in front.
func hint(a answer) string {
	for _, name := range []string{"Via", "CF-RAY", "X-Cache", "X-Varnish", "X-Amz-Cf-Id", "X-Served-By"} {
		if a.header.Get(name) != "" {
			return " (there is one: the answer has the header " + name + ")"
		}
	}
	if server := a.header.Get("Server"); server != "" && !strings.EqualFold(server, "Caddy") {
		return " (there is one: the answer says Server: " + server + ")"
	}
	return ""
}
