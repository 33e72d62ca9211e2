package caddymodule

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestABrowserIsNamedInAFewPlainWords(t *testing.T) {
	for header, want := range map[string]string{
		"": "",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                         "Chrome on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1": "Safari on iOS",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":           "Edge on Windows",
		"curl/8.15.0":             "curl",
		strings.Repeat("a", 1000): "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("User-Agent", header)
		if got := browserName(r); got != want {
			t.Errorf("%.60q is %q, want %q", header, got, want)
		}
	}
}

func TestABrowserNameHoldsNothingUnprintable(t *testing.T) {
	for _, header := range []string{"\u202eevil/1.0", "a\x00b/1.0 (\u200bLinux)", "<b>/1.0", "日本/1.0"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["User-Agent"] = []string{header}
		for _, c := range browserName(r) {
			if c < ' ' || c > '~' {
				t.Errorf("%q becomes %q", header, browserName(r))
			}
		}
	}
}
