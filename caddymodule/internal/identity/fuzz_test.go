package identity_test

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/identity"
)

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "alice", "a,b", " a ", "%2C", "Zoë", "\xff\r\n\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) { checkEncoded(t, value) })
}

func FuzzFold(f *testing.F) {
	for _, name := range aliases(f) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folded := identity.Fold(name)
		if len(folded) != len(name) || strings.Trim(folded, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q folds to %q", name, folded)
		}
		for _, alike := range []string{
			folded, textproto.CanonicalMIMEHeaderKey(name),
			strings.NewReplacer("-", "_", ".", "_").Replace(name), strings.NewReplacer("_", ".", "-", ".").Replace(name),
		} {
			if identity.Fold(alike) != folded {
				t.Errorf("%q and %q fold to %q and %q", name, alike, folded, identity.Fold(alike))
			}
		}
	})
}

// FuzzClean holds what the upstream relies on against any header.
func FuzzClean(f *testing.F) {
	for _, name := range aliases(f)[:20] {
		f.Add(name, "admin", "close, "+name, "h2c")
	}
	f.Add("Accept", "*/*", "Upgrade", "websocket")
	f.Add("Cookie", "a=1", "keep-alive, te, x", "websocket, h2c")
	f.Fuzz(func(t *testing.T, name, value, connection, upgrade string) {
		h := newHeaders(t, "", "")
		r := request(http.Header{
			"Connection": {"x", connection}, "Upgrade": {upgrade}, "Http2-Settings": {"x"}, "User-Agent": {"kept"},
		})
		r.Header[name] = append(r.Header[name], value)
		r.Trailer = http.Header{name: {value}}
		h.Clean(r)
		ours := []string{"remote-user", "remote-email", "remote-name", "remote-groups"}
		for _, header := range []http.Header{r.Header, r.Trailer} {
			for left := range header {
				if slices.Contains(ours, identity.Fold(left)) {
					t.Errorf("%q is left", left)
				}
			}
		}
		if r.Header["User-Agent"][0] != "kept" {
			t.Error("an innocent header changed")
		}
		if _, ok := r.Header["Http2-Settings"]; ok {
			t.Error("HTTP2-Settings is left")
		}
		if up := r.Header["Upgrade"]; len(up) > 1 || len(up) == 1 && (len(up[0]) != len("websocket") || !strings.EqualFold(up[0], "websocket")) {
			t.Errorf("Upgrade: %q", up)
		}
		lines := r.Header["Connection"]
		if len(lines) > 1 {
			t.Errorf("Connection: %q", lines)
		}
		for _, line := range lines {
			for token := range strings.SplitSeq(line, ", ") {
				switch {
				case token == "close" || token == "keep-alive" || token == "te":
				case token == "Upgrade" && len(r.Header["Upgrade"]) == 1:
				default:
					t.Errorf("Connection names %q", token)
				}
			}
		}
	})
}
