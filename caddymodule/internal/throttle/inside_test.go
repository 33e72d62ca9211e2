package throttle

import (
	"context"
	"runtime"
	"testing"
)

// Who gives up at the moment of getting a slot passes it on. The lock has both
// happen at once.
func TestASlotHandedOverInTheLastMomentIsNotLost(t *testing.T) {
	s := NewSlots(1)
	for range 1000 {
		release, err := s.Acquire(t.Context(), CleanLane)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if late, err := s.Acquire(ctx, CleanLane); err == nil {
				late()
			}
		}()
		for waits := false; !waits; {
			s.mu.Lock()
			waits = s.lanes[CleanLane].Len() == 1
			s.mu.Unlock()
		}
		s.mu.Lock()
		cancel()
		for range 10 {
			runtime.Gosched()
		}
		s.handOver()
		s.mu.Unlock()
		<-ended
		if s.mu.Lock(); s.free != 1 {
			t.Fatalf("%d free", s.free)
		}
		s.free-- // of release, which was handed over already
		s.mu.Unlock()
		release()
	}
}
