package state_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

func sessionKey(id string) state.Key { return state.KeyOf("r", "session", []byte(id)) }
func spentKey(id string) state.Key   { return state.KeyOf("r", "spent", []byte(id)) }

// eventually asks again until it is so; that it never is fails with the test's own time limit.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 600 {
		if so() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("never %s", what)
}

func epochOf(t *testing.T, s state.Store) state.Epoch {
	t.Helper()
	e, err := s.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func take(t *testing.T, s state.Store, e state.Epoch, k state.Key) bool {
	t.Helper()
	first, err := s.Take(t.Context(), e, k, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func put(t *testing.T, s state.Store, k state.Key, value string) {
	t.Helper()
	if err := s.Put(t.Context(), k, []byte(value), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s state.Store, k state.Key) string {
	t.Helper()
	value, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// refusedAll makes each call that needs Redis and expects that none gets through.
func refusedAll(t *testing.T, s state.Store) {
	t.Helper()
	until := time.Now().Add(time.Hour)
	k := sessionKey("unseen")
	_, takeErr := s.Take(t.Context(), epochOf(t, s), spentKey("x"), until)
	_, getErr := s.Get(t.Context(), k)
	_, addErr := s.Add(t.Context(), state.KeyOf("r", "failures"), 1, time.Minute)
	for name, err := range map[string]error{
		"Take": takeErr, "Get": getErr, "Add": addErr, "Undo": s.Undo(t.Context(), state.KeyOf("r", "failures"), until),
		"Put": s.Put(t.Context(), k, nil, until), "Refresh": s.Refresh(t.Context(), k, nil, until), "Delete": s.Delete(t.Context(), k),
	} {
		if !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRedisAwayAtStartIsNoErrorAndComesBack(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	r := openRedis(t, server, time.Now)
	if err := r.Ready(); !errors.Is(err, state.ErrUnavailable) {
		t.Fatalf("ready: %v", err)
	}
	if _, err := r.Epoch(t.Context()); !errors.Is(err, state.ErrUnavailable) {
		t.Fatalf("epoch: %v", err)
	}
	if _, err := r.Get(t.Context(), sessionKey("a")); !errors.Is(err, state.ErrUnavailable) {
		t.Fatalf("get: %v", err)
	}
	server.Run()
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	put(t, r, sessionKey("a"), "here")
	if got := get(t, r, sessionKey("a")); got != "here" {
		t.Fatalf("got %q", got)
	}
}

func TestSessionsSeenLatelyOutliveAnOutage(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*redistest.Server) }{
		"stopped": {(*redistest.Server).Kill, (*redistest.Server).Run},
		"frozen":  {(*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			var ahead atomic.Int64
			r := openRedis(t, server, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
			put(t, r, sessionKey("seen"), "mine")
			put(t, r, sessionKey("unseen"), "other")
			get(t, r, sessionKey("seen"))
			fault.begin(server)
			eventually(t, "noticed", func() bool { return r.Ready() != nil })
			if got := get(t, r, sessionKey("seen")); got != "mine" {
				t.Errorf("a session seen before the outage: %q", got)
			}
			refusedAll(t, r)
			ahead.Store(int64(61 * time.Second))
			if _, err := r.Get(t.Context(), sessionKey("seen")); !errors.Is(err, state.ErrUnavailable) {
				t.Errorf("a session seen over a minute ago: %v", err)
			}
			ahead.Store(0)
			epoch := epochOf(t, r)
			fault.end(server)
			eventually(t, "ready again", func() bool { return r.Ready() == nil })
			if got := get(t, r, sessionKey("seen")); got != "mine" {
				t.Errorf("after the outage: %q", got)
			}
			// Another run of Redis may have lost something; the same run cannot.
			if changed := epochOf(t, r) != epoch; changed != (name == "stopped") {
				t.Errorf("the epoch changed: %t", changed)
			}
		})
	}
}

func TestSES3_ADeletionThatFailedIsMadeUpFor(t *testing.T) {
	server := redistest.Start(t)
	here, there := openRealm(t, server, "shared", time.Now), openRealm(t, server, "shared", time.Now)
	put(t, here, sessionKey("a"), "mine")
	get(t, here, sessionKey("a"))
	get(t, there, sessionKey("a"))
	server.Freeze()
	if err := here.Delete(t.Context(), sessionKey("a")); !errors.Is(err, state.ErrUnavailable) {
		t.Fatalf("delete: %v", err)
	}
	server.Thaw()
	eventually(t, "ready", func() bool { return here.Ready() == nil && there.Ready() == nil })
	put(t, there, sessionKey("a"), "mine") // as if it had not got through
	// Asking again must not say that there is nothing as long as others find it.
	eventually(t, "gone here", func() bool {
		value, err := here.Get(t.Context(), sessionKey("a"))
		if value != nil {
			t.Fatal("a deleted session is shown")
		}
		return err == nil
	})
	eventually(t, "gone there", func() bool { return get(t, there, sessionKey("a")) == "" })
}

func TestCAP9_StrangersDoNotFillRedis(t *testing.T) {
	server := redistest.Start(t)
	r := openRedis(t, server, time.Now)
	put(t, r, sessionKey("a"), "mine")
	get(t, r, sessionKey("a"))
	for i := range 1000 {
		get(t, r, sessionKey(fmt.Sprint("made up ", i)))
	}
	if found := server.Do("INFO", "stats"); !strings.Contains(found, "tracking_total_keys:1\r\n") {
		t.Errorf("Redis remembers who asked for what: %s", found)
	}
}

func TestRedisThatPushesThingsOutIsWarnedOf(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	r := openRedis(t, server, time.Now)
	if err := r.Warning(); err == nil || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Fatalf("warning: %v", err)
	}
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	eventually(t, "content", func() bool { return r.Warning() == nil })
}

// Redis answers, but not as what the settings say.
func TestRedisOptionsThatDoNotFitTheServerAreAnOutage(t *testing.T) {
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, "main", server.Addr)
	other := redistest.Start(t)
	for name, options := range map[string]state.RedisOptions{
		"no sentinel":          {URL: server.URL(), Master: "main"},
		"unknown master":       {URL: sentinel.URL(), Master: "other"},
		"sentinel as server":   {URL: sentinel.URL()},
		"two that no cluster":  {URL: server.URL(), Addresses: []string{other.Addr}},
		"nobody at the second": {URL: sentinel.URL(), Master: "other", Addresses: []string{"127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := state.OpenRedis(options, "r", state.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := r.Get(t.Context(), sessionKey("a")); !errors.Is(err, state.ErrUnavailable) {
				t.Errorf("get: %v", err)
			}
		})
	}
}

// One address, behind which another server becomes the master.
func TestTheMasterMayMoveBehindItsAddress(t *testing.T) {
	old := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(old.Addr)
	next := redistest.Start(t, "--replicaof", host+" "+port)
	door := redistest.StartDoor(t, old.Addr)
	r, err := state.OpenRedis(state.RedisOptions{URL: "redis://" + door.Addr}, "r", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	put(t, r, sessionKey("a"), "mine")
	eventually(t, "followed", func() bool { return next.Do("DBSIZE") == old.Do("DBSIZE") })
	next.Do("REPLICAOF", "NO", "ONE")
	nextHost, nextPort, _ := net.SplitHostPort(next.Addr)
	old.Do("REPLICAOF", nextHost, nextPort)
	door.LeadTo(next.Addr)
	eventually(t, "noticed", func() bool { return r.Ready() != nil })
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	if got := get(t, r, sessionKey("a")); got != "mine" {
		t.Errorf("found %q", got)
	}
}

func TestRedisThatRefusesWritesStillAnswers(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end []string }{
		"out of memory": {[]string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
		"read-only":     {[]string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			r := openRedis(t, server, time.Now)
			put(t, r, sessionKey("a"), "mine")
			put(t, r, sessionKey("b"), "another")
			get(t, r, sessionKey("a"))
			server.Do(fault.begin...)
			eventually(t, "noticed", func() bool { return r.Ready() != nil })
			for id, want := range map[string]string{"a": "mine", "b": "another", "none": ""} {
				if got := get(t, r, sessionKey(id)); got != want {
					t.Errorf("%s: %q, want %q", id, got, want)
				}
			}
			until := time.Now().Add(time.Minute)
			_, takeErr := r.Take(t.Context(), epochOf(t, r), spentKey("x"), until)
			_, addErr := r.Add(t.Context(), state.KeyOf("r", "failures"), 1, time.Minute)
			for call, err := range map[string]error{"Take": takeErr, "Add": addErr, "Put": r.Put(t.Context(), sessionKey("c"), nil, until)} {
				if !errors.Is(err, state.ErrUnavailable) {
					t.Errorf("%s: %v", call, err)
				}
			}
			server.Do(fault.end...)
			eventually(t, "ready again", func() bool { return r.Ready() == nil })
			if !take(t, r, epochOf(t, r), spentKey("x")) {
				t.Error("not first")
			}
		})
	}
}

func TestSES3_ADeletionIsSeenByTheOtherNodeAtOnce(t *testing.T) {
	server := redistest.Start(t)
	here, there := openRealm(t, server, "shared", time.Now), openRealm(t, server, "shared", time.Now)
	late := 0
	for i := range 300 {
		k := sessionKey(fmt.Sprint(i))
		put(t, here, k, "mine")
		if got := get(t, there, k); got != "mine" {
			t.Fatalf("round %d: the other node found %q", i, got)
		}
		if err := here.Delete(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if get(t, there, k) != "" {
			late++
			eventually(t, "gone", func() bool { return get(t, there, k) == "" })
		}
	}
	// Nothing but a busy machine makes news travel longer than a deletion waits for it.
	if late > 3 {
		t.Errorf("%d of 300 deletions were not seen at once", late)
	}
}

func TestRedisClusterIsFoundByItself(t *testing.T) {
	server := redistest.Start(t, "--cluster-enabled", "yes")
	server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	statetest.Run(t, func(t *testing.T, now func() time.Time) state.Store {
		r := openRedis(t, server, now)
		eventually(t, "ready", func() bool { return r.Ready() == nil })
		return r
	})
}

func TestSentinelsLeadToTheNewMaster(t *testing.T) {
	master := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	sentinel := redistest.StartSentinel(t, "main", master.Addr)
	r, err := state.OpenRedis(state.RedisOptions{URL: sentinel.URL(), Master: "main"}, "r", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	put(t, r, sessionKey("a"), "mine")
	spent := take(t, r, epochOf(t, r), spentKey("a"))
	before := epochOf(t, r)
	eventually(t, "followed", func() bool { return replica.Do("DBSIZE") == master.Do("DBSIZE") })
	master.Kill()
	eventually(t, "ready with the new master", func() bool { return r.Ready() == nil && replica.Role() == "master" })
	if got := get(t, r, sessionKey("a")); got != "mine" {
		t.Errorf("after the failover: %q", got)
	}
	if !spent || take(t, r, before, spentKey("a")) {
		t.Error("spent twice")
	}
}
