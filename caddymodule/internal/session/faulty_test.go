package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// failing fails one of its calls.
type failing struct {
	state.Store
	left atomic.Int64 // calls until the one that fails; at 0 none does
}

var errFailing = errors.New("fault of the store")

func (s *failing) call() error {
	if s.left.Add(-1) == 0 {
		return errFailing
	}
	return nil
}

func (s *failing) Put(ctx context.Context, k state.Key, value []byte, until time.Time) error {
	return errors.Join(s.call(), s.Store.Put(ctx, k, value, until)) // written, and yet not known to be
}

func (s *failing) Get(ctx context.Context, k state.Key) ([]byte, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, k)
}

func (s *failing) Swap(ctx context.Context, k state.Key, old, value []byte, until time.Time) (bool, []byte, error) {
	if err := s.call(); err != nil {
		return false, nil, err
	}
	return s.Store.Swap(ctx, k, old, value, until)
}

func (s *failing) Delete(ctx context.Context, k state.Key) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, k)
}

// Who is told that sessions have ended must be able to rely on it, whichever call of
// the store fails.
func TestSES3_SessionsEndOrItIsSaidThatTheyMayNot(t *testing.T) {
	for name, c := range map[string]struct {
		sessions int
		act      func(*session.Manager, string) error
		lives    bool // of the oldest session, where nothing failed
	}{
		"one": {2, func(m *session.Manager, token string) error { return m.End(context.Background(), token) }, false},
		"those of a user": {3, func(m *session.Manager, _ string) error {
			_, err := m.EndOf(context.Background(), "alice", func(session.Listed) bool { return true })
			return err
		}, false},
		"all": {3, func(m *session.Manager, _ string) error { _, err := m.EndAll(context.Background()); return err }, false},
		"the oldest of too many": {session.MaxPerUser, func(m *session.Manager, _ string) error {
			_, _, err := m.Start(context.Background(), session.Record{User: "alice", Level: session.Password})
			return err
		}, false},
		"none, by looking": {3, func(m *session.Manager, _ string) error { _, err := m.List(context.Background(), "alice"); return err }, true},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				_, c2, store := newManager(t, limits)
				s := &failing{Store: store}
				m := session.New(s, "realm", limits, c2.now, rand.Reader)
				var tokens []string
				for range c.sessions {
					tokens = append(tokens, startAs(t, m, "alice"))
				}
				s.left.Store(int64(n))
				err := c.act(m, tokens[0])
				failed := s.left.Load() <= 0
				s.left.Store(0)
				if (err != nil) != failed {
					t.Fatalf("call %d failed: %v, and it is said: %v", n, failed, err)
				}
				if failed {
					continue
				}
				if _, lives, err := m.Find(t.Context(), tokens[0]); lives != c.lives || err != nil {
					t.Errorf("the session lives: %v, %v", lives, err)
				}
				return
			}
		})
	}
}

// What a browser calls itself is as long as it likes.
func TestARecordKeepsNoLongTexts(t *testing.T) {
	m, _, _ := newManager(t, limits)
	for name, text := range map[string]string{
		"short": "Firefox on Linux", "just fits": strings.Repeat("x", 48), "too long": strings.Repeat("x", 49),
		"cut within a letter": strings.Repeat("é", 100) + "x", "cut within a letter, odd": "x" + strings.Repeat("é", 100),
	} {
		token, _, err := m.Start(t.Context(), session.Record{User: "alice", Level: session.Password, Browser: text, Network: text})
		if err != nil {
			t.Fatal(err)
		}
		r, found, err := m.Find(t.Context(), token)
		if !found || err != nil || r.Network != r.Browser || !utf8.ValidString(r.Browser) || !strings.HasPrefix(text, r.Browser) ||
			len(r.Browser) > 48 || len(r.Browser) < min(len(text), 47) {
			t.Errorf("%s: %q, found: %v, %v", name, r.Browser, found, err)
		}
	}
}
