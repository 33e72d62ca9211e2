package doctor

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// heard runs a check and returns what it said.
func heard(e *examination, check func()) (found []Finding) {
	e.report = func(f Finding) { found = append(found, f) }
	check()
	return found
}

func worst(found []Finding) Level {
	level := OK
	for _, f := range found {
		if f.Level == Problem || f.Level == Warning && level == OK {
			level = f.Level
		}
	}
	return level
}

func TestCookiesThatBrowsersRefuse(t *testing.T) {
	host := http.Cookie{Name: "__Host-gate_browser", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	plain := http.Cookie{Name: "gate_browser", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	with := func(c http.Cookie, change func(*http.Cookie)) http.Cookie { change(&c); return c }
	for name, c := range map[string]struct {
		url    string
		cookie http.Cookie
		kept   bool
		want   Level
	}{
		"https":                      {"https://a.example", host, true, OK},
		"http":                       {"http://a.example", plain, true, OK},
		"https not told":             {"https://a.example", plain, true, Problem},
		"https told of http":         {"http://a.example", host, false, Problem},
		"secure over http":           {"http://a.example", with(plain, func(c *http.Cookie) { c.Secure = true }), false, Problem},
		"__Host- with a domain":      {"https://a.example", with(host, func(c *http.Cookie) { c.Domain = "example" }), false, Problem},
		"__Host- with a path":        {"https://a.example", with(host, func(c *http.Cookie) { c.Path = "/app" }), false, Problem},
		"__Host- not secure":         {"https://a.example", with(host, func(c *http.Cookie) { c.Secure = false }), false, Problem},
		"domain of the host":         {"http://a.example", with(plain, func(c *http.Cookie) { c.Domain = "a.example" }), true, OK},
		"domain above":               {"http://b.a.example", with(plain, func(c *http.Cookie) { c.Domain = ".A.example" }), true, OK},
		"domain elsewhere":           {"http://a.example", with(plain, func(c *http.Cookie) { c.Domain = "b.example" }), false, Problem},
		"domain with the same end":   {"http://ba.example", with(plain, func(c *http.Cookie) { c.Domain = "a.example" }), false, Problem},
		"domain for an address":      {"http://127.0.0.1", with(plain, func(c *http.Cookie) { c.Domain = "0.0.1" }), false, Problem},
		"shown to scripts":           {"http://a.example", with(plain, func(c *http.Cookie) { c.HttpOnly = false }), true, Warning},
		"__Secure- with its domain":  {"https://a.example", with(host, func(c *http.Cookie) { c.Name, c.Domain = "__Secure-gate_browser", "a.example" }), true, OK},
		"__Secure- that is not, too": {"https://a.example", with(host, func(c *http.Cookie) { c.Name, c.Secure = "__Secure-gate_browser", false }), false, Problem},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			e := &examination{Visit: Visit{URL: at}}
			var kept bool
			found := heard(e, func() { kept = e.judgeCookie("cookie", &c.cookie) })
			if kept != c.kept || worst(found) != c.want {
				t.Errorf("kept %v, want %v; %s, want %s: %v", kept, c.kept, worst(found), c.want, found)
			}
		})
	}
}

func TestAnswersFromACache(t *testing.T) {
	for header, hit := range map[[2]string]bool{
		{"Age", "12"}: true, {"Age", "0"}: false, {"X-Cache", "HIT"}: true, {"X-Cache", "Hit from cloudfront"}: true,
		{"X-Cache", "MISS"}: false, {"CF-Cache-Status", "DYNAMIC"}: false, {"CF-Cache-Status", "HIT"}: true,
		{"Cache-Status", "proxy; hit"}: true, {"Cache-Status", "proxy; fwd=miss"}: false, {"", ""}: false,
	} {
		a := answer{header: http.Header{}}
		a.header.Set(header[0], header[1])
		if got := cacheHit(a); (got != "") != hit {
			t.Errorf("%v: %q", header, got)
		}
	}
}

func TestClocksApart(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for skew, want := range map[time.Duration]Level{
		0: OK, 50 * time.Second: OK, -50 * time.Second: OK, 2 * time.Minute: Problem, -time.Hour: Problem,
	} {
		e := &examination{}
		a := answer{header: http.Header{"Date": {now.Add(skew).Format(http.TimeFormat)}}, asked: now, got: now.Add(time.Second)}
		if found := heard(e, func() { e.checkClock(a) }); worst(found) != want {
			t.Errorf("%v: %v", skew, found)
		}
	}
}

// The site is on another machine, 203.0.113.80, and the doctor at local.
func TestWhereTheGateSeesVisitors(t *testing.T) {
	for name, c := range map[string]struct {
		local, seen, proxy string
		want               Level
	}{
		"as they are":              {"198.51.100.7", "198.51.100.0/24", "", OK},
		"as a proxy beside it":     {"198.51.100.7", "127.0.0.0/24", "", Problem},
		"as the address asked":     {"198.51.100.7", "203.0.113.0/24", "", Problem},
		"as the gateway's":         {"192.168.1.5", "198.51.100.0/24", "", OK},
		"as somebody's, by proxy":  {"192.168.1.5", "198.51.100.0/24", "nginx", Warning},
		"as a container's gateway": {"198.51.100.7", "172.18.0.0/24", "", Warning},
	} {
		t.Run(name, func(t *testing.T) {
			a := answer{header: http.Header{}, local: netip.MustParseAddr(c.local), remote: netip.MustParseAddr("203.0.113.80")}
			a.header.Set("Server", c.proxy)
			e := new(examination)
			if found := heard(e, func() { e.judgeAddress(a, netip.MustParsePrefix(c.seen)) }); worst(found) != c.want {
				t.Errorf("%v, want %s", found, c.want)
			}
		})
	}
}

func TestAStoreOutOfReachIsExplained(t *testing.T) {
	for kept, want := range map[string]string{
		"local": "another Caddy holds the file, stop that one, or give this one a file of its own: state local FILE",
		"redis": "state redis redis://HOST:6379", "memory": "Caddy's log",
	} {
		e := &examination{Gate: Gate{State: kept}}
		found := heard(e, func() { e.judgeCode("page", "state_unavailable", answer{}) })
		if worst(found) != Problem || !strings.HasSuffix(found[0].Mend, want) {
			t.Errorf("%s: %v, want %q", kept, found, want)
		}
	}
}

func TestPagesAreRead(t *testing.T) {
	page := `<form id="sign-in" action="/shop/login" method="post"><input name="captcha_token" type="hidden" value="a&amp;b">`
	if token, action := tokenIn(page), actionIn(page); token != "a&b" || action != "/shop/login" {
		t.Errorf("%q, %q", token, action)
	}
	if tokenIn(`<input name="other" value="x">`) != "" || actionIn(`<form action="/x">`) != "" {
		t.Error("found in another form")
	}
}
