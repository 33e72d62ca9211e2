package session_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func startAs(t testing.TB, m *session.Manager, user string) string {
	t.Helper()
	token, _, err := m.Start(t.Context(), session.Record{
		User: user, Level: session.Password, Network: "203.0.113.0/24", Browser: "Firefox on Linux",
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func listed(t testing.TB, m *session.Manager, user string) (ids []string) {
	t.Helper()
	sessions, err := m.List(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestAListHasAUsersLiveSessionsTheOldestFirst(t *testing.T) {
	m, c, s := newManager(t, limits)
	var want []string
	var tokens []string
	for range 3 {
		token := startAs(t, m, "alice")
		tokens, want = append(tokens, token), append(want, m.ID(token))
		c.move(time.Minute)
	}
	startAs(t, m, "bob")
	if got := listed(t, m, "alice"); !slices.Equal(got, want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
	sessions, err := m.List(t.Context(), "alice")
	if err != nil || sessions[0].Network != "203.0.113.0/24" || sessions[0].Browser != "Firefox on Linux" {
		t.Errorf("%+v, %v", sessions[0], err)
	}
	if err := m.End(t.Context(), tokens[1]); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, m, "alice"); !slices.Equal(got, []string{want[0], want[2]}) {
		t.Errorf("after one ended: %v", got)
	}
	c.move(limits.Idle - 2*time.Minute)
	if got := listed(t, m, "alice"); !slices.Equal(got, want[2:]) {
		t.Errorf("after one idled out: %v", got)
	}
	if got := listed(t, session.New(s, "other", limits, c.now, rand.Reader), "alice"); got != nil {
		t.Errorf("another realm lists %v", got)
	}
	if got := listed(t, m, ""); got != nil {
		t.Errorf("nobody has %v", got)
	}
}

func TestSES14_TheOldestSessionGoesWhenThereAreTooMany(t *testing.T) {
	m, c, _ := newManager(t, limits)
	var tokens []string
	for range session.MaxPerUser {
		tokens = append(tokens, startAs(t, m, "alice"))
		c.move(time.Second)
	}
	other := startAs(t, m, "bob")
	if err := m.End(t.Context(), tokens[5]); err != nil {
		t.Fatal(err)
	}
	startAs(t, m, "alice") // takes the place of the one that ended
	if !found(t, m, tokens[0]) {
		t.Fatal("the oldest went although there was room")
	}
	for i := range 3 {
		startAs(t, m, "alice")
		if found(t, m, tokens[i]) || !found(t, m, tokens[i+1]) {
			t.Fatalf("after %d more it is not the oldest that went", i+1)
		}
	}
	if n := len(listed(t, m, "alice")); n != session.MaxPerUser {
		t.Errorf("%d sessions", n)
	}
	if !found(t, m, other) {
		t.Error("another user's session went")
	}
}

func TestSES14_SessionsThatBeginTogetherAreAllCounted(t *testing.T) {
	m, _, _ := newManager(t, limits)
	var wg sync.WaitGroup
	for range 2 * session.MaxPerUser {
		wg.Go(func() { startAs(t, m, "alice") })
	}
	wg.Wait()
	if n := len(listed(t, m, "alice")); n != session.MaxPerUser {
		t.Errorf("%d sessions", n)
	}
}

func TestEndOfEndsOnlyWhatItIsTold(t *testing.T) {
	m, _, _ := newManager(t, limits)
	mine, second, third := startAs(t, m, "alice"), startAs(t, m, "alice"), startAs(t, m, "alice")
	bobs := startAs(t, m, "bob")
	end := func(which func(session.Listed) bool, want int) {
		t.Helper()
		if n, err := m.EndOf(t.Context(), "alice", which); n != want || err != nil {
			t.Fatalf("ended %d, %v; want %d", n, err, want)
		}
	}
	end(func(s session.Listed) bool { return s.ID == m.ID(bobs) }, 0)
	end(func(s session.Listed) bool { return s.ID == m.ID(second) }, 1)
	if found(t, m, second) || !found(t, m, mine) || !found(t, m, third) {
		t.Fatal("not the one that was named")
	}
	end(func(s session.Listed) bool { return s.ID == m.ID(second) }, 0)
	end(func(s session.Listed) bool { return s.ID != m.ID(mine) }, 1)
	if found(t, m, third) || !found(t, m, mine) || !found(t, m, bobs) {
		t.Fatal("not the others")
	}
	end(func(session.Listed) bool { return true }, 1)
	if found(t, m, mine) || listed(t, m, "alice") != nil {
		t.Error("something is left")
	}
}

func TestSES13_AForeignListIsEmpty(t *testing.T) {
	m, c, s := newManager(t, limits)
	startAs(t, m, "alice")
	at := func(user string) state.Key { return state.KeyOf("default", "sessions of", []byte(user)) }
	value, err := s.Get(t.Context(), at("alice"))
	if err != nil || value == nil {
		t.Fatal(value, err)
	}
	for what, v := range map[string][]byte{"another user's": value, "cut": value[:len(value)-1], "empty": {}} {
		if _, _, err := s.Swap(t.Context(), at("bob"), nil, v, c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, m, "bob"); got != nil {
			t.Errorf("%s: %v", what, got)
		}
		if _, _, err := s.Swap(t.Context(), at("bob"), v, nil, c.now()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSES14_ASessionThatCannotBeListedDoesNotBegin(t *testing.T) {
	m, _, s := newManager(t, limits)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if token, _, err := m.Start(t.Context(), session.Record{User: "alice", Level: session.Password}); token != "" || err == nil {
		t.Errorf("%q, %v", token, err)
	}
	if _, err := m.List(t.Context(), "alice"); err == nil {
		t.Error("a store that is closed lists")
	}
	if _, err := m.EndOf(t.Context(), "alice", func(session.Listed) bool { return true }); err == nil {
		t.Error("a store that is closed ends")
	}
}
