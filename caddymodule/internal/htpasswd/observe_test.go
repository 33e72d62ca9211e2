package htpasswd

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestObserveHearsOfEachTurn(t *testing.T) {
	path := usersFile(t, two)
	var mu sync.Mutex
	var heard []string
	options := Options{Observe: func(outcome string) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, outcome)
	}}
	inBubble(t, path, options, func(t *testing.T, _ *File) {
		write(t, path, three)
		pass(3 * time.Second)
		must(t, os.Remove(path))
		pass(20 * time.Second)
		write(t, path, three)
		pass(3 * time.Second)
	})
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"reloaded", "kept", "closed", "reloaded"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}
