package session_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// SES-13: a list is good under its own key alone, and whole. Whoever can move values
// about in the store ends nobody's sessions by it, and shows nobody's.
func TestSES13_AMovedOrDamagedListIsNone(t *testing.T) {
	key := func(user string) state.Key { return state.KeyOf("realm", "sessions of", []byte(user)) }
	for name, damage := range map[string]func(list []byte) []byte{
		"moved":         func(list []byte) []byte { return list },
		"another kind":  func(list []byte) []byte { list[1]++; return list },
		"other format":  func(list []byte) []byte { list[0]++; return list },
		"cut":           func(list []byte) []byte { return list[:len(list)-1] },
		"cut to a head": func(list []byte) []byte { return list[:10] },
		"nothing":       func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, c, store := newManager(t, limits)
			m := session.New(store, "realm", limits, c.now, rand.Reader)
			alices := startAs(t, m, "alice")
			list, err := store.Get(t.Context(), key("alice"))
			if err != nil || list == nil {
				t.Fatal(list, err)
			}
			to := "alice"
			if name == "moved" {
				to = "bob"
			}
			if err := store.Put(t.Context(), key(to), damage(append([]byte(nil), list...)), c.now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if got := listed(t, m, to); got != nil {
				t.Errorf("listed: %v", got)
			}
			if n, err := m.EndOf(t.Context(), to, func(session.Listed) bool { return true }); n != 0 || err != nil {
				t.Errorf("%d ended, %v", n, err)
			}
			if _, found, err := m.Find(t.Context(), alices); !found || err != nil {
				t.Errorf("alice is signed out: %v", err)
			}
			// What is no list is written anew.
			fresh := startAs(t, m, to)
			if got := listed(t, m, to); len(got) != 1 || got[0] != m.ID(fresh) {
				t.Errorf("afterwards listed: %v", got)
			}
		})
	}
}
