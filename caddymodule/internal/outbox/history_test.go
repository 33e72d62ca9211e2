package outbox

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// step is something that happens; what n means depends on it.
type step struct {
	what string
	node int
	n    int
}

// Two nodes, and whatever happens to them short of dying or of losing a store for long.
func TestAnyHistoryHandsOverAtMostOnce(t *testing.T) {
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			rapid.SampledFrom([]string{"post", "post", "cancel", "restart", "answer", "hiccup", "pass", "pass"}).Draw(t, "what"),
			rapid.IntRange(0, 1).Draw(t, "node"), rapid.IntRange(0, 120).Draw(t, "n"),
		}
	}), 1, 40)
	rapid.Check(t, func(r *rapid.T) {
		drawn := steps.Draw(r, "steps")
		h := &history{posted: make(map[string]time.Time), dead: make(map[string]bool)}
		synctest.Test(t, func(*testing.T) { h.run(drawn) })
		for _, fault := range h.faults {
			r.Error(fault)
		}
	})
}

// history is what the test knows of one.
type history struct {
	provider
	memory *state.Memory
	stores [2]*faulty
	boxes  [2]*Outbox
	posted map[string]time.Time // acknowledged, and its end
	ids    []string
	dead   map[string]bool // canceled before any try
	faults []string
}

func (h *history) fault(format string, args ...any) {
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

func (h *history) run(steps []step) {
	h.memory = state.NewMemory(state.Options{})
	defer func() { _ = h.memory.Close() }()
	for i := range h.boxes {
		h.stores[i] = &faulty{Store: h.memory}
		h.restart(i)
	}
	for _, s := range steps {
		switch s.what {
		case "post":
			h.post(s)
		case "cancel":
			h.cancel(s)
		case "restart":
			h.restart(s.node)
		case "answer":
			h.becomes([]func(context.Context, Message) error{
				nil, failing, refusing, hanging, after(time.Second), after(3 * time.Second),
			}[s.n%6])
		case "hiccup":
			h.hiccup(s)
		case "pass":
			pass(time.Duration(s.n) * 170 * time.Millisecond)
		}
	}
	h.end()
}

func (h *history) restart(node int) {
	if h.boxes[node] != nil {
		h.boxes[node].Close()
	}
	keys, _ := newTestKeys('a')
	h.boxes[node] = New(Options{Store: h.stores[node], Realm: testRealm, Keys: keys, Senders: map[string]Sender{"sms": h}})
	h.boxes[node].Start()
}

func (h *history) Send(ctx context.Context, m Message) error {
	if !time.Now().Before(m.Expires) {
		h.mu.Lock()
		h.fault("sent %v after its end", time.Since(m.Expires))
		h.mu.Unlock()
	}
	return h.provider.Send(ctx, m)
}

func (h *history) post(s step) {
	m := message(time.Duration(1+s.n) * time.Second)
	if id, err := h.boxes[s.node].Post(context.Background(), m); err == nil {
		h.posted[id] = m.Expires
		h.ids = append(h.ids, id)
	}
	if s.n%2 == 0 {
		synctest.Wait()
	}
}

func (h *history) cancel(s step) {
	if len(h.ids) == 0 {
		return
	}
	id := h.ids[s.n%len(h.ids)]
	synctest.Wait()
	if err := h.boxes[s.node].Cancel(context.Background(), id); err != nil {
		return
	}
	if got, err := h.boxes[s.node].Status(context.Background(), id); err == nil && got == Canceled {
		h.dead[id] = h.idle() && h.times()[id] == 0
	}
}

// hiccup has a node's store fail, for less than a claim lasts.
func (h *history) hiccup(s step) {
	f := h.stores[s.node]
	f.set(func(int) (bool, bool) { return s.n%2 == 0, true })
	pass(time.Duration(s.n) * 8 * time.Millisecond)
	f.set(nil)
	pass(2 * defaultTiming.retry)
}

func (h *history) times() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	times := make(map[string]int)
	for _, m := range h.taken {
		times[m.ID]++
	}
	return times
}

func (h *history) end() {
	h.becomes(nil)
	pass(20 * time.Second)
	now, times := time.Now(), h.times()
	for id, n := range times {
		if n > 1 {
			h.fault("a message was handed over %d times", n)
		}
		if h.dead[id] {
			h.fault("a canceled message was handed over")
		}
	}
	for id, expires := range h.posted {
		got, err := h.boxes[0].Status(context.Background(), id)
		if err != nil || now.Before(expires) && (got == Sent) != (times[id] == 1) {
			h.fault("status %v, %v of a message that was handed over %d times", got, err, times[id])
		}
	}
	pass(2*time.Minute + grace + defaultTiming.every)
	if _, entries, err := h.boxes[0].index(context.Background()); err != nil || len(entries) > 0 {
		h.fault("%d messages are still listed, %v", len(entries), err)
	}
	for _, o := range h.boxes {
		if len(o.seen)+len(o.busy)+len(o.finished) > 0 {
			h.fault("still remembered: %d seen, %d busy, %d finished", len(o.seen), len(o.busy), len(o.finished))
		}
		o.Close()
	}
}
