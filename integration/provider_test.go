package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// delivery is a message that a provider has taken.
type delivery struct{ to, text, id string }

var codePattern = regexp.MustCompile(`\b[0-9]{6}\b`)

func (d delivery) code(t *testing.T) string {
	t.Helper()
	code := codePattern.FindString(d.text)
	if code == "" {
		t.Fatalf("no code in %q", d.text)
	}
	return code
}

// provider is what messages are handed over to.
type provider struct {
	t  *testing.T
	mu sync.Mutex
	// broken is the status that it answers with, 0 for success; slow is how long it
	// takes.
	broken int
	slow   time.Duration
	tries  int
	taken  []delivery
}

// take counts a try and says how to answer it.
func (p *provider) take(d delivery) (status int) {
	p.mu.Lock()
	p.tries++
	slow, status := p.slow, p.broken
	if status == 0 {
		p.taken = append(p.taken, d)
	}
	p.mu.Unlock()
	time.Sleep(slow)
	return status
}

func (p *provider) set(broken int, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken, p.slow = broken, slow
}

// all are the messages taken so far.
func (p *provider) all() []delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]delivery(nil), p.taken...)
}

// next waits for the message after so many.
func (p *provider) next(after int) delivery {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("message %d is handed over", after+1), 20*time.Second, func() bool { return len(p.all()) > after })
	return p.all()[after]
}

const (
	twilioSID   = "AC0123456789abcdef0123456789abcdef"
	twilioToken = "0123456789abcdef0123456789abcdef"
)

// twilio speaks the part of Twilio's API that sends a message, and checks what it
// gets.
func twilio(t *testing.T) (*provider, string) {
	p := &provider{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		form := r.FormValue("From") == "+15005550006" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
		if r.Method != "POST" || r.URL.Path != "/2010-04-01/Accounts/"+twilioSID+"/Messages.json" || user != twilioSID || password != twilioToken || !form {
			t.Errorf("%s %s as %q with %v", r.Method, r.URL, user, r.Form)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if status := p.take(delivery{to: r.FormValue("To"), text: r.FormValue("Body")}); status != 0 {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"code":20500,"message":"no","status":%d}`, status)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid":"SM00000000000000000000000000000001","status":"queued","error_code":null}`)
	}))
	t.Cleanup(server.Close)
	return p, "sender twilio {\naccount_sid " + twilioSID + "\nauth_token " + twilioToken + "\nfrom +15005550006\nbase_url " + server.URL + "\n}\n"
}

const webhookSecret = "webhook-secret-0123456789abcdefghij"

// webhook receives messages and verifies their signatures.
func webhook(t *testing.T) (*provider, string) {
	p := &provider{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := r.Header.Get("Webhook-Id")
		mac := hmac.New(sha256.New, []byte(webhookSecret))
		fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("Webhook-Timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if got := r.Header.Get("Webhook-Signature"); got != want || r.Header.Get("X-Tenant") != "seven" {
			t.Errorf("signature %q, want %q; headers %v", got, want, r.Header)
		}
		var m struct{ ID, To, Text string }
		if err := json.Unmarshal(body, &m); err != nil || m.ID != id {
			t.Errorf("body %s: %v", body, err)
		}
		if status := p.take(delivery{to: m.To, text: m.Text, id: m.ID}); status != 0 {
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(server.Close)
	return p, "sender webhook " + server.URL + " {\nheader X-Tenant seven\nsecret " + webhookSecret + "\n}\n"
}

// mailbox is an SMTP server that takes mail for everybody.
func mailbox(t *testing.T) (*provider, string) {
	p := &provider{t: t}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{p: p}, nil }))
	port := freePort(t)
	server.Addr, server.Domain = fmt.Sprintf("127.0.0.1:%d", port), "localhost"
	go func() { _ = server.ListenAndServe() }()
	t.Cleanup(func() { _ = server.Close() })
	return p, fmt.Sprintf("sender smtp 127.0.0.1:%d {\nfrom gate@example.com\ntls off\n}\n", port)
}

type mailSession struct {
	p  *provider
	to string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if status := s.p.take(delivery{to: s.to, text: string(text)}); status != 0 {
		return &smtp.SMTPError{Code: status, Message: "not now"}
	}
	return nil
}

func (s *mailSession) Reset() {}

func (s *mailSession) Logout() error { return nil }
