package session

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Level says what a visitor has proved.
type Level byte

const (
	// Human has answered a challenge and nothing else (human_only).
	Human Level = 1
	// Password has answered a challenge and given a right password.
	Password Level = 2
)

// Record is what the store remembers of one session. The token itself is not
// part of it: whoever reads the store cannot sign in with what it holds (SES-1).
type Record struct {
	// User is the name in the users file, empty for Human.
	User string
	// Fingerprint is that of the user's entry at sign-in; a session dies with
	// the entry (SES-5).
	Fingerprint [16]byte
	Level       Level
	// Remember says that the visitor ticked the box: the session then outlives
	// the browser and has no idle limit.
	Remember bool
	Created  time.Time
	// Seen is the last use that was written down; see Manager.Find.
	Seen time.Time
	// Expires is the absolute end, whatever the use.
	Expires time.Time
}

// A stored record begins with its format and its type, so that no other kind
// of record is ever read as a session (SES-13).
const (
	recordFormat = 1
	recordType   = 's'
	fixedLength  = 2 + 32 + 16 + 2 + 3*8
)

var errRecord = errors.New("not a session record")

// encode lays a record out: format, type, key, fingerprint, level, remember,
// three times in Unix milliseconds, then realm and user, each with its length.
// The key and the realm are repeated inside so that a record moved to another
// place is noticed.
func encode(key state.Key, realm string, r Record) []byte {
	b := make([]byte, 0, fixedLength+2+len(realm)+2+len(r.User))
	b = append(b, recordFormat, recordType)
	b = append(b, key[:]...)
	b = append(b, r.Fingerprint[:]...)
	b = append(b, byte(r.Level), 0)
	if r.Remember {
		b[len(b)-1] = 1
	}
	for _, t := range []time.Time{r.Created, r.Seen, r.Expires} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
	}
	for _, s := range []string{realm, r.User} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}

// decode reads what encode wrote under the same key and realm, and nothing else.
func decode(b []byte, key state.Key, realm string) (Record, error) {
	if len(b) < fixedLength || b[0] != recordFormat || b[1] != recordType || state.Key(b[2:34]) != key || b[51] > 1 {
		return Record{}, errRecord
	}
	r := Record{
		Fingerprint: [16]byte(b[34:50]),
		Level:       Level(b[50]),
		Remember:    b[51] == 1,
		Created:     milliseconds(b[52:]),
		Seen:        milliseconds(b[60:]),
		Expires:     milliseconds(b[68:]),
	}
	storedRealm, rest, ok := field(b[fixedLength:])
	if !ok || string(storedRealm) != realm {
		return Record{}, errRecord
	}
	user, rest, ok := field(rest)
	if !ok || len(rest) != 0 || (r.Level != Human && r.Level != Password) {
		return Record{}, errRecord
	}
	r.User = string(user)
	return r, nil
}

func milliseconds(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
}

func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}
