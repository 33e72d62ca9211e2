package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// However calls on the same few keys race with each other, with the flusher, with the sweeper and with a disk that is
// full at times, file and memory agree in the end.
func TestFileAndMemoryAgreeAfterARush(t *testing.T) {
	for _, disk := range []string{"good", "full at times"} {
		t.Run(disk, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			clock := new(testClock)
			l := mustOpen(t, path, Options{Now: clock.now, flushEvery: time.Millisecond})
			var wg sync.WaitGroup
			for worker := range uint64(16) {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(worker, 7))
					for range 150 {
						rushStep(t, l, clock, random)
					}
				})
			}
			if disk != "good" {
				for i := range 100 {
					full(t, l, i%2 == 0)
				}
				full(t, l, false)
			}
			wg.Wait()
			c := l.live.Load()
			must(t, l.Close())
			sameAsFile(t, c.table, entriesIn(t, path))
		})
	}
}

// rushStep makes one random call. Its errors are those of a full disk.
func rushStep(t *testing.T, l *Local, clock *testClock, random *rand.Rand) {
	id := fmt.Append(nil, random.IntN(4))
	session, spent, failures := KeyOf("r", "session", id), KeyOf("r", "spent", id), KeyOf("r", "failures", id)
	until := clock.now().Add(time.Duration(random.IntN(5)) * time.Second)
	value := bytes.Repeat(id, 1+random.IntN(20_000))
	switch random.IntN(8) {
	case 0, 1:
		_ = l.Put(t.Context(), session, value, until)
	case 2:
		_ = l.Refresh(t.Context(), session, value, until)
	case 3:
		_ = l.Delete(t.Context(), session)
	case 4:
		_, _ = l.Take(t.Context(), epochOf(l), spent, until)
	case 5:
		_, _ = l.Add(t.Context(), failures, 1, time.Second)
	case 6:
		_ = l.Delete(t.Context(), failures)
	case 7:
		clock.advance(time.Second / 4)
	}
}

func sameAsFile(t *testing.T, tab *table, found map[Key]entry) {
	t.Helper()
	if n := tab.size(); n != len(found) {
		t.Errorf("%d entries in memory, %d in the file", n, len(found))
	}
	for i := range tab.shards {
		for k, e := range tab.shards[i].m {
			if f := found[k]; f.kind != e.kind || f.until != e.until || f.count != e.count || !bytes.Equal(f.value, e.value) {
				t.Errorf("an entry of kind %d differs: until %d, in the file %d of kind %d", e.kind, e.until, f.until, f.kind)
			}
		}
	}
}
