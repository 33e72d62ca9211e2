package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/statetest"
)

func TestCAP1_NothingIsSpentTwiceWhenRedisIsEmptied(t *testing.T) {
	server := redistest.Start(t)
	r := openRedis(t, server, time.Now)
	before := epochOf(t, r)
	if !take(t, r, before, spentKey("a")) {
		t.Fatal("not first")
	}
	put(t, r, sessionKey("a"), "mine")
	get(t, r, sessionKey("a"))
	server.Do("FLUSHALL")
	if take(t, r, before, spentKey("a")) {
		t.Fatal("spent twice")
	}
	eventually(t, "another epoch", func() bool { return epochOf(t, r) != before })
	if take(t, r, before, spentKey("b")) {
		t.Fatal("first under the old epoch")
	}
	if !take(t, r, epochOf(t, r), spentKey("a")) {
		t.Fatal("not first under the new epoch")
	}
	if got := get(t, r, sessionKey("a")); got != "" {
		t.Fatalf("a session survived: %q", got)
	}
}

func TestCAP1_NothingIsSpentTwiceWhenRedisGoesBackInTime(t *testing.T) {
	server := redistest.Start(t)
	r := openRedis(t, server, time.Now)
	other := openRealm(t, server, "other", time.Now)
	before := epochOf(t, r)
	put(t, r, sessionKey("signed out later"), "mine")
	server.Do("SAVE")
	if !take(t, r, before, spentKey("a")) {
		t.Fatal("not first")
	}
	if err := r.Delete(t.Context(), sessionKey("signed out later")); err != nil {
		t.Fatal(err)
	}
	put(t, r, sessionKey("later"), "mine")
	server.Kill()
	server.Run() // with what was saved
	eventually(t, "ready", func() bool { return r.Ready() == nil && other.Ready() == nil })
	if take(t, r, before, spentKey("a")) {
		t.Fatal("spent twice")
	}
	eventually(t, "another epoch", func() bool { return epochOf(t, r) != before })
	if got := get(t, r, sessionKey("signed out later")); got != "" {
		t.Fatalf("the backup brought a signed-out session back: %q", got)
	}
	// The same backup once more: its epoch is over.
	server.Kill()
	server.Run()
	eventually(t, "ready", func() bool { return r.Ready() == nil })
	eventually(t, "yet another epoch", func() bool { return epochOf(t, r) != before })
	if take(t, r, before, spentKey("a")) {
		t.Fatal("spent twice")
	}
}

// A count that all nodes share would hide it: the other node's heartbeats fill what was lost.
func TestCAP1_NothingIsSpentTwiceAmongNodesWhenRedisGoesBackInTime(t *testing.T) {
	server := redistest.Start(t)
	nodes := []*state.Redis{openRealm(t, server, "shared", time.Now), openRealm(t, server, "shared", time.Now)}
	for round := range 5 {
		epoch := epochOf(t, nodes[0])
		eventually(t, "of one epoch", func() bool { return epochOf(t, nodes[1]) == epoch })
		server.Do("SAVE")
		if !take(t, nodes[0], epoch, spentKey(fmt.Sprint(round))) {
			t.Fatal("not first")
		}
		server.Kill()
		server.Run()
		for _, r := range nodes {
			eventually(t, "ready", func() bool { return r.Ready() == nil })
			if take(t, r, epoch, spentKey(fmt.Sprint(round))) {
				t.Fatal("spent twice")
			}
		}
		fresh := openRealm(t, server, "shared", time.Now)
		if take(t, fresh, epoch, spentKey(fmt.Sprint(round))) {
			t.Fatal("spent twice, on a node that was not there before")
		}
	}
}

func TestCAP1_NothingIsSpentTwiceWhenEverythingGoesBackInTime(t *testing.T) {
	server := redistest.Start(t)
	r := openRealm(t, server, "shared", time.Now)
	epoch := epochOf(t, r)
	server.Do("SAVE")
	if !take(t, r, epoch, spentKey("a")) {
		t.Fatal("not first")
	}
	r.Close()
	server.Kill()
	server.Run()
	if take(t, openRealm(t, server, "shared", time.Now), epoch, spentKey("a")) {
		t.Fatal("spent twice")
	}
}

func TestCAP1_TwoNodesHaveOneOrder(t *testing.T) {
	server := redistest.Start(t)
	here, there := openRealm(t, server, "shared", time.Now), openRealm(t, server, "shared", time.Now)
	eventually(t, "of one epoch", func() bool { return epochOf(t, here) == epochOf(t, there) })
	statetest.OneWinner(t, time.Now, here, there)
	statetest.CountBySwaps(t, time.Now, here, there)
}
