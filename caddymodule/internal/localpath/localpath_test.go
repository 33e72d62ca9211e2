package localpath_test

import (
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
)

// corpusLine is one line of a file in testdata: a quoted string, and perhaps an
// arrow and another one.
type corpusLine struct {
	number   int
	in, want string
	accepted bool
}

func corpus(t testing.TB, name string) []corpusLine {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []corpusLine
	seen := map[string]bool{}
	number := 0
	for text := range strings.Lines(string(data)) {
		number++
		text = strings.TrimRight(text, "\r\n")
		if text == "" || text[0] == '#' {
			continue
		}
		in, want, accepted := strings.Cut(text, " -> ")
		line := corpusLine{number: number, accepted: accepted}
		if line.in, err = strconv.Unquote(in); err == nil && accepted {
			line.want, err = strconv.Unquote(want)
		}
		if err != nil || seen[line.in] {
			t.Fatalf("%s:%d: %s: broken or there before (%v)", name, number, text, err)
		}
		seen[line.in] = true
		lines = append(lines, line)
	}
	return lines
}

// browse resolves a Location header on a page of https://site.example as the
// URL standard of browsers does, as far as scheme and host go: blanks around it
// and tabs and line ends inside are dropped, and "\" is "/".
func browse(location string) (scheme, host string) {
	s := strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	scheme, rest, special := cutScheme(s)
	switch {
	case scheme == "":
		scheme = "https"
		rest = s
	case !special:
		return scheme, "" // opaque, or of another kind
	case scheme != "https":
		return scheme, authority(strings.TrimLeft(rest, `/\`)) // never relative to a page of https
	}
	if len(rest) < 2 || !isSlash(rest[0]) || !isSlash(rest[1]) {
		return scheme, "site.example" // relative, also as "https:x" and "https:/x"
	}
	return scheme, authority(strings.TrimLeft(rest, `/\`))
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

func cutScheme(s string) (scheme, rest string, special bool) {
	before, rest, ok := strings.Cut(s, ":")
	if !ok || before == "" || strings.ContainsAny(before[:1], "0123456789+-.") ||
		strings.Trim(strings.ToLower(before), "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		return "", s, false
	}
	scheme = strings.ToLower(before)
	return scheme, rest, scheme == "http" || scheme == "https" || scheme == "ftp" || scheme == "ws" || scheme == "wss" || scheme == "file"
}

func authority(s string) string {
	if end := strings.IndexAny(s, `/\?#`); end >= 0 {
		s = s[:end]
	}
	return s[strings.LastIndexByte(s, '@')+1:]
}

// TestBrowse makes sure that the yardstick finds the tricks at all.
func TestBrowse(t *testing.T) {
	for in, want := range map[string]string{
		"/x": "site.example", "x": "site.example", "?x": "site.example", "": "site.example", "/?//y": "site.example",
		"https:x": "site.example", "https:/x": "site.example", "/:x": "site.example", "/@x": "site.example",
		"//evil": "evil", `/\evil`: "evil", `\\evil`: "evil", "///evil": "evil", "/\t/evil": "evil", " //evil": "evil",
		"https://evil": "evil", "https:\\\\evil/x": "evil", "http:/evil": "evil", "http:evil": "evil", "//a@evil:80/x": "evil:80",
		"//site.example@evil": "evil", "java\nscript:x": "", "data:x": "", "\x00https://evil#@site.example": "evil",
	} {
		if _, host := browse(in); host != want {
			t.Errorf("%q goes to %q, want %q", in, host, want)
		}
	}
}

// checkTarget holds for every string: what Target returns stays on this host,
// whoever reads it, and is accepted again as it is (RED-1).
func checkTarget(t testing.TB, s string) (string, bool) {
	t.Helper()
	got, ok := localpath.Target(s)
	if !ok {
		if got != "" {
			t.Errorf("%q: refused, yet %q", s, got)
		}
		return "", false
	}
	raw, _, _ := strings.Cut(got, "?")
	for i := range len(got) {
		if c := got[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>' {
			t.Errorf("%q: %q holds %q", s, got, c)
		}
	}
	if raw[0] != '/' || strings.Contains(raw, "//") || len(got) > 2048 {
		t.Errorf("%q: %q is not a path on this host, or too long", s, got)
	}
	base := &url.URL{Scheme: "https", Host: "site.example", Path: "/login"}
	u, err := base.Parse(got)
	if err != nil {
		t.Fatalf("%q: %q: %v", s, got, err)
	}
	if u.Scheme != "https" || u.Host != "site.example" || u.User != nil || u.Fragment != "" || u.RequestURI() != got {
		t.Errorf("%q: %q resolves to %s", s, got, u)
	}
	if scheme, host := browse(got); scheme != "https" || host != "site.example" {
		t.Errorf("%q: a browser takes %q to %s %s", s, got, scheme, host)
	}
	decoded := localpath.Path(got)
	if decoded != u.Path || strings.HasPrefix(decoded, "//") || strings.ContainsAny(decoded, "\\;?#\x00\r\n\t") {
		t.Errorf("%q: %q decodes to %q", s, got, decoded)
	}
	if want := path.Clean(decoded); want != strings.TrimSuffix(decoded, "/") && decoded != "/" {
		t.Errorf("%q: %q is cleaned to %q", s, got, want)
	}
	if again, ok := localpath.Target(got); !ok || again != got {
		t.Errorf("%q: %q becomes %q, %t", s, got, again, ok)
	}
	return got, true
}

func TestRED1_HostileTargets(t *testing.T) {
	lines := corpus(t, "hostile-targets.txt")
	if len(lines) < 600 {
		t.Errorf("only %d lines", len(lines))
	}
	for _, l := range lines {
		if got, ok := checkTarget(t, l.in); ok != l.accepted || got != l.want {
			t.Errorf("line %d: %q: got %q, %t, want %q, %t", l.number, l.in, got, ok, l.want, l.accepted)
		}
	}
}

func TestGoodTargetsAreKeptExactly(t *testing.T) {
	for _, s := range []string{
		"/", "/a", "/a/", "/a/b.html", "/a%20b/c", "/%C3%A4/%E6%97%A5", "/%c3%a4", "/a%2Cb", "/%41", "/100%25", "/.well-known/x",
		"/a..b", "/a:b@c", "/a!$&'()*+,=b", "/[x]", "/~x_y-z", "/?", "/a?", "/a?b", "/a?b=c&d=e", "/a?b=c%20d+e", "/a?%C3%A4",
		"/a?next=/b", "/a?next=//b", "/a?next=https://b.example/?c", "/a?b=%2F%5C%00%zz%", "/a?b;c", "/a?b[]=1&b[]=2", "/a?a=1,2",
		"/a?'()*!~$@:?", "/search?q=1&q=2", "/%EF%BC%8F", "/%E2%80%A6",
	} {
		if got, ok := checkTarget(t, s); !ok || got != s {
			t.Errorf("%q: got %q, %t", s, got, ok)
		}
	}
}

func TestTargetsAreEncodedAnew(t *testing.T) {
	for s, want := range map[string]string{
		"/ä/日本":            "/%C3%A4/%E6%97%A5%E6%9C%AC",
		"/ä%20b?ö":         "/%C3%A4%20b?%C3%B6",
		"/a?\u0085":        "/a?%C2%85",
		`/"x"`:             "/%22x%22",
		`/a?"<>^{|}` + "`": "/a?%22%3C%3E%5E%7B%7C%7D%60",
	} {
		if got, ok := checkTarget(t, s); !ok || got != want {
			t.Errorf("%q: got %q, %t, want %q", s, got, ok, want)
		}
	}
}

// TestRED1_TargetsAreBoundedAsEmitted: one that grows past the bound while it is
// encoded would be refused when the form brings it back.
func TestRED1_TargetsAreBoundedAsEmitted(t *testing.T) {
	for _, c := range []struct {
		s  string
		ok bool
	}{
		{"/" + strings.Repeat("a", 2047), true},
		{"/" + strings.Repeat("a", 2048), false},
		{"/a?" + strings.Repeat("x", 2045), true},
		{"/a?" + strings.Repeat("x", 2046), false},
		{"/a" + strings.Repeat("é", 341), true}, // 2 + 341*6 = 2048
		{"/aa" + strings.Repeat("é", 341), false},
		{"/" + strings.Repeat("é", 1000), false},
		{"/?" + strings.Repeat("<", 682), true},
		{"/?" + strings.Repeat("<", 683), false},
	} {
		if _, ok := checkTarget(t, c.s); ok != c.ok {
			t.Errorf("%.10s... of %d bytes: %t", c.s, len(c.s), ok)
		}
	}
}

func TestPath(t *testing.T) {
	for target, want := range map[string]string{
		"/a%20b?c=%2f": "/a b", "/": "/", "/%C3%A4": "/ä", "/?x": "/", "/a%zz?x": "/a%zz", "": "",
	} {
		if got := localpath.Path(target); got != want {
			t.Errorf("%q: got %q, want %q", target, got, want)
		}
	}
}

// checkPlain holds for every path that counts as plain: whoever cleans it,
// decodes it again or folds its characters sees the same segments (PTH-1).
func checkPlain(t testing.TB, u *url.URL) {
	t.Helper()
	trimmed := func(p string) string {
		if p == "/" {
			return p
		}
		return strings.TrimSuffix(p, "/")
	}
	if got := path.Clean(u.Path); got != trimmed(u.Path) {
		t.Errorf("%q is cleaned to %q", u.Path, got)
	}
	// Lenient decoders leave broken escapes as they are.
	if again, err := url.PathUnescape(strings.ReplaceAll(u.Path, "%", "%25")); err != nil || again != u.Path {
		t.Errorf("%q: %v", u.Path, err)
	}
	for i := range len(u.Path) - 2 {
		if _, err := url.PathUnescape(u.Path[i : i+3]); err == nil && u.Path[i] == '%' {
			t.Errorf("%q still holds an escape", u.Path)
		}
	}
	if strings.ContainsAny(u.Path, "\\;?#\x00\r\n\t\x7f") {
		t.Errorf("%q holds what others take for an end", u.Path)
	}
	sent, err := url.ParseRequestURI(u.RequestURI())
	if err != nil || sent.Path != u.Path || strings.Count(strings.ToLower(sent.EscapedPath()), "%2f") > 0 {
		t.Errorf("%q is sent on as %q, %v", u.Path, u.RequestURI(), err)
	}
	usual := norm.NFKC.String(u.Path)
	if got := path.Clean(usual); got != trimmed(usual) || strings.Count(usual, "/") != strings.Count(u.Path, "/") {
		t.Errorf("%q is folded to %q and cleaned to %q", u.Path, usual, got)
	}
	for _, odd := range []string{"/..", "/.", "//", "/../x", "/%2e", "/;", "\\", "\x00", "/ ", "\xff"} {
		if p := strings.TrimSuffix(u.Path, "/") + odd; localpath.Plain(&url.URL{Path: p}) {
			t.Errorf("%q is plain", p)
		}
	}
}

func TestPTH1_OddPaths(t *testing.T) {
	lines := corpus(t, "odd-paths.txt")
	if len(lines) < 150 {
		t.Errorf("only %d lines", len(lines))
	}
	for _, l := range lines {
		u, err := url.ParseRequestURI(l.in) // as net/http does
		if err != nil {
			t.Errorf("line %d: %q never reaches a handler: %v", l.number, l.in, err)
			continue
		}
		if localpath.Plain(u) {
			t.Errorf("line %d: %q is plain", l.number, l.in)
		}
	}
}

func TestPTH1_PlainPaths(t *testing.T) {
	for _, l := range corpus(t, "plain-paths.txt") {
		u, err := url.ParseRequestURI(l.in)
		if err != nil {
			t.Fatalf("line %d: %v", l.number, err)
		}
		if !localpath.Plain(u) {
			t.Errorf("line %d: %q is odd", l.number, l.in)
			continue
		}
		checkPlain(t, u)
	}
}

func TestPTH1_UnparsedURLs(t *testing.T) {
	for _, c := range []struct {
		what string
		u    url.URL
		want bool
	}{
		{"CONNECT has no path", url.URL{Host: "site.example:443"}, false},
		{"opaque", url.URL{Scheme: "a", Opaque: "/public"}, false},
		{"relative", url.URL{Path: "public"}, false},
		{"rewritten", url.URL{Path: "/public/x"}, true},
		{"rewritten to a dot segment", url.URL{Path: "/public/../x"}, false},
		{"both forms", url.URL{Path: "/a b", RawPath: "/a%20b"}, true},
		{"an encoded slash in a raw form that Go writes anew", url.URL{Path: `/a/"b`, RawPath: `/a%2f"b`}, false},
		{"an encoded slash in a raw form that does not fit", url.URL{Path: "/x", RawPath: "/a%2Fb"}, false},
	} {
		if got := localpath.Plain(&c.u); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, l := range corpus(f, "hostile-targets.txt") {
		f.Add(l.in)
	}
	f.Fuzz(func(t *testing.T, s string) { checkTarget(t, s) })
}

func FuzzPlain(f *testing.F) {
	for _, name := range []string{"odd-paths.txt", "plain-paths.txt"} {
		for _, l := range corpus(f, name) {
			f.Add(l.in)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err == nil && localpath.Plain(u) {
			checkPlain(t, u)
		}
	})
}

func BenchmarkPlain(b *testing.B) {
	u := &url.URL{Path: "/assets/pictures/2026/summer holidays.jpg", RawPath: "/assets/pictures/2026/summer%20holidays.jpg"}
	b.ReportAllocs()
	for b.Loop() {
		localpath.Plain(u)
	}
}
