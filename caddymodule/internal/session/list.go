package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// MaxPerUser is how many sessions a user can have; the oldest goes when another
// begins (SES-14). Sessions without a name are not counted. Sites that share a realm
// may have users of one name in different users files: each entry counts apart.
const MaxPerUser = 50

// Listed is one of a user's sessions.
type Listed struct {
	// ID names the session to whoever may end it, and opens nothing.
	ID string
	Record
}

// A user's list is one record: format, type, its own key, the realm's and user's
// part being in that, and then the keys of the sessions, the oldest first. It may
// name sessions that have ended.
const (
	listFormat = 1
	listType   = 'l'
	listHead   = 2 + 32
	keyLength  = 32

	// maxSwaps is how often a change is tried again because somebody else's came
	// in between. Each time somebody's change did get through.
	maxSwaps = 200
)

var errContended = errors.New("list of sessions changes too fast")

func (m *Manager) listKey(user string) state.Key {
	return state.KeyOf(m.realm, "sessions of", []byte(user))
}

func encodeList(at state.Key, keys []state.Key) []byte {
	if len(keys) == 0 {
		return nil
	}
	b := make([]byte, 0, listHead+keyLength*len(keys))
	b = append(b, listFormat, listType)
	b = append(b, at[:]...)
	for _, k := range keys {
		b = append(b, k[:]...)
	}
	return b
}

// decodeList reads what encodeList wrote under the same key; anything else is an
// empty list.
func decodeList(b []byte, at state.Key) (keys []state.Key) {
	if len(b) < listHead || b[0] != listFormat || b[1] != listType || state.Key(b[2:listHead]) != at || (len(b)-listHead)%keyLength != 0 {
		return nil
	}
	for rest := b[listHead:]; len(rest) > 0; rest = rest[keyLength:] {
		keys = append(keys, state.Key(rest))
	}
	return keys
}

// change replaces a user's list by what edit makes of it, which may be asked
// several times. A list that stays as it is is not written.
func (m *Manager) change(ctx context.Context, user string, edit func([]state.Key) ([]state.Key, error)) error {
	at := m.listKey(user)
	there, err := m.store.Get(ctx, at)
	if err != nil {
		return err
	}
	for range maxSwaps {
		before := decodeList(there, at)
		after, err := edit(slices.Clone(before))
		if err != nil || slices.Equal(before, after) {
			return err
		}
		swapped := false
		swapped, there, err = m.store.Swap(ctx, at, there, encodeList(at, after), m.now().Add(m.longest()))
		if swapped || err != nil {
			return err
		}
	}
	return errContended
}

// longest is how long a list must live: no session outlives it.
func (m *Manager) longest() time.Duration { return max(m.limits.Lifetime, m.limits.Remember) }

// enlist adds a session to its user's list. Where there are too many, those that
// have ended are left out, and then the oldest of the same entry are ended.
func (m *Manager) enlist(ctx context.Context, r Record, key state.Key) error {
	if r.User == "" {
		return nil
	}
	var surplus []state.Key
	err := m.change(ctx, r.User, func(keys []state.Key) (_ []state.Key, err error) {
		surplus = nil
		if len(keys) >= MaxPerUser {
			if keys, surplus, err = m.makeRoom(ctx, keys, r.Fingerprint); err != nil {
				return nil, err
			}
		}
		return append(keys, key), nil
	})
	if err != nil {
		return err
	}
	for _, k := range surplus {
		if err := m.store.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom leaves out what has ended and, for one more session of an entry, as many of
// its oldest as are too many, which are returned apart.
func (m *Manager) makeRoom(ctx context.Context, keys []state.Key, entry [16]byte) (living, surplus []state.Key, err error) {
	var own []state.Key
	for _, k := range keys {
		r, found, err := m.load(ctx, k)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			continue
		}
		living = append(living, k)
		if r.Fingerprint == entry {
			own = append(own, k)
		}
	}
	surplus = own[:max(0, len(own)-(MaxPerUser-1))]
	living = slices.DeleteFunc(living, func(k state.Key) bool { return slices.Contains(surplus, k) })
	return living, surplus, nil
}

// List returns a user's live sessions, the oldest first.
func (m *Manager) List(ctx context.Context, user string) ([]Listed, error) {
	at := m.listKey(user)
	value, err := m.store.Get(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	var sessions []Listed
	for _, k := range decodeList(value, at) {
		r, found, err := m.load(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %w", err)
		}
		if found && r.User == user {
			sessions = append(sessions, Listed{ID: idOf(k), Record: r})
		}
	}
	return sessions, nil
}

// ID is what List calls the session of a token, "" for a token that means
// nothing.
func (m *Manager) ID(token string) string {
	raw, ok := parse(token)
	if !ok {
		return ""
	}
	return idOf(m.key(raw[:]))
}

func idOf(k state.Key) string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// EndOf ends those of a user's sessions that which says, before it returns
// (SES-3), and tells how many there were. Of one that has ended already, or that a
// limit hides, the record is empty.
func (m *Manager) EndOf(ctx context.Context, user string, which func(Listed) bool) (ended int, err error) {
	err = m.change(ctx, user, func(keys []state.Key) ([]state.Key, error) {
		var kept []state.Key
		for _, k := range keys {
			r, found, err := m.load(ctx, k)
			if err != nil {
				return nil, err
			}
			if !which(Listed{ID: idOf(k), Record: r}) {
				kept = append(kept, k)
				continue
			}
			if err := m.store.Delete(ctx, k); err != nil {
				return nil, err
			}
			if found {
				ended++
			}
		}
		return kept, nil
	})
	if err != nil {
		return ended, fmt.Errorf("ending sessions: %w", err)
	}
	return ended, nil
}
