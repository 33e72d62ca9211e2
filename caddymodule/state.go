package caddymodule

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// StateConfig says where sessions, spent challenges and counters are kept.
type StateConfig struct {
	// "local" (a file on this machine that survives restart and crash), "memory"
	// (gone with the process) or "redis" (several Caddys share it). Default:
	// local.
	Store string `json:"store,omitempty"`

	// The file of a local store. Placeholders are expanded at load. Default:
	// captcha_gate/state.db in Caddy's data directory.
	File string `json:"file,omitempty"`

	// Where Redis 7, or what speaks its protocol, is.
	Redis *RedisConfig `json:"redis,omitempty"`
}

// RedisConfig says where Redis is and how to get in. Placeholders are expanded
// in every text. A cluster is recognised by itself.
type RedisConfig struct {
	// redis://[user:password@]host[:port][/database], rediss:// for TLS, or
	// unix:///path. Not part of any log.
	URL Secret `json:"url,omitempty"`

	// More nodes of a cluster, or more sentinels, as host:port.
	Addresses []string `json:"addresses,omitempty"`

	// The name of the master, when the addresses are those of sentinels.
	Master string `json:"master,omitempty"`

	// The user (Redis ACL), where the URL has none.
	Username string `json:"username,omitempty"`

	// The password, where the URL has none.
	Password Secret `json:"password,omitempty"`

	// The user of the sentinels.
	SentinelUsername string `json:"sentinel_username,omitempty"`

	// The password of the sentinels.
	SentinelPassword Secret `json:"sentinel_password,omitempty"`

	// A PEM file of the certificates that sign the one of a rediss:// server.
	// Default: those of the system.
	CA string `json:"ca,omitempty"`

	// A PEM file with the gate's own certificate, where Redis asks for one.
	Certificate string `json:"certificate,omitempty"`

	// The PEM file of that certificate's key.
	Key string `json:"key,omitempty"`
}

func (c *StateConfig) unmarshal(b block) error {
	args := b.RemainingArgs()
	if len(args) == 0 {
		return b.ArgErr()
	}
	c.Store = args[0]
	switch {
	case c.Store == storeMemory && len(args) == 1, c.Store == storeLocal && len(args) == 1:
	case c.Store == storeLocal && len(args) == 2:
		c.File = args[1]
	case c.Store == storeRedis && len(args) == 2:
		c.Redis = &RedisConfig{URL: Secret(args[1])}
		return c.Redis.unmarshal(b)
	case c.Store == storeRedis && len(args) == 1:
		return b.Err("state redis: needs a URL, such as redis://localhost:6379")
	case c.Store != storeMemory && c.Store != storeLocal && c.Store != storeRedis:
		return b.Errf("unrecognized state %q: local, memory or redis", c.Store)
	default:
		return b.ArgErr()
	}
	return b.noBlock("state")
}

// unmarshal reads what follows the word state. Syntax:
//
//	redis <url> {
//		addresses         <host:port>...
//		master            <name>
//		username          <name>
//		password          <password>
//		sentinel_username <name>
//		sentinel_password <password>
//		ca                <file>
//		certificate       <file>
//		key               <file>
//	}
func (c *RedisConfig) unmarshal(b block) error {
	b = block{Dispenser: b.Dispenser, words: map[string]func() error{}}
	b.words["addresses"] = func() error { return someTexts(b, &c.Addresses) }
	b.words["master"] = func() error { return b.text(&c.Master) }
	b.words["username"] = func() error { return b.text(&c.Username) }
	b.words["password"] = func() error { return b.text((*string)(&c.Password)) }
	b.words["sentinel_username"] = func() error { return b.text(&c.SentinelUsername) }
	b.words["sentinel_password"] = func() error { return b.text((*string)(&c.SentinelPassword)) }
	b.words["ca"] = func() error { return b.text(&c.CA) }
	b.words["certificate"] = func() error { return b.text(&c.Certificate) }
	b.words["key"] = func() error { return b.text(&c.Key) }
	_, err := b.read()
	return err
}

func (c *RedisConfig) expand(text expander) {
	text("state redis url", (*string)(&c.URL))
	for i := range c.Addresses {
		text("state redis addresses", &c.Addresses[i])
	}
	text("state redis master", &c.Master)
	text("state redis username", &c.Username)
	text("state redis password", (*string)(&c.Password))
	text("state redis sentinel_username", &c.SentinelUsername)
	text("state redis sentinel_password", (*string)(&c.SentinelPassword))
	text("state redis ca", &c.CA)
	text("state redis certificate", &c.Certificate)
	text("state redis key", &c.Key)
}

// check holds what needs nothing but the values themselves.
func (c *StateConfig) check() error {
	switch {
	case c.Store != storeLocal && c.Store != storeMemory && c.Store != storeRedis:
		return fmt.Errorf("state: %q is none of local, memory, redis", c.Store)
	case c.Store != storeLocal && c.File != "":
		return fmt.Errorf("state %s: takes no file", c.Store)
	case c.Store == storeRedis && (c.Redis == nil || c.Redis.URL == ""):
		return errors.New("state redis: needs a url")
	case c.Store != storeRedis && c.Redis != nil:
		return fmt.Errorf("state %s: takes no settings of redis", c.Store)
	}
	return nil
}

func (c *RedisConfig) options() state.RedisOptions {
	return state.RedisOptions{
		URL: string(c.URL), Addresses: c.Addresses, Master: c.Master,
		Username: c.Username, Password: string(c.Password),
		SentinelUsername: c.SentinelUsername, SentinelPassword: string(c.SentinelPassword),
		CA: c.CA, Certificate: c.Certificate, Key: c.Key,
	}
}

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
// store cannot be used right now, because another process holds the file, such
// as the server beside which `caddy validate` runs, or because Redis is away.
func takeStore(c StateConfig, realm string) (store state.Store, key string, notice, err error) {
	key, open, err := c.opener(realm, state.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return nil, "", nil, fmt.Errorf("state %s: %w", c.Store, err)
	}
	value, _, err := stores.LoadOrNew(key, func() (caddy.Destructor, error) {
		opened, err := open()
		return openStore{opened}, err
	})
	if err != nil {
		return nil, "", nil, fmt.Errorf("state %s: %w", c.Store, err)
	}
	store = value.(openStore).Store
	return store, key, readiness(store), nil
}

// readiness says why a store does not work now, nil if it does.
func readiness(store state.Store) error {
	if fallible, ok := store.(interface{ Ready() error }); ok {
		return fallible.Ready()
	}
	return nil
}

// file is where a local store is kept.
func (c StateConfig) file() string {
	if c.File != "" {
		return c.File
	}
	return filepath.Join(caddy.AppDataDir(), "captcha_gate", "state.db")
}

// opener returns the key of a store in the pool, and what opens it.
func (c StateConfig) opener(realm string, o state.Options) (key string, open func() (state.Store, error), err error) {
	switch c.Store {
	case storeMemory:
		return storeMemory + " " + realm, func() (state.Store, error) { return state.NewMemory(o), nil }, nil
	case storeRedis:
		options := c.Redis.options()
		settings := sha256.Sum256(fmt.Appendf(nil, "%q", options))
		return fmt.Sprintf("%s %s %x", storeRedis, realm, settings), func() (state.Store, error) {
			return state.OpenRedis(options, realm, o)
		}, nil
	default:
		file := c.file()
		if file, err = filepath.Abs(file); err != nil {
			return "", nil, err
		}
		return storeLocal + " " + file, func() (state.Store, error) { return state.OpenLocal(file, o) }, nil
	}
}
