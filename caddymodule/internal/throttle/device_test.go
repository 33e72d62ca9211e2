package throttle_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

func (f *fixture) device(id byte, user string) throttle.Visitor {
	return throttle.Visitor{Client: client(1), User: user, Device: [16]byte{id}}
}

func (f *fixture) failOn(v throttle.Visitor) error {
	a, err := f.toThePassword(v)
	if err == nil {
		a.PasswordFailed(f.t.Context())
	}
	return err
}

func (f *fixture) wantFailures(v throttle.Visitor, want int) {
	f.t.Helper()
	got, err := f.Failures(f.t.Context(), v)
	if err != nil || got != want {
		f.t.Fatalf("%d failures, %v; want %d", got, err, want)
	}
}

func TestTHR1_EachFilledBucketLastsTwiceAsLong(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		n := 0
		for _, minutes := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640} {
			for range few.User.Limit {
				f.fail(client(n), "target")
				n++
			}
			f.wantRefused(client(n), "target", throttle.BucketUser, minutes*time.Minute)
			f.clock.Advance(minutes * time.Minute)
		}
		for range few.User.Limit {
			f.fail(client(n), "target")
			n++
		}
		f.wantRefused(client(n), "target", throttle.BucketUser, 1280*time.Minute)
		f.clock.Advance(24 * time.Hour) // the row is over too
		for range few.User.Limit {
			f.fail(client(n), "target")
			n++
		}
		f.wantRefused(client(n), "target", throttle.BucketUser, 5*time.Minute)
	})
}

func TestTHR1_TheHundredAndFirstFailureInARowIsNotJudged(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.Throttle = throttle.New(f.store, "realm", throttle.Rules{User: throttle.Rule{Limit: 1000, Window: time.Minute}}, f.clock.Now)
		for i := range throttle.Ceiling {
			f.fail(client(i), "target")
			f.clock.Advance(time.Minute)
		}
		f.wantRefused(client(500), "target", throttle.BucketUser, 24*time.Hour-throttle.Ceiling*time.Minute)
		if err := f.failOn(f.device(1, "target")); err != nil {
			t.Fatalf("the known device: %v", err)
		}
		f.clock.Advance(24*time.Hour - throttle.Ceiling*time.Minute)
		f.fail(client(500), "target") // nobody is locked out for good
	})
}

func TestTHR1_ASuccessBeginsANewRowOnAKnownDeviceAlone(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.Throttle = throttle.New(f.store, "realm", throttle.Rules{
			Client: throttle.Rule{Limit: 1000, Window: time.Minute}, User: throttle.Rule{Limit: 1000, Window: time.Minute},
		}, f.clock.Now)
		for name, c := range map[string]struct {
			visitor throttle.Visitor
			bucket  string
			after   int // failures that are judged after the success
		}{
			"stranger":     {throttle.Visitor{Client: client(1), User: "target"}, throttle.BucketUser, 1},
			"known device": {f.device(1, "target"), throttle.BucketDevice, throttle.Ceiling},
		} {
			for range throttle.Ceiling - 1 {
				if err := f.failOn(c.visitor); err != nil {
					t.Fatal(err)
				}
			}
			for _, settle := range []func(*throttle.Attempt, context.Context){(*throttle.Attempt).CaptchaFailed, (*throttle.Attempt).Succeeded} {
				a, err := f.toThePassword(c.visitor)
				if err != nil {
					t.Fatal(err)
				}
				settle(a, t.Context())
			}
			judged := 0
			for judged <= throttle.Ceiling && f.failOn(c.visitor) == nil {
				judged++
			}
			if judged != c.after {
				t.Errorf("%s: %d failures judged after a success, want %d", name, judged, c.after)
			}
			f.wantLimit(f.failOn(c.visitor), c.bucket, 24*time.Hour)
		}
	})
}

func TestAWrongCaptchaOnAKnownDeviceCountsForTheDevice(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		a, err := f.toThePassword(f.device(1, "owner"))
		if err != nil {
			t.Fatal(err)
		}
		a.CaptchaFailed(t.Context())
		f.wantFailures(f.device(1, "owner"), 1)
	})
}

// What a stranger's attempt reserved and gave back leaves nothing behind.
func TestTHR5_MadeUpNamesTakeNoMemory(t *testing.T) {
	f := &fixture{t: t}
	f.store = stores["memory"](t, f.clock.Now)
	defer f.store.Close()
	f.Throttle = throttle.New(f.store, "realm", throttle.Rules{Client: throttle.Rule{Limit: 10, Window: time.Hour}}, f.clock.Now)
	before := heap()
	for i := range 100_000 {
		f.reserve(client(1), fmt.Sprint("made up ", i)).Release(t.Context())
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d bytes are left of 100,000 attempts", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTHR4_AFloodByOthersDoesNotKeepTheOwnerOut(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range few.User.Limit {
			f.fail(client(100+i), "owner")
		}
		for i := range few.Client.Limit { // also from the owner's own network
			f.fail(client(1), fmt.Sprint("user", i))
		}
		f.wantRefused(client(1), "owner", throttle.BucketClient, 10*time.Minute)
		f.wantRefused(client(2), "owner", throttle.BucketUser, 5*time.Minute)

		home := f.device(1, "owner")
		f.wantFailures(home, 0)
		for range few.User.Limit - 1 {
			if err := f.failOn(home); err != nil {
				t.Fatal(err)
			}
		}
		a, err := f.toThePassword(home)
		if err != nil {
			t.Fatal(err)
		}
		a.Succeeded(t.Context())
		// THR-7: the owner's success at home gives the strangers nothing.
		f.wantRefused(client(2), "owner", throttle.BucketUser, 5*time.Minute)
		f.wantFailures(home, 0)
		for range few.User.Limit {
			if err := f.failOn(home); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.failOn(home), throttle.BucketDevice, 5*time.Minute)
		if err := f.failOn(f.device(2, "owner")); err != nil {
			t.Fatalf("another device: %v", err)
		}
	})
}

func TestAKnownDeviceDrawsFromItsOwnBucket(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range few.Issue.Limit {
			if err := f.Draw(t.Context(), throttle.Visitor{Client: client(1)}); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.Draw(t.Context(), throttle.Visitor{Client: client(1)}), throttle.BucketIssue, time.Minute)
		for range few.Issue.Limit {
			if err := f.Draw(t.Context(), f.device(1, "")); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.Draw(t.Context(), f.device(1, "")), throttle.BucketIssue, time.Minute)
		for range 6 {
			if err := f.DrawWork(t.Context(), throttle.Visitor{Client: client(1)}); err != nil {
				t.Fatal(err)
			}
		}
		f.wantLimit(f.DrawWork(t.Context(), throttle.Visitor{Client: client(1)}), throttle.BucketWork, 10*time.Minute)
		// Who has one account could make many devices.
		f.wantLimit(f.DrawWork(t.Context(), f.device(1, "")), throttle.BucketWork, 10*time.Minute)
	})
}

func TestFailuresOfNetworkUserAndSiteCount(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		rules := few
		rules.Site = throttle.Rule{Limit: 5, Window: time.Minute}
		f.Throttle = throttle.New(f.store, "realm", rules, f.clock.Now)
		stranger := func(n int, user string) throttle.Visitor { return throttle.Visitor{Client: client(n), User: user} }
		f.wantFailures(stranger(1, "user"), 0)
		first, second := f.reserve(client(1), "user"), f.reserve(client(2), "user")
		if first.Failures() != 0 || second.Failures() != 1 {
			t.Fatalf("parallel attempts see %d and %d failures", first.Failures(), second.Failures())
		}
		first.PasswordFailed(t.Context())
		second.Release(t.Context())
		f.wantFailures(stranger(1, ""), 1)
		f.wantFailures(stranger(9, "USER "), 1)
		f.wantFailures(stranger(9, "other"), 0)
		f.reserve(client(3), "other").CaptchaFailed(t.Context())
		f.wantFailures(stranger(3, ""), 1)
		f.wantFailures(stranger(9, "other"), 0)
		for i := range 3 {
			f.fail(client(50+i), fmt.Sprint("name", i))
		}
		f.wantFailures(stranger(9, "other"), 3) // a surge
		if a := f.reserve(client(77), "quiet"); a.Failures() != 3 {
			t.Fatalf("an attempt in a surge sees %d failures", a.Failures())
		}
		f.wantFailures(f.device(1, "user"), 0) // not the known device's business
		f.clock.Advance(time.Minute)
		f.wantFailures(stranger(9, "other"), 0)
	})
}
