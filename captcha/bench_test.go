package captcha_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func newBenchMaker(b *testing.B) *captcha.Maker {
	b.Helper()
	m, err := captcha.New(captcha.Options{Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}, Realm: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

var benchScope = captcha.Scope{Purpose: "login", Binding: captcha.Binding{Network: "192.0.2.0/24"}}

func benchClaims(b *testing.B, m *captcha.Maker) captcha.Claims {
	b.Helper()
	challenge, err := m.Issue(captcha.Image, benchScope)
	if err != nil {
		b.Fatal(err)
	}
	claims, err := m.Unpack(challenge.Token)
	if err != nil {
		b.Fatal(err)
	}
	return claims
}

func BenchmarkIssue(b *testing.B) {
	m := newBenchMaker(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Issue(captcha.Image, benchScope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	m := newBenchMaker(b)
	challenge, err := m.Issue(captcha.Image, benchScope)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Unpack(challenge.Token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	m := newBenchMaker(b)
	challenge, err := m.Issue(captcha.Image, benchScope)
	if err != nil {
		b.Fatal(err)
	}
	claims, err := m.Unpack(challenge.Token)
	if err != nil {
		b.Fatal(err)
	}
	spend := func([24]byte, time.Time) (bool, error) { return true, nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Check(challenge.Token, claims.Answer, benchScope, spend); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRender draws each time, because the maker is closed and so has no
// cache. It goes round 64 challenges: one alone would be cheap or dear by luck.
func BenchmarkRender(b *testing.B) {
	m := newBenchMaker(b)
	m.Close()
	claims := make([]captcha.Claims, 64)
	for i := range claims {
		claims[i] = benchClaims(b, m)
	}
	b.ReportAllocs()
	var drawn, size int
	for b.Loop() {
		picture, err := m.Render(claims[drawn%len(claims)])
		if err != nil {
			b.Fatal(err)
		}
		drawn++
		size += len(picture)
	}
	b.ReportMetric(float64(size)/float64(drawn), "png-bytes")
}

func BenchmarkRenderCached(b *testing.B) {
	m := newBenchMaker(b)
	claims := benchClaims(b, m)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Render(claims); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNew is what a reload of the configuration costs.
func BenchmarkNew(b *testing.B) {
	o := captcha.Options{Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}}
	b.ReportAllocs()
	for b.Loop() {
		m, err := captcha.New(o)
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
