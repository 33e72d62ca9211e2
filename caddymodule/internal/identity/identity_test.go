package identity_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/identity"
)

func TestFold(t *testing.T) {
	for name, want := range map[string]string{
		"":              "",
		"Remote-User":   "remote-user",
		"REMOTE_USER":   "remote-user",
		"remote.user":   "remote-user",
		"X~Y|Z1":        "x-y-z1",
		"@[`{/:AZaz09":  "------azaz09",
		"Remote--User":  "remote--user",
		"é":             "--",
		"\x00\x7f\xff ": "----",
	} {
		if got := identity.Fold(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestHDR4_NewRefuses(t *testing.T) {
	for _, c := range []struct{ user, email, want string }{
		{"Remote User", "", "is not a header name"},
		{"Remote-User:", "", "is not a header name"},
		{"Remote\r\nX: y", "", "is not a header name"},
		{"Remote\x00User", "", "is not a header name"},
		{"Remote\tUser", "", "is not a header name"},
		{"Benützer", "", "is not a header name"},
		{" Remote-User", "", "is not a header name"},
		{"", "a,b", "is not a header name"},
		{"", "(mail)", "is not a header name"},
		{"X-User", "x_user", "both go to"},
		{"X-User", "X-User", "both go to"},
		{"Remote-Email", "", "both go to"},
		{"remote.email", "", "both go to"},
		{"", "Remote_User", "both go to"},
	} {
		_, err := identity.New(c.user, c.email)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %q): %v", c.user, c.email, err)
		}
	}
}

// TestHDR4_HeadersWithAMeaningAreRefused: cleaning them would break requests or
// take from the gate what it decides by.
func TestHDR4_HeadersWithAMeaningAreRefused(t *testing.T) {
	for _, name := range []string{
		"Accept", "Accept-Language", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type",
		"Cookie", "Date", "Expect", "Forwarded", "Host", "HTTP2-Settings", "If-None-Match", "Keep-Alive", "Origin", "Proxy",
		"Proxy-Authorization", "Proxy-Connection", "Range", "Referer", "Sec-Fetch-Mode", "Sec-Fetch-Site",
		"Sec-WebSocket-Key", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Requested-With",
	} {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ReplaceAll(strings.ToUpper(name), "-", "_")} {
			if _, err := identity.New(spelling, ""); err == nil || !strings.Contains(err.Error(), "identity user: the header") {
				t.Errorf("user %s: %v", spelling, err)
			}
			if _, err := identity.New("", spelling); err == nil || !strings.Contains(err.Error(), "identity email: the header") {
				t.Errorf("email %s: %v", spelling, err)
			}
		}
	}
	for _, name := range []string{
		"X-Forwarded-User", "X-Forwarded-Email", "X-WEBAUTH-USER", "X-Remote-User", "Secret-User", "Iffy", "Remote-Name",
		"X-Auth-Request-User", "Cf-Access-Authenticated-User-Email", "Accepted-User",
	} {
		if _, err := identity.New(name, ""); err != nil {
			t.Error(err)
		}
	}
}

func TestHDR4_SetReplacesUnderTheCanonicalName(t *testing.T) {
	for _, name := range []string{"x-auth-user", "X-AUTH-USER", "X-Auth-User"} {
		h := newHeaders(t, name, "")
		header := http.Header{"X-Auth-User": {"admin", "root"}, "Accept": {"a", "b"}}
		header["Remote-Email"] = []string{"root@example.org"}
		h.Set(header, "bob", "bob@example.org")
		if want := (http.Header{"X-Auth-User": {"bob"}, "Remote-Email": {"bob@example.org"}, "Accept": {"a", "b"}}); !reflect.DeepEqual(header, want) {
			t.Errorf("%s: got %v", name, header)
		}
	}
}

func TestSetOfNobodySetsNothing(t *testing.T) {
	h := newHeaders(t, "", "")
	header := http.Header{}
	h.Set(header, "", "")
	if len(header) != 0 {
		t.Errorf("got %v", header)
	}
}

func TestHDR5_Encode(t *testing.T) {
	for value, want := range map[string]string{
		"":                      "",
		"alice":                 "alice",
		"azAZ09":                "azAZ09",
		"a.b-c_d~e@example.org": "a.b-c_d~e@example.org",
		"me+tag@example.org":    "me+tag@example.org",
		"!#$&'*^`|":             "!#$&'*^`|",
		"a,b":                   "a%2Cb",
		`a"b`:                   "a%22b",
		`a\b`:                   "a%5Cb",
		"a;b=c":                 "a%3Bb%3Dc",
		"a:b/c?d":               "a%3Ab%2Fc%3Fd",
		"(a)<b>[c]{d}":          "%28a%29%3Cb%3E%5Bc%5D%7Bd%7D",
		"Zoë":                   "Zo%C3%AB",
		"日本":                    "%E6%97%A5%E6%9C%AC",
		"100%":                  "100%25",
		"%2C":                   "%252C",
		"ann lee":               "ann lee",
		"ann  lee":              "ann  lee",
		" ann":                  "%20ann",
		"ann ":                  "ann%20",
		"  ann  ":               "%20 ann %20",
		" ":                     "%20",
		"  ":                    "%20%20",
		"a\r\nX: y":             "a%0D%0AX%3A y",
		"a\tb":                  "a%09b",
		"\x00":                  "%00",
		"\x7f":                  "%7F",
		"\xff\xfe":              "%FF%FE",
		"{env.HOME}":            "%7Benv.HOME%7D",
	} {
		if got := identity.Encode(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

// checkEncoded holds for every user: what is emitted is one header value that a
// transport leaves as it is, and percent-decoding gives the user back, so no
// two users share a value.
func checkEncoded(t interface {
	Helper()
	Errorf(string, ...any)
}, value string) {
	t.Helper()
	got := identity.Encode(value)
	if !httpguts.ValidHeaderFieldValue(got) || strings.TrimSpace(got) != got {
		t.Errorf("%q: %q is no header value", value, got)
	}
	for i := range len(got) {
		if c := got[i]; c < ' ' || c > '~' || strings.IndexByte("\",;\\=:()<>[]{}/?", c) >= 0 {
			t.Errorf("%q: %q holds %q", value, got, c)
		}
	}
	if decoded, err := url.PathUnescape(got); err != nil || decoded != value {
		t.Errorf("%q: %q decodes to %q, %v", value, got, decoded, err)
	}
}

// users draws names of few characters, so that two of them are often equal or
// nearly so.
func users() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("%2cC, a\"ë\x00")), 0, 4, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) }))
}

func TestHDR5_EncodeIsInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := users().Draw(t, "a"), users().Draw(t, "b")
		checkEncoded(t, a)
		if (identity.Encode(a) == identity.Encode(b)) != (a == b) {
			t.Errorf("%q and %q: %q and %q", a, b, identity.Encode(a), identity.Encode(b))
		}
	})
}
