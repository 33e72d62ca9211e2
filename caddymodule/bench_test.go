package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

// discard is a response writer that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkPassThrough is what the gate costs a request with a live session,
// beside the bare next handler. The request's headers are laid anew each time,
// as a server does, in both.
func BenchmarkPassThrough(b *testing.B) {
	for _, store := range []string{storeMemory, storeLocal, storeRedis} {
		config := &StateConfig{Store: store}
		if store == storeRedis {
			config.Redis = &RedisConfig{URL: Secret(redistest.Start(b).URL())}
		}
		g, err := load(b, Gate{
			Users: usersFile(b, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(b), State: config,
		})
		if err != nil {
			b.Fatal(err)
		}
		_, cookies := signInAs(b, g, "anna", "anna-password")
		next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
		r := throughCaddy(withCookies(httptest.NewRequest("GET", "/some/page?x=1", nil), cookies), false, "192.0.2.1")
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
		cookie := r.Header["Cookie"]
		w := discard{http.Header{}}
		for name, handler := range map[string]func() error{
			"bare": func() error { return next.ServeHTTP(w, r) },
			"gate": func() error { return g.ServeHTTP(w, r, next) },
		} {
			b.Run(store+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r.Header["Cookie"] = cookie
					if err := handler(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPassThroughAmongMany is the same among ten and among a million other
// sessions, and what each of those takes in memory.
func BenchmarkPassThroughAmongMany(b *testing.B) {
	for _, others := range []int{10, 1_000_000} {
		b.Run(strconv.Itoa(others), func(b *testing.B) {
			g := memoryGate(b, "anna")
			before := heap()
			for i := range others {
				if _, _, err := g.sessions.Start(b.Context(), session.Record{User: strconv.Itoa(i % 100_000), Fingerprint: [16]byte{1}, Level: session.Password, Network: "203.0.113.0/24", Browser: "Firefox on Linux"}); err != nil {
					b.Fatal(err)
				}
			}
			each := (heap() - before) / float64(others)
			_, cookies := signInAs(b, g, "anna", "anna-password")
			next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
			r := throughCaddy(withCookies(httptest.NewRequest("GET", "/some/page?x=1", nil), cookies), false, "192.0.2.1")
			cookie := r.Header["Cookie"]
			w := discard{http.Header{}}
			for b.Loop() {
				r.Header["Cookie"] = cookie
				if err := g.ServeHTTP(w, r, next); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(each, "B/session")
		})
	}
}

// heap is what is in use, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC() // the second frees what the first found in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkLoginPage is one sign-in page with its challenge, without the picture.
func BenchmarkLoginPage(b *testing.B) {
	g := memoryGate(b, "anna")
	g.Throttle.Issue.Events = 1 << 30
	if err := g.provisionState(); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = stores.Delete(g.storeKey) }()
	r := throughCaddy(request("GET", "/login", "Accept", "text/html", "Accept-Language", "en"), false, "192.0.2.1")
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		if err := g.ServeHTTP(discard{http.Header{}}, r, next); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefusal is the 401 of a script without a session.
func BenchmarkRefusal(b *testing.B) {
	g := memoryGate(b, "anna")
	r := throughCaddy(request("GET", "/api/orders", "Accept", typeJSON), false, "192.0.2.1")
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		if err := g.ServeHTTP(w, r, next); err != nil {
			b.Fatal(err)
		}
	}
}
