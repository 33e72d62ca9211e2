package captcha

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// cache keeps drawn pictures, so that asking again for one costs nothing. It
// may drop any of them at any time, also at once; what is missing is drawn
// again.
//
// ristretto must not be used while it is being closed, which a configuration
// reload with requests under way would do; the lock keeps the two apart.
type cache struct {
	mu       sync.RWMutex
	pictures *ristretto.Cache[string, []byte] // nil once closed
}

// typicalPicture is the size of a picture in bytes, by which the number of
// counters is chosen.
const typicalPicture = 6 << 10

func newCache(budget int64) (*cache, error) {
	pictures, err := ristretto.NewCache(&ristretto.Config[string, []byte]{
		NumCounters: max(100, 10*budget/typicalPicture),
		MaxCost:     max(1, budget),
		BufferItems: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &cache{pictures: pictures}, nil
}

func (c *cache) get(id [24]byte) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.pictures == nil {
		return nil, false
	}
	return c.pictures.Get(string(id[:]))
}

func (c *cache) put(id [24]byte, picture []byte) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.pictures != nil {
		c.pictures.Set(string(id[:]), picture, int64(len(picture)))
	}
}

func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pictures != nil {
		c.pictures.Close()
		c.pictures = nil
	}
}
