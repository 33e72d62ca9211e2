package state

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestSES7_KeysOfDifferentFieldsDiffer(t *testing.T) {
	type fields struct {
		realm, kind string
		id          [][]byte
	}
	seen := make(map[Key]fields)
	for _, f := range []fields{
		{"a", "b", nil}, {"ab", "", nil}, {"", "ab", nil}, {"b", "a", nil},
		{"a", "b", [][]byte{nil}}, {"a", "b", [][]byte{nil, nil}}, {"a", "", [][]byte{[]byte("b")}},
		{"a", "b\x00\x00\x00\x00\x00\x00\x00\x01c", nil}, {"a", "b", [][]byte{[]byte("c")}}, // a length written into a field
		{"a\x00\x00\x00\x00\x00\x00\x00\x01b", "", nil},
		{"a", "b", [][]byte{[]byte("cd")}}, {"a", "b", [][]byte{[]byte("c"), []byte("d")}}, {"a", "bc", [][]byte{[]byte("d")}},
	} {
		k := KeyOf(f.realm, f.kind, f.id...)
		if old, ok := seen[k]; ok {
			t.Errorf("%q and %q share a key", old, f)
		}
		seen[k] = f
		if k != KeyOf(f.realm, f.kind, f.id...) {
			t.Errorf("the key of %q changes", f)
		}
	}
}

func TestSaturate(t *testing.T) {
	for _, c := range []struct {
		n     int32
		delta int
		want  int32
	}{
		{0, 1, 1}, {5, -3, 2}, {5, -6, 0}, {0, math.MinInt, 0}, {0, math.MaxInt, math.MaxInt32},
		{math.MaxInt32, 1, math.MaxInt32}, {math.MaxInt32, math.MinInt, 0},
	} {
		if got := saturate(c.n, c.delta); got != c.want {
			t.Errorf("saturate(%d, %d) = %d, want %d", c.n, c.delta, got, c.want)
		}
	}
}

func TestNanosKeepsTimesBeyondItsRangeInOrder(t *testing.T) {
	if got := nanos(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)); got != math.MaxInt64 {
		t.Errorf("year 3000 is %d", got)
	}
	if got := nanos(time.Time{}); got != math.MinInt64 {
		t.Errorf("the zero time is %d", got)
	}
	if got := nanos(noon); got != noon.UnixNano() {
		t.Errorf("noon is %d", got)
	}
}

func TestCountersRefuseOtherKeys(t *testing.T) {
	m := NewMemory(Options{Now: func() time.Time { return noon }})
	defer m.Close()
	k := KeyOf("r", "session")
	must(t, m.Put(t.Context(), k, []byte("a"), noon.Add(time.Hour)))
	if _, err := m.Add(t.Context(), k, 1, time.Minute); err == nil {
		t.Fatal("a record was counted")
	}
	if first, err := m.Take(t.Context(), epochOf(m), k, noon.Add(time.Hour)); first || err != nil {
		t.Fatalf("take over a live record: %t, %v", first, err)
	}
	wantValue(t, m, k, "a")
}

func TestUntakeLeavesALaterMark(t *testing.T) {
	tab, k := newTable(), KeyOf("r", "spent")
	early, late := entry{kind: mark, until: 10}, entry{kind: mark, until: 20}
	if !tab.take(k, early, 5) || tab.take(k, late, 9) || !tab.take(k, late, 10) {
		t.Fatal("wrong winners")
	}
	tab.untake(k, early)
	if tab.take(k, late, 11) {
		t.Fatal("the later mark was undone")
	}
	tab.untake(k, late)
	if !tab.take(k, late, 11) {
		t.Fatal("the mark was not undone")
	}
}

func (t *table) size() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.RLock()
		n += len(t.shards[i].m)
		t.shards[i].mu.RUnlock()
	}
	return n
}

func TestMemorySweepsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(Options{})
		for i := range 1000 {
			_, err := m.Add(t.Context(), KeyOf("r", "failures", fmt.Append(nil, i)), 1, time.Minute)
			must(t, err)
		}
		must(t, m.Put(t.Context(), KeyOf("r", "session"), []byte("stays"), time.Now().Add(time.Hour)))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := m.table.size(); n != 1001 {
			t.Errorf("%d entries while all live, want 1001", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := m.table.size(); n != 1 {
			t.Errorf("%d entries, want 1", n)
		}
		wantValue(t, m, KeyOf("r", "session"), "stays")
		must(t, m.Close())
	})
}

func TestSweepLeavesWhatWasReplacedMeanwhile(t *testing.T) {
	tab, k := newTable(), KeyOf("r", "session")
	tab.set(k, entry{kind: record, until: 20})
	tab.shard(k).drop([]Key{k}, 10) // as if it had been dead when the sweeper looked
	if _, ok := tab.lookup(k); !ok {
		t.Fatal("a live entry was swept")
	}
}

func TestShardGivesBackTheMemoryOfAFlood(t *testing.T) {
	tab := newTable()
	const shard, n = 7, 4 * shrinkFrom
	for i := range n {
		k := KeyOf("r", "flood", fmt.Append(nil, i))
		k[0] = shard
		tab.set(k, entry{kind: mark, until: int64(1 + i%8)})
	}
	s := &tab.shards[shard]
	for now, want := range map[int64]int{7: n / 8} {
		if dead := tab.sweep(shard, now); len(dead) != n-want {
			t.Fatalf("%d swept, want %d", len(dead), n-want)
		}
		if len(s.m) != want || s.peak != want {
			t.Fatalf("%d entries, peak %d, want %d", len(s.m), s.peak, want)
		}
	}
}

// A record of 130 bytes, such as a session's, costs at most 400 bytes of heap.
func TestMemoryOfASession(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	const n = 120_000 // just after the maps have doubled, when they are emptiest
	before := heap()
	m := NewMemory(Options{})
	defer m.Close()
	value, until := make([]byte, 130), time.Now().Add(time.Hour)
	for i := range n {
		must(t, m.Put(t.Context(), KeyOf("r", "session", fmt.Append(nil, i)), value, until))
	}
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > 400 {
		t.Errorf("%d bytes of heap for each session", each)
	}
	runtime.KeepAlive(m)
}
