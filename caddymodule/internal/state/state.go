// Package state keeps what the gate must remember: sessions, spent challenges, failure counters, pending second steps.
//
// There is one interface, [Store], and its doc comments are the contract that every store is tested against
// (package statetest). [Memory] lives and dies with the process. [Local] is the default: the same memory, backed by a
// file, so that what was acknowledged survives kill -9 and power loss.
//
// # Rules that hold for every store
//
//   - Presence means valid. Losing an entry signs somebody out or asks for another captcha; it never lets anybody in.
//   - "Not found" is not an error. An error means that the store itself failed; the caller must then refuse (503).
//   - An entry is live while now < until, exactly, also when it has not been removed yet. Now is the clock in [Options];
//     expiry follows that clock wherever it jumps: forward, and things end early; back, and they live that much longer.
//     A restart reads times as wall-clock times.
//   - A live entry is never pushed out to make room for another (THR-5, CAP-9). Memory is bounded by lifetimes and by
//     what callers let strangers create, not by eviction.
//   - A key belongs to one family of calls: Take, Delete; or Put, Get, Refresh, Delete; or Swap, Get, Delete; or Add,
//     Undo, Delete. The kind given to [KeyOf] keeps the families apart. Mixing them is a programming error; whatever
//     else it does, Take is never first where something live is.
//   - The [Epoch] is random and made with the store. It is sealed into challenges, so that those of an emptied or
//     replaced store die with the record of their use.
//
// A context that is already done stops a call before it changes anything. One that ends while a local write is on its
// way to the disk does not: the call returns when the outcome is known.
//
// The stores hold no logger, because they outlive the configuration that made them. What fails is returned; what fails
// in the background shows in [Local.Ready].
package state

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
)

// ErrClosed is what every call returns after Close.
var ErrClosed = errors.New("state store is closed")

// ErrLocked is wrapped by every call on a [Local] whose file another process holds.
var ErrLocked = errors.New("state file is in use by another process")

// Epoch tells one store, and one life of it, from every other.
type Epoch [16]byte

// Key names an entry. Make it with [KeyOf].
type Key [32]byte

// Tally is the state of a counter.
type Tally struct {
	// N is the count after the call, never below 0.
	N int
	// Resets is when the counter ends. It is the same in every Tally of one counter and differs from that of a counter
	// made later under the same key. It is zero when there is no counter.
	Resets time.Time
}

// Store remembers. All methods may be called concurrently.
type Store interface {
	// Epoch returns the epoch, always the same one for this store.
	Epoch(ctx context.Context) (Epoch, error)

	// Take spends a single use (CAP-1): first is true for exactly one caller until the given time, decided in one atomic
	// operation, and then the mark is durable. On an error nobody was first; callers that lost against a Take that
	// then failed stay losers, and where the outcome is unknown the use is lost rather than given twice. With an until
	// that is not in the future nobody is first, nor under an epoch that is not the store's: the record of what was
	// spent under it is gone.
	Take(ctx context.Context, e Epoch, k Key, until time.Time) (first bool, err error)

	// Put stores a copy of value, durable when it returns, replacing what was there. On an error what was there stays.
	// With an until that is not in the future the key is empty afterwards.
	Put(ctx context.Context, k Key, value []byte, until time.Time) error

	// Get returns the live value, or nil and no error where there is none. An empty value is not nil. The caller must
	// not modify what it gets. This is the hot path: a local store does no I/O for it.
	Get(ctx context.Context, k Key) (value []byte, err error)

	// Refresh replaces value and expiry of what is still there; where nothing is, it does nothing, so a record deleted
	// in the meantime stays deleted. It may be lost in a crash; the entry is then as before.
	Refresh(ctx context.Context, k Key, value []byte, until time.Time) error

	// Swap stores value where the live value equals old, in one atomic operation and durable when it returns; nil for old
	// means that there must be nothing, nil for value leaves nothing there. It returns what is there after the call; on
	// an error the change may have happened.
	Swap(ctx context.Context, k Key, old, value []byte, until time.Time) (swapped bool, current []byte, err error)

	// Delete removes an entry, durable when it returns. Deleting what is absent is fine. On an error a running store
	// does not show the entry any more, but a crash might bring it back.
	Delete(ctx context.Context, k Key) error

	// Add changes a counter by delta, atomically. An absent counter is created, to end after window, if delta is
	// positive, else nothing is created; an existing one keeps its end. The count never falls below 0. A delta of 0
	// reads. The last second of changes may be lost in a crash. A window that is not positive is an error.
	Add(ctx context.Context, k Key, delta int, window time.Duration) (Tally, error)

	// Undo takes one back, atomically, from the counter that ends at the given time, as a Tally said it. A counter made
	// later under the same key is left alone, and one that comes to 0 is gone: what was counted in vain takes no memory.
	// May be lost in a crash as with Add.
	Undo(ctx context.Context, k Key, resets time.Time) error

	// Walk calls each with the key and the value of every live record, in no order and once for each; what changes
	// meanwhile is met as it was before or after. The value must not be modified. It ends with the first error of each. It looks at everything there is,
	// so it is for an operator's rare questions and for no request of a visitor.
	Walk(ctx context.Context, each func(k Key, value []byte) error) error

	// Known is Walk over what this process knows without asking anybody: a local store knows everything, one that several
	// processes share what was found through this one within a minute.
	Known(each func(k Key, value []byte))

	// Close releases everything, after writing what was not yet written. Closing twice is fine.
	Close() error
}

// Options are the outside world of a store.
type Options struct {
	// Now is the clock; default time.Now. It must be safe for concurrent use.
	Now func() time.Time
	// Rand makes the epoch; default crypto/rand.
	Rand io.Reader

	flushEvery time.Duration // how often Local writes what may be lost in a crash; default one second
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.flushEvery <= 0 {
		o.flushEvery = time.Second
	}
	return o
}

// KeyOf makes the key of an entry: SHA-256 over realm, kind and id, each with its length, so that no two different
// lists of fields share a key and no two sites share an entry (SES-7). kind is the family and purpose, such as
// "session".
func KeyOf(realm, kind string, id ...[]byte) Key {
	b := make([]byte, 0, 256) // large enough to stay off the heap for every key the gate makes
	b = binary.BigEndian.AppendUint64(b, uint64(len(realm)))
	b = append(b, realm...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(kind)))
	b = append(b, kind...)
	for _, f := range id {
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	return sha256.Sum256(b)
}

// errWindow refuses a counter that could never count, which would be a limit that never holds.
var errWindow = errors.New("counter window must be positive")

// errMixed refuses to count under a key that holds something else.
var errMixed = errors.New("key holds no counter")

// nanos turns a time into what the stores keep. Times that 64 bits of nanoseconds cannot hold (before 1678, after 2262)
// become the nearest that they can.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func (k Key) compare(other Key) int { return bytes.Compare(k[:], other[:]) }
