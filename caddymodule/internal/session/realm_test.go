package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

// ofRealm are the ids of all live sessions.
func ofRealm(t testing.TB, m *session.Manager) (ids []string) {
	t.Helper()
	if err := m.Each(t.Context(), func(s session.Listed) { ids = append(ids, s.ID) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

func TestEachMeetsAllLiveSessionsOfTheRealm(t *testing.T) {
	m, c, s := newManager(t, limits)
	other := session.New(s, "other", limits, c.now, rand.Reader)
	startAs(t, other, "alice")
	alice, nameless := startAs(t, m, "alice"), startAs(t, m, "")
	ended := startAs(t, m, "bob")
	if err := m.End(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	if got, want := ofRealm(t, m), sorted(m.ID(alice), m.ID(nameless)); !slices.Equal(got, want) {
		t.Errorf("met %v, want %v", got, want)
	}
	known := 0
	m.Known(func(session.Listed) { known++ })
	if known != 2 {
		t.Errorf("a local store knows %d of 2", known)
	}
	// The store keeps a session by the limits it began with; those of now count.
	stricter := session.New(s, "default", session.Limits{Lifetime: time.Hour, Idle: time.Minute}, c.now, rand.Reader)
	c.move(10 * time.Minute)
	if got := ofRealm(t, stricter); len(got) != 0 {
		t.Errorf("met %v past their idle limit", got)
	}
}

// SES-14: an operator can end everybody's sessions, also those without a name.
func TestSES14_EndAllEndsTheRealmAndNothingElse(t *testing.T) {
	server := redistest.Start(t)
	for name, open := range map[string]func(*clock) state.Store{
		"memory": func(c *clock) state.Store { return newStore(t, c) },
		"redis": func(c *clock) state.Store {
			r, err := state.OpenRedis(state.RedisOptions{URL: server.URL()}, "shared", state.Options{Now: c.now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s := open(c)
			m := session.New(s, "default", limits, c.now, rand.Reader)
			other := session.New(s, "other", limits, c.now, rand.Reader)
			kept := startAs(t, other, "alice")
			var tokens []string
			for range 100 {
				tokens = append(tokens, startAs(t, m, "alice"), startAs(t, m, ""))
			}
			// Of alice's sessions the oldest had to go.
			if n, err := m.EndAll(t.Context()); err != nil || n != session.MaxPerUser+100 {
				t.Fatalf("ended %d, %v", n, err)
			}
			for _, token := range tokens {
				if found(t, m, token) {
					t.Fatal("a session is still there")
				}
			}
			if !found(t, other, kept) {
				t.Error("another realm's session is gone")
			}
			if n, err := m.EndAll(t.Context()); err != nil || n != 0 {
				t.Errorf("once more: %d, %v", n, err)
			}
			if !found(t, m, startAs(t, m, "alice")) {
				t.Error("no session can begin any more")
			}
		})
	}
}

// A session that a limit of now hides must not come back when the limit is raised.
func TestEndAllEndsWhatAStricterLimitHides(t *testing.T) {
	m, c, s := newManager(t, limits)
	token := startAs(t, m, "alice")
	c.move(10 * time.Minute)
	stricter := session.New(s, "default", session.Limits{Lifetime: time.Hour, Idle: time.Minute}, c.now, rand.Reader)
	if n, err := stricter.EndAll(t.Context()); n != 0 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	if found(t, m, token) {
		t.Error("the session came back")
	}
}

func TestEndAllTellsWhenTheStoreFails(t *testing.T) {
	m, _, s := newManager(t, limits)
	startAs(t, m, "alice")
	s.Close()
	if n, err := m.EndAll(t.Context()); n != 0 || !errors.Is(err, state.ErrClosed) {
		t.Errorf("%d, %v", n, err)
	}
	if err := m.Each(context.Background(), func(session.Listed) {}); !errors.Is(err, state.ErrClosed) {
		t.Error(err)
	}
}
