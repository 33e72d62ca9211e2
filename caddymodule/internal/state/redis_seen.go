package state

import (
	"sync"
	"sync/atomic"
	"time"
)

// seen is what this node remembers by itself: what it found in Redis in the last minute, and what it deleted there.
type seen struct {
	now func() time.Time
	mu  sync.RWMutex
	// found are records by name. Only what is really there gets in, so strangers cannot fill it.
	found map[string]sighting
	gone  map[string]time.Time // until when
	// news counts what Redis told of changes.
	news  atomic.Int64
	swept time.Time
}

type sighting struct {
	packed string
	at     time.Time
}

// touchEvery is how old a sighting must be to be noted again.
const touchEvery = time.Second

func newSeen(now func() time.Time) *seen {
	return &seen{now: now, found: make(map[string]sighting), gone: make(map[string]time.Time), swept: now()}
}

// changes is to be read before asking, and given to note afterwards.
func (s *seen) changes() int64 { return s.news.Load() }

// note takes in an answer of Redis; empty means that there is nothing. An answer that news may have overtaken is not
// kept.
func (s *seen) note(name, packed string, before int64) {
	now := s.now()
	s.mu.RLock()
	old, known := s.found[name]
	s.mu.RUnlock()
	if packed == old.packed && (!known || now.Sub(old.at) < touchEvery) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.found, name)
	if packed != "" && s.news.Load() == before {
		s.found[name] = sighting{packed, now}
	}
}

// has reports whether Redis had the record when it was last asked.
func (s *seen) has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.found[name]
	return ok
}

// lately returns what was found within seenFor.
func (s *seen) lately(name string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sighting, ok := s.found[name]; ok && s.now().Sub(sighting.at) < seenFor {
		return sighting.packed
	}
	return ""
}

// forget drops what Redis says has changed.
func (s *seen) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news.Add(1)
	delete(s.found, name)
}

func (s *seen) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news.Add(1)
	clear(s.found)
}

// bury keeps a record away from this node for a day.
func (s *seen) bury(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.found, name)
	s.gone[name] = s.now().Add(goneFor)
}

func (s *seen) revive(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gone, name)
}

func (s *seen) isGone(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	until, ok := s.gone[name]
	return ok && s.now().Before(until)
}

// sweep drops now and then what is over.
func (s *seen) sweep() {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept).Abs() < seenFor/4 {
		return
	}
	s.swept = now
	for name, sighting := range s.found {
		if now.Sub(sighting.at) >= seenFor {
			delete(s.found, name)
		}
	}
	for name, until := range s.gone {
		if !now.Before(until) {
			delete(s.gone, name)
		}
	}
}
