package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Local is a [Store] that answers from memory and keeps a file for the next start. Make it with [OpenLocal].
//
// Take, Put and Delete are in the file, synced, when they return; calls that come together share a sync. Refresh and Add
// are written about each second and on Close. Putting an older copy of the file in place brings back what had ended
// since, such as sessions signed out; to be safe, remove the file instead.
type Local struct {
	path    string
	options Options
	live    atomic.Pointer[committer] // nil while the file is locked, and after Close

	mu     sync.Mutex // held while opening and closing
	tried  time.Time
	failed error // of the last try to open
	closed bool
}

const (
	lockWait   = 200 * time.Millisecond // how long OpenLocal waits for the file
	lockRetry  = time.Second            // how often a locked file is tried again, at most
	noLockWait = time.Nanosecond        // bbolt takes zero for "for ever"
)

// OpenLocal opens the store in the file at path, creating the file (mode 0600) and its folder (0700) where needed. It loads
// everything that has not expired.
//
// Where another process holds the file, such as a running server beside caddy validate, OpenLocal waits 0.2 seconds at
// most and then returns a Local whose calls fail with [ErrLocked] until the file is free; they try again, once a second
// at most. Every other failure is returned here and names the file: a folder or file that cannot be used, or with
// [ErrDamaged] a file that is damaged, not ours, or of another format.
func OpenLocal(path string, o Options) (*Local, error) {
	l := &Local{path: path, options: o.withDefaults()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.open(lockWait); err != nil && !errors.Is(err, ErrLocked) {
		return nil, err
	}
	return l, nil
}

// Ready returns nil when the store works: the file is open and its last write went well. It tries to open a file that
// was locked, as every other call does.
func (l *Local) Ready() error {
	c, err := l.ready(context.Background())
	if err != nil {
		return err
	}
	return c.health()
}

// ready returns the open store, or opens it if a locked file has become free.
func (l *Local) ready(ctx context.Context) (*committer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c := l.live.Load(); c != nil {
		return c, nil
	}
	if !l.mu.TryLock() { // somebody is at it; nobody queues up behind a file
		return nil, fmt.Errorf("state file %s: %w", l.path, ErrLocked)
	}
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if c := l.live.Load(); c != nil {
		return c, nil
	}
	if since := l.options.Now().Sub(l.tried); since >= 0 && since < lockRetry {
		return nil, l.failed
	}
	err := l.open(noLockWait)
	return l.live.Load(), err
}

// open tries to open the file; l.mu is held.
func (l *Local) open(wait time.Duration) (err error) {
	defer func() { l.failed, l.tried = err, l.options.Now() }()
	f, err := openFile(l.path, l.options.Rand, wait)
	if err != nil {
		return err
	}
	t := newTable()
	expired, err := f.load(t, nanos(l.options.Now()))
	if err != nil {
		_ = f.close()
		return err
	}
	l.live.Store(newCommitter(f, t, expired, l.options))
	return nil
}

// Epoch implements [Store].
func (l *Local) Epoch(ctx context.Context) (Epoch, error) {
	c, err := l.ready(ctx)
	if err != nil {
		return Epoch{}, err
	}
	return c.file.epoch, nil
}

// Take implements [Store]. The winner is known at once in memory, so that nobody else can win while the mark is on its
// way to the disk; the winner hears of it when the mark is there.
func (l *Local) Take(ctx context.Context, e Epoch, k Key, until time.Time) (bool, error) {
	c, err := l.ready(ctx)
	if err != nil {
		return false, err
	}
	m := entry{kind: mark, until: nanos(until)}
	if e != c.file.epoch || !c.table.take(k, m, nanos(l.options.Now())) {
		return false, nil
	}
	if err := c.write(take, k, m); err != nil {
		return false, err
	}
	return true, nil
}

// Put implements [Store].
func (l *Local) Put(ctx context.Context, k Key, value []byte, until time.Time) error {
	c, err := l.ready(ctx)
	if err != nil {
		return err
	}
	return c.write(put, k, newRecord(value, until))
}

// Get implements [Store].
func (l *Local) Get(ctx context.Context, k Key) ([]byte, error) {
	c, err := l.ready(ctx)
	if err != nil {
		return nil, err
	}
	return c.table.get(k, nanos(l.options.Now())), nil
}

// Refresh implements [Store].
func (l *Local) Refresh(ctx context.Context, k Key, value []byte, until time.Time) error {
	c, err := l.ready(ctx)
	if err != nil {
		return err
	}
	if c.table.refresh(k, newRecord(value, until), nanos(l.options.Now())) {
		c.note(k)
	}
	return nil
}

// Swap implements [Store].
func (l *Local) Swap(ctx context.Context, k Key, old, value []byte, until time.Time) (bool, []byte, error) {
	c, err := l.ready(ctx)
	if err != nil {
		return false, nil, err
	}
	return c.swap(k, old, newRecordOrNone(value, until))
}

// Delete implements [Store].
func (l *Local) Delete(ctx context.Context, k Key) error {
	c, err := l.ready(ctx)
	if err != nil {
		return err
	}
	return c.write(remove, k, entry{})
}

// Add implements [Store].
func (l *Local) Add(ctx context.Context, k Key, delta int, window time.Duration) (Tally, error) {
	c, err := l.ready(ctx)
	if err != nil {
		return Tally{}, err
	}
	tally, changed, err := c.table.add(k, delta, window, l.options.Now())
	if changed {
		c.note(k)
	}
	return tally, err
}

// Undo implements [Store].
func (l *Local) Undo(ctx context.Context, k Key, resets time.Time) error {
	c, err := l.ready(ctx)
	if err != nil {
		return err
	}
	if c.table.undo(k, resets, nanos(l.options.Now())) {
		c.note(k)
	}
	return nil
}

// Close implements [Store]. An error means that changes of the last second or more were not written.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if c := l.live.Swap(nil); c != nil {
		return c.close()
	}
	return nil
}

var _ Store = (*Local)(nil)
