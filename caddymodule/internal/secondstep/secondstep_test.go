package secondstep_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

type fixture struct {
	*secondstep.Manager
	clock *statetest.Clock
	store state.Store
}

func setup(t *testing.T) fixture {
	t.Helper()
	clock := new(statetest.Clock)
	store := state.NewMemory(state.Options{Now: clock.Now})
	t.Cleanup(func() { store.Close() })
	return fixture{manager(t, store, "default", clock), clock, store}
}

func manager(t *testing.T, store state.Store, realm string, clock *statetest.Clock) *secondstep.Manager {
	t.Helper()
	keys, err := seal.New([][]byte{bytes.Repeat([]byte("s"), 32)}, "second step", realm)
	if err != nil {
		t.Fatal(err)
	}
	return secondstep.New(secondstep.Options{Store: store, Realm: realm, Keys: keys, Now: clock.Now, Rand: rand.Reader})
}

func alice() secondstep.Pending {
	return secondstep.Pending{
		Purpose: secondstep.SignIn, User: "alice", Fingerprint: [16]byte{1}, Browser: [16]byte{2},
		Channel: "sms", Destination: "+4915112345678", Lang: "en",
	}
}

func begin(t *testing.T, m *secondstep.Manager) (token, code string) {
	t.Helper()
	token, code, _, err := m.Begin(t.Context(), alice())
	if err != nil {
		t.Fatal(err)
	}
	return token, code
}

func judge(t *testing.T, m *secondstep.Manager, token, code string) secondstep.Verdict {
	t.Helper()
	v, _, err := m.Judge(t.Context(), token, code)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// other is a code that is not the given one.
func other(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return "9" + code[1:]
}

func TestOTP1_ARightCodeIsRightOnce(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
		t.Fatalf("code %q", code)
	}
	v, p, err := f.Judge(t.Context(), token, code)
	if v != secondstep.Right || err != nil || p.User != "alice" || p.Fingerprint != [16]byte{1} {
		t.Fatalf("%v, %v", v, err)
	}
	if v := judge(t, f.Manager, token, code); v != secondstep.Expired {
		t.Errorf("a second time: %v", v)
	}
	if _, found, _ := f.Find(t.Context(), token); found {
		t.Error("the step is still there")
	}
}

func TestOTP1_ACodeIsGoodForItsStepAlone(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	another, anotherCode := begin(t, f.Manager)
	for code == anotherCode {
		another, anotherCode = begin(t, f.Manager)
	}
	if v := judge(t, f.Manager, another, code); v != secondstep.Wrong {
		t.Errorf("in another step: %v", v)
	}
	for _, foreign := range []string{"", "x", token[:42], token + "A", strings.Repeat("A", 43), token + "\n"} {
		if v := judge(t, f.Manager, foreign, code); v != secondstep.Expired {
			t.Errorf("with token %q: %v", foreign, v)
		}
	}
	elsewhere := manager(t, f.store, "other", f.clock)
	if v := judge(t, elsewhere, token, code); v != secondstep.Expired {
		t.Errorf("in another realm: %v", v)
	}
	if v := judge(t, f.Manager, token, code); v != secondstep.Right {
		t.Errorf("at home: %v", v)
	}
}

func TestOTP2_FiveTriesACode(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	for n := range 5 {
		if v := judge(t, f.Manager, token, other(code)); v != secondstep.Wrong {
			t.Fatalf("try %d: %v", n+1, v)
		}
	}
	if v := judge(t, f.Manager, token, code); v != secondstep.Expired {
		t.Errorf("the sixth try: %v", v)
	}
}

func TestOTP2_ParallelTriesAreCountedBeforeTheyAreJudged(t *testing.T) {
	f := setup(t)
	for range 20 {
		token, code := begin(t, f.Manager)
		var judged atomic.Int32
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if judge(t, f.Manager, token, other(code)) == secondstep.Wrong {
					judged.Add(1)
				}
			})
		}
		wg.Wait()
		if n := judged.Load(); n != 5 {
			t.Fatalf("%d tries were judged", n)
		}
	}
}

func TestOTP1_ParallelRightCodesHaveOneWinner(t *testing.T) {
	f := setup(t)
	for range 50 {
		token, code := begin(t, f.Manager)
		var right atomic.Int32
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if judge(t, f.Manager, token, code) == secondstep.Right {
					right.Add(1)
				}
			})
		}
		wg.Wait()
		if n := right.Load(); n != 1 {
			t.Fatalf("%d were right", n)
		}
	}
}

func TestOTP3_OnlyTheNewestCodeIsGoodAndTheStepDoesNotStretch(t *testing.T) {
	f := setup(t)
	token, first := begin(t, f.Manager)
	before, _, err := f.Find(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(time.Minute)
	second, p, err := f.Renew(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Expires.Equal(before.Expires) {
		t.Errorf("the step ends at %v, before at %v", p.Expires, before.Expires)
	}
	if v := judge(t, f.Manager, token, first); first != second && v != secondstep.Wrong {
		t.Errorf("the old code: %v", v)
	}
	if v := judge(t, f.Manager, token, second); v != secondstep.Right {
		t.Errorf("the new code: %v", v)
	}
}

func TestResendWaitsGrowAndCodesRunOut(t *testing.T) {
	f := setup(t)
	token, _ := begin(t, f.Manager)
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		f.clock.Advance(wait - time.Second)
		var soon *secondstep.TooSoonError
		if _, _, err := f.Renew(t.Context(), token); !errors.As(err, &soon) || soon.Wait != time.Second {
			t.Fatalf("a second early: %v", err)
		}
		f.clock.Advance(time.Second)
		if _, _, err := f.Renew(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.Advance(8 * time.Minute) // the step has ended: 15 minutes in all
	if _, _, err := f.Renew(t.Context(), token); !errors.Is(err, secondstep.ErrGone) {
		t.Errorf("after its end: %v", err)
	}
	quick := secondstep.New(func() secondstep.Options { o := f.Options; o.Resend = time.Second; return o }())
	token, _ = begin(t, quick)
	for range 4 {
		f.clock.Advance(20 * time.Second)
		if _, _, err := quick.Renew(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.Advance(time.Minute)
	if _, _, err := quick.Renew(t.Context(), token); !errors.Is(err, secondstep.ErrGone) {
		t.Errorf("the sixth code: %v", err)
	}
}

func TestOTP1_ACodeExpires(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	f.clock.Advance(5*time.Minute - time.Second)
	if v := judge(t, f.Manager, token, other(code)); v != secondstep.Wrong {
		t.Errorf("a second early: %v", v)
	}
	f.clock.Advance(time.Second)
	if v := judge(t, f.Manager, token, code); v != secondstep.Expired {
		t.Errorf("at its end: %v", v)
	}
	if _, _, err := f.Renew(t.Context(), token); err != nil {
		t.Errorf("a new code: %v", err)
	}
}

func TestAStoreOfAnotherEpochKnowsNoCode(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	emptied := state.NewMemory(state.Options{Now: f.clock.Now})
	defer emptied.Close()
	// An older dump that was loaded into a new store has the record, and a new epoch.
	raw := keyOf(t, token)
	value, err := f.store.Get(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := emptied.Swap(t.Context(), raw, nil, value, f.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, manager(t, emptied, "default", f.clock), token, code); v != secondstep.Expired {
		t.Errorf("%v", v)
	}
}

func TestOTP1_TheStoreShowsNoCodeNumberOrName(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	value, err := f.store.Get(t.Context(), keyOf(t, token))
	if err != nil || value == nil {
		t.Fatal(value, err)
	}
	for _, secret := range []string{"alice", "15112345678", token} {
		if bytes.Contains(value, []byte(secret)) {
			t.Errorf("the record shows %q", secret)
		}
	}
	p, _, _ := f.Find(t.Context(), token)
	for _, text := range []string{fmt.Sprint(p), fmt.Sprintf("%+v %#v %s", p, p, &p)} {
		if strings.Contains(text, "alice") || strings.Contains(text, code) {
			t.Errorf("it prints as %s", text)
		}
	}
}

func TestSES13_AMovedRecordIsNone(t *testing.T) {
	f := setup(t)
	token, _ := begin(t, f.Manager)
	victim, _ := begin(t, f.Manager)
	value, _ := f.store.Get(t.Context(), keyOf(t, token))
	there, _ := f.store.Get(t.Context(), keyOf(t, victim))
	if ok, _, err := f.store.Swap(t.Context(), keyOf(t, victim), there, value, f.clock.Now().Add(time.Hour)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, found, err := f.Find(t.Context(), victim); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestOTP5_AStoreThatFailsIsSaid(t *testing.T) {
	f := setup(t)
	token, code := begin(t, f.Manager)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if v, _, err := f.Judge(gone, token, code); v == secondstep.Right || err == nil {
		t.Errorf("Judge: %v, %v", v, err)
	}
	if _, _, _, err := f.Begin(gone, alice()); err == nil {
		t.Error("Begin succeeded")
	}
	if _, _, err := f.Renew(gone, token); err == nil {
		t.Error("Renew succeeded")
	}
	if _, _, err := f.Find(gone, token); err == nil {
		t.Error("Find succeeded")
	}
}

func TestCodesAreUniform(t *testing.T) {
	f := setup(t)
	counts := map[byte]int{}
	const draws = 3000
	for range draws {
		_, code := begin(t, f.Manager)
		counts[code[0]]++
	}
	for digit := byte('0'); digit <= '9'; digit++ {
		if n := counts[digit]; n < draws/10-100 || n > draws/10+100 { // six standard deviations
			t.Errorf("%c begins %d of %d codes", digit, n, draws)
		}
	}
}

func keyOf(t *testing.T, token string) state.Key {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return state.KeyOf("default", "second step", raw)
}

func FuzzJudge(f *testing.F) {
	f.Add("123456")
	f.Add("")
	f.Add("123456\x00")
	f.Add("１２３４５６")
	f.Fuzz(func(t *testing.T, typed string) {
		s := setup(t)
		token, code := begin(t, s.Manager)
		if right := judge(t, s.Manager, token, typed) == secondstep.Right; right != (typed == code) {
			t.Errorf("%q for %q: %v", typed, code, right)
		}
	})
}

// FuzzRecord: whatever the store gives back, nothing waits there unless Begin wrote it.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(`{"Version":1}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s := setup(t)
		token := strings.Repeat("A", 43)
		if _, _, err := s.store.Swap(t.Context(), keyOf(t, token), nil, value, s.clock.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.Find(t.Context(), token); found || err != nil {
			t.Errorf("found %v, %v", found, err)
		}
	})
}
