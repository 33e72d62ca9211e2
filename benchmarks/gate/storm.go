package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

const (
	guessers = 50
	live     = 8                     // sessions
	pace     = 40 * time.Millisecond // of each of them
	// calmFor and stormFor are how long each phase lasts.
	calmFor  = 5 * time.Second
	stormFor = 10 * time.Second
)

// measureStorms lets clients guess passwords while others are signed in.
func (b *bench) measureStorms() error {
	sides := []config{{side: figures.GateLocal, state: "local"}, {side: figures.BasicAuth}, {side: figures.CaddySecurity}}
	for number := 1; number <= min(b.rounds, 3); number++ {
		for i := range sides {
			c := sides[order(i, number, len(sides))]
			c.users, c.trusted = withPassword+guessers, true
			if err := b.measureStorm(c, number); err != nil {
				return fmt.Errorf("%s: %w", c.side, err)
			}
		}
	}
	return nil
}

func (b *bench) measureStorm(c config, number int) error {
	s, _, err := b.startSite(c)
	if err != nil {
		return err
	}
	defer b.stop(s.process)
	sessions, err := b.passes(figures.Lane{Side: c.side}, s, live)
	if err != nil {
		return err
	}
	result := figures.Storm{Side: c.side, Number: number}
	quiet, _ := b.watch(sessions, s, live, calmFor)
	if quiet.failed > 0 || quiet.entered == 0 {
		return fmt.Errorf("before the storm %d requests failed and %d people got in: %w", quiet.failed, quiet.entered, quiet.problem)
	}
	result.QuietP50, result.QuietP99, result.QuietEntry = quiet.p50(), quiet.p99(), quiet.slowest

	var g guesses
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var group sync.WaitGroup
	for i := range guessers {
		group.Go(func() { b.guess(ctx, s, i, &g) })
	}
	next := live + quiet.entered
	result.Onset, err = b.enter(s, next)
	if err == nil {
		err = b.await(&g, guessers)
	}
	rough := watched{}
	if err == nil {
		rough, err = b.watch(sessions, s, next+1, stormFor)
	}
	cancel()
	group.Wait()
	if err != nil {
		return err
	}
	result.StormP50, result.StormP99, result.SignIn = rough.p50(), rough.p99(), rough.slowest
	result.Live, result.Failed, result.SignedIn = len(rough.times)+rough.entered+rough.failed, rough.failed, rough.entered
	result.Judged, result.Busy, result.Lost = g.judged, g.busy, g.lost
	b.say("  %s: p99 %.1f ms quiet, %.1f ms in the storm of %d guesses", c.side, result.QuietP99, result.StormP99, result.Judged)
	return b.record(figures.Record{Storm: &result})
}

// enter signs in somebody who has not been there before and returns how long
// that took, in milliseconds.
func (b *bench) enter(s *site, user int) (float64, error) {
	began := time.Now()
	v := s.visitor(fmt.Sprintf("198.51.100.%d", user))
	defer v.close()
	err := b.signIn(s.side, v, userName(user))
	return millis(time.Since(began)), err
}

// await waits until so many guesses have been answered.
func (b *bench) await(g *guesses, count int) error {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(pace) {
		g.mu.Lock()
		answered, problem := g.judged+g.busy, g.problem
		g.mu.Unlock()
		switch {
		case b.ctx.Err() != nil:
			return b.ctx.Err()
		case answered >= count:
			return nil
		case problem != nil:
			return problem
		}
	}
	return fmt.Errorf("fewer than %d guesses were answered", count)
}

// watched is how people fared for a while.
type watched struct {
	times   []time.Duration // of requests that live sessions sent
	failed  int             // of those
	entered int             // people who signed in
	slowest float64         // of their sign-ins, in milliseconds
	problem error           // the last one
}

func (w *watched) p50() float64 { return millis(figures.Percentile(w.times, 50)) }
func (w *watched) p99() float64 { return millis(figures.Percentile(w.times, 99)) }

// watch lets live sessions send requests at their pace, and every second
// somebody sign in who has not been there before, beginning with a user.
func (b *bench) watch(sessions *lane, s *site, user int, length time.Duration) (watched, error) {
	var w watched
	var mu sync.Mutex
	began := time.Now()
	var group sync.WaitGroup
	for i := range live {
		group.Go(func() {
			// They do not all ask at the same moment.
			time.Sleep(pace * time.Duration(i) / live)
			for time.Since(began) < length && b.ctx.Err() == nil {
				at := time.Now()
				err := sessions.one(i)
				took := time.Since(at)
				mu.Lock()
				if err != nil {
					w.failed, w.problem = w.failed+1, err
				} else {
					w.times = append(w.times, took)
				}
				mu.Unlock()
				time.Sleep(pace - took)
			}
		})
	}
	for time.Since(began) < length-time.Second && b.ctx.Err() == nil && user < withPassword {
		took, err := b.enter(s, user)
		mu.Lock()
		if err != nil {
			w.failed, w.problem = w.failed+1, err
		} else {
			w.entered, w.slowest = w.entered+1, max(w.slowest, took)
		}
		mu.Unlock()
		user++
		time.Sleep(time.Second - time.Duration(took*1e6))
	}
	group.Wait()
	return w, b.ctx.Err()
}

// guesses counts what became of them.
type guesses struct {
	mu                 sync.Mutex
	judged, busy, lost int
	problem            error
}

func (g *guesses) count(status int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err != nil:
		g.lost, g.problem = g.lost+1, err
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		g.busy++
	case status == http.StatusUnauthorized || status == http.StatusBadRequest:
		g.judged++
	default:
		g.lost, g.problem = g.lost+1, fmt.Errorf("a guess got %d", status)
	}
}

// guess tries one wrong password after the other until ctx is done.
func (b *bench) guess(ctx context.Context, s *site, i int, g *guesses) {
	v := s.visitor(fmt.Sprintf("203.0.113.%d", i))
	defer v.close()
	// Everybody guesses at somebody else, and at nobody who will sign in. All are
	// users, as basic_auth takes sixteen times as long for who is none.
	user, token := userName(withPassword+i), ""
	for n := 0; ctx.Err() == nil; n++ {
		wrong := fmt.Sprintf("wrong%d-%d", i, n)
		var a answer
		var err error
		switch s.side {
		case figures.BasicAuth:
			a, err = v.send("GET", "/", "", basicLine(user, wrong), acceptPage)
		case figures.CaddySecurity:
			_, a.status, err = portalSignIn(v, user, wrong)
		default:
			a, token, err = b.guessWithCaptcha(v, token, user, wrong)
		}
		g.count(a.status, err)
	}
}

// guessWithCaptcha solves the challenge that the last refusal brought, or that
// of a new page.
func (b *bench) guessWithCaptcha(v *visitor, token, user, wrong string) (a answer, next string, err error) {
	if token == "" {
		if token, err = challenge(v); err != nil {
			return a, "", err
		}
	}
	if a, err = b.answerForm(v, token, user, wrong); err != nil {
		return a, "", err
	}
	// A page without a challenge is no reason to stop; the next one has it.
	next, _ = tokenIn(a.body)
	return a, next, nil
}
