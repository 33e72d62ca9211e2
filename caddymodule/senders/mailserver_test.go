package senders_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	mailUser     = "gate"
	mailPassword = "seeded mail password"
)

// mailServer is a real SMTP server on this machine.
type mailServer struct {
	address string
	ca      string // a PEM file of what signed its certificate

	// Set before the first connection.
	mechanisms []string                // none: nobody has to sign in
	refuse     func(step string) error // asked at mail, rcpt and data
	dropAt     string                  // the step at which the connection is cut
	hangAt     string                  // the step at which nothing is answered

	mu      sync.Mutex
	mails   []mailReceived
	steps   []string
	release chan struct{}
}

type mailReceived struct {
	from string
	to   []string
	data []byte
	user string
	tls  bool
}

// mode is how a mail server does TLS.
type mode int

const (
	startTLS mode = iota
	implicitTLS
	noTLS
)

func newMailServer(t testing.TB, how mode, mechanisms ...string) *mailServer {
	t.Helper()
	certificate, ca := newCertificate(t)
	s := &mailServer{ca: ca, mechanisms: mechanisms, release: make(chan struct{})}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: s, conn: c}, nil
	}))
	server.Domain, server.ErrorLog, server.AllowInsecureAuth = "mail.test", quietLog, how == noTLS
	server.EnableSMTPUTF8 = true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	if _, fuzzing := t.(*testing.F); fuzzing {
		l = forgetful{l}
	}
	switch settings := (&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}); how {
	case startTLS:
		server.TLSConfig = settings
	case implicitTLS:
		l = tls.NewListener(l, settings)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { close(s.release); _ = server.Close() })
	return s
}

// forgetful resets connections at their end, so that thousands a second do not
// use up the ports of this machine.
type forgetful struct{ net.Listener }

func (f forgetful) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetLinger(0)
}

// received returns the mails that the server has taken.
func (s *mailServer) received() []mailReceived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

// said returns the steps that clients took.
func (s *mailServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.steps, " ")
}

type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	mail   mailReceived
}

func (m *mailSession) at(step string) error {
	s := m.server
	s.mu.Lock()
	s.steps = append(s.steps, step)
	s.mu.Unlock()
	switch {
	case s.dropAt == step:
		_ = m.conn.Conn().Close()
		return errors.New("dropped")
	case s.hangAt == step:
		<-s.release
	case step != "auth" && len(s.mechanisms) > 0 && m.mail.user == "":
		return smtp.ErrAuthRequired
	case s.refuse != nil:
		return s.refuse(step)
	}
	return nil
}

func (m *mailSession) Reset()                   { m.mail = mailReceived{user: m.mail.user} }
func (m *mailSession) Logout() error            { return nil }
func (m *mailSession) AuthMechanisms() []string { return m.server.mechanisms }

func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	m.mail.from = from
	return m.at("mail")
}

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.mail.to = append(m.mail.to, to)
	return m.at("rcpt")
}

func (m *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := m.at("data"); err != nil {
		return err
	}
	m.mail.data = data
	_, m.mail.tls = m.conn.TLSConnectionState()
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.mails = append(m.server.mails, m.mail)
	return nil
}

func (m *mailSession) Auth(mechanism string) (sasl.Server, error) {
	if err := m.at("auth"); err != nil {
		return nil, err
	}
	judge := func(user, password string) error {
		if user != mailUser || password != mailPassword {
			return smtp.ErrAuthFailed
		}
		m.mail.user = user + " by " + mechanism
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return judge(user, password) }), nil
	case "LOGIN":
		return &loginServer{judge: judge}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer is the server's side of LOGIN: two questions, two answers.
type loginServer struct {
	judge   func(user, password string) error
	answers []string
}

func (l *loginServer) Next(answer []byte) (challenge []byte, done bool, err error) {
	if answer != nil {
		l.answers = append(l.answers, string(answer))
	}
	if len(l.answers) == 2 {
		return nil, true, l.judge(l.answers[0], l.answers[1])
	}
	return []byte([]string{"Username:", "Password:"}[len(l.answers)]), false, nil
}

// newCertificate returns a certificate for this machine, and the PEM file of
// the one that signed it.
func newCertificate(t testing.TB) (certificate tls.Certificate, ca string) {
	t.Helper()
	create := func(template, parent *x509.Certificate, public any, signer any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	root := create(authority, authority, &caKey.PublicKey, caKey)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{create(leaf, authority, &key.PublicKey, caKey)}, PrivateKey: key}, ca
}
