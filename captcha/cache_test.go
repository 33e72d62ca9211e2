package captcha

import (
	"bytes"
	"testing"
	"time"
)

func newTestCache(t *testing.T, budget int64) *cache {
	t.Helper()
	c, err := newCache(budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestCacheGivesBackWhatItWasGiven(t *testing.T) {
	c := newTestCache(t, 1<<20)
	c.put([24]byte{1}, []byte("picture"))
	c.pictures.Wait()
	if picture, ok := c.get([24]byte{1}); !ok || string(picture) != "picture" {
		t.Errorf("%q, %v", picture, ok)
	}
	if _, ok := c.get([24]byte{2}); ok {
		t.Error("it has what nobody gave")
	}
}

func TestCAP9_CacheStaysWithinItsBudget(t *testing.T) {
	const budget, size = 100_000, 5_000
	c := newTestCache(t, budget)
	for i := range 1000 {
		c.put([24]byte{byte(i), byte(i >> 8)}, make([]byte, size))
		c.pictures.Wait()
	}
	kept := 0
	for i := range 1000 {
		if _, ok := c.get([24]byte{byte(i), byte(i >> 8)}); ok {
			kept++
		}
	}
	if kept == 0 || kept*size > budget {
		t.Errorf("%d pictures of %d bytes in %d", kept, size, budget)
	}
}

func TestCacheWithoutRoomOrClosedKeepsNothing(t *testing.T) {
	tiny, closed := newTestCache(t, 1), newTestCache(t, 1<<20)
	tiny.put([24]byte{1}, []byte("picture"))
	tiny.pictures.Wait()
	closed.put([24]byte{1}, []byte("picture"))
	closed.close()
	closed.put([24]byte{2}, []byte("picture"))
	closed.close()
	for name, c := range map[string]*cache{"tiny": tiny, "closed": closed} {
		for id := range byte(3) {
			if picture, ok := c.get([24]byte{id}); ok {
				t.Errorf("%s: %q", name, picture)
			}
		}
	}
}

func TestRenderedHearsOfWhatWasMadeAndNotOfWhatWasKept(t *testing.T) {
	heard := map[Kind]int{}
	m, err := New(Options{
		Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)},
		Rendered: func(kind Kind, took time.Duration) {
			heard[kind]++
			if took <= 0 {
				t.Errorf("%v took %v", kind, took)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, kind := range []Kind{Image, Audio} {
		challenge, err := m.Issue(Spec{Kind: kind}, Scope{})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := m.Unpack(challenge.Token)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := m.Render(claims); err != nil {
				t.Fatal(err)
			}
			m.cache.pictures.Wait()
		}
		if heard[kind] != 1 {
			t.Errorf("%v: heard of %d", kind, heard[kind])
		}
	}
}
