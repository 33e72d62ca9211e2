package senders_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

// sender loads the sender for a server; settings are lines of a Caddyfile.
func (s *mailServer) sender(t testing.TB, settings ...string) senders.Sender {
	t.Helper()
	settings = append([]string{"from codes@gate.example"}, settings...)
	return load(t, "smtp "+s.address+" {\n\t"+strings.Join(settings, "\n\t")+"\n}")
}

func (s *mailServer) trust() string { return "ca " + s.ca }

const signIn = "username " + mailUser + "\n\tpassword \"" + mailPassword + "\""

func TestSMTPKeepsTheRulesOfSenders(t *testing.T) {
	s := newMailServer(t, startTLS, "PLAIN")
	sendertest.Run(t, s.sender(t, s.trust(), signIn))
}

func TestSMTPSignsInAndEncryptsAsConfigured(t *testing.T) {
	for _, c := range []struct {
		name      string
		how       mode
		offered   []string
		settings  []string
		user      string
		encrypted bool
	}{
		{"STARTTLS by default", startTLS, nil, nil, "", true},
		{"STARTTLS and PLAIN", startTLS, []string{"PLAIN"}, []string{signIn}, "gate by PLAIN", true},
		{"LOGIN", startTLS, []string{"LOGIN"}, []string{signIn}, "gate by LOGIN", true},
		{"PLAIN before LOGIN", startTLS, []string{"XOAUTH2", "LOGIN", "PLAIN"}, []string{signIn}, "gate by PLAIN", true},
		{"TLS from the start", implicitTLS, []string{"PLAIN"}, []string{"tls tls", signIn}, "gate by PLAIN", true},
		{"plain text to this machine", noTLS, nil, []string{"tls off"}, "", false},
		{"PLAIN in plain text to this machine", noTLS, []string{"PLAIN"}, []string{"tls off", signIn}, "gate by PLAIN", false},
		{"LOGIN in plain text to this machine", noTLS, []string{"LOGIN"}, []string{"tls off", signIn}, "gate by LOGIN", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newMailServer(t, c.how, c.offered...)
			settings := c.settings
			if c.how != noTLS {
				settings = append(settings, s.trust())
			}
			if err := send(t, s.sender(t, settings...), sendertest.Message(senders.Email)); err != nil {
				t.Fatal(err)
			}
			got := s.received()
			if len(got) != 1 || got[0].user != c.user || got[0].tls != c.encrypted {
				t.Errorf("received %+v", got)
			}
		})
	}
}

// OTP-7
func TestSMTPWritesTheLetter(t *testing.T) {
	s := newMailServer(t, noTLS)
	sender := load(t, "smtp "+s.address+" {\n\ttls off\n\tfrom \"Müller & Töchter <codes@gate.example>\"\n\thelo gate.example\n}")
	m := sendertest.Message(senders.Email)
	m.Subject = "Ihr Code für den Zugang zu Müllers Töchtern, damit die Zeile lang genug ist"
	m.Text = "Ihr Code: 918273\n.\n.. Er gilt fünf Minuten.\r\n\r\n" + strings.Repeat("lang ", 60) + "Ende"
	for range 2 {
		if err := send(t, sender, m); err != nil {
			t.Fatal(err)
		}
	}
	got := s.received()
	if len(got) != 2 {
		t.Fatalf("received %d letters", len(got))
	}
	first := readLetter(t, got[0])
	for name, want := range map[string]string{
		"From": "=?utf-8?b?TcO8bGxlciAmIFTDtmNodGVy?= <codes@gate.example>", "To": "<" + m.To + ">",
		"Message-Id": "<" + m.ID + "@gate.example>", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
		"Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "quoted-printable",
	} {
		if got := first.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(first.header) != 9 { // and Date, Subject
		t.Errorf("headers %v", first.header)
	}
	if date, err := first.header.Date(); err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("Date %v, %v", date, err)
	}
	if first.subject != m.Subject || first.text != strings.ReplaceAll(m.Text, "\r\n", "\n") {
		t.Errorf("subject %q, text %q", first.subject, first.text)
	}
	if got[0].from != "codes@gate.example" || strings.Join(got[0].to, " ") != m.To {
		t.Errorf("from %s to %s", got[0].from, got[0].to)
	}
	if second := readLetter(t, got[1]); second.header.Get("Message-Id") != first.header.Get("Message-Id") {
		t.Error("the second try is another letter")
	}
}

type letter struct {
	header        mail.Header
	subject, text string
}

// readLetter reads a mail as a mail program does.
func readLetter(t testing.TB, got mailReceived) letter {
	t.Helper()
	for _, line := range bytes.SplitAfter(got.data, []byte("\r\n")) {
		if len(line) > 0 && !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsAny(bytes.TrimSuffix(line, []byte("\r\n")), "\r\n") {
			t.Errorf("line %q does not end in CRLF", line)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
			t.Errorf("line %q is not ASCII", line)
		}
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(got.data))
	if err != nil {
		t.Fatalf("%v in\n%s", err, got.data)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return letter{parsed.Header, subject, strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
}

// OTP-5, OTP-7, LOG-1
func TestSMTPTellsFinalFromPassing(t *testing.T) {
	m := sendertest.Message(senders.Email)
	refuse := func(code int, at string) func(string) error {
		return func(step string) error {
			if step != at {
				return nil
			}
			return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not " + m.To + " with " + m.Code + " and " + mailPassword}
		}
	}
	for _, c := range []struct {
		code int
		at   string
		want outcome
	}{
		{550, "rcpt", outcome{"smtp: recipient: reply 550: message refused", true}},
		{551, "rcpt", outcome{"smtp: recipient: reply 551: message refused", true}},
		{552, "rcpt", outcome{"smtp: recipient: reply 552: message refused", true}},
		{553, "rcpt", outcome{"smtp: recipient: reply 553: message refused", true}},
		{530, "rcpt", outcome{"smtp: recipient: reply 530: the credentials are not accepted", false}},
		{450, "rcpt", outcome{"smtp: recipient: reply 450: message deferred", false}},
		{452, "rcpt", outcome{"smtp: recipient: reply 452: message deferred", false}},
		{421, "rcpt", outcome{"smtp: recipient: reply 421", false}},
		{554, "data", outcome{"smtp: text: reply 554: message refused", true}},
		{451, "data", outcome{"smtp: text: reply 451: message deferred", false}},
		{550, "mail", outcome{"smtp: sender: reply 550", false}},
		{421, "mail", outcome{"smtp: sender: reply 421", false}},
		{454, "auth", outcome{"smtp: signing in: reply 454", false}},
		{535, "auth", outcome{"smtp: signing in: reply 535: the credentials are not accepted", false}},
	} {
		t.Run(fmt.Sprint(c.code, " at ", c.at), func(t *testing.T) {
			s := newMailServer(t, noTLS, "PLAIN")
			s.refuse = refuse(c.code, c.at)
			expect(t, send(t, s.sender(t, "tls off", signIn), m), c.want, m, mailUser, mailPassword)
			if got := s.received(); len(got) != 0 {
				t.Errorf("received %+v", got)
			}
		})
	}
}

func TestSMTPSaysThatCredentialsAreWrong(t *testing.T) {
	m := sendertest.Message(senders.Email)
	wrong := "username " + mailUser + "\n\tpassword seeded-wrong"
	for _, c := range []struct{ offered, settings, want string }{
		{"PLAIN", wrong, "smtp: signing in: reply 535: the credentials are not accepted"},
		{"LOGIN", wrong, "smtp: signing in: reply 535: the credentials are not accepted"},
		{"XOAUTH2", wrong, "smtp: signing in: the server offers neither PLAIN nor LOGIN"},
		{"PLAIN", "", "smtp: sender: reply 502"},
	} {
		t.Run(c.offered+" "+c.want, func(t *testing.T) {
			s := newMailServer(t, startTLS, c.offered)
			settings := []string{s.trust()}
			if c.settings != "" {
				settings = append(settings, c.settings)
			}
			expect(t, send(t, s.sender(t, settings...), m), outcome{c.want, false}, m, mailUser, "seeded-wrong")
		})
	}
}

// Neither a server without TLS nor one with a certificate of somebody else gets
// a credential, a recipient or a code.
func TestSMTPSaysNothingWithoutTLS(t *testing.T) {
	m := sendertest.Message(senders.Email)
	t.Run("STARTTLS is not offered", func(t *testing.T) {
		s := newMailServer(t, noTLS, "PLAIN")
		expect(t, send(t, s.sender(t, signIn), m),
			outcome{"smtp: TLS: the server does not offer STARTTLS; nothing was sent", false}, m, mailUser, mailPassword)
		if s.said() != "" {
			t.Errorf("the client went on: %s", s.said())
		}
	})
	for _, how := range []mode{startTLS, implicitTLS} {
		t.Run(fmt.Sprint("another's certificate, mode ", how), func(t *testing.T) {
			s := newMailServer(t, how, "PLAIN")
			settings := []string{signIn}
			if how == implicitTLS {
				settings = append(settings, "tls tls")
			}
			expect(t, send(t, s.sender(t, settings...), m),
				outcome{"smtp: TLS: the certificate is not accepted: x509: certificate signed by unknown authority", false}, m, mailUser, mailPassword)
			if s.said() != "" {
				t.Errorf("the client went on: %s", s.said())
			}
		})
	}
	t.Run("a certificate for another name", func(t *testing.T) {
		s := newMailServer(t, startTLS)
		_, port, _ := net.SplitHostPort(s.address)
		s.address = "localhost:" + port
		err := send(t, s.sender(t, s.trust()), m)
		if err == nil || !strings.HasPrefix(err.Error(), "smtp: TLS: the certificate is not accepted: x509: ") {
			t.Errorf("Send: %v", err)
		}
	})
	t.Run("text slipped in after STARTTLS", func(t *testing.T) {
		var after strings.Builder
		done := make(chan struct{})
		address := listen(t, func(conn net.Conn) {
			defer close(done)
			defer func() { _ = conn.Close() }()
			for _, answer := range []string{
				"220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n",
				"220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
			} {
				_, _ = io.WriteString(conn, answer)
				line := make([]byte, 4096)
				n, _ := conn.Read(line)
				after.Reset()
				after.Write(line[:n])
			}
		})
		s := &mailServer{address: address}
		if err := send(t, s.sender(t, signIn), m); err == nil {
			t.Error("Send reports success")
		}
		<-done
		if !strings.HasPrefix(after.String(), "\x16\x03") {
			t.Errorf("the client said %q, not a TLS hello", after.String())
		}
	})
}

func TestSMTPSurvivesANetworkThatFails(t *testing.T) {
	m := sendertest.Message(senders.Email)
	t.Run("nobody there", func(t *testing.T) {
		s := &mailServer{address: closedPort(t)}
		expect(t, send(t, s.sender(t), m), outcome{"smtp: connecting: connection refused", false}, m)
	})
	t.Run("no such host", func(t *testing.T) {
		s := &mailServer{address: "nowhere.invalid:587"}
		expect(t, send(t, s.sender(t), m), outcome{"smtp: connecting: no such host", false}, m)
	})
	for _, c := range []struct{ greeting, want string }{
		{"", "smtp: hello: the connection was closed"},
		{"HTTP/1.1 400 918273\r\n", "smtp: hello: no usable answer"},
		{"554 no service for " + m.To + "\r\n", "smtp: hello: reply 554"},
		{"421 busy\r\n", "smtp: hello: reply 421"},
	} {
		t.Run("greeting "+c.greeting, func(t *testing.T) {
			s := &mailServer{address: listen(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, c.greeting)
				_ = conn.Close()
			})}
			expect(t, send(t, s.sender(t), m), outcome{c.want, false}, m)
		})
	}
	for step, name := range map[string]string{"mail": "sender", "rcpt": "recipient", "data": "text"} {
		t.Run("cut at "+step, func(t *testing.T) {
			s := newMailServer(t, startTLS)
			s.dropAt = step
			expect(t, send(t, s.sender(t, s.trust()), m), outcome{"smtp: " + name + ": the connection was closed", false}, m)
		})
	}
	for _, step := range []string{"auth", "mail", "rcpt", "data"} {
		t.Run("silent at "+step, func(t *testing.T) {
			s := newMailServer(t, startTLS, "PLAIN")
			s.hangAt = step
			hangs(t, s.sender(t, s.trust(), signIn), m, mailUser, mailPassword)
		})
	}
	t.Run("silent from the start", func(t *testing.T) {
		s := &mailServer{address: listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })}
		hangs(t, s.sender(t), m)
		hangs(t, s.sender(t, "tls tls"), m)
	})
}

// A code that came must not be sent again because the goodbye was lost.
func TestSMTPCountsALetterAsTakenWhateverFollows(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		for _, answer := range []string{"220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n"} {
			_, _ = io.WriteString(conn, answer)
			if _, err := conn.Read(make([]byte, 1<<16)); err != nil {
				return
			}
		}
		time.Sleep(100 * time.Millisecond) // QUIT is read; no answer, and then the end
		_ = conn.Close()
	})
	s := &mailServer{address: address}
	if err := send(t, s.sender(t, "tls off"), sendertest.Message(senders.Email)); err != nil {
		t.Error(err)
	}
}
