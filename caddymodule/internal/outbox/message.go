package outbox

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

// Message is what a sender hands over. It prints as its id alone, for it carries a code and an address (OTP-7).
type Message struct {
	// ID is the same for every try of one message; give it to the provider as its idempotency key. Post draws it.
	ID string
	// Channel names the sender, such as "sms" or "email".
	Channel string
	// To is a number or an address, Subject is for e-mail, Text has the code in it, Code is the code alone.
	To, Subject, Text, Code string
	// Lang is the language of Text.
	Lang string
	// Realm is that of the outbox; Post sets it.
	Realm string
	// Expires is when the code is of no more use; the message is not sent from then on. It is kept to the millisecond.
	Expires time.Time
}

// String returns "message" and the id.
func (m Message) String() string { return "message " + m.ID }

// Format prints String for every verb, of a copy as well as of a pointer.
func (m Message) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, m.String()) }

// MarshalText is String, for what logs and JSON make of a message.
func (m Message) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// scrub takes out of a text what of the message must not be logged: a provider's error may repeat it.
func (m Message) scrub(text string) string {
	var pairs []string
	for _, hidden := range []struct{ value, as string }{
		{m.Text, "[text]"}, {m.Subject, "[subject]"}, {m.To, "[to]"}, {m.Code, "[code]"},
	} {
		if hidden.value != "" {
			pairs = append(pairs, hidden.value, hidden.as)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Sender hands a message over to a provider. It must be safe for concurrent use, and return soon after ctx is done. An
// error that wraps [ErrRefused] is final; after any other the message is sent again, with the same id.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused is wrapped by errors of senders that will not change by trying again.
var ErrRefused = errors.New("refused by the provider")

// ErrDeferred is wrapped by errors that are about this message and not about the provider, which is at work. It is sent
// again, and the sender does not count as failing: one odd address must not close the channel to everybody (OTP-5).
var ErrDeferred = errors.New("deferred by the provider")

// ErrTooLong is what Post returns for a message whose texts do not fit a sealed token.
var ErrTooLong = errors.New("message is too long")

// maxContent is the longest content that package seal opens again, in bytes.
const maxContent = 1491

// messageID is the id as it stands in the store.
type messageID [16]byte

func (id messageID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// parseID reads what String wrote. Anything else is no id of ours.
func parseID(s string) (id messageID, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) || messageID(b).String() != s {
		return messageID{}, false
	}
	return messageID(b), true
}

// sealMessage seals what nobody may read in the store. The id, the end and the channel are sealed with it, because they
// stand in the open as well and must not be those of another message.
func sealMessage(keys *seal.Keyring, random io.Reader, id messageID, m Message) (string, error) {
	b := append([]byte(nil), id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Expires.UnixMilli()))
	for _, s := range []string{m.Channel, m.To, m.Subject, m.Text, m.Code, m.Lang} {
		if len(s) > maxContent {
			return "", ErrTooLong
		}
		b = appendField(b, s)
	}
	if len(b) > maxContent {
		return "", ErrTooLong
	}
	return keys.Seal(b, random)
}

// openMessage opens what sealMessage made for the same id, end and channel.
func openMessage(keys *seal.Keyring, id messageID, r record, realm string) (Message, error) {
	opened, err := keys.Open(r.sealed)
	if err != nil {
		return Message{}, err
	}
	b := opened.Plaintext
	if len(b) < len(id)+8 || messageID(b[:len(id)]) != id || !milliseconds(b[len(id):]).Equal(r.expires) {
		return Message{}, errRecord
	}
	m := Message{ID: id.String(), Realm: realm, Expires: r.expires}
	b = b[len(id)+8:]
	for _, s := range []*string{&m.Channel, &m.To, &m.Subject, &m.Text, &m.Code, &m.Lang} {
		value, rest, ok := field(b)
		if !ok {
			return Message{}, errRecord
		}
		*s, b = string(value), rest
	}
	if len(b) != 0 || m.Channel != r.channel {
		return Message{}, errRecord
	}
	return m, nil
}
