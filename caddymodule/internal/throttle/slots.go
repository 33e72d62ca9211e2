package throttle

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// ErrBusy is wrapped by the error of [Slots.Acquire] when no slot came free in time: 503.
var ErrBusy = errors.New("no slot came free in time")

// Slots bounds how many of something costly run at a time (CRD-8). Make it with [NewSlots]; it is for concurrent use.
type Slots struct {
	taken chan struct{} // senders on a channel are served in order of arrival
}

// NewSlots makes n slots, at least one.
func NewSlots(n int) *Slots { return &Slots{taken: make(chan struct{}, max(1, n))} }

// DefaultSlots is one less than the processors that Go may use, so that sessions are served during a rush of sign-ins;
// at least one.
func DefaultSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// Acquire waits, first come first served, until a slot is free or ctx is done; then the error wraps [ErrBusy] and the
// cause. Call release when done; calling it again does nothing.
func (s *Slots) Acquire(ctx context.Context) (release func(), err error) {
	if ctx.Err() != nil { // a slot that is free as well must not win by chance
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
	select {
	case s.taken <- struct{}{}:
		return sync.OnceFunc(func() { <-s.taken }), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}
