package outbox

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

// BenchmarkPost is what a reply waits for, with the time from Post's begin to the hand-over beside it.
func BenchmarkPost(b *testing.B) {
	for name, store := range map[string]func(b *testing.B) state.Store{
		"memory": func(*testing.B) state.Store { return state.NewMemory(state.Options{}) },
		"local":  func(b *testing.B) state.Store { return openLocal(b, filepath.Join(b.TempDir(), "state.db")) },
		"redis":  func(b *testing.B) state.Store { return openRedis(b, redistest.Start(b), 0) },
	} {
		b.Run(name, func(b *testing.B) {
			s := store(b)
			defer s.Close()
			handed := make(chanSender)
			o := start(b, s, handed)
			defer o.Close()
			var posting, sending time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := o.Post(b.Context(), message(time.Minute)); err != nil {
					b.Fatal(err)
				}
				posting += time.Since(began)
				<-handed
				sending += time.Since(began)
			}
			b.ReportMetric(float64(posting.Nanoseconds())/float64(b.N), "ns/post")
			b.ReportMetric(float64(sending.Nanoseconds())/float64(b.N), "ns/hand-over")
		})
	}
}

// BenchmarkLookAround is what an idle node does every 2 seconds.
func BenchmarkLookAround(b *testing.B) {
	s := state.NewMemory(state.Options{})
	defer s.Close()
	o := open(b, s, new(provider))
	for b.Loop() {
		if _, err := o.look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
