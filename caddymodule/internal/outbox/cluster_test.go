package outbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// allTaken reports whether each message was taken.
func allTaken(p *provider, ids []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := make(map[string]bool)
	for _, m := range p.taken {
		taken[m.ID] = true
	}
	return !slices.ContainsFunc(ids, func(id string) bool { return !taken[id] })
}

// takenOnce fails unless each message was taken exactly once, and none at all was taken twice: one that was not
// acknowledged may have been.
func takenOnce(t testing.TB, ids []string, taken ...Message) {
	t.Helper()
	times := make(map[string]int)
	for _, m := range taken {
		times[m.ID]++
	}
	for _, id := range ids {
		if times[id] != 1 {
			t.Errorf("message %s was taken %d times", id, times[id])
		}
		delete(times, id)
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("message %s was not acknowledged and taken %d times", id, n)
		}
	}
}

func TestNodesHandOverOnce(t *testing.T) {
	firstFails := func() func(context.Context, Message) error {
		var tried sync.Map
		return func(_ context.Context, m Message) error {
			if _, again := tried.LoadOrStore(m.ID, true); again {
				return nil
			}
			return errDown
		}
	}
	for _, c := range []struct {
		name   string
		answer func() func(context.Context, Message) error
		tries  int
	}{
		{"at once", func() func(context.Context, Message) error { return nil }, 1},
		{"slowly", func() func(context.Context, Message) error { return after(3 * time.Second) }, 1},
		{"at the second try", firstFails, 2},
	} {
		for _, skew := range []time.Duration{0, time.Minute, -time.Minute} {
			t.Run(fmt.Sprintf("%s, clocks %v apart", c.name, skew), func(t *testing.T) {
				in(t, func(t *testing.T, s *state.Memory) {
					p := &provider{answer: c.answer()}
					nodes := []*Outbox{open(t, s, p), open(t, s, p, skewed(skew))}
					var ids []string
					for i := range 40 { // before the first of them can fail and close the door to the rest
						ids = append(ids, post(t, nodes[i%2], message(10*time.Minute)))
					}
					nodes[0].Start()
					nodes[1].Start()
					pass(8 * time.Minute)
					takenOnce(t, ids, p.taken...)
					p.wants(t, c.tries*len(ids), len(ids))
					wantIndex(t, nodes[0], 0)
				})
			})
		}
	}
}

// A node dies in the middle of a try: another one takes over, but not while the first could still be at it.
func TestMessageOfADeadNodeIsSentByAnother(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Minute, -time.Minute} {
		t.Run(fmt.Sprintf("clocks %v apart", skew), func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				dying := &faulty{Store: s}
				first := &provider{answer: func(context.Context, Message) error {
					dying.set(away)
					return nil
				}}
				a := start(t, dying, first)
				second := new(provider)
				b := start(t, s, second, skewed(skew))
				id := post(t, a, message(5*time.Minute))
				pass(defaultTiming.lease + defaultTiming.orphan - time.Millisecond)
				second.wants(t, 0, 0)
				pass(3 * defaultTiming.every)
				second.wants(t, 1, 1)
				wantStatus(t, b, id, Sent)
				if first.taken[0].ID != id || second.taken[0].ID != id {
					t.Error("the provider cannot tell that the two are one")
				}
			})
		})
	}
}

// The store goes away for everybody while a try is under way, longer than the claim lasts, and is back for the others
// first: whoever made the try still gets to say how it went.
func TestOutageDuringATryIsNoReasonToSendTwice(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Second, 2 * time.Second} {
		t.Run(fmt.Sprint("back after the other by ", behind), func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				storeA, storeB := &faulty{Store: s}, &faulty{Store: s}
				p := new(provider)
				p.becomes(func(context.Context, Message) error {
					time.Sleep(3 * time.Second) // the other node sees the claim in the meantime
					storeA.set(away)
					storeB.set(away)
					return nil
				})
				a := start(t, storeA, p)
				start(t, storeB, p)
				id := post(t, a, message(5*time.Minute))
				pass(time.Minute)
				p.wants(t, 1, 1)
				storeB.set(nil)
				pass(behind)
				storeA.set(nil)
				pass(time.Minute)
				p.wants(t, 1, 1)
				wantStatus(t, a, id, Sent)
				wantIndex(t, a, 0)
			})
		})
	}
}

func TestSlowClaimIsGivenBack(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		slow := &faulty{Store: s}
		p := new(provider)
		o := open(t, slow, p)
		id := post(t, o, message(time.Minute))
		var begun atomic.Bool
		slow.set(func(int) (bool, bool) {
			if begun.CompareAndSwap(false, true) {
				time.Sleep(defaultTiming.lease)
			}
			return false, false
		})
		o.Start()
		pass(defaultTiming.lease + time.Second/2)
		p.wants(t, 0, 0)
		wantStatus(t, o, id, Waiting)
		pass(2 * defaultTiming.every)
		p.wants(t, 1, 1)
	})
}

// What a node cannot send it leaves alone, without saying so each time it sees it.
func TestMessagesOfOtherNodesAreLeftToThem(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		logged int
	}{
		{"another secret", func(o *Options) { o.Keys = testKeys(t, 'b') }, 1},
		{"another channel", func(o *Options) { o.Senders = map[string]Sender{"email": new(provider)} }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				core, logs := observer.New(zap.DebugLevel)
				p := new(provider)
				a := open(t, s, p)
				id := post(t, a, message(time.Minute))
				other := start(t, s, p, c.change, func(o *Options) { o.Logger = zap.New(core) })
				pass(30 * time.Second)
				p.wants(t, 0, 0)
				if logs.Len() != c.logged {
					t.Errorf("logged %v", logs.All())
				}
				wantIndex(t, other, 1)
				a.Start()
				synctest.Wait()
				p.wants(t, 1, 1)
				wantStatus(t, other, id, Sent)
			})
		})
	}
}

func TestSES7_RealmsDoNotMix(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		a := open(t, s, p)
		id := post(t, a, message(time.Minute))
		b := start(t, s, p, func(o *Options) { o.Realm = "other" })
		pass(30 * time.Second)
		p.wants(t, 0, 0)
		wantStatus(t, b, id, Expired)
	})
}

func TestOTP7_LogsNameNobodyAndNoCode(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		core, logs := observer.New(zap.DebugLevel)
		p := new(provider)
		o := start(t, s, p, func(o *Options) { o.Logger = zap.New(core) })
		for _, answer := range []error{nil, errDown, ErrRefused} {
			p.becomes(func(_ context.Context, m Message) error {
				if answer == nil {
					panic("cannot send " + m.Text + " to " + m.To)
				}
				return fmt.Errorf("%s: %s has code %s, %w", m.To, m.Subject, m.Code, answer)
			})
			post(t, o, message(30*time.Second))
			pass(2 * time.Minute)
		}
		if logs.Len() < 6 {
			t.Errorf("only %d lines", logs.Len())
		}
		for _, entry := range logs.All() {
			if line := fmt.Sprint(entry.Message, entry.ContextMap()); shows(line, message(0)) {
				t.Error(line)
			}
		}
	})
}
