package senders

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
)

func init() {
	caddy.RegisterModule(SMTP{})
}

// SMTP sends e-mail through a mail server that accepts it for everybody, such as
// the submission port of your provider. Placeholders such as `{env.NAME}` and
// `{file.PATH}` are expanded in every field when the configuration is loaded.
//
// Every try of a message carries the same Message-ID, so that a mailbox can tell
// a copy.
type SMTP struct {
	// The mail server, host:port. Required.
	Server string `json:"server,omitempty"`

	// The user name at the server. Default: none; the server must know this
	// machine.
	Username string `json:"username,omitempty"`

	// The password at the server. Not part of any log.
	Password Secret `json:"password,omitempty"`

	// Whom messages come from: an address, or a name and an address such as
	// `Example <codes@example.com>`. Required.
	From string `json:"from,omitempty"`

	// "starttls": the connection becomes TLS before anything is said, or nothing
	// is sent; "tls": it is TLS from the start; "off": plain text, which shows
	// codes to everybody on the way, and with a username is refused unless the
	// server is this machine. Default: tls for port 465, else starttls.
	TLS string `json:"tls,omitempty"`

	// A PEM file of the certificates that sign the server's. Default: those of
	// the system.
	CA string `json:"ca,omitempty"`

	// The name by which this machine introduces itself. Default: its host name,
	// or localhost where that is not fit to be sent.
	HELO string `json:"helo,omitempty"`

	host  string
	port  int
	from  *mail.Address
	roots *x509.CertPool
	now   func() time.Time
}

const (
	tlsStart    = "starttls"
	tlsImplicit = "tls"
	tlsOff      = "off"

	portImplicit = 465
)

// CaddyModule returns the module's identity.
func (SMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha_gate.senders.smtp",
		New: func() caddy.Module { return new(SMTP) },
	}
}

// UnmarshalCaddyfile reads the sender's settings. Syntax:
//
//	smtp <host:port> {
//		username <name>
//		password <password>
//		from     <address>
//		tls      starttls|tls|off
//		ca       <file>
//		helo     <name>
//	}
func (s *SMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the sender's name
	if err := readText(d, &s.Server); err != nil {
		return err
	}
	return readBlock(d, map[string]func() error{
		"username": func() error { return readText(d, &s.Username) },
		"password": func() error { return readText(d, &s.Password) },
		"from":     func() error { return readText(d, &s.From) },
		"tls":      func() error { return readText(d, &s.TLS) },
		"ca":       func() error { return readText(d, &s.CA) },
		"helo":     func() error { return readText(d, &s.HELO) },
	})
}

var heloPattern = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]{1,255}$`)

// Provision expands and checks the settings. It does not speak to the server,
// which may be away for a while.
func (s *SMTP) Provision(caddy.Context) error {
	if err := expand(
		field{"server", &s.Server}, field{"username", &s.Username}, field{"password", (*string)(&s.Password)},
		field{"from", &s.From}, field{"tls", &s.TLS}, field{"ca", &s.CA}, field{"helo", &s.HELO},
	); err != nil {
		return err
	}
	if err := required(field{"server", &s.Server}, field{"from", &s.From}); err != nil {
		return err
	}
	if err := s.parseServer(); err != nil {
		return err
	}
	if err := s.checkTLS(); err != nil {
		return err
	}
	from, err := mail.ParseAddress(s.From)
	switch {
	case err != nil || contacts.CheckEmail(from.Address) != nil || !plainText(from.Name, ""):
		return fmt.Errorf("from: %q is not an address such as codes@example.com or Example <codes@example.com>", s.From)
	case (s.Username == "") != (s.Password == ""):
		return errors.New("username: it and password go together")
	case s.HELO != "" && !heloPattern.MatchString(s.HELO):
		return fmt.Errorf("helo: %q is not a host name", s.HELO)
	}
	if s.HELO == "" {
		s.HELO, err = os.Hostname()
		if err != nil || !heloPattern.MatchString(s.HELO) {
			s.HELO = "localhost"
		}
	}
	s.from = from
	s.now = time.Now
	return nil
}

func (s *SMTP) parseServer() error {
	host, port, err := net.SplitHostPort(s.Server)
	if err == nil {
		s.port, err = strconv.Atoi(port)
	}
	if err != nil || host == "" || s.port < 1 || s.port > 65535 {
		return fmt.Errorf("server: %q is not host:port such as mail.example.com:587", s.Server)
	}
	s.host = host
	return nil
}

func (s *SMTP) checkTLS() error {
	if s.TLS == "" {
		s.TLS = tlsStart
		if s.port == portImplicit {
			s.TLS = tlsImplicit
		}
	}
	switch {
	case s.TLS != tlsStart && s.TLS != tlsImplicit && s.TLS != tlsOff:
		return fmt.Errorf("tls: %q is none of %s, %s, %s", s.TLS, tlsStart, tlsImplicit, tlsOff)
	case s.TLS == tlsOff && s.Username != "" && !loopback(s.host):
		return errors.New("tls: off would show the password to everybody on the way to another machine")
	case s.TLS == tlsOff && s.CA != "":
		return errors.New("ca: of no use with tls off")
	case s.CA == "":
		return nil
	}
	roots, err := readCA(s.CA)
	s.roots = roots
	return err
}

// Channels returns what the sender can send by.
func (*SMTP) Channels() []Channel { return []Channel{Email} }

// Send hands a message to the mail server.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	if err := m.Check(s.now(), Email); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.deliver(ctx, m); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*SMTP)(nil)
	_ caddyfile.Unmarshaler = (*SMTP)(nil)
	_ Sender                = (*SMTP)(nil)
)
