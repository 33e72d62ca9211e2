package captcha_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func newBenchMaker(b *testing.B, change ...func(*captcha.Options)) *captcha.Maker {
	b.Helper()
	o := captcha.Options{Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}, Realm: "bench"}
	for _, c := range change {
		c(&o)
	}
	m, err := captcha.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

var benchScope = captcha.Scope{Purpose: "login", Binding: captcha.Binding{Network: "192.0.2.0/24"}}

func benchClaims(b *testing.B, m *captcha.Maker, spec captcha.Spec) captcha.Claims {
	b.Helper()
	challenge, err := m.Issue(spec, benchScope)
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
		if _, err := m.Issue(captcha.Spec{Kind: captcha.Image}, benchScope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	m := newBenchMaker(b)
	challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, benchScope)
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

// BenchmarkCheckWork checks the solution of a puzzle too.
func BenchmarkCheckWork(b *testing.B) {
	m := newBenchMaker(b)
	challenge, err := m.Issue(captcha.Spec{Kind: captcha.Work, Work: 100 * time.Millisecond}, benchScope)
	if err != nil {
		b.Fatal(err)
	}
	solution, err := challenge.Puzzle.Solve()
	if err != nil {
		b.Fatal(err)
	}
	spend := func([24]byte, time.Time) (bool, error) { return true, nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Check(captcha.Response{Token: challenge.Token, Work: solution}, benchScope, spend); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	m := newBenchMaker(b)
	challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, benchScope)
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
		if err := m.Check(captcha.Response{Token: challenge.Token, Answer: claims.Answer}, benchScope, spend); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRender draws each time, because the maker is closed and so has no
// cache. It goes round 64 challenges: one alone would be cheap or dear by luck.
func BenchmarkRender(b *testing.B) {
	for _, kind := range []captcha.Kind{captcha.Image, captcha.Audio} {
		for level := captcha.Easy; level <= captcha.Hard; level++ {
			for density := 1; density <= 2; density++ {
				name := fmt.Sprintf("%v/%v/%dx", kind, level, density)
				if kind == captcha.Audio {
					if density == 2 {
						continue
					}
					name = fmt.Sprintf("%v/%v", kind, level)
				}
				b.Run(name, func(b *testing.B) {
					m := newBenchMaker(b, func(o *captcha.Options) { o.Density = density })
					m.Close()
					benchRender(b, m, captcha.Spec{Kind: kind, Level: level})
				})
			}
		}
	}
}

func benchRender(b *testing.B, m *captcha.Maker, spec captcha.Spec) {
	claims := make([]captcha.Claims, 64)
	for i := range claims {
		claims[i] = benchClaims(b, m, spec)
	}
	b.ReportAllocs()
	var drawn, size int
	for b.Loop() {
		rendered, err := m.Render(claims[drawn%len(claims)])
		if err != nil {
			b.Fatal(err)
		}
		drawn++
		size += len(rendered)
	}
	b.ReportMetric(float64(size)/float64(drawn), "bytes/file")
}

func BenchmarkRenderCached(b *testing.B) {
	m := newBenchMaker(b)
	claims := benchClaims(b, m, captcha.Spec{Kind: captcha.Image})
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
