package throttle

import (
	"context"
	"net/netip"
	"time"
)

// ReserveCode counts one wrong code for the user, or for the known device of the user, before it is judged. It runs
// over all codes, steps and addresses (OTP-2), by the rule for users with its growing windows and ceiling: asking for
// another code buys no new guesses. Who guesses has given the right password.
func (t *Throttle) ReserveCode(ctx context.Context, v Visitor) (*Attempt, error) {
	a := &Attempt{throttle: t, known: v.known()}
	if a.known {
		return a.or(ctx, a.reserve(ctx, BucketCode+" "+BucketDevice, v.Device[:]))
	}
	return a.or(ctx, a.reserve(ctx, BucketCode, []byte(FoldUser(v.User))))
}

// Passed forgets the failures of a known device after all factors have passed. Those of strangers stay (THR-7).
func (t *Throttle) Passed(ctx context.Context, v Visitor) {
	if !v.known() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, bucket := range []string{rowOf(BucketDevice), BucketDevice} {
		_ = t.store.Delete(ctx, t.key(bucket, v.Device[:])) // on failure it stays counted
	}
}

// SendRules are the budgets of codes that are sent (OTP-4).
type SendRules struct {
	User, Destination, Network, Total Rule
	// Apart, if not empty, counts in budgets of its own, so that one kind of codes cannot use up those of another.
	Apart string
}

// DefaultSendRules are a day's: 10 for a user, 5 to one number or address, 20 for a client network, 500 in all.
func DefaultSendRules() SendRules {
	const day = 24 * time.Hour
	return SendRules{User: Rule{10, day}, Destination: Rule{5, day}, Network: Rule{20, day}, Total: Rule{500, day}}
}

// bucket is where these rules count.
func (r SendRules) bucket(name string) string {
	if r.Apart == "" {
		return name
	}
	return name + " " + r.Apart
}

// Budget is what was reserved for sending one code.
type Budget struct {
	throttle *Throttle
	reserved []reservation
}

// ReserveSend counts one code to be sent. Where a budget is used up it counts nothing and returns a [*LimitError]; any
// other error is the store's, and nothing may be sent then either.
func (t *Throttle) ReserveSend(ctx context.Context, v Visitor, destination string, rules SendRules) (*Budget, error) {
	b := &Budget{throttle: t}
	for _, part := range []struct {
		bucket string
		rule   Rule
		id     []byte
	}{
		{BucketNetwork, rules.Network, network(v.Client)},
		{BucketUserCodes, rules.User, []byte(FoldUser(v.User))},
		{BucketDestination, rules.Destination, []byte(FoldUser(destination))},
		{BucketTotal, rules.Total, nil},
	} {
		reserved, err := t.reserve(ctx, rules.bucket(part.bucket), part.rule, part.id)
		if err != nil {
			b.Release(ctx)
			return nil, err
		}
		b.reserved = append(b.reserved, reserved)
	}
	return b, nil
}

// Release gives everything back: nothing was sent.
func (b *Budget) Release(ctx context.Context) {
	for _, r := range b.reserved {
		b.throttle.giveBack(ctx, r)
	}
	b.reserved = nil
}

// Signing up and asking how strong a password is are counted per client network.
var strengthRule = Rule{120, time.Minute}

// ReserveSignUp counts one sign-up that was asked for by a network, in a day. release gives it back.
func (t *Throttle) ReserveSignUp(ctx context.Context, client netip.Addr, perDay int) (release func(), err error) {
	r, err := t.reserve(ctx, BucketSignUp, Rule{perDay, 24 * time.Hour}, network(client))
	if err != nil {
		return nil, err
	}
	return func() { t.giveBack(ctx, r) }, nil
}

// JudgeStrength counts one question about a password: 120 a minute.
func (t *Throttle) JudgeStrength(ctx context.Context, client netip.Addr) error {
	_, err := t.reserve(ctx, BucketStrength, strengthRule, network(client))
	return err
}
