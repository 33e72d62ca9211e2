package seal

import (
	"bytes"
	"encoding/base64"
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
