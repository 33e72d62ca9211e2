package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Each call to the store fails in turn, alone and with some after it, before it takes effect or after: an acknowledged
// message is handed over exactly once, any other at most once, and nothing stays behind.
func TestStoreFailsAtEachStep(t *testing.T) {
	const most = 40
	for _, nodes := range []int{1, 2} {
		for _, length := range []int{1, 3} {
			for _, mode := range []string{"before", "after"} {
				t.Run(fmt.Sprintf("%d nodes, %d calls fail, %s they take effect", nodes, length, mode), func(t *testing.T) {
					reached := 0
					for first := 1; first <= most; first++ {
						in(t, func(t *testing.T, s *state.Memory) {
							if failAt(t, s, nodes, first, length, mode == "after") {
								reached = first
							}
						})
					}
					if reached < 10 {
						t.Errorf("only %d calls were reached", reached)
					}
				})
			}
		}
	}
}

// failAt posts two messages, one of which fails at first, and reports whether the calls that fail were all reached.
func failAt(t *testing.T, s *state.Memory, nodes, first, length int, late bool) bool {
	f := &faulty{Store: s, fault: func(call int) (bool, bool) {
		hit := call >= first && call < first+length
		return hit && !late, hit && late
	}}
	var tried atomic.Int64
	p := &provider{answer: func(context.Context, Message) error {
		if tried.Add(1) == 1 {
			return errDown
		}
		return nil
	}}
	boxes := []*Outbox{open(t, f, p)}
	for range nodes - 1 {
		boxes = append(boxes, start(t, s, p))
	}
	posted := make(map[string]bool)
	for range 2 {
		if id, err := boxes[0].Post(t.Context(), message(2*time.Minute)); err == nil {
			posted[id] = true
		} else if !errors.Is(err, errFault) {
			t.Fatal(err)
		}
	}
	boxes[0].Start()
	pass(90 * time.Second)
	times := make(map[string]int)
	for _, m := range p.taken {
		times[m.ID]++
		if times[m.ID] > 1 {
			t.Errorf("failure at call %d: handed over twice", first)
		}
	}
	for id := range posted {
		if times[id] != 1 {
			t.Errorf("failure at call %d: an acknowledged message was handed over %d times", first, times[id])
		}
		wantStatus(t, boxes[nodes-1], id, Sent)
	}
	pass(3 * time.Minute)
	f.mu.Lock()
	calls := f.calls
	f.mu.Unlock()
	f.set(nil)
	wantIndex(t, boxes[0], 0)
	return calls >= first+length-1
}

// Whoever is told that it failed waits for nothing; so it better does not arrive, whether the index has it or not.
func TestMessageThatIsNotAcknowledgedIsTakenBack(t *testing.T) {
	for name, fault := range map[string]func(int) (bool, bool){
		"not listed": func(call int) (bool, bool) { return call == 3, false },
		"listed":     func(call int) (bool, bool) { return false, call == 3 },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, s *state.Memory) {
				p := new(provider)
				o := start(t, &faulty{Store: s, fault: fault}, p)
				if _, err := o.Post(t.Context(), message(time.Minute)); !errors.Is(err, errFault) {
					t.Fatal(err)
				}
				pass(30 * time.Second)
				p.wants(t, 0, 0)
				wantIndex(t, o, 0)
			})
		})
	}
}

func TestIndexHeals(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		o := open(t, s, p)
		lost, odd, unlisted := post(t, o, message(time.Minute)), post(t, o, message(time.Minute)), post(t, o, message(time.Minute))
		o.Close()
		keyOf := func(id string) state.Key {
			own, _ := parseID(id)
			return o.keyOf(own)
		}
		for k, value := range map[state.Key][]byte{keyOf(lost): nil, keyOf(odd): []byte("another version")} {
			old, _ := s.Get(t.Context(), k)
			if swapped, _, err := s.Swap(t.Context(), k, old, value, time.Now().Add(2*time.Minute)); err != nil || !swapped {
				t.Fatal(swapped, err)
			}
		}
		_, entries, err := o.index(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		old, _ := s.Get(t.Context(), o.indexKey)
		if _, _, err := s.Swap(t.Context(), o.indexKey, old, encodeIndex(o.indexKey, testRealm, entries[:2]), entries[0].end); err != nil {
			t.Fatal(err)
		}

		next := start(t, s, p)
		pass(10 * time.Second)
		p.wants(t, 0, 0)
		wantIndex(t, next, 1) // what cannot be read may be read by another node, until its end
		if _, err := next.Status(t.Context(), odd); !errors.Is(err, errRecord) {
			t.Errorf("status: %v", err)
		}
		if err := next.Cancel(t.Context(), odd); !errors.Is(err, errRecord) {
			t.Errorf("cancel: %v", err)
		}
		wantStatus(t, next, lost, Expired)
		wantStatus(t, next, unlisted, Waiting)
		pass(2 * time.Minute)
		wantIndex(t, next, 0)
		wantStatus(t, next, unlisted, Expired)
	})
}

// An index of another version is nobody's to replace; messages are refused until it ends (must fail closed).
func TestUnreadableIndexRefuses(t *testing.T) {
	in(t, func(t *testing.T, s *state.Memory) {
		p := new(provider)
		o := start(t, s, p)
		if _, _, err := s.Swap(t.Context(), o.indexKey, nil, []byte{9}, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Post(t.Context(), message(5*time.Minute)); !errors.Is(err, errRecord) {
			t.Fatal(err)
		}
		pass(time.Minute)
		post(t, o, message(5*time.Minute))
		synctest.Wait()
		p.wants(t, 1, 1)
	})
}
