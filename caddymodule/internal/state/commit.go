package state

import (
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// committer is the one goroutine that writes the file, and the only place where Put and Delete reach the table. Because
// each batch goes to the file and then to the table in one order, the two cannot disagree, however calls of one key race.
//
// Whoever must wait for the disk queues up; all that queued during one commit share the next (group commit). Refresh, Add
// and the sweeper change the table at once and only note the key. About each second, the table's present content for
// the noted keys is written: that cannot bring back what was deleted, for what was deleted is not in the table.
type committer struct {
	now   func() time.Time
	table *table
	file  *file

	mu     sync.Mutex
	queue  []*op
	noted  map[Key]struct{} // keys whose entry in the file may differ from the table
	fault  error            // of the last transaction
	closed bool

	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
}

type op struct {
	do    action
	key   Key
	entry entry
	done  chan error
	// of a swap: what must be there, whether it was not, and what is there afterwards
	old     []byte
	missed  bool
	current []byte
}

type action uint8

const (
	put action = iota
	take
	swap
	remove
)

// How many noted keys go into one transaction. It bounds how long a sign-in waits behind a mass expiry: keys are
// random, so each is a page of its own.
const flushBatch = 1024

func newCommitter(f *file, t *table, expired []Key, o Options) *committer {
	c := &committer{
		now: o.Now, table: t, file: f, noted: make(map[Key]struct{}),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	c.note(expired...)
	go c.run(o.flushEvery)
	return c
}

func (c *committer) run(flushEvery time.Duration) {
	defer close(c.stopped)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	sweep := sweeper{table: c.table}
	for {
		select {
		case <-c.wake:
			c.commit()
		case <-tick.C:
			c.note(sweep.step(nanos(c.now()))...)
			c.flush()
		case <-c.quit:
			c.commit()
			c.flush()
			return
		}
	}
}

// write hands over one change and waits until it is in the file and in the table.
func (c *committer) write(do action, k Key, e entry) error {
	return c.wait(&op{do: do, key: k, entry: e})
}

// swap is a write that looks first. It is judged when its turn in the batch comes, so that swaps and other writes of one
// key have one order.
func (c *committer) swap(k Key, old []byte, e entry) (swapped bool, current []byte, err error) {
	o := &op{do: swap, key: k, entry: e, old: old}
	if err := c.wait(o); err != nil {
		return false, nil, err
	}
	return !o.missed, o.current, nil
}

func (c *committer) wait(o *op) error {
	o.done = make(chan error, 1)
	if !c.enqueue(o) {
		c.settle(o, ErrClosed)
		return ErrClosed
	}
	select {
	case c.wake <- struct{}{}:
	default: // already woken
	}
	return <-o.done
}

func (c *committer) enqueue(o *op) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.queue = append(c.queue, o)
	}
	return !c.closed
}

// commit writes all that waits, in the order of arrival.
func (c *committer) commit() {
	c.mu.Lock()
	batch := c.queue
	c.queue = nil
	c.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	err := c.transact(func(b *bolt.Bucket) error {
		for i, o := range batch {
			if o.do == swap && !c.judge(o, batch[:i]) {
				continue
			}
			if err := o.apply(b); err != nil {
				return err
			}
		}
		return nil
	})
	for _, o := range batch {
		c.settle(o, err)
		o.done <- err
	}
}

// judge compares what is there when a swap's turn comes, after the changes before it in the batch.
func (c *committer) judge(o *op, before []*op) bool {
	there, _ := c.table.lookup(o.key)
	for _, b := range before {
		if b.key == o.key && !b.missed {
			there = b.entry
		}
	}
	now := nanos(c.now())
	met, current := there.holds(o.old, now)
	o.missed, o.current = !met, current
	if met {
		_, o.current = o.entry.holds(nil, now)
	}
	return met
}

// removes reports whether nothing is left after the change.
func (o *op) removes() bool { return o.do == remove || o.do == swap && o.entry.value == nil }

func (o *op) apply(b *bolt.Bucket) error {
	if o.removes() {
		return b.Delete(o.key[:])
	}
	return b.Put(o.key[:], encode(o.key, o.entry))
}

// settle brings the table in line with what happened. After a failure nobody knows what the file has, so the key is
// noted, and the file follows the table once it can be written again.
func (c *committer) settle(o *op, err error) {
	switch {
	case o.missed:
		return
	case o.do == remove, err == nil && o.removes():
		c.table.remove(o.key) // also on failure: a session somebody ended is better gone
	case err == nil:
		c.table.set(o.key, o.entry)
	case o.do == take:
		c.table.untake(o.key, o.entry)
	}
	if err != nil {
		c.note(o.key)
	}
}

// note remembers keys for the next flush.
func (c *committer) note(keys ...Key) {
	if len(keys) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		c.noted[k] = struct{}{}
	}
}

// flush makes the file follow the table for all noted keys. Between its transactions those who wait get their turn.
func (c *committer) flush() {
	c.mu.Lock()
	noted := make([]Key, 0, len(c.noted))
	for k := range c.noted {
		noted = append(noted, k)
	}
	clear(c.noted)
	if len(noted) > flushBatch {
		c.noted = make(map[Key]struct{}) // a cleared map keeps its size
	}
	c.mu.Unlock()

	slices.SortFunc(noted, Key.compare) // neighbours share pages
	for len(noted) > 0 {
		batch := noted[:min(len(noted), flushBatch)]
		if err := c.transact(func(b *bolt.Bucket) error { return c.follow(b, batch) }); err != nil {
			c.note(noted...)
			return
		}
		noted = noted[len(batch):]
		c.commit()
	}
}

func (c *committer) follow(b *bolt.Bucket, keys []Key) error {
	for _, k := range keys {
		o := &op{do: remove, key: k}
		if e, ok := c.table.lookup(k); ok {
			o.do, o.entry = put, e
		}
		if err := o.apply(b); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) transact(change func(*bolt.Bucket) error) error {
	err := c.file.update(change)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = err
	return err
}

// health returns the error of the last transaction. A failed one notes its keys, so it is tried again each second.
func (c *committer) health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// close writes what is left and closes the file. Call it once.
func (c *committer) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	close(c.quit)
	<-c.stopped
	err := c.file.close()
	if lost := c.health(); lost != nil {
		return lost
	}
	return err
}
