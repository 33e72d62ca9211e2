package outbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// maxPending is how many messages of a realm may be on their way, over all nodes.
const maxPending = 512

// maxSwaps is how often a change of the index is tried again because another node was quicker.
const maxSwaps = 100

// ErrFull is what Post returns while as many messages as the queue holds are on their way.
var ErrFull = errors.New("outbox is full")

// errBusy is for a store on which others change the index without end.
var errBusy = errors.New("outbox: the index is always changed by others")

// entry is a message on its way: its id, and when nothing about it needs to be known any more.
type entry struct {
	id  messageID
	end time.Time
}

const entryLength = len(messageID{}) + 8

// encodeIndex lays out format, type, key, realm and the entries; no entries are no record.
func encodeIndex(key state.Key, realm string, entries []entry) []byte {
	if len(entries) == 0 {
		return nil
	}
	b := make([]byte, 0, headLength+2+len(realm)+len(entries)*entryLength)
	b = append(b, recordFormat, indexType)
	b = append(b, key[:]...)
	b = appendField(b, realm)
	for _, e := range entries {
		b = append(b, e.id[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(e.end.UnixMilli()))
	}
	return b
}

// decodeIndex reads what encodeIndex wrote under the same key and realm, and nothing else.
func decodeIndex(b []byte, key state.Key, realm string) ([]entry, error) {
	if b == nil {
		return nil, nil
	}
	if len(b) < headLength || b[0] != recordFormat || b[1] != indexType || state.Key(b[2:headLength]) != key {
		return nil, errRecord
	}
	storedRealm, rest, ok := field(b[headLength:])
	n := len(rest) / entryLength
	if !ok || string(storedRealm) != realm || len(rest)%entryLength != 0 || n == 0 || n > maxPending {
		return nil, errRecord
	}
	entries := make([]entry, 0, n+1)
	for ; len(rest) > 0; rest = rest[entryLength:] {
		entries = append(entries, entry{messageID(rest[:16]), milliseconds(rest[16:])})
	}
	return entries, nil
}

// index reads which messages are on their way.
func (o *Outbox) index(ctx context.Context) ([]byte, []entry, error) {
	raw, err := o.store.Get(ctx, o.indexKey)
	if err != nil {
		return nil, nil, fmt.Errorf("outbox index: %w", err)
	}
	entries, err := decodeIndex(raw, o.indexKey, o.realm)
	if err != nil {
		return nil, nil, fmt.Errorf("outbox index: %w", err)
	}
	return raw, entries, nil
}

// change takes out of the index what is finished or ended, and puts one more in, unless that is nil. Changes of this
// outbox queue up, so that only those of other nodes make it try again.
func (o *Outbox) change(ctx context.Context, added *entry) error {
	select {
	case o.changing <- struct{}{}:
		defer func() { <-o.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	finished := o.listFinished()
	raw, entries, err := o.index(ctx)
	for range maxSwaps {
		if err != nil {
			return err
		}
		kept, until := o.prune(entries, finished)
		switch {
		case added == nil && len(kept) == len(entries):
			o.forgetFinished(finished)
			return nil
		case added != nil && len(kept) >= maxPending:
			return ErrFull
		case added != nil:
			kept = append(kept, *added)
			until = later(until, added.end)
		}
		var swapped bool
		swapped, raw, err = o.store.Swap(ctx, o.indexKey, raw, encodeIndex(o.indexKey, o.realm, kept), until)
		if err != nil {
			return fmt.Errorf("outbox index: %w", err)
		}
		if swapped {
			o.forgetFinished(finished)
			return nil
		}
		entries, err = decodeIndex(raw, o.indexKey, o.realm)
	}
	return errBusy
}

// prune returns the entries that are neither finished nor ended, and the last of their ends.
func (o *Outbox) prune(entries []entry, finished []messageID) (kept []entry, until time.Time) {
	gone := make(map[messageID]struct{}, len(finished))
	for _, id := range finished {
		gone[id] = struct{}{}
	}
	now := o.now()
	for _, e := range entries {
		if _, ok := gone[e.id]; !ok && now.Before(e.end) {
			kept = append(kept, e)
			until = later(until, e.end)
		}
	}
	return kept, until
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
