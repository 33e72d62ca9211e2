package captcha

import "testing"

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
