package caddymodule

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// throughCaddy adds what Caddy's server puts into a request's context.
func throughCaddy(r *http.Request, trusted bool, clientIP string) *http.Request {
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.TrustedProxyVarKey: trusted,
		caddyhttp.ClientIPVarKey:     clientIP,
	})
	return r.WithContext(ctx)
}

func TestWEB6_OnlyANavigationGetsThePage(t *testing.T) {
	browser := "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"address bar":             {request("GET", "/", "Accept", browser, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), true},
		"old browser":             {request("GET", "/", "Accept", browser), true},
		"head":                    {request("HEAD", "/", "Accept", browser), true},
		"fetch of html":           {request("GET", "/", "Accept", "text/html", "Sec-Fetch-Mode", "cors"), false},
		"same-origin fetch":       {request("GET", "/", "Accept", "text/html", "Sec-Fetch-Mode", "same-origin"), false},
		"image":                   {request("GET", "/", "Accept", "image/avif,*/*;q=0.8", "Sec-Fetch-Mode", "no-cors"), false},
		"XMLHttpRequest":          {request("GET", "/", "Accept", browser, "X-Requested-With", "XMLHttpRequest"), false},
		"curl":                    {request("GET", "/", "Accept", "*/*"), false},
		"no accept":               {request("GET", "/"), false},
		"json":                    {request("GET", "/", "Accept", "application/json"), false},
		"html refused":            {request("GET", "/", "Accept", "text/html;q=0, */*"), false},
		"post":                    {request("POST", "/", "Accept", browser), false},
		"options":                 {request("OPTIONS", "/", "Accept", browser), false},
		"websocket with html":     {request("GET", "/", "Accept", browser, "Upgrade", "websocket"), false},
		"HDR-7 user agent claims": {request("GET", "/", "User-Agent", "Mozilla/5.0 text/html"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isNavigation(c.r); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestJSONIsForWhoSendsOrPrefersIt(t *testing.T) {
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"sends json":              {request("POST", "/login", "Content-Type", "application/json"), true},
		"sends json, any charset": {request("POST", "/login", "Content-Type", "application/json; charset=utf-8"), true},
		"prefers json":            {request("POST", "/login", "Accept", "application/json"), true},
		"prefers json slightly":   {request("POST", "/login", "Accept", "application/json, text/html;q=0.9"), true},
		"prefers html":            {request("POST", "/login", "Accept", "text/html, application/json;q=0.9"), false},
		"equal":                   {request("POST", "/login", "Accept", "text/html, application/json"), false},
		"anything":                {request("POST", "/login", "Accept", "*/*"), false},
		"nothing":                 {request("POST", "/login"), false},
		"json or anything less":   {request("POST", "/login", "Accept", "application/json, */*;q=0.1"), true},
		"script, any type":        {request("POST", "/login", "Accept", "*/*", "Sec-Fetch-Mode", "cors"), true},
		"script that wants html":  {request("POST", "/login", "Accept", "text/html", "Sec-Fetch-Mode", "cors"), false},
		"form of a browser":       {request("POST", "/login", "Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Mode", "navigate"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wantsJSON(c.r); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestSES8_SecureIsNeverDecidedByAStranger(t *testing.T) {
	tlsRequest := request("GET", "/")
	tlsRequest.TLS = new(tls.ConnectionState)
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"tls":                        {tlsRequest, true},
		"plain":                      {throughCaddy(request("GET", "/"), false, "192.0.2.1"), false},
		"stranger claims https":      {throughCaddy(request("GET", "/", "X-Forwarded-Proto", "https"), false, "192.0.2.1"), false},
		"trusted proxy says https":   {throughCaddy(request("GET", "/", "X-Forwarded-Proto", "https"), true, "192.0.2.1"), true},
		"trusted proxy says http":    {throughCaddy(request("GET", "/", "X-Forwarded-Proto", "http"), true, "192.0.2.1"), false},
		"the last word counts":       {throughCaddy(request("GET", "/", "X-Forwarded-Proto", "https, http"), true, "192.0.2.1"), false},
		"the last line counts":       {throughCaddy(request("GET", "/", "X-Forwarded-Proto", "http", "X-Forwarded-Proto", "https"), true, "192.0.2.1"), true},
		"trusted proxy says nothing": {throughCaddy(request("GET", "/"), true, "192.0.2.1"), false},
		"without caddy's facts":      {request("GET", "/", "X-Forwarded-Proto", "https"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isSecure(c.r); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestHDR6_ChallengesAreBoundToCaddysClientNetwork(t *testing.T) {
	for _, c := range []struct{ bind, ip, want string }{
		{bindNetwork, "192.0.2.77", "192.0.2.0/24"},
		{bindNetwork, "::ffff:192.0.2.77", "192.0.2.0/24"},
		{bindNetwork, "2001:db8:1:2ff::1", "2001:db8:1:200::/56"},
		{bindNetwork, "fe80::1%eth0", "fe80::/56"},
		{bindNetwork, "", ""},
		{bindAddress, "192.0.2.77", "192.0.2.77"},
		{bindAddress, "2001:db8::1", "2001:db8::1"},
		{bindOff, "192.0.2.77", ""},
	} {
		g := &Gate{Captcha: &CaptchaConfig{Bind: c.bind}}
		r := throughCaddy(request("GET", "/", "X-Forwarded-For", "203.0.113.9"), false, c.ip)
		if got := g.network(r); got != c.want {
			t.Errorf("%s of %q: got %q, want %q", c.bind, c.ip, got, c.want)
		}
	}
}

func TestPrefixIsWhatWasStripped(t *testing.T) {
	for _, c := range []struct{ asked, seen, want string }{
		{"/app/login", "/login", "/app"},
		{"/a/b/login", "/login", "/a/b"},
		{"/app/", "/", "/app"},
		{"/login", "/login", ""},
		{"/about", "/index.html", ""},
		{"/%2e%2e/login", "/login", ""},
		{"/x;y/login", "/login", ""},
		{"/caf%C3%A9/login", "/login", "/caf%C3%A9"},
		{"//evil.example/login", "/login", ""},
	} {
		was := request("GET", "http://site.example"+c.asked)
		now := request("GET", "http://site.example"+c.seen)
		now = now.WithContext(context.WithValue(now.Context(), caddyhttp.OriginalRequestCtxKey, *was))
		if got := pathPrefix(now); got != c.want {
			t.Errorf("%s seen as %s: got %q, want %q", c.asked, c.seen, got, c.want)
		}
	}
}
