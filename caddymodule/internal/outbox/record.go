package outbox

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// phase is where a message is on its way. From sent on it is at the end of it.
type phase byte

const (
	waiting  phase = 1 + iota
	sending        // claimed: somebody is handing it over
	orphaned       // nothing was heard of who claimed it, and somebody has said so
	sent
	refused
	canceled
	expired
	phases // how many there are, and one
)

func (p phase) final() bool { return p >= sent }

// record is what the store remembers of one message.
type record struct {
	phase phase
	// failed says that the last try to have an outcome failed.
	failed bool
	// tries counts the claims; with it no two claims of one message are the same bytes.
	tries uint16
	// wait is how long a node must have seen the record as it is before it may do the next thing. It is a duration and
	// not a time, so that the nodes' clocks need not agree.
	wait    time.Duration
	expires time.Time
	channel string
	// sealed is the message; empty once nobody will send it any more.
	sealed string
}

// grace is how long a record outlives its message, so that nodes can tell what became of it though their clocks
// disagree by as much.
const grace = time.Minute

func (r record) until() time.Time { return r.expires.Add(grace) }

// ended is the record of a message that will not be sent any more, without its content.
func (r record) ended(as phase) record {
	return record{phase: as, expires: r.expires, channel: r.channel}
}

// replaces reports whether r, the outcome of a try, may replace what has taken the place of its claim meanwhile. That a
// message was sent is always worth knowing; any other outcome only while nobody else has begun a try.
func (r record) replaces(there record, tries uint16) bool {
	if r.phase == sent {
		return there.phase != sent
	}
	return there.phase == orphaned && there.tries == tries
}

// A stored record begins with its format and its type, so that no other kind of record is ever read as one (SES-13).
const (
	recordFormat = 1
	messageType  = 'o'
	indexType    = 'i'
	headLength   = 2 + 32
	fixedLength  = headLength + 2 + 2 + 4 + 8
)

var errRecord = errors.New("not a record of the outbox")

func appendField(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

func milliseconds(b []byte) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(b))) }

// encode lays a record out: format, type, key, phase, failed, tries, wait and end in milliseconds, then realm, channel
// and the sealed message, each with its length. Key and realm are repeated inside so that a record moved to another
// place is noticed (SES-7).
func (r record) encode(key state.Key, realm string) []byte {
	b := make([]byte, 0, fixedLength+6+len(realm)+len(r.channel)+len(r.sealed))
	b = append(b, recordFormat, messageType)
	b = append(b, key[:]...)
	b = append(b, byte(r.phase), 0)
	if r.failed {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint16(b, r.tries)
	b = binary.BigEndian.AppendUint32(b, uint32(min(r.wait.Milliseconds(), math.MaxUint32)))
	b = binary.BigEndian.AppendUint64(b, uint64(r.expires.UnixMilli()))
	for _, s := range []string{realm, r.channel, r.sealed} {
		b = appendField(b, s)
	}
	return b
}

// decode reads what encode wrote under the same key and realm, and nothing else.
func decode(b []byte, key state.Key, realm string) (record, error) {
	if len(b) < fixedLength || b[0] != recordFormat || b[1] != messageType || state.Key(b[2:headLength]) != key {
		return record{}, errRecord
	}
	b = b[headLength:]
	r := record{
		phase: phase(b[0]), failed: b[1] == 1, tries: binary.BigEndian.Uint16(b[2:]),
		wait:    time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Millisecond,
		expires: milliseconds(b[8:]),
	}
	if r.phase < waiting || r.phase >= phases || b[1] > 1 {
		return record{}, errRecord
	}
	storedRealm, rest, ok := field(b[fixedLength-headLength:])
	if !ok || string(storedRealm) != realm {
		return record{}, errRecord
	}
	channel, rest, ok := field(rest)
	if !ok {
		return record{}, errRecord
	}
	sealed, rest, ok := field(rest)
	if !ok || len(rest) != 0 || (len(sealed) == 0) != r.phase.final() {
		return record{}, errRecord
	}
	r.channel, r.sealed = string(channel), string(sealed)
	return r, nil
}
