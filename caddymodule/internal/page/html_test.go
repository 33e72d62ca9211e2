package page

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// testNow is the clock of every site in these tests.
var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// newSite makes a site, or takes the one without wishes that all tests share.
func newSite(t testing.TB, o Options) *Site {
	t.Helper()
	if reflect.ValueOf(o).IsZero() {
		s, err := plainSite()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	o.Now = func() time.Time { return testNow }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var plainSite = sync.OnceValues(func() (*Site, error) {
	return New(Options{Now: func() time.Time { return testNow }})
})

// signInView is a sign-in page as it is asked for most often.
func signInView() View {
	return View{
		Lang: "en", BasePath: "/captcha-gate", LoginPath: "/login", LogoutPath: "/logout",
		ReturnTo: "/wiki?page=1", RememberOffered: true, RefreshURL: "/login?rd=%2Fwiki",
		ListenURL: "/login?kind=audio&rd=%2Fwiki", WorkOffered: true, WorkSilent: true,
		Voices: []Voice{{Tag: "en", Name: "English"}, {Tag: "ar", Name: "العربية"}}, VoiceTag: "en",
		Captcha: &Captcha{
			Token: strings.Repeat("Ab3", 50), ImageURL: "/captcha-gate/challenge/" + strings.Repeat("Ab3", 50) + ".png",
			Width: 240, Height: 80, ExpiresAt: testNow.Add(5 * time.Minute),
		},
	}
}

// accountView is for the pages of sign-up, the second step and the account, with
// everything that they can show.
func accountView() View {
	v := signInView()
	v.SignUpOffered, v.AccountOffered, v.ChangeOffered, v.EmailAsked, v.EmailNeeded = true, true, true, true, true
	v.FormToken, v.PasswordMin, v.SignedInAs, v.Email = "form-token", 15, "alice", "alice@example.com"
	v.Since = testNow.Add(-time.Hour)
	v.Sessions = []Session{
		{ID: "s1", Browser: "Firefox on Linux", Network: "192.0.2.0/24", Since: v.Since, Seen: testNow, Current: true},
		{ID: "s2", Browser: "Safari on iPhone", Network: "2001:db8::/64", Since: v.Since, Seen: testNow},
		{ID: "s3", Browser: "Chrome on Windows", Network: "198.51.100.0/24", Since: v.Since, Seen: testNow},
	}
	v.Channel, v.Destination, v.Digits, v.SecondsLeft, v.ResendIn = "sms", "+49 ••• ••12", 6, 600, 42
	return v
}

// with returns a sign-in view with changes.
func with(change func(*View)) View {
	v := signInView()
	change(&v)
	return v
}

func render(t testing.TB, s *Site, name string, v View) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Render(&b, name, v); err != nil {
		t.Fatalf("Render(%s): %v", name, err)
	}
	return b.String()
}

// document is a page as a browser without scripts sees it.
type document []*html.Node

func parse(t testing.TB, page string) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			d = append(d, n)
		}
	}
	return d
}

func (d document) tags() []string {
	var tags []string
	for _, n := range d {
		tags = append(tags, n.Data)
	}
	return tags
}

// find is the first element with an attribute of this value, or nil.
func (d document) find(attribute, value string) *html.Node {
	for _, n := range d {
		if got, ok := attr(n, attribute); ok && got == value {
			return n
		}
	}
	return nil
}

// must is find for an element that a test cannot do without.
func (d document) must(t testing.TB, attribute, value string) *html.Node {
	t.Helper()
	n := d.find(attribute, value)
	if n == nil {
		t.Fatalf("no element with %s=%q", attribute, value)
	}
	return n
}

// all are the elements that have an attribute.
func (d document) all(attribute string) []*html.Node {
	var nodes []*html.Node
	for _, n := range d {
		if _, ok := attr(n, attribute); ok {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func wantAttr(t testing.TB, n *html.Node, name, want string) {
	t.Helper()
	if got, ok := attr(n, name); !ok || got != want {
		t.Errorf("<%s> %s = %q (there: %v), want %q", n.Data, name, got, ok, want)
	}
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}
