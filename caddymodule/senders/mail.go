package senders

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// letter writes the e-mail. Its Message-ID follows from the message's id, so
// that every try is the same letter. It says that no person wrote it, so that no
// machine answers (RFC 3834).
func (s *SMTP) letter(m Message) (*gomail.Msg, error) {
	letter := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	letter.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, s.from)
	if err := letter.To(m.To); err != nil {
		return nil, fmt.Errorf("%w: to: not a plain e-mail address", ErrRefused)
	}
	letter.Subject(m.Subject)
	letter.SetDateWithValue(s.now())
	domain := s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:]
	letter.SetMessageIDWithValue(m.ID + "@" + domain)
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetBodyString(gomail.TypeTextPlain, m.Text)
	return letter, nil
}

// A server that has the message already gets so long for a farewell.
const quitTimeout = 2 * time.Second

// deliver has one conversation with the mail server. It takes the steps itself
// where the library has one function for all: the context must end each of
// them, and an error must tell in which one it happened.
func (s *SMTP) deliver(ctx context.Context, m Message) error {
	letter, err := s.letter(m)
	if err != nil {
		return err
	}
	raw, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", s.Server)
	if err != nil {
		return smtpFailure(ctx, stepConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() { stop(); _ = raw.Close() }()

	c, err := s.greet(ctx, raw)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		take func() error
	}{
		{stepSender, func() error { return c.Mail("<" + s.from.Address + ">") }},
		{stepRecipient, func() error { return c.Rcpt("<" + m.To + ">") }},
		{stepText, func() error { return write(c, letter) }},
	} {
		if err := step.take(); err != nil {
			return smtpFailure(ctx, step.name, err)
		}
	}
	_ = raw.SetDeadline(time.Now().Add(quitTimeout))
	_ = c.Quit() // the message is taken, whatever becomes of the connection
	return nil
}

// greet opens the conversation: hello, TLS, sign-in. Nothing of the message and
// no credential is said before TLS is there, unless it is switched off.
func (s *SMTP) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	encryption := &tls.Config{ServerName: s.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	if s.TLS == tlsImplicit {
		secure := tls.Client(conn, encryption)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, smtpFailure(ctx, stepTLS, err)
		}
		conn = secure
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, smtpFailure(ctx, stepHello, err)
	}
	c.SkipSMTPUTF8(true) // the letter is ASCII, and the next server may not speak it
	if err := c.Hello(s.HELO); err != nil {
		return nil, smtpFailure(ctx, stepHello, err)
	}
	if s.TLS == tlsStart {
		if offered, _ := c.Extension("STARTTLS"); !offered {
			return nil, fmt.Errorf("%s: the server does not offer STARTTLS; nothing was sent", stepTLS)
		}
		if err := c.StartTLS(encryption); err != nil {
			return nil, smtpFailure(ctx, stepTLS, err)
		}
	}
	if s.Username != "" {
		if err := s.signIn(c); err != nil {
			return nil, smtpFailure(ctx, stepSignIn, err)
		}
	}
	return c, nil
}

// errNoSignIn is said of a server that this machine cannot sign in to.
var errNoSignIn = errors.New("the server offers neither PLAIN nor LOGIN")

// signIn says the password as it is: under TLS to a server that has shown its
// certificate, a more elaborate way protects little more.
func (s *SMTP) signIn(c *smtp.Client) error {
	_, offered := c.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offered))
	plain := s.TLS == tlsOff // to this machine alone, see checkTLS
	switch password := string(s.Password); {
	case slices.Contains(ways, "PLAIN"):
		return c.Auth(smtp.PlainAuth("", s.Username, password, s.host, plain))
	case slices.Contains(ways, "LOGIN"):
		return c.Auth(smtp.LoginAuth(s.Username, password, s.host, plain))
	}
	return errNoSignIn
}

// write sends the letter. When it breaks off it does not end the text, which
// would make the rest of it a letter.
func write(c *smtp.Client, letter *gomail.Msg) error {
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := letter.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

// The steps of a conversation, as errors name them.
const (
	stepConnect   = "connecting"
	stepHello     = "hello"
	stepTLS       = "TLS"
	stepSignIn    = "signing in"
	stepSender    = "sender"
	stepRecipient = "recipient"
	stepText      = "text"
)

// smtpFailure says what went wrong by the step and the server's number alone. A
// 5 for the recipient or the text is final, and a 4 is about nobody else; anything
// else, such as the password or whom the message comes from, an operator can mend.
func smtpFailure(ctx context.Context, step string, err error) error {
	reply, answered := errors.AsType[*textproto.Error](err)
	switch {
	case errors.Is(err, errNoSignIn):
		return fmt.Errorf("%s: %w", step, err)
	case !answered:
		return fmt.Errorf("%s: %w", step, cause(ctx, err))
	case step == stepSignIn && reply.Code >= 500, slices.Contains([]int{530, 534, 535, 538}, reply.Code):
		return fmt.Errorf("%s: reply %d: the credentials are not accepted", step, reply.Code)
	case reply.Code >= 500 && (step == stepRecipient || step == stepText):
		return fmt.Errorf("%s: reply %d: %w", step, reply.Code, ErrRefused)
	case reply.Code != 421 && (step == stepRecipient || step == stepText): // 421 closes the connection, whoever it is
		return fmt.Errorf("%s: reply %d: %w", step, reply.Code, ErrDeferred)
	default:
		return fmt.Errorf("%s: reply %d", step, reply.Code)
	}
}
