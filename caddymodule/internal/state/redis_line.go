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

	// redialAfter is how many heartbeats in a row may find Redis read-only before the connection is made anew: behind
	// one address another server may have become the master.
	redialAfter = 3

	// firstWait is how long opening waits for the first sign of life, and closing for a Redis that does not answer.
	firstWait = time.Second
)

// line is the connection to one Redis and the circuit breaker on it. Only the heartbeat tries a Redis that is away;
// everybody else is refused without waiting.
type line struct {
	options rueidis.ClientOption
	secrets []string // never in an error
	beat    func(ctx context.Context, c rueidis.Client) error

	condition atomic.Pointer[condition]
	failures  atomic.Int32
	readOnly  int // heartbeats in a row; the heartbeat's own

	first   chan struct{} // closed after the first heartbeat
	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
	hangUp  func()
}

// condition is what the line knows of Redis at one moment.
type condition struct {
	client  rueidis.Client // nil before it was first connected
	up      bool           // Redis answers; trouble may then be that it refuses writes
	trouble error
}

// newLine makes a line that is not connected yet; see start.
func newLine(o rueidis.ClientOption, secrets []string, beat func(ctx context.Context, c rueidis.Client) error) *line {
	l := &line{
		options: o, secrets: secrets, beat: beat,
		first: make(chan struct{}), wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.hangUp = sync.OnceFunc(func() { close(l.quit) })
	l.condition.Store(&condition{trouble: fmt.Errorf("%w: not connected yet", ErrUnavailable)})
	return l
}

// start begins to connect, and waits a moment for success.
func (l *line) start() {
	go l.run()
	select {
	case <-l.first:
	case <-time.After(firstWait):
	}
}

func (l *line) run() {
	defer close(l.stopped)
	said := sync.OnceFunc(func() { close(l.first) })
	wait := firstRetry
	for !l.isClosed() {
		l.judgeBeat(l.try())
		said()
		if l.condition.Load().up {
			wait = firstRetry
			l.sleep(beatEvery, l.wake)
			continue
		}
		l.sleep(wait, nil)
		wait = min(2*wait, longestWait)
	}
}

// sleep ends with the time, the wake-up or the line.
func (l *line) sleep(d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-l.quit:
	}
}

// try connects where there is no connection, and asks for a sign of life.
func (l *line) try() (rueidis.Client, error) {
	client := l.condition.Load().client
	if client == nil {
		var err error
		if client, err = l.connect(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return client, l.beat(ctx, client)
}

// connect gives up when the line is closed; a connection that is made later is closed then.
func (l *line) connect() (rueidis.Client, error) {
	type made struct {
		client rueidis.Client
		err    error
	}
	done := make(chan made, 1)
	go func() {
		client, err := rueidis.NewClient(l.options)
		if err == nil {
			if err = canTrack(client); err != nil {
				client.Close()
				client = nil
			}
		}
		done <- made{client, err}
	}()
	select {
	case m := <-done:
		return m.client, m.err
	case <-l.quit:
		go func() {
			if m := <-done; m.err == nil {
				m.client.Close()
			}
		}()
		return nil, ErrClosed
	}
}

// canTrack asks whether Redis will tell of changed keys. Where its access rules forbid that, the client library would
// keep sessions that have ended.
func canTrack(c rueidis.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	return c.Do(ctx, c.B().ClientCaching().Yes().Build()).Error()
}

// judgeBeat takes in the outcome of a heartbeat. A Redis that refuses writes still answers questions, and refuses
// quickly.
func (l *line) judgeBeat(client rueidis.Client, err error) {
	next := &condition{client: client, up: err == nil || refuses(err, "OOM", "READONLY", "MISCONF", "NOREPLICAS")}
	if err != nil {
		next.trouble = l.unavailable(err)
	}
	if next.up {
		l.failures.Store(0)
	}
	if err != nil && refuses(err, "READONLY") {
		l.readOnly++
	} else {
		l.readOnly = 0
	}
	if l.readOnly >= redialAfter {
		l.readOnly = 0
		next.client, next.up = nil, false
		go client.Close()
	}
	l.condition.Store(next)
}

// refuses reports a reply of Redis that begins with one of the words.
func refuses(err error, words ...string) bool {
	var reply *rueidis.RedisError
	if !errors.As(err, &reply) {
		return false
	}
	first, _, _ := strings.Cut(reply.Error(), " ")
	for _, w := range words {
		if first == w {
			return true
		}
	}
	return false
}

// unavailable wraps what went wrong. A server may repeat what it was sent, so passwords are cut out.
func (l *line) unavailable(err error) error {
	text := err.Error()
	for _, s := range l.secrets {
		if strings.Contains(text, s) {
			err = errors.New(strings.ReplaceAll(text, s, "REDACTED"))
			text = err.Error()
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// get returns the client where it is of use.
func (l *line) get(ctx context.Context) (rueidis.Client, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := l.condition.Load()
	if !now.up {
		return nil, now.trouble
	}
	return now.client, nil
}

// judge counts a step that Redis did not answer, and returns the error for the caller. A refusal is an answer.
func (l *line) judge(err error) error {
	if err == nil {
		l.failures.Store(0)
		return nil
	}
	answered := errors.As(err, new(*rueidis.RedisError))
	err = l.unavailable(err)
	if answered {
		return err
	}
	if now := l.condition.Load(); l.failures.Add(1) >= tripAfter && now.up {
		l.condition.CompareAndSwap(now, &condition{client: now.client, trouble: err})
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
	return l.condition.Load().trouble
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-l.stopped
		if client := l.condition.Load().client; client != nil {
			client.Close()
		}
	}()
	select {
	case <-done:
	case <-time.After(firstWait):
	}
	return nil
}
