package senders

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/http/httpguts"
)

func init() {
	caddy.RegisterModule(Webhook{})
}

// Webhook posts every message to an address of yours, as JSON, for a program
// there to send. Placeholders such as `{env.NAME}` and `{file.PATH}` are
// expanded in every value when the configuration is loaded.
//
// The body is an object with the texts `id`, `channel` ("sms" or "email"), `to`,
// `subject`, `text`, `code`, `language`, `realm` and `expires_at` (RFC 3339, or
// null). The header `Idempotency-Key` repeats the id, which is the same for
// every try. Any status from 200 to 299 says that the message is taken; 401,
// 403, 408, 425, 429, redirects and 500 and above that it may be tried again;
// any other from 400 that it never will be taken.
//
// With a secret, requests are signed as Standard Webhooks says: the header
// `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256, under the
// secret, of `webhook-id`, `webhook-timestamp` (Unix seconds) and the body as it
// came, joined by dots. A receiver compares in constant time, and refuses a
// timestamp more than 5 minutes from its own clock.
type Webhook struct {
	// Where to post: https, or http to this machine alone, since the body holds
	// the code. Required. Not part of any log.
	URL Secret `json:"url,omitempty"`

	// More headers, such as Authorization, by name. Not part of any log.
	Header map[string]Secret `json:"header,omitempty"`

	// The key that signs requests, at least 32 bytes: the text itself, or after
	// "whsec_" in base64. Default: none; requests are not signed. Not part of any
	// log.
	Secret Secret `json:"secret,omitempty"`

	key       []byte
	transport *http.Transport
	now       func() time.Time
}

// minWebhookKey is the least length of a key, that of the hash.
const minWebhookKey = sha256.Size

// CaddyModule returns the module's identity.
func (Webhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha_gate.senders.webhook",
		New: func() caddy.Module { return new(Webhook) },
	}
}

// UnmarshalCaddyfile reads the sender's settings. Syntax:
//
//	webhook <url> {
//		header <name> <value>
//		secret <value>
//	}
func (w *Webhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the sender's name
	if err := readText(d, &w.URL); err != nil {
		return err
	}
	header := func() error {
		var name, value string
		if !d.AllArgs(&name, &value) {
			return d.ArgErr()
		}
		if name == "" || value == "" {
			return d.Err("header must not be empty")
		}
		name = http.CanonicalHeaderKey(name)
		if _, set := w.Header[name]; set {
			return d.Errf("header %s is given twice", name)
		}
		if w.Header == nil {
			w.Header = map[string]Secret{}
		}
		w.Header[name] = Secret(value)
		return nil
	}
	return readBlock(d, map[string]func() error{
		"header": header,
		"secret": func() error { return readText(d, &w.Secret) },
	}, "header")
}

// Provision expands and checks the settings.
func (w *Webhook) Provision(caddy.Context) error {
	fields := []field{{"url", (*string)(&w.URL)}, {"secret", (*string)(&w.Secret)}}
	values := map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(w.Header)) {
		value := string(w.Header[name])
		values[name] = &value
		fields = append(fields, field{"header " + name, &value})
	}
	if err := expand(fields...); err != nil {
		return err
	}
	for name, value := range values {
		w.Header[name] = Secret(*value)
	}
	if err := required(fields[0]); err != nil {
		return err
	}
	if _, err := providerURL("url", string(w.URL)); err != nil {
		return err
	}
	if err := w.checkHeader(); err != nil {
		return err
	}
	if err := w.parseSecret(); err != nil {
		return err
	}
	w.transport = newTransport()
	w.now = time.Now
	return nil
}

// ownHeaders are those that this sender or the connection sets.
var ownHeaders = []string{
	"Connection", "Content-Length", "Content-Type", "Host", "Idempotency-Key", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
}

func (w *Webhook) checkHeader() error {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(w.Header)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("header: %q is not a header name", name)
		case slices.Contains(ownHeaders, canonical):
			return fmt.Errorf("header: %s is set by the sender itself", canonical)
		case seen[canonical]:
			return fmt.Errorf("header: %s is given twice", canonical)
		case w.Header[name] == "":
			return fmt.Errorf("header %s: must not be empty", name)
		case !httpguts.ValidHeaderFieldValue(string(w.Header[name])):
			return fmt.Errorf("header %s: has characters that no header may have", name)
		}
		seen[canonical] = true
	}
	return nil
}

// parseSecret makes the key. Behind the prefix it is base64, as the libraries
// of receivers take it.
func (w *Webhook) parseSecret() error {
	if w.Secret == "" {
		return nil
	}
	w.key = []byte(w.Secret)
	if coded, ok := strings.CutPrefix(string(w.Secret), "whsec_"); ok {
		key, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			return errors.New("secret: is not base64 after whsec_")
		}
		w.key = key
	}
	if len(w.key) < minWebhookKey {
		return fmt.Errorf("secret: has %d bytes; at least %d are needed", len(w.key), minWebhookKey)
	}
	return nil
}

// Cleanup closes idle connections, which would outlive the configuration.
func (w *Webhook) Cleanup() error {
	if w.transport != nil {
		w.transport.CloseIdleConnections()
	}
	return nil
}

// Channels returns what the sender can send by.
func (*Webhook) Channels() []Channel { return []Channel{SMS, Email} }

// webhookBody is what a receiver gets.
type webhookBody struct {
	ID        string     `json:"id"`
	Channel   Channel    `json:"channel"`
	To        string     `json:"to"`
	Subject   string     `json:"subject"`
	Text      string     `json:"text"`
	Code      string     `json:"code"`
	Language  string     `json:"language"`
	Realm     string     `json:"realm"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// Send posts a message.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	if err := m.Check(w.now(), SMS, Email); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := w.request(ctx, m)
	if err != nil {
		return errors.New("webhook: the request cannot be made")
	}
	client := http.Client{Transport: w.transport, CheckRedirect: stayPut}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("webhook: %w", cause(ctx, err))
	}
	// Reading to the end lets the connection be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	_ = answer.Body.Close()
	if err := verdict(answer.StatusCode); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

func (w *Webhook) request(ctx context.Context, m Message) (*http.Request, error) {
	content := webhookBody{
		ID: m.ID, Channel: m.Channel, To: m.To, Subject: m.Subject, Text: m.Text,
		Code: m.Code, Language: m.Lang, Realm: m.Realm,
	}
	if !m.Expires.IsZero() {
		expires := m.Expires.UTC().Truncate(time.Second)
		content.ExpiresAt = &expires
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(w.URL), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "captcha-gate")
	for name, value := range w.Header {
		r.Header.Set(name, string(value))
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", m.ID)
	w.sign(r, m.ID, body)
	return r, nil
}

// sign adds the headers of Standard Webhooks. No part before the body can hold
// a dot, so that the parts cannot be shifted against each other.
func (w *Webhook) sign(r *http.Request, id string, body []byte) {
	if len(w.key) == 0 {
		return
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", timestamp)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Webhook)(nil)
	_ caddy.CleanerUpper    = (*Webhook)(nil)
	_ caddyfile.Unmarshaler = (*Webhook)(nil)
	_ Sender                = (*Webhook)(nil)
)
