package senders

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
)

var (
	idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

	// E.164: a plus, a country code that does not begin with 0, at most 15 digits.
	numberPattern = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// Check refuses, with an error that wraps ErrRefused, a message that must not
// reach a provider: one by another channel than those given, one that is too
// old at the time now, and one whose id, recipient, subject or text could end a
// header or a command early (OTP-7). Every sender asks it first.
func (m Message) Check(now time.Time, channels ...Channel) error {
	problem := m.problem(now, channels)
	if problem == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRefused, problem)
}

// problem says what is wrong with the message without showing any of it.
func (m Message) problem(now time.Time, channels []Channel) string {
	switch {
	case !slices.Contains(channels, m.Channel):
		return "channel: not one of this sender"
	case !idPattern.MatchString(m.ID):
		return "id: not 1 to 128 letters, digits, underscores or hyphens"
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		return "expires: the code is no longer worth sending"
	case m.Channel == SMS && !numberPattern.MatchString(m.To):
		return "to: not a phone number such as +4915112345678"
	case m.Channel == Email && contacts.CheckEmail(m.To) != nil:
		return "to: not a plain e-mail address"
	case m.Channel != SMS && m.Channel != Email:
		return "channel: unknown"
	case m.Channel != Email && m.Subject != "":
		return "subject: only an e-mail has one"
	case !plainText(m.Subject, ""):
		return "subject: not UTF-8, or has control characters"
	case strings.Contains(m.Subject, "=?"):
		return "subject: mail programs would decode it"
	case strings.TrimSpace(m.Text) == "":
		return "text: empty"
	case !plainText(m.Text, "\t\r\n"):
		return "text: not UTF-8, or has control characters"
	}
	return ""
}

// plainText reports whether a text is UTF-8 without control characters other
// than the allowed ones. The separators of lines and paragraphs in Unicode
// count as control characters: some programs break lines there.
func plainText(text, allowed string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return (unicode.IsControl(r) || r == '\u2028' || r == '\u2029') && !strings.ContainsRune(allowed, r)
	})
}
