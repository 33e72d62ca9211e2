package state_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

func TestRedisOnASocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "redis.sock")
	redistest.Start(t, "--unixsocket", socket)
	r, err := state.OpenRedis(state.RedisOptions{URL: "unix://" + socket}, "r", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	put(t, r, sessionKey("a"), "mine")
	if got := get(t, r, sessionKey("a")); got != "mine" {
		t.Fatalf("found %q", got)
	}
}

// What another program leaves under our keys is neither a session nor a reason to
// fall over, and scripts that Redis forgets are sent again.
func TestRedisThatOthersMeddleWith(t *testing.T) {
	server := redistest.Start(t)
	r := openRealm(t, server, "shared", time.Now)
	put(t, r, sessionKey("a"), "mine")
	for range 3 {
		server.Do("SCRIPT", "FLUSH")
		if _, err := r.Add(t.Context(), state.KeyOf("r", "failures"), 1, time.Minute); err != nil {
			t.Error(err)
		}
	}
	keys := server.Keys("captcha_gate:1:{shared}:*")
	if len(keys) < 4 { // life, beat, session, counter
		t.Fatalf("keys: %v", keys)
	}
	for _, k := range keys {
		server.Do("DEL", k)
		server.Do("RPUSH", k, "of another program")
	}
	if value, err := r.Get(t.Context(), sessionKey("a")); value != nil {
		t.Errorf("found %q, %v", value, err)
	}
	if first, err := r.Take(t.Context(), epochOf(t, r), spentKey("a"), time.Now().Add(time.Minute)); first {
		t.Errorf("first without an epoch, %v", err)
	}
	eventually(t, "noticed", func() bool { return errors.Is(r.Ready(), state.ErrUnavailable) })
	server.Do("FLUSHALL")
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	if !take(t, r, epochOf(t, r), spentKey("a")) {
		t.Error("not first")
	}
}

func TestRedisThatHangsUpAllTheTime(t *testing.T) {
	server := redistest.Start(t)
	r := openRealm(t, server, "shared", time.Now)
	put(t, r, sessionKey("a"), "mine")
	wins := 0
	for i := range 40 {
		server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		for range 5 { // errors are those of lost connections; a use may be lost with one
			if first, err := r.Take(t.Context(), epochOf(t, r), spentKey(fmt.Sprint(i%4)), time.Now().Add(time.Hour)); first && err == nil {
				wins++
			}
		}
	}
	if wins > 4 {
		t.Errorf("%d winners of 4 uses", wins)
	}
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	if got := get(t, r, sessionKey("a")); got != "mine" {
		t.Errorf("found %q", got)
	}
}
