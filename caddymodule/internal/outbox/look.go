package outbox

import (
	"bytes"
	"context"
	"math"
	"time"

	"go.uber.org/zap"
)

// sighting is a record as this node saw it, and since when.
type sighting struct {
	raw   []byte
	since time.Time
	// ignored is a record that this node can do nothing with, until it changes.
	ignored bool
}

// never is a wait that does not end.
const never = time.Duration(math.MaxInt64)

// lookAround looks for messages that are due: retries, and what other nodes left behind.
func (o *Outbox) lookAround() {
	timer := time.NewTimer(o.t.first)
	defer timer.Stop()
	var failed bool
	for {
		select {
		case <-o.quit:
			return
		case <-timer.C:
		}
		next, err := o.look(o.ctx)
		if err != nil && !failed { // once for a failure that lasts
			o.logger.Warn("the outbox cannot be read; messages wait", zap.Error(err))
		}
		failed = err != nil
		timer.Reset(next)
	}
}

// look queues what is due and says when to look again.
func (o *Outbox) look(ctx context.Context) (next time.Duration, err error) {
	next = o.t.every
	_, entries, err := o.index(ctx)
	if err != nil {
		return next, err
	}
	o.forgetUnlisted(entries)
	for _, e := range entries {
		due, err := o.inspect(ctx, e.id)
		if err != nil {
			return next, err
		}
		next = min(next, max(due, o.t.every/20)) // a clock that runs fast must not make this a busy loop
	}
	if len(o.listFinished()) > 0 {
		err = o.change(ctx, nil)
	}
	return next, err
}

// inspect queues a message if it is due, and says when it will be if it is not.
func (o *Outbox) inspect(ctx context.Context, id messageID) (due time.Duration, err error) {
	key := o.keyOf(id)
	raw, err := o.store.Get(ctx, key)
	if err != nil {
		return never, err
	}
	if raw == nil { // a record is written before its id, so this one is lost or over
		o.finish(id)
		return never, nil
	}
	r, err := decode(raw, key, o.realm)
	switch {
	case err != nil || !r.phase.final() && o.senders[r.channel] == nil:
		// Written by another version, or for a channel that other nodes have: it is theirs. What is neither goes with its
		// end.
		o.ignore(id, raw)
		return never, nil
	case r.phase.final():
		o.finish(id)
		return never, nil
	}
	if due = o.see(id, raw, r.wait); due > 0 {
		return due, nil
	}
	o.enqueue(item{id, raw, r})
	return never, nil
}

// see notes a record, and says how long it must still stay as it is until the given wait is over.
func (o *Outbox) see(id messageID, raw []byte, wait time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.seen[id]
	if !ok || !bytes.Equal(s.raw, raw) {
		s = sighting{raw: raw, since: o.now()}
		o.seen[id] = s
	}
	if s.ignored {
		return never
	}
	return wait - o.now().Sub(s.since)
}

func (o *Outbox) ignore(id messageID, raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[id] = sighting{raw: raw, ignored: true}
}

// forgetUnlisted drops what was seen of messages that are not on their way any more.
func (o *Outbox) forgetUnlisted(entries []entry) {
	listed := make(map[messageID]struct{}, len(entries))
	for _, e := range entries {
		listed[e.id] = struct{}{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.seen {
		if _, ok := listed[id]; !ok {
			delete(o.seen, id)
		}
	}
}
