package caddymodule

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// countingStore tells how often something was counted.
type countingStore struct {
	state.Store
	mu     sync.Mutex
	counts map[state.Key]int
}

func (s *countingStore) Add(ctx context.Context, k state.Key, delta int, window time.Duration) (state.Tally, error) {
	if delta > 0 {
		s.mu.Lock()
		s.counts[k]++
		s.mu.Unlock()
	}
	return s.Store.Add(ctx, k, delta, window)
}

// What costs a stranger nothing takes no place of a user's, be it for a moment: with a
// store at the other end of a wire, many such moments would keep the user out.
func TestTHR4_WhatCostsNothingTakesNoPlaceOfAUser(t *testing.T) {
	for name, c := range map[string]struct {
		config CaptchaConfig
		fields func(v *guest) map[string]string
		want   code
	}{
		"no answer": {CaptchaConfig{}, func(v *guest) map[string]string {
			return map[string]string{"captcha_token": v.open(), "captcha_work": "x"}
		}, codeCaptchaRequired},
		"no captcha, when suspicious": {CaptchaConfig{When: whenSuspicious}, func(v *guest) map[string]string {
			v.failCaptchas("anna", 1)
			return map[string]string{}
		}, codeCaptchaRequired},
		"too easy a captcha, when suspicious": {CaptchaConfig{When: whenSuspicious, Work: beside(captcha.MinWork)}, func(v *guest) map[string]string {
			v.failCaptchas("anna", 1)
			easy, _ := v.challenge()
			v.failCaptchas("anna", 5)
			return map[string]string{"captcha_token": easy.Token, "captcha_answer": "ABCDE"}
		}, codeCaptchaExpired},
		"a wrong answer": {CaptchaConfig{}, func(v *guest) map[string]string {
			return map[string]string{"captcha_token": v.open(), "captcha_answer": "?"}
		}, codeCaptchaWrong},
	} {
		t.Run(name, func(t *testing.T) {
			g := captchaGate(t, c.config)
			v := newGuest(t, g, "192.0.2.1")
			v.open()
			fields := c.fields(v)
			fields["username"], fields["password"] = "anna", "anna-password"
			s := &countingStore{Store: g.store, counts: map[state.Key]int{}}
			g.throttle = throttle.New(s, g.Realm, throttle.DefaultRules(), g.now)
			v.want(v.postFields(fields), c.want)
			for _, bucket := range []string{"throttle user", "throttle user row"} {
				if n := s.counts[state.KeyOf(g.Realm, bucket, []byte("anna"))]; n != 0 {
					t.Errorf("%s: counted %d times", bucket, n)
				}
			}
		})
	}
}

// meetingStore lets somebody else go first where a user's failures are about to be
// counted.
type meetingStore struct {
	state.Store
	at    state.Key
	first func()
}

func (s *meetingStore) Add(ctx context.Context, k state.Key, delta int, window time.Duration) (state.Tally, error) {
	if first := s.first; k == s.at && delta > 0 && first != nil {
		s.first = nil
		first()
	}
	return s.Store.Add(ctx, k, delta, window)
}

// Two networks try one user at the same moment, neither with a captcha. Both look before
// either is counted, and yet only one is judged without.
func TestTHR8_TriesAtAUserSeeOneAnother(t *testing.T) {
	g := suspiciousGate(t, CaptchaConfig{})
	one, other := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "198.51.100.1")
	one.open()
	other.open()
	s := &meetingStore{Store: g.store, at: state.KeyOf(g.Realm, "throttle user", []byte("anna"))}
	s.first = func() { other.want(other.post("anna", "wrong", "", ""), codeCredentialsWrong) }
	g.throttle = throttle.New(s, g.Realm, throttle.DefaultRules(), g.now)
	one.want(one.post("anna", "anna-password", "", ""), codeCaptchaRequired)
	if s.first != nil || one.isIn() {
		t.Error("they did not meet, or one is in")
	}
}
