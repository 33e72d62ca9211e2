package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// from sends a form as a proxy that Caddy trusts would pass it on.
func (v *visitor) from(address, path string, form url.Values) answer {
	v.t.Helper()
	if form == nil {
		return v.do("GET", path, "", "Accept", navigation, "X-Forwarded-For", address)
	}
	return v.do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "X-Forwarded-For", address)
}

func TestTHR10_LimitsAreSaidInJSON(t *testing.T) {
	t.Parallel()
	wrong := func(t *testing.T, v *visitor, field string) (answer, reply) {
		t.Helper()
		form := fields(t, challenge(t, v))
		form.Set(field, "wrong")
		object := map[string]any{}
		for name := range form {
			object[name] = form.Get(name)
		}
		return v.json("/login", object)
	}
	for name, c := range map[string]struct {
		throttle string
		fail     func(*testing.T, *visitor) (answer, reply)
	}{
		"client": {"client 3 10m", func(t *testing.T, v *visitor) (answer, reply) { return wrong(t, v, "captcha_answer") }},
		"user":   {"user 3 10m", func(t *testing.T, v *visitor) (answer, reply) { return wrong(t, v, "password") }},
		"issue": {"issue 4 10m", func(t *testing.T, v *visitor) (answer, reply) {
			a := v.do("GET", "/captcha-gate/challenge", "", "Accept", "application/json")
			return a, decode(t, a)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, startSite(t, "throttle {\n"+c.throttle+"\n}"))
			v.page("/login") // for the browser cookie; it draws one picture
			for i := range 3 {
				if a, r := c.fail(t, v); a.StatusCode == http.StatusTooManyRequests {
					t.Fatalf("throttled at %d: %+v", i+1, r)
				}
			}
			a, r := c.fail(t, v)
			if a.StatusCode != http.StatusTooManyRequests || r.Code != "throttled" || r.Status != "failed" || r.ErrorMessage == "" {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if r.RetryAfter < 1 || r.RetryAfter > 600 || a.Header.Get("Retry-After") != strconv.Itoa(r.RetryAfter) {
				t.Errorf("retry_after %d, Retry-After %q", r.RetryAfter, a.Header.Get("Retry-After"))
			}
			if v.isSignedIn() {
				t.Error("signed in")
			}
		})
	}
}

func TestTHR3_LimitsAreForNetworks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address func(i int) string
		want    int // of the fourth failure
	}{
		"one IPv4 address":  {func(int) string { return "198.51.100.1" }, http.StatusTooManyRequests},
		"mapped into IPv6":  {func(i int) string { return []string{"198.51.100.1", "::ffff:198.51.100.1"}[i%2] }, http.StatusTooManyRequests},
		"one IPv6 /64":      {func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) }, http.StatusTooManyRequests},
		"another IPv6 /64":  {func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i+1) }, http.StatusForbidden},
		"neighbours on v4":  {func(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }, http.StatusForbidden},
		"with a zone":       {func(i int) string { return fmt.Sprintf("fe80::1%%eth%d", i) }, http.StatusTooManyRequests},
		"nothing to parse":  {func(i int) string { return fmt.Sprintf("nonsense-%d", i) }, http.StatusTooManyRequests},
		"empty of any name": {func(int) string { return "" }, http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.start(trusting(s.standard("throttle {\nclient 3 10m\n}\ncaptcha {\nbind off\n}")))
			v := newVisitor(t, s)
			status := 0
			for i := range 4 {
				form := fields(t, v.from(c.address(i), "/login", nil).body)
				form.Set("captcha_answer", "wrong")
				status = v.from(c.address(i), "/login", form).StatusCode
			}
			if status != c.want {
				t.Errorf("the fourth failure: %d, want %d", status, c.want)
			}
		})
	}
}

func TestCAP9_OneClientsFloodStopsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(trusting(s.standard("")))
	open := newVisitor(t, s)
	form := fields(t, open.from("198.51.100.1", "/login", nil).body)
	var drawn, refused atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			flood := newVisitor(t, s)
			for range 100 {
				switch a := flood.do("GET", "/captcha-gate/challenge", "", "X-Forwarded-For", "203.0.113.9"); a.StatusCode {
				case http.StatusOK:
					drawn.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	wg.Wait()
	// The window may end once during the flood.
	if drawn.Load() > 120 || drawn.Load()+refused.Load() != 400 {
		t.Errorf("%d drawn, %d refused", drawn.Load(), refused.Load())
	}
	if a := open.from("198.51.100.1", "/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the challenge made before the flood: %d", a.StatusCode)
	}
	late := newVisitor(t, s)
	if a := late.from("198.51.100.2", "/login", fields(t, late.from("198.51.100.2", "/login", nil).body)); a.StatusCode != http.StatusSeeOther {
		t.Errorf("somebody else: %d", a.StatusCode)
	}
}

// THR-8: an attempt is counted before it is judged, so that many at a time are
// no more than the limit.
func TestTHR8_ParallelGuessesAreNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	s := startSite(t, "throttle {\nclient 1000 10m\nuser 5 10m\nissue 1000 1m\n}")
	v := newVisitor(t, s)
	var forms []url.Values
	v.page("/login")
	for range 40 {
		form := fields(t, challenge(t, v))
		form.Set("password", "wrong")
		forms = append(forms, form)
	}
	// On a slow machine a hash slot may not come free in time; such an attempt is
	// given back, and another one may be judged.
	var judged, throttled, busy, other atomic.Int32
	var wg sync.WaitGroup
	for _, form := range forms {
		wg.Go(func() {
			switch v.form("/login", form).StatusCode {
			case http.StatusUnauthorized:
				judged.Add(1)
			case http.StatusTooManyRequests:
				throttled.Add(1)
			case http.StatusServiceUnavailable:
				busy.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	wg.Wait()
	if n := judged.Load(); n > 5 || n+busy.Load() < 5 || other.Load() != 0 {
		t.Errorf("%d judged, %d throttled, %d busy, %d other", n, throttled.Load(), busy.Load(), other.Load())
	}
}

func TestAChallengeIsBoundToTheNetwork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bind, from, to string
		works          bool
	}{
		"same IPv4 /24":            {"network", "198.51.100.1", "198.51.100.200", true},
		"other IPv4 /24":           {"network", "198.51.100.1", "198.51.101.1", false},
		"same IPv6 /56":            {"network", "2001:db8:1:201::1", "2001:db8:1:2ff::1", true},
		"other IPv6 /56":           {"network", "2001:db8:1:201::1", "2001:db8:1:301::1", false},
		"address, the same":        {"address", "198.51.100.1", "198.51.100.1", true},
		"address, its neighbour":   {"address", "198.51.100.1", "198.51.100.2", false},
		"off, from somewhere else": {"off", "198.51.100.1", "2001:db8::1", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.start(trusting(s.standard("captcha {\nbind " + c.bind + "\n}")))
			v := newVisitor(t, s)
			form := fields(t, v.from(c.from, "/login", nil).body)
			a := v.from(c.to, "/login", form)
			if works := a.StatusCode == http.StatusSeeOther; works != c.works || !works && a.StatusCode != http.StatusForbidden {
				t.Errorf("%d", a.StatusCode)
			}
		})
	}
}
