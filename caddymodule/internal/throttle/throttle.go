// Package throttle bounds how fast passwords can be guessed, pictures can be drawn and hashes can be computed.
//
// Failures are counted in buckets: one for the client's network (an IPv4 address, or an IPv6 /64), one for the user name
// as folded by [FoldUser], whether or not there is such a user. A browser that signed in as this user before is a known
// device and has a bucket of its own in place of both, so that nobody else's failures keep its user out (THR-4). Another
// bucket counts what is drawn for a network or a known device. A bucket is a counter in the state store that begins with
// its first count and ends a fixed time later. Buckets are never pushed out by others (THR-5), live as long as the store
// does (THR-6), and carry the realm.
//
// A user's bucket that was filled comes back with twice the window, and again, up to a day. Whatever the rules say, no
// more than a hundred failures are judged within a day of the first (THR-1): [Ceiling].
//
// An attempt is counted before it is judged (THR-8) and settled afterwards:
//
//	attempt, err := t.ReserveSignIn(ctx, visitor)       // *LimitError: 429; any other error: 503
//	... the captcha was right, now to the password:     err := attempt.ReserveUser(ctx)
//	... nothing was judged, or the fault was ours:      attempt.Release(ctx)
//	... the captcha was wrong, no password was judged:  attempt.CaptchaFailed(ctx)
//	... the password or a later factor was wrong:       attempt.PasswordFailed(ctx)
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
	"math"
	"net/netip"
	"strings"
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
	// Site is how many failures in all are a surge, from which on every stranger counts as having failed. It refuses
	// nobody. Without a limit nothing is counted.
	Site Rule
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
	BucketDevice = "device"
	BucketIssue  = "issue"
	BucketWork   = "work"
	// Of codes: wrong ones, and the budgets of those sent.
	BucketCode        = "code"
	BucketUserCodes   = "codes_user"
	BucketDestination = "codes_destination"
	BucketNetwork     = "codes_network"
	BucketTotal       = "codes_total"
	BucketSignUp      = "sign_up"
	BucketStrength    = "password_strength"

	bucketSite = "site"
)

// Ceiling is how many failures in a row are judged for a user, or for a known device, within ceilingWindow of the first
// (NIST SP 800-63B-4, 3.2.2). On a known device a success begins a new row; that of a stranger does not.
const (
	Ceiling       = 100
	ceilingWindow = 24 * time.Hour
)

// longest is how far windows grow.
const longest = 24 * time.Hour

// surgeCounts is how many failures a surge is worth.
const surgeCounts = 3

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

// Buckets are the names that a [LimitError] can have.
var Buckets = []string{
	BucketClient, BucketUser, BucketDevice, BucketIssue, BucketWork, BucketCode,
	BucketUserCodes, BucketDestination, BucketNetwork, BucketTotal, BucketSignUp, BucketStrength,
}

// Throttle counts in a store. It keeps nothing itself; any number of them may share a store.
type Throttle struct {
	// Refused, if not nil, hears of every count that a full bucket refused. Set it before the first call.
	Refused func(bucket string)

	store state.Store
	realm string
	rules Rules
	now   func() time.Time
}

// Visitor is who tries.
type Visitor struct {
	// Client is Caddy's opinion of the address. Invalid ones share their buckets.
	Client netip.Addr
	// User is the name given, empty where there is none.
	User string
	// Device stands for a browser that signed in before, and for as whom: as User, where there is one. It is zero for
	// all others.
	Device [16]byte
}

func (v Visitor) known() bool { return v.Device != [16]byte{} }

// New makes a throttle. now must be the clock of the store.
func New(store state.Store, realm string, r Rules, now func() time.Time) *Throttle {
	d := DefaultRules()
	rules := Rules{Client: r.Client.or(d.Client), User: r.User.or(d.User), Issue: r.Issue.or(d.Issue), Site: r.Site}
	return &Throttle{store: store, realm: realm, rules: rules, now: now}
}

// ReserveSignIn counts one failure for the visitor before anything is judged (THR-8): for the client, or for the known
// device alone. The user's bucket is only looked at: [Attempt.ReserveUser] counts there. Where a bucket is full it counts
// nothing and returns a [*LimitError]. Any other error is the store's, and nothing may be judged then either.
func (t *Throttle) ReserveSignIn(ctx context.Context, v Visitor) (*Attempt, error) {
	a := &Attempt{throttle: t}
	var err error
	if v.known() {
		a.known = true
		err = a.reserve(ctx, BucketDevice, v.Device[:])
		return a.or(ctx, err)
	}
	if a.client, err = t.reserve(ctx, BucketClient, t.rules.Client, network(v.Client)); err != nil {
		return nil, err
	}
	if v.User != "" {
		a.named, a.name = true, []byte(FoldUser(v.User))
		if _, err = t.peek(ctx, rowOf(BucketUser), Ceiling, a.name); err == nil {
			a.seen, err = t.peek(ctx, BucketUser, t.rules.User.Limit, a.name)
		}
	}
	if err == nil {
		a.surge, err = t.surge(ctx)
	}
	return a.or(ctx, err)
}

// Failures are the recent failures that count against a visitor, before an attempt: those of a known device, or else of
// the network or the user, whichever are more, and a surge of the whole site.
func (t *Throttle) Failures(ctx context.Context, v Visitor) (int, error) {
	if v.known() {
		return t.count(ctx, BucketDevice, v.Device[:])
	}
	failures, err := t.surge(ctx)
	if err != nil {
		return 0, err
	}
	ofClient, err := t.count(ctx, BucketClient, network(v.Client))
	if err != nil || v.User == "" {
		return max(failures, ofClient), err
	}
	ofUser, err := t.count(ctx, BucketUser, []byte(FoldUser(v.User)))
	return max(failures, ofClient, ofUser), err
}

// surge is what the failures of the whole site count for every stranger.
func (t *Throttle) surge(ctx context.Context) (int, error) {
	if t.rules.Site.Limit <= 0 {
		return 0, nil
	}
	if n, err := t.count(ctx, bucketSite, nil); err != nil || n < t.rules.Site.Limit {
		return 0, err
	}
	return surgeCounts, nil
}

// noteFailure counts for the site. It is not needed for any limit, so that a store's error may be left.
func (t *Throttle) noteFailure(ctx context.Context) {
	if t.rules.Site.Limit > 0 {
		_, _ = t.store.Add(context.WithoutCancel(ctx), t.key(bucketSite, nil), 1, t.rules.Site.Window)
	}
}

// Draw counts one picture or sound (CAP-9), for the known device or else the network. It returns a [*LimitError] where
// the bucket is full, or the store's error; nothing may be drawn then.
func (t *Throttle) Draw(ctx context.Context, v Visitor) error {
	return t.draw(ctx, BucketIssue, t.rules.Issue, v)
}

// DrawWork counts one puzzle that stands in for an answer, for the network also where the device is known: who has one
// account could make many of those. The rule is fixed: 6 in 10 minutes.
func (t *Throttle) DrawWork(ctx context.Context, v Visitor) error {
	return t.draw(ctx, BucketWork, workRule, Visitor{Client: v.Client})
}

func (t *Throttle) draw(ctx context.Context, bucket string, r Rule, v Visitor) error {
	id := network(v.Client)
	if v.known() {
		bucket, id = bucket+" "+BucketDevice, v.Device[:]
	}
	_, err := t.reserve(ctx, bucket, r, id)
	return err
}

// reservation is one count in one bucket; the zero value is none.
type reservation struct {
	key    state.Key
	window time.Duration
	resets time.Time
	before int // counts of others that were there already
}

func (t *Throttle) key(bucket string, id []byte) state.Key {
	return state.KeyOf(t.realm, "throttle "+bucket, id)
}

func (t *Throttle) count(ctx context.Context, bucket string, id []byte) (int, error) {
	return t.peek(ctx, bucket, math.MaxInt, id)
}

// peek is how many counts a bucket has, and a [*LimitError] where it has no room. It counts nothing.
func (t *Throttle) peek(ctx context.Context, bucket string, limit int, id []byte) (int, error) {
	tally, err := t.store.Add(ctx, t.key(bucket, id), 0, time.Second) // only reads, whatever the window
	if err != nil {
		return 0, fmt.Errorf("throttle %s: %w", bucket, err)
	}
	if tally.N >= limit {
		return 0, t.refuse(bucket, tally.Resets)
	}
	return tally.N, nil
}

// refuse says until when a bucket is full.
func (t *Throttle) refuse(bucket string, resets time.Time) error {
	name, _, _ := strings.Cut(bucket, " ")
	if t.Refused != nil {
		t.Refused(name)
	}
	return &LimitError{Bucket: name, RetryAfter: wholeSeconds(resets.Sub(t.now()))}
}

func (t *Throttle) reserve(ctx context.Context, bucket string, r Rule, id []byte) (reservation, error) {
	k := t.key(bucket, id)
	tally, err := t.store.Add(ctx, k, 1, r.Window)
	if err != nil {
		return reservation{}, fmt.Errorf("throttle %s: %w", bucket, err)
	}
	reserved := reservation{key: k, window: r.Window, resets: tally.Resets, before: tally.N - 1}
	if tally.N > r.Limit {
		t.giveBack(ctx, reserved)
		return reservation{}, t.refuse(bucket, tally.Resets)
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
