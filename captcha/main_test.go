package captcha_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when tests begin.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// random gives the same bytes for the same seed.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// newMaker makes a Maker at noon with one secret of the letter s, changed by
// the options.
func newMaker(t testing.TB, change ...func(*captcha.Options)) *captcha.Maker {
	t.Helper()
	o := captcha.Options{
		Secrets: [][]byte{secret('s')}, Realm: "shop",
		Now: func() time.Time { return noon },
	}
	for _, c := range change {
		c(&o)
	}
	m, err := captcha.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func withSecrets(letters string) func(*captcha.Options) {
	return func(o *captcha.Options) {
		o.Secrets = nil
		for i := range len(letters) {
			o.Secrets = append(o.Secrets, secret(letters[i]))
		}
	}
}

func at(now *time.Time) func(*captcha.Options) {
	return func(o *captcha.Options) { o.Now = func() time.Time { return *now } }
}

var loginScope = captcha.Scope{
	Purpose: "login", Epoch: [16]byte{1},
	Binding: captcha.Binding{Browser: [16]byte{2}, Network: "192.0.2.0/24"},
}

func mustIssue(t testing.TB, m *captcha.Maker) captcha.Challenge {
	t.Helper()
	challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, loginScope)
	if err != nil {
		t.Fatal(err)
	}
	return challenge
}

func mustUnpack(t testing.TB, m *captcha.Maker, token string) captcha.Claims {
	t.Helper()
	claims, err := m.Unpack(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func mustRender(t testing.TB, m *captcha.Maker, token string) []byte {
	t.Helper()
	picture, err := m.Render(mustUnpack(t, m, token))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// solved is a new challenge and its answer.
func solved(t testing.TB, m *captcha.Maker) (token, answer string) {
	t.Helper()
	challenge := mustIssue(t, m)
	return challenge.Token, mustUnpack(t, m, challenge.Token).Answer
}

// spentOnce is a spend function that has its own memory and counts its calls.
type spentOnce struct {
	calls int
	ids   map[[24]byte]time.Time
}

func (s *spentOnce) spend(id [24]byte, until time.Time) (bool, error) {
	s.calls++
	if s.ids == nil {
		s.ids = map[[24]byte]time.Time{}
	}
	if _, before := s.ids[id]; before {
		return false, nil
	}
	s.ids[id] = until
	return true, nil
}
