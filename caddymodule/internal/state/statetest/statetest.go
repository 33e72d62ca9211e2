// Package statetest is the contract of state.Store as tests. Every store must pass [Run].
package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Clock is a clock that stands still until it is told otherwise.
type Clock struct{ offset atomic.Int64 }

// Now returns the clock's time. Stores that keep coarser times than nanoseconds see whole seconds.
func (c *Clock) Now() time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.offset.Load()))
}

// Advance moves the clock, back if d is negative.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// Open makes an empty store that reads the given clock.
type Open func(t *testing.T, now func() time.Time) state.Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"CAP1_SingleUseHasOneWinner", singleUse},
		{"CAP1_NobodyIsFirstUnderAnotherEpoch", otherEpoch},
		{"TakeIsFreeAgainAfterItsEnd", takeExpiry},
		{"RecordsLiveUntilTheirEnd", recordExpiry},
		{"ClockJumpsBack", clockJumpsBack},
		{"ValuesAreIsolated", isolation},
		{"RefreshReplacesOnlyWhatIsThere", refresh},
		{"SES3_RefreshNeverResurrects", refreshRace},
		{"PutAndDeleteOfOneKeyAgree", putDeleteRace},
		{"SwapReplacesOnlyWhatIsExpected", swap},
		{"SwapsAreAtomic", swapRace},
		{"Counters", counters},
		{"CountersAreAtomic", countersRace},
		{"WalkMeetsWhatIsLive", walk},
		{"WalkMeetsEverythingOfMany", walkMany},
		{"EpochTellsStoresApart", epoch},
		{"DoneContextChangesNothing", doneContext},
		{"ClosedStoreRefuses", closed},
		{"SES7_RealmsDoNotMix", realms},
		{"BehavesLikeAMap", func(t *testing.T, open Open) { Model(t, open, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func start(t *testing.T, open Open) (state.Store, *Clock) {
	t.Helper()
	clock := new(Clock)
	s := open(t, clock.Now)
	t.Cleanup(func() { s.Close() })
	return s, clock
}

func key(kind string, n int) state.Key {
	return state.KeyOf("statetest", kind, fmt.Append(nil, n))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s state.Store, k state.Key, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), k)
	must(t, err)
	if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Fatalf("got %q (nil: %t), want %q (nil: %t)", got, got == nil, want, want == nil)
	}
}

func epochOf(t *testing.T, s state.Store) state.Epoch {
	t.Helper()
	e, err := s.Epoch(t.Context())
	must(t, err)
	return e
}

func wantFirst(t *testing.T, s state.Store, k state.Key, until time.Time, want bool) {
	t.Helper()
	first, err := s.Take(t.Context(), epochOf(t, s), k, until)
	must(t, err)
	if first != want {
		t.Fatalf("first = %t, want %t", first, want)
	}
}

func wantCount(t *testing.T, s state.Store, k state.Key, delta int, want int) state.Tally {
	t.Helper()
	tally, err := s.Add(t.Context(), k, delta, time.Minute)
	must(t, err)
	if tally.N != want {
		t.Fatalf("count = %d after %+d, want %d", tally.N, delta, want)
	}
	return tally
}

func singleUse(t *testing.T, open Open) {
	s, clock := start(t, open)
	OneWinner(t, clock.Now, s)
}

// OneWinner has 200 callers spend each of 100 uses at once, on stores that share what they remember: one is first.
func OneWinner(t *testing.T, now func() time.Time, stores ...state.Store) {
	t.Helper()
	const rounds, callers = 100, 200
	e := epochOf(t, stores[0])
	for round := range rounds {
		k, until := key("spent", round), now().Add(time.Minute)
		var winners atomic.Int32
		gate := make(chan struct{})
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				<-gate
				first, err := stores[caller%len(stores)].Take(t.Context(), e, k, until)
				if err != nil {
					t.Error(err)
				}
				if first {
					winners.Add(1)
				}
			})
		}
		close(gate)
		wg.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("round %d: %d winners", round, n)
		}
	}
}

// What was sealed under an epoch that the store does not remember was perhaps
// spent before.
func otherEpoch(t *testing.T, open Open) {
	s, clock := start(t, open)
	other, _ := start(t, open)
	k, until := key("spent", 1), clock.Now().Add(time.Minute)
	for _, e := range []state.Epoch{epochOf(t, other), {}} {
		first, err := s.Take(t.Context(), e, k, until)
		must(t, err)
		if first {
			t.Fatalf("first under epoch %x", e)
		}
	}
	wantFirst(t, s, k, until, true)
}

func takeExpiry(t *testing.T, open Open) {
	s, clock := start(t, open)
	k := key("spent", 1)
	wantFirst(t, s, k, clock.Now(), false) // it has ended already, so nobody may use it
	wantFirst(t, s, k, clock.Now().Add(-time.Hour), false)
	wantFirst(t, s, k, clock.Now().Add(5*time.Minute), true)
	wantFirst(t, s, k, clock.Now().Add(time.Hour), false)
	clock.Advance(5*time.Minute - time.Second)
	wantFirst(t, s, k, clock.Now().Add(time.Hour), false)
	clock.Advance(time.Second)
	wantFirst(t, s, k, clock.Now().Add(time.Hour), true)
	wantFirst(t, s, k, clock.Now().Add(time.Hour), false)
	must(t, s.Delete(t.Context(), k))
	wantFirst(t, s, k, clock.Now().Add(time.Hour), true)
}

func recordExpiry(t *testing.T, open Open) {
	s, clock := start(t, open)
	k := key("session", 1)
	wantValue(t, s, k, nil)
	must(t, s.Delete(t.Context(), k))
	must(t, s.Put(t.Context(), k, []byte("a"), clock.Now().Add(time.Minute)))
	clock.Advance(time.Minute - time.Second)
	wantValue(t, s, k, []byte("a"))
	clock.Advance(time.Second)
	wantValue(t, s, k, nil)

	must(t, s.Put(t.Context(), k, []byte("b"), clock.Now().Add(time.Minute)))
	wantValue(t, s, k, []byte("b"))
	must(t, s.Put(t.Context(), k, []byte("c"), clock.Now()))
	wantValue(t, s, k, nil)

	must(t, s.Put(t.Context(), k, []byte{}, clock.Now().Add(time.Minute)))
	wantValue(t, s, k, []byte{})
	must(t, s.Put(t.Context(), k, nil, clock.Now().Add(time.Minute)))
	wantValue(t, s, k, []byte{})
	must(t, s.Delete(t.Context(), k))
	wantValue(t, s, k, nil)
}

func clockJumpsBack(t *testing.T, open Open) {
	s, clock := start(t, open)
	must(t, s.Put(t.Context(), key("session", 1), []byte("a"), clock.Now().Add(time.Minute)))
	wantFirst(t, s, key("spent", 1), clock.Now().Add(time.Minute), true)
	clock.Advance(-time.Hour)
	wantValue(t, s, key("session", 1), []byte("a"))
	wantFirst(t, s, key("spent", 1), clock.Now().Add(time.Minute), false)
}

func isolation(t *testing.T, open Open) {
	s, clock := start(t, open)
	k, until := key("session", 1), clock.Now().Add(time.Minute)
	mine := []byte("mine")
	must(t, s.Put(t.Context(), k, mine, until))
	copy(mine, "XXXX")
	wantValue(t, s, k, []byte("mine"))

	mine = []byte("next")
	old, err := s.Get(t.Context(), k)
	must(t, err)
	must(t, s.Refresh(t.Context(), k, mine, until))
	copy(mine, "XXXX")
	wantValue(t, s, k, []byte("next"))
	if string(old) != "mine" {
		t.Fatalf("a value read before changed to %q", old)
	}
	_ = append(old, "more"...)
	wantValue(t, s, k, []byte("next"))
}

func refresh(t *testing.T, open Open) {
	s, clock := start(t, open)
	k := key("session", 1)
	must(t, s.Refresh(t.Context(), k, []byte("ghost"), clock.Now().Add(time.Minute)))
	wantValue(t, s, k, nil)

	must(t, s.Put(t.Context(), k, []byte("a"), clock.Now().Add(time.Minute)))
	must(t, s.Refresh(t.Context(), k, []byte("b"), clock.Now().Add(2*time.Minute)))
	clock.Advance(90 * time.Second)
	wantValue(t, s, k, []byte("b"))
	must(t, s.Delete(t.Context(), k))
	must(t, s.Refresh(t.Context(), k, []byte("ghost"), clock.Now().Add(time.Minute)))
	wantValue(t, s, k, nil)

	must(t, s.Put(t.Context(), k, []byte("c"), clock.Now().Add(time.Minute)))
	clock.Advance(time.Minute)
	must(t, s.Refresh(t.Context(), k, []byte("ghost"), clock.Now().Add(time.Minute)))
	wantValue(t, s, k, nil)
}

func refreshRace(t *testing.T, open Open) {
	s, clock := start(t, open)
	until := clock.Now().Add(time.Minute)
	for round := range 50 {
		k := key("session", round)
		must(t, s.Put(t.Context(), k, []byte("a"), until))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if err := s.Refresh(t.Context(), k, []byte("b"), until); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			if err := s.Delete(t.Context(), k); err != nil {
				t.Error(err)
			}
			// From here on it is gone, whatever Refresh is doing.
			if v, err := s.Get(t.Context(), k); v != nil || err != nil {
				t.Errorf("after Delete: %q, %v", v, err)
			}
		})
		wg.Wait()
		wantValue(t, s, k, nil)
	}
}

func putDeleteRace(t *testing.T, open Open) {
	s, clock := start(t, open)
	until := clock.Now().Add(time.Minute)
	k := key("session", 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				if err := s.Put(t.Context(), k, fmt.Append(nil, i), until); err != nil {
					t.Error(err)
				}
				if err := s.Delete(t.Context(), k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantValue(t, s, k, nil) // each worker deleted last
}

func counters(t *testing.T, open Open) {
	s, clock := start(t, open)
	k := key("failures", 1)
	for _, delta := range []int{0, -1} {
		if tally := wantCount(t, s, k, delta, 0); !tally.Resets.IsZero() {
			t.Fatalf("delta %d made a counter: %+v", delta, tally)
		}
	}
	first := wantCount(t, s, k, 1, 1)
	if want := clock.Now().Add(time.Minute); !first.Resets.Equal(want) {
		t.Fatalf("resets %v, want %v", first.Resets, want)
	}
	clock.Advance(30 * time.Second)
	for _, step := range []struct{ delta, want int }{{2, 3}, {0, 3}, {-1, 2}, {-9, 0}, {-1, 0}, {1, 1}} {
		if tally := wantCount(t, s, k, step.delta, step.want); !tally.Resets.Equal(first.Resets) {
			t.Fatalf("the end moved from %v to %v", first.Resets, tally.Resets)
		}
	}
	clock.Advance(30*time.Second - time.Second)
	wantCount(t, s, k, 0, 1)
	clock.Advance(time.Second)
	wantCount(t, s, k, 0, 0)
	second := wantCount(t, s, k, 1, 1)
	if second.Resets.Equal(first.Resets) {
		t.Fatal("a new counter has the end of the old one")
	}
	must(t, s.Undo(t.Context(), k, first.Resets)) // that counter is over
	wantCount(t, s, k, 0, 1)
	must(t, s.Undo(t.Context(), k, second.Resets))
	must(t, s.Undo(t.Context(), k, second.Resets))
	if tally := wantCount(t, s, k, 0, 0); !tally.Resets.IsZero() {
		t.Fatalf("nothing is left of it, but %+v", tally)
	}
	must(t, s.Undo(t.Context(), key("failures", 3), second.Resets))
	wantCount(t, s, key("failures", 3), 0, 0)
	must(t, s.Delete(t.Context(), k))
	wantCount(t, s, k, -1, 0)
	wantCount(t, s, k, 1, 1)
	for _, window := range []time.Duration{0, -time.Second} {
		if _, err := s.Add(t.Context(), key("failures", 2), 1, window); err == nil {
			t.Fatalf("window %v was accepted", window)
		}
	}
}

func countersRace(t *testing.T, open Open) {
	s, _ := start(t, open)
	k := key("failures", 1)
	const callers, each = 50, 20
	seen := make([]atomic.Int32, callers*each+1)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				tally, err := s.Add(t.Context(), k, 1, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				seen[tally.N].Add(1)
			}
		})
	}
	wg.Wait()
	for n := 1; n <= callers*each; n++ {
		if seen[n].Load() != 1 {
			t.Fatalf("count %d was seen %d times", n, seen[n].Load())
		}
	}
}

func epoch(t *testing.T, open Open) {
	a, _ := start(t, open)
	b, _ := start(t, open)
	first, err := a.Epoch(t.Context())
	must(t, err)
	if first == (state.Epoch{}) {
		t.Fatal("the epoch is zero")
	}
	again, err := a.Epoch(t.Context())
	must(t, err)
	if first != again {
		t.Fatal("the epoch changed")
	}
	other, err := b.Epoch(t.Context())
	must(t, err)
	if first == other {
		t.Fatal("two stores have one epoch")
	}
}

// calls makes each call of a store once, on the given keys.
func calls(ctx context.Context, s state.Store, spent, session, failures state.Key, until time.Time) map[string]error {
	errs := make(map[string]error)
	e, err := s.Epoch(ctx)
	errs["Epoch"] = err
	_, errs["Take"] = s.Take(ctx, e, spent, until)
	errs["Put"] = s.Put(ctx, session, []byte("changed"), until)
	_, errs["Get"] = s.Get(ctx, session)
	errs["Refresh"] = s.Refresh(ctx, session, []byte("changed"), until)
	_, _, errs["Swap"] = s.Swap(ctx, session, []byte("a"), []byte("changed"), until)
	errs["Delete"] = s.Delete(ctx, session)
	_, errs["Add"] = s.Add(ctx, failures, 1, time.Minute)
	errs["Undo"] = s.Undo(ctx, failures, until)
	errs["Walk"] = s.Walk(ctx, func(state.Key, []byte) error { return nil })
	return errs
}

func doneContext(t *testing.T, open Open) {
	s, clock := start(t, open)
	spent, session, failures := key("spent", 1), key("session", 1), key("failures", 1)
	until := clock.Now().Add(time.Minute)
	must(t, s.Put(t.Context(), session, []byte("a"), until))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range calls(ctx, s, spent, session, failures, until) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	wantFirst(t, s, spent, until, true)
	wantValue(t, s, session, []byte("a"))
	wantCount(t, s, failures, 0, 0)
}

func closed(t *testing.T, open Open) {
	s, clock := start(t, open)
	must(t, s.Put(t.Context(), key("session", 1), []byte("a"), clock.Now().Add(time.Minute)))
	must(t, s.Close())
	must(t, s.Close())
	until := clock.Now().Add(time.Minute)
	for name, err := range calls(t.Context(), s, key("spent", 1), key("session", 1), key("failures", 1), until) {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func realms(t *testing.T, open Open) {
	s, clock := start(t, open)
	until := clock.Now().Add(time.Minute)
	id := []byte("same id")
	must(t, s.Put(t.Context(), state.KeyOf("a", "session", id), []byte("of a"), until))
	wantValue(t, s, state.KeyOf("b", "session", id), nil)
	wantValue(t, s, state.KeyOf("a", "pending", id), nil)
	wantValue(t, s, state.KeyOf("a", "session", id), []byte("of a"))
}
