// Package identity owns the headers by which the upstream learns who is signed
// in: it removes what a client sent under these names, in every spelling that
// some upstream takes for the same, and writes the gate's own.
package identity

import (
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// Defaults of the contract.
const (
	DefaultUser  = "Remote-User"
	DefaultEmail = "Remote-Email"
)

// related are names that apps read beside Remote-User. The gate never sets
// them, so a client must not either (HDR-1).
var related = []string{DefaultUser, DefaultEmail, "Remote-Name", "Remote-Groups"}

// Headers cleans and sets the identity headers of requests. It is immutable.
type Headers struct {
	user   string
	email  string
	folded []string
}

// New takes the configured header names; empty means the default. A name that
// is no header name, or that steers the connection, is refused (HDR-4).
func New(user, email string) (Headers, error) {
	h := Headers{user: DefaultUser, email: DefaultEmail}
	for _, c := range []struct {
		field string
		name  string
		to    *string
	}{{"user", user, &h.user}, {"email", email, &h.email}} {
		if c.name == "" {
			continue
		}
		if !httpguts.ValidHeaderFieldName(c.name) {
			return Headers{}, fmt.Errorf("identity %s: %q is not a header name", c.field, c.name)
		}
		name := textproto.CanonicalMIMEHeaderKey(c.name)
		if isReserved(Fold(name)) {
			return Headers{}, fmt.Errorf("identity %s: the header %s has a meaning of its own", c.field, name)
		}
		*c.to = name
	}
	if Fold(h.user) == Fold(h.email) {
		return Headers{}, fmt.Errorf("identity: user and email both go to %s", h.user)
	}
	for _, name := range append([]string{h.user, h.email}, related...) {
		h.folded = append(h.folded, Fold(name))
	}
	return h, nil
}

// isReserved reports headers, in folded spelling, whose replacement would break
// the request, be undone by the proxy, or blind the gate: without Origin, say,
// no cross-origin post is noticed any more.
func isReserved(folded string) bool {
	if reserved[folded] {
		return true
	}
	for _, prefix := range []string{"accept-", "content-", "if-", "proxy-", "sec-"} {
		if strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	return false
}

var reserved = map[string]bool{
	"accept": true, "authorization": true, "connection": true, "cookie": true, "date": true, "expect": true,
	"forwarded": true, "host": true, "http2-settings": true, "keep-alive": true, "origin": true, "proxy": true,
	"range": true, "referer": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
	"user-agent": true, "via": true, "x-forwarded-for": true, "x-forwarded-host": true,
	"x-forwarded-proto": true, "x-requested-with": true,
}

// Fold is the one canonicaliser of header names: two names that some upstream
// could take for the same have the same folded form. CGI turns "-" into "_",
// PHP folds "." as well, older servers every character that is no letter or
// digit.
func Fold(name string) string {
	b := []byte(name)
	for i := range b {
		b[i] = foldByte(b[i])
	}
	return string(b)
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	default:
		return '-'
	}
}

func (h *Headers) ours(name string) bool {
next:
	for _, f := range h.folded {
		if len(f) != len(name) {
			continue
		}
		for i := range len(name) {
			if foldByte(name[i]) != f[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// Clean removes what a client must not say to the upstream: identity headers
// and trailers in any spelling (HDR-1), headers named by Connection, which
// would make the proxy delete what the gate sets (HDR-2), and every upgrade but
// WebSocket, since an h2c tunnel would carry requests past the gate (HDR-3). A
// body that may end in trailers is wrapped, not read. h must not change while
// the request lives.
func (h *Headers) Clean(r *http.Request) {
	h.strip(r.Header)
	h.strip(r.Trailer)
	if r.Body != nil && r.Body != http.NoBody && (len(r.Trailer) > 0 || r.ContentLength < 0) {
		r.Body = &trailerGuard{ReadCloser: r.Body, headers: h, request: r}
	}
	upgrade, asked := r.Header["Upgrade"]
	websocket := asked && len(upgrade) == 1 && Fold(upgrade[0]) == "websocket" // EqualFold would take "webſocket"
	if asked && !websocket {
		delete(r.Header, "Upgrade")
	}
	delete(r.Header, "Http2-Settings")
	if lines, ok := r.Header["Connection"]; ok {
		cleanConnection(r.Header, lines, websocket)
	}
}

func (h *Headers) strip(header http.Header) {
	for name := range header {
		if h.ours(name) {
			delete(header, name)
		}
	}
}

// trailerGuard removes identity headers from the trailers when they arrive,
// which is after the last byte of the body. The client need not have announced
// them: HTTP/1 adds whatever comes, and reverse_proxy passes it on (HDR-1).
//
// A transport may close a body while it is read; the lock keeps the two from
// changing the trailers at once.
type trailerGuard struct {
	io.ReadCloser
	headers *Headers
	request *http.Request
	mu      sync.Mutex
}

func (g *trailerGuard) strip() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.headers.strip(g.request.Trailer)
}

func (g *trailerGuard) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err != nil {
		g.strip()
	}
	return n, err
}

// Close may read the rest of the body, and with it the trailers.
func (g *trailerGuard) Close() error {
	err := g.ReadCloser.Close()
	g.strip()
	return err
}

func cleanConnection(header http.Header, lines []string, websocket bool) {
	if len(lines) == 1 && (lines[0] == "keep-alive" || lines[0] == "close") {
		return
	}
	var kept []string
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			switch token = strings.ToLower(strings.Trim(token, " \t")); token {
			case "close", "keep-alive", "te":
				kept = append(kept, token)
			case "upgrade":
				if websocket {
					kept = append(kept, "Upgrade")
				}
			}
		}
	}
	if len(kept) == 0 {
		delete(header, "Connection")
		return
	}
	header["Connection"] = []string{strings.Join(kept, ", ")}
}

// Set writes the user's name and address, replacing whatever is there. An empty
// one sets nothing: Clean has made sure that nothing stands there.
func (h *Headers) Set(header http.Header, user, email string) {
	if user != "" {
		header[h.user] = []string{Encode(user)}
	}
	if email != "" {
		header[h.email] = []string{Encode(email)}
	}
}

// Encode makes a value safe as one header value that no upstream splits or
// misreads: letters, digits, space and -._~@+!#$&'*^`| stay, every other byte
// is percent-encoded (HDR-5). Space stays only inside.
func Encode(value string) string {
	encoded := 0
	for i := range len(value) {
		if !plain(value, i) {
			encoded++
		}
	}
	if encoded == 0 {
		return value
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(value)+2*encoded)
	for i := range len(value) {
		if c := value[i]; plain(value, i) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

func plain(s string, i int) bool {
	c := s[i]
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case c == ' ':
		return i > 0 && i < len(s)-1
	default:
		return strings.IndexByte("-._~@+!#$&'*^`|", c) >= 0
	}
}
