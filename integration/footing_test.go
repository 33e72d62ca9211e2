package integration

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// footing is what Caddy holds when nobody is there.
type footing struct {
	goroutines, files, heap int
}

func (f footing) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, heap %.1f MB", f.goroutines, f.files, float64(f.heap)/1e6)
}

func (s *site) footing() footing { return footing{s.goroutines(), s.openFiles(), s.heap()} }

// isLike allows for what the runtime and connections just closed still hold. What a
// configuration holds is megabytes: ten that stayed would be seen.
func (f footing) isLike(t *testing.T, before footing) {
	t.Helper()
	if f.goroutines > before.goroutines+5 || f.files > before.files+5 || f.heap > before.heap+40e6 {
		t.Errorf("before: %v; after: %v", before, f)
	}
}

// rest ends all sessions, gives Caddy a fresh configuration with these directives,
// and waits until what ends with its connection or configuration has ended: until
// it has not become less for a second.
func (s *site) rest(directives string) footing {
	s.t.Helper()
	s.endSessions("?realm=default")
	config := s.standard(fmt.Sprintf("%slanding /rest%d", directives, time.Now().UnixNano()))
	if status, body := s.load(config); status != http.StatusOK {
		s.t.Fatalf("%d %s", status, body)
	}
	s.upstream.server.CloseClientConnections()
	least := footing{s.goroutines(), s.openFiles(), 0}
	same := 0
	eventually(s.t, "at rest", time.Minute, func() bool {
		now := footing{min(s.goroutines(), least.goroutines), min(s.openFiles(), least.files), 0}
		if same++; now != least {
			least, same = now, 0
		}
		return same == 40
	})
	for range 3 { // what has a finalizer, or is pooled, goes with a later collection
		least.heap = s.heap()
	}
	return least
}
