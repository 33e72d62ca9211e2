package senders_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders/sendertest"
)

const namespace = "http.captcha_gate.senders."

// adapt reads a sender as a Caddyfile has it, its name first.
func adapt(t testing.TB, text string) (name string, settings []byte, err error) {
	t.Helper()
	d := caddyfile.NewTestDispenser(text)
	d.Next()
	name = d.Val()
	module, err := caddyfile.UnmarshalModule(d, namespace+name)
	if err != nil {
		return name, nil, err
	}
	settings, err = json.Marshal(module)
	if err != nil {
		t.Fatal(err)
	}
	return name, settings, nil
}

// provision loads a sender as Caddy does, unknown fields forbidden.
func provision(t testing.TB, name string, settings []byte) (senders.Sender, error) {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.LoadModuleByID(namespace+name, settings)
	if err != nil {
		return nil, err
	}
	if cleaner, ok := module.(caddy.CleanerUpper); ok {
		t.Cleanup(func() {
			if err := cleaner.Cleanup(); err != nil {
				t.Error(err)
			}
		})
	}
	return module.(senders.Sender), nil
}

// load adapts and provisions a sender that has no faults.
func load(t testing.TB, text string) senders.Sender {
	t.Helper()
	name, settings, err := adapt(t, text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := provision(t, name, settings)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t testing.TB, s senders.Sender, m senders.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, m)
}

// outcome is how a try ends: taken where text is empty.
type outcome struct {
	text  string
	final bool
}

// expect checks how a try ended, and that its error gives nothing away.
func expect(t testing.TB, err error, want outcome, m senders.Message, credentials ...string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want.text {
		t.Errorf("Send: %q, want %q", got, want.text)
	}
	if errors.Is(err, senders.ErrRefused) != want.final {
		t.Errorf("final: %v, want %v", !want.final, want.final)
	}
	sendertest.Quiet(t, err, m, credentials...)
}

// listen serves connections on this machine until the test ends.
func listen(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// hangs checks that Send returns soon after its deadline, and that the error
// allows another try.
func hangs(t testing.TB, s senders.Sender, m senders.Message, credentials ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := s.Send(ctx, m)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Send took %v", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, senders.ErrRefused) {
		t.Errorf("Send: %v", err)
	}
	sendertest.Quiet(t, err, m, credentials...)
}
