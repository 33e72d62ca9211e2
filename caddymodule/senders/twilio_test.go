package senders_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

const (
	testSID   = "AC00112233445566778899aabbccddeeff"
	testToken = "seededtoken00112233445566778899a"
)

// twilioStub is a server in the shape of Twilio's Messages resource.
type twilioStub struct {
	*httptest.Server
	mu       sync.Mutex
	forms    []url.Values
	status   int
	answer   string
	location string
}

func newTwilioStub(t testing.TB) *twilioStub {
	t.Helper()
	s := &twilioStub{status: http.StatusCreated}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		user, password, _ := r.BasicAuth()
		switch {
		case r.Method != http.MethodPost, r.URL.Path != "/2010-04-01/Accounts/"+testSID+"/Messages.json", r.URL.RawQuery != "":
			t.Errorf("asked for %s %s", r.Method, r.URL)
		case r.Header.Get("Content-Type") != "application/x-www-form-urlencoded", err != nil:
			t.Errorf("content type %q, %v", r.Header.Get("Content-Type"), err)
		case user != testSID || password != testToken:
			t.Errorf("signed in as %s, %s", user, password)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forms = append(s.forms, form)
		answer := s.answer
		if answer == "" {
			answer = fmt.Sprintf(`{"account_sid":"%s","api_version":"2010-04-01","body":%q,"direction":"outbound-api","error_code":null,`+
				`"error_message":null,"from":%q,"num_segments":"1","price_unit":"USD","sid":"SM%032d","status":"queued","to":%q}`,
				testSID, form.Get("Body"), form.Get("From"), len(s.forms), form.Get("To"))
		}
		w.Header().Set("Content-Type", "application/json")
		if s.location != "" {
			w.Header().Set("Location", s.location)
		}
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *twilioStub) sender(t testing.TB, from string) senders.Sender {
	t.Helper()
	return load(t, "twilio {\n\taccount_sid "+testSID+"\n\tauth_token "+testToken+"\n\t"+from+"\n\tbase_url "+s.URL+"\n}")
}

func TestTwilioKeepsTheRulesOfSenders(t *testing.T) {
	sendertest.Run(t, newTwilioStub(t).sender(t, "from +15005550006"))
}

func TestTwilioSendsTheForm(t *testing.T) {
	for _, c := range []struct{ from, field, value string }{
		{"from +15005550006", "From", "+15005550006"},
		{`from "My Site"`, "From", "My Site"},
		{"from 12345", "From", "12345"},
		{"messaging_service_sid MG00112233445566778899aabbccddeeff", "MessagingServiceSid", "MG00112233445566778899aabbccddeeff"},
	} {
		t.Run(c.from, func(t *testing.T) {
			stub := newTwilioStub(t)
			m := sendertest.Message(senders.SMS)
			if err := send(t, stub.sender(t, c.from), m); err != nil {
				t.Fatal(err)
			}
			form := stub.forms[0]
			if seconds, err := strconv.Atoi(form.Get("ValidityPeriod")); err != nil || seconds < 290 || seconds > 300 {
				t.Errorf("valid for %q seconds, the code for five minutes", form.Get("ValidityPeriod"))
			}
			form.Del("ValidityPeriod")
			want := url.Values{"To": {m.To}, "Body": {m.Text}, c.field: {c.value}}
			if form.Encode() != want.Encode() {
				t.Errorf("form %v, want %v", form, want)
			}
		})
	}
}

func TestTwilioValidityFollowsExpiry(t *testing.T) {
	for _, c := range []struct {
		name    string
		expires time.Time
		want    string
	}{
		{"none", time.Time{}, ""},
		{"longer than Twilio allows", time.Now().Add(48 * time.Hour), "36000"},
		{"almost over", time.Now().Add(900 * time.Millisecond), "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub := newTwilioStub(t)
			m := sendertest.Message(senders.SMS)
			m.Expires = c.expires
			if err := send(t, stub.sender(t, "from +15005550006"), m); err != nil {
				t.Fatal(err)
			}
			if got := stub.forms[0].Get("ValidityPeriod"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// OTP-5, OTP-7, LOG-1
func TestTwilioTellsFinalFromPassing(t *testing.T) {
	m := sendertest.Message(senders.SMS)
	failure := func(code, status int) string {
		return fmt.Sprintf(`{"code":%d,"message":"Not with %s (%s), token %s: %s","more_info":"https://www.twilio.com/docs/errors/%d","status":%d}`,
			code, m.To, m.Code, testToken, m.Text, code, status)
	}
	for _, c := range []struct {
		name   string
		status int
		answer string
		want   outcome
	}{
		{"taken", 201, "", outcome{}},
		{"taken, with an answer that is no JSON", 200, "<html>", outcome{}},
		{"invalid number", 400, failure(21211, 400), outcome{"twilio: code 21211, status 400: message refused", true}},
		{"unsubscribed", 400, failure(21610, 400), outcome{"twilio: code 21610, status 400: message refused", true}},
		{"not a mobile number", 400, failure(21614, 400), outcome{"twilio: code 21614, status 400: message refused", true}},
		{"landline", 400, failure(21635, 400), outcome{"twilio: code 21635, status 400: message refused", true}},
		{"not found", 404, failure(20404, 404), outcome{"twilio: code 20404, status 404: message refused", true}},
		{"sender not owned", 400, failure(21606, 400), outcome{"twilio: code 21606, status 400: the account or its settings do not allow it", false}},
		{"region switched off", 400, failure(21408, 400), outcome{"twilio: code 21408, status 400: message deferred", false}},
		{"400 without a code", 400, "no", outcome{"twilio: code 0, status 400: the account or its settings do not allow it", false}},
		{"wrong token", 401, failure(20003, 401), outcome{"twilio: code 20003, status 401: the credentials are not accepted", false}},
		{"forbidden", 403, failure(20403, 403), outcome{"twilio: code 20403, status 403: the credentials are not accepted", false}},
		{"too many", 429, failure(20429, 429), outcome{"twilio: code 20429, status 429: the provider asks to wait", false}},
		{"out of order", 500, failure(20500, 500), outcome{"twilio: code 20500, status 500: the provider is out of order", false}},
		{"a proxy's page", 502, "<html>" + m.Text + "</html>", outcome{"twilio: status 502: the provider is out of order", false}},
		{"endless error", 503, `{"message":"` + strings.Repeat("a", 1<<20), outcome{"twilio: status 503: the provider is out of order", false}},
		{"redirect", 307, "", outcome{"twilio: status 307: redirects are not followed", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub := newTwilioStub(t)
			stub.status, stub.answer = c.status, c.answer
			if c.status/100 == 3 {
				stub.location = stub.URL + "/elsewhere" // the stub fails the test when asked for it
			}
			expect(t, send(t, stub.sender(t, "from +15005550006"), m), c.want, m, testSID, testToken)
		})
	}
}

func TestTwilioSurvivesANetworkThatFails(t *testing.T) {
	m := sendertest.Message(senders.SMS)
	from := "from +15005550006"
	t.Run("nobody there", func(t *testing.T) {
		stub := &twilioStub{Server: &httptest.Server{URL: "http://" + closedPort(t)}}
		expect(t, send(t, stub.sender(t, from), m), outcome{"twilio: connection refused", false}, m, testSID, testToken)
	})
	t.Run("a certificate that nobody signed", func(t *testing.T) {
		stub := &twilioStub{Server: httptest.NewTLSServer(http.NotFoundHandler())}
		stub.Config.ErrorLog = quietLog
		t.Cleanup(stub.Close)
		expect(t, send(t, stub.sender(t, from), m),
			outcome{"twilio: the certificate is not accepted: x509: certificate signed by unknown authority", false}, m, testSID, testToken)
	})
	t.Run("no answer", func(t *testing.T) {
		release := make(chan struct{})
		stub := &twilioStub{Server: httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))}
		t.Cleanup(func() { close(release); stub.Close() })
		hangs(t, stub.sender(t, from), m, testSID, testToken)
	})
}
