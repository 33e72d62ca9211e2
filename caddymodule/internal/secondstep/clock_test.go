package secondstep_test

import (
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

// OTP-1: the end of a step stands in its record. A store that has kept it too long,
// or a node whose clock was wrong when it began, opens nothing.
func TestOTP1_ARecordIsJudgedByItsOwnTimes(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		want  bool
	}{
		"at once": {0, true}, "a clock a little behind": {-time.Minute, true}, "a clock far behind": {-2 * time.Minute, false},
		"before its end": {longest - time.Second, true}, "at its end": {longest, false}, "long after": {24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			still, clock := new(statetest.Clock), new(statetest.Clock)
			store := state.NewMemory(state.Options{Now: still.Now}) // forgets nothing
			defer store.Close()
			m := manager(t, store, "default", clock)
			if m.Longest() != longest {
				t.Fatalf("a step lives %v", m.Longest())
			}
			token, _ := begin(t, m)
			clock.Advance(c.after)
			if _, found, err := m.Find(t.Context(), token); found != c.want || err != nil {
				t.Errorf("found: %v, %v", found, err)
			}
		})
	}
}

// longest is how long a step lives with the defaults.
const longest = 15 * time.Minute

func TestOTP1_OnlyAWholeTokenIsOne(t *testing.T) {
	f := setup(t)
	token, _ := begin(t, f.Manager)
	for name, c := range map[string]struct {
		token string
		want  bool
	}{
		"as begun": {token, true}, "nothing": {"", false}, "cut": {token[:len(token)-1], false}, "longer": {token + "A", false},
		"a line end for a letter": {token[:10] + "\n" + token[11:], false}, "padded": {token[:len(token)-1] + "=", false},
		"another": {strings.Repeat("A", len(token)), false},
	} {
		if _, found, err := f.Find(t.Context(), c.token); found != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

// What the caller brings along buys no tries and no codes.
func TestOTP2_AStepBeginsWithoutTries(t *testing.T) {
	f := setup(t)
	p := alice()
	p.Codes, p.Tries = -5, -5
	token, code, begun, err := f.Begin(t.Context(), p)
	if err != nil || begun.Codes != 1 || begun.Tries != 0 {
		t.Fatalf("%d codes, %d tries, %v", begun.Codes, begun.Tries, err)
	}
	for range 5 {
		if v := judge(t, f.Manager, token, other(code)); v != secondstep.Wrong {
			t.Fatal(v)
		}
	}
	if v := judge(t, f.Manager, token, code); v == secondstep.Right {
		t.Error("a sixth try")
	}
}
