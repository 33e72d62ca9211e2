package session_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

var (
	hostOnly = session.Cookies{Name: "captcha_gate"}
	wide     = session.Cookies{Name: "captcha_gate", Domain: "example.org"}
)

func TestSES8_SetCookie(t *testing.T) {
	for _, c := range []struct {
		what string
		set  func(http.ResponseWriter)
		want string
	}{
		{"session over https", func(w http.ResponseWriter) { hostOnly.SetSession(w, true, "TOKEN", 0) },
			"__Host-captcha_gate=TOKEN; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"session over http", func(w http.ResponseWriter) { hostOnly.SetSession(w, false, "TOKEN", 0) },
			"captcha_gate=TOKEN; Path=/; HttpOnly; SameSite=Lax"},
		{"remembered", func(w http.ResponseWriter) { hostOnly.SetSession(w, true, "TOKEN", 30*24*time.Hour) },
			"__Host-captcha_gate=TOKEN; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax"},
		{"domain over https", func(w http.ResponseWriter) { wide.SetSession(w, true, "TOKEN", 0) },
			"__Secure-captcha_gate=TOKEN; Path=/; Domain=example.org; HttpOnly; Secure; SameSite=Lax"},
		{"domain over http", func(w http.ResponseWriter) { wide.SetSession(w, false, "TOKEN", time.Minute) },
			"captcha_gate=TOKEN; Path=/; Domain=example.org; Max-Age=60; HttpOnly; SameSite=Lax"},
		{"cleared over https", func(w http.ResponseWriter) { hostOnly.ClearSession(w, true) },
			"__Host-captcha_gate=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"},
		{"cleared over http", func(w http.ResponseWriter) { hostOnly.ClearSession(w, false) },
			"captcha_gate=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"},
		{"cleared with a domain", func(w http.ResponseWriter) { wide.ClearSession(w, true) },
			"__Secure-captcha_gate=; Path=/; Domain=example.org; Max-Age=0; HttpOnly; Secure; SameSite=Lax"},
		{"browser over https", func(w http.ResponseWriter) { hostOnly.SetBrowser(w, true, "ID", 0) },
			"__Host-captcha_gate_browser=ID; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"browser over http", func(w http.ResponseWriter) { hostOnly.SetBrowser(w, false, "ID", 180*24*time.Hour) },
			"captcha_gate_browser=ID; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax"},
		{"browser with a domain", func(w http.ResponseWriter) { wide.SetBrowser(w, true, "ID", 0) },
			"__Secure-captcha_gate_browser=ID; Path=/; Domain=example.org; HttpOnly; Secure; SameSite=Lax"},
		{"pending over https", func(w http.ResponseWriter) { hostOnly.SetPending(w, true, "P", 15*time.Minute) },
			"__Host-captcha_gate_pending=P; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"},
		{"pending cleared", func(w http.ResponseWriter) { hostOnly.ClearPending(w, false) },
			"captcha_gate_pending=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"},
		{"language over https", func(w http.ResponseWriter) { hostOnly.SetLanguage(w, true, "zh-Hant") },
			"__Host-captcha_gate_lang=zh-Hant; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"},
		{"language over http", func(w http.ResponseWriter) { hostOnly.SetLanguage(w, false, "de") },
			"captcha_gate_lang=de; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"},
		{"language with a domain", func(w http.ResponseWriter) { wide.SetLanguage(w, true, "de") },
			"__Secure-captcha_gate_lang=de; Path=/; Domain=example.org; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"},
		{"longer than a number holds everywhere", func(w http.ResponseWriter) { hostOnly.SetSession(w, true, "T", math.MaxInt64) },
			"__Host-captcha_gate=T; Path=/; Max-Age=2147483647; HttpOnly; Secure; SameSite=Lax"},
	} {
		w := httptest.NewRecorder()
		c.set(w)
		if got := w.Header()["Set-Cookie"]; !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: got %q", c.what, got)
		}
		if len(c.want) > 4096 {
			t.Errorf("%s: too long for a browser", c.what)
		}
	}
}

// TestWhatIsSetIsTaken is one round trip for each kind of connection.
func TestWhatIsSetIsTaken(t *testing.T) {
	for _, c := range []session.Cookies{hostOnly, wide, {Name: "g"}} {
		for _, secure := range []bool{false, true} {
			w := httptest.NewRecorder()
			c.SetSession(w, secure, "TOKEN", time.Hour)
			c.SetBrowser(w, secure, "ID", 0)
			c.SetLanguage(w, secure, "de")
			r := httptest.NewRequest("GET", "/", nil)
			for _, cookie := range w.Result().Cookies() {
				r.AddCookie(cookie)
			}
			p := c.Take(r.Header, secure)
			if !slices.Equal(p.Sessions(), []string{"TOKEN"}) || !slices.Equal(p.Browsers(), []string{"ID"}) || !slices.Equal(p.Languages(), []string{"de"}) {
				t.Errorf("%+v, secure %t: %q, %q, %q", c, secure, p.Sessions(), p.Browsers(), p.Languages())
			}
			if _, ok := r.Header["Cookie"]; ok {
				t.Errorf("%+v, secure %t: left %q", c, secure, r.Header["Cookie"])
			}
		}
	}
}

type taken struct {
	lines    []string
	left     []string // nil: no Cookie header
	sessions []string
	browsers []string
}

func checkTake(t *testing.T, c session.Cookies, secure bool, k taken) {
	t.Helper()
	h := http.Header{"Cookie": slices.Clone(k.lines), "X": {"y"}}
	p := c.Take(h, secure)
	if got, ok := h["Cookie"]; !slices.Equal(got, k.left) || ok != (k.left != nil) {
		t.Errorf("%q: left %q, want %q", k.lines, got, k.left)
	}
	if !slices.Equal(p.Sessions(), k.sessions) || !slices.Equal(p.Browsers(), k.browsers) {
		t.Errorf("%q: took %q and %q, want %q and %q", k.lines, p.Sessions(), p.Browsers(), k.sessions, k.browsers)
	}
	if h.Get("X") != "y" {
		t.Errorf("%q: another header changed", k.lines)
	}
}

func TestSES12_NothingOfTheGateGoesOn(t *testing.T) {
	for _, k := range []taken{
		{lines: []string{"__Host-captcha_gate=T"}, sessions: []string{"T"}},
		{lines: []string{"__Host-captcha_gate_browser=B"}, browsers: []string{"B"}},
		{lines: []string{"__Host-captcha_gate=T; __Host-captcha_gate_browser=B"}, sessions: []string{"T"}, browsers: []string{"B"}},
		// where it stands
		{lines: []string{"__Host-captcha_gate=T; a=1"}, left: []string{"a=1"}, sessions: []string{"T"}},
		{lines: []string{"a=1; __Host-captcha_gate=T"}, left: []string{"a=1"}, sessions: []string{"T"}},
		{lines: []string{"a=1; __Host-captcha_gate=T; b=2"}, left: []string{"a=1; b=2"}, sessions: []string{"T"}},
		{lines: []string{"a=1;__Host-captcha_gate=T;b=2"}, left: []string{"a=1;b=2"}, sessions: []string{"T"}},
		{lines: []string{"a=1", "__Host-captcha_gate=T", "b=2"}, left: []string{"a=1", "b=2"}, sessions: []string{"T"}},
		{lines: []string{"b=2; a=1", "c=3; __Host-captcha_gate=T"}, left: []string{"b=2; a=1", "c=3"}, sessions: []string{"T"}},
		// spellings that are cut but not believed
		{lines: []string{"captcha_gate=T; a=1"}, left: []string{"a=1"}},
		{lines: []string{"__Secure-captcha_gate=T; a=1"}, left: []string{"a=1"}},
		{lines: []string{"__Host-__Secure-captcha_gate=T; a=1"}, left: []string{"a=1"}},
		{lines: []string{"captcha_gate_browser=B; a=1; __Secure-captcha_gate_browser=C"}, left: []string{"a=1"}},
		{lines: []string{"captcha_gate_pending=P; a=1; __Secure-captcha_gate_pending=Q; __Host-captcha_gate_pending=R"}, left: []string{"a=1"}},
		{lines: []string{"captcha_gate_lang=de; a=1; __Secure-captcha_gate_lang=fr; __Host-captcha_gate_lang=ru"}, left: []string{"a=1"}},
		{lines: []string{"captcha_gate; a=1; captcha_gate=; captcha_gate_browser"}, left: []string{"a=1"}},
		// without a value
		{lines: []string{"__Host-captcha_gate"}, sessions: []string{""}},
		{lines: []string{"__Host-captcha_gate="}, sessions: []string{""}},
		{lines: []string{"__Host-captcha_gate=a=b=c"}, sessions: []string{"a=b=c"}},
		// blanks
		{lines: []string{" \t__Host-captcha_gate \t= \tT \t; a=1"}, left: []string{"a=1"}, sessions: []string{"T"}},
		{lines: []string{"a = 1 ;  b\t=\t2 ; __Host-captcha_gate=T ;   c = 3 "}, left: []string{"a = 1 ;  b\t=\t2 ;   c = 3 "}, sessions: []string{"T"}},
		// quotes do not hide a cookie, wherever they begin
		{lines: []string{`a="x; __Host-captcha_gate=T; b=y"`}, left: []string{`a="x; b=y"`}, sessions: []string{"T"}},
		{lines: []string{`$Version=1; a="; __Host-captcha_gate=T; b="`}, left: []string{`$Version=1; a="; b="`}, sessions: []string{"T"}},
		{lines: []string{`__Host-captcha_gate="T"; a="q;r"`}, left: []string{`a="q;r"`}, sessions: []string{`"T"`}},
		// empty parts
		{lines: []string{"__Host-captcha_gate=T;"}, sessions: []string{"T"}},
		{lines: []string{"; ;__Host-captcha_gate=T; ;\t;"}, sessions: []string{"T"}},
		{lines: []string{";; a=1;;__Host-captcha_gate=T;; b=2;"}, left: []string{";; a=1;;; b=2;"}, sessions: []string{"T"}},
		{lines: []string{"=x; __Host-captcha_gate=T; =; y"}, left: []string{"=x; =; y"}, sessions: []string{"T"}},
		{lines: []string{"", "__Host-captcha_gate=T", "a=1;"}, left: []string{"a=1;"}, sessions: []string{"T"}},
	} {
		checkTake(t, hostOnly, true, k)
	}
}

func TestSES6_ThePendingCookieIsNeitherSessionNorBrowser(t *testing.T) {
	h := http.Header{"Cookie": {"__Host-captcha_gate_pending=P; __Host-captcha_gate_pending=Q; a=1"}}
	p := hostOnly.Take(h, true)
	if !slices.Equal(p.Pendings(), []string{"P", "Q"}) || len(p.Sessions())+len(p.Browsers()) != 0 {
		t.Errorf("took %q, %q, %q", p.Pendings(), p.Sessions(), p.Browsers())
	}
}

func TestTheLanguageCookieIsTakenAndBounded(t *testing.T) {
	h := http.Header{"Cookie": {"captcha_gate_lang=de; a=1; " + strings.Repeat("captcha_gate_lang=fr; ", 100) + "captcha_gate_lang"}}
	p := hostOnly.Take(h, false)
	if !slices.Equal(p.Languages(), []string{"de", "fr", "fr", "fr"}) || len(p.Sessions())+len(p.Browsers())+len(p.Pendings()) != 0 {
		t.Errorf("took %q, %q, %q, %q", p.Languages(), p.Sessions(), p.Browsers(), p.Pendings())
	}
	if got := h["Cookie"]; !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("left %q", got)
	}
	p = hostOnly.Take(http.Header{"Cookie": {"captcha_gate_lang=de; __Host-captcha_gate_lang=ru"}}, true)
	if !slices.Equal(p.Languages(), []string{"ru"}) {
		t.Errorf("over https took %q", p.Languages())
	}
}

// TestSES12_BlanksThatOthersDrop: many programs strip more than HTTP's blanks
// from a name, so a neighbouring host can plant "\u2000__Host-..." past the
// browser's rules. Such a name is cut for the upstream, and never believed.
func TestSES12_BlanksThatOthersDrop(t *testing.T) {
	for _, blank := range []string{"\u2000", "\u00a0", "\u0085", "\u3000", "\u2028", "\v", "\f", "\x1f", "\x00", "\x7f", "\r\n"} {
		for _, name := range []string{"__Host-captcha_gate", "captcha_gate", "captcha_gate_browser", "captcha_gate_lang"} {
			checkTake(t, hostOnly, true, taken{lines: []string{"a=1; " + blank + name + "=x; " + name + blank + "=x"}, left: []string{"a=1"}})
		}
		checkTake(t, hostOnly, false, taken{lines: []string{blank + "captcha_gate=x; a=1"}, left: []string{"a=1"}})
	}
}

func TestSES12_OtherCookiesStayByteForByte(t *testing.T) {
	for _, line := range []string{
		"", " ", ";", " ; ;", "a=1", " a=1", "a=1;", ";a=1", "my_captcha_gate=1", "captcha_gate2=1", "captcha_gate_browser2=1",
		"captcha_gate_browsers=1", "captcha_gates=1", "xcaptcha_gate=1", "captcha_gate.x=1", "captcha_gate[x]=1", "CAPTCHA_GATE=1",
		"Captcha_Gate=1", "__host-captcha_gatex=1", "__Host-my_captcha_gate=1", "a=captcha_gate", "a=captcha_gate=1", "=captcha_gate=1",
		"a=__Host-captcha_gate", `"captcha_gate"=1`, "captcha gate=1", "captcha%5Fgate=1", "-captcha_gate=1", "captcha_gate_=1",
		"captcha_gate_brow=1", "captcha_gate_language=1", "captcha_gate_lan=1", "\x01a\xff=\xfe", "  captcha_gateway=1 ; b ",
	} {
		checkTake(t, hostOnly, true, taken{lines: []string{line}, left: []string{line}})
		if line != "" {
			checkTake(t, hostOnly, true, taken{lines: []string{"__Host-captcha_gate=T", line}, left: []string{line}, sessions: []string{"T"}})
		}
	}
	h := http.Header{}
	if p := hostOnly.Take(h, true); len(h) != 0 || len(p.Sessions()) != 0 {
		t.Errorf("without cookies: %v, %q", h, p.Sessions())
	}
}

func TestSES8_OnlyTheNameThatFitsTheConnectionIsBelieved(t *testing.T) {
	all := []string{"captcha_gate=plain; __Secure-captcha_gate=secure; __Host-captcha_gate=host; a=1; " +
		"captcha_gate_browser=plainB; __Secure-captcha_gate_browser=secureB; __Host-captcha_gate_browser=hostB"}
	for _, c := range []struct {
		cookies session.Cookies
		secure  bool
		want    string
	}{{hostOnly, true, "host"}, {hostOnly, false, "plain"}, {wide, true, "secure"}, {wide, false, "plain"}} {
		checkTake(t, c.cookies, c.secure, taken{
			lines: all, left: []string{"a=1"}, sessions: []string{c.want}, browsers: []string{c.want + "B"},
		})
	}
}

func TestSES10_SeveralCookiesOfTheName(t *testing.T) {
	for _, k := range []taken{
		{lines: []string{"captcha_gate=bad; captcha_gate=good"}, sessions: []string{"bad", "good"}},
		{lines: []string{"captcha_gate=good; captcha_gate=bad"}, sessions: []string{"good", "bad"}},
		{lines: []string{"captcha_gate=bad; a=1", "captcha_gate=good"}, left: []string{"a=1"}, sessions: []string{"bad", "good"}},
		{lines: []string{"captcha_gate=1; captcha_gate=2; captcha_gate=3; captcha_gate=4"}, sessions: []string{"1", "2", "3", "4"}},
		{lines: []string{"captcha_gate=1; captcha_gate=2; captcha_gate=3; captcha_gate=4; captcha_gate=5; b=1"}, left: []string{"b=1"}, sessions: []string{"1", "2", "3", "4"}},
		{lines: []string{strings.Repeat("captcha_gate=x; captcha_gate_browser=y; ", 1000) + "b=1"}, left: []string{"b=1"},
			sessions: []string{"x", "x", "x", "x"}, browsers: []string{"y", "y", "y", "y"}},
	} {
		checkTake(t, hostOnly, false, k)
	}
}

// TestSES10_ABadCookieDoesNotShadowTheGoodOne goes the whole way to the store.
func TestSES10_ABadCookieDoesNotShadowTheGoodOne(t *testing.T) {
	m, _, _ := newManager(t, limits)
	good, _ := start(t, m, false)
	bad := strings.Repeat("A", len(good))
	for _, line := range []string{
		"captcha_gate=" + bad + "; captcha_gate=" + good, "captcha_gate=" + good + "; captcha_gate=" + bad,
		"captcha_gate; captcha_gate=; captcha_gate=\"x; captcha_gate=" + good,
	} {
		p := hostOnly.Take(http.Header{"Cookie": {line}}, false)
		if !slices.ContainsFunc(p.Sessions(), func(token string) bool { return found(t, m, token) }) {
			t.Errorf("%q: not signed in", line)
		}
	}
}

// TestINP3_ManyCookies: net/http gives none at all beyond 3,000.
func TestINP3_ManyCookies(t *testing.T) {
	var line strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&line, "c%d=%d; ", i, i)
	}
	others := strings.TrimSuffix(line.String(), "; ")
	checkTake(t, hostOnly, true, taken{lines: []string{others + "; __Host-captcha_gate=T"}, left: []string{others}, sessions: []string{"T"}})
	checkTake(t, hostOnly, true, taken{lines: []string{"__Host-captcha_gate=T; " + others}, left: []string{others}, sessions: []string{"T"}})
	lines := append(strings.Split(others, "; "), "__Host-captcha_gate=T")
	checkTake(t, hostOnly, true, taken{lines: lines, left: lines[:3000], sessions: []string{"T"}})
	name := strings.Repeat("n", 1<<20)
	checkTake(t, hostOnly, true, taken{lines: []string{name + "=captcha_gate"}, left: []string{name + "=captcha_gate"}})
}

func TestTakeWithoutTheGatesCookiesAllocatesNothing(t *testing.T) {
	h := http.Header{"Cookie": {"a=1; b=2", "theme=dark"}}
	if n := testing.AllocsPerRun(100, func() { hostOnly.Take(h, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// gateNames are the names under which the gate's cookies could be known.
var gateNames = []string{
	"captcha_gate", "__Host-captcha_gate", "__Secure-captcha_gate", "__Host-__Secure-captcha_gate",
	"captcha_gate_browser", "__Host-captcha_gate_browser", "__Secure-captcha_gate_browser", "__Host-__Secure-captcha_gate_browser",
	"captcha_gate_pending", "__Host-captcha_gate_pending", "__Secure-captcha_gate_pending", "__Host-__Secure-captcha_gate_pending",
	"captcha_gate_lang", "__Host-captcha_gate_lang", "__Secure-captcha_gate_lang", "__Host-__Secure-captcha_gate_lang",
}

func parse(lines []string) []http.Cookie {
	var all []http.Cookie
	for _, c := range (&http.Request{Header: http.Header{"Cookie": lines}}).Cookies() {
		all = append(all, *c)
	}
	return all
}

// FuzzCookieHeader compares with net/http's own parser: none of the gate's
// cookies is left, every other is as and where it was, and none of the gate's is
// overlooked.
func FuzzCookieHeader(f *testing.F) {
	f.Add("a=1; __Host-captcha_gate=T; b=2", "", true, false)
	f.Add("captcha_gate=T;captcha_gate_browser=\"B\"", "c=3", false, false)
	f.Add(`a="x; __Secure-captcha_gate=T; b=y"`, " ; ", true, true)
	f.Add("captcha_gate; =; ;;captcha_gate=1;captcha_gate=2;captcha_gate=3", "captcha_gate=4; captcha_gate=5", false, true)
	f.Add("captcha_gate_lang=de; a=1", "__Host-captcha_gate_lang=fr", true, false)
	f.Add("\u2000__Host-captcha_gate=x", "my_captcha_gate_browser=1; a", true, false)
	f.Fuzz(func(t *testing.T, line1, line2 string, secure, domain bool) {
		if strings.Count(line1+line2, ";") > 2500 {
			return // net/http gives up
		}
		c := hostOnly
		if domain {
			c = wide
		}
		h := http.Header{"Cookie": {line1, line2}}
		before := parse(h["Cookie"])
		p := c.Take(h, secure)
		after := parse(h["Cookie"])

		var want []http.Cookie
		for _, cookie := range before {
			if !slices.Contains(gateNames, cookie.Name) {
				want = append(want, cookie)
			}
		}
		if !reflect.DeepEqual(after, want) {
			t.Errorf("left %q of %q", h["Cookie"], []string{line1, line2})
		}
		for _, part := range strings.Split(strings.Join(h["Cookie"], ";"), ";") {
			name, _, _ := strings.Cut(part, "=")
			if slices.Contains(gateNames, strings.TrimFunc(name, unicode.IsSpace)) {
				t.Errorf("%q is left", part)
			}
		}

		prefix := map[bool]string{false: "", true: "__Host-"}[secure]
		if secure && domain {
			prefix = "__Secure-"
		}
		for _, kind := range []struct {
			name   string
			values []string
		}{{prefix + "captcha_gate", p.Sessions()}, {prefix + "captcha_gate_browser", p.Browsers()}, {prefix + "captcha_gate_pending", p.Pendings()}, {prefix + "captcha_gate_lang", p.Languages()}} {
			if len(kind.values) == 4 || strings.ContainsAny(line1+line2, "\r\n") {
				continue // there may have been more; net/http drops line ends around a name, which no server lets in
			}
			for _, cookie := range before {
				value := cookie.Value
				if cookie.Quoted {
					value = `"` + value + `"`
				}
				if cookie.Name == kind.name && !slices.ContainsFunc(kind.values, func(v string) bool {
					return strings.TrimSpace(v) == strings.TrimSpace(value)
				}) {
					t.Errorf("%s=%s is not among %q", kind.name, value, kind.values)
				}
			}
		}

		left := slices.Clone(h["Cookie"])
		if again := c.Take(h, secure); len(again.Sessions())+len(again.Browsers()) != 0 || !slices.Equal(h["Cookie"], left) {
			t.Errorf("a second time took %q and %q and left %q of %q", again.Sessions(), again.Browsers(), h["Cookie"], left)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	token := strings.Repeat("T", 43)
	for _, c := range []struct{ name, line string }{
		{"signed in", "theme=dark; __Host-captcha_gate=" + token + "; _ga=GA1.2.345; __Host-captcha_gate_browser=" + strings.Repeat("B", 90)},
		{"nothing of the gate", "theme=dark; _ga=GA1.2.345"},
		{"no cookies", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			lines := []string{c.line}
			h := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				if c.line != "" {
					h["Cookie"] = lines
				}
				hostOnly.Take(h, true)
			}
		})
	}
}
