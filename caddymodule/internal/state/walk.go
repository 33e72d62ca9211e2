package state

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/redis/rueidis"
)

// scanPage is about how many keys Redis looks at in one step of a walk: short enough to hold up nobody else.
const scanPage = 500

// walk calls each with every live record. The values are collected shard by shard, so that no lock is held during a call.
func (t *table) walk(now int64, each func(k Key, value []byte) error) error {
	type pair struct {
		key   Key
		value []byte
	}
	var page []pair
	for i := range t.shards {
		page = page[:0]
		s := &t.shards[i]
		s.mu.RLock()
		for k, e := range s.m {
			if e.kind == record && e.live(now) {
				page = append(page, pair{k, e.value})
			}
		}
		s.mu.RUnlock()
		for _, p := range page {
			if err := each(p.key, p.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// known is walk for who cannot fail.
func (t *table) known(now int64, each func(k Key, value []byte)) {
	_ = t.walk(now, func(k Key, value []byte) error {
		each(k, value)
		return nil
	})
}

// Walk implements [Store].
func (m *Memory) Walk(ctx context.Context, each func(k Key, value []byte) error) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	return m.table.walk(nanos(m.now()), each)
}

// Known implements [Store].
func (m *Memory) Known(each func(k Key, value []byte)) {
	if m.ready(context.Background()) == nil {
		m.table.known(nanos(m.now()), each)
	}
}

// Walk implements [Store].
func (l *Local) Walk(ctx context.Context, each func(k Key, value []byte) error) error {
	c, err := l.ready(ctx)
	if err != nil {
		return err
	}
	return c.table.walk(nanos(l.options.Now()), each)
}

// Known implements [Store].
func (l *Local) Known(each func(k Key, value []byte)) {
	if c := l.live.Load(); c != nil {
		c.table.known(nanos(l.options.Now()), each)
	}
}

// Walk implements [Store]. Redis is asked page by page, each with the deadline of a step, for all keys of the realm; a
// database that others fill too makes it slow. It works on the one node that has the realm's hash slot, and a failover
// in the middle of it may hide some records.
func (r *Redis) Walk(ctx context.Context, each func(k Key, value []byte) error) error {
	met := make(map[Key]struct{}) // Redis may name a key twice
	for cursor := uint64(0); ; {
		var page map[Key]string
		err := r.call(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
			page, cursor, err = r.page(ctx, c, cursor)
			return err
		})
		if err != nil {
			return err
		}
		now := r.now()
		for k, packed := range page {
			value := unpack(packed, now)
			if _, again := met[k]; again || value == nil || r.seen.isGone(r.name(k)) {
				continue
			}
			met[k] = struct{}{}
			if err := each(k, value); err != nil {
				return err
			}
		}
		if cursor == 0 {
			return nil
		}
	}
}

// page reads some records and returns where the next page begins, 0 after the last.
func (r *Redis) page(ctx context.Context, c rueidis.Client, cursor uint64) (page map[Key]string, next uint64, err error) {
	page = make(map[Key]string)
	err = c.Dedicated(func(c rueidis.DedicatedClient) error {
		// A key of the realm binds the connection to the node that has them all.
		if err := c.Do(ctx, c.B().Exists().Key(r.pulse.lifeKey).Build()).Error(); err != nil {
			return err
		}
		scan := c.B().Scan().Cursor(cursor).Match(r.prefix + "*").Count(scanPage).Build()
		found, err := c.Do(ctx, scan).AsScanEntry()
		if err != nil {
			return err
		}
		next = found.Cursor
		var keys []Key
		var gets rueidis.Commands
		for _, name := range found.Elements {
			if k, ok := r.keyOf(name); ok {
				keys = append(keys, k)
				gets = append(gets, c.B().Get().Key(name).Build())
			}
		}
		if len(gets) == 0 {
			return nil
		}
		for i, reply := range c.DoMulti(ctx, gets...) {
			if page[keys[i]], err = text(reply); err != nil {
				return err
			}
		}
		return nil
	})
	return page, next, err
}

// keyOf is the key of an entry's name in Redis; false for what is none.
func (r *Redis) keyOf(name string) (k Key, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(name, r.prefix))
	if err != nil || len(b) != len(k) {
		return k, false
	}
	return Key(b), true
}

// Known implements [Store].
func (r *Redis) Known(each func(k Key, value []byte)) {
	if r.line.isClosed() {
		return
	}
	now := r.now()
	for name, packed := range r.seen.all() {
		if k, ok := r.keyOf(name); ok {
			if value := unpack(packed, now); value != nil {
				each(k, value)
			}
		}
	}
}

// all is what was found within seenFor.
func (s *seen) all() map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[string]string, len(s.found))
	for name, sighting := range s.found {
		if s.now().Sub(sighting.at) < seenFor {
			all[name] = sighting.packed
		}
	}
	return all
}
