package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
)

// backoff is what is waited after each failure; the last one also after all further ones.
var backoff = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// work is a worker.
func (o *Outbox) work(queue <-chan item) {
	for {
		select {
		case <-o.quit:
			return
		case it := <-queue:
			select {
			case <-o.quit: // both were ready
				return
			default:
				o.attend(it)
			}
		}
	}
}

// attend does the next thing about a message that is due.
func (o *Outbox) attend(it item) {
	defer o.release(it.id)
	now := o.now()
	if !now.Before(it.expires) {
		if o.swap(it, it.ended(expired)) {
			o.gaveUp(it)
		}
		return
	}
	if it.phase == sending {
		r := it.record
		r.phase, r.wait = orphaned, o.t.orphan
		if o.swap(it, r) {
			o.logger.Warn("who was sending a message has fallen silent; it will be sent again", it.fields()...)
		}
		return
	}
	m, err := openMessage(o.keys, it.id, it.record, o.realm)
	if err != nil {
		// Another node may have the secret that this one lacks.
		o.logger.Warn("a message in the outbox cannot be opened", append(it.fields(), zap.Error(err))...)
		o.ignore(it.id, it.raw)
		return
	}
	if claim, ok := o.claim(it); ok {
		o.try(claim, m, now)
	}
}

// claim makes a message this node's own. Where the store fails, the claim may be there without anybody knowing, and is
// orphaned in time.
func (o *Outbox) claim(it item) (item, bool) {
	r := it.record
	r.phase, r.wait = sending, o.t.lease
	r.tries++
	claim := item{it.id, r.encode(o.keyOf(it.id), o.realm), r}
	swapped, _, err := o.store.Swap(o.ctx, o.keyOf(it.id), it.raw, claim.raw, r.until())
	return claim, swapped && err == nil
}

// try hands a message over and writes how it went. began is a time before the claim was written.
func (o *Outbox) try(claim item, m Message, began time.Time) {
	r := claim.record
	now := o.now()
	within := min(o.t.send, r.expires.Sub(now), o.t.lease-o.t.spare-now.Sub(began))
	if within <= 0 { // the store took too long
		o.settle(claim, r.freed())
		return
	}
	if r.tries > 1 {
		o.observe(r.channel, observeRetried)
	}
	inTime, err := o.handOver(m, within)
	switch {
	case err == nil:
		o.health[r.channel].succeeded()
		o.observe(r.channel, observeSent)
		o.settle(claim, r.ended(sent))
	case errors.Is(err, ErrRefused):
		o.observe(r.channel, observeRefused)
		o.logger.Warn("a message was refused", append(claim.fields(), zap.String("error", m.scrub(err.Error())))...)
		o.settle(claim, r.ended(refused))
	case o.ctx.Err() != nil: // cut off by Close, which is no fault of the provider's
		o.settle(claim, r.freed())
	default:
		if !errors.Is(err, ErrDeferred) && (inTime || within == o.t.send) { // else the message had too little time, whatever the provider is like
			o.health[r.channel].failedAt(o.now())
		}
		o.observe(r.channel, observeFailed)
		o.logger.Warn("sending a message failed", append(claim.fields(), zap.String("error", m.scrub(err.Error())))...)
		o.settleFailure(claim)
	}
}

// handOver calls the sender, which may panic, and says whether it returned in time.
func (o *Outbox) handOver(m Message, within time.Duration) (inTime bool, err error) {
	ctx, cancel := context.WithTimeout(o.ctx, within)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			inTime, err = true, fmt.Errorf("sender panicked: %v", p)
		}
	}()
	err = o.senders[m.Channel].Send(ctx, m)
	return ctx.Err() == nil, err
}

// freed is the record of a claim that is given back.
func (r record) freed() record {
	r.phase, r.wait = waiting, 0
	return r
}

func (o *Outbox) settleFailure(claim item) {
	r := claim.record
	r.phase, r.failed, r.wait = waiting, true, o.jitter(backoff[min(int(r.tries), len(backoff))-1])
	if o.now().Add(r.wait).Before(r.expires) {
		o.settle(claim, r)
	} else if o.settle(claim, r.ended(expired)) {
		o.gaveUp(claim)
	}
}

func (o *Outbox) gaveUp(it item) {
	o.observe(it.channel, observeExpired)
	o.logger.Warn("a message was given up: it could not be sent before its end", it.fields()...)
}

// jitter makes a duration up to a fifth longer or shorter, so that what failed together is not tried together.
func (o *Outbox) jitter(d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(o.random, b[:]); err != nil {
		return d
	}
	fifth := d / 5
	return d - fifth + time.Duration(binary.BigEndian.Uint64(b[:])%uint64(2*fifth+1))
}

// settle writes what became of a claim, again and again while the store fails: as long as it is not written, others may
// send the message again. It reports whether what is there now is what became of it.
func (o *Outbox) settle(claim item, r record) bool {
	key := o.keyOf(claim.id)
	old, raw := claim.raw, r.encode(key, o.realm)
	for {
		// Not o.ctx: what was cut off must be written too.
		swapped, current, err := o.store.Swap(context.Background(), key, old, raw, r.until())
		switch {
		case err != nil:
			if !o.rest() {
				return false
			}
			continue
		case swapped || bytes.Equal(current, raw): // or an earlier error was none
			o.settled(claim.id, raw, r)
			return true
		}
		there, err := decode(current, key, o.realm)
		if err != nil || !r.replaces(there, claim.tries) {
			return false
		}
		old = current
	}
}

// rest waits a little before the store is asked again. It reports false once Close has waited long enough.
func (o *Outbox) rest() bool {
	select {
	case <-o.ctx.Done():
		return false
	case <-time.After(o.t.retry):
		return true
	}
}

// swap replaces a record as it was seen; an error is as good as somebody having been quicker, for a look around comes
// back to it.
func (o *Outbox) swap(it item, r record) bool {
	raw := r.encode(o.keyOf(it.id), o.realm)
	swapped, _, err := o.store.Swap(o.ctx, o.keyOf(it.id), it.raw, raw, r.until())
	if err != nil || !swapped {
		return false
	}
	o.settled(it.id, raw, r)
	return true
}

// settled takes in what this node has just written.
func (o *Outbox) settled(id messageID, raw []byte, r record) {
	if r.phase.final() {
		o.finish(id)
		return
	}
	o.see(id, raw, r.wait)
}

func (it item) fields() []zap.Field {
	return []zap.Field{zap.Stringer("id", it.id), zap.String("channel", it.channel), zap.Uint16("tries", it.tries)}
}
