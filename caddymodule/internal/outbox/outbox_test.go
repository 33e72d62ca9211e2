package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func TestMessageIsHandedOverAsPosted(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		o := start(t, s, p)
		m := message(5 * time.Minute)
		id := post(t, o, m)
		if got := o.Wait(t.Context(), id, time.Second); got != Sent {
			t.Fatalf("wait: %v", got)
		}
		p.wants(t, 1, 1)
		m.ID, m.Realm, m.Expires = id, testRealm, time.UnixMilli(m.Expires.UnixMilli())
		if got := p.taken[0]; got != m {
			t.Errorf("%#v", []string{got.ID, got.Channel, got.To, got.Subject, got.Text, got.Code, got.Lang, got.Realm})
		}
		pass(5*time.Minute - time.Second)
		wantStatus(t, o, id, Sent)
		wantIndex(t, o, 0)
		pass(2 * time.Minute)
		wantStatus(t, o, id, Expired)
		p.wants(t, 1, 1)
	})
}

func TestReplyDoesNotWaitForASlowProvider(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		mail := new(provider)
		o := start(t, s, &provider{answer: hanging}, func(o *Options) { o.Senders["email"] = mail })
		before := time.Now()
		var ids []string
		for range 20 {
			ids = append(ids, post(t, o, message(time.Minute)))
		}
		m := message(time.Minute)
		m.Channel = "email"
		ids = append(ids, post(t, o, m))
		if got := o.Wait(t.Context(), ids[20], time.Second); got != Sent || time.Since(before) > 100*time.Millisecond {
			t.Errorf("the other channel's message is %v after %v", got, time.Since(before))
		}
		if got := o.Wait(t.Context(), ids[0], 3*time.Second); got != Waiting || time.Since(before) < 3*time.Second {
			t.Errorf("%v after %v", got, time.Since(before))
		}
		if got := o.Wait(t.Context(), ids[0], 3*time.Second); got != Retrying {
			t.Errorf("%v after the time of a try", got)
		}
	})
}

func TestFailuresAreTriedAgainUntilTheEnd(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: failing}
		var mu sync.Mutex
		observed := make(map[string]int)
		o := start(t, s, p, func(o *Options) {
			o.Observe = func(channel, outcome string) {
				mu.Lock()
				defer mu.Unlock()
				observed[channel+" "+outcome]++
			}
		})
		m := message(2 * time.Minute)
		id := post(t, o, m)
		if got := o.Wait(t.Context(), id, 2*time.Second); got != Retrying {
			t.Fatalf("wait: %v", got)
		}
		pass(10 * time.Minute)
		wantStatus(t, o, id, Expired)
		wantIndex(t, o, 0)
		// Each wait is up to a fifth longer or shorter, and a look around may come as much later as it is apart.
		want := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, 30 * time.Second}
		if len(p.tries) < len(want) {
			t.Fatalf("only %d tries", len(p.tries))
		}
		for i := 1; i < len(p.tries); i++ {
			expected, apart := want[min(i, len(want))-1], p.tries[i].Sub(p.tries[i-1])
			if apart < expected*4/5 || apart > expected*6/5+defaultTiming.every {
				t.Errorf("try %d came after %v; want about %v", i+1, apart, expected)
			}
		}
		if last := p.tries[len(p.tries)-1]; !last.Before(m.Expires) {
			t.Errorf("tried %v after the end", last.Sub(m.Expires))
		}
		n := len(p.tries)
		if want := fmt.Sprint(map[string]int{"sms failed": n, "sms retried": n - 1, "sms expired": 1}); fmt.Sprint(observed) != want {
			t.Errorf("observed %v; want %v", observed, want)
		}
	})
}

func TestOutcomesOfTheFirstTry(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(context.Context, Message) error
		soon   Status // after the first try
		late   Status // after a minute in which the provider takes everything
		tries  int
	}{
		{"taken", nil, Sent, Sent, 1},
		{"taken slowly", after(3 * time.Second), Sent, Sent, 1},
		{"refused", func(context.Context, Message) error { return fmt.Errorf("21211: %w", ErrRefused) }, Refused, Refused, 1},
		{"failed", failing, Retrying, Sent, 2},
		{"too slow", after(5 * time.Second), Retrying, Sent, 2},
		{"a panic", func(context.Context, Message) error { panic("nil map") }, Retrying, Sent, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				p := &provider{answer: c.answer}
				o := start(t, s, p)
				id := post(t, o, message(5*time.Minute))
				if got := o.Wait(t.Context(), id, 5*time.Second); got != c.soon {
					t.Fatalf("wait: %v; want %v", got, c.soon)
				}
				p.becomes(nil)
				pass(time.Minute)
				wantStatus(t, o, id, c.late)
				if tries, _ := p.count(); tries != c.tries {
					t.Errorf("%d tries; want %d", tries, c.tries)
				}
				wantIndex(t, o, 0)
			})
		})
	}
}

func TestExpiredMessagesAreNotSent(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: func(ctx context.Context, m Message) error {
			<-ctx.Done()
			if !time.Now().Equal(m.Expires) {
				t.Errorf("a try ended %v after its message", time.Since(m.Expires))
			}
			return ctx.Err()
		}}
		o := start(t, s, p)
		var ids []string
		for range workers + 1 { // one more than can be tried at a time
			ids = append(ids, post(t, o, message(3*time.Second)))
		}
		pass(3 * time.Second)
		p.wants(t, workers, 0)
		pass(3 * time.Second)
		p.becomes(nil)
		for _, id := range ids {
			wantStatus(t, o, id, Expired)
		}
		pass(time.Minute)
		p.wants(t, workers, 0)
		wantIndex(t, o, 0)
	})
}

func TestMessageWithoutTimeForOneMoreTryIsGivenUp(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		o := start(t, s, &provider{answer: failing})
		id := post(t, o, message(700*time.Millisecond))
		synctest.Wait()
		wantStatus(t, o, id, Expired)
	})
}

func TestMessageIsExpiredOnTimeThoughNobodyLooks(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		o := open(t, s, new(provider))
		id := post(t, o, message(time.Second))
		pass(time.Second - time.Millisecond)
		wantStatus(t, o, id, Waiting)
		pass(time.Millisecond)
		wantStatus(t, o, id, Expired)
	})
}

func TestNothingIsSentBeforeStartNorByAShortRun(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		first := open(t, s, p)
		id := post(t, first, message(time.Minute))
		pass(10 * time.Second)
		first.Close()
		p.wants(t, 0, 0)
		short := open(t, s, p)
		short.Start()
		short.Start()
		pass(2 * time.Second)
		short.Close()
		short.Start()
		pass(10 * time.Second)
		p.wants(t, 0, 0)

		next := start(t, s, p)
		pass(8 * time.Second)
		p.wants(t, 1, 1)
		wantStatus(t, next, id, Sent)
		if _, err := short.Post(t.Context(), message(time.Minute)); !errors.Is(err, ErrClosed) {
			t.Errorf("post after close: %v", err)
		}
	})
}

func TestPostedBeforeStartIsSentAtOnceAfterIt(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		o := open(t, s, p)
		post(t, o, message(time.Minute))
		o.Start()
		synctest.Wait()
		p.wants(t, 1, 1)
	})
}

func TestPostRefusesWhatCannotBeSent(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		for name, c := range map[string]struct {
			change func(*Message)
			random string
			want   string
		}{
			"other channel": {func(m *Message) { m.Channel = "fax" }, "", `no sender for channel "fax"`},
			"expired":       {func(m *Message) { m.Expires = time.Now() }, "", "has expired"},
			"this ms":       {func(m *Message) { m.Expires = time.Now().Add(time.Microsecond) }, "", "has expired"},
			"too long":      {func(m *Message) { m.Text = strings.Repeat("x", maxContent) }, "", ErrTooLong.Error()},
			"far too long":  {func(m *Message) { m.Text = strings.Repeat("x", 1<<16+10) }, "", ErrTooLong.Error()},
			"no randomness": {func(*Message) {}, "x", "drawing an id"},
			"too little":    {func(*Message) {}, strings.Repeat("x", 20), "drawing a nonce"},
		} {
			o := open(t, s, new(provider), func(o *Options) {
				if c.random != "" {
					o.Rand = strings.NewReader(c.random)
				}
			})
			m := message(time.Minute)
			c.change(&m)
			if _, err := o.Post(t.Context(), m); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), m.Code) {
				t.Errorf("%s: %v", name, err)
			}
			wantIndex(t, o, 0)
		}
	})
}

func TestLongestMessageIsSent(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		o := start(t, s, p)
		m := message(time.Minute)
		m.Text = ""
		m.Text = strings.Repeat("x", maxContent-16-8-6*2-len(m.Channel+m.To+m.Subject+m.Code+m.Lang))
		post(t, o, m)
		synctest.Wait()
		p.wants(t, 1, 1)
		m.Text += "x"
		if _, err := o.Post(t.Context(), m); !errors.Is(err, ErrTooLong) {
			t.Errorf("one byte more: %v", err)
		}
	})
}

func TestTwoMessagesNeverShareAnID(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		for i, want := range []string{"", "two messages drew one id"} {
			o := open(t, s, p, func(o *Options) { o.Rand = strings.NewReader(strings.Repeat("x", 100)) })
			if _, err := o.Post(t.Context(), message(time.Minute)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("post %d: %v", i, err)
			}
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		o := open(t, s, new(provider))
		var ids []string
		for i := range maxPending {
			lifetime := time.Minute
			if i == 0 || i == maxPending-1 {
				lifetime = time.Second
			}
			ids = append(ids, post(t, o, message(lifetime)))
		}
		if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, ErrFull) {
			t.Fatalf("one more: %v", err)
		}
		if err := o.Cancel(t.Context(), ids[10]); err != nil {
			t.Fatal(err)
		}
		post(t, o, message(time.Second)) // in place of the canceled one
		if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, ErrFull) {
			t.Fatalf("one more: %v", err)
		}
		pass(time.Second + grace) // three have ended, and the others have not though the last that was posted has
		post(t, o, message(time.Minute))
		wantIndex(t, o, maxPending-3+1)
		pass(time.Minute)
		post(t, o, message(time.Minute))
		wantIndex(t, o, 2)
	})
}

func TestStoreErrorsPassThrough(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		f := &faulty{Store: s, fault: away}
		o := open(t, f, new(provider))
		if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, errFault) {
			t.Errorf("post: %v", err)
		}
		id := messageID{}.String()
		if got, err := o.Status(t.Context(), id); !errors.Is(err, errFault) || got != Waiting {
			t.Errorf("status: %v, %v", got, err)
		}
		if err := o.Cancel(t.Context(), id); !errors.Is(err, errFault) {
			t.Errorf("cancel: %v", err)
		}
		if got := o.Wait(t.Context(), id, time.Second); got != Waiting {
			t.Errorf("wait: %v", got)
		}
		f.set(nil)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := o.Post(done, message(time.Minute)); !errors.Is(err, context.Canceled) {
			t.Errorf("post with a done context: %v", err)
		}
	})
}
