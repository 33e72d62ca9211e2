package outbox

import (
	"context"
	"fmt"
	"time"
)

// Status is what is known of a message.
type Status int

const (
	// Waiting has not been tried, or its first try is not over.
	Waiting Status = iota
	// Sent was taken by the provider.
	Sent
	// Retrying failed when it was last tried, and is tried again.
	Retrying
	// Refused was not taken by the provider and never will be.
	Refused
	// Canceled will not be sent because somebody said so.
	Canceled
	// Expired is not sent and will not be, because its time is over or too short for one more try; or there is no such
	// message, which is the same for whoever waits for it.
	Expired
)

// String returns the name in lower case.
func (s Status) String() string {
	names := [...]string{"waiting", "sent", "retrying", "refused", "canceled", "expired"}
	if s >= 0 && int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", int(s))
}

// Status says what became of a message, whichever node has it. What has an outcome can be read until the message's end
// at least.
func (o *Outbox) Status(ctx context.Context, id string) (Status, error) {
	own, ok := parseID(id)
	if !ok {
		return Expired, nil
	}
	key := o.keyOf(own)
	raw, err := o.store.Get(ctx, key)
	if err != nil {
		return Waiting, fmt.Errorf("outbox: %w", err)
	}
	if raw == nil {
		return Expired, nil
	}
	r, err := decode(raw, key, o.realm)
	if err != nil {
		return Waiting, fmt.Errorf("outbox: %w", err)
	}
	return r.status(o.now()), nil
}

func (r record) status(now time.Time) Status {
	switch {
	case r.phase == sent:
		return Sent
	case r.phase == refused:
		return Refused
	case r.phase == canceled:
		return Canceled
	case r.phase == expired || !now.Before(r.expires):
		return Expired
	case r.failed:
		return Retrying
	}
	return Waiting
}

// Wait waits until the first try of a message is over, but no longer than so long and ctx say, and returns its status:
// Waiting if nothing is known yet, or the store does not tell.
func (o *Outbox) Wait(ctx context.Context, id string, atMost time.Duration) Status {
	// The store is asked rather than the workers, for the try may be made by another node. Reading is cheap: a local
	// store has it in memory, and Redis tells of changes.
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	tick := time.NewTicker(o.t.poll)
	defer tick.Stop()
	for {
		if s, err := o.Status(ctx, id); err == nil && s != Waiting {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Waiting
		}
	}
}

// Cancel has a message not be sent any more, because a newer code replaces it (OTP-3). A try that has begun is not
// stopped, but is the last one. Canceling what is sent, refused or gone does nothing.
func (o *Outbox) Cancel(ctx context.Context, id string) error {
	own, ok := parseID(id)
	if !ok {
		return nil
	}
	key := o.keyOf(own)
	raw, err := o.store.Get(ctx, key)
	for err == nil && raw != nil {
		var r record
		if r, err = decode(raw, key, o.realm); err != nil || r.phase.final() {
			break
		}
		r = r.ended(canceled)
		var done bool
		done, raw, err = o.store.Swap(ctx, key, raw, r.encode(key, o.realm), r.until())
		if done {
			o.finish(own)
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}
