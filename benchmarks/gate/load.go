package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

const (
	// slice is how long a side is under load before the next one has its turn.
	slice = 500 * time.Millisecond
	// warmUp comes before the first round and is not counted.
	warmUp = time.Second
)

// lane is a side with the requests that it is loaded with.
type lane struct {
	figures.Lane
	site     *site
	requests [][]byte // sent in turn
	check    func(answer) error

	clients []*client
	next    []int // of requests, by client
	so      load
}

// load is what a lane has done in a round so far.
type load struct {
	cpu, wall time.Duration
	times     []time.Duration
}

func newLane(l figures.Lane, s *site, check func(answer) error, requests ...[]byte) *lane {
	n := &lane{Lane: l, site: s, requests: requests, check: check, next: make([]int, connections)}
	for i := range connections {
		n.clients = append(n.clients, &client{address: s.address})
		n.next[i] = i
	}
	return n
}

// run loads the lane for a while, every connection with one request at a time.
func (l *lane) run(ctx context.Context, length time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, err := l.site.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	times := make([][]time.Duration, len(l.clients))
	var group sync.WaitGroup
	for i := range l.clients {
		group.Go(func() {
			for now := began; now.Sub(began) < length && ctx.Err() == nil; {
				if err := l.one(i); err != nil {
					cancel(err)
					return
				}
				end := time.Now()
				times[i] = append(times[i], end.Sub(now))
				now = end
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%s, %s: %w", l.Side, l.Kind, err)
	}
	after, err := l.site.cpu()
	if err != nil {
		return err
	}
	l.so.wall += time.Since(began)
	l.so.cpu += after - before
	for _, some := range times {
		l.so.times = append(l.so.times, some...)
	}
	return nil
}

// one sends a client's next request and checks the answer.
func (l *lane) one(i int) error {
	a, err := l.clients[i].do(l.requests[l.next[i]%len(l.requests)])
	if err != nil {
		return err
	}
	l.next[i] += len(l.clients)
	return l.check(a)
}

// take is what the lane has done since it was asked last.
func (l *lane) take(number int) (figures.Round, error) {
	so := l.so
	l.so = load{}
	memory, err := l.site.rss()
	if err != nil {
		return figures.Round{}, err
	}
	n := float64(len(so.times))
	return figures.Round{
		Group: l.Group, Number: number, Side: l.Side, Kind: l.Kind, Size: l.Size,
		Requests: len(so.times), Micros: float64(so.cpu.Nanoseconds()) / 1000 / n, Rate: n / so.wall.Seconds(),
		P50: millis(figures.Percentile(so.times, 50)), P99: millis(figures.Percentile(so.times, 99)), RSS: memory,
	}, nil
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// alternate loads lanes by turns, a slice each, and records every round. The
// order moves on, so that none always follows the same or comes first.
func (b *bench) alternate(lanes []*lane, seconds float64) error {
	for _, l := range lanes {
		if err := l.run(b.ctx, warmUp); err != nil {
			return err
		}
		l.so = load{}
	}
	slices := max(1, int(seconds/slice.Seconds()+0.5))
	length := time.Duration(seconds / float64(slices) * float64(time.Second))
	for number := 1; number <= b.rounds; number++ {
		for turn := range slices {
			for i := range lanes {
				if err := lanes[order(i, number*slices+turn, len(lanes))].run(b.ctx, length); err != nil {
					return err
				}
			}
		}
		for _, l := range lanes {
			round, err := l.take(number)
			if err != nil {
				return err
			}
			if err := b.record(figures.Record{Round: &round}); err != nil {
				return err
			}
		}
		b.say("  round %d of %d", number, b.rounds)
	}
	for _, l := range lanes {
		for _, c := range l.clients {
			c.close()
		}
	}
	return nil
}

// order is which of n lanes comes at a place in a turn. Every second turn goes
// backwards, so that lanes meet other neighbours.
func order(place, turn, n int) int {
	at := (place + turn/2) % n
	if turn%2 == 1 {
		return n - 1 - at
	}
	return at
}

// expect is a check for a status and, where part is not empty, for a part of the
// body.
func expect(status int, part string) func(answer) error {
	return func(a answer) error {
		if a.status != status || !containsText(a.body, part) {
			return fmt.Errorf("got %d, expected %d with %q: %.300s", a.status, status, part, a.body)
		}
		return nil
	}
}
