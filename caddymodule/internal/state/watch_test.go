package state_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

func TestWatchedStoreKeepsTheContract(t *testing.T) {
	statetest.Run(t, func(_ *testing.T, now func() time.Time) state.Store {
		return state.Watch(state.NewMemory(state.Options{Now: now}), func(string) {})
	})
}

func TestWatchTellsOfEachCallThatFails(t *testing.T) {
	var told []string
	s := state.Watch(state.NewMemory(state.Options{}), func(operation string) { told = append(told, operation) })
	k, until := state.KeyOf("realm", "session"), time.Now().Add(time.Hour)
	enough := errors.New("enough")
	call := func(ctx context.Context) {
		_, _ = s.Epoch(ctx)
		_, _ = s.Take(ctx, state.Epoch{}, k, until)
		_ = s.Put(ctx, k, nil, until)
		_, _ = s.Get(ctx, k)
		_ = s.Refresh(ctx, k, nil, until)
		_, _, _ = s.Swap(ctx, k, nil, nil, until)
		_ = s.Delete(ctx, k)
		_, _ = s.Add(ctx, k, 1, time.Hour)
		_ = s.Undo(ctx, k, until)
		_ = s.Walk(ctx, func(state.Key, []byte) error { return enough })
	}
	call(t.Context())
	if len(told) != 0 {
		t.Errorf("nothing failed, and yet: %v", told)
	}
	s.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	call(gone)
	if len(told) != 0 {
		t.Errorf("callers gave up, and yet: %v", told)
	}
	call(t.Context())
	if !slices.Equal(told, state.Operations) {
		t.Errorf("told %v, want %v", told, state.Operations)
	}
}
