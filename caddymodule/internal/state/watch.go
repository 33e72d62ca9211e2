package state

import (
	"context"
	"time"
)

// Watch returns the store with its errors told: failed hears the name of each call that returns one, such as "get". What a
// caller gave up itself is no error of the store. Where all goes well it costs next to nothing.
func Watch(s Store, failed func(operation string)) Store { return &watched{s, failed} }

// Operations are the names that Watch tells.
var Operations = []string{"epoch", "take", "put", "get", "refresh", "swap", "delete", "add", "undo", "walk"}

type watched struct {
	Store
	failed func(operation string)
}

func (w *watched) told(ctx context.Context, operation string, err error) error {
	if err != nil && ctx.Err() == nil {
		w.failed(operation)
	}
	return err
}

// Epoch implements [Store].
func (w *watched) Epoch(ctx context.Context) (Epoch, error) {
	e, err := w.Store.Epoch(ctx)
	return e, w.told(ctx, "epoch", err)
}

// Take implements [Store].
func (w *watched) Take(ctx context.Context, e Epoch, k Key, until time.Time) (bool, error) {
	first, err := w.Store.Take(ctx, e, k, until)
	return first, w.told(ctx, "take", err)
}

// Put implements [Store].
func (w *watched) Put(ctx context.Context, k Key, value []byte, until time.Time) error {
	return w.told(ctx, "put", w.Store.Put(ctx, k, value, until))
}

// Get implements [Store]. It is the hot path.
func (w *watched) Get(ctx context.Context, k Key) ([]byte, error) {
	value, err := w.Store.Get(ctx, k)
	if err != nil {
		return value, w.told(ctx, "get", err)
	}
	return value, nil
}

// Refresh implements [Store].
func (w *watched) Refresh(ctx context.Context, k Key, value []byte, until time.Time) error {
	return w.told(ctx, "refresh", w.Store.Refresh(ctx, k, value, until))
}

// Swap implements [Store].
func (w *watched) Swap(ctx context.Context, k Key, old, value []byte, until time.Time) (bool, []byte, error) {
	swapped, current, err := w.Store.Swap(ctx, k, old, value, until)
	return swapped, current, w.told(ctx, "swap", err)
}

// Delete implements [Store].
func (w *watched) Delete(ctx context.Context, k Key) error {
	return w.told(ctx, "delete", w.Store.Delete(ctx, k))
}

// Add implements [Store].
func (w *watched) Add(ctx context.Context, k Key, delta int, window time.Duration) (Tally, error) {
	tally, err := w.Store.Add(ctx, k, delta, window)
	return tally, w.told(ctx, "add", err)
}

// Undo implements [Store].
func (w *watched) Undo(ctx context.Context, k Key, resets time.Time) error {
	return w.told(ctx, "undo", w.Store.Undo(ctx, k, resets))
}

// Walk implements [Store]. An error of each is not the store's.
func (w *watched) Walk(ctx context.Context, each func(k Key, value []byte) error) error {
	var theirs error
	err := w.Store.Walk(ctx, func(k Key, value []byte) error {
		theirs = each(k, value)
		return theirs
	})
	if theirs != nil {
		return err
	}
	return w.told(ctx, "walk", err)
}
