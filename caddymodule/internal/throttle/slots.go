package throttle

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// ErrBusy is wrapped by the error of [Slots.Acquire] when no slot came free in time: 503.
var ErrBusy = errors.New("no slot came free in time")

// Slots bounds how many of something costly run at a time (CRD-8). Make it with [NewSlots]; it is for concurrent use.
//
// Who waits is served in order of arrival within each [Lane], so that a rush of guesses holds up nobody who knows the
// password.
type Slots struct {
	mu    sync.Mutex
	free  int
	lanes [lanes]list.List // of chan struct{}, closed when the slot is handed over
}

// Lane is where somebody waits for a slot. Earlier lanes go first.
type Lane int

// The lanes, as [Attempt.Lane] chooses them.
const (
	KnownLane Lane = iota // a known device that has not failed: of the many that a rush brings none is one
	CleanLane             // a stranger who has not failed
	OtherLane             // everybody else
	lanes
)

// NewSlots makes n slots, at least one.
func NewSlots(n int) *Slots { return &Slots{free: max(1, n)} }

// DefaultSlots is one less than the processors that Go may use, so that sessions are served during a rush of sign-ins;
// at least one.
func DefaultSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// Acquire waits until a slot is free or ctx is done; then the error wraps [ErrBusy] and the cause. Call release when
// done; calling it again does nothing.
func (s *Slots) Acquire(ctx context.Context, l Lane) (release func(), err error) {
	if ctx.Err() != nil { // a slot that is free as well must not win by chance
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
	lane := &s.lanes[l]
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return sync.OnceFunc(s.release), nil
	}
	mine := make(chan struct{})
	place := lane.PushBack(mine)
	s.mu.Unlock()

	select {
	case <-mine:
		return sync.OnceFunc(s.release), nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-mine: // handed over in the last moment
		s.handOver()
	default:
		lane.Remove(place)
	}
	return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
}

func (s *Slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handOver()
}

// handOver gives a slot to the next who waits; s.mu is held.
func (s *Slots) handOver() {
	for i := range s.lanes {
		if lane := &s.lanes[i]; lane.Len() > 0 {
			next := lane.Front()
			close(lane.Remove(next).(chan struct{}))
			return
		}
	}
	s.free++
}
