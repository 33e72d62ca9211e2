package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

// challengeField is in every sign-in page with a challenge.
const challengeField = `name="captcha_token" value="`

// passes are requests that a gate lets through to the app, one of each user.
func (b *bench) passes(l figures.Lane, s *site, users int) (*lane, error) {
	var requests [][]byte
	for i := range users {
		header, err := b.credentials(s, userName(i))
		if err != nil {
			return nil, err
		}
		requests = append(requests, request("GET", "/some/page?x=1", "", append(header, acceptPage)...))
	}
	return newLane(l, s, expect(http.StatusOK, upstreamBody), requests...), nil
}

// requestSides are those whose requests are compared.
func (b *bench) requestSides() []config {
	return []config{
		{side: figures.Bare}, {side: figures.BareAgain}, {side: figures.BareTold},
		{side: figures.BasicAuth, users: someUsers},
		{side: figures.CaddySecurity, users: someUsers},
		{side: figures.GateMemory, users: someUsers, state: "memory"},
		{side: figures.GateLocal, users: someUsers, state: "local"},
		{side: figures.GateRedis, users: someUsers, state: "redis redis://" + b.redis},
	}
}

// measureRequests loads all sides with requests of people who are signed in, with
// sign-in pages and with refusals.
func (b *bench) measureRequests() error {
	var lanes []*lane
	for _, c := range b.requestSides() {
		s, _, err := b.startSite(c)
		if err != nil {
			return err
		}
		proxied, err := b.passes(figures.Lane{Group: figures.Requests, Side: c.side, Kind: figures.Proxied}, s, someUsers)
		if err != nil {
			return err
		}
		lanes = append(lanes, proxied)
	}
	for _, c := range b.requestSides() {
		if !slices.Contains(withStrangers, c.side) {
			continue
		}
		// Another process, so that one lane's garbage is not another's work.
		s, _, err := b.startSite(c)
		if err != nil {
			return err
		}
		lanes = append(lanes, strangers(c.side, s)...)
	}
	return b.alternate(lanes, b.seconds)
}

// withStrangers are the sides that strangers knows.
var withStrangers = []string{figures.BasicAuth, figures.CaddySecurity, figures.GateLocal}

// strangers are the lanes of requests without a session: pages for browsers, and
// refusals for scripts, where a side has them.
func strangers(side string, s *site) []*lane {
	page := figures.Lane{Group: figures.Requests, Side: side, Kind: figures.Page}
	refusal := figures.Lane{Group: figures.Requests, Side: side, Kind: figures.Refusal}
	script := request("GET", "/some/page?x=1", "", acceptJSON)
	switch side {
	case figures.GateLocal:
		return []*lane{
			newLane(page, s, expect(http.StatusOK, challengeField), request("GET", "/login", "", acceptPage)),
			newLane(refusal, s, expect(http.StatusUnauthorized, `"unauthenticated"`), script),
		}
	case figures.CaddySecurity:
		return []*lane{newLane(page, s, expect(http.StatusOK, "<form"), request("GET", "/auth/login", "", acceptPage))}
	case figures.BasicAuth:
		return []*lane{newLane(refusal, s, expect(http.StatusUnauthorized, ""), script)}
	}
	return nil
}

// measurePages watches the memory of a gate over a great many sign-in pages.
func (b *bench) measurePages() error {
	s, _, err := b.startSite(config{side: figures.GateLocal, users: someUsers, state: "local"})
	if err != nil {
		return err
	}
	l := newLane(figures.Lane{Side: s.side, Kind: figures.Page}, s, expect(http.StatusOK, challengeField), request("GET", "/login", "", acceptPage))
	shown := 0
	for _, percent := range []int{0, 1, 10, 25, 50, 75, 100} {
		if err := l.runTimes(b, b.pages*percent/100-shown); err != nil {
			return err
		}
		shown = b.pages * percent / 100
		memory, err := s.rss()
		if err != nil {
			return err
		}
		b.say("  %d pages, %.1f MiB", shown, memory)
		if err := b.record(figures.Record{Memory: &figures.Memory{Side: s.side, Pages: shown, RSS: memory}}); err != nil {
			return err
		}
	}
	return nil
}

// runTimes sends so many requests over all connections.
func (l *lane) runTimes(b *bench, count int) (err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range l.clients {
		group.Go(func() {
			for range share(count, i, len(l.clients)) {
				problem := b.ctx.Err()
				if problem == nil {
					problem = l.one(i)
				}
				if problem != nil {
					mu.Lock()
					err = fmt.Errorf("%s, %s: %w", l.Side, l.Kind, problem)
					mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	return err
}

// share is the part of a count that falls to the i-th of n.
func share(count, i, n int) int { return count*(i+1)/n - count*i/n }
