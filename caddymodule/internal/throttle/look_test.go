package throttle_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

func named(buckets []throttle.Bucket, name string) (throttle.Bucket, bool) {
	for _, b := range buckets {
		if b.Name == name {
			return b, true
		}
	}
	return throttle.Bucket{}, false
}

var asked = throttle.Asked{
	Send: throttle.DefaultSendRules(), SendForSignUp: apart(throttle.DefaultSendRules()), SignUps: 5,
	Destination: "+431234567", Email: "alice@example.com",
}

func apart(rules throttle.SendRules) throttle.SendRules {
	rules.Apart = "sign_up"
	return rules
}

func TestAnOperatorSeesAndLiftsWhatCountsAgainstAUser(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		var refused []string
		f.Refused = func(bucket string) { refused = append(refused, bucket) }
		alice := throttle.Visitor{Client: netip.MustParseAddr("203.0.113.7"), User: "Alice"}
		fail := func() error {
			a, err := f.toThePassword(alice)
			if err == nil {
				a.PasswordFailed(t.Context())
			}
			return err
		}
		for range few.User.Limit {
			if err := fail(); err != nil {
				t.Fatal(err)
			}
		}
		var limit *throttle.LimitError
		if err := fail(); !errors.As(err, &limit) || len(refused) != 1 || refused[0] != throttle.BucketUser {
			t.Fatalf("%v, told of %v", err, refused)
		}
		look := func(user string) throttle.Bucket {
			buckets, err := f.OfUser(t.Context(), user, asked)
			if err != nil {
				t.Fatal(err)
			}
			b, ok := named(buckets, throttle.BucketUser)
			if row, there := named(buckets, throttle.BucketUser+"_in_a_row"); !ok || !there || row.Limit != throttle.Ceiling || row.Count != b.Count {
				t.Errorf("%+v", buckets)
			}
			return b
		}
		// Any spelling of the name is the same bucket.
		if b := look(" aLICE"); b.Count != 3 || b.Limit != 3 || !b.Resets.Equal(f.clock.Now().Add(few.User.Window)) {
			t.Errorf("%+v", b)
		}
		if b := look("bob"); b.Count != 0 || !b.Resets.IsZero() {
			t.Errorf("nobody failed as bob: %+v", b)
		}
		if err := f.LiftUser(t.Context(), "alice", asked); err != nil {
			t.Fatal(err)
		}
		if b := look("alice"); b.Count != 0 {
			t.Errorf("after lifting: %+v", b)
		}
		if _, err := f.ReserveSend(t.Context(), alice, "alice@example.com", asked.SendForSignUp); err != nil {
			t.Fatal(err)
		}
		buckets, err := f.OfUser(t.Context(), "alice", asked)
		if err != nil {
			t.Fatal(err)
		}
		signIns, _ := named(buckets, throttle.BucketDestination)
		signUps, _ := named(buckets, throttle.BucketDestination+"_sign_up")
		if signIns.Count != 0 || signUps.Count != 1 {
			t.Errorf("a code for a sign-up counts as %+v and %+v", signIns, signUps)
		}
		if err := fail(); err != nil {
			t.Errorf("after lifting: %v", err)
		}
	})
}

func TestAnOperatorSeesAndLiftsWhatCountsAgainstANetwork(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		inNetwork, sameNetwork := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
		for range few.Issue.Limit {
			if err := f.Draw(t.Context(), throttle.Visitor{Client: inNetwork}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.ReserveSignUp(t.Context(), inNetwork, asked.SignUps); err != nil {
			t.Fatal(err)
		}
		buckets, err := f.OfClient(t.Context(), sameNetwork, asked)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{throttle.BucketIssue: 4, throttle.BucketSignUp: 1, throttle.BucketClient: 0, throttle.BucketNetwork: 0} {
			if b, ok := named(buckets, name); !ok || b.Count != want {
				t.Errorf("%s: %+v, want %d", name, b, want)
			}
		}
		if err := f.LiftClient(t.Context(), sameNetwork, asked); err != nil {
			t.Fatal(err)
		}
		if err := f.Draw(t.Context(), throttle.Visitor{Client: inNetwork}); err != nil {
			t.Errorf("after lifting: %v", err)
		}
		// What a gate has not is not told.
		buckets, err = f.OfClient(t.Context(), inNetwork, throttle.Asked{})
		if _, ok := named(buckets, throttle.BucketSignUp); ok || err != nil {
			t.Errorf("%+v, %v", buckets, err)
		}
	})
}

func TestLookingAtBucketsCountsNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range 10 {
			if _, err := f.OfUser(t.Context(), "alice", asked); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.Advance(time.Second)
		if n, err := f.Failures(t.Context(), throttle.Visitor{User: "alice"}); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
