// Package sendertest holds the rules that every sender keeps, as tests. A sender
// of your own passes them with two lines: one that starts a stand-in for its
// provider, and
//
//	sendertest.Run(t, sender)
package sendertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
)

// soon is how long a sender may take to notice that its context is done.
const soon = 3 * time.Second

// Message returns a message that a provider has no reason to refuse. Its
// recipient, text and code are easy to find again where they must not be.
func Message(channel senders.Channel) senders.Message {
	m := senders.Message{
		ID: rand.Text(), Channel: channel, To: "+4915198765432",
		Text: "Ihr Code für Beispiel: 918273. Er gilt fünf Minuten.", Code: "918273",
		Lang: "de", Realm: "default", Expires: time.Now().Add(5 * time.Minute),
	}
	if channel == senders.Email {
		m.To, m.Subject = "seeded.recipient@example.com", "Ihr Code für Beispiel"
	}
	return m
}

// Run checks a sender whose provider takes every message.
func Run(t *testing.T, s senders.Sender) {
	t.Helper()
	channels := s.Channels()
	if len(channels) == 0 {
		t.Fatal("the sender has no channels")
	}
	for _, channel := range channels {
		t.Run(string(channel), func(t *testing.T) {
			t.Run("takes a message, and again", func(t *testing.T) { takesAgain(t, s, channel) })
			t.Run("is used by several at once", func(t *testing.T) { takesAtOnce(t, s, channel) })
			t.Run("ends with its context", func(t *testing.T) { endsWithContext(t, s, channel) })
			t.Run("refuses what breaks out of a header", func(t *testing.T) { refusesInjection(t, s, channel) })
		})
	}
	t.Run("refuses other channels", func(t *testing.T) {
		for _, channel := range []senders.Channel{senders.SMS, senders.Email, "pigeon", ""} {
			if !slices.Contains(channels, channel) {
				m := Message(channel)
				refused(t, fmt.Sprintf("channel %q", string(channel)), send(t, s, m), m)
			}
		}
	})
}

// Quiet fails the test when an error says anything of the message, or one of
// the credentials.
func Quiet(t testing.TB, err error, m senders.Message, credentials ...string) {
	t.Helper()
	if err == nil {
		return
	}
	local, _, _ := strings.Cut(m.To, "@")
	secrets := append([]string{m.To, local, strings.TrimPrefix(m.To, "+"), m.Subject, m.Text, m.Code}, credentials...)
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		text := fmt.Sprintf(verb, err)
		for _, secret := range secrets {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("the error holds %q: %s", secret, text)
			}
		}
	}
}

func takesAgain(t *testing.T, s senders.Sender, channel senders.Channel) {
	m := Message(channel)
	for range 2 {
		if err := send(t, s, m); err != nil {
			t.Errorf("Send: %v", err)
		}
	}
}

func takesAtOnce(t *testing.T, s senders.Sender, channel senders.Channel) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := send(t, s, Message(channel)); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	all.Wait()
}

func endsWithContext(t *testing.T, s senders.Sender, channel senders.Channel) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := Message(channel)
	start := time.Now()
	err := s.Send(ctx, m)
	switch took := time.Since(start); {
	case took > soon:
		t.Errorf("Send took %v", took)
	case err == nil:
		t.Error("Send reports success after its context was done")
	case errors.Is(err, senders.ErrRefused):
		t.Errorf("a later try could succeed, but the error is final: %v", err)
	}
	Quiet(t, err, m)
}

func refusesInjection(t *testing.T, s senders.Sender, channel senders.Channel) {
	for name, spoil := range map[string]func(m *senders.Message){
		"line end in the recipient":       func(m *senders.Message) { m.To += "\r\nBcc: eve@example.com" },
		"bare line feed in the recipient": func(m *senders.Message) { m.To += "\nX: y" },
		"two recipients":                  func(m *senders.Message) { m.To += ", " + m.To },
		"no recipient":                    func(m *senders.Message) { m.To = "" },
		"line end in the subject":         func(m *senders.Message) { m.Subject = "a\r\nBcc: eve@example.com" },
		"line end in the id":              func(m *senders.Message) { m.ID += "\r\nX: y" },
		"no id":                           func(m *senders.Message) { m.ID = "" },
		"a text that is not UTF-8":        func(m *senders.Message) { m.Text = "918273\xff" },
		"a code that has expired":         func(m *senders.Message) { m.Expires = time.Now().Add(-time.Second) },
	} {
		m := Message(channel)
		spoil(&m)
		refused(t, name, send(t, s, m), m)
	}
}

func send(t *testing.T, s senders.Sender, m senders.Message) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, m)
}

func refused(t *testing.T, what string, err error, m senders.Message) {
	t.Helper()
	if !errors.Is(err, senders.ErrRefused) {
		t.Errorf("%s: %v, want an error that wraps ErrRefused", what, err)
	}
	Quiet(t, err, m)
}
