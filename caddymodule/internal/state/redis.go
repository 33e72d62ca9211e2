package state

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ErrUnavailable is wrapped by every call on a [Redis] that Redis did not answer in time.
var ErrUnavailable = errors.New("redis is unavailable")

const (
	// callTimeout bounds each step of a request. Nothing is tried twice: a write that was lost on its way back may
	// have happened.
	callTimeout = 250 * time.Millisecond

	// seenFor is how long a session that was found may be served without asking again: from the local cache while Redis
	// tells of every change, and on its own while Redis is away.
	seenFor = time.Minute

	// newsTravel is what a deletion waits after Redis has sent the news of it, for the other nodes to take it in: a
	// session that was ended in one place is then refused in all others (SES-3).
	newsTravel = 10 * time.Millisecond

	// maxSteps is how many steps are under way at a time. The client library's own queue has twice the room; past it, it
	// would wait without regard to any deadline.
	maxSteps = 512

	// goneFor is how long a deleted record stays deleted on this node, whatever Redis says: a failover may lose a
	// deletion, and a restored backup undoes it.
	goneFor = 24 * time.Hour
)

// Redis is a [Store] that several processes share. Make it with [OpenRedis].
//
// All keys of a realm begin with "captcha_gate:1:{realm}:", 1 being the version of the layout. They share one hash slot
// of a cluster: each single use is one script over its mark and the epoch. Values are a letter for what they are, the
// end in microseconds of Unix time, a space and the content; Redis's own expiry removes what has ended, and the earlier
// of the two counts.
//
// Sessions are read through the client-side cache: Redis announces each change to whoever has read the key, so a live
// session costs no round trip. While Redis is away, sessions found in the last minute are still found; everything else
// fails at once, until a heartbeat gets through.
type Redis struct {
	now    func() time.Time
	prefix string
	line   *line
	pulse  *pulse
	seen   *seen
	// interruptions are the times that news may have been missed, and settled is how many of them a heartbeat has
	// followed: between the two, Redis may be another than before.
	interruptions, settled atomic.Int64
	steps                  chan struct{} // holds one for each that is under way
}

// OpenRedis makes a store on the given Redis. An error is one of the options; that Redis does not answer is none, and
// shows in [Redis.Ready].
func OpenRedis(c RedisOptions, realm string, o Options) (*Redis, error) {
	options, err := c.client()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	prefix := "captcha_gate:1:{" + realm + "}:"
	pulse, err := newPulse(prefix, o.Rand)
	if err != nil {
		return nil, err
	}
	r := &Redis{now: o.Now, prefix: prefix, pulse: pulse, seen: newSeen(o.Now), steps: make(chan struct{}, maxSteps)}
	options.OnInvalidations = r.heard
	r.line = newLine(options, c.secrets(options), r.beat)
	r.line.start() // calls heard
	return r, nil
}

// Ready returns nil when Redis answers and takes writes, else why not.
func (r *Redis) Ready() error { return r.line.ready() }

// Warning says what an operator should change in Redis, nil if nothing is known.
func (r *Redis) Warning() error {
	if p := r.pulse.policy.Load(); p != nil && *p != "" && *p != "noeviction" {
		return fmt.Errorf("redis: maxmemory-policy is %s: when memory is short, spent challenges and counters are lost; set noeviction", *p)
	}
	return nil
}

// beat is what the line to Redis does about once a second.
func (r *Redis) beat(ctx context.Context, c rueidis.Client) error {
	r.seen.sweep()
	before := r.interruptions.Load()
	raised, err := r.pulse.beat(ctx, c)
	if err != nil {
		return err
	}
	if r.settled.Swap(before) != before || raised {
		r.seen.forgetAll()
	}
	return nil
}

// heard takes in what Redis tells of changed keys; nil means that it may have told more than was heard, because the
// connection is gone, or that everything was deleted. Which of the two shows when Redis answers again.
func (r *Redis) heard(keys []rueidis.RedisMessage) {
	if keys == nil {
		r.interruptions.Add(1)
		r.line.check()
		return
	}
	for _, k := range keys {
		if name, err := k.ToString(); err == nil {
			r.seen.forget(strings.TrimPrefix(name, r.prefix))
		}
	}
}

func (r *Redis) name(k Key) string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// call runs a step with its deadline, and judges what the error says about Redis.
func (r *Redis) call(ctx context.Context, step func(ctx context.Context, c rueidis.Client) error) error {
	client, err := r.line.get(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case r.steps <- struct{}{}:
		err = step(limited, client)
		<-r.steps
	case <-limited.Done():
		err = limited.Err()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.line.judge(err)
}

// run runs a script on one key.
func (r *Redis) run(ctx context.Context, script *rueidis.Lua, k Key, args ...string) (reply []int64, err error) {
	err = r.call(ctx, func(ctx context.Context, c rueidis.Client) error {
		reply, err = script.Exec(ctx, c, []string{r.prefix + r.name(k), r.pulse.lifeKey, r.pulse.beatKey}, args).AsIntSlice()
		return err
	})
	return reply, err
}

// Epoch implements [Store]. It costs no round trip: Take compares.
func (r *Redis) Epoch(ctx context.Context) (Epoch, error) {
	if err := ctx.Err(); err != nil {
		return Epoch{}, err
	}
	if r.line.isClosed() {
		return Epoch{}, ErrClosed
	}
	if known := r.pulse.known.Load(); known != nil {
		return known.epoch, nil
	}
	if err := r.line.ready(); err != nil {
		return Epoch{}, err
	}
	return Epoch{}, ErrUnavailable // the first heartbeat is under way
}

// Take implements [Store]. Redis compares epoch and heartbeat in the same step, so that a use is not free again where
// Redis was emptied or went back in time. On an error the use may be lost.
func (r *Redis) Take(ctx context.Context, e Epoch, k Key, until time.Time) (bool, error) {
	left, now := until.Sub(r.now()), r.now()
	if r.interruptions.Load() != r.settled.Load() {
		if err := r.call(ctx, r.beat); err != nil {
			return false, err
		}
	}
	known := r.pulse.known.Load()
	if left <= 0 || known == nil || known.epoch != e {
		if _, err := r.line.get(ctx); err != nil {
			return false, err
		}
		return false, nil
	}
	reply, err := r.run(ctx, takeScript, k, known.text, strconv.FormatInt(known.beat, 10), micros(until), micros(now), milliseconds(left),
		milliseconds(beatsKept))
	switch {
	case err != nil:
		return false, err
	case len(reply) != 2:
		return false, errReply
	}
	switch reply[0] {
	case takeFirst:
		r.pulse.advance(known.epoch, reply[1])
		return true, nil
	case takeStale:
		r.line.check()
	}
	return false, nil
}

// Put implements [Store].
func (r *Redis) Put(ctx context.Context, k Key, value []byte, until time.Time) error {
	left := until.Sub(r.now())
	name := r.name(k)
	r.seen.revive(name)
	return r.call(ctx, func(ctx context.Context, c rueidis.Client) error {
		key := r.prefix + name
		write := c.B().Del().Key(key).Build()
		if left > 0 {
			write = c.B().Set().Key(key).Value(pack(value, until)).PxMilliseconds(ttl(left)).Build()
		}
		if err := c.Do(ctx, write).Error(); err != nil {
			return err
		}
		return r.settle(ctx, c, name)
	})
}

// settle asks once more about a key that was changed. Redis writes replies and news of changes when a round of commands
// is done: when the second answer is here, the cache of this node has heard of the change, and the news for all others
// is on its way.
func (r *Redis) settle(ctx context.Context, c rueidis.Client, name string) error {
	return c.Do(ctx, c.B().Exists().Key(r.prefix+name).Build()).Error()
}

// Get implements [Store]. It asks Redis about a record once, and again when Redis told of a change or a minute has
// passed. What is not there is asked for each time, without having Redis remember that we asked: strangers could fill
// its memory with that.
func (r *Redis) Get(ctx context.Context, k Key) ([]byte, error) {
	name := r.name(k)
	now := r.now()
	var found string
	before := r.seen.changes()
	err := r.call(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		key := r.prefix + name
		if !r.seen.has(name) {
			if found, err = text(c.Do(ctx, c.B().Get().Key(key).Build())); found == "" {
				return err
			}
		}
		found, err = text(c.DoCache(ctx, c.B().Get().Key(key).Cache().ToStaticTTL(), seenFor))
		return err
	})
	switch {
	case err == nil:
		r.seen.note(name, found, before)
	case ctx.Err() != nil || errors.Is(err, ErrClosed):
		return nil, err
	default:
		if found = r.seen.lately(name); found == "" {
			return nil, err
		}
	}
	if found != "" && r.seen.isGone(name) {
		// Deleted here, and yet there: the deletion did not get through, or a backup undid it.
		return nil, r.Delete(ctx, k)
	}
	return unpack(found, now), nil
}

// text is a reply, empty where Redis has nothing.
func text(reply rueidis.RedisResult) (string, error) {
	s, err := reply.ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return s, err
}

// Refresh implements [Store].
func (r *Redis) Refresh(ctx context.Context, k Key, value []byte, until time.Time) error {
	left, now := until.Sub(r.now()), r.now()
	reply, err := r.run(ctx, refreshScript, k, pack(value, until), micros(now), milliseconds(left))
	if err != nil || len(reply) != 1 || reply[0] == 0 {
		return err
	}
	return r.call(ctx, func(ctx context.Context, c rueidis.Client) error { return r.settle(ctx, c, r.name(k)) })
}

// Delete implements [Store]. When it returns, Redis has told the other nodes; this one does not show the entry again
// even if Redis does.
func (r *Redis) Delete(ctx context.Context, k Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := r.name(k)
	r.seen.bury(name)
	return r.call(ctx, func(ctx context.Context, c rueidis.Client) error {
		old, err := c.Do(ctx, c.B().Getdel().Key(r.prefix+name).Build()).ToString()
		switch {
		case err != nil && !rueidis.IsRedisNil(err):
			return err
		case !strings.HasPrefix(old, "r"):
			r.seen.revive(name) // there is no session that could come back
			return nil
		}
		if err := r.settle(ctx, c, name); err != nil {
			return err
		}
		time.Sleep(newsTravel)
		return nil
	})
}

// Add implements [Store].
func (r *Redis) Add(ctx context.Context, k Key, delta int, window time.Duration) (Tally, error) {
	if window <= 0 {
		return Tally{}, errWindow
	}
	now := r.now()
	reply, err := r.run(ctx, addScript, k, strconv.Itoa(min(max(delta, -math.MaxInt32), math.MaxInt32)),
		micros(now.Add(window)), micros(now), milliseconds(window))
	switch {
	case err != nil:
		return Tally{}, err
	case len(reply) == 1:
		return Tally{}, errMixed
	case len(reply) != 2:
		return Tally{}, errReply
	case reply[1] == 0:
		return Tally{}, nil
	}
	return Tally{N: int(reply[0]), Resets: time.UnixMicro(reply[1])}, nil
}

// Undo implements [Store].
func (r *Redis) Undo(ctx context.Context, k Key, resets time.Time) error {
	_, err := r.run(ctx, undoScript, k, micros(resets), micros(r.now()))
	return err
}

// Close implements [Store]. What others keep in Redis stays.
func (r *Redis) Close() error { return r.line.close() }

var _ Store = (*Redis)(nil)

// errReply is a bug here or a Redis that is none.
var errReply = fmt.Errorf("%w: unexpected reply", ErrUnavailable)

// The scripts count in microseconds, which the floating-point numbers of Lua hold exactly until the year 2255.
const maxMicros = 1<<53 - 1

func micros(t time.Time) string {
	n := t.UnixMicro()
	if t.Year() > 2250 {
		n = maxMicros
	}
	return strconv.FormatInt(max(n, 0), 10)
}

func ttl(left time.Duration) int64 { return max(1, int64((left+time.Millisecond-1)/time.Millisecond)) }

func milliseconds(left time.Duration) string { return strconv.FormatInt(ttl(left), 10) }

func pack(value []byte, until time.Time) string {
	return "r" + micros(until) + " " + string(value)
}

// unpack returns the content of a live record, else nil.
func unpack(packed string, now time.Time) []byte {
	head, value, ok := strings.Cut(packed, " ")
	if !ok || !strings.HasPrefix(head, "r") {
		return nil
	}
	until, err := strconv.ParseInt(head[1:], 10, 64)
	if err != nil || now.UnixMicro() >= until {
		return nil
	}
	return []byte(value)
}
