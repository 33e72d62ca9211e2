package captcha_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func TestCAP4_TokensOfOthersAreRefused(t *testing.T) {
	token, answer := solved(t, newMaker(t))
	for name, change := range map[string]func(*captcha.Options){
		"another key":          withSecrets("x"),
		"key no longer listed": withSecrets("xyz"),
		"CAP-6 another realm":  func(o *captcha.Options) { o.Realm = "blog" },
		"CAP-6 no realm":       func(o *captcha.Options) { o.Realm = "" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t, change)
			if claims, err := m.Unpack(token); err != captcha.ErrInvalid || claims.Answer != "" {
				t.Errorf("unpacking: %v, error %v", claims, err)
			}
			var store spentOnce
			if err := m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, store.spend); err != captcha.ErrInvalid || store.calls != 0 {
				t.Errorf("checking: %v, spent %d times", err, store.calls)
			}
		})
	}
}

func TestCAP4_TokensDoNotShowTheAnswer(t *testing.T) {
	m := newMaker(t)
	for range 100 {
		token, answer := solved(t, m)
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(answer)) || strings.Contains(token, answer) || bytes.Contains(raw, []byte("login")) {
			t.Errorf("token %s shows what it holds", token)
		}
	}
}

func TestCAP5_SplicedTokensAreRefused(t *testing.T) {
	m := newMaker(t)
	first, second := mustIssue(t, m).Token, mustIssue(t, m).Token
	for i := 1; i < len(first); i++ {
		spliced := first[:i] + second[i:]
		if spliced == first || spliced == second {
			continue
		}
		if claims, err := m.Unpack(spliced); err != captcha.ErrInvalid {
			t.Errorf("the first %d characters before another's: %v, error %v", i, claims, err)
		}
	}
}

func TestCAP5_ForgedTokensAreRefused(t *testing.T) {
	m := newMaker(t)
	token := mustIssue(t, m).Token
	for i := range len(token) {
		for _, c := range []byte("A-_=\n") {
			forged := token[:i] + string(c) + token[i+1:]
			if forged == token {
				continue
			}
			if claims, err := m.Unpack(forged); err != captcha.ErrInvalid {
				t.Errorf("%q at %d: %v, error %v", c, i, claims, err)
			}
		}
		if claims, err := m.Unpack(token[:i]); err != captcha.ErrInvalid {
			t.Errorf("cut to %d: %v, error %v", i, claims, err)
		}
	}
}

func TestRotationKeepsOpenChallenges(t *testing.T) {
	older, newer := newMaker(t), newMaker(t, withSecrets("ns"))
	token, answer := solved(t, older)
	if !bytes.Equal(mustRender(t, older, token), mustRender(t, newer, token)) {
		t.Error("another picture after the rotation")
	}
	if err := newer.Check(captcha.Response{Token: token, Answer: answer}, loginScope, new(spentOnce).spend); err != nil {
		t.Errorf("the answer after the rotation: %v", err)
	}
	if _, err := older.Unpack(mustIssue(t, newer).Token); err != captcha.ErrInvalid {
		t.Errorf("the new secret does not seal: %v", err)
	}
}

// A reload of the configuration must not break the challenges that are open.
func TestReloadKeepsOpenChallenges(t *testing.T) {
	for name, c := range map[string]struct {
		before, after func(*captcha.Options)
		samePicture   bool
	}{
		"shorter lifetime": {
			func(o *captcha.Options) { o.Lifetime = time.Hour },
			func(o *captcha.Options) { o.Lifetime = time.Second }, true,
		},
		"another alphabet": {
			func(o *captcha.Options) { o.Alphabet = "0124567BXY"; o.Length = 8 },
			func(o *captcha.Options) {}, true,
		},
		"another length": {
			func(o *captcha.Options) { o.Length = 8 },
			func(o *captcha.Options) { o.Length = 4 }, true,
		},
		"another size": {
			func(o *captcha.Options) { o.Length = 8 },
			func(o *captcha.Options) { o.Length, o.Width, o.Height = 4, 120, 40 }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := newMaker(t, c.before), newMaker(t, c.after)
			for range 10 {
				token, answer := solved(t, before)
				if bytes.Equal(mustRender(t, before, token), mustRender(t, after, token)) != c.samePicture {
					t.Errorf("same picture: %v; want %v", !c.samePicture, c.samePicture)
				}
				if err := after.Check(captcha.Response{Token: token, Answer: answer}, loginScope, new(spentOnce).spend); err != nil {
					t.Errorf("answer %q: %v", answer, err)
				}
			}
		})
	}
}

// CAP-13: with a fixed random source the outcome is the same in each run.
func TestCAP13_IDsAreUniqueAndAnswersUniform(t *testing.T) {
	const challenges = 100_000
	m := newMaker(t, func(o *captcha.Options) { o.Rand = random(13) })
	ids := make(map[[24]byte]bool, challenges)
	var counts [5][256]int
	for range challenges {
		claims := mustUnpack(t, m, mustIssue(t, m).Token)
		if ids[claims.ID] {
			t.Fatalf("id %x occurs twice", claims.ID)
		}
		ids[claims.ID] = true
		for i := range counts {
			counts[i][claims.Answer[i]]++
		}
	}
	const characters = len(captcha.DefaultAlphabet)
	for i := range counts {
		chi, expected := 0.0, float64(challenges)/float64(characters)
		for _, c := range []byte(captcha.DefaultAlphabet) {
			d := float64(counts[i][c]) - expected
			chi += d * d / expected
		}
		// With 18 degrees of freedom one in 10,000 fair draws is above 48. Taking
		// random bytes modulo 19 comes to about 137.
		if chi > 48 {
			t.Errorf("character %d: chi-square %.0f", i+1, chi)
		}
	}
}

func TestCAP13_TheDefaultSourceDoesNotRepeat(t *testing.T) {
	first, second := newMaker(t), newMaker(t)
	if mustIssue(t, first).Token == mustIssue(t, second).Token {
		t.Error("two makers made the same challenge")
	}
}

// stuck is a random source that always gives the same byte.
type stuck byte

func (s stuck) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

func TestIssueFailsWithoutRandomness(t *testing.T) {
	gone := errors.New("no randomness")
	for name, source := range map[string]io.Reader{
		"for the answer":        io.MultiReader(io.LimitReader(random(1), 31), failing{gone}),
		"for the nonce":         io.MultiReader(io.LimitReader(random(1), 33), failing{gone}),
		"that can be drawn of":  stuck(255),
		"because of its end":    io.LimitReader(random(1), 40),
		"because of an failure": failing{gone},
	} {
		m := newMaker(t, func(o *captcha.Options) { o.Rand = source })
		if challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, loginScope); err == nil || challenge.Token != "" {
			t.Errorf("%s: challenge %v, error %v", name, challenge, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestClaimsNeverShowTheAnswer(t *testing.T) {
	m := newMaker(t)
	claims := mustUnpack(t, m, mustIssue(t, m).Token)
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, claims), fmt.Sprintf(verb, &claims), fmt.Sprintf(verb, []captcha.Claims{claims}))
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var text, lines bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("", "claims", claims)
	slog.New(slog.NewJSONHandler(&lines, nil)).Info("", "claims", claims)
	for _, s := range append(shown, string(b), text.String(), lines.String()) {
		if strings.Contains(s, claims.Answer) || strings.Contains(s, fmt.Sprintf("%x", claims.Answer)) {
			t.Errorf("%s shows %s", s, claims.Answer)
		}
	}
	for _, s := range shown {
		if !strings.Contains(s, "REDACTED") || !strings.Contains(s, "login") {
			t.Errorf("%s says too little", s)
		}
	}
}

func TestAMakerDoesNotPrintItsSecrets(t *testing.T) {
	m := newMaker(t, withSecrets("~"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, m); strings.Contains(s, "~~~~") || strings.Contains(s, "126 126 126") || strings.Contains(s, "0x7e, 0x7e") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

// FuzzUnpack: nothing but what Issue made can be unpacked.
func FuzzUnpack(f *testing.F) {
	m := newMaker(f, func(o *captcha.Options) { o.Rand = random(1) })
	made := map[string]bool{}
	for range 3 {
		token := mustIssue(f, m).Token
		made[token] = true
		f.Add(token)
		f.Add(token[1:])
		f.Add(token + "=")
	}
	foreign := newMaker(f, withSecrets("x"), func(o *captcha.Options) { o.Rand = random(2) })
	f.Add(mustIssue(f, foreign).Token)
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := m.Unpack(token)
		switch {
		case made[token] && err != nil:
			t.Errorf("own token: %v", err)
		case !made[token] && (err != captcha.ErrInvalid || claims != captcha.Claims{}):
			t.Errorf("%v, error %v", claims, err)
		}
	})
}

func TestOptionsDoNotPrintTheirSecrets(t *testing.T) {
	o := captcha.Options{Secrets: [][]byte{[]byte(strings.Repeat("~", 32))}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb, o); strings.Contains(s, "~~~~") || strings.Contains(s, "126 126") || strings.Contains(s, "7e7e") || !strings.Contains(s, "REDACTED") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}
