package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// fmt does not ask Format for %p, for %w outside of Errorf, nor for what an
// unexported field holds; it prints the fields then, and where the verb is none
// of a pointer's it prints even what the pointer points to.
func TestKeysDoNotShowWhereFormatIsNotAsked(t *testing.T) {
	secret := bytes.Repeat([]byte{'a'}, MinSecret)
	k, err := New([][]byte{secret}, "p", "r")
	if err != nil {
		t.Fatal(err)
	}
	keys := [][]byte{secret}
	for _, use := range []string{"seal/p", "derive/p"} {
		key, err := hkdf.Key(sha256.New, secret, nil, "captcha-gate/1/"+use, 32)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	type value struct{ keys Keyring }
	type pointer struct{ keys *Keyring }
	for _, verb := range []string{"%p", "%w", "%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%T", "%t"} {
		for _, holder := range []any{*k, k, value{*k}, &value{*k}, pointer{k}, &pointer{k}, []Keyring{*k}, []*Keyring{k}} {
			printed := fmt.Sprintf(verb, holder)
			for _, key := range keys {
				for _, shown := range []string{"%v", "%s", "%x", "%X", "%q", "%#v", "%o", "%b", "%c", "%U"} {
					// Without brackets or type, as a part of something larger.
					bare := strings.Trim(strings.TrimPrefix(fmt.Sprintf(shown, key), "[]byte"), "[]{}")
					if strings.Contains(printed, bare) {
						t.Errorf("%s of a %T shows a key", verb, holder)
					}
				}
			}
		}
	}
}
