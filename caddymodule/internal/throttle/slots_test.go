package throttle_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

func TestCRD8_NoMoreThanSoManyAtATime(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 3} {
		s := throttle.NewSlots(n)
		var running, most atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				release, err := s.Acquire(t.Context(), throttle.CleanLane)
				if err != nil {
					t.Error(err)
					return
				}
				defer release()
				now := running.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				runtime.Gosched()
				running.Add(-1)
			})
		}
		wg.Wait()
		if got := int(most.Load()); got > max(1, n) {
			t.Errorf("%d slots: %d ran at a time", n, got)
		}
	}
}

func TestCRD8_AWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := throttle.NewSlots(1)
		release, err := s.Acquire(t.Context(), throttle.CleanLane)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for range 2 { // the second time it is over before it begins
			if _, err := s.Acquire(ctx, throttle.OtherLane); !errors.Is(err, throttle.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
		}
		release()
		for range 100 { // a free slot is no reason to go on for somebody who has left
			if _, err := s.Acquire(ctx, throttle.OtherLane); !errors.Is(err, throttle.ErrBusy) {
				t.Fatalf("error %v", err)
			}
		}
	})
}

func TestReleaseTwiceFreesOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := throttle.NewSlots(2)
		first, err := s.Acquire(t.Context(), throttle.CleanLane)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Acquire(t.Context(), throttle.CleanLane); err != nil {
			t.Fatal(err)
		}
		first()
		first()
		if _, err := s.Acquire(t.Context(), throttle.CleanLane); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Acquire(ctx, throttle.OtherLane); !errors.Is(err, throttle.ErrBusy) {
			t.Fatalf("error %v", err)
		}
	})
}

func TestSlotsGoToThoseWhoCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := throttle.NewSlots(1)
		release, err := s.Acquire(t.Context(), throttle.CleanLane)
		if err != nil {
			t.Fatal(err)
		}
		var order []int // guarded by the slot itself
		for i := range 20 {
			go func() {
				release, err := s.Acquire(t.Context(), throttle.CleanLane)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				release()
			}()
			synctest.Wait()
		}
		release()
		synctest.Wait()
		if len(order) != 20 || !slices.IsSorted(order) {
			t.Fatalf("served in order %v", order)
		}
	})
}

func TestKnownDevicesComeFirstAndWhoHasNotFailedNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := throttle.NewSlots(1)
		release, err := s.Acquire(t.Context(), throttle.OtherLane)
		if err != nil {
			t.Fatal(err)
		}
		gone, leave := context.WithCancel(t.Context())
		var order []int // guarded by the slot itself
		for i := range 10 {
			ctx := t.Context()
			if i == 4 {
				ctx = gone
			}
			go func() {
				lane := throttle.OtherLane
				switch {
				case i == 9:
					lane = throttle.KnownLane
				case i >= 7:
					lane = throttle.CleanLane
				}
				release, err := s.Acquire(ctx, lane)
				if i == 4 {
					if !errors.Is(err, throttle.ErrBusy) {
						t.Errorf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				release()
			}()
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		release()
		synctest.Wait()
		if want := []int{9, 7, 8, 0, 1, 2, 3, 5, 6}; !slices.Equal(order, want) {
			t.Fatalf("served in order %v; want %v", order, want)
		}
	})
}

func TestDefaultSlots(t *testing.T) {
	if n := throttle.DefaultSlots(); n != max(1, runtime.GOMAXPROCS(0)-1) {
		t.Fatalf("%d slots", n)
	}
}
