// Package localpath is the one place that judges paths: whether a path reads
// the same to everybody on the way (Plain), and whether a string may be where
// the visitor returns to after signing in (Target).
package localpath

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTarget bounds a return target in bytes, as given and as emitted; longer
// ones are not remembered.
const maxTarget = 2048

// Plain reports whether a URL's path means the same to Caddy's matchers, to the
// proxy and to any upstream (PTH-1). It looks at the path as sent, decoded
// once, and decoded twice; in none of them may there be a dot segment, an empty
// segment, one that ends with a space, a ";", a "\", an encoded slash, "?" or
// "#", a control character, or bytes that are not UTF-8. Nor may any of the
// slashes and dot segments be hidden in the full-width forms of Unicode. What is
// not plain counts as protected.
func Plain(u *url.URL) bool {
	return plain(u) && !hidesStructure(u.Path)
}

func plain(u *url.URL) bool {
	// RawPath and not EscapedPath: the latter writes an unusual spelling anew,
	// and an encoded slash is gone from it.
	if hasEncodedSlash(u.RawPath) {
		return false
	}
	if !plainForm(u.Path) || !plainForm(u.EscapedPath()) {
		return false
	}
	// What still holds an escape after one decoding is read differently by an
	// upstream that decodes twice.
	return !hasEscape(u.Path)
}

func plainForm(p string) bool {
	if p == "" || p[0] != '/' || !utf8.ValidString(p) {
		return false
	}
	for _, c := range p {
		if unicode.IsControl(c) || c == '\\' || c == ';' || c == '?' || c == '#' {
			return false
		}
	}
	return !strings.Contains(p, "//") && !hasDotSegment(p)
}

// hasDotSegment reports a segment of dots alone, of any number since Windows
// drops those at the end of a name, or one that ends with a space, for the same
// reason: "/.. /" is read as "/../" there, and "/admin /" as "/admin/".
func hasDotSegment(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment != "" && (strings.Trim(segment, ".") == "" || segment[len(segment)-1] == ' ') {
			return true
		}
	}
	return false
}

// hidesStructure reports slashes, dot segments and escapes that appear when an
// upstream brings compatible characters, such as the full-width ones, into their
// usual form.
func hidesStructure(p string) bool {
	usual := norm.NFKC.String(p)
	return strings.Count(usual, "/") != strings.Count(p, "/") || strings.Contains(usual, `\`) ||
		hasDotSegment(usual) || hasEscape(usual)
}

func hasEncodedSlash(raw string) bool {
	return strings.Contains(raw, "%2f") || strings.Contains(raw, "%2F")
}

// hasEscape reports a percent escape, "%2e" or the "%u002e" of old Windows
// servers.
func hasEscape(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && (isHex(s[i+1]) || s[i+1]|0x20 == 'u') && isHex(s[i+2]) {
			return true
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Target returns a return target as the gate may emit it: an origin-form path
// on this host, re-encoded, with its query. ok is false for everything that is
// not one, by whatever trick: another host or scheme, "//" or "/\" at the start
// or anywhere in the path, raw or encoded, controls, spaces, backslashes, dot
// segments, a fragment (RED-1). A path that is odd in the sense of Plain is
// refused too, full-width forms excepted, which are emitted encoded; the visitor
// then lands on the start page, which is the price of one simple rule. What
// Target returns it accepts again unchanged.
func Target(s string) (target string, ok bool) {
	if s == "" || len(s) > maxTarget || s[0] != '/' || !utf8.ValidString(s) {
		return "", false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '\\' || c == '#' {
			return "", false
		}
	}
	raw, query, hasQuery := strings.Cut(s, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return "", false
	}
	u := url.URL{Path: path, RawPath: raw}
	if !plain(&u) {
		return "", false
	}
	target = u.EscapedPath()
	if hasQuery {
		target += "?" + encodeQuery(query)
	}
	if len(target) > maxTarget {
		return "", false
	}
	return target, true
}

// encodeQuery keeps a query as it is but for bytes that have no place in a URL.
func encodeQuery(q string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(q) {
		c := q[i]
		if c > ' ' && c < 0x7f && strings.IndexByte("\"<>\\^`{|}", c) < 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// Path returns the decoded path of a target that Target made.
func Path(target string) string {
	raw, _, _ := strings.Cut(target, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return raw
	}
	return path
}
