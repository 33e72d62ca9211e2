package statetest

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Model compares a store with plain maps over random histories. Where reopen is not nil, the store is also closed and
// opened again in between, and must remember everything.
func Model(t *testing.T, open Open, reopen func(t *testing.T, old state.Store, now func() time.Time) state.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			t:       t,
			records: make(map[state.Key]modelRecord),
			marks:   make(map[state.Key]time.Time),
			counts:  make(map[state.Key]state.Tally),
		}
		m.store = open(t, m.clock.Now)
		defer func() { m.store.Close() }()
		epoch, err := m.store.Epoch(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		actions := map[string]func(*rapid.T){
			"put": m.put, "get": m.get, "refresh": m.refresh, "delete": m.remove, "swap": m.swap,
			"take": m.take, "free": m.free, "add": m.add, "undo": m.undo, "clear": m.clear,
			"advance": func(rt *rapid.T) {
				m.clock.Advance(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			},
			"epoch": func(rt *rapid.T) {
				if e, err := m.store.Epoch(t.Context()); err != nil || e != epoch {
					rt.Fatalf("epoch %x, %v; was %x", e, err, epoch)
				}
			},
		}
		if reopen != nil {
			actions["reopen"] = func(*rapid.T) {
				m.store = reopen(t, m.store, m.clock.Now)
			}
		}
		rt.Repeat(actions)
	})
}

type modelRecord struct {
	value []byte
	until time.Time
}

type model struct {
	t       *testing.T
	store   state.Store
	clock   Clock
	records map[state.Key]modelRecord
	marks   map[state.Key]time.Time
	counts  map[state.Key]state.Tally
}

func (m *model) key(rt *rapid.T, kind string) state.Key {
	return key(kind, rapid.IntRange(1, 4).Draw(rt, kind))
}

func (m *model) until(rt *rapid.T) time.Time {
	return m.clock.Now().Add(time.Duration(rapid.IntRange(-5, 60).Draw(rt, "lifetime")) * time.Second)
}

func (m *model) live(until time.Time) bool { return m.clock.Now().Before(until) }

func check(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

func (m *model) put(rt *rapid.T) {
	k, r := m.key(rt, "session"), modelRecord{rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "value"), m.until(rt)}
	check(rt, m.store.Put(m.t.Context(), k, r.value, r.until))
	m.records[k] = r
}

func (m *model) refresh(rt *rapid.T) {
	k, r := m.key(rt, "session"), modelRecord{rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "value"), m.until(rt)}
	check(rt, m.store.Refresh(m.t.Context(), k, r.value, r.until))
	if old, ok := m.records[k]; ok && m.live(old.until) {
		m.records[k] = r
	}
}

func (m *model) get(rt *rapid.T) {
	k := m.key(rt, "session")
	got, err := m.store.Get(m.t.Context(), k)
	check(rt, err)
	want, ok := m.records[k]
	if ok = ok && m.live(want.until); ok != (got != nil) || ok && !bytes.Equal(got, want.value) {
		rt.Fatalf("get: %q, want %q (%t)", got, want.value, ok)
	}
}

func (m *model) swap(rt *rapid.T) {
	k, r := m.key(rt, "index"), modelRecord{rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "value"), m.until(rt)}
	if rapid.Bool().Draw(rt, "removes") {
		r.value = nil
	}
	there, ok := m.records[k]
	ok = ok && m.live(there.until)
	var old []byte
	if rapid.Bool().Draw(rt, "knows") && ok {
		old = append([]byte{}, there.value...)
	} else if rapid.Bool().Draw(rt, "guesses") {
		old = []byte{}
	}
	want := ok == (old != nil) && (!ok || bytes.Equal(old, there.value))
	swapped, current, err := m.store.Swap(m.t.Context(), k, old, r.value, r.until)
	check(rt, err)
	if swapped != want {
		rt.Fatalf("swap: %t, want %t", swapped, want)
	}
	if want {
		m.records[k], there, ok = r, r, r.value != nil && m.live(r.until)
		if !ok {
			delete(m.records, k)
		}
	}
	if (current != nil) != ok || ok && !bytes.Equal(current, there.value) {
		rt.Fatalf("swap: there is %q, want %q (%t)", current, there.value, ok)
	}
	got, err := m.store.Get(m.t.Context(), k)
	check(rt, err)
	if (got != nil) != ok || ok && !bytes.Equal(got, there.value) {
		rt.Fatalf("get after swap: %q, want %q (%t)", got, there.value, ok)
	}
}

func (m *model) remove(rt *rapid.T) {
	k := m.key(rt, "session")
	check(rt, m.store.Delete(m.t.Context(), k))
	delete(m.records, k)
}

func (m *model) take(rt *rapid.T) {
	k, until := m.key(rt, "spent"), m.until(rt)
	first, err := m.store.Take(m.t.Context(), epochOf(m.t, m.store), k, until)
	check(rt, err)
	old, ok := m.marks[k]
	want := m.live(until) && (!ok || !m.live(old))
	if first != want {
		rt.Fatalf("take: first %t, want %t", first, want)
	}
	if want {
		m.marks[k] = until
	}
}

func (m *model) free(rt *rapid.T) {
	k := m.key(rt, "spent")
	check(rt, m.store.Delete(m.t.Context(), k))
	delete(m.marks, k)
}

func (m *model) add(rt *rapid.T) {
	k, delta := m.key(rt, "failures"), rapid.IntRange(-3, 3).Draw(rt, "delta")
	window := time.Duration(rapid.IntRange(1, 60).Draw(rt, "window")) * time.Second
	got, err := m.store.Add(m.t.Context(), k, delta, window)
	check(rt, err)
	want, ok := m.counts[k]
	if !ok || !m.live(want.Resets) {
		want = state.Tally{}
		if delta > 0 {
			want.Resets = m.clock.Now().Add(window)
		}
	}
	if !want.Resets.IsZero() {
		want.N = max(0, want.N+delta)
		m.counts[k] = want
	}
	if got.N != want.N || !got.Resets.Equal(want.Resets) {
		rt.Fatalf("add %+d: %+v, want %+v", delta, got, want)
	}
}

func (m *model) undo(rt *rapid.T) {
	k := m.key(rt, "failures")
	tally, ok := m.counts[k]
	resets := tally.Resets
	if rapid.Bool().Draw(rt, "of another counter") {
		resets, ok = resets.Add(time.Second), false
	}
	check(rt, m.store.Undo(m.t.Context(), k, resets))
	if ok && m.live(tally.Resets) && tally.N > 0 {
		tally.N--
		m.counts[k] = tally
		if tally.N == 0 {
			delete(m.counts, k)
		}
	}
}

func (m *model) clear(rt *rapid.T) {
	k := m.key(rt, "failures")
	check(rt, m.store.Delete(m.t.Context(), k))
	delete(m.counts, k)
}
