package outbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		crashChild(path)
	}
	goleak.VerifyTestMain(m)
}

const testRealm = "default"

func newTestKeys(secret byte) (*seal.Keyring, error) {
	return seal.New([][]byte{bytes.Repeat([]byte{secret}, seal.MinSecret)}, "outbox", testRealm)
}

func testKeys(t testing.TB, secret byte) *seal.Keyring {
	t.Helper()
	k, err := newTestKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// provider takes messages, after asking answer if there is one.
type provider struct {
	answer func(ctx context.Context, m Message) error
	mu     sync.Mutex
	tries  []time.Time
	taken  []Message
	active int
}

// idle reports whether no try is under way.
func (p *provider) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active == 0
}

func (p *provider) Send(ctx context.Context, m Message) error {
	p.mu.Lock()
	p.tries = append(p.tries, time.Now())
	answer := p.answer
	p.active++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.active--
	}()
	if answer != nil {
		if err := answer(ctx, m); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, m)
	return nil
}

// becomes changes the answer; nil takes everything.
func (p *provider) becomes(answer func(context.Context, Message) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *provider) count() (tries, taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tries), len(p.taken)
}

// wants fails unless there were so many tries, and so many of them were taken.
func (p *provider) wants(t testing.TB, tries, taken int) {
	t.Helper()
	if gotTries, gotTaken := p.count(); gotTries != tries || gotTaken != taken {
		t.Fatalf("%d tries, %d taken; want %d, %d", gotTries, gotTaken, tries, taken)
	}
}

var errDown = errors.New("connection refused")

func failing(context.Context, Message) error { return errDown }

// hanging answers when the context is done.
func hanging(ctx context.Context, _ Message) error {
	<-ctx.Done()
	return ctx.Err()
}

// after answers nil in time, as a slow provider does.
func after(d time.Duration) func(context.Context, Message) error {
	return func(ctx context.Context, _ Message) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// in runs a test in a bubble, where time passes as soon as everybody waits for it, with a store that ends with it.
func in(t *testing.T, test func(t *testing.T, s *state.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := state.NewMemory(state.Options{})
		t.Cleanup(func() { _ = s.Close() })
		test(t, s)
	})
}

// open makes an outbox with one sender for "sms", and closes it in the end. It is not started.
func open(t testing.TB, s state.Store, p Sender, change ...func(*Options)) *Outbox {
	t.Helper()
	options := Options{Store: s, Realm: testRealm, Keys: testKeys(t, 'a'), Senders: map[string]Sender{"sms": p}}
	for _, c := range change {
		c(&options)
	}
	o := New(options)
	t.Cleanup(o.Close)
	return o
}

func start(t testing.TB, s state.Store, p Sender, change ...func(*Options)) *Outbox {
	t.Helper()
	o := open(t, s, p, change...)
	o.Start()
	return o
}

// skewed is an option: a clock that is off by so much.
func skewed(by time.Duration) func(*Options) {
	return func(o *Options) { o.Now = func() time.Time { return time.Now().Add(by) } }
}

func message(lifetime time.Duration) Message {
	return Message{
		Channel: "sms", To: "+15550100", Subject: "Your sign-in", Text: "The code is 314159.", Code: "314159", Lang: "en",
		Expires: time.Now().Add(lifetime),
	}
}

func post(t testing.TB, o *Outbox, m Message) string {
	t.Helper()
	id, err := o.Post(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantStatus(t testing.TB, o *Outbox, id string, want Status) {
	t.Helper()
	if got, err := o.Status(context.Background(), id); err != nil || got != want {
		t.Fatalf("status %v, %v; want %v", got, err, want)
	}
}

// pass lets time go by, and everybody do what is due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantIndex fails unless so many ids are in the index.
func wantIndex(t testing.TB, o *Outbox, want int) {
	t.Helper()
	if _, entries, err := o.index(context.Background()); err != nil || len(entries) != want {
		t.Fatalf("%d messages are listed, %v; want %d", len(entries), err, want)
	}
}

// faulty is a store whose calls fail as the test says: before they take effect, or after.
type faulty struct {
	state.Store
	mu    sync.Mutex
	calls int
	fault func(call int) (before, after bool)
}

var errFault = errors.New("the store is away")

func (f *faulty) next() (before, after bool) {
	f.mu.Lock()
	f.calls++
	call, fault := f.calls, f.fault
	f.mu.Unlock()
	if fault == nil {
		return false, false
	}
	return fault(call)
}

func (f *faulty) set(fault func(int) (bool, bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func away(int) (bool, bool) { return true, false }

func (f *faulty) Get(ctx context.Context, k state.Key) ([]byte, error) {
	if before, after := f.next(); before || after {
		return nil, errFault
	}
	return f.Store.Get(ctx, k)
}

func (f *faulty) Swap(ctx context.Context, k state.Key, old, value []byte, until time.Time) (bool, []byte, error) {
	before, after := f.next()
	if before {
		return false, nil, errFault
	}
	swapped, current, err := f.Store.Swap(ctx, k, old, value, until)
	if after {
		return false, nil, errFault
	}
	return swapped, current, err
}

func refusing(context.Context, Message) error { return ErrRefused }

// chanSender says that a message has arrived to whoever waits for it.
type chanSender chan struct{}

func (c chanSender) Send(ctx context.Context, _ Message) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
