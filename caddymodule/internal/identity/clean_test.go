package identity_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/identity"
)

func newHeaders(t testing.TB, user, email string) identity.Headers {
	t.Helper()
	h, err := identity.New(user, email)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// request makes what a handler gets, with exactly these map keys.
func request(header http.Header) *http.Request {
	return &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Header: header, Body: http.NoBody}
}

func aliases(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/aliases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "# ") {
			names = append(names, line)
		}
	}
	return names
}

func TestHDR1_EveryAliasIsRemoved(t *testing.T) {
	names := aliases(t)
	if len(names) < 80 {
		t.Fatalf("only %d aliases", len(names))
	}
	h := newHeaders(t, "", "")
	for _, name := range names {
		for _, key := range []string{name, textproto.CanonicalMIMEHeaderKey(name), strings.ToLower(name)} {
			r := request(http.Header{key: {"admin"}, "Accept": {"*/*"}})
			r.Trailer = http.Header{key: {"admin"}, "Digest": {"1"}}
			h.Clean(r)
			if want := (http.Header{"Accept": {"*/*"}}); !reflect.DeepEqual(r.Header, want) {
				t.Errorf("%q: header is %v", key, r.Header)
			}
			if want := (http.Header{"Digest": {"1"}}); !reflect.DeepEqual(r.Trailer, want) {
				t.Errorf("%q: trailer is %v", key, r.Trailer)
			}
		}
	}
}

func TestHDR1_AllAliasesAtOnceAndEveryValue(t *testing.T) {
	h := newHeaders(t, "", "")
	header := http.Header{}
	for _, name := range aliases(t) {
		header[name] = []string{"admin", "root"}
	}
	r := request(header)
	h.Clean(r)
	if len(r.Header) != 0 {
		t.Errorf("left: %v", r.Header)
	}
	h.Set(r.Header, "bob", "")
	if want := (http.Header{"Remote-User": {"bob"}}); !reflect.DeepEqual(r.Header, want) {
		t.Errorf("got %v", r.Header)
	}
}

func TestInnocentHeadersStay(t *testing.T) {
	h := newHeaders(t, "", "")
	header := http.Header{}
	for _, name := range []string{
		"Remote", "User", "Remoteuser", "Remote-Users", "Remote-Use", "Remote--User", "X-Remote-User", "-Remote-User",
		"Remote-User-", "Remote-User-Agent", "User-Remote", "Remote1User", "Remotexuser", "Remote-Usér", "Remote-Addr",
		"Remote-Emails", "Remote-Group", "Remote-Names", "Remote-Nam", "User-Agent", "Authorization", "Accept",
		"X-Forwarded-For", "X-Forwarded-User", "Remote-Uſer", "Remote–User", "", "-",
	} {
		header[name] = []string{"v1", "v2"}
	}
	r := request(maps.Clone(header))
	h.Clean(r)
	if !reflect.DeepEqual(r.Header, header) {
		for name := range header {
			if _, ok := r.Header[name]; !ok {
				t.Errorf("%q was removed", name)
			}
		}
	}
}

func TestHDR4_ConfiguredNamesAreCleanedBesideTheDefaults(t *testing.T) {
	h := newHeaders(t, "x-AUTH_user", "X-Mail")
	r := request(http.Header{
		"X-Auth-User": {"a"}, "X-Auth_user": {"a"}, "x.auth.user": {"a"}, "X-AUTH~USER": {"a"}, "x_mail": {"a"},
		"X-Mail": {"a"}, "Remote-User": {"a"}, "Remote-Email": {"a"}, "Remote-Groups": {"a"}, "Remote-Name": {"a"},
		"X-Mailer": {"kept"}, "X-Auth-Users": {"kept"},
	})
	h.Clean(r)
	if want := (http.Header{"X-Mailer": {"kept"}, "X-Auth-Users": {"kept"}}); !reflect.DeepEqual(r.Header, want) {
		t.Errorf("got %v", r.Header)
	}
}

func TestHDR2_ConnectionNamesNothingOfTheRequest(t *testing.T) {
	h := newHeaders(t, "", "")
	for _, c := range []struct {
		lines []string
		want  []string // nil: no Connection at all
	}{
		{[]string{"keep-alive"}, []string{"keep-alive"}},
		{[]string{"close"}, []string{"close"}},
		{[]string{"Close"}, []string{"close"}},
		{[]string{"Keep-Alive"}, []string{"keep-alive"}},
		{[]string{"close, Remote-User"}, []string{"close"}},
		{[]string{"Remote-User, close"}, []string{"close"}},
		{[]string{"close,Remote-User,X-Forwarded-For,X-Forwarded-Host,X-Forwarded-Proto"}, []string{"close"}},
		{[]string{"remote-user"}, nil},
		{[]string{"REMOTE-USER"}, nil},
		{[]string{"Remote_User, Remote-Email, Cookie, Authorization"}, nil},
		{[]string{"close", "Remote-User"}, []string{"close"}},
		{[]string{"Remote-User", "keep-alive"}, []string{"keep-alive"}},
		{[]string{"keep-alive", "close"}, []string{"keep-alive, close"}},
		{[]string{"TE, close"}, []string{"te, close"}},
		{[]string{"te"}, []string{"te"}},
		{[]string{"  \tclose \t , \t Remote-User\t"}, []string{"close"}},
		{[]string{",,close,,"}, []string{"close"}},
		{[]string{", ,\t,"}, nil},
		{[]string{""}, nil},
		{[]string{}, nil},
		{[]string{"close;Remote-User"}, nil},
		{[]string{"close Remote-User"}, nil},
		{[]string{"\"close, Remote-User\""}, nil},
		{[]string{"close\v, Remote-User"}, nil},
		{[]string{"upgrade"}, nil}, // there is nothing to upgrade to
		{[]string{"keep-alive, Upgrade"}, []string{"keep-alive"}},
		{[]string{"Upgrade, HTTP2-Settings"}, nil},
		{[]string{"transfer-encoding, content-length, host"}, nil},
	} {
		r := request(http.Header{"Connection": c.lines})
		h.Clean(r)
		if got, ok := r.Header["Connection"]; !slices.Equal(got, c.want) || ok != (c.want != nil) {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestHDR3_OnlyWebSocketMayUpgrade(t *testing.T) {
	h := newHeaders(t, "", "")
	for _, c := range []struct {
		upgrade, connection []string
		want                http.Header
	}{
		{[]string{"websocket"}, []string{"Upgrade"}, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		{[]string{"WebSocket"}, []string{"upgrade"}, http.Header{"Upgrade": {"WebSocket"}, "Connection": {"Upgrade"}}},
		{[]string{"websocket"}, []string{"keep-alive, Upgrade"}, http.Header{"Upgrade": {"websocket"}, "Connection": {"keep-alive, Upgrade"}}},
		{[]string{"websocket"}, []string{"Upgrade, Remote-User"}, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		{[]string{"websocket"}, []string{"Remote-User", "upgrade"}, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		{[]string{"websocket"}, []string{"Upgrade, HTTP2-Settings"}, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		{[]string{"h2c"}, []string{"Upgrade, HTTP2-Settings"}, http.Header{}},
		{[]string{"H2C"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"h2"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"TLS/1.0"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"websocket, h2c"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"h2c, websocket"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"websocket", "h2c"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"h2c", "websocket"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"websocket", "websocket"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"websocket/13"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"websocket,"}, []string{"Upgrade"}, http.Header{}},
		{[]string{"webſocket"}, []string{"keep-alive"}, http.Header{"Connection": {"keep-alive"}}},
		{[]string{""}, []string{"Upgrade, close"}, http.Header{"Connection": {"close"}}},
		{[]string{}, []string{"Upgrade, close"}, http.Header{"Connection": {"close"}}},
		{nil, nil, http.Header{}},
	} {
		r := request(http.Header{"Http2-Settings": {"AAMAAABkAAQAAP__"}})
		if c.upgrade != nil {
			r.Header["Upgrade"] = c.upgrade
		}
		if c.connection != nil {
			r.Header["Connection"] = c.connection
		}
		h.Clean(r)
		if !reflect.DeepEqual(r.Header, c.want) {
			t.Errorf("Upgrade %q, Connection %q: got %v, want %v", c.upgrade, c.connection, r.Header, c.want)
		}
	}
}

// TestHDR2_IdentityArrivesThroughAProxy sends raw bytes through a server and a
// reverse proxy, which deletes what Connection names, to an upstream.
func TestHDR2_IdentityArrivesThroughAProxy(t *testing.T) {
	got := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() }))
	defer upstream.Close()
	to, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := newHeaders(t, "", "")
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Clean(r)
		h.Set(r.Header, "bob", "")
		proxy.ServeHTTP(w, r)
	}))
	defer gate.Close()

	for _, lines := range []string{
		"Connection: close, Remote-User",
		"Connection: Remote-User\r\nConnection: close",
		"Connection: Upgrade, HTTP2-Settings, Remote-User\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
		"connection: close\r\nREMOTE-user: admin\r\nRemote_User: admin\r\nRemote.User: admin",
	} {
		raw(t, gate, "GET / HTTP/1.1\r\nHost: site.example\r\n"+lines+"\r\n\r\n")
		header := <-got
		if want := []string{"bob"}; !slices.Equal(header["Remote-User"], want) {
			t.Errorf("%q: Remote-User is %q", lines, header["Remote-User"])
		}
		for name := range header {
			if name != "Remote-User" && identity.Fold(name) == "remote-user" || name == "Upgrade" || name == "Http2-Settings" {
				t.Errorf("%q: %s arrived", lines, name)
			}
		}
	}
}

// raw sends text to a server and reads one reply.
func raw(t *testing.T, s *httptest.Server, text string) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Errorf("%q: status %d", text, reply.StatusCode)
	}
}

// TestHDR1_TrailersAreCleanedWhenTheyArrive: a trailer comes after the body, and
// HTTP/1 takes those too that were never announced.
func TestHDR1_TrailersAreCleanedWhenTheyArrive(t *testing.T) {
	h := newHeaders(t, "", "")
	type key struct{}
	for _, c := range []struct{ name, announce, trailers string }{
		{"announced", "Trailer: Remote-User, Digest\r\n", "Remote-User: admin\r\nDigest: 1\r\n"},
		{"one announced, another sent", "Trailer: Digest\r\n", "remote-USER: admin\r\nRemote_Email: x\r\nDigest: 1\r\n"},
		{"none announced", "", "Remote-User: admin\r\nRemote.User: admin\r\nDigest: 1\r\n"},
	} {
		for _, how := range []string{"read", "close", "read a copy"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				got := make(chan http.Header, 1)
				s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					h.Clean(r)
					if how == "read a copy" {
						r = r.WithContext(context.WithValue(r.Context(), key{}, 1))
					}
					if how != "close" {
						if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello" {
							t.Errorf("body %q, %v", body, err)
						}
					} else if err := r.Body.Close(); err != nil {
						t.Error(err)
					}
					got <- r.Trailer.Clone() // right after the end, as reverse_proxy does
				}))
				defer s.Close()
				raw(t, s, "POST / HTTP/1.1\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"+c.announce+
					"\r\n5\r\nhello\r\n0\r\n"+c.trailers+"\r\n")
				trailer := <-got
				for name := range trailer {
					if strings.HasPrefix(identity.Fold(name), "remote-") {
						t.Errorf("%s arrived: %v", name, trailer)
					}
				}
				if c.announce != "" && trailer.Get("Digest") != "1" && how != "close" {
					t.Errorf("the innocent trailer is gone: %v", trailer)
				}
			})
		}
	}
}

func TestABodyWithoutTrailersIsNotWrapped(t *testing.T) {
	h := newHeaders(t, "", "")
	body := io.NopCloser(strings.NewReader("x"))
	for _, length := range []int64{0, 1} {
		r := request(http.Header{})
		r.Body, r.ContentLength = body, length
		h.Clean(r)
		if r.Body != body {
			t.Errorf("a body of %d bytes was wrapped", length)
		}
	}
	for _, none := range []io.ReadCloser{nil, http.NoBody} {
		r := request(http.Header{})
		r.Body, r.ContentLength, r.Trailer = none, -1, http.Header{"Digest": nil}
		h.Clean(r)
		if r.Body != none {
			t.Errorf("%v was wrapped", none)
		}
	}
}

func typical() http.Header {
	return http.Header{
		"Accept": {"text/html"}, "Accept-Encoding": {"gzip, br"}, "Accept-Language": {"en"}, "Connection": {"keep-alive"},
		"Cookie": {"a=1"}, "Referer": {"https://site.example/"}, "Sec-Fetch-Mode": {"navigate"}, "User-Agent": {"Mozilla/5.0"},
		"X-Forwarded-For": {"192.0.2.1"},
	}
}

func TestCleanOfATypicalRequestAllocatesNothing(t *testing.T) {
	h := newHeaders(t, "", "")
	r := request(typical())
	if n := testing.AllocsPerRun(100, func() { h.Clean(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !reflect.DeepEqual(r.Header, typical()) {
		t.Errorf("changed to %v", r.Header)
	}
}

func BenchmarkClean(b *testing.B) {
	h := newHeaders(b, "", "")
	r := request(typical())
	b.ReportAllocs()
	for b.Loop() {
		h.Clean(r)
	}
}

func ExampleHeaders() {
	h, err := identity.New("", "")
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Remote_User", "admin")
	h.Clean(r)
	h.Set(r.Header, "Zoë, the second", "")
	fmt.Println(r.Header)
	// Output: map[Remote-User:[Zo%C3%AB%2C the second]]
}
