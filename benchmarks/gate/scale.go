package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

const (
	// few users or sessions are what many are compared with.
	few       = 10
	manyUsers = 100_000
	// asking is how many of many sessions send requests.
	asking = 10_000
)

// scaleSides are those that are measured with many users.
var scaleSides = []config{
	{side: figures.GateMemory, state: "memory"}, {side: figures.BasicAuth}, {side: figures.CaddySecurity},
}

// measureUsers compares requests with a session at sides that have few users
// with the same at sides that have many.
func (b *bench) measureUsers() error {
	var lanes []*lane
	for _, c := range scaleSides {
		for _, c.users = range []int{few, manyUsers} {
			s, _, err := b.startSite(c)
			if err != nil {
				return err
			}
			l, err := b.passes(figures.Lane{Group: figures.Users, Side: c.side, Kind: figures.Proxied, Size: c.users}, s, someUsers)
			if err != nil {
				return err
			}
			lanes = append(lanes, l)
		}
	}
	return b.alternate(lanes, b.seconds/2)
}

// measureSessions does the same with few and many live sessions, made by real
// sign-ins at a gate that asks for no password.
func (b *bench) measureSessions() error {
	var lanes []*lane
	for _, size := range []int{few, b.sessions} {
		s, _, err := b.startSite(config{side: figures.GateMemory, human: true, state: "memory"})
		if err != nil {
			return err
		}
		requests, err := b.fill(s, size)
		if err != nil {
			return err
		}
		lane := figures.Lane{Group: figures.Sessions, Side: s.side, Kind: figures.Proxied, Size: size}
		lanes = append(lanes, newLane(lane, s, expect(http.StatusOK, upstreamBody), requests...))
	}
	return b.alternate(lanes, b.seconds/2)
}

// fill makes so many sessions and returns requests of some of them, spread over
// all.
func (b *bench) fill(s *site, size int) (requests [][]byte, err error) {
	every := max(1, size/asking)
	began := time.Now()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() {
			some, problem := b.newcomers(s, share(size, i, connections), every)
			mu.Lock()
			defer mu.Unlock()
			requests = append(requests, some...)
			if problem != nil {
				err = problem
			}
		})
	}
	group.Wait()
	b.say("  %d sessions made in %v", size, time.Since(began).Round(time.Second))
	return requests, err
}

// newcomers signs in so many times from one browser, which forgets its session
// each time, and returns a request of every so manieth.
func (b *bench) newcomers(s *site, count, every int) (requests [][]byte, err error) {
	v := s.visitor("")
	defer v.close()
	if _, err := challenge(v); err != nil { // gives the browser its cookie
		return nil, err
	}
	for n := range count {
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
		if err := b.signInByScript(v); err != nil {
			return nil, fmt.Errorf("session %d: %w", n, err)
		}
		if n%every == 0 {
			requests = append(requests, request("GET", "/some/page?x=1", "", v.cookieLine(), acceptPage))
		}
		delete(v.cookies, sessionCookie)
	}
	return requests, nil
}

// measureStarts starts each side with one user and with many.
func (b *bench) measureStarts() error {
	sides := []config{{side: figures.GateLocal, state: "local"}, {side: figures.BasicAuth}, {side: figures.CaddySecurity}}
	for range min(b.rounds, 3) {
		for _, c := range sides {
			for _, c.users = range []int{1, manyUsers} {
				if err := b.measureStart(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) measureStart(c config) error {
	s, took, err := b.startSite(c)
	if err != nil {
		return err
	}
	defer b.stop(s.process)
	time.Sleep(time.Second)
	memory, err := s.rss()
	if err != nil {
		return err
	}
	return b.record(figures.Record{Start: &figures.Start{Side: c.side, Users: c.users, Seconds: took.Seconds(), RSS: memory}})
}
