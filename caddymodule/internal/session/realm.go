package session

import (
	"context"
	"fmt"
	"sync"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Each calls each for every live session of the realm, with or without a name, in
// no order. It looks at everything in the store.
func (m *Manager) Each(ctx context.Context, each func(Listed)) error {
	err := m.store.Walk(ctx, func(k state.Key, value []byte) error {
		if r, ok := m.read(value, k); ok {
			each(Listed{ID: idOf(k), Record: r})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("walking through sessions: %w", err)
	}
	return nil
}

// Known is Each over what this process knows of by itself: every session of a
// local store; of a shared one those that were used through this process within
// the last minute.
func (m *Manager) Known(each func(Listed)) {
	m.store.Known(func(k state.Key, value []byte) {
		if r, ok := m.read(value, k); ok {
			each(Listed{ID: idOf(k), Record: r})
		}
	})
}

// atOnce is how many sessions are ended at a time: a store of several processes
// waits with each until the others have heard of it, and a local one writes those
// that come together in one go.
const atOnce = 64

// EndAll ends every session of the realm that was begun before, also those without
// a name, before it returns (SES-3), and tells how many live ones there were. What a
// limit of the present configuration hides is removed too: another configuration
// would show it again.
func (m *Manager) EndAll(ctx context.Context) (ended int, err error) {
	live := map[state.Key]bool{}
	err = m.store.Walk(ctx, func(k state.Key, value []byte) error {
		if _, fault := decode(value, k, m.realm); fault == nil {
			_, live[k] = m.read(value, k)
		}
		return nil
	})
	var (
		mu    sync.Mutex
		works sync.WaitGroup
		turns = make(chan struct{}, atOnce)
	)
	for k, counts := range live { // also where the walk could not go on
		turns <- struct{}{}
		works.Go(func() {
			defer func() { <-turns }()
			fault := m.store.Delete(ctx, k)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case fault == nil && counts:
				ended++
			case fault != nil && err == nil:
				err = fault
			}
		})
	}
	works.Wait()
	if err != nil {
		return ended, fmt.Errorf("ending sessions: %w", err)
	}
	return ended, nil
}
