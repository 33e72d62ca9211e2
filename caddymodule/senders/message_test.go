package senders_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

// OTP-7, LOG-1
func TestPrintingShowsNeitherMessageNorSecret(t *testing.T) {
	m := sendertest.Message(senders.Email)
	secret := senders.Secret("seeded-credential")
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", m, &m, secret)
		fmt.Fprintf(&out, verb+"\n", []any{m, secret})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "m", m, "s", secret)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "m", m, "s", secret)
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).Info("x", zap.Any("m", m), zap.Any("s", secret))
	fmt.Fprintln(&out, logs.All()[0].ContextMap())

	for _, hidden := range []string{m.To, m.Subject, m.Text, m.Code, string(secret), fmt.Sprintf("%x", string(secret))} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("%q is shown:\n%s", hidden, &out)
		}
	}
	if !strings.Contains(out.String(), m.ID) {
		t.Errorf("the id is not shown:\n%s", &out)
	}
}

func TestSecretSurvivesJSON(t *testing.T) {
	written, err := json.Marshal(senders.Secret("abc"))
	if err != nil || string(written) != `"abc"` {
		t.Errorf("%s, %v", written, err)
	}
}

// OTP-7
func TestCheckRefusesWhatMustNotReachAProvider(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	sms := senders.Message{ID: "a-1_B", Channel: senders.SMS, To: "+4915112345678", Text: "123456", Expires: now.Add(time.Minute)}
	email := sms
	email.Channel, email.To, email.Subject = senders.Email, "ada@example.com", "Your code"

	for _, c := range []struct {
		name  string
		base  senders.Message
		spoil func(m *senders.Message)
		want  string
	}{
		{"a good text message", sms, func(*senders.Message) {}, ""},
		{"a good e-mail", email, func(*senders.Message) {}, ""},
		{"no expiry", sms, func(m *senders.Message) { m.Expires = time.Time{} }, ""},
		{"several lines and a tab", sms, func(m *senders.Message) { m.Text = "a\tb\r\nc\nd" }, ""},
		{"an address with all allowed characters", email, func(m *senders.Message) { m.To = "a.b!#$%&'*+/=?^_`{|}~-c@x-1.example" }, ""},
		{"unknown channel", sms, func(m *senders.Message) { m.Channel = "pigeon" }, "channel: not one of this sender"},
		{"no id", sms, func(m *senders.Message) { m.ID = "" }, "id: not 1 to 128 letters, digits, underscores or hyphens"},
		{"dot in id", sms, func(m *senders.Message) { m.ID = "a.b" }, "id: not 1 to 128 letters, digits, underscores or hyphens"},
		{"line feed after id", sms, func(m *senders.Message) { m.ID = "a\n" }, "id: not 1 to 128 letters, digits, underscores or hyphens"},
		{"long id", sms, func(m *senders.Message) { m.ID = strings.Repeat("a", 129) }, "id: not 1 to 128 letters, digits, underscores or hyphens"},
		{"expired this moment", sms, func(m *senders.Message) { m.Expires = now }, "expires: the code is no longer worth sending"},
		{"number without plus", sms, func(m *senders.Message) { m.To = "4915112345678" }, "to: not a phone number such as +4915112345678"},
		{"number with spaces", sms, func(m *senders.Message) { m.To = "+49 151 1234567" }, "to: not a phone number such as +4915112345678"},
		{"line feed after number", sms, func(m *senders.Message) { m.To += "\n" }, "to: not a phone number such as +4915112345678"},
		{"number too long", sms, func(m *senders.Message) { m.To = "+1234567890123456" }, "to: not a phone number such as +4915112345678"},
		{"other digits", sms, func(m *senders.Message) { m.To = "+49١٥١١٢٣٤٥٦٧" }, "to: not a phone number such as +4915112345678"},
		{"address for a phone", sms, func(m *senders.Message) { m.To = "ada@example.com" }, "to: not a phone number such as +4915112345678"},
		{"number for an e-mail", email, func(m *senders.Message) { m.To = "+4915112345678" }, "to: not a plain e-mail address"},
		{"display name", email, func(m *senders.Message) { m.To = "Ada <ada@example.com>" }, "to: not a plain e-mail address"},
		{"two addresses", email, func(m *senders.Message) { m.To = "a@example.com,b@example.com" }, "to: not a plain e-mail address"},
		{"quoted local part", email, func(m *senders.Message) { m.To = `"a b"@example.com` }, "to: not a plain e-mail address"},
		{"dots side by side", email, func(m *senders.Message) { m.To = "a..b@example.com" }, "to: not a plain e-mail address"},
		{"address that is a command", email, func(m *senders.Message) { m.To = "ada@example.com>\r\nDATA" }, "to: not a plain e-mail address"},
		{"letters beyond ASCII", email, func(m *senders.Message) { m.To = "ada@bücher.example" }, "to: not a plain e-mail address"},
		{"address literal", email, func(m *senders.Message) { m.To = "ada@[127.0.0.1]" }, "to: not a plain e-mail address"},
		{"long address", email, func(m *senders.Message) { m.To = "a@" + strings.Repeat("b.", 130) + "example" }, "to: not a plain e-mail address"},
		{"subject for a phone", sms, func(m *senders.Message) { m.Subject = "x" }, "subject: only an e-mail has one"},
		{"line end in subject", email, func(m *senders.Message) { m.Subject = "a\r\nBcc: eve@example.com" }, "subject: not UTF-8, or has control characters"},
		{"line separator in subject", email, func(m *senders.Message) { m.Subject = "a\u2028b" }, "subject: not UTF-8, or has control characters"},
		{"subject that is not UTF-8", email, func(m *senders.Message) { m.Subject = "a\xff" }, "subject: not UTF-8, or has control characters"},
		{"subject that hides line ends", email, func(m *senders.Message) { m.Subject = "=?utf-8?q?=0D=0A?=" }, "subject: mail programs would decode it"},
		{"no text", sms, func(m *senders.Message) { m.Text = " \n" }, "text: empty"},
		{"NUL in text", sms, func(m *senders.Message) { m.Text = "1\x002" }, "text: not UTF-8, or has control characters"},
		{"text that is not UTF-8", sms, func(m *senders.Message) { m.Text = "\xc3\x28" }, "text: not UTF-8, or has control characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.base
			c.spoil(&m)
			err := m.Check(now, senders.SMS, senders.Email)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, senders.ErrRefused) || err.Error() != "message refused: "+c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if err := sms.Check(now, senders.Email); err == nil {
		t.Error("a channel that the sender does not have is taken")
	}
	sms.Channel = "pigeon"
	if err := sms.Check(now, "pigeon"); err == nil {
		t.Error("a channel whose recipients nobody knows how to check is taken")
	}
}
