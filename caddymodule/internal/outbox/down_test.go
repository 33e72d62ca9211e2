package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func TestOTP5_SenderThatIsDownIsSaidAtOnce(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: failing}
		mail := new(provider)
		o := start(t, s, p, func(o *Options) { o.Senders["email"] = mail })
		wantPost := func(what string, want error) string {
			t.Helper()
			id, err := o.Post(t.Context(), message(2*time.Second)) // too short to be tried again in between
			if !errors.Is(err, want) {
				t.Fatalf("%s: %v; want %v", what, err, want)
			}
			synctest.Wait()
			return id
		}
		wantPost("first", nil)
		wantPost("after a failure", ErrDown)
		m := message(2 * time.Second)
		m.Channel = "email"
		post(t, o, m)
		pass(probeEvery - time.Millisecond)
		wantPost("before the probe", ErrDown)
		pass(time.Millisecond)
		wantPost("the probe", nil)
		wantPost("after the probe", ErrDown)
		p.becomes(nil)
		pass(probeEvery)
		wantPost("the next probe", nil)
		wantPost("after a success", nil)
		p.becomes(failing)
		wantPost("the next failure", nil)
		wantPost("after the next failure", ErrDown)
		p.becomes(after(time.Second))
		pass(downFor)
		wantPost("after a while", nil)
		wantPost("while nothing is known", nil)
	})
}

func TestRefusalsDoNotMeanDown(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		o := start(t, s, &provider{answer: refusing})
		for range 3 {
			id := post(t, o, message(time.Minute))
			synctest.Wait()
			wantStatus(t, o, id, Refused)
		}
	})
}

// A provider that is at work and puts one message off takes all others.
func TestDeferralsDoNotMeanDown(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: func(context.Context, Message) error { return fmt.Errorf("%w: no such domain just now", ErrDeferred) }}
		o := start(t, s, p)
		id := post(t, o, message(time.Minute))
		synctest.Wait()
		wantStatus(t, o, id, Retrying)
		if o.Failing("sms") {
			t.Error("the sender counts as failing")
		}
		p.becomes(nil)
		post(t, o, message(time.Minute))
		pass(4 * time.Second)
		p.wants(t, 3, 2)
		p.becomes(failing)
		post(t, o, message(time.Second))
		synctest.Wait()
		if !o.Failing("sms") || o.Failing("email") {
			t.Errorf("failing: %v, another: %v", o.Failing("sms"), o.Failing("email"))
		}
		pass(downFor)
		if o.Failing("sms") {
			t.Error("failing for ever")
		}
	})
}

func TestTooLittleTimeDoesNotMeanDown(t *testing.T) {
	for lifetime, want := range map[time.Duration]error{3 * time.Second: nil, 5 * time.Second: ErrDown} {
		in(t, func(t *testing.T, s *state.Memory) {
			o := start(t, s, &provider{answer: hanging})
			post(t, o, message(lifetime))
			pass(lifetime)
			if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, want) {
				t.Errorf("after a message that lived %v: %v; want %v", lifetime, err, want)
			}
		})
	}
}

func TestRetriesFindOutThatASenderIsBack(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: failing}
		o := start(t, s, p)
		post(t, o, message(time.Minute))
		synctest.Wait()
		p.becomes(nil)
		if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, ErrDown) {
			t.Fatal(err)
		}
		pass(4 * time.Second)
		p.wants(t, 2, 1)
		post(t, o, message(time.Minute))
	})
}
