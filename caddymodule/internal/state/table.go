package state

import (
	"bytes"
	"math"
	"slices"
	"sync"
	"time"
)

type kind uint8

const (
	record  kind = iota + 1 // Put
	mark                    // Take
	counter                 // Add
)

// entry is kept small: with its key it is most of what a session costs beside its value.
type entry struct {
	value []byte // of a record; never modified once it is in the table
	until int64  // Unix time in nanoseconds
	count int32  // of a counter
	kind  kind
}

func (e entry) live(now int64) bool { return now < e.until }

func (e entry) tally() Tally { return Tally{N: int(e.count), Resets: time.Unix(0, e.until)} }

// A new record owns its bytes. It is never nil, so that an empty value can be told from none.
func newRecord(value []byte, until time.Time) entry {
	own := make([]byte, len(value))
	copy(own, value)
	return entry{kind: record, value: own, until: nanos(until)}
}

// newRecordOrNone keeps nil, which stands for nothing.
func newRecordOrNone(value []byte, until time.Time) entry {
	if value == nil {
		return entry{kind: record}
	}
	return newRecord(value, until)
}

// table is the map in memory that both local stores answer from. Keys are hashes, so their first byte spreads them
// evenly; each shard's lock is held for a few instructions only.
type table struct {
	shards [256]shard
}

type shard struct {
	mu   sync.RWMutex
	m    map[Key]entry
	peak int // the most entries since m was made; Go maps never shrink by themselves
}

// A map smaller than this is not worth remaking. Of a flood that fills all shards up to here some megabytes stay.
const shrinkFrom = 64

func newTable() *table {
	t := new(table)
	for i := range t.shards {
		t.shards[i].m = make(map[Key]entry)
	}
	return t
}

func (t *table) shard(k Key) *shard { return &t.shards[k[0]] }

func (s *shard) set(k Key, e entry) {
	s.m[k] = e
	s.peak = max(s.peak, len(s.m))
}

// lookup returns what is stored, live or not.
func (t *table) lookup(k Key) (entry, bool) {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.m[k]
	return e, ok
}

func (t *table) get(k Key, now int64) []byte {
	e, ok := t.lookup(k)
	if !ok || e.kind != record || !e.live(now) {
		return nil
	}
	return e.value
}

func (t *table) set(k Key, e entry) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(k, e)
}

func (t *table) remove(k Key) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, k)
}

// take marks k and reports whether it was free.
func (t *table) take(k Key, m entry, now int64) bool {
	if !m.live(now) {
		return false
	}
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.m[k]; ok && e.live(now) {
		return false
	}
	s.set(k, m)
	return true
}

// untake undoes the take of exactly this mark. A mark taken later under the same key ends later, for the first one had
// to end before.
func (t *table) untake(k Key, m entry) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.m[k]; e.kind == mark && e.until == m.until {
		delete(s.m, k)
	}
}

// refresh replaces a live record and reports whether there was one.
func (t *table) refresh(k Key, r entry, now int64) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.m[k]; !ok || e.kind != record || !e.live(now) {
		return false
	}
	s.set(k, r)
	return true
}

// holds reports whether e, as looked up, is what a swap expects, and the live value.
func (e entry) holds(old []byte, now int64) (bool, []byte) {
	if e.kind != record || !e.live(now) {
		return old == nil, nil
	}
	return old != nil && bytes.Equal(e.value, old), e.value
}

// swap replaces a live record that equals old, or removes it where r holds no value.
func (t *table) swap(k Key, old []byte, r entry, now int64) (swapped bool, current []byte) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	swapped, current = s.m[k].holds(old, now)
	if !swapped {
		return false, current
	}
	if r.value == nil || !r.live(now) {
		delete(s.m, k)
		return true, nil
	}
	s.set(k, r)
	return true, r.value
}

// add changes a counter; changed tells whether there is anything new to remember.
func (t *table) add(k Key, delta int, window time.Duration, now time.Time) (tally Tally, changed bool, err error) {
	if window <= 0 {
		return Tally{}, false, errWindow
	}
	at := nanos(now)
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[k]
	if !ok || !e.live(at) {
		if delta <= 0 {
			return Tally{}, false, nil
		}
		e = entry{kind: counter, until: nanos(now.Add(window))}
	}
	if e.kind != counter {
		return Tally{}, false, errMixed
	}
	if delta != 0 {
		e.count = saturate(e.count, delta)
		s.set(k, e)
	}
	return e.tally(), delta != 0, nil
}

// undo takes one from the counter that ends at resets and reports whether there was any.
func (t *table) undo(k Key, resets time.Time, now int64) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[k]
	if !ok || e.kind != counter || !e.live(now) || e.until != nanos(resets) || e.count == 0 {
		return false
	}
	if e.count--; e.count == 0 {
		delete(s.m, k)
	} else {
		s.set(k, e)
	}
	return true
}

// saturate adds without leaving 0..MaxInt32, whatever delta is.
func saturate(n int32, delta int) int32 {
	delta = min(max(delta, -math.MaxInt32), math.MaxInt32)
	return int32(min(max(int64(n)+int64(delta), 0), math.MaxInt32))
}

// sweep removes the expired entries of one shard and returns their keys. Looking happens under the read lock and
// removing in small steps, so that nobody waits long.
func (t *table) sweep(i int, now int64) []Key {
	s := &t.shards[i]
	var dead []Key
	s.mu.RLock()
	for k, e := range s.m {
		if !e.live(now) {
			dead = append(dead, k)
		}
	}
	s.mu.RUnlock()
	for few := range slices.Chunk(dead, 256) {
		s.drop(few, now)
	}
	if len(dead) > 0 {
		s.shrink()
	}
	return dead
}

func (s *shard) drop(keys []Key, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if e, ok := s.m[k]; ok && !e.live(now) { // it may have been replaced since we looked
			delete(s.m, k)
		}
	}
}

// shrink gives back the memory of a flood that has passed.
func (s *shard) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peak < shrinkFrom || len(s.m) > s.peak/4 {
		return
	}
	m := make(map[Key]entry, len(s.m))
	for k, e := range s.m {
		m[k] = e
	}
	s.m, s.peak = m, len(m)
}

// sweepStep is how many shards are swept each second: the whole table in about a minute.
const sweepStep = 4

// A sweeper remembers where it is in its round.
type sweeper struct {
	table *table
	next  int
}

// step sweeps the next few shards and returns the keys removed.
func (w *sweeper) step(now int64) []Key {
	var dead []Key
	for range sweepStep {
		dead = append(dead, w.table.sweep(w.next, now)...)
		w.next = (w.next + 1) % len(w.table.shards)
	}
	return dead
}
