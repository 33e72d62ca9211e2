package state

import (
	"context"
	"time"
)

// epochOf is the epoch of a store, zero while there is none.
func epochOf(s Store) Epoch {
	e, _ := s.Epoch(context.Background())
	return e
}

// FlushingEvery lets the tests outside the package choose how often Local flushes.
func FlushingEvery(o Options, d time.Duration) Options {
	o.flushEvery = d
	return o
}
