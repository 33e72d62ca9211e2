package throttle

import (
	"context"
	"sync/atomic"
	"time"
)

// Attempt is a reserved sign-in. The first of its methods that settle it counts, and later ones do nothing.
type Attempt struct {
	throttle *Throttle
	client   reservation
	user     reservation // of the user or of the known device
	row      reservation // towards the ceiling of either
	known    bool
	named    bool   // a stranger names a user
	name     []byte // folded
	seen     int    // failures of the user before this attempt was counted
	surge    int
	settled  atomic.Bool
}

// ReserveUser counts for the user whom a stranger names: before the password is judged, and not before the captcha is.
// Forms without an answer cost nothing, and whoever sends many would else hold every place in the bucket of any user,
// if only for as long as the store takes. Where the bucket is full it gives the attempt back and returns a [*LimitError].
func (a *Attempt) ReserveUser(ctx context.Context) error {
	if !a.named {
		return nil
	}
	err := a.reserve(ctx, BucketUser, a.name)
	if err != nil {
		a.Release(ctx)
	}
	return err
}

// rowOf is the bucket towards the ceiling.
func rowOf(bucket string) string { return bucket + " row" }

// reserve counts for a user or a known device. The more failures in a row there were, the longer a new bucket lasts.
func (a *Attempt) reserve(ctx context.Context, bucket string, id []byte) (err error) {
	t := a.throttle
	if a.row, err = t.reserve(ctx, rowOf(bucket), Rule{Ceiling, ceilingWindow}, id); err != nil {
		return err
	}
	rule := t.rules.User
	rule.Window = grown(rule, a.row.before)
	a.user, err = t.reserve(ctx, bucket, rule, id)
	return err
}

// grown is the window of a bucket that begins after so many failures in a row: it doubles each time one was filled.
func grown(r Rule, failures int) time.Duration {
	window := r.Window
	for range failures / r.Limit {
		if window *= 2; window >= longest {
			return max(longest, r.Window)
		}
	}
	return window
}

// or gives everything back if there was an error.
func (a *Attempt) or(ctx context.Context, err error) (*Attempt, error) {
	if err != nil {
		a.Release(ctx)
		return nil, err
	}
	return a, nil
}

// Failures are those that count against the visitor, without this attempt: like [Throttle.Failures], but parallel
// attempts see one another, those at one user from [Attempt.ReserveUser] on.
func (a *Attempt) Failures() int { return max(a.client.before, a.user.before, a.seen, a.surge) }

// Lane is where the visitor waits for a slot.
func (a *Attempt) Lane() Lane {
	switch {
	case a.Failures() > 0:
		return OtherLane
	case a.known:
		return KnownLane
	}
	return CleanLane
}

func (a *Attempt) settle() bool { return a.settled.CompareAndSwap(false, true) }

// Release gives everything back: nothing was judged, or the fault was ours.
func (a *Attempt) Release(ctx context.Context) {
	if a.settle() {
		a.throttle.giveBack(ctx, a.client)
		a.throttle.giveBack(ctx, a.row)
		a.throttle.giveBack(ctx, a.user)
	}
}

// CaptchaFailed keeps the client's count, or the known device's, and gives the user's back: no password was judged, and
// strangers with wrong captchas must not lock a user out.
func (a *Attempt) CaptchaFailed(ctx context.Context) {
	if !a.settle() {
		return
	}
	a.throttle.giveBack(ctx, a.row)
	if !a.known {
		a.throttle.giveBack(ctx, a.user)
	}
	a.throttle.noteFailure(ctx)
}

// PasswordFailed keeps all counts.
func (a *Attempt) PasswordFailed(ctx context.Context) {
	if a.settle() {
		a.throttle.noteFailure(ctx)
	}
}

// Succeeded clears the buckets of a known device. A stranger's own counts are given back, and no more: what others
// failed with the same name stays counted (THR-7), and nobody can tell from it that somebody signed in. Call it only
// after all factors have passed, or a right password would reset the count of guessed codes.
func (a *Attempt) Succeeded(ctx context.Context) {
	if !a.known {
		a.Release(ctx)
		return
	}
	if !a.settle() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, r := range []reservation{a.row, a.user} {
		_ = a.throttle.store.Delete(ctx, r.key) // on failure it stays counted
	}
}
