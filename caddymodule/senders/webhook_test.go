package senders_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

const testSecret = "seeded secret of thirty-two bytes or more"

var quietLog = log.New(io.Discard, "", 0)

// verify judges a request as the Standard Webhooks specification tells a
// receiver to: three headers, a time within five minutes, one signature that
// fits.
func verify(key []byte, h http.Header, body []byte, now time.Time) error {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil {
		return errors.New("headers are missing")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return errors.New("too old or too new")
	}
	for signature := range strings.FieldsSeq(h.Get("webhook-signature")) {
		version, coded, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(coded)
		if version != "v1" || err != nil {
			continue
		}
		mac := hmac.New(sha256.New, key)
		for _, part := range [][]byte{[]byte(id), []byte("."), []byte(stamp), []byte("."), body} {
			mac.Write(part)
		}
		if hmac.Equal(given, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

// The example of the specification's own libraries, so that a fault in verify
// cannot hide the same fault in the sender.
func TestVerifyKnowsThePublishedExample(t *testing.T) {
	key, _ := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := verify(key, h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

type received struct {
	header http.Header
	body   []byte
}

// receiver is a webhook's other end.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
	status   int
	answer   func(w http.ResponseWriter, body []byte)
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if req.Method != http.MethodPost || req.URL.Path != "/hook" {
			t.Errorf("asked for %s %s", req.Method, req.URL)
		}
		r.mu.Lock()
		r.requests = append(r.requests, received{req.Header, body})
		r.mu.Unlock()
		if r.answer != nil {
			r.answer(w, body)
			return
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func TestWebhookKeepsTheRulesOfSenders(t *testing.T) {
	sendertest.Run(t, load(t, "webhook "+newReceiver(t).URL+"/hook {\n\tsecret \""+testSecret+"\"\n}"))
}

func TestWebhookPostsTheWholeMessage(t *testing.T) {
	r := newReceiver(t)
	s := load(t, "webhook "+r.URL+"/hook {\n\theader authorization \"Bearer abc\"\n\theader X-Site a\n}")
	email := sendertest.Message(senders.Email)
	email.Expires = time.Date(2050, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600))
	email.Text = "<918273> & \u00fc"
	sms := sendertest.Message(senders.SMS)
	sms.Expires = time.Time{}
	for i, c := range []struct {
		m    senders.Message
		want map[string]any
	}{
		{email, map[string]any{
			"id": email.ID, "channel": "email", "to": email.To, "subject": email.Subject, "text": email.Text,
			"code": email.Code, "language": "de", "realm": "default", "expires_at": "2050-01-02T02:04:05Z",
		}},
		{sms, map[string]any{
			"id": sms.ID, "channel": "sms", "to": sms.To, "subject": "", "text": sms.Text,
			"code": sms.Code, "language": "de", "realm": "default", "expires_at": nil,
		}},
	} {
		if err := send(t, s, c.m); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		if err := json.Unmarshal(r.requests[i].body, &got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("body %v, %v\nwant %v", got, err, c.want)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Idempotency-Key": c.m.ID, "Authorization": "Bearer abc", "X-Site": "a",
			"User-Agent": "captcha-gate", "Webhook-Id": "", "Webhook-Signature": "", "Webhook-Timestamp": "",
		} {
			if got := r.requests[i].header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

func TestWebhookSignatureIsThatOfStandardWebhooks(t *testing.T) {
	for _, c := range []struct {
		name, secret string
		key          []byte
	}{
		{"plain text", testSecret, []byte(testSecret)},
		{"base64", "whsec_" + base64.StdEncoding.EncodeToString([]byte(testSecret)), []byte(testSecret)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t)
			s := load(t, "webhook "+r.URL+"/hook {\n\tsecret \""+c.secret+"\"\n}")
			m := sendertest.Message(senders.SMS)
			for range 2 {
				if err := send(t, s, m); err != nil {
					t.Fatal(err)
				}
			}
			for _, got := range r.requests {
				if err := verify(c.key, got.header, got.body, time.Now()); err != nil {
					t.Error(err)
				}
				if got.header.Get("webhook-id") != m.ID {
					t.Errorf("webhook-id %q", got.header.Get("webhook-id"))
				}
				if verify(c.key, got.header, append(got.body, ' '), time.Now()) == nil {
					t.Error("a changed body is accepted")
				}
				if verify([]byte(testSecret+"x"), got.header, got.body, time.Now()) == nil {
					t.Error("another secret is accepted")
				}
				if verify(c.key, got.header, got.body, time.Now().Add(6*time.Minute)) == nil {
					t.Error("an old request is accepted")
				}
			}
		})
	}
}

// OTP-5, OTP-7, LOG-1
func TestWebhookTellsFinalFromPassing(t *testing.T) {
	echo := func(status int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, body []byte) {
			w.Header().Set("X-Echo", base64.StdEncoding.EncodeToString(body))
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	for _, c := range []struct {
		status int
		want   outcome
	}{
		{200, outcome{}},
		{202, outcome{}},
		{302, outcome{"webhook: status 302: redirects are not followed", false}},
		{308, outcome{"webhook: status 308: redirects are not followed", false}},
		{400, outcome{"webhook: status 400: message refused", true}},
		{401, outcome{"webhook: status 401: the credentials are not accepted", false}},
		{403, outcome{"webhook: status 403: the credentials are not accepted", false}},
		{404, outcome{"webhook: status 404: message refused", true}},
		{408, outcome{"webhook: status 408: the provider asks to wait", false}},
		{410, outcome{"webhook: status 410: message refused", true}},
		{422, outcome{"webhook: status 422: message refused", true}},
		{425, outcome{"webhook: status 425: the provider asks to wait", false}},
		{429, outcome{"webhook: status 429: the provider asks to wait", false}},
		{500, outcome{"webhook: status 500: the provider is out of order", false}},
		{503, outcome{"webhook: status 503: the provider is out of order", false}},
	} {
		t.Run(strconv.Itoa(c.status), func(t *testing.T) {
			r := newReceiver(t)
			r.answer = echo(c.status)
			s := load(t, "webhook "+r.URL+"/hook?token=seededquery {\n\theader Authorization seededheader\n\tsecret \""+testSecret+"\"\n}")
			m := sendertest.Message(senders.SMS)
			expect(t, send(t, s, m), c.want, m, "seededquery", "seededheader", testSecret)
		})
	}
}

func TestWebhookSurvivesANetworkThatFails(t *testing.T) {
	m := sendertest.Message(senders.Email)
	hook := func(url string) string { return "webhook " + url + "/seededpath" }
	t.Run("nobody there", func(t *testing.T) {
		expect(t, send(t, load(t, hook("http://"+closedPort(t))), m), outcome{"webhook: connection refused", false}, m, "seededpath")
	})
	t.Run("no such host", func(t *testing.T) {
		expect(t, send(t, load(t, hook("https://nowhere.invalid")), m), outcome{"webhook: no such host", false}, m, "seededpath")
	})
	t.Run("a certificate that nobody signed", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = quietLog
		server.StartTLS()
		t.Cleanup(server.Close)
		expect(t, send(t, load(t, hook(server.URL)), m),
			outcome{"webhook: the certificate is not accepted: x509: certificate signed by unknown authority", false}, m, "seededpath")
	})
	for _, c := range []struct{ name, answer, scheme, want string }{
		{"hangs up", "", "http", "the connection was closed"},
		{"speaks something else", "220 " + m.To + " 918273\r\n", "http", "no usable answer"},
		{"does not speak TLS", "HTTP/1.1 400 918273\r\n\r\n", "https", "the server does not speak TLS"},
		{"breaks off", "HTTP/1.1 200 OK\r\nX: 918273", "http", "the connection was closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.Close()
			})
			expect(t, send(t, load(t, hook(c.scheme+"://"+address)), m), outcome{"webhook: " + c.want, false}, m, "seededpath")
		})
	}
	t.Run("no answer", func(t *testing.T) {
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		t.Cleanup(func() { close(release); server.Close() })
		hangs(t, load(t, hook(server.URL)), m, "seededpath")
	})
	t.Run("an answer without end counts by its status", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}))
		t.Cleanup(server.Close)
		expect(t, send(t, load(t, hook(server.URL)), m), outcome{}, m)
	})
}
