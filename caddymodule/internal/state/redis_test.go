package state_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

var realms atomic.Int64

// openRedis opens a realm of its own.
func openRedis(t *testing.T, server *redistest.Server, now func() time.Time) *state.Redis {
	t.Helper()
	return openRealm(t, server, fmt.Sprintf("realm-%d", realms.Add(1)), now)
}

func openRealm(t *testing.T, server *redistest.Server, realm string, now func() time.Time) *state.Redis {
	t.Helper()
	r, err := state.OpenRedis(state.RedisOptions{URL: server.URL()}, realm, state.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	statetest.Run(t, func(t *testing.T, now func() time.Time) state.Store {
		r := openRedis(t, server, now)
		if err := r.Ready(); err != nil {
			t.Fatal(err)
		}
		return r
	})
}
