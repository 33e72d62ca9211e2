package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
)

// Secret is key material. It is written to JSON as it is, since the
// configuration must survive a round trip, and to nothing else.
type Secret = senders.Secret

// madeSecretBytes is the length of a secret that the gate makes itself, before
// its spelling in hexadecimal.
const madeSecretBytes = 32

// secretKey is where a realm's own secret is in Caddy's storage.
func secretKey(realm string) string { return "captcha_gate/" + realm + ".secret" }

// storedSecret returns the realm's own secret from Caddy's storage, and makes
// it when there is none. All instances that share the storage get the same one;
// asking again, as `caddy validate` does, changes nothing.
func storedSecret(ctx context.Context, storage certmagic.Storage, realm string) (_ []byte, err error) {
	key := secretKey(realm)
	if err := storage.Lock(ctx, key); err != nil {
		return nil, fmt.Errorf("secret: locking %s in Caddy's storage: %w", key, err)
	}
	defer func() {
		if unlock := storage.Unlock(ctx, key); unlock != nil && err == nil {
			err = fmt.Errorf("secret: unlocking %s in Caddy's storage: %w", key, unlock)
		}
	}()
	secret, err := storage.Load(ctx, key)
	if err == nil {
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("secret: reading %s from Caddy's storage: %w", key, err)
	}
	raw := make([]byte, madeSecretBytes)
	_, _ = rand.Read(raw) // never fails
	secret = []byte(hex.EncodeToString(raw))
	if err := storage.Store(ctx, key, secret); err != nil {
		return nil, fmt.Errorf("secret: writing %s to Caddy's storage: %w", key, err)
	}
	return secret, nil
}
