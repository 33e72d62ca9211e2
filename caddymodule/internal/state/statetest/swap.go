package statetest

import (
	"bytes"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func wantSwap(t *testing.T, s state.Store, k state.Key, old, value []byte, until time.Time, want bool, there []byte) {
	t.Helper()
	swapped, current, err := s.Swap(t.Context(), k, old, value, until)
	must(t, err)
	if swapped != want || !bytes.Equal(current, there) || (current == nil) != (there == nil) {
		t.Fatalf("swap %q for %q: %t, %q there; want %t, %q", old, value, swapped, current, want, there)
	}
	wantValue(t, s, k, there)
}

func swap(t *testing.T, open Open) {
	s, clock := start(t, open)
	k, until := key("index", 1), clock.Now().Add(time.Minute)
	a, b, odd := []byte("a"), []byte("b"), []byte("\x00\n\xff 1\r\n")
	wantSwap(t, s, k, a, b, until, false, nil)
	wantSwap(t, s, k, []byte{}, b, until, false, nil)
	wantSwap(t, s, k, nil, nil, until, true, nil)
	wantSwap(t, s, k, nil, a, until, true, a)
	wantSwap(t, s, k, nil, b, until, false, a)
	wantSwap(t, s, k, b, b, until, false, a)
	wantSwap(t, s, k, a, odd, until, true, odd)
	wantSwap(t, s, k, odd[:3], a, until, false, odd)
	wantSwap(t, s, k, odd, []byte{}, until, true, []byte{})
	wantSwap(t, s, k, nil, a, until, false, []byte{})
	wantSwap(t, s, k, []byte{}, a, until, true, a)

	clock.Advance(time.Minute - time.Second)
	wantSwap(t, s, k, a, b, clock.Now().Add(time.Minute), true, b)
	clock.Advance(time.Minute)
	wantSwap(t, s, k, b, a, clock.Now().Add(time.Minute), false, nil) // it has ended
	wantSwap(t, s, k, nil, a, clock.Now().Add(time.Minute), true, a)
	wantSwap(t, s, k, a, b, clock.Now(), true, nil) // what ends at once is not there
	wantSwap(t, s, k, nil, a, clock.Now().Add(time.Minute), true, a)
	wantSwap(t, s, k, a, nil, clock.Now().Add(time.Minute), true, nil)
}

// swapRace: callers count with swaps alone, and none is lost.
func swapRace(t *testing.T, open Open) {
	s, clock := start(t, open)
	CountBySwaps(t, clock.Now, s)
}

// CountBySwaps has 16 callers add to one record, on stores that share what they remember.
func CountBySwaps(t *testing.T, now func() time.Time, stores ...state.Store) {
	t.Helper()
	const callers, times = 16, 10
	k, until := key("index", 7), now().Add(time.Hour)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			s := stores[i%len(stores)]
			for range times {
				old, err := s.Get(t.Context(), k)
				for swapped := false; !swapped && err == nil; {
					n, _ := strconv.Atoi(string(old))
					swapped, old, err = s.Swap(t.Context(), k, old, strconv.AppendInt(nil, int64(n+1), 10), until)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantValue(t, stores[0], k, strconv.AppendInt(nil, callers*times, 10))
}
