// Package session keeps who is signed in.
//
// A session is a reference: 256 random bits that the visitor's cookie carries
// and that mean nothing by themselves. The store keeps a record under a hash of
// them; presence there means valid, everything else means sign in again. So
// losing data logs people out and never lets anybody in.
//
// The lifetimes are judged here from the record, never from the age of a
// cookie: an absolute one from the sign-in, an idle one from the last use.
//
// Beside the records the store has a list of each user's sessions (list.go), so
// that there cannot be too many, and somebody can look at them and end them. A
// session is valid by its record alone, whatever the list says.
//
// The cookie half of the package (Cookies) knows the names under which the
// token and the browser id travel, reads them from a request, and cuts them out
// of what the upstream gets to see.
package session

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

const (
	tokenBytes  = 32
	tokenLength = 43 // of 32 bytes in unpadded base64

	// clockSkew is how far in the future a record may have been made before it
	// is refused: nodes that share a store tolerate this much.
	clockSkew = time.Minute
)

// Limits are the lifetimes of sessions.
type Limits struct {
	// Lifetime is the absolute limit of an ordinary session.
	Lifetime time.Duration
	// Idle ends an ordinary session that is not used for so long; 0 never does.
	Idle time.Duration
	// Remember is the absolute limit of a session whose visitor asked to stay
	// signed in. Such a session has no idle limit: it would make the wish void.
	Remember time.Duration
}

// Manager starts, finds and ends the sessions of one realm. It is safe for
// concurrent use.
type Manager struct {
	store  state.Store
	realm  string
	limits Limits
	now    func() time.Time
	random io.Reader
}

// New makes a Manager. Sessions of other realms in the same store are unknown
// to it (SES-7).
func New(store state.Store, realm string, limits Limits, now func() time.Time, random io.Reader) *Manager {
	return &Manager{store: store, realm: realm, limits: limits, now: now, random: random}
}

// Start makes a session under a new token, which is returned for the cookie and
// kept nowhere (SES-1, SES-2). Of r the times are set here, but for Expires where it
// comes sooner: of a session that takes the place of another. The record is in the
// store when Start returns, and the oldest session of a user who has too many is
// gone (SES-14).
func (m *Manager) Start(ctx context.Context, r Record) (token string, started Record, err error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(m.random, raw); err != nil {
		return "", Record{}, fmt.Errorf("drawing a session token: %w", err)
	}
	now := m.now()
	end := now.Add(m.limits.Lifetime)
	if r.Remember {
		end = now.Add(m.limits.Remember)
	}
	if r.Expires.IsZero() || end.Before(r.Expires) {
		r.Expires = end
	}
	r.Created, r.Seen = now, now
	r.Network, r.Browser = cut(r.Network), cut(r.Browser)
	key := m.key(raw)
	if err := m.store.Put(ctx, key, encode(key, m.realm, r), m.until(r)); err != nil {
		return "", Record{}, fmt.Errorf("starting a session: %w", err)
	}
	if err := m.enlist(ctx, r, key); err != nil {
		_ = m.store.Delete(ctx, key) // nobody has its token
		return "", Record{}, fmt.Errorf("starting a session: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), r, nil
}

// Find returns the live session of a token. What is unknown, expired, of
// another realm or unreadable is simply not found; an error means that the
// store could not be asked. The use is written down at most once a minute (or a
// tenth of the idle limit; once an hour where there is none), and losing that
// note may only end a session early.
func (m *Manager) Find(ctx context.Context, token string) (Record, bool, error) {
	raw, ok := parse(token)
	if !ok {
		return Record{}, false, nil
	}
	key := m.key(raw[:])
	r, found, err := m.load(ctx, key)
	if !found || err != nil {
		return Record{}, false, err
	}
	if now := m.now(); now.Sub(r.Seen) >= m.noteEvery(r) {
		r.Seen = now
		// A failed note is no reason to turn a good session away.
		_ = m.store.Refresh(ctx, key, encode(key, m.realm, r), m.until(r))
	}
	return r, true, nil
}

// load reads a live session.
func (m *Manager) load(ctx context.Context, key state.Key) (Record, bool, error) {
	value, err := m.store.Get(ctx, key)
	if err != nil {
		return Record{}, false, fmt.Errorf("looking up a session: %w", err)
	}
	if value == nil {
		return Record{}, false, nil
	}
	r, ok := m.read(value, key)
	return r, ok, nil
}

// read is the session that the store keeps under a key, if it is one of the realm
// and live.
func (m *Manager) read(value []byte, key state.Key) (Record, bool) {
	r, err := decode(value, key, m.realm)
	if err != nil {
		return Record{}, false
	}
	now := m.now()
	future := now.Add(clockSkew)
	// A use noted in the future, by a clock that was wrong, would stretch the
	// idle limit.
	if r.Created.After(future) || r.Seen.After(future) || !now.Before(m.until(r)) {
		return Record{}, false
	}
	return r, true
}

// noteEvery is how far apart the uses are that are written down. Where no limit
// depends on them they are for people to read.
func (m *Manager) noteEvery(r Record) time.Duration {
	if m.idles(r) {
		return min(time.Minute, m.limits.Idle/10)
	}
	return time.Hour
}

// End removes the session of a token from the store before it returns (SES-3).
// A token that means nothing is no error.
func (m *Manager) End(ctx context.Context, token string) error {
	raw, ok := parse(token)
	if !ok {
		return nil
	}
	if err := m.store.Delete(ctx, m.key(raw[:])); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

func (m *Manager) key(raw []byte) state.Key { return state.KeyOf(m.realm, "session", raw) }

func (m *Manager) idles(r Record) bool { return m.limits.Idle > 0 && !r.Remember }

// until is the moment at which the session ends if nobody uses it again. A
// lifetime that was lowered by a reload counts for old sessions too.
func (m *Manager) until(r Record) time.Time {
	limit := m.limits.Lifetime
	if r.Remember {
		limit = m.limits.Remember
	}
	end := r.Expires
	if t := r.Created.Add(limit); t.Before(end) {
		end = t
	}
	if m.idles(r) {
		if t := r.Seen.Add(m.limits.Idle); t.Before(end) {
			end = t
		}
	}
	return end
}

// parse accepts the one spelling of a token that Start writes.
func parse(token string) (raw [tokenBytes]byte, ok bool) {
	if len(token) != tokenLength {
		return raw, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(token))
	return raw, err == nil && n == tokenBytes
}
