package state

import (
	"context"
	"encoding/hex"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"
)

// pulse is what this node knows about the life of the data in Redis: the epoch, and a count that every heartbeat and
// every spent use adds to. A count below one that was seen before means that Redis went back in time: it was restored,
// or a replica took over that had not heard of everything. What was spent may then be unspent, so the epoch changes.
type pulse struct {
	key    string
	random io.Reader

	known   atomic.Pointer[life]
	mu      sync.Mutex // for changing known
	retired []string   // epochs that are over; a backup may bring one back
}

type life struct {
	epoch Epoch
	text  string // the epoch as it stands in Redis
	beat  int64
}

// maxRetired bounds what is remembered of epochs that are over.
const maxRetired = 64

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
	reply, err := beatScript.Exec(ctx, c, []string{p.key}, []string{hex.EncodeToString(fresh[:]), text, strconv.FormatInt(beat, 10)}).ToArray()
	if err != nil {
		return "", 0, err
	}
	if len(reply) != 2 {
		return "", 0, errReply
	}
	if text, err = reply[0].ToString(); err != nil {
		return "", 0, err
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
