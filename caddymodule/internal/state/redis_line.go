package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// beatEvery is how often Redis is asked for a sign of life; while it is away, from first to longest wait.
	beatEvery   = time.Second
	firstRetry  = 100 * time.Millisecond
	longestWait = 2 * time.Second

	// tripAfter is how many steps in a row may fail before all others fail at once.
	tripAfter = 3

	// firstWait is how long opening waits for the first sign of life.
	firstWait = time.Second
)

// line is the connection to one Redis and the circuit breaker on it. Only the heartbeat tries a Redis that is away;
// everybody else is refused without waiting.
type line struct {
	options rueidis.ClientOption
	beat    func(ctx context.Context, c rueidis.Client) error

	client   atomic.Pointer[rueidis.Client]
	trouble  atomic.Pointer[error] // why it is not ready; nil when it is
	up       atomic.Bool
	failures atomic.Int32

	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
	hangUp  func()
}

// newLine begins to connect, and waits a moment for success.
func newLine(o rueidis.ClientOption, beat func(ctx context.Context, c rueidis.Client) error) *line {
	l := &line{
		options: o, beat: beat,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.hangUp = sync.OnceFunc(func() { close(l.quit) })
	err := fmt.Errorf("%w: not connected yet", ErrUnavailable)
	l.trouble.Store(&err)
	first := make(chan struct{})
	go l.run(first)
	select {
	case <-first:
	case <-time.After(firstWait):
	}
	return l
}

func (l *line) run(first chan<- struct{}) {
	defer close(l.stopped)
	wait := firstRetry
	for {
		l.setState(l.try())
		if first != nil {
			close(first)
			first = nil
		}
		if l.up.Load() {
			wait = firstRetry
			if !l.sleep(beatEvery, l.wake) {
				return
			}
			continue
		}
		if !l.sleep(wait, nil) {
			return
		}
		wait = min(2*wait, longestWait)
	}
}

// sleep waits for the time or the wake-up, and reports whether to go on.
func (l *line) sleep(d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-l.quit:
		return false
	}
	return true
}

// try connects where there is no connection, and asks for a sign of life.
func (l *line) try() error {
	client := l.client.Load()
	if client == nil {
		made, err := rueidis.NewClient(l.options)
		if err != nil {
			return err
		}
		client = &made
		l.client.Store(client)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return l.beat(ctx, *client)
}

// setState takes in the outcome of a heartbeat. A Redis that refuses writes still answers questions, and refuses quickly.
func (l *line) setState(err error) {
	if err == nil {
		l.trouble.Store(nil)
	} else {
		err = unavailable(err)
		l.trouble.Store(&err)
	}
	if err == nil || refusesWrites(err) {
		l.failures.Store(0)
		l.up.Store(true)
		return
	}
	l.up.Store(false)
}

func refusesWrites(err error) bool {
	var reply *rueidis.RedisError
	if !errors.As(err, &reply) {
		return false
	}
	switch word, _, _ := strings.Cut(reply.Error(), " "); word {
	case "OOM", "READONLY", "MISCONF", "NOREPLICAS":
		return true
	}
	return false
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// get returns the client where it is of use.
func (l *line) get(ctx context.Context) (rueidis.Client, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !l.up.Load() {
		return nil, l.ready()
	}
	return *l.client.Load(), nil
}

// judge counts a step that Redis did not answer, and returns the error for the caller. A refusal is an answer.
func (l *line) judge(err error) error {
	if err == nil {
		l.failures.Store(0)
		return nil
	}
	err = unavailable(err)
	if reply := (*rueidis.RedisError)(nil); errors.As(err, &reply) {
		return err
	}
	if l.failures.Add(1) >= tripAfter && !l.isClosed() {
		l.trouble.Store(&err)
		l.up.Store(false)
	}
	l.check()
	return err
}

// check asks for a heartbeat now.
func (l *line) check() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *line) ready() error {
	if l.isClosed() {
		return ErrClosed
	}
	if trouble := l.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

func (l *line) isClosed() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// close ends the connection. A Redis that does not answer cannot hold it up.
func (l *line) close() error {
	l.hangUp()
	<-l.stopped
	client := l.client.Swap(nil)
	if client == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		(*client).Close()
	}()
	select {
	case <-done:
	case <-time.After(firstWait):
	}
	return nil
}
