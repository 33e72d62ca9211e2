// Package outbox keeps codes on their way to a provider of SMS or e-mail, so that no reply waits for one.
//
// [Outbox.Post] stores a message, sealed, and returns; workers hand it over to the [Sender] of its channel. A try that
// fails is made again after 1, 2, 5, 10 and then each 30 seconds, until the message's end; a refusal is final. What was
// stored survives a restart and kill -9 as far as the store does, and any node that shares the store sends it.
//
// # How often a message is handed over
//
// Once, unless a try ends without a known outcome: the process died or lost the store in the middle of it, or the
// provider answered too late. Nobody knows then whether the provider took the message, and it is handed over again,
// with the same [Message.ID]; a provider that knows idempotency keys makes one message of both. A message is never
// handed over after [Message.Expires], on the clock of the node that sends.
//
// # How nodes agree
//
// There is one record for each message and one index, a list of the ids on their way; both are changed only by
// state.Store.Swap. A node claims a message by swapping in a record that says so, and only the winner sends.
//
// No two clocks are compared to tell whether a claim still holds. A record says how long it must have been seen
// unchanged before the next step is due, and each node measures that from when it saw it first, which is never before it
// was written. The winner counts its own time from before it wrote the claim, and is done before the others may step
// in. The first to step in does not send: it swaps in a note that the claim seems to be orphaned, which takes a working
// store, and waits once more. A node that could not write an outcome because the store was away has that time to do so.
//
// The only time that nodes do compare is the end of a message: a node whose clock is ahead gives it up that much earlier,
// one whose clock is behind may send it that much later.
//
// Writes come in an order that a crash cannot harm: a record before its id is in the index, its outcome before the id
// is taken out. An id without a record is pruned; a record without an entry in the index just ends.
//
// # What others can see
//
// Records carry realm, channel, state and times in the open; number, address, texts and code are sealed, and are dropped
// from the record as soon as nobody needs them. Messages print as their ids, and what senders say is cleaned of them
// before it is logged (OTP-7).
package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

var (
	// ErrClosed is what Post returns after Close.
	ErrClosed = errors.New("outbox is closed")
	// ErrDown is what Post returns while the sender of the channel fails (OTP-5): 503 at once, rather than one more
	// message that will not arrive.
	ErrDown = errors.New("sender is down")
)

// Options are what an Outbox works with.
type Options struct {
	// Store and Realm say where messages are kept; nodes that share both share the work.
	Store state.Store
	Realm string
	// Keys seal what is stored.
	Keys *seal.Keyring
	// Senders by channel. Messages of other channels are left to nodes that have one.
	Senders map[string]Sender
	// Now is the clock; default time.Now. Rand is for ids, nonces and jitter; default crypto/rand.
	Now  func() time.Time
	Rand io.Reader
	// Logger may be nil.
	Logger *zap.Logger
	// Observe, if not nil, hears of every try that was "sent", "failed" or "refused", of each further one as it begins
	// ("retried"), and of messages that were given up at their end ("expired").
	Observe func(channel, outcome string)

	timing timing
}

// Outcomes for Options.Observe.
const (
	observeSent    = "sent"
	observeFailed  = "failed"
	observeRefused = "refused"
	observeRetried = "retried"
	observeExpired = "expired"
)

// Outcomes are all that Options.Observe can hear.
var Outcomes = []string{observeSent, observeFailed, observeRefused, observeRetried, observeExpired}

// timing is how long things take; zero means the defaults.
type timing struct {
	first time.Duration // until the first look around, so that a configuration that is only checked sends nothing
	every time.Duration // between looks around
	ahead time.Duration // what a new message is left to the node that has it
	send  time.Duration // a try
	lease time.Duration // a claim, with the try and the writes around it
	spare time.Duration // of the lease, for writing the outcome
	// orphan is longer than a store takes to be back for all nodes once it is back for one.
	orphan time.Duration
	drain  time.Duration // what Close waits for tries under way
	retry  time.Duration // between tries to write an outcome
	poll   time.Duration // between looks of Wait
}

var defaultTiming = timing{
	first: 3 * time.Second, every: 2 * time.Second, ahead: 2 * time.Second,
	send: 4 * time.Second, lease: 8 * time.Second, spare: 2 * time.Second, orphan: 3 * time.Second,
	drain: 5 * time.Second, retry: 250 * time.Millisecond, poll: 20 * time.Millisecond,
}

// workers is how many tries of one channel run at a time. Each channel has its own, so that a slow provider holds up
// nobody but itself.
const workers = 4

// Outbox sends messages. Make it with [New]; all methods may be called concurrently.
type Outbox struct {
	store    state.Store
	realm    string
	indexKey state.Key
	keys     *seal.Keyring
	senders  map[string]Sender
	now      func() time.Time
	random   *lockedReader
	logger   *zap.Logger
	observe  func(channel, outcome string)
	t        timing

	queues   map[string]chan item // by channel
	health   map[string]*health   // by channel
	changing chan struct{}        // holds one while the index is changed

	mu       sync.Mutex
	started  bool
	closed   bool
	busy     map[messageID]struct{} // queued or being sent here
	seen     map[messageID]sighting
	finished map[messageID]struct{} // to be taken out of the index

	quit   chan struct{}   // closed when no new work is taken
	ctx    context.Context // done when tries under way are cut off
	cutOff context.CancelFunc
	wg     sync.WaitGroup
}

// item is a message that is due, with its record as it was seen.
type item struct {
	id  messageID
	raw []byte
	record
}

// New makes an outbox. It does nothing until Start or Post.
func New(o Options) *Outbox {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Observe == nil {
		o.Observe = func(string, string) {}
	}
	if o.timing == (timing{}) {
		o.timing = defaultTiming
	}
	box := &Outbox{
		store: o.Store, realm: o.Realm, indexKey: state.KeyOf(o.Realm, "outbox"), keys: o.Keys, senders: o.Senders,
		now: o.Now, random: &lockedReader{from: o.Rand}, logger: o.Logger, observe: o.Observe, t: o.timing,
		queues: make(map[string]chan item), health: make(map[string]*health), changing: make(chan struct{}, 1),
		busy: make(map[messageID]struct{}), seen: make(map[messageID]sighting), finished: make(map[messageID]struct{}),
		quit: make(chan struct{}),
	}
	box.ctx, box.cutOff = context.WithCancel(context.Background())
	for channel := range o.Senders {
		box.queues[channel] = make(chan item, maxPending)
		box.health[channel] = new(health)
	}
	return box
}

// Start begins to send: what was posted here at once, and what others left behind after a few seconds. Starting twice,
// or after Close, does nothing.
func (o *Outbox) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.started || o.closed {
		return
	}
	o.started = true
	for _, queue := range o.queues {
		for range workers {
			o.wg.Go(func() { o.work(queue) })
		}
	}
	o.wg.Go(o.lookAround)
}

// Close takes no more work, gives tries under way 5 seconds and then cuts them off; those are freed for the next instance
// or another node, as is everything that was not begun. The store must be open until Close returns.
func (o *Outbox) Close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.quit)
	}
	o.mu.Unlock()
	// Not before the workers are done, unless they take too long.
	late := time.AfterFunc(o.t.drain, o.cutOff)
	o.wg.Wait()
	late.Stop()
	o.cutOff()
}

// Post stores a message and has it sent; it sets ID and Realm, and returns the id. After an error nothing is sent, except
// that the store may have done what it says it could not: a code that nobody waits for may then arrive.
//
// It fails with ErrDown while the channel's sender does, with ErrFull, ErrTooLong or ErrClosed, and as the store does.
func (o *Outbox) Post(ctx context.Context, m Message) (string, error) {
	select {
	case <-o.quit:
		return "", ErrClosed
	default:
	}
	health := o.health[m.Channel]
	if health == nil {
		return "", fmt.Errorf("outbox: no sender for channel %q", m.Channel)
	}
	// The store keeps milliseconds; a part of one more must not count.
	m.Realm, m.Expires = o.realm, time.UnixMilli(m.Expires.UnixMilli())
	if !o.now().Before(m.Expires) {
		return "", errors.New("outbox: message has expired")
	}
	var id messageID
	if _, err := io.ReadFull(o.random, id[:]); err != nil {
		return "", fmt.Errorf("outbox: drawing an id: %w", err)
	}
	sealed, err := sealMessage(o.keys, o.random, id, m)
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	if !health.mayPost(o.now()) {
		return "", ErrDown
	}
	r := record{phase: waiting, wait: o.t.ahead, expires: m.Expires, channel: m.Channel, sealed: sealed}
	if err := o.keep(ctx, id, r); err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	return id.String(), nil
}

// keep stores a new message and queues it here.
func (o *Outbox) keep(ctx context.Context, id messageID, r record) error {
	key := o.keyOf(id)
	raw := r.encode(key, o.realm)
	made, _, err := o.store.Swap(ctx, key, nil, raw, r.until())
	if err != nil {
		return err
	}
	if !made {
		return errors.New("two messages drew one id")
	}
	if err := o.change(ctx, &entry{id, r.until()}); err != nil {
		// Whoever waited hears of a failure; so it better does not arrive.
		_, _, _ = o.store.Swap(context.WithoutCancel(ctx), key, raw, nil, r.until())
		return err
	}
	o.enqueue(item{id, raw, r})
	return nil
}

func (o *Outbox) keyOf(id messageID) state.Key {
	return state.KeyOf(o.realm, "outbox message", id[:])
}

// enqueue has a message worked on, unless it already is: a worker that cannot write an outcome is still at it, though its
// claim has run out. Where the queue is full, a look around finds the message again.
func (o *Outbox) enqueue(it item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.busy[it.id]; ok {
		return
	}
	select {
	case o.queues[it.channel] <- it:
		o.busy[it.id] = struct{}{}
	default:
	}
}

func (o *Outbox) release(id messageID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.busy, id)
}

// finish notes that a message need not be in the index any more. The next change takes it out; that saves a write for
// each message.
func (o *Outbox) finish(id messageID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished[id] = struct{}{}
	delete(o.seen, id)
}

func (o *Outbox) listFinished() []messageID {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := make([]messageID, 0, len(o.finished))
	for id := range o.finished {
		ids = append(ids, id)
	}
	return ids
}

func (o *Outbox) forgetFinished(ids []messageID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.finished, id)
	}
}

// lockedReader lets workers share a source of randomness.
type lockedReader struct {
	mu   sync.Mutex
	from io.Reader
}

func (r *lockedReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from.Read(b)
}
