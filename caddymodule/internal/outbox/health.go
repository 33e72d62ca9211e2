package outbox

import (
	"sync"
	"time"
)

const (
	// downFor is how long a failure counts against a sender that nobody has tried since.
	downFor = 10 * time.Second
	// probeEvery is how often a message passes while the sender is down, to find out. With the time of a try it is
	// less than downFor, so that a provider that is down and busy stays down.
	probeEvery = 5 * time.Second
)

// health is what this process knows of a sender. Refusals say nothing about it: the provider was there to refuse.
type health struct {
	mu      sync.Mutex
	failing bool
	failed  time.Time // the last failure
	probed  time.Time // the last message that passed since it is failing
}

// mayPost reports whether to take a message for the sender.
func (h *health) mayPost(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.failing || now.Sub(h.failed) >= downFor {
		return true
	}
	if now.Sub(h.probed) < probeEvery {
		return false
	}
	h.probed = now
	return true
}

func (h *health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = false
}

func (h *health) failedAt(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.failing {
		h.failing, h.probed = true, now
	}
	h.failed = now
}

// Failing reports whether the sender of a channel failed lately, as far as this process knows.
func (o *Outbox) Failing(channel string) bool {
	h := o.health[channel]
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing && o.now().Sub(h.failed) < downFor
}
