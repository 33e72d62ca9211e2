package caddymodule

import (
	"cmp"
	"slices"
	"sync"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

// live are the gates of this process that are provisioned and not cleaned up. What
// is not part of one configuration, the metrics and the admin API, looks here when
// it is asked, and is right after every reload, also a refused one. During a reload
// the gates of both configurations are live.
var live gates

// gates is a set that remembers the order in which they came.
type gates struct {
	mu  sync.Mutex
	all []*Gate
}

func (s *gates) add(g *Gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, g)
}

func (s *gates) remove(g *Gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *Gate) bool { return other == g })
}

// realm is the gates that share a realm in one store, and with it their sessions
// and counters. There is at least one, the newest last.
type realm struct {
	name, store string
	gates       []*Gate
}

// realms are those of the live gates, in a stable order.
func (s *gates) realms() []realm {
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	var realms []realm
	for _, g := range all {
		i := slices.IndexFunc(realms, func(r realm) bool { return r.name == g.Realm && r.store == g.storeName })
		if i < 0 {
			i = len(realms)
			realms = append(realms, realm{name: g.Realm, store: g.storeName})
		}
		realms[i].gates = append(realms[i].gates, g)
	}
	slices.SortFunc(realms, func(a, b realm) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.store, b.store))
	})
	return realms
}

// newest is the gate to ask about what all of them share.
func (r realm) newest() *Gate { return r.gates[len(r.gates)-1] }

// isCurrent reports whether one of the gates accepts the session. While a users file
// cannot be used nobody knows, and the session goes on afterwards.
func (r realm) isCurrent(record session.Record) bool {
	return slices.ContainsFunc(r.gates, func(g *Gate) bool {
		current, err := g.isCurrent(record)
		return current || err != nil
	})
}
