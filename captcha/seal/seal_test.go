package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

// secret is a secret of 32 times the same byte.
func secret(b byte) []byte { return bytes.Repeat([]byte{b}, seal.MinSecret) }

func newKeyring(t testing.TB, purpose, realm string, secrets ...[]byte) *seal.Keyring {
	t.Helper()
	k, err := seal.New(secrets, purpose, realm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// random gives the same bytes for the same seed.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func mustSeal(t testing.TB, k *seal.Keyring, plaintext string, random io.Reader) string {
	t.Helper()
	token, err := k.Seal([]byte(plaintext), random)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func refused(t *testing.T, k *seal.Keyring, token string) {
	t.Helper()
	if opened, err := k.Open(token); err != seal.ErrInvalid || opened.Plaintext != nil {
		t.Errorf("token %.80q: %q, error %v; want nothing and ErrInvalid", token, opened.Plaintext, err)
	}
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		purpose, realm := rapid.String().Draw(t, "purpose"), rapid.String().Draw(t, "realm")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 1024).Draw(t, "plaintext")
		k, err := seal.New([][]byte{secret('a')}, purpose, realm)
		if err != nil {
			t.Fatal(err)
		}
		token, err := k.Seal(plaintext, random(rapid.Byte().Draw(t, "nonce")))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := k.Open(token)
		if err != nil || !bytes.Equal(opened.Plaintext, plaintext) {
			t.Fatalf("%x, error %v; want %x", opened.Plaintext, err, plaintext)
		}
	})
}

func TestTokenIsVersionKeyIDNonceAndCiphertext(t *testing.T) {
	nonce := make([]byte, 24)
	if _, err := io.ReadFull(random(1), nonce); err != nil {
		t.Fatal(err)
	}
	k := newKeyring(t, "p", "r", secret('a'))
	token := mustSeal(t, k, "plaintext", random(1))
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 4 + 24 + len("plaintext") + 16; len(raw) != want {
		t.Errorf("%d bytes; want %d", len(raw), want)
	}
	if raw[0] != 1 {
		t.Errorf("version %d", raw[0])
	}
	if !bytes.Equal(raw[5:29], nonce) {
		t.Error("the nonce is not what the random source gave")
	}
	if opened, err := k.Open(token); err != nil || !bytes.Equal(opened.Nonce[:], nonce) {
		t.Errorf("opened nonce %x, error %v", opened.Nonce, err)
	}
	if bytes.Contains(raw, []byte("plain")) {
		t.Error("the plaintext shows")
	}
}

func TestKeyIDIsThatOfTheSecretAlone(t *testing.T) {
	id := func(purpose, realm string, secrets ...[]byte) string {
		raw, err := base64.RawURLEncoding.DecodeString(mustSeal(t, newKeyring(t, purpose, realm, secrets...), "x", random(1)))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw[1:5])
	}
	first := id("p", "r", secret('a'))
	if first != id("q", "s", secret('a'), secret('b')) {
		t.Error("instances with the same secret disagree about its id")
	}
	if first == id("p", "r", secret('b')) {
		t.Error("two secrets have one id")
	}
}

func TestCAP4_TokenOfAnotherKeyIsRefused(t *testing.T) {
	token := mustSeal(t, newKeyring(t, "login", "shop", secret('a')), "content", random(1))
	refused(t, newKeyring(t, "login", "shop", secret('b')), token)
	longer := append(secret('a'), 'a')
	refused(t, newKeyring(t, "login", "shop", longer), token)
}

func TestCAP5_NothingMovesBetweenPurposeAndRealm(t *testing.T) {
	for _, to := range [][2]string{
		{"login", "blog"}, {"browser", "shop"}, {"logins", "hop"}, {"logi", "nshop"}, {"loginshop", ""}, {"", "loginshop"},
		{"login", ""}, {"", "shop"}, {"", ""}, {"shop", "login"}, {"login", "shop\x00"}, {"Login", "shop"},
	} {
		token := mustSeal(t, newKeyring(t, "login", "shop", secret('a')), "content", random(1))
		refused(t, newKeyring(t, to[0], to[1], secret('a')), token)
	}
}

func TestEveryBitOfATokenCounts(t *testing.T) {
	k := newKeyring(t, "login", "shop", secret('a'))
	raw, err := base64.RawURLEncoding.DecodeString(mustSeal(t, k, "content", random(1)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			forged := bytes.Clone(raw)
			forged[i] ^= 1 << bit
			refused(t, k, base64.RawURLEncoding.EncodeToString(forged))
		}
	}
}

func TestCutAndGrownTokensAreRefused(t *testing.T) {
	k := newKeyring(t, "login", "shop", secret('a'))
	raw, err := base64.RawURLEncoding.DecodeString(mustSeal(t, k, "content", random(1)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		refused(t, k, base64.RawURLEncoding.EncodeToString(raw[:n]))
		refused(t, k, base64.RawURLEncoding.EncodeToString(raw[n+1:]))
	}
	for b := range 256 {
		refused(t, k, base64.RawURLEncoding.EncodeToString(append(bytes.Clone(raw), byte(b))))
	}
}

// A second spelling of one token would be a second name for what is spent once.
func TestATokenHasOneSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for length := range 9 { // so that every number of spare bits occurs
		k := newKeyring(t, "login", "shop", secret('a'))
		token := mustSeal(t, k, strings.Repeat("x", length), random(3))
		for _, c := range alphabet {
			if other := token[:len(token)-1] + string(c); other != token {
				refused(t, k, other)
			}
		}
		for _, extra := range []string{"=", "==", "\n", "\r", "\r\n", " ", "A", ".", "\x00", "é", "%3D"} {
			refused(t, k, token+extra)
			refused(t, k, extra+token)
			refused(t, k, token[:20]+extra+token[20:])
		}
		if other := strings.NewReplacer("-", "+", "_", "/").Replace(token); other != token {
			refused(t, k, other)
		}
		if _, err := k.Open(token); err != nil {
			t.Errorf("the token itself: %v", err)
		}
	}
}

func TestLongTokensAreNotLookedAt(t *testing.T) {
	k := newKeyring(t, "p", "r", secret('a'))
	fits, tooLong := mustSeal(t, k, strings.Repeat("x", 1491), random(1)), mustSeal(t, k, strings.Repeat("x", 1492), random(1))
	if len(fits) != 2048 || len(tooLong) != 2050 {
		t.Fatalf("the tokens have %d and %d bytes", len(fits), len(tooLong))
	}
	if _, err := k.Open(fits); err != nil {
		t.Errorf("a token of the greatest length: %v", err)
	}
	refused(t, k, tooLong)
	refused(t, k, strings.Repeat("A", 1<<20))
}

func TestRotation(t *testing.T) {
	older, newer := newKeyring(t, "p", "r", secret('a')), newKeyring(t, "p", "r", secret('b'), secret('a'))
	token := mustSeal(t, older, "content", random(1))
	before, err := older.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	after, err := newer.Open(token)
	if err != nil || string(after.Plaintext) != "content" {
		t.Fatalf("sealed by an old secret that is still listed: %q, error %v", after.Plaintext, err)
	}
	if older.Seed(before, "drawing") != newer.Seed(after, "drawing") {
		t.Error("the seed changed with the rotation")
	}
	token = mustSeal(t, newer, "content", random(2))
	refused(t, older, token)
	if _, err := newKeyring(t, "p", "r", secret('b')).Open(token); err != nil {
		t.Errorf("the first secret did not seal: %v", err)
	}
}

func TestSeedDependsOnEverything(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, c := range []struct {
		purpose, realm, use string
		secret, nonce       byte
	}{
		{"p", "r", "drawing", 'a', 1},
		{"q", "r", "drawing", 'a', 1},
		{"p", "s", "drawing", 'a', 1},
		{"p", "r", "hearing", 'a', 1}, // as long as the first
		{"p", "r", "drawing", 'b', 1},
		{"p", "r", "drawing", 'a', 2},
	} {
		k := newKeyring(t, c.purpose, c.realm, secret(c.secret))
		opened, err := k.Open(mustSeal(t, k, "content", random(c.nonce)))
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint(c)
		seed := k.Seed(opened, c.use)
		if other, twice := seen[seed]; twice {
			t.Errorf("%s and %s have one seed", name, other)
		}
		seen[seed] = name
	}
}

func TestNewRefusesShortSecretsByPosition(t *testing.T) {
	for name, c := range map[string]struct {
		secrets [][]byte
		want    string
	}{
		"none":         {nil, "no secret"},
		"empty":        {[][]byte{{}}, "secret 1 has 0 bytes; at least 32 are needed"},
		"short":        {[][]byte{secret('z')[:31]}, "secret 1 has 31 bytes; at least 32 are needed"},
		"second short": {[][]byte{secret('z'), []byte("zzzz")}, "secret 2 has 4 bytes; at least 32 are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := seal.New(c.secrets, "p", "r")
			if k != nil || err == nil || err.Error() != c.want {
				t.Fatalf("keyring %v, error %v; want %q", k, err, c.want)
			}
			if strings.Contains(err.Error(), "zz") {
				t.Error("the error shows the secret")
			}
		})
	}
}

func TestSealFailsWithoutRandomness(t *testing.T) {
	k := newKeyring(t, "p", "r", secret('a'))
	for name, source := range map[string]io.Reader{"none": strings.NewReader(""), "too little": io.LimitReader(random(1), 23)} {
		token, err := k.Seal([]byte("content"), source)
		if token != "" || err == nil {
			t.Errorf("%s: token %q, error %v", name, token, err)
		}
	}
	if _, err := k.Seal(nil, io.LimitReader(random(1), 24)); err != nil {
		t.Errorf("24 bytes are enough: %v", err)
	}
}

func TestKeyringPrintsRedacted(t *testing.T) {
	k := newKeyring(t, "p", "r", secret('a'))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, printed := range []string{fmt.Sprintf(verb, k), fmt.Sprintf(verb, *k)} {
			if printed != "REDACTED" {
				t.Errorf("%s prints %s", verb, printed)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "keys", *k)
	if !strings.Contains(log.String(), "keys=REDACTED") {
		t.Errorf("logged as text: %s", &log)
	}
}

func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	k := newKeyring(t, "p", "r", secret('a'), secret('b'))
	done := make(chan error)
	for i := range 8 {
		go func() {
			var failed error
			source := random(byte(i))
			for n := range 100 {
				plaintext := fmt.Sprint(i, n)
				token, err := k.Seal([]byte(plaintext), source)
				opened, oerr := k.Open(token)
				if string(opened.Plaintext) != plaintext {
					failed = errors.Join(failed, err, oerr, errors.New("another plaintext"))
				}
			}
			done <- failed
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// FuzzOpen: nothing but what Seal made can be opened.
func FuzzOpen(f *testing.F) {
	k := newKeyring(f, "login", "shop", secret('a'), secret('b'))
	made := map[string]bool{}
	for i := range byte(4) {
		token := mustSeal(f, k, strings.Repeat("x", int(i)), random(i))
		made[token] = true
		f.Add(token)
		f.Add(token + "\n")
		f.Add(token[:len(token)-1])
	}
	f.Fuzz(func(t *testing.T, token string) {
		opened, err := k.Open(token)
		switch {
		case made[token] && err != nil:
			t.Errorf("own token: %v", err)
		case !made[token] && (err != seal.ErrInvalid || opened.Plaintext != nil):
			t.Errorf("opened %q: %v", opened.Plaintext, err)
		}
	})
}
