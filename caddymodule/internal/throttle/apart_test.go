package throttle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// touchyStore minds what stores may mind: a context that has ended, and one of the
// counts, which it fails.
type touchyStore struct {
	state.Store
	left int // counts until the one that fails; at 0 none does
}

var errTouchy = errors.New("fault of the store")

func (s *touchyStore) Add(ctx context.Context, k state.Key, delta int, window time.Duration) (state.Tally, error) {
	if s.left--; s.left == 0 {
		return state.Tally{}, errTouchy
	}
	return s.Store.Add(ctx, k, delta, window)
}

func (s *touchyStore) Delete(ctx context.Context, k state.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, k)
}

func (s *touchyStore) Undo(ctx context.Context, k state.Key, resets time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Store.Undo(ctx, k, resets)
}

// touchy is the fixture's throttle on a store that minds.
func (f *fixture) touchy() *touchyStore {
	s := &touchyStore{Store: f.store}
	rules := few
	rules.Site = throttle.Rule{Limit: 100, Window: time.Minute}
	f.Throttle = throttle.New(s, "realm", rules, f.clock.Now)
	return s
}

// Where it is not known what failed, nothing may count as clean.
func TestTHR8_WhicheverCountFailsIsSaid(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		s := f.touchy()
		stranger := throttle.Visitor{Client: client(1), User: "alice"}
		for name, c := range map[string]struct {
			counts int
			ask    func() error
		}{
			"failures of a stranger": {3, func() error { _, err := f.Failures(t.Context(), stranger); return err }},
			"failures of a device":   {1, func() error { _, err := f.Failures(t.Context(), f.device(1, "alice")); return err }},
			"a sign-in":              {6, func() error { _, err := f.toThePassword(stranger); return err }},
			"a code":                 {2, func() error { _, err := f.ReserveCode(t.Context(), stranger); return err }},
			"sending": {4, func() error {
				_, err := f.ReserveSend(t.Context(), stranger, "+49151", throttle.DefaultSendRules())
				return err
			}},
			"a picture": {1, func() error { return f.Draw(t.Context(), stranger) }},
		} {
			for n := range c.counts {
				s.left = n + 1
				if err := c.ask(); !errors.Is(err, errTouchy) {
					t.Errorf("%s, count %d: %v", name, n+1, err)
				}
			}
			s.left = 0
			if err := c.ask(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		f.wantFailures(throttle.Visitor{Client: client(1)}, 1) // what failed half-way was given back
	})
}

func TestWhoHangsUpIsForgivenAllTheSame(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.touchy()
		device := f.device(1, "alice")
		for name, forgive := range map[string]func(*throttle.Attempt){
			"succeeded": func(a *throttle.Attempt) { a.Succeeded(gone) },
			"released":  func(a *throttle.Attempt) { a.Release(gone) },
			"passed":    func(a *throttle.Attempt) { a.PasswordFailed(gone); f.Passed(gone, device) },
		} {
			a, err := f.toThePassword(device)
			if err != nil {
				t.Fatal(err)
			}
			forgive(a)
			if n, err := f.Failures(t.Context(), device); n != 0 || err != nil {
				t.Errorf("%s: %d failures, %v", name, n, err)
			}
		}
	})
}

func TestAKnownDeviceThatPassedBeginsWithShortWaits(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		device := f.device(1, "alice")
		for range 3 {
			for range few.User.Limit - 1 {
				if err := f.failOn(device); err != nil {
					t.Fatal(err)
				}
			}
			f.Passed(t.Context(), device)
		}
		for range few.User.Limit {
			if err := f.failOn(device); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.failOn(device), throttle.BucketDevice, few.User.Window)
	})
}

func TestOTP4_ARefusedCodeCountsInNoBudget(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		day := 24 * time.Hour
		rules := throttle.SendRules{
			User: throttle.Rule{Limit: 9, Window: day}, Destination: throttle.Rule{Limit: 1, Window: day},
			Network: throttle.Rule{Limit: 2, Window: day}, Total: throttle.Rule{Limit: 9, Window: day},
		}
		alice := throttle.Visitor{Client: client(1), User: "alice"}
		send := func(to string) (*throttle.Budget, error) { return f.ReserveSend(t.Context(), alice, to, rules) }
		if _, err := send("+1"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, err := send("+1")
			f.wantLimit(err, throttle.BucketDestination, day)
		}
		b, err := send("+2")
		if err != nil {
			t.Fatalf("the network's second: %v", err)
		}
		b.Release(t.Context())
		b.Release(t.Context()) // gives nothing back that others have used
		if _, err := send("+2"); err != nil {
			t.Fatal(err)
		}
		_, err = send("+3")
		f.wantLimit(err, throttle.BucketNetwork, day)
	})
}

func TestBudgetsOfDifferentKindsAreApart(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		one := throttle.Rule{Limit: 1, Window: time.Hour}
		for _, kind := range []string{"", "sign_up", "other"} {
			rules := throttle.SendRules{User: one, Destination: one, Network: one, Total: one, Apart: kind}
			if _, err := f.ReserveSend(t.Context(), throttle.Visitor{Client: client(1), User: "alice"}, "+1", rules); err != nil {
				t.Errorf("%q: %v", kind, err)
			}
		}
	})
}

// The row goes on when a bucket ends: it is where the ceiling and the growing waits
// come from.
func TestAnOperatorSeesTheRowApartFromTheBucket(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		alice := throttle.Visitor{Client: client(1), User: "alice"}
		for range few.User.Limit - 1 {
			f.fail(client(1), "alice")
			if err := f.guess(alice); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.Advance(few.User.Window)
		f.fail(client(1), "alice")
		if err := f.guess(alice); err != nil {
			t.Fatal(err)
		}
		buckets, err := f.OfUser(t.Context(), "alice", asked)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{
			throttle.BucketUser: 1, throttle.BucketUser + "_in_a_row": 3, throttle.BucketCode: 1, throttle.BucketCode + "_in_a_row": 3,
		} {
			if b, ok := named(buckets, name); !ok || b.Count != want {
				t.Errorf("%s: %+v, want %d", name, b, want)
			}
		}
		if buckets, err = f.OfClient(t.Context(), client(1), asked); err != nil {
			t.Fatal(err)
		}
		if _, ok := named(buckets, throttle.BucketNetwork+"_sign_up"); !ok {
			t.Errorf("codes for sign-ups of a network: %+v", buckets)
		}
	})
}

func TestWithoutRulesTheDefaultsHold(t *testing.T) {
	if d := throttle.DefaultRules(); d.Client != (throttle.Rule{Limit: 20, Window: 10 * time.Minute}) ||
		d.User != (throttle.Rule{Limit: 10, Window: 10 * time.Minute}) || d.Issue != (throttle.Rule{Limit: 60, Window: time.Minute}) {
		t.Errorf("%+v", d)
	}
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.Throttle = throttle.New(f.store, "realm", throttle.Rules{}, f.clock.Now)
		for n := range throttle.DefaultRules().User.Limit {
			f.fail(client(n), "alice")
		}
		f.wantRefused(client(99), "alice", throttle.BucketUser, 10*time.Minute)
	})
}
