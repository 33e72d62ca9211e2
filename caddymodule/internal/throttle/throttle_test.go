package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

var stores = map[string]statetest.Open{
	"memory": func(_ *testing.T, now func() time.Time) state.Store {
		return state.NewMemory(state.Options{Now: now})
	},
	"local": func(t *testing.T, now func() time.Time) state.Store {
		s, err := state.OpenLocal(filepath.Join(t.TempDir(), "state.db"), state.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
}

// fixture is a throttle on a store, with few allowed so that tests are short.
type fixture struct {
	*throttle.Throttle
	t     *testing.T
	store state.Store
	clock statetest.Clock
}

var few = throttle.Rules{
	Client: throttle.Rule{Limit: 6, Window: 10 * time.Minute},
	User:   throttle.Rule{Limit: 3, Window: 5 * time.Minute},
	Issue:  throttle.Rule{Limit: 4, Window: time.Minute},
}

// onEachStore runs a test on every kind of store.
func onEachStore(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t: t}
			f.store = open(t, f.clock.Now)
			defer f.store.Close()
			f.Throttle = throttle.New(f.store, "realm", few, f.clock.Now)
			test(t, f)
		})
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// client returns one of many clients, each in a network of its own.
func client(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// toThePassword is an attempt whose captcha was right, if one was asked for.
func (f *fixture) toThePassword(v throttle.Visitor) (*throttle.Attempt, error) {
	a, err := f.ReserveSignIn(f.t.Context(), v)
	if err == nil {
		err = a.ReserveUser(f.t.Context())
	}
	return a, err
}

// try is an attempt of a stranger.
func (f *fixture) try(client netip.Addr, user string) (*throttle.Attempt, error) {
	return f.toThePassword(throttle.Visitor{Client: client, User: user})
}

func (f *fixture) reserve(client netip.Addr, user string) *throttle.Attempt {
	f.t.Helper()
	a, err := f.try(client, user)
	if err != nil {
		f.t.Fatalf("%v %q: %v", client, user, err)
	}
	return a
}

func (f *fixture) fail(client netip.Addr, user string) {
	f.t.Helper()
	f.reserve(client, user).PasswordFailed(f.t.Context())
}

func (f *fixture) wantLimit(err error, bucket string, retry time.Duration) {
	f.t.Helper()
	var limit *throttle.LimitError
	if !errors.As(err, &limit) {
		f.t.Fatalf("error %v, want a limit", err)
	}
	if limit.Bucket != bucket || limit.RetryAfter != retry {
		f.t.Fatalf("limit %+v, want %s for %v", *limit, bucket, retry)
	}
}

func (f *fixture) wantRefused(client netip.Addr, user, bucket string, retry time.Duration) {
	f.t.Helper()
	_, err := f.try(client, user)
	f.wantLimit(err, bucket, retry)
}

// left returns how many more attempts of different clients are allowed for a user, and uses them up.
func (f *fixture) leftForUser(user string, first int) int {
	for n := 0; ; n++ {
		if _, err := f.try(client(first+n), user); err != nil {
			return n
		}
	}
}

// leftForClient does the same for a client without a user.
func (f *fixture) leftForClient(client netip.Addr) int {
	for n := 0; ; n++ {
		if _, err := f.try(client, ""); err != nil {
			return n
		}
	}
}

func TestTHR2_SpellingsOfAUserShareABucket(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.fail(client(1), "Bob")
		f.fail(client(2), "bob ")
		f.fail(client(3), "BOB")
		f.wantRefused(client(4), "bob", throttle.BucketUser, 5*time.Minute)
		f.wantRefused(client(5), "ｂｏｂ", throttle.BucketUser, 5*time.Minute)
		f.fail(client(6), "bobby")
	})
}

func TestTHR3_AddressesOfANetworkShareABucket(t *testing.T) {
	for name, c := range map[string]struct {
		addrs []netip.Addr
		other netip.Addr
	}{
		"IPv4":            {[]netip.Addr{addr("192.0.2.7"), addr("::ffff:192.0.2.7")}, addr("192.0.2.8")},
		"IPv6 /64":        {[]netip.Addr{addr("2001:db8:1:2::1"), addr("2001:db8:1:2:ffff::9"), addr("2001:db8:1:2::1%eth0")}, addr("2001:db8:1:3::1")},
		"invalid":         {[]netip.Addr{{}}, addr("0.0.0.0")},
		"not mapped":      {[]netip.Addr{addr("::192.0.2.7"), addr("::1")}, addr("192.0.2.7")},
		"zero is no hole": {[]netip.Addr{addr("0.0.0.0")}, addr("::")},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, f *fixture) {
				for i := range few.Client.Limit {
					f.fail(c.addrs[i%len(c.addrs)], fmt.Sprint("user", i))
				}
				for _, a := range c.addrs {
					f.wantRefused(a, "somebody", throttle.BucketClient, 10*time.Minute)
				}
				f.fail(c.other, "somebody")
			})
		})
	}
}

func TestTHR3_TwoHundredAddressesOfOneNetworkShareABucket(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		passed := 0
		for i := range 200 {
			a := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)})
			if _, err := f.try(a, fmt.Sprint("user", i)); err == nil {
				passed++
			}
		}
		if passed != few.Client.Limit {
			t.Fatalf("%d attempts passed, want %d", passed, few.Client.Limit)
		}
	})
}

func TestTHR5_FakeNamesDoNotFreeTheTarget(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range few.User.Limit {
			f.fail(client(i), "target")
		}
		for i := range 100_000 {
			f.fail(client(1000+i), fmt.Sprint("fake", i))
		}
		f.wantRefused(client(500), "target", throttle.BucketUser, 5*time.Minute)
	})
}

func TestTHR6_CountersOutliveTheThrottle(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range few.User.Limit {
			f.fail(client(i), "target")
		}
		f.Throttle = throttle.New(f.store, "realm", few, f.clock.Now) // as after a reload
		f.wantRefused(client(500), "target", throttle.BucketUser, 5*time.Minute)
		f.Throttle = throttle.New(f.store, "another realm", few, f.clock.Now)
		f.fail(client(500), "target") // SES-7
	})
}

func TestTHR8_ParallelGuessesAreCountedBeforeTheyAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		client func(i int) netip.Addr
		user   func(i int) string
		limit  int
	}{
		"of a user":   {client, func(int) string { return "target" }, few.User.Limit},
		"of a client": {func(int) netip.Addr { return client(1) }, func(i int) string { return fmt.Sprint("user", i) }, few.Client.Limit},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, f *fixture) {
				var judged, refused atomic.Int32
				gate := make(chan struct{})
				var wg sync.WaitGroup
				for i := range 200 {
					wg.Go(func() {
						<-gate
						a, err := f.try(c.client(i), c.user(i))
						if errors.As(err, new(*throttle.LimitError)) {
							refused.Add(1)
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
						judged.Add(1)
						runtime.Gosched()
						a.PasswordFailed(t.Context())
					})
				}
				close(gate)
				wg.Wait()
				if j, r := judged.Load(), refused.Load(); int(j) > c.limit || j == 0 || j+r != 200 {
					t.Fatalf("%d judged, %d refused, limit %d", j, r, c.limit)
				}
			})
		})
	}
}

func TestTHR10_RetryAfterIsTheEndOfTheWindowRoundedUp(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range few.User.Limit {
			f.fail(client(i), "nobody of that name")
		}
		f.clock.Advance(1500 * time.Millisecond)
		f.wantRefused(client(9), "nobody of that name", throttle.BucketUser, 5*time.Minute-time.Second)
		f.clock.Advance(5*time.Minute - 1501*time.Millisecond)
		f.wantRefused(client(9), "nobody of that name", throttle.BucketUser, time.Second)
		f.clock.Advance(time.Millisecond)
		f.fail(client(9), "nobody of that name")
	})
}

func TestTHR10_LimitErrorTellsNoNames(t *testing.T) {
	err := (&throttle.LimitError{Bucket: throttle.BucketUser, RetryAfter: 3 * time.Second}).Error()
	if !strings.Contains(err, "user") || !strings.Contains(err, "3s") {
		t.Fatal(err)
	}
}

func TestRefusedAttemptsCountNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range few.User.Limit {
			f.fail(client(i), "target")
		}
		for range 20 { // refused for the user, so the client pays nothing
			f.wantRefused(client(9), "target", throttle.BucketUser, 5*time.Minute)
		}
		if n := f.leftForClient(client(9)); n != few.Client.Limit {
			t.Fatalf("%d attempts left, want %d", n, few.Client.Limit)
		}
	})
}

func TestSettling(t *testing.T) {
	for name, c := range map[string]struct {
		settle       func(context.Context, *throttle.Attempt)
		client, user int // what is left after one settled attempt, and one failed attempt before it
	}{
		"unsettled":      {func(context.Context, *throttle.Attempt) {}, few.Client.Limit - 2, few.User.Limit - 2},
		"password wrong": {func(ctx context.Context, a *throttle.Attempt) { a.PasswordFailed(ctx) }, few.Client.Limit - 2, few.User.Limit - 2},
		"captcha wrong":  {func(ctx context.Context, a *throttle.Attempt) { a.CaptchaFailed(ctx) }, few.Client.Limit - 2, few.User.Limit - 1},
		"released":       {func(ctx context.Context, a *throttle.Attempt) { a.Release(ctx) }, few.Client.Limit - 1, few.User.Limit - 1},
		"succeeded":      {func(ctx context.Context, a *throttle.Attempt) { a.Succeeded(ctx) }, few.Client.Limit - 1, few.User.Limit - 1},
		"twice": {func(ctx context.Context, a *throttle.Attempt) {
			a.PasswordFailed(ctx)
			a.Release(ctx)
			a.CaptchaFailed(ctx)
			a.Succeeded(ctx)
		}, few.Client.Limit - 2, few.User.Limit - 2},
		"after the client hung up": {func(ctx context.Context, a *throttle.Attempt) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			a.Succeeded(ctx)
		}, few.Client.Limit - 1, few.User.Limit - 1},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, f *fixture) {
				f.fail(client(1), "user")
				c.settle(t.Context(), f.reserve(client(1), "user"))
				if n := f.leftForClient(client(1)); n != c.client {
					t.Errorf("%d attempts left for the client, want %d", n, c.client)
				}
				if n := f.leftForUser("user", 100); n != c.user {
					t.Errorf("%d attempts left for the user, want %d", n, c.user)
				}
			})
		})
	}
}

func TestReleaseMakesRoomForOneAlthoughOthersWereRefused(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		a := f.reserve(client(0), "user")
		for i := 1; i < few.User.Limit; i++ {
			f.fail(client(i), "user")
		}
		for range 20 {
			f.wantRefused(client(9), "user", throttle.BucketUser, 5*time.Minute)
		}
		a.Release(t.Context())
		if n := f.leftForUser("user", 100); n != 1 {
			t.Errorf("%d attempts left, want 1", n)
		}
	})
}

// A count that ended with its window, or that was cleared, must not be taken from a later one: that would be a free
// guess.
func TestTHR8_NothingIsGivenBackToALaterWindow(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		late := f.reserve(client(1), "user")
		f.clock.Advance(10 * time.Minute)
		f.fail(client(1), "user")
		late.Release(t.Context())
		if n := f.leftForUser("user", 100); n != few.User.Limit-1 {
			t.Errorf("%d attempts left for the user, want %d", n, few.User.Limit-1)
		}
		if n := f.leftForClient(client(1)); n != few.Client.Limit-1 {
			t.Errorf("%d attempts left for the client, want %d", n, few.Client.Limit-1)
		}
	})
	onEachStore(t, func(t *testing.T, f *fixture) {
		late := f.reserve(client(1), "user")
		f.clock.Advance(time.Second)
		f.reserve(client(2), "user").Succeeded(t.Context())
		f.fail(client(3), "user")
		late.Release(t.Context())
		if n := f.leftForUser("user", 100); n != few.User.Limit-1 {
			t.Errorf("%d attempts left for the user, want %d", n, few.User.Limit-1)
		}
	})
}

func TestCAP9_DrawingIsBoundPerNetwork(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		draw := func(a netip.Addr) error { return f.Draw(t.Context(), throttle.Visitor{Client: a}) }
		for range few.Issue.Limit {
			if err := draw(client(1)); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			f.wantLimit(draw(client(1)), throttle.BucketIssue, time.Minute)
		}
		if err := draw(client(2)); err != nil {
			t.Fatal(err)
		}
		f.fail(client(1), "user") // drawing is not failing
		f.clock.Advance(time.Minute)
		if err := draw(client(1)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTHR9_AFailingStoreRefuses(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		a := f.reserve(client(1), "user")
		if err := f.store.Close(); err != nil {
			t.Fatal(err)
		}
		refused := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, state.ErrClosed) || errors.As(err, new(*throttle.LimitError)) {
				t.Errorf("%s: error %v", what, err)
			}
		}
		_, err := f.try(client(1), "user")
		refused("reserve", err)
		refused("draw", f.Draw(t.Context(), throttle.Visitor{Client: client(1)}))
		a.Succeeded(t.Context())
	})
}

func TestDefaultRulesStandInForRulesThatCannotWork(t *testing.T) {
	d := throttle.DefaultRules()
	for _, r := range []throttle.Rule{{}, {Limit: -1, Window: time.Minute}, {Limit: 3}, {Limit: 3, Window: -1}} {
		f := &fixture{t: t}
		f.store = stores["memory"](t, f.clock.Now)
		defer f.store.Close()
		f.Throttle = throttle.New(f.store, "realm", throttle.Rules{Client: r, User: r, Issue: r}, f.clock.Now)
		if n := f.leftForClient(client(1)); n != d.Client.Limit || n != 20 {
			t.Errorf("%+v: %d attempts for a client", r, n)
		}
		if n := f.leftForUser("user", 100); n != d.User.Limit || n != 10 {
			t.Errorf("%+v: %d attempts for a user", r, n)
		}
		n := 0
		for f.Draw(t.Context(), throttle.Visitor{Client: client(1)}) == nil {
			n++
		}
		if n != d.Issue.Limit || n != 60 {
			t.Errorf("%+v: %d drawings", r, n)
		}
	}
}
