package captcha_test

import (
	"runtime"
	"testing"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// floodBudget is the cache that a flood fills, in bytes.
const floodBudget = 1 << 20

// held is how much memory is in use once the garbage is gone, in bytes.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flood issues and draws challenges that nobody answers.
func flood(t testing.TB, m *captcha.Maker, count int) {
	for range count {
		challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, loginScope)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := m.Unpack(challenge.Token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Render(claims); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCAP9_AFloodOfChallengesHoldsNoMoreThanTheCache(t *testing.T) {
	m := newMaker(t, func(o *captcha.Options) { o.CacheBytes = floodBudget })
	flood(t, m, 10)
	before := held()
	flood(t, m, 1500) // some 6 MB of pictures
	if grown := held() - before; grown > floodBudget+2<<20 {
		t.Errorf("1500 challenges hold %d kB more than 10", grown>>10)
	}
}

// BenchmarkFlood tells how much memory is in use after b.N challenges; run it
// with -benchtime 1000000x.
func BenchmarkFlood(b *testing.B) {
	m := newMaker(b, func(o *captcha.Options) { o.CacheBytes = 8 << 20 })
	before := held()
	b.ResetTimer()
	flood(b, m, b.N)
	b.StopTimer()
	b.ReportMetric(float64(held()-before)/(1<<20), "MiB-held")
}
