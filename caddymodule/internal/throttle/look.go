package throttle

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Bucket is what is counted in one bucket, for an operator.
type Bucket struct {
	// Name is one of the Bucket constants; with inARow behind it, that of the ceiling on failures in a row; with forSignUp,
	// that of the codes for new users.
	Name string
	// Count of Limit is used up. From Limit on everything is refused until Resets, which is zero for an empty bucket.
	Count, Limit int
	Resets       time.Time
}

const (
	inARow    = "_in_a_row"
	forSignUp = "_sign_up"
)

// Asked is what a Throttle is told with each call. Limits without a number are left out.
type Asked struct {
	Send, SendForSignUp SendRules
	Destination, Email  string // where a user's codes go, and those of who signs up with the user's address
	SignUps             int    // per client network in a day
}

// counted is a bucket that a user or network has.
type counted struct {
	name  string
	key   state.Key
	limit int
}

func (t *Throttle) counted(name, bucket string, limit int, id []byte) counted {
	return counted{name: name, key: t.key(bucket, id), limit: limit}
}

// ofUser are the buckets of a user name, whoever uses it. Those of the user's known devices are not among them: nobody
// knows from a name which devices there are.
func (t *Throttle) ofUser(user string, a Asked) []counted {
	id := []byte(FoldUser(user))
	return []counted{
		t.counted(BucketUser, BucketUser, t.rules.User.Limit, id),
		t.counted(BucketUser+inARow, rowOf(BucketUser), Ceiling, id),
		t.counted(BucketCode, BucketCode, t.rules.User.Limit, id),
		t.counted(BucketCode+inARow, rowOf(BucketCode), Ceiling, id),
		t.counted(BucketUserCodes, BucketUserCodes, a.Send.User.Limit, id),
		t.counted(BucketDestination, BucketDestination, a.Send.Destination.Limit, []byte(FoldUser(a.Destination))),
		t.counted(BucketDestination+forSignUp, a.SendForSignUp.bucket(BucketDestination), a.SendForSignUp.Destination.Limit,
			[]byte(FoldUser(a.Email))),
	}
}

// ofClient are the buckets of the network that an address belongs to.
func (t *Throttle) ofClient(client netip.Addr, a Asked) []counted {
	id := network(client)
	return []counted{
		t.counted(BucketClient, BucketClient, t.rules.Client.Limit, id),
		t.counted(BucketIssue, BucketIssue, t.rules.Issue.Limit, id),
		t.counted(BucketWork, BucketWork, workRule.Limit, id),
		t.counted(BucketSignUp, BucketSignUp, a.SignUps, id),
		t.counted(BucketStrength, BucketStrength, strengthRule.Limit, id),
		t.counted(BucketNetwork, BucketNetwork, a.Send.Network.Limit, id),
		t.counted(BucketNetwork+forSignUp, a.SendForSignUp.bucket(BucketNetwork), a.SendForSignUp.Network.Limit, id),
	}
}

// OfUser returns what is counted for a user name and for where the user's codes go.
func (t *Throttle) OfUser(ctx context.Context, user string, a Asked) ([]Bucket, error) {
	return t.look(ctx, t.ofUser(user, a))
}

// OfClient returns what is counted for the network of an address.
func (t *Throttle) OfClient(ctx context.Context, client netip.Addr, a Asked) ([]Bucket, error) {
	return t.look(ctx, t.ofClient(client, a))
}

func (t *Throttle) look(ctx context.Context, all []counted) ([]Bucket, error) {
	var buckets []Bucket
	for _, c := range all {
		if c.limit <= 0 {
			continue
		}
		tally, err := t.store.Add(ctx, c.key, 0, time.Second) // only reads, whatever the window
		if err != nil {
			return nil, fmt.Errorf("throttle %s: %w", c.name, err)
		}
		buckets = append(buckets, Bucket{Name: c.name, Count: tally.N, Limit: c.limit, Resets: tally.Resets})
	}
	return buckets, nil
}

// LiftUser empties the buckets that OfUser tells of. Attempts under way keep what they counted.
func (t *Throttle) LiftUser(ctx context.Context, user string, a Asked) error {
	return t.lift(ctx, t.ofUser(user, a))
}

// LiftClient empties the buckets that OfClient tells of.
func (t *Throttle) LiftClient(ctx context.Context, client netip.Addr, a Asked) error {
	return t.lift(ctx, t.ofClient(client, a))
}

func (t *Throttle) lift(ctx context.Context, all []counted) error {
	for _, c := range all {
		if c.limit <= 0 {
			continue
		}
		if err := t.store.Delete(ctx, c.key); err != nil {
			return fmt.Errorf("throttle %s: %w", c.name, err)
		}
	}
	return nil
}
