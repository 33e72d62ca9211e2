package throttle_test

import (
	"errors"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// Whoever sends forms without an answer pays nothing. However many are under way, the
// user has all places.
func TestTHR4_AttemptsWithoutACaptchaTakeNoPlaceOfTheUser(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		var held []*throttle.Attempt
		for n := range few.Client.Limit {
			a, err := f.ReserveSignIn(t.Context(), throttle.Visitor{Client: client(1), User: "owner"})
			if err != nil || a.Failures() != n {
				t.Fatalf("%d: %v", n, err)
			}
			held = append(held, a)
		}
		if left := f.leftForUser("owner", 100); left != few.User.Limit {
			t.Errorf("%d places are left", left)
		}
		for _, a := range held { // the bucket is full by now
			var limit *throttle.LimitError
			if err := a.ReserveUser(t.Context()); !errors.As(err, &limit) || limit.Bucket != throttle.BucketUser {
				t.Errorf("%v", err)
			}
		}
		f.wantFailures(throttle.Visitor{Client: client(1)}, 0) // they were given back
	})
}

// A bucket that is full is said before the captcha is spent, and that counts nothing.
func TestAFullBucketOfAUserIsSaidBeforeTheCaptcha(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for n := range few.User.Limit {
			f.fail(client(n+10), "owner")
		}
		var limit *throttle.LimitError
		if _, err := f.ReserveSignIn(t.Context(), throttle.Visitor{Client: client(1), User: "owner"}); !errors.As(err, &limit) {
			t.Fatal(err)
		}
		f.wantLimit(limit, throttle.BucketUser, few.User.Window)
		f.wantFailures(throttle.Visitor{Client: client(1)}, 0)
	})
}

// A rush of strangers, none of whom has failed yet, holds up no known device.
func TestALaneIsForKnownDevicesThatHaveNotFailed(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		want := func(v throttle.Visitor, want throttle.Lane) {
			t.Helper()
			a, err := f.toThePassword(v)
			if err != nil || a.Lane() != want {
				t.Fatalf("%v: %v", v, err)
			}
			a.PasswordFailed(t.Context())
		}
		stranger := throttle.Visitor{Client: client(7), User: "owner"}
		want(stranger, throttle.CleanLane)
		want(stranger, throttle.OtherLane)
		want(f.device(1, "owner"), throttle.KnownLane)
		want(f.device(1, "owner"), throttle.OtherLane)
	})
}
