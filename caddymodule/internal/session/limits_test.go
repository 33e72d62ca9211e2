package session_test

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

func TestSES4_LimitsHoldToTheMillisecond(t *testing.T) {
	no := session.Limits{Lifetime: 12 * time.Hour, Remember: 30 * 24 * time.Hour} // no idle limit
	for _, c := range []struct {
		what     string
		limits   session.Limits
		remember bool
		end      time.Duration
	}{
		{"absolute", no, false, 12 * time.Hour},
		{"idle", limits, false, time.Hour},
		{"idle, longer than the lifetime", session.Limits{Lifetime: time.Minute, Idle: time.Hour}, false, time.Minute},
		{"remembered", limits, true, 30 * 24 * time.Hour},
		{"remembered, no idle limit", no, true, 30 * 24 * time.Hour},
		{"very short", session.Limits{Lifetime: time.Millisecond}, false, time.Millisecond},
	} {
		// Judged by the store and the Manager, then by the Manager alone.
		for _, kept := range []bool{false, true} {
			foundAfter := func(d time.Duration) bool {
				m, clock, s := newManager(t, c.limits)
				token, _ := start(t, m, c.remember)
				if kept {
					keep(t, s, clock, token)
				}
				clock.move(d)
				return found(t, m, token)
			}
			if !foundAfter(c.end - time.Millisecond) {
				t.Errorf("%s: gone a millisecond early", c.what)
			}
			if foundAfter(c.end) {
				t.Errorf("%s: still there at its end", c.what)
			}
		}
	}
}

func TestSES4_UseProlongsTheIdleLimitButNotTheAbsoluteOne(t *testing.T) {
	m, c, _ := newManager(t, limits)
	token, r := start(t, m, false)
	step := limits.Idle - time.Second
	for c.now().Add(step).Before(r.Expires) {
		c.move(step)
		if !found(t, m, token) {
			t.Fatalf("gone after %v of use", c.now().Sub(r.Created))
		}
	}
	c.move(r.Expires.Sub(c.now()) - time.Millisecond)
	if !found(t, m, token) {
		t.Error("gone before the absolute end")
	}
	c.move(time.Millisecond)
	if found(t, m, token) {
		t.Error("use moved the absolute end")
	}
}

func TestSES4_ARememberedSessionHasNoIdleLimitAndFewNotes(t *testing.T) {
	m, c, s := newManager(t, limits)
	token, _ := start(t, m, true)
	before := stored(t, s, "default", token)
	c.move(time.Hour - time.Millisecond)
	if !found(t, m, token) || !bytes.Equal(stored(t, s, "default", token), before) {
		t.Error("gone, or written to within an hour")
	}
	c.move(28 * 24 * time.Hour)
	if !found(t, m, token) || bytes.Equal(stored(t, s, "default", token), before) {
		t.Error("gone, or its use is not written down")
	}
}

func TestSES4_LimitsLoweredByAReloadCountForOldSessions(t *testing.T) {
	for _, c := range []struct {
		what     string
		lowered  session.Limits
		remember bool
		end      time.Duration
	}{
		{"lifetime", session.Limits{Lifetime: 30 * time.Minute, Idle: time.Hour, Remember: limits.Remember}, false, 30 * time.Minute},
		{"idle", session.Limits{Lifetime: limits.Lifetime, Idle: 10 * time.Minute, Remember: limits.Remember}, false, 10 * time.Minute},
		{"remember", session.Limits{Lifetime: limits.Lifetime, Idle: limits.Idle, Remember: time.Hour}, true, time.Hour},
	} {
		foundAfter := func(d time.Duration) bool {
			m, clock, s := newManager(t, limits)
			token, _ := start(t, m, c.remember)
			clock.move(d)
			return found(t, session.New(s, "default", c.lowered, clock.now, rand.Reader), token)
		}
		if !foundAfter(c.end - time.Millisecond) {
			t.Errorf("%s: gone before the new end", c.what)
		}
		if foundAfter(c.end) {
			t.Errorf("%s: outlives the new limit", c.what)
		}
	}
	// Nobody is remembered any more.
	m, clock, s := newManager(t, limits)
	token, _ := start(t, m, true)
	off := session.New(s, "default", session.Limits{Lifetime: limits.Lifetime, Idle: limits.Idle}, clock.now, rand.Reader)
	if found(t, off, token) {
		t.Error("remembered although the box is gone")
	}
}

func TestSES4_RaisedLimitsDoNotStretchAnOldSession(t *testing.T) {
	m, c, s := newManager(t, session.Limits{Lifetime: time.Hour})
	token, r := start(t, m, false)
	raised := session.New(s, "default", limits, c.now, rand.Reader)
	c.move(59 * time.Minute)
	if !found(t, raised, token) {
		t.Fatal("gone early")
	}
	keep(t, s, c, token)
	c.move(r.Expires.Sub(c.now()))
	if found(t, raised, token) {
		t.Error("outlives what was promised at its start")
	}
}

// TestRecordsOfTheFutureAreRefused: nodes that share a store tolerate a minute;
// more is a clock that was wrong.
func TestRecordsOfTheFutureAreRefused(t *testing.T) {
	for _, c := range []struct {
		skew time.Duration
		want bool
	}{{0, true}, {time.Minute, true}, {time.Minute + time.Millisecond, false}, {24 * time.Hour, false}, {-time.Minute, true}} {
		clock := newClock()
		s := newStore(t, clock)
		right := session.New(s, "default", limits, clock.now, rand.Reader)
		fast := session.New(s, "default", limits, clock.ahead(c.skew), rand.Reader)

		made, _ := start(t, fast, false)
		keep(t, s, clock, made)
		if found(t, right, made) != c.want {
			t.Errorf("made %v ahead: found is not %t", c.skew, c.want)
		}
	}
}

// TestSES4_AUseNotedInTheFutureDoesNotStretchTheIdleLimit: a node whose clock
// was hours fast noted a use; without a check the session would stay for these
// hours without any.
func TestSES4_AUseNotedInTheFutureDoesNotStretchTheIdleLimit(t *testing.T) {
	for _, c := range []struct {
		skew time.Duration
		want bool
	}{{time.Minute, true}, {time.Minute + time.Millisecond, false}, {59 * time.Minute, false}} {
		clock := newClock()
		s := newStore(t, clock)
		right := session.New(s, "default", limits, clock.now, rand.Reader)
		fast := session.New(s, "default", limits, clock.ahead(c.skew), rand.Reader)
		token, _ := start(t, right, false)
		if !found(t, fast, token) {
			t.Fatal("not found by the fast node")
		}
		if found(t, right, token) != c.want {
			t.Errorf("used %v ahead: found is not %t", c.skew, c.want)
		}
	}
}

func TestUsesAreNotedAtMostOnceAMinute(t *testing.T) {
	for _, c := range []struct{ idle, granularity time.Duration }{
		{time.Hour, time.Minute}, {24 * time.Hour, time.Minute}, {10 * time.Minute, time.Minute},
		{5 * time.Minute, 30 * time.Second}, {10 * time.Second, time.Second},
	} {
		m, clock, s := newManager(t, session.Limits{Lifetime: 48 * time.Hour, Idle: c.idle})
		token, _ := start(t, m, false)
		before := stored(t, s, "default", token)
		clock.move(c.granularity - time.Millisecond)
		if !found(t, m, token) || !bytes.Equal(stored(t, s, "default", token), before) {
			t.Errorf("idle %v: noted too early", c.idle)
		}
		clock.move(time.Millisecond)
		r, ok, err := m.Find(t.Context(), token)
		if err != nil || !ok || !r.Seen.Equal(clock.now()) || bytes.Equal(stored(t, s, "default", token), before) {
			t.Errorf("idle %v: not noted: %+v, %t, %v", c.idle, r, ok, err)
		}
		clock.move(c.idle - time.Millisecond)
		if !found(t, m, token) {
			t.Errorf("idle %v: the note does not count", c.idle)
		}
	}
}
