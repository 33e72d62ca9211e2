package senders_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

// Whatever a message says, the mail server gets exactly one letter to exactly
// one recipient, with the same subject and text and no header more; or Send
// refuses and nothing arrives (OTP-7).
func FuzzMessageHeader(f *testing.F) {
	for _, seed := range []struct{ subject, to, text string }{
		{"Your code", "ada@example.com", "Your code: 123456"},
		{"Ihr Code für Ä", "ada@example.com", "a\n.\n..\r\nb\rc"},
		{"a\r\nBcc: eve@example.com", "ada@example.com", "x"},
		{"a\nBcc: eve@example.com", "ada@example.com\nBcc: eve@example.com", "x"},
		{"=?utf-8?q?=0D=0ABcc:_eve@example.com?=", "ada@example.com", "x"},
		{"x", "ada@example.com>\r\nRCPT TO:<eve@example.com", "x"},
		{"x", "ada@example.com, eve@example.com", "x"},
		{"x", "Ada <ada@example.com>", "x"},
		{"x", "\"ada\r\n\"@example.com", "x"},
		{"x", "ada@example.com", "\r\n.\r\nMAIL FROM:<eve@example.com>\r\n"},
		{"x", "ada@example.com", "Subject: y\n\n--\n\n=2E\n"},
		{strings.Repeat("long ", 60), "ada@example.com", strings.Repeat("x", 5000)},
		{"a\u2028b", "ada@example.com", "\x00"},
		{"", "0@0", " "},
	} {
		f.Add(seed.subject, seed.to, seed.text)
	}
	server := newMailServer(f, noTLS)
	sender := server.sender(f, "tls off")
	f.Fuzz(func(t *testing.T, subject, to, text string) {
		m := senders.Message{ID: "fuzz", Channel: senders.Email, Subject: subject, To: to, Text: text}
		server.mu.Lock()
		server.mails = nil
		server.mu.Unlock()
		err := send(t, sender, m)
		got := server.received()
		if err != nil {
			if !errors.Is(err, senders.ErrRefused) || len(got) != 0 {
				t.Errorf("%v; received %+v", err, got)
			}
			return
		}
		if len(got) != 1 || len(got[0].to) != 1 || got[0].to[0] != to || got[0].from != "codes@gate.example" {
			t.Fatalf("received %+v", got)
		}
		read := readLetter(t, got[0])
		if len(read.header) != 9 || len(read.header["To"]) != 1 || read.header.Get("To") != "<"+to+">" {
			t.Errorf("headers %v", read.header)
		}
		if read.subject != strings.TrimSpace(subject) && read.subject != subject {
			t.Errorf("subject %q, want %q", read.subject, subject)
		}
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
		if strings.TrimRight(read.text, "\n") != strings.TrimRight(lines, "\n") {
			t.Errorf("text %q, want %q", read.text, lines)
		}
		sendertest.Quiet(t, err, m)
	})
}
