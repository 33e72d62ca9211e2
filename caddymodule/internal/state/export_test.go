package state

import "time"

// FlushingEvery lets the tests outside the package choose how often Local flushes.
func FlushingEvery(o Options, d time.Duration) Options {
	o.flushEvery = d
	return o
}
