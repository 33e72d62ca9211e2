// Package senders hands the gate's one-time codes to the services that bring
// them to people: text messages through Twilio, e-mail through an SMTP server,
// either through a webhook of your own.
//
// A sender is a Caddy module in the namespace http.captcha_gate.senders that
// implements Sender. The three here are written against the same interface as
// those of other packages: a module of your own is registered the same way, and
// sendertest holds the rules that each must keep. docs/senders.md shows a whole
// one.
//
// A code is a password for some minutes. Whatever happens, nothing of a message
// but its id and channel, and nothing of the credentials, is in an error, for
// errors are logged; what a provider answers is never repeated beyond a number,
// for it may name the recipient (OTP-7, LOG-1).
package senders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Channel is a way to reach a person.
type Channel string

const (
	// SMS is a text message to a phone.
	SMS Channel = "sms"
	// Email is an e-mail.
	Email Channel = "email"
)

// Message is one text to one person.
type Message struct {
	// ID names the message and is the same for every try, so that a provider
	// that knows the idea sends it once. Letters, digits, "_" and "-", at most
	// 128 of them: it goes into headers.
	ID string

	// Channel says what To is.
	Channel Channel

	// To is the recipient: a number as in E.164, such as +4915112345678, or an
	// e-mail address. The caller has validated it; a sender validates it again
	// where it builds a header from it (OTP-7). Check does.
	To string

	// Subject is that of an e-mail; other channels have none.
	Subject string

	// Text is the whole message, plain text in UTF-8.
	Text string

	// Code is the code that Text contains, for senders with templates of their
	// own.
	Code string

	// Lang is the language of Text, a BCP 47 tag.
	Lang string

	// Realm is the realm of the gate that sends.
	Realm string

	// Expires is when the code is no longer worth sending; zero is never.
	Expires time.Time
}

// String names the message by id and channel, and shows nothing else of it.
func (m Message) String() string { return fmt.Sprintf("message %q by %q", m.ID, string(m.Channel)) }

// GoString hides the rest from %#v.
func (m Message) GoString() string { return m.String() }

// Format hides the rest from every verb, also those that look into fields.
func (m Message) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, m.String()) }

// LogValue hides the rest from structured logs, which would write the fields.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Sender hands messages to a provider. It is used by several goroutines at
// once.
type Sender interface {
	// Channels returns what the sender can send by, at least one.
	Channels() []Channel

	// Send returns when the provider has taken the message. ctx has a deadline,
	// and Send returns soon after it is done. An error that wraps ErrRefused is
	// final: the provider will never take this message. Any other may be tried
	// again, with the same ID.
	//
	// Errors hold neither code nor text nor recipient nor credentials, for they
	// are logged.
	Send(ctx context.Context, m Message) error
}

// ErrRefused is wrapped by errors that no further try can mend: a number that
// does not exist, a recipient that wants no messages, a message that is too
// old.
var ErrRefused = errors.New("message refused")

// ErrDeferred is wrapped by errors that are about this one message while the
// provider is at work, such as a mailbox that is full or a domain that cannot be
// looked up. It is sent again, and other messages are not held up.
var ErrDeferred = errors.New("message deferred")

// Secret is a credential in a configuration. It is written to JSON as it is,
// since the configuration must survive a round trip, and to nothing else.
type Secret string

const redacted = "REDACTED"

// String hides the value from fmt's string verbs and from loggers.
func (Secret) String() string { return redacted }

// GoString hides the value from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the value from every verb, also those that look at the bytes.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue hides the value from structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
