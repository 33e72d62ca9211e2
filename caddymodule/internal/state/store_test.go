package state_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

func TestMemory(t *testing.T) {
	statetest.Run(t, func(_ *testing.T, now func() time.Time) state.Store {
		return state.NewMemory(state.Options{Now: now})
	})
}

func openLocal(t *testing.T, path string, o state.Options) state.Store {
	t.Helper()
	s, err := state.OpenLocal(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The same contract while the flusher sleeps and while it hardly ever does.
func TestLocal(t *testing.T) {
	for name, every := range map[string]time.Duration{"flushing as usual": 0, "flushing all the time": time.Millisecond} {
		options := func(now func() time.Time) state.Options {
			return state.FlushingEvery(state.Options{Now: now}, every)
		}
		t.Run(name, func(t *testing.T) {
			statetest.Run(t, func(t *testing.T, now func() time.Time) state.Store {
				return openLocal(t, filepath.Join(t.TempDir(), "state.db"), options(now))
			})
		})
		t.Run(name+", reopening", func(t *testing.T) {
			var path string
			statetest.Model(t,
				func(t *testing.T, now func() time.Time) state.Store {
					path = filepath.Join(t.TempDir(), "state.db")
					return openLocal(t, path, options(now))
				},
				func(t *testing.T, old state.Store, now func() time.Time) state.Store {
					if err := old.Close(); err != nil {
						t.Fatal(err)
					}
					return openLocal(t, path, options(now))
				})
		})
	}
}
