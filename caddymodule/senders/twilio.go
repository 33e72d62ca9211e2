package senders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/twilio/twilio-go/client"
)

func init() {
	caddy.RegisterModule(Twilio{})
}

// Twilio sends text messages through Twilio, or a service that speaks the same
// protocol. Placeholders such as `{env.NAME}` and `{file.PATH}` are expanded in
// every field when the configuration is loaded.
//
// Twilio knows no idempotency key for messages: when its answer is lost on the
// way, the same text may arrive twice.
type Twilio struct {
	// The account's SID, AC and 32 digits. Required.
	AccountSID string `json:"account_sid,omitempty"`

	// The account's auth token. Required. Not part of any log.
	AuthToken Secret `json:"auth_token,omitempty"`

	// Whom messages come from: a number of yours as in E.164, a short code, or an
	// alphanumeric sender id of at most 11 characters. Either this or
	// messaging_service_sid is required.
	From string `json:"from,omitempty"`

	// The SID of a messaging service that chooses whom messages come from, MG and
	// 32 digits.
	MessagingServiceSID string `json:"messaging_service_sid,omitempty"`

	// Where the service is: another of Twilio's regions, such as
	// https://api.dublin.ie1.twilio.com, or another provider. https, or http to
	// this machine alone. Default: https://api.twilio.com.
	BaseURL string `json:"base_url,omitempty"`

	endpoint  string
	transport *http.Transport
	now       func() time.Time
}

const twilioURL = "https://api.twilio.com"

// CaddyModule returns the module's identity.
func (Twilio) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha_gate.senders.twilio",
		New: func() caddy.Module { return new(Twilio) },
	}
}

// UnmarshalCaddyfile reads the sender's settings. Syntax:
//
//	twilio {
//		account_sid           <sid>
//		auth_token            <token>
//		from                  <number|sender id>
//		messaging_service_sid <sid>
//		base_url              <url>
//	}
func (t *Twilio) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the sender's name
	if d.NextArg() {
		return d.ArgErr()
	}
	return readBlock(d, map[string]func() error{
		"account_sid":           func() error { return readText(d, &t.AccountSID) },
		"auth_token":            func() error { return readText(d, &t.AuthToken) },
		"from":                  func() error { return readText(d, &t.From) },
		"messaging_service_sid": func() error { return readText(d, &t.MessagingServiceSID) },
		"base_url":              func() error { return readText(d, &t.BaseURL) },
	})
}

var (
	// Twilio's client takes nothing else for a user name and a password.
	twilioCredential = regexp.MustCompile(`^[A-Za-z0-9]+$`)

	shortCode  = regexp.MustCompile(`^[0-9]{3,8}$`)
	senderName = regexp.MustCompile(`^[A-Za-z0-9 +_&-]{1,11}$`)
	letter     = regexp.MustCompile(`[A-Za-z]`)
)

// Provision expands and checks the settings.
func (t *Twilio) Provision(caddy.Context) error {
	fields := []field{
		{"account_sid", &t.AccountSID}, {"auth_token", (*string)(&t.AuthToken)},
		{"from", &t.From}, {"messaging_service_sid", &t.MessagingServiceSID}, {"base_url", &t.BaseURL},
	}
	if err := expand(fields...); err != nil {
		return err
	}
	if err := required(fields[:2]...); err != nil {
		return err
	}
	if t.BaseURL == "" {
		t.BaseURL = twilioURL
	}
	base, err := providerURL("base_url", t.BaseURL)
	if err != nil {
		return err
	}
	switch {
	case base.RawQuery != "" || base.ForceQuery:
		return errors.New("base_url: must not hold a query")
	case !twilioCredential.MatchString(t.AccountSID):
		return fmt.Errorf("account_sid: %q is not made of letters and digits", t.AccountSID)
	case !twilioCredential.MatchString(string(t.AuthToken)):
		return errors.New("auth_token: is not made of letters and digits")
	case (t.From == "") == (t.MessagingServiceSID == ""):
		return errors.New("from: either it or messaging_service_sid is needed")
	case t.From != "" && !validFrom(t.From):
		return fmt.Errorf("from: %q is neither a number such as +4915112345678 nor a sender id", t.From)
	case t.MessagingServiceSID != "" && !twilioCredential.MatchString(t.MessagingServiceSID):
		return fmt.Errorf("messaging_service_sid: %q is not made of letters and digits", t.MessagingServiceSID)
	}
	t.endpoint = base.JoinPath("2010-04-01", "Accounts", t.AccountSID, "Messages.json").String()
	t.transport = newTransport()
	t.now = time.Now
	return nil
}

func validFrom(from string) bool {
	return numberPattern.MatchString(from) || shortCode.MatchString(from) ||
		senderName.MatchString(from) && letter.MatchString(from) && strings.TrimSpace(from) == from
}

// Cleanup closes idle connections, which would outlive the configuration.
func (t *Twilio) Cleanup() error {
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
	return nil
}

// Channels returns what the sender can send by.
func (*Twilio) Channels() []Channel { return []Channel{SMS} }

// Send hands a message to Twilio.
func (t *Twilio) Send(ctx context.Context, m Message) error {
	if err := m.Check(t.now(), SMS); err != nil {
		return fmt.Errorf("twilio: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	call := &twilioCall{ctx: ctx, transport: t.transport}
	c := client.Client{
		Credentials: client.NewCredentials(t.AccountSID, string(t.AuthToken)),
		HTTPClient:  &http.Client{Transport: call, CheckRedirect: stayPut},
	}
	form := map[string]any{"Content-Type": "application/x-www-form-urlencoded"}
	answer, err := c.SendRequest(http.MethodPost, t.endpoint, t.form(m), form)
	if err == nil {
		err = answer.Body.Close()
	}
	if call.status == 0 {
		return fmt.Errorf("twilio: %w", cause(ctx, err))
	}
	code := 0
	if failure, ok := errors.AsType[*client.TwilioRestError](err); ok {
		code = failure.Code
	}
	if err := twilioVerdict(call.status, code); err != nil {
		return fmt.Errorf("twilio: %w", err)
	}
	return nil
}

// form is what Twilio is asked for. A message that waits at Twilio, because the
// account may send no faster, is dropped there when its code has expired.
func (t *Twilio) form(m Message) url.Values {
	form := url.Values{"To": {m.To}, "Body": {m.Text}}
	if t.From != "" {
		form.Set("From", t.From)
	} else {
		form.Set("MessagingServiceSid", t.MessagingServiceSID)
	}
	if !m.Expires.IsZero() {
		seconds := int(m.Expires.Sub(t.now()) / time.Second)
		form.Set("ValidityPeriod", strconv.Itoa(min(max(seconds, 1), maxValidity)))
	}
	return form
}

// The longest validity period that Twilio takes, in seconds.
const maxValidity = 36000

// messageFaults are the codes of Twilio by which it is the recipient or the text
// that cannot be sent. Twilio changes its codes over time; one that is not here
// counts as a fault of the account, which a later try may find mended.
var messageFaults = map[int]bool{
	21211: true, // not a valid number
	21214: true, // cannot be reached
	21217: true, // does not appear to be valid
	21265: true, // a short code
	21266: true, // the sender's own number
	21268: true, // a premium number
	21610: true, // has unsubscribed
	21612: true, // no route from this sender
	21614: true, // not a mobile number
	21617: true, // the text is too long
	21635: true, // a landline
}

// recipientFaults are those that an operator may mend at Twilio, for this
// recipient; others get their messages.
var recipientFaults = map[int]bool{
	21408: true, // a country that is switched off
	21608: true, // not verified, which a trial account asks for
}

// twilioVerdict is verdict, with Twilio's own code where a status says too
// little.
func twilioVerdict(status, code int) error {
	if status != http.StatusBadRequest {
		err := verdict(status)
		if err != nil && code != 0 {
			return fmt.Errorf("code %d, %w", code, err)
		}
		return err
	}
	switch {
	case messageFaults[code]:
		return fmt.Errorf("code %d, status %d: %w", code, status, ErrRefused)
	case recipientFaults[code]:
		return fmt.Errorf("code %d, status %d: %w", code, status, ErrDeferred)
	}
	return fmt.Errorf("code %d, status %d: the account or its settings do not allow it", code, status)
}

// twilioCall is the transport of one call. Twilio's client takes no context,
// leaves the bodies of errors open, reads them without a limit, and hides the
// status of those that are not JSON; all of that is mended here.
type twilioCall struct {
	ctx       context.Context
	transport http.RoundTripper
	status    int
}

// RoundTrip ends with the call's context and returns an answer that is already
// read.
func (c *twilioCall) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.transport.RoundTrip(r.WithContext(c.ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	c.status = answer.StatusCode
	// What can be read is enough: the status alone says whether it was taken.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Twilio)(nil)
	_ caddy.CleanerUpper    = (*Twilio)(nil)
	_ caddyfile.Unmarshaler = (*Twilio)(nil)
	_ Sender                = (*Twilio)(nil)
)
