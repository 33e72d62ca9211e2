package caddymodule

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// stores holds the open stores of the process across configuration reloads: a
// new configuration takes the store that the old one still uses. Nothing in it
// belongs to one configuration, such as a logger.
var stores = caddy.NewUsagePool()

// openStore is a pooled state.Store.
type openStore struct{ state.Store }

// Destruct closes the store when the last configuration has let go of it.
func (s openStore) Destruct() error { return s.Close() }

// takeStore returns the store of the configuration and the key by which
// Cleanup gives it back. notice is an error that does not stop the load: the
// file cannot be used right now, most often because another process holds it,
// such as the server beside which `caddy validate` runs.
func takeStore(c StateConfig, realm string) (store state.Store, key string, notice, err error) {
	o := state.Options{Now: time.Now, Rand: rand.Reader}
	open := func() (caddy.Destructor, error) { return openStore{state.NewMemory(o)}, nil }
	key = storeMemory + " " + realm
	if c.Store == storeLocal {
		file := c.File
		if file == "" {
			file = filepath.Join(caddy.AppDataDir(), "captcha_gate", "state.db")
		}
		if file, err = filepath.Abs(file); err != nil {
			return nil, "", nil, fmt.Errorf("state local: %w", err)
		}
		key = storeLocal + " " + file
		open = func() (caddy.Destructor, error) {
			local, err := state.OpenLocal(file, o)
			if err != nil {
				return nil, fmt.Errorf("state local: %w", err)
			}
			return openStore{local}, nil
		}
	}
	value, _, err := stores.LoadOrNew(key, open)
	if err != nil {
		return nil, "", nil, err
	}
	store = value.(openStore).Store
	if local, ok := store.(*state.Local); ok {
		notice = local.Ready()
	}
	return store, key, notice, nil
}
