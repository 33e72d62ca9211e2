package state

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Memory is a [Store] that is gone with the process. Make it with [NewMemory].
type Memory struct {
	now      func() time.Time
	table    *table
	epoch    Epoch
	epochErr error

	quit    chan struct{}
	stopped chan struct{}
	close   func()
}

// NewMemory makes an empty store with a new epoch. It runs one goroutine until Close.
func NewMemory(o Options) *Memory {
	o = o.withDefaults()
	m := &Memory{now: o.Now, table: newTable(), quit: make(chan struct{}), stopped: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.quit) })
	m.epoch, m.epochErr = newEpoch(o.Rand)
	go m.run()
	return m
}

func newEpoch(random io.Reader) (Epoch, error) {
	var e Epoch
	if _, err := io.ReadFull(random, e[:]); err != nil {
		return Epoch{}, fmt.Errorf("make an epoch: %w", err)
	}
	return e, nil
}

func (m *Memory) run() {
	defer close(m.stopped)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	sweep := sweeper{table: m.table}
	for {
		select {
		case <-tick.C:
			sweep.step(nanos(m.now()))
		case <-m.quit:
			return
		}
	}
}

// ready tells whether a call may go on.
func (m *Memory) ready(ctx context.Context) error {
	select {
	case <-m.quit:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// Epoch implements [Store]. It fails if Options.Rand did.
func (m *Memory) Epoch(ctx context.Context) (Epoch, error) {
	if err := m.ready(ctx); err != nil {
		return Epoch{}, err
	}
	return m.epoch, m.epochErr
}

// Take implements [Store].
func (m *Memory) Take(ctx context.Context, e Epoch, k Key, until time.Time) (bool, error) {
	if err := m.ready(ctx); err != nil {
		return false, err
	}
	return e == m.epoch && m.table.take(k, entry{kind: mark, until: nanos(until)}, nanos(m.now())), nil
}

// Put implements [Store].
func (m *Memory) Put(ctx context.Context, k Key, value []byte, until time.Time) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.table.set(k, newRecord(value, until))
	return nil
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, k Key) ([]byte, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	return m.table.get(k, nanos(m.now())), nil
}

// Refresh implements [Store].
func (m *Memory) Refresh(ctx context.Context, k Key, value []byte, until time.Time) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.table.refresh(k, newRecord(value, until), nanos(m.now()))
	return nil
}

// Swap implements [Store].
func (m *Memory) Swap(ctx context.Context, k Key, old, value []byte, until time.Time) (bool, []byte, error) {
	if err := m.ready(ctx); err != nil {
		return false, nil, err
	}
	swapped, current := m.table.swap(k, old, newRecordOrNone(value, until), nanos(m.now()))
	return swapped, current, nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, k Key) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.table.remove(k)
	return nil
}

// Add implements [Store].
func (m *Memory) Add(ctx context.Context, k Key, delta int, window time.Duration) (Tally, error) {
	if err := m.ready(ctx); err != nil {
		return Tally{}, err
	}
	tally, _, err := m.table.add(k, delta, window, m.now())
	return tally, err
}

// Undo implements [Store].
func (m *Memory) Undo(ctx context.Context, k Key, resets time.Time) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.table.undo(k, resets, nanos(m.now()))
	return nil
}

// Close implements [Store].
func (m *Memory) Close() error {
	m.close()
	<-m.stopped
	return nil
}

var _ Store = (*Memory)(nil)
