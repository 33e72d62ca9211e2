// Package seal makes tokens that only the holder of a secret can make, read or
// change: XChaCha20-Poly1305 under subkeys that HKDF derives from the secret,
// one for each purpose, with the purpose and the realm authenticated beside the
// content (CAP-4, CAP-5).
//
// A token is unpadded base64url of
//
//	version (1 byte) | key id (4) | nonce (24) | ciphertext and tag
//
// The nonce is random, and 24 bytes are enough for that without counting. The
// key id is derived from the secret, so instances that share their secrets agree
// on it, and secrets can be rotated: the first one seals, all of them open.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// MinSecret is how long a secret must be at least, in bytes.
	MinSecret = 32

	version     = 1
	keyIDLength = 4
	nonceLength = chacha20poly1305.NonceSizeX
	headLength  = 1 + keyIDLength + nonceLength
	overhead    = headLength + chacha20poly1305.Overhead

	// maxToken bounds what Open looks at, in bytes of text.
	maxToken = 2048
)

// ErrInvalid is the one answer to a token that this keyring did not make, in
// whatever way it is wrong.
var ErrInvalid = errors.New("invalid token")

// Keyring seals and opens the tokens of one purpose and realm. It is immutable
// and prints as REDACTED.
type Keyring struct {
	// slots is a function because fmt cannot look into one. For some verbs, and
	// for a Keyring in an unexported field, fmt prints fields without asking
	// Format, and follows pointers.
	slots func() []slot
	// context is authenticated with every token: purpose and realm, each with
	// its length, so that no character can move from one to the other.
	context []byte
}

// slot is what is derived from one secret.
type slot struct {
	id     [keyIDLength]byte
	aead   cipher.AEAD
	derive []byte
	// additional is authenticated beside the content: how a token begins, and
	// the context.
	additional []byte
}

// New derives the subkeys. Each secret needs at least MinSecret bytes; at least
// one is needed.
func New(secrets [][]byte, purpose, realm string) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secret")
	}
	k := &Keyring{}
	var slots []slot
	for _, field := range []string{purpose, realm} {
		k.context = binary.BigEndian.AppendUint32(k.context, uint32(len(field)))
		k.context = append(k.context, field...)
	}
	for i, secret := range secrets {
		if len(secret) < MinSecret {
			return nil, fmt.Errorf("secret %d has %d bytes; at least %d are needed", i+1, len(secret), MinSecret)
		}
		s, err := newSlot(secret, purpose)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		s.additional = append(append([]byte{version}, s.id[:]...), k.context...)
		slots = append(slots, s)
	}
	k.slots = func() []slot { return slots }
	return k, nil
}

func newSlot(secret []byte, purpose string) (s slot, err error) {
	subkey := func(use string, length int) []byte {
		key, derr := hkdf.Key(sha256.New, secret, nil, "captcha-gate/1/"+use, length)
		err = errors.Join(err, derr)
		return key
	}
	id := subkey("key id", keyIDLength)
	key := subkey("seal/"+purpose, chacha20poly1305.KeySize)
	s.derive = subkey("derive/"+purpose, sha256.Size)
	if err != nil {
		return slot{}, err
	}
	copy(s.id[:], id)
	s.aead, err = chacha20poly1305.NewX(key)
	return s, err
}

// Seal makes a token of the plaintext with a nonce from random.
func (k *Keyring) Seal(plaintext []byte, random io.Reader) (string, error) {
	s := &k.slots()[0]
	token := make([]byte, headLength, overhead+len(plaintext))
	token[0] = version
	copy(token[1:], s.id[:])
	nonce := token[1+keyIDLength : headLength]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", fmt.Errorf("drawing a nonce: %w", err)
	}
	token = s.aead.Seal(token, nonce, plaintext, s.additional)
	return base64.RawURLEncoding.EncodeToString(token), nil
}

// Opened is the content of a token.
type Opened struct {
	Plaintext []byte
	// Nonce is unique to the token.
	Nonce [nonceLength]byte
	slot  int
}

// Open returns the content of a token that a keyring of the same purpose, realm
// and any of the secrets made. Everything else is ErrInvalid, also a spelling
// that decodes to the right bytes but is not the one that Seal wrote.
func (k *Keyring) Open(token string) (Opened, error) {
	if len(token) > maxToken || len(token) < base64.RawURLEncoding.EncodedLen(overhead) {
		return Opened{}, ErrInvalid
	}
	// The decoder skips line ends.
	for i := range len(token) {
		if token[i] == '\n' || token[i] == '\r' {
			return Opened{}, ErrInvalid
		}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || raw[0] != version {
		return Opened{}, ErrInvalid
	}
	id := [keyIDLength]byte(raw[1:])
	nonce := [nonceLength]byte(raw[1+keyIDLength:])
	for i, s := range k.slots() {
		if s.id != id {
			continue
		}
		if plaintext, err := s.aead.Open(nil, nonce[:], raw[headLength:], s.additional); err == nil {
			return Opened{Plaintext: plaintext, Nonce: nonce, slot: i}, nil
		}
	}
	return Opened{}, ErrInvalid
}

// Seed returns 32 bytes that depend on the secret which sealed the token, on
// the token and on the use, and that nobody without the secret can tell. They
// are the same on every instance and after a rotation.
func (k *Keyring) Seed(o Opened, use string) [32]byte {
	mac := hmac.New(sha256.New, k.slots()[o.slot].derive)
	mac.Write(k.context)
	mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(use))))
	mac.Write([]byte(use))
	mac.Write(o.Nonce[:])
	return [32]byte(mac.Sum(nil))
}

// Format hides the keys from every verb of fmt, of a copy as well as of a
// pointer.
func (Keyring) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "REDACTED") }
