package outbox

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func TestCloseWaitsForTriesUnderWay(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := &provider{answer: after(3 * time.Second)}
		o := start(t, s, p)
		id := post(t, o, message(time.Minute))
		synctest.Wait()
		before := time.Now()
		o.Close()
		if took := time.Since(before); took != 3*time.Second {
			t.Errorf("close took %v", took)
		}
		p.wants(t, 1, 1)
		wantStatus(t, o, id, Sent)
		o.Close()
	})
}

func TestCloseCutsOffAndFreesWhatTakesTooLong(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		short := func(o *Options) {
			o.timing = defaultTiming
			o.timing.drain = time.Second
		}
		p := &provider{answer: hanging}
		o := start(t, s, p, short)
		var ids []string
		for range workers + 2 { // more than can be begun
			ids = append(ids, post(t, o, message(time.Minute)))
		}
		synctest.Wait()
		before := time.Now()
		o.Close()
		if took := time.Since(before); took != time.Second {
			t.Errorf("close took %v", took)
		}
		p.wants(t, workers, 0)
		for _, id := range ids {
			wantStatus(t, o, id, Waiting) // being cut off is no failure
		}
		if !o.health["sms"].mayPost(time.Now()) {
			t.Error("being cut off counts against the sender")
		}

		next := new(provider)
		o = start(t, s, next)
		pass(defaultTiming.first)
		next.wants(t, workers, workers) // no lease to wait for
		pass(2 * defaultTiming.ahead)
		next.wants(t, len(ids), len(ids))
		for _, id := range ids {
			wantStatus(t, o, id, Sent)
		}
	})
}

func TestCloseWaitsForAStoreThatIsBackInTime(t *testing.T) {
	for _, c := range []struct {
		name string
		away time.Duration
		took time.Duration
		want Status
	}{
		{"back", 2 * time.Second, 2 * time.Second, Sent},
		{"never back", time.Hour, defaultTiming.drain, Waiting},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				f := &faulty{Store: s}
				p := &provider{answer: func(context.Context, Message) error {
					f.set(away)
					return nil
				}}
				o := start(t, f, p)
				id := post(t, o, message(time.Minute))
				synctest.Wait()
				defer time.AfterFunc(c.away, func() { f.set(nil) }).Stop()
				before := time.Now()
				o.Close()
				if took := time.Since(before).Round(time.Second); took != c.took {
					t.Errorf("close took %v; want %v", took, c.took)
				}
				f.set(nil)
				wantStatus(t, o, id, c.want)
			})
		})
	}
}

func TestCancel(t *testing.T) {
	cancel := func(t *testing.T, o *Outbox, id string) {
		t.Helper()
		if err := o.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		answer func(context.Context, Message) error
		before time.Duration // that passes until Cancel
		want   Status        // at once
		later  Status
		tries  int
	}{
		{"while it is tried, and taken", after(2 * time.Second), time.Second, Canceled, Sent, 1},
		{"while it is tried, and fails", hanging, time.Second, Canceled, Canceled, 1},
		{"between tries", failing, time.Second / 2, Canceled, Canceled, 1},
		{"sent", nil, time.Second, Sent, Sent, 1},
		{"refused", refusing, time.Second, Refused, Refused, 1},
	} {
		t.Run("OTP3_"+c.name, func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				p := &provider{answer: c.answer}
				o, other := start(t, s, p), start(t, s, p)
				id := post(t, o, message(time.Minute))
				pass(c.before)
				cancel(t, other, id)
				wantStatus(t, o, id, c.want)
				pass(50 * time.Second)
				wantStatus(t, o, id, c.later)
				if tries, _ := p.count(); tries != c.tries {
					t.Errorf("%d tries; want %d", tries, c.tries)
				}
				wantIndex(t, o, 0)
			})
		})
	}
	t.Run("OTP3_before it is tried", func(t *testing.T) {
		in(t, func(t *testing.T, s *state.Memory) {
			p := new(provider)
			o := open(t, s, p)
			id := post(t, o, message(time.Minute))
			cancel(t, o, id)
			cancel(t, o, id)
			o.Start()
			pass(30 * time.Second)
			wantStatus(t, o, id, Canceled)
			p.wants(t, 0, 0)
			wantIndex(t, o, 0)
			for _, unknown := range []string{"", "x", messageID{1}.String(), messageID{1}.String() + "\n", "AAAAAAAAAAAAAAAAAAAAAB"} {
				cancel(t, o, unknown)
				wantStatus(t, o, unknown, Expired)
			}
		})
	})
}
