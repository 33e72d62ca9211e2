package state

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// pulse is what this node knows about the life of the data in Redis: the epoch, and a count of its own in Redis that
// every heartbeat and every spent use of this node adds to. A count below one that it saw before means that Redis went
// back in time: it was restored, or a replica took over that had not heard of everything. So may another run of the
// server, which the epoch is therefore tied to as well. What was spent may then be unspent, so the epoch changes.
type pulse struct {
	lifeKey, beatKey string
	random           io.Reader

	known   atomic.Pointer[life]
	policy  atomic.Pointer[string] // what Redis does when memory is short
	mu      sync.Mutex             // for changing known
	retired []string               // epochs that are over; a backup may bring one back
}

type life struct {
	epoch Epoch
	text  string // the epoch as it stands in Redis
	beat  int64
}

const (
	// maxRetired bounds what is remembered of epochs that are over.
	maxRetired = 64
	// beatsKept is how long the count of a node that has gone stays in Redis.
	beatsKept = 24 * time.Hour
)

// newPulse gives the node a name of its own.
func newPulse(prefix string, random io.Reader) (*pulse, error) {
	node, err := newEpoch(random)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return &pulse{lifeKey: prefix + "life", beatKey: prefix + "beat:" + hex.EncodeToString(node[:8]), random: random}, nil
}

// beat adds to the count and takes in what Redis has. raised says that the epoch is not the one known before.
func (p *pulse) beat(ctx context.Context, c rueidis.Client) (raised bool, err error) {
	expected := life{}
	if known := p.known.Load(); known != nil {
		expected = *known
	}
	text, beat, err := p.ask(ctx, c, expected.text, expected.beat)
	if err == nil && p.isRetired(text) {
		text, beat, err = p.ask(ctx, c, text, math.MaxInt64)
	}
	if err != nil {
		return false, err
	}
	epoch, err := hex.DecodeString(text)
	if err != nil || len(epoch) != len(Epoch{}) {
		return false, errReply
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known.Load()
	if known != nil && known.text == text {
		p.set(life{known.epoch, text, max(known.beat, beat)})
		return false, nil
	}
	if known != nil {
		p.retired = append(p.retired, known.text)
		p.retired = p.retired[max(0, len(p.retired)-maxRetired):]
	}
	p.set(life{Epoch(epoch), text, beat})
	return known != nil, nil
}

func (p *pulse) ask(ctx context.Context, c rueidis.Client, text string, beat int64) (string, int64, error) {
	fresh, err := newEpoch(p.random)
	if err != nil {
		return "", 0, err
	}
	reply, err := beatScript.Exec(ctx, c, []string{p.lifeKey, p.beatKey}, []string{
		hex.EncodeToString(fresh[:]), text, strconv.FormatInt(beat, 10), milliseconds(beatsKept),
	}).ToArray()
	if err != nil {
		return "", 0, err
	}
	if len(reply) != 3 {
		return "", 0, errReply
	}
	if text, err = reply[0].ToString(); err != nil {
		return "", 0, err
	}
	if policy, err := reply[2].ToString(); err == nil {
		p.policy.Store(&policy)
	}
	beat, err = reply[1].AsInt64()
	return text, beat, err
}

func (p *pulse) isRetired(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.retired, text)
}

func (p *pulse) set(l life) { p.known.Store(&l) }

// advance takes in a later count of the same epoch.
func (p *pulse) advance(e Epoch, beat int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.known.Load(); known.epoch == e && known.beat < beat {
		p.set(life{e, known.text, beat})
	}
}
