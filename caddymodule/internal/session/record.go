package session

import (
	"encoding/binary"
	"errors"
	"strings"
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
	// SecondStep has moreover typed the code that was sent.
	SecondStep Level = 3
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
	// Network and Browser say where the sign-in came from, for people to read: at
	// most maxShown bytes each.
	Network, Browser string
	Created          time.Time
	// Seen is the last use that was written down; see Manager.Find.
	Seen time.Time
	// Expires is the absolute end, whatever the use.
	Expires time.Time
}

// A stored record begins with its format and its type, so that no other kind
// of record is ever read as a session (SES-13).
const (
	recordFormat = 2
	recordType   = 's'
	fixedLength  = 2 + 32 + 16 + 2 + 3*8
)

var errRecord = errors.New("not a session record")

// encode lays a record out: format, type, key, fingerprint, level, remember,
// three times in Unix milliseconds, then realm, user, network and browser, each
// with its length.
// The key and the realm are repeated inside so that a record moved to another
// place is noticed.
func encode(key state.Key, realm string, r Record) []byte {
	texts := [...]string{realm, r.User, r.Network, r.Browser}
	length := fixedLength
	for _, s := range texts {
		length += 2 + len(s)
	}
	b := make([]byte, 0, length)
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
	for _, s := range texts {
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
	rest := string(b[fixedLength:]) // one copy, which the texts share
	var storedRealm string
	for _, to := range [...]*string{&storedRealm, &r.User, &r.Network, &r.Browser} {
		var ok bool
		if *to, rest, ok = field(rest); !ok {
			return Record{}, errRecord
		}
	}
	if storedRealm != realm || len(rest) != 0 || r.Level < Human || r.Level > SecondStep {
		return Record{}, errRecord
	}
	return r, nil
}

// maxShown bounds what a record keeps for people to read, in bytes.
const maxShown = 48

func cut(text string) string {
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "")
	}
	return text
}

func milliseconds(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
}

func field(b string) (value, rest string, ok bool) {
	if len(b) < 2 {
		return "", "", false
	}
	n := int(b[0])<<8 | int(b[1])
	if len(b) < 2+n {
		return "", "", false
	}
	return b[2 : 2+n], b[2+n:], true
}
