package seal

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// A later version may mean another content under the same keys.
func TestTokensOfAnotherVersionAreRefused(t *testing.T) {
	k, err := New([][]byte{bytes.Repeat([]byte{'a'}, MinSecret)}, "p", "r")
	if err != nil {
		t.Fatal(err)
	}
	for v := range 256 {
		token := make([]byte, headLength)
		token[0] = byte(v)
		copy(token[1:], k.slots()[0].id[:])
		additional := append([]byte{byte(v)}, k.slots()[0].additional[1:]...)
		token = k.slots()[0].aead.Seal(token, token[1+keyIDLength:headLength], []byte("content"), additional)
		_, err := k.Open(base64.RawURLEncoding.EncodeToString(token))
		if ok := v == version; (err == nil) != ok {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// The subkey depends on the purpose too; this alone must be enough.
func TestCAP5_TheAuthenticatedContextHasLengths(t *testing.T) {
	seen := map[string][2]string{}
	for _, c := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"ab", "d"}} {
		k, err := New([][]byte{bytes.Repeat([]byte{'a'}, MinSecret)}, c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[string(k.context)]; twice {
			t.Errorf("%q and %q are authenticated alike", other, c)
		}
		seen[string(k.context)] = c
	}
}

// Everybody sees the id, and what one purpose seals or derives says nothing about
// another: each subkey is its own.
func TestCAP4_SubkeysHaveNothingInCommon(t *testing.T) {
	secret := bytes.Repeat([]byte{'a'}, MinSecret)
	login, err := newSlot(secret, "login")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSlot(secret, "sign_up")
	if err != nil {
		t.Fatal(err)
	}
	if login.id != other.id {
		t.Error("a secret has two ids")
	}
	if bytes.HasPrefix(login.derive, login.id[:]) || bytes.Equal(login.derive, other.derive) {
		t.Error("the keys to derive from have something in common with the id or one another")
	}
	nonce := make([]byte, nonceLength)
	if _, err := other.aead.Open(nil, nonce, login.aead.Seal(nil, nonce, []byte("content"), nil), nil); err == nil {
		t.Error("what is sealed for one purpose opens for another")
	}
}

func TestAShortSecretIsNamedByItsNumber(t *testing.T) {
	_, err := New([][]byte{bytes.Repeat([]byte{'a'}, MinSecret), []byte("short")}, "p", "r")
	if err == nil || !strings.Contains(err.Error(), "secret 2 ") {
		t.Errorf("%v", err)
	}
}
