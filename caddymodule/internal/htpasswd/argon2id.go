package htpasswd

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/crypto/argon2"
)

const (
	argon2Prefix = "$argon2id$"

	maxArgon2Memory = 256 << 10 // KiB
	maxArgon2Passes = 16
	maxArgon2Lanes  = 16
	// maxArgon2Work is memory in KiB times passes: what a hash takes in time, about a second.
	maxArgon2Work = 1 << 20

	// The least that OWASP still recommends: 7 MiB five times, or 46 MiB once.
	goodArgon2Memory = 7 << 10
	goodArgon2Work   = 35 << 10

	minArgon2Salt, maxArgon2Salt     = 8, 64
	minArgon2Digest, maxArgon2Digest = 16, 64
)

// argon2Text is a hash in the PHC string format, taken apart.
type argon2Text struct {
	kind         kind
	salt, digest []byte
}

// readArgon2id reads $argon2id$v=19$m=65536,t=3,p=4$salt$digest, exactly so: the reference implementation writes
// nothing else.
func readArgon2id(hash string) (text argon2Text, reason string) {
	fields := strings.Split(hash[len(argon2Prefix):], "$")
	if len(fields) != 4 || fields[0] != fmt.Sprintf("v=%d", argon2.Version) {
		return text, reasonMalformed
	}
	parameters := strings.Split(fields[1], ",")
	if len(parameters) != 3 {
		return text, reasonMalformed
	}
	var values [3]uint32
	for i, name := range [3]string{"m=", "t=", "p="} {
		value, named := strings.CutPrefix(parameters[i], name)
		n, ok := decimal(value)
		if !named || !ok {
			return text, reasonMalformed
		}
		values[i] = n
	}
	memory, passes, lanes := values[0], values[1], values[2]
	if memory > maxArgon2Memory || passes > maxArgon2Passes || lanes > maxArgon2Lanes || memory*passes > maxArgon2Work {
		return text, reasonCost
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(fields[2])
	digest, err2 := base64.RawStdEncoding.Strict().DecodeString(fields[3])
	if err1 != nil || err2 != nil || memory < 8*lanes ||
		len(salt) < minArgon2Salt || len(salt) > maxArgon2Salt ||
		len(digest) < minArgon2Digest || len(digest) > maxArgon2Digest {
		return text, reasonMalformed
	}
	text.kind = kind{scheme: schemeArgon2id, cost: passes, memory: memory, lanes: uint8(lanes)}
	text.salt, text.digest = salt, digest
	return text, ""
}

func classifyArgon2id(hash string) (k kind, reason string) {
	text, reason := readArgon2id(hash)
	return text.kind, reason
}

func matchesArgon2id(hash, password string) bool {
	text, reason := readArgon2id(hash)
	if reason != "" {
		return false
	}
	k := text.kind
	got := argon2.IDKey([]byte(password), text.salt, k.cost, k.memory, k.lanes, uint32(len(text.digest)))
	return subtle.ConstantTimeCompare(got, text.digest) == 1
}

func (k kind) dummyArgon2id(random *rand.ChaCha8) string {
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argon2Prefix, argon2.Version, k.memory, k.cost, k.lanes,
		base64.RawStdEncoding.EncodeToString(randomBytes(random, 16)),
		base64.RawStdEncoding.EncodeToString(randomBytes(random, 32)))
}
