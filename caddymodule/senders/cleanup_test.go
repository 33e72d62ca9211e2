package senders_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

// A reload must not leave the connections of the old configuration behind.
func TestCleanupClosesConnections(t *testing.T) {
	for name, configure := range map[string]func(url string) string{
		"twilio":  func(url string) string { return block("twilio", twilioAccount, "from 12345", "base_url "+url) },
		"webhook": func(url string) string { return "webhook " + url },
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{}, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					closed <- struct{}{}
				}
			}
			server.Start()
			defer server.Close()
			t.Run("one configuration", func(t *testing.T) { // ends with its Cleanup
				s := load(t, configure(server.URL))
				for range 2 {
					if err := send(t, s, sendertest.Message(senders.SMS)); err != nil {
						t.Fatal(err)
					}
				}
				if len(closed) > 0 {
					t.Error("the connection is not used again")
				}
			})
			select {
			case <-closed:
			case <-time.After(3 * time.Second):
				t.Error("the connection is still open")
			}
		})
	}
}
