// Package throttle bounds how fast passwords can be guessed, pictures can be drawn and hashes can be computed.
//
// Failures are counted in buckets: one for the client's network (an IPv4 address, or an IPv6 /64), one for the user name
// as folded by [FoldUser], whether or not there is such a user. A third bucket counts what is drawn for a network. A
// bucket is a counter in the state store that begins with its first count and ends a fixed time later. Buckets are
// never pushed out by others (THR-5), live as long as the store does (THR-6), and carry the realm.
//
// An attempt is counted before it is judged (THR-8) and settled afterwards:
//
//	attempt, err := t.ReserveSignIn(ctx, client, user) // *LimitError: 429; any other error: 503
//	... nothing was judged, or the fault was ours:      attempt.Release(ctx)
//	... the captcha was wrong, no password was judged:  attempt.CaptchaFailed(ctx)
//	... the password or a later factor was wrong:       attempt.PasswordFailed()
//	... all factors passed:                             attempt.Succeeded(ctx)
//
// An attempt that is never settled stays counted, and so does one whose settling the store refuses: faults make the
// limits stricter, never looser.
//
// [Slots] bounds how many passwords are hashed at a time (CRD-8).
package throttle

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Rule allows Limit counts within Window, which begins with the first of them.
type Rule struct {
	Limit  int
	Window time.Duration
}

// Rules are the limits. A rule whose limit or window is not positive is replaced by its default, for it would mean
// either nobody or everybody.
type Rules struct {
	Client Rule // failures per client network
	User   Rule // failures per user name
	Issue  Rule // pictures and sounds drawn per client network
}

// DefaultRules returns 20 failures in 10 minutes per client network, 10 in 10 minutes per user name, 60 drawings a
// minute per client network.
func DefaultRules() Rules {
	return Rules{
		Client: Rule{20, 10 * time.Minute},
		User:   Rule{10, 10 * time.Minute},
		Issue:  Rule{60, time.Minute},
	}
}

func (r Rule) or(otherwise Rule) Rule {
	if r.Limit <= 0 || r.Window <= 0 {
		return otherwise
	}
	return r
}

// Names of buckets, as they stand in [LimitError] and in metrics. They are part of the keys in the store.
const (
	BucketClient = "client"
	BucketUser   = "user"
	BucketIssue  = "issue"
	BucketWork   = "work"
)

// workRule bounds puzzles that stand in for an answer, per client network. It is stricter than any default, because a
// program solves them as well as anybody: what it buys with one is a single try at a password, and this is how many it
// gets.
var workRule = Rule{6, 10 * time.Minute}

// LimitError says that a bucket is full: 429. It is the same for known and unknown users (THR-10).
type LimitError struct {
	Bucket     string        // one of the Bucket constants
	RetryAfter time.Duration // whole seconds, at least one
}

// Error implements error. It names neither user nor address.
func (e *LimitError) Error() string {
	return fmt.Sprintf("throttled: the %s bucket is full for %v", e.Bucket, e.RetryAfter)
}

// Throttle counts in a store. It keeps nothing itself; any number of them may share a store.
type Throttle struct {
	store state.Store
	realm string
	rules Rules
	now   func() time.Time
}

// New makes a throttle. now must be the clock of the store.
func New(store state.Store, realm string, r Rules, now func() time.Time) *Throttle {
	d := DefaultRules()
	rules := Rules{Client: r.Client.or(d.Client), User: r.User.or(d.User), Issue: r.Issue.or(d.Issue)}
	return &Throttle{store: store, realm: realm, rules: rules, now: now}
}

// ReserveSignIn counts one failure for the client and, unless user is empty, one for the user, before anything is
// judged (THR-8). Where a bucket is full it counts nothing and returns a [*LimitError]. Any other error is the store's,
// and nothing may be judged then either. An invalid client address shares one bucket with all other invalid ones.
func (t *Throttle) ReserveSignIn(ctx context.Context, client netip.Addr, user string) (*Attempt, error) {
	a := &Attempt{throttle: t}
	var err error
	if a.client, err = t.reserve(ctx, BucketClient, t.rules.Client, network(client)); err != nil {
		return nil, err
	}
	if user == "" {
		return a, nil
	}
	if a.user, err = t.reserve(ctx, BucketUser, t.rules.User, []byte(FoldUser(user))); err != nil {
		t.giveBack(ctx, a.client)
		return nil, err
	}
	return a, nil
}

// Draw counts one picture or sound for the client (CAP-9). It returns a [*LimitError] where the bucket is full, or the
// store's error; nothing may be drawn then.
func (t *Throttle) Draw(ctx context.Context, client netip.Addr) error {
	_, err := t.reserve(ctx, BucketIssue, t.rules.Issue, network(client))
	return err
}

// DrawWork counts one puzzle that stands in for an answer, like Draw. The default rule is fixed: 6 in 10 minutes.
func (t *Throttle) DrawWork(ctx context.Context, client netip.Addr) error {
	_, err := t.reserve(ctx, BucketWork, workRule, network(client))
	return err
}

// reservation is one count in one bucket; the zero value is none.
type reservation struct {
	key    state.Key
	window time.Duration
	resets time.Time
}

func (t *Throttle) reserve(ctx context.Context, bucket string, r Rule, id []byte) (reservation, error) {
	k := state.KeyOf(t.realm, "throttle "+bucket, id)
	tally, err := t.store.Add(ctx, k, 1, r.Window)
	if err != nil {
		return reservation{}, fmt.Errorf("throttle %s: %w", bucket, err)
	}
	reserved := reservation{key: k, window: r.Window, resets: tally.Resets}
	if tally.N > r.Limit {
		t.giveBack(ctx, reserved)
		return reservation{}, &LimitError{Bucket: bucket, RetryAfter: wholeSeconds(tally.Resets.Sub(t.now()))}
	}
	return reserved, nil
}

// giveBack takes the count back, but only from the counter it was given to: after the bucket's end, or after somebody
// cleared it, the count is gone already, and taking one away would be a free guess. A failing store keeps the count.
// It does not stop when the client hangs up.
func (t *Throttle) giveBack(ctx context.Context, r reservation) {
	if r.window != 0 {
		_ = t.store.Undo(context.WithoutCancel(ctx), r.key, r.resets)
	}
}

// wholeSeconds rounds up, to at least one.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// network returns what addresses of one network have in common: all of IPv4, also when mapped into IPv6, and the first
// 64 bits of IPv6 (THR-3). It is empty for an invalid address. The lengths keep the three apart.
func network(a netip.Addr) []byte {
	a = a.Unmap()
	switch {
	case a.Is4():
		b := a.As4()
		return b[:]
	case a.Is6():
		b := a.As16()
		return b[:8]
	}
	return nil
}

// Attempt is a reserved sign-in. The first of its methods settles it, and later calls do nothing.
type Attempt struct {
	throttle     *Throttle
	client, user reservation
	settled      atomic.Bool
}

func (a *Attempt) settle() bool { return a.settled.CompareAndSwap(false, true) }

// Release gives everything back: nothing was judged, or the fault was ours.
func (a *Attempt) Release(ctx context.Context) {
	if a.settle() {
		a.throttle.giveBack(ctx, a.client)
		a.throttle.giveBack(ctx, a.user)
	}
}

// CaptchaFailed keeps the client's count and gives the user's back: no password was judged, and strangers with wrong
// captchas must not lock a user out.
func (a *Attempt) CaptchaFailed(ctx context.Context) {
	if a.settle() {
		a.throttle.giveBack(ctx, a.user)
	}
}

// PasswordFailed keeps all counts.
func (a *Attempt) PasswordFailed() { a.settle() }

// Succeeded gives the client's count back and clears the user's bucket. Call it only after all factors have passed
// (THR-7), or a right password would reset the count of guessed codes.
func (a *Attempt) Succeeded(ctx context.Context) {
	if !a.settle() {
		return
	}
	a.throttle.giveBack(ctx, a.client)
	if a.user.window != 0 {
		_ = a.throttle.store.Delete(context.WithoutCancel(ctx), a.user.key) // on failure it stays counted
	}
}
