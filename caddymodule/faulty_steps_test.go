package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// faultyStore fails one of its calls.
type faultyStore struct {
	state.Store
	left atomic.Int64 // calls until the one that fails; at 0 none does
}

var errFault = errors.New("fault of the store")

func (s *faultyStore) fails() bool { return s.left.Load() > 0 && s.left.Add(-1) == 0 }

func (s *faultyStore) Epoch(ctx context.Context) (state.Epoch, error) {
	if s.fails() {
		return state.Epoch{}, errFault
	}
	return s.Store.Epoch(ctx)
}

func (s *faultyStore) Take(ctx context.Context, e state.Epoch, k state.Key, until time.Time) (bool, error) {
	if s.fails() {
		return false, errFault
	}
	return s.Store.Take(ctx, e, k, until)
}

func (s *faultyStore) Put(ctx context.Context, k state.Key, value []byte, until time.Time) error {
	if s.fails() {
		return errFault
	}
	return s.Store.Put(ctx, k, value, until)
}

func (s *faultyStore) Get(ctx context.Context, k state.Key) ([]byte, error) {
	if s.fails() {
		return nil, errFault
	}
	return s.Store.Get(ctx, k)
}

func (s *faultyStore) Swap(ctx context.Context, k state.Key, old, value []byte, until time.Time) (bool, []byte, error) {
	if s.fails() {
		return false, nil, errFault
	}
	return s.Store.Swap(ctx, k, old, value, until)
}

func (s *faultyStore) Delete(ctx context.Context, k state.Key) error {
	if s.fails() {
		return errFault
	}
	return s.Store.Delete(ctx, k)
}

func (s *faultyStore) Add(ctx context.Context, k state.Key, delta int, window time.Duration) (state.Tally, error) {
	if s.fails() {
		return state.Tally{}, errFault
	}
	return s.Store.Add(ctx, k, delta, window)
}

// ofRealm puts the store into the pool, so that the gate of the realm takes it.
func (s *faultyStore) ofRealm(t *testing.T, realm string) {
	t.Helper()
	s.Store = state.NewMemory(state.Options{})
	key := storeMemory + " " + realm
	if _, _, err := stores.LoadOrNew(key, func() (caddy.Destructor, error) { return openStore{s}, nil }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stores.Delete(key) })
}

func (v *guest) isIn() bool {
	v.t.Helper()
	return v.send(request("GET", "/captcha-gate/session")).Code == http.StatusOK
}

// Whichever call of the store fails, a reply says what is so, and nobody is in
// without the code (OTP-5).
func TestOTP5_WhicheverCallFailsAReplySaysWhatIsSo(t *testing.T) {
	many := &LimitConfig{Events: 10_000, Window: caddy.Duration(time.Hour)}
	config := signUpByEmail()
	config.Accounts.SignUpLimit = &SignUpLimitConfig{PerClient: 10_000}
	config.SecondStep.Limits = &SendLimitsConfig{User: many, Destination: many, Network: many, Total: many}
	config.Throttle = &ThrottleConfig{Client: many, User: many, Issue: many}
	config.Realm = realmOf(t)
	s := new(faultyStore)
	s.ofRealm(t, config.Realm)
	g, l := stepGate(t, annasContact, config)
	arrived := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.sent)
	}
	for n := int64(1); n < 40; n++ {
		v := newGuest(t, g, "192.0.2.1")
		fields := v.captchaOn("/login", map[string]string{"username": "anna", "password": "anna-password"})
		before := arrived()
		s.left.Store(n)
		reply := v.to("/login", fields)
		s.left.Store(0)
		if v.isIn() {
			t.Fatalf("call %d: in without a code after %s", n, reply.Code)
		}
		if reply.Code != codeSecondStepRequired {
			if reply.Code != codeStateUnavailable {
				t.Errorf("call %d of the password: %s", n, reply.Code)
			}
			continue
		}
		typed := l.last(t, before).Code
		s.left.Store(n)
		reply = v.types(typed)
		s.left.Store(0)
		if in := v.isIn(); in != (reply.Code == "signed_in") || !in && reply.Code != codeStateUnavailable {
			t.Errorf("call %d of the code: %s, in: %v", n, reply.Code, in)
		}
	}
	for n := int64(1); n < 20; n++ {
		v := newGuest(t, g, "192.0.2.1")
		name := fmt.Sprintf("carol%c%c", 'a'+n/8, 'a'+n%8)
		typed := v.waits(name, name+"@example.com")
		s.left.Store(n)
		reply := v.types(typed)
		s.left.Store(0)
		users, _ := g.users.Table()
		exists, in := users.Has(name, nil), v.isIn()
		if exists != (reply.Code == "signed_in" || reply.Code == "signed_up") || in != (reply.Code == "signed_in") {
			t.Errorf("call %d of a sign-up: %s, exists: %v, in: %v", n, reply.Code, exists, in)
		}
	}
}
