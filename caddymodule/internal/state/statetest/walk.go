package statetest

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// met is what a walk meets, and fails where it meets something twice.
func met(t *testing.T, s state.Store) map[state.Key]string {
	t.Helper()
	all := map[state.Key]string{}
	must(t, s.Walk(t.Context(), func(k state.Key, value []byte) error {
		if _, again := all[k]; again {
			t.Errorf("%x: met twice", k)
		}
		all[k] = string(value)
		return nil
	}))
	return all
}

func walk(t *testing.T, open Open) {
	s, clock := start(t, open)
	if all := met(t, s); len(all) != 0 {
		t.Fatalf("an empty store: %v", all)
	}
	long, short := clock.Now().Add(time.Hour), clock.Now().Add(time.Minute)
	must(t, s.Put(t.Context(), key("session", 1), []byte("one"), long))
	must(t, s.Put(t.Context(), key("session", 2), []byte("two"), short))
	must(t, s.Put(t.Context(), key("session", 3), []byte("three"), long))
	_, _, err := s.Swap(t.Context(), key("list", 1), nil, []byte("a list"), long)
	must(t, err)
	// What are no values is not met.
	wantFirst(t, s, key("spent", 1), long, true)
	wantCount(t, s, key("failures", 1), 1, 1)
	must(t, s.Delete(t.Context(), key("session", 3)))
	want := map[state.Key]string{key("session", 1): "one", key("session", 2): "two", key("list", 1): "a list"}
	if all := met(t, s); !maps.Equal(all, want) {
		t.Fatalf("met %v, want %v", all, want)
	}
	stop := errors.New("enough")
	calls := 0
	if err := s.Walk(t.Context(), func(state.Key, []byte) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("after the first error: %v, %d calls", err, calls)
	}
	clock.Advance(2 * time.Minute)
	delete(want, key("session", 2))
	if all := met(t, s); !maps.Equal(all, want) {
		t.Fatalf("after an expiry: %v, want %v", all, want)
	}
	// What was asked for a moment ago is known to every store.
	wantValue(t, s, key("session", 1), []byte("one"))
	known := map[state.Key]string{}
	s.Known(func(k state.Key, value []byte) { known[k] = string(value) })
	if known[key("session", 1)] != "one" || known[key("session", 2)] != "" || known[key("session", 3)] != "" {
		t.Fatalf("known: %v", known)
	}
	must(t, s.Close())
	s.Known(func(state.Key, []byte) { t.Error("a closed store knows something") })
}

// walkMany walks while others are put and taken away: whatever is there all the time is met, once.
func walkMany(t *testing.T, open Open) {
	s, clock := start(t, open)
	until := clock.Now().Add(time.Hour)
	const many = 3000
	want := map[state.Key]string{}
	for i := range many {
		want[key("session", i)] = fmt.Sprint(i)
		must(t, s.Put(t.Context(), key("session", i), fmt.Append(nil, i), until))
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for i := many; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Put(t.Context(), key("session", i), []byte("other"), until); err != nil {
				t.Error(err)
			}
			if err := s.Delete(t.Context(), key("session", i)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		all := met(t, s)
		maps.DeleteFunc(all, func(_ state.Key, value string) bool { return value == "other" })
		if !maps.Equal(all, want) {
			t.Errorf("met %d, want %d", len(all), len(want))
		}
	}
	close(stop)
	others.Wait()
}
