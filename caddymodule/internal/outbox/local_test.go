package outbox

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

func openLocal(t testing.TB, path string) *state.Local {
	t.Helper()
	s, err := state.OpenLocal(path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPendingMessagesAreSentAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		s := openLocal(t, path)
		p := &provider{answer: failing}
		o := open(t, s, p)
		tried, fresh := post(t, o, message(5*time.Minute)), post(t, o, message(5*time.Minute))
		brief := post(t, o, message(5*time.Second))
		if err := o.Cancel(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		o.Start()
		pass(2 * time.Second)
		o.Close()
		unstarted := open(t, s, p)
		fresh = post(t, unstarted, message(5*time.Minute))
		unstarted.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{"+15550100", "314159", "sign-in"} {
			if bytes.Contains(file, []byte(hidden)) {
				t.Errorf("OTP-7: the file shows %q", hidden)
			}
		}

		time.Sleep(10 * time.Second)
		s = openLocal(t, path)
		defer s.Close()
		next := new(provider)
		o = open(t, s, next)
		o.Start()
		wantStatus(t, o, tried, Retrying)
		pass(30 * time.Second)
		takenOnce(t, []string{tried, fresh}, next.taken...)
		wantStatus(t, o, tried, Sent)
		wantStatus(t, o, fresh, Sent)
		wantStatus(t, o, brief, Expired)
		wantIndex(t, o, 0)
		o.Close()
	})
}
