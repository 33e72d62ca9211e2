package outbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

// eventually asks again until it is so; that it never is fails with a limit that nothing comes near.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for range 1200 {
		if so() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("never %s", what)
}

// openRedis is a node's own line to Redis, ready to be used.
func openRedis(t testing.TB, server *redistest.Server, skew time.Duration) *state.Redis {
	t.Helper()
	r, err := state.OpenRedis(state.RedisOptions{URL: server.URL()}, testRealm,
		state.Options{Now: func() time.Time { return time.Now().Add(skew) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	return r
}

// postMany posts on all nodes in turn, from several callers at once, and returns the ids. Where Redis was too busy to
// answer in time a message is posted again, as one more.
func postMany(t testing.TB, n int, nodes ...*Outbox) []string {
	t.Helper()
	ids := make([]string, n)
	var wg sync.WaitGroup
	for caller := range 6 {
		wg.Go(func() {
			for i := caller; i < n; i += 6 {
				for err := errDown; err != nil; {
					ids[i], err = nodes[i%len(nodes)].Post(context.Background(), message(5*time.Minute))
					if err != nil && !errors.Is(err, state.ErrUnavailable) {
						t.Errorf("post: %v", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return ids
}

func TestNodesOnOneRedisHandOverOnce(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Minute} {
		server := redistest.Start(t)
		p := new(provider)
		a := start(t, openRedis(t, server, 0), p)
		b := start(t, openRedis(t, server, skew), p, skewed(skew))
		ids := postMany(t, 300, a, b)
		eventually(t, "all sent", func() bool { return allTaken(p, ids) })
		eventually(t, "an empty index", func() bool {
			_, entries, err := b.index(t.Context())
			return err == nil && len(entries) == 0
		})
		takenOnce(t, ids, p.taken...)
		for _, id := range ids { // whoever sent it
			wantStatus(t, a, id, Sent)
			wantStatus(t, b, id, Sent)
		}
	}
}

func TestOTP7_RedisHoldsNoNumberAndNoCode(t *testing.T) {
	server := redistest.Start(t)
	o := open(t, openRedis(t, server, 0), new(provider))
	m := message(time.Minute)
	post(t, o, m)
	keys := server.Keys("*")
	if len(keys) < 2 {
		t.Fatal(keys)
	}
	for _, k := range keys {
		if dump := server.Do("DUMP", k); shows(dump, m) || strings.Contains(k, m.To) {
			t.Errorf("%s shows the message", k)
		}
	}
}

// A node stops in the middle; the other one sends the rest, and nothing twice.
func TestRedisNodeStopsInTheMiddle(t *testing.T) {
	server := redistest.Start(t)
	p := &provider{answer: after(50 * time.Millisecond)}
	a, b := start(t, openRedis(t, server, 0), p), start(t, openRedis(t, server, 0), p)
	ids := postMany(t, 300, a, b)
	a.Close()
	eventually(t, "all sent", func() bool { return allTaken(p, ids) })
	b.Close()
	takenOnce(t, ids, p.taken...)
}

// Redis dies while messages are on their way, and comes back with what it had.
func TestRedisDiesInTheMiddle(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	p := &provider{answer: after(100 * time.Millisecond)}
	// A claim runs out while Redis is away.
	quicker := func(o *Options) {
		o.timing = defaultTiming
		o.timing.send, o.timing.lease, o.timing.spare = 500*time.Millisecond, time.Second, 200*time.Millisecond
	}
	a, b := start(t, openRedis(t, server, 0), p, quicker), start(t, openRedis(t, server, 0), p, quicker)
	ids := postMany(t, 300, a, b)
	eventually(t, "under way", func() bool { _, taken := p.count(); return taken > 0 })
	server.Kill()
	if _, taken := p.count(); taken == len(ids) {
		t.Error("nothing was under way when Redis died")
	}
	if _, err := a.Post(t.Context(), message(time.Minute)); err == nil {
		t.Error("posted without Redis")
	}
	time.Sleep(2 * time.Second)
	server.Run()
	eventually(t, "all sent", func() bool { return allTaken(p, ids) })
	// A second hand-over would come when a claim that was lost has run out.
	time.Sleep(a.t.lease + a.t.orphan + 2*a.t.every)
	takenOnce(t, ids, p.taken...)
	eventually(t, "an empty index", func() bool {
		_, entries, err := a.index(t.Context())
		return err == nil && len(entries) == 0
	})
}
