package throttle_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

func (f *fixture) guess(v throttle.Visitor) error {
	a, err := f.ReserveCode(f.t.Context(), v)
	if err == nil {
		a.PasswordFailed(f.t.Context())
	}
	return err
}

func TestOTP2_WrongCodesOfAUserAreCountedOverAllAddresses(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for n := range few.User.Limit {
			if err := f.guess(throttle.Visitor{Client: client(n), User: []string{"alice", "Alice", "ALICE "}[n%3]}); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.guess(throttle.Visitor{Client: client(99), User: "alice"}), throttle.BucketCode, few.User.Window)
		if err := f.guess(throttle.Visitor{Client: client(0), User: "bob"}); err != nil {
			t.Errorf("another user: %v", err)
		}
		device := f.device(1, "alice")
		if err := f.guess(device); err != nil {
			t.Errorf("a known device of the same user: %v", err)
		}
		if got := f.leftForUser("alice", 200); got != few.User.Limit {
			t.Errorf("%d sign-ins left, want %d: codes are counted apart", got, few.User.Limit)
		}
	})
}

func TestTHR7_ARightPasswordOrCodeOfAStrangerResetsNoCodes(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		stranger := throttle.Visitor{Client: client(1), User: "alice"}
		for range few.User.Limit - 1 {
			if err := f.guess(stranger); err != nil {
				t.Fatal(err)
			}
		}
		f.reserve(client(2), "alice").Release(t.Context()) // a right password
		right, err := f.ReserveCode(t.Context(), stranger)
		if err != nil {
			t.Fatal(err)
		}
		right.Succeeded(t.Context())
		f.Passed(t.Context(), stranger)
		if err := f.guess(stranger); err != nil {
			t.Fatal(err)
		}
		f.wantLimit(f.guess(stranger), throttle.BucketCode, few.User.Window)
	})
}

func TestAKnownDeviceIsForgivenWhenAllFactorsPassed(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		device := f.device(1, "alice")
		for range few.User.Limit - 1 {
			if err := f.failOn(device); err != nil {
				t.Fatal(err)
			}
		}
		f.wantFailures(device, few.User.Limit-1)
		f.Passed(t.Context(), device)
		f.wantFailures(device, 0)
	})
}

func TestOTP2_ParallelGuessesAtCodesAreCountedFirst(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		var judged atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if f.guess(throttle.Visitor{Client: client(1), User: "alice"}) == nil {
					judged.Add(1)
				}
			})
		}
		wg.Wait()
		if n := int(judged.Load()); n > few.User.Limit {
			t.Errorf("%d judged, want at most %d", n, few.User.Limit)
		}
	})
}

func TestOTP4_EachBudgetOfSendingHoldsByItself(t *testing.T) {
	wide := throttle.Rule{Limit: 1000, Window: 24 * time.Hour}
	three := throttle.Rule{Limit: 3, Window: 24 * time.Hour}
	for name, c := range map[string]struct {
		rules throttle.SendRules
		send  func(n int) (throttle.Visitor, string)
	}{
		throttle.BucketUserCodes: {throttle.SendRules{User: three, Destination: wide, Network: wide, Total: wide}, func(n int) (throttle.Visitor, string) {
			return throttle.Visitor{Client: client(n), User: "alice"}, fmt.Sprint("+49", n)
		}},
		throttle.BucketDestination: {throttle.SendRules{User: wide, Destination: three, Network: wide, Total: wide}, func(n int) (throttle.Visitor, string) {
			return throttle.Visitor{Client: client(n), User: fmt.Sprint("user", n)}, "+49151"
		}},
		throttle.BucketNetwork: {throttle.SendRules{User: wide, Destination: wide, Network: three, Total: wide}, func(n int) (throttle.Visitor, string) {
			return throttle.Visitor{Client: client(1), User: fmt.Sprint("user", n)}, fmt.Sprint("+49", n)
		}},
		throttle.BucketTotal: {throttle.SendRules{User: wide, Destination: wide, Network: wide, Total: three}, func(n int) (throttle.Visitor, string) {
			return throttle.Visitor{Client: client(n), User: fmt.Sprint("user", n)}, fmt.Sprint("+49", n)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, f *fixture) {
				for n := range 3 {
					v, to := c.send(n)
					if _, err := f.ReserveSend(t.Context(), v, to, c.rules); err != nil {
						t.Fatal(err)
					}
				}
				v, to := c.send(4)
				for range 2 { // what is refused counts in no other budget
					_, err := f.ReserveSend(t.Context(), v, to, c.rules)
					f.wantLimit(err, name, 24*time.Hour)
				}
				f.clock.Advance(24 * time.Hour)
				b, err := f.ReserveSend(t.Context(), v, to, c.rules)
				if err != nil {
					t.Fatal(err)
				}
				b.Release(t.Context())
				for n := range 3 {
					v, to := c.send(n)
					if _, err := f.ReserveSend(t.Context(), v, to, c.rules); err != nil {
						t.Fatalf("after one was given back: %v", err)
					}
				}
			})
		})
	}
}

func TestUSR2_SignUpsOfANetworkAreLimited(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range 2 {
			if _, err := f.ReserveSignUp(t.Context(), client(1), 3); err != nil {
				t.Fatal(err)
			}
		}
		release, err := f.ReserveSignUp(t.Context(), client(1), 3)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.ReserveSignUp(t.Context(), client(1), 3)
		f.wantLimit(err, throttle.BucketSignUp, 24*time.Hour)
		release()
		if _, err := f.ReserveSignUp(t.Context(), client(1), 3); err != nil {
			t.Errorf("after one was given back: %v", err)
		}
		if _, err := f.ReserveSignUp(t.Context(), client(2), 3); err != nil {
			t.Errorf("another network: %v", err)
		}
	})
}

func TestQuestionsAboutPasswordsAreLimited(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range 120 {
			if err := f.JudgeStrength(t.Context(), client(1)); err != nil {
				t.Fatal(err)
			}
		}
		var limit *throttle.LimitError
		if err := f.JudgeStrength(t.Context(), client(1)); !errors.As(err, &limit) {
			t.Errorf("the 121st: %v", err)
		}
	})
}
