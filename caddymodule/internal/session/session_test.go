package session_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

var limits = session.Limits{Lifetime: 12 * time.Hour, Idle: time.Hour, Remember: 30 * 24 * time.Hour}

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// ahead is the clock of a node that goes fast by d.
func (c *clock) ahead(d time.Duration) func() time.Time {
	return func() time.Time { return c.now().Add(d) }
}

func newStore(t testing.TB, c *clock) *state.Memory {
	t.Helper()
	s := state.NewMemory(state.Options{Now: c.now, Rand: rand.Reader})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newManager(t testing.TB, l session.Limits) (*session.Manager, *clock, *state.Memory) {
	t.Helper()
	c := newClock()
	s := newStore(t, c)
	return session.New(s, "default", l, c.now, rand.Reader), c, s
}

func start(t testing.TB, m *session.Manager, remember bool) (string, session.Record) {
	t.Helper()
	token, r, err := m.Start(t.Context(), session.Record{User: "alice", Fingerprint: [16]byte{1, 2, 3}, Level: session.Password, Remember: remember})
	if err != nil {
		t.Fatal(err)
	}
	return token, r
}

func found(t testing.TB, m *session.Manager, token string) bool {
	t.Helper()
	r, ok, err := m.Find(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !ok && r != (session.Record{}) {
		t.Errorf("not found, yet %+v", r)
	}
	return ok
}

// keyOf is where the store keeps a token's record.
func keyOf(t testing.TB, realm, token string) state.Key {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return state.KeyOf(realm, "session", raw)
}

func stored(t testing.TB, s state.Store, realm, token string) []byte {
	t.Helper()
	value, err := s.Get(t.Context(), keyOf(t, realm, token))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// keep makes the store hold a record for a year, so that only the Manager's own
// judgement can end it.
func keep(t testing.TB, s state.Store, c *clock, token string) {
	t.Helper()
	if err := s.Put(t.Context(), keyOf(t, "default", token), stored(t, s, "default", token), c.now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
}

func TestStartThenFind(t *testing.T) {
	m, c, _ := newManager(t, limits)
	for _, remember := range []bool{false, true} {
		token, began := start(t, m, remember)
		got, ok, err := m.Find(t.Context(), token)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		lifetime := limits.Lifetime
		if remember {
			lifetime = limits.Remember
		}
		if !got.Created.Equal(c.now()) || !got.Seen.Equal(c.now()) || !got.Expires.Equal(c.now().Add(lifetime)) {
			t.Errorf("times: %+v", got)
		}
		got.Created, got.Seen, got.Expires = began.Created, began.Seen, began.Expires
		if got != began || got.User != "alice" || got.Level != session.Password || got.Remember != remember {
			t.Errorf("got %+v, want %+v", got, began)
		}
	}
	token, _, err := m.Start(t.Context(), session.Record{Level: session.Human})
	if err != nil {
		t.Fatal(err)
	}
	if r, ok, err := m.Find(t.Context(), token); err != nil || !ok || r.User != "" || r.Level != session.Human {
		t.Errorf("a human without a name: %+v, %t, %v", r, ok, err)
	}
}

func TestSES1_TheStoreHoldsNothingOfTheToken(t *testing.T) {
	m, _, s := newManager(t, limits)
	token, _ := start(t, m, false)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 32 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	value, key := stored(t, s, "default", token), keyOf(t, "default", token)
	if len(value) == 0 {
		t.Fatal("nothing is stored")
	}
	for i := range len(raw) - 8 {
		if bytes.Contains(value, raw[i:i+8]) || bytes.Contains(key[:], raw[i:i+8]) {
			t.Error("the store holds bytes of the token")
		}
	}
	for i := range len(token) - 8 {
		if bytes.Contains(value, []byte(token[i:i+8])) {
			t.Error("the store holds characters of the token")
		}
	}
	// What a thief of the store has is no token.
	if found(t, m, base64.RawURLEncoding.EncodeToString(key[:])) {
		t.Error("the key in the store signs in")
	}
}

func TestSES2_EveryStartHasANewToken(t *testing.T) {
	m, _, _ := newManager(t, limits)
	seen := map[string]bool{}
	for range 1000 {
		token, _ := start(t, m, false)
		if seen[token] {
			t.Fatalf("%s was there before", token)
		}
		seen[token] = true
	}
}

func TestStartNeedsRandomness(t *testing.T) {
	c := newClock()
	s := newStore(t, c)
	source := bytes.Repeat([]byte("abcd"), 8)
	m := session.New(s, "default", limits, c.now, bytes.NewReader(append(source, source[:31]...)))
	token, _ := start(t, m, false)
	if want := base64.RawURLEncoding.EncodeToString(source); token != want {
		t.Errorf("got %s, want the random bytes %s", token, want)
	}
	token, r, err := m.Start(t.Context(), session.Record{User: "alice", Level: session.Password})
	if !errors.Is(err, io.ErrUnexpectedEOF) || token != "" || r != (session.Record{}) {
		t.Errorf("with 31 random bytes: %q, %+v, %v", token, r, err)
	}
}

func TestSES3_AnEndedSessionIsGone(t *testing.T) {
	m, c, s := newManager(t, limits)
	node := session.New(s, "default", limits, c.now, rand.Reader)
	token, _ := start(t, m, false)
	other, _ := start(t, m, false)
	if err := m.End(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if found(t, m, token) || found(t, node, token) {
		t.Error("found after its end")
	}
	if !found(t, m, other) || !found(t, node, other) {
		t.Error("another session of the user ended too")
	}
	for _, nothing := range []string{token, "", "x", strings.Repeat("A", 43), strings.Repeat("=", 43)} {
		if err := m.End(t.Context(), nothing); err != nil {
			t.Errorf("ending %q: %v", nothing, err)
		}
	}
}

// TestSES3_AUseDoesNotBringASessionBack: Find writes its note with Refresh, which
// must not undo an End that came in between.
func TestSES3_AUseDoesNotBringASessionBack(t *testing.T) {
	m, c, s := newManager(t, limits)
	for range 1000 {
		token, _ := start(t, m, false)
		c.move(2 * time.Minute) // a note is due
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, _, err := m.Find(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		both.Go(func() {
			if err := m.End(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if found(t, m, token) || stored(t, s, "default", token) != nil {
			t.Fatal("the session is back")
		}
	}
}

func TestSES7_OtherRealmsAreUnknown(t *testing.T) {
	m, c, s := newManager(t, limits)
	token, _ := start(t, m, false)
	for _, realm := range []string{"other", "Default", "default ", ""} {
		other := session.New(s, realm, limits, c.now, rand.Reader)
		if found(t, other, token) {
			t.Errorf("%q knows a session of default", realm)
		}
		if err := other.End(t.Context(), token); err != nil || !found(t, m, token) {
			t.Errorf("%q ended a session of default: %v", realm, err)
		}
		// Not even when a record is put where the other realm looks.
		if err := s.Put(t.Context(), keyOf(t, realm, token), stored(t, s, "default", token), c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if found(t, other, token) {
			t.Errorf("%q takes a record of default", realm)
		}
	}
}

func TestSES13_AMovedOrForeignRecordIsRefused(t *testing.T) {
	m, c, s := newManager(t, limits)
	token, _ := start(t, m, false)
	other, _ := start(t, m, false)
	good := stored(t, s, "default", token)
	replace := func(at int, with byte) []byte {
		b := bytes.Clone(good)
		b[at] = with
		return b
	}
	for _, v := range []struct {
		what  string
		value []byte
		want  bool
	}{
		{"its own", good, true},
		{"another session's", stored(t, s, "default", other), false},
		{"another version", replace(0, 1), false},
		{"another type", replace(1, 'p'), false},
		{"cut", good[:len(good)-1], false},
		{"longer", append(bytes.Clone(good), 0), false},
		{"empty", []byte{}, false},
		{"text", []byte("alice"), false},
	} {
		if err := s.Put(t.Context(), keyOf(t, "default", token), v.value, c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if found(t, m, token) != v.want {
			t.Errorf("%s: found is not %t", v.what, v.want)
		}
	}
}

func TestMalformedTokensAreNotFound(t *testing.T) {
	c := newClock()
	s := newStore(t, c)
	// A token that ends in zero bits and has both special characters.
	m := session.New(s, "default", limits, c.now, bytes.NewReader(bytes.Repeat([]byte{0xfb, 0xef, 0xff, 0x00}, 8)))
	token, _ := start(t, m, false)
	if !found(t, m, token) {
		t.Fatal("not found at all")
	}
	last := token[:len(token)-1]
	for _, bad := range []string{
		"", "A", token[1:], token[:42], token + "A", token + "=", token + token, last + "B", last + "C", last + "D", last + "=",
		last + "\n", last + "\r", last + " ", "\n" + token[1:], token + "\n", "\n" + token, " " + token, token + " ",
		token[:20] + "\n" + token[20:], token[:20] + "\r\n" + token[20:], token[:20] + "\n" + token[21:], `"` + token + `"`,
		strings.ReplaceAll(token, "-", "+"), strings.ReplaceAll(token, "_", "/"), strings.ToLower(token), last + "\x00",
		strings.Repeat("A", 43), strings.Repeat("\n", 43), strings.Repeat("é", 21) + "A", strings.Repeat("A", 1<<20),
	} {
		if found(t, m, bad) {
			t.Errorf("%.60q is found", bad)
		}
		if err := m.End(t.Context(), bad); err != nil {
			t.Errorf("ending %.60q: %v", bad, err)
		}
	}
	if !found(t, m, token) {
		t.Error("a malformed token ended the session")
	}
}

// TestAStoreThatFailsIsSaid: nobody may take "could not ask" for "not signed in".
func TestAStoreThatFailsIsSaid(t *testing.T) {
	m, _, s := newManager(t, limits)
	token, _ := start(t, m, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := m.Find(t.Context(), token); ok || !errors.Is(err, state.ErrClosed) || strings.Contains(err.Error(), token) {
		t.Errorf("Find: %t, %v", ok, err)
	}
	if err := m.End(t.Context(), token); !errors.Is(err, state.ErrClosed) || strings.Contains(err.Error(), token) {
		t.Errorf("End: %v", err)
	}
	token, r, err := m.Start(t.Context(), session.Record{User: "alice", Level: session.Password})
	if token != "" || r != (session.Record{}) || !errors.Is(err, state.ErrClosed) {
		t.Errorf("Start: %q, %+v, %v", token, r, err)
	}
	// A malformed token is known to be none without asking.
	if _, ok, err := m.Find(t.Context(), "x"); ok || err != nil {
		t.Errorf("Find of a malformed token: %t, %v", ok, err)
	}
	if err := m.End(t.Context(), "x"); err != nil {
		t.Errorf("End of a malformed token: %v", err)
	}
}

func TestAFailedStartGivesNoToken(t *testing.T) {
	m, _, _ := newManager(t, limits)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if token, _, err := m.Start(gone, session.Record{User: "alice", Level: session.Password}); token != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", token, err)
	}
}

func BenchmarkFind(b *testing.B) {
	m, _, _ := newManager(b, limits)
	token, _ := start(b, m, false)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := m.Find(ctx, token); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// SES-4: a session that takes the place of another ends with it, and no later than its
// own limit says.
func TestSES4_ASessionInThePlaceOfAnotherEndsWithIt(t *testing.T) {
	m, c, _ := newManager(t, limits)
	for name, test := range map[string]struct{ wished, want time.Time }{
		"another's end": {c.now().Add(time.Minute), c.now().Add(time.Minute)},
		"a later end":   {c.now().Add(1000 * time.Hour), c.now().Add(limits.Lifetime)},
		"none":          {time.Time{}, c.now().Add(limits.Lifetime)},
	} {
		_, r, err := m.Start(t.Context(), session.Record{User: "alice", Level: session.Password, Expires: test.wished})
		if err != nil || !r.Expires.Equal(test.want) {
			t.Errorf("%s: until %v, want %v, %v", name, r.Expires, test.want, err)
		}
	}
}

// SES-14: each entry has sessions of its own, also where two have one name.
func TestSES14_EntriesOfOneNameAreCountedApart(t *testing.T) {
	m, _, _ := newManager(t, limits)
	start := func(entry byte) string {
		t.Helper()
		token, _, err := m.Start(t.Context(), session.Record{User: "alice", Fingerprint: [16]byte{entry}, Level: session.Password})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	others := start(2)
	first := start(1)
	for range session.MaxPerUser - 1 {
		start(1)
	}
	if !found(t, m, first) || !found(t, m, others) {
		t.Fatal("ended too soon")
	}
	start(1)
	if found(t, m, first) || !found(t, m, others) {
		t.Error("not the oldest of the same entry")
	}
	if n := len(listed(t, m, "alice")); n != session.MaxPerUser+1 {
		t.Errorf("%d are listed", n)
	}
}
