package htpasswd

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	formats "github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// scheme is an algorithm.
type scheme uint8

const (
	schemeBcrypt scheme = iota + 1
	schemeArgon2id
	schemeSHA256Crypt
	schemeSHA512Crypt
	schemeAPR1
	schemeSSHA
	schemeSHA
)

// kind is an algorithm with the parameters that set what one hash costs.
type kind struct {
	scheme scheme
	// cost is bcrypt's cost, the rounds of the crypt schemes or argon2's passes.
	cost uint32
	// memory, in KiB, and lanes are argon2's.
	memory uint32
	lanes  uint8
}

const (
	// maxPassword is in bytes. It is libcrypt's limit. The crypt schemes hash the password over and over, so a longer
	// one would cost the server what it costs nobody to send.
	maxPassword = 512
	// maxBcryptPassword is what bcrypt looks at, in bytes.
	maxBcryptPassword = 72

	bcryptLength      = 60
	minBcryptCost     = 4
	maxBcryptCost     = 14
	defaultBcryptCost = 10
	goodBcryptCost    = 10

	minRounds     = 1_000
	maxRounds     = 1_000_000
	defaultRounds = 5_000
	maxCryptSalt  = 16
	maxAPR1Salt   = 8
	maxSSHASalt   = 64

	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sha256Length  = 43
	sha512Length  = 86
	apr1Length    = 22
)

// The reasons why a hash cannot be used.
const (
	reasonUnrecognised = "unrecognised hash"
	reasonMalformed    = "malformed hash"
	reasonCost         = "hash cost out of range"
)

// classify tells the kind of a hash, or why it cannot be used. It is stricter than the libraries that compute the
// hashes, because those misbehave on what they did not expect: rounds that are no number, or written with zeros in
// front, make sha-crypt panic, and bcrypt ignores whatever follows its 60 characters (facts 9 and 10).
func classify(hash string) (k kind, reason string) {
	switch {
	case !isGraphic(hash):
		return k, reasonUnrecognised
	case hasBcryptPrefix(hash):
		return classifyBcrypt(hash)
	case strings.HasPrefix(hash, argon2Prefix):
		return classifyArgon2id(hash)
	case strings.HasPrefix(hash, formats.PrefixCryptSha256):
		return classifyCrypt(hash, schemeSHA256Crypt, sha256Length)
	case strings.HasPrefix(hash, formats.PrefixCryptSha512):
		return classifyCrypt(hash, schemeSHA512Crypt, sha512Length)
	case strings.HasPrefix(hash, formats.PrefixCryptApr1):
		salt, digest, ok := strings.Cut(hash[len(formats.PrefixCryptApr1):], "$")
		if !ok || len(salt) > maxAPR1Salt || !isCrypt64(digest, apr1Length) {
			return k, reasonMalformed
		}
		return kind{scheme: schemeAPR1}, ""
	case strings.HasPrefix(hash, prefixSSHA):
		if digest, ok := decodeSHA(hash[len(prefixSSHA):]); !ok || len(digest) > sha1.Size+maxSSHASalt {
			return k, reasonMalformed
		}
		return kind{scheme: schemeSSHA}, ""
	case strings.HasPrefix(hash, prefixSHA):
		if digest, ok := decodeSHA(hash[len(prefixSHA):]); !ok || len(digest) != sha1.Size {
			return k, reasonMalformed
		}
		return kind{scheme: schemeSHA}, ""
	}
	return k, reasonUnrecognised
}

func classifyBcrypt(hash string) (k kind, reason string) {
	cost, err := strconv.ParseUint(hash[4:min(len(hash), 6)], 10, 8)
	if err != nil || len(hash) != bcryptLength || hash[6] != '$' || !isCrypt64(hash[7:], bcryptLength-7) {
		return k, reasonMalformed
	}
	if cost < minBcryptCost || cost > maxBcryptCost {
		return k, reasonCost
	}
	return kind{scheme: schemeBcrypt, cost: uint32(cost)}, ""
}

// classifyCrypt reads $5$salt$digest and $5$rounds=n$salt$digest, and the same with $6$.
func classifyCrypt(hash string, s scheme, length int) (k kind, reason string) {
	k = kind{scheme: s, cost: defaultRounds}
	rest := hash[len(formats.PrefixCryptSha256):]
	if after, explicit := strings.CutPrefix(rest, "rounds="); explicit {
		number, salted, _ := strings.Cut(after, "$")
		rounds, ok := decimal(number)
		if !ok {
			return kind{}, reasonMalformed
		}
		if rounds < minRounds || rounds > maxRounds {
			return kind{}, reasonCost
		}
		k.cost, rest = rounds, salted
	}
	salt, digest, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxCryptSalt || !isCrypt64(digest, length) {
		return kind{}, reasonMalformed
	}
	return k, ""
}

// weak is explained at [Table.Weak].
func (k kind) weak() bool {
	switch k.scheme {
	case schemeBcrypt:
		return k.cost < goodBcryptCost
	case schemeArgon2id:
		return k.memory < goodArgon2Memory || k.memory*k.cost < goodArgon2Work
	}
	return true
}

// accepts reports whether password may be compared with a hash of this kind at all (CRD-1).
func (k kind) accepts(password string) bool {
	if k.scheme == schemeBcrypt && len(password) > maxBcryptPassword {
		return false
	}
	return len(password) <= maxPassword && !strings.Contains(password, "\x00")
}

// matches computes one hash of this kind. The hash has passed classify.
func (k kind) matches(hash, password string) bool {
	switch k.scheme {
	case schemeBcrypt:
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	case schemeArgon2id:
		return matchesArgon2id(hash, password)
	case schemeSHA256Crypt, schemeSHA512Crypt:
		return matchesFormat(formats.AcceptCryptSha, hash, password)
	case schemeAPR1:
		return matchesFormat(formats.AcceptMd5, hash, password)
	case schemeSSHA:
		return matchesSHA(hash[len(prefixSSHA):], password)
	case schemeSHA:
		return matchesSHA(hash[len(prefixSHA):], password)
	}
	return false
}

func matchesFormat(parse formats.PasswdParser, hash, password string) bool {
	p, err := parse(hash)
	return err == nil && p != nil && p.MatchesPassword(password)
}

// dummy makes a hash of this kind with random salt and digest, without computing one.
func (k kind) dummy(random *rand.ChaCha8) string {
	switch k.scheme {
	case schemeBcrypt:
		return fmt.Sprintf("$2y$%02d$%s", k.cost, crypt64(random, bcryptLength-7))
	case schemeArgon2id:
		return k.dummyArgon2id(random)
	case schemeSHA256Crypt:
		return fmt.Sprintf("$5$rounds=%d$%s$%s", k.cost, crypt64(random, maxCryptSalt), crypt64(random, sha256Length))
	case schemeSHA512Crypt:
		return fmt.Sprintf("$6$rounds=%d$%s$%s", k.cost, crypt64(random, maxCryptSalt), crypt64(random, sha512Length))
	case schemeAPR1:
		return fmt.Sprintf("$apr1$%s$%s", crypt64(random, maxAPR1Salt), crypt64(random, apr1Length))
	case schemeSSHA:
		return prefixSSHA + base64.StdEncoding.EncodeToString(randomBytes(random, sha1.Size+8))
	case schemeSHA:
		return prefixSHA + base64.StdEncoding.EncodeToString(randomBytes(random, sha1.Size))
	}
	return ""
}

const (
	prefixSHA  = "{SHA}"
	prefixSSHA = "{SSHA}"
)

// decodeSHA reads the text after {SHA} or {SSHA}: a SHA-1 digest and what follows it, the salt.
func decodeSHA(text string) (digest []byte, ok bool) {
	digest, err := base64.StdEncoding.Strict().DecodeString(text)
	return digest, err == nil && len(digest) >= sha1.Size
}

func matchesSHA(text, password string) bool {
	want, ok := decodeSHA(text)
	if !ok {
		return false
	}
	got := sha1.Sum(append([]byte(password), want[sha1.Size:]...))
	return subtle.ConstantTimeCompare(got[:], want[:sha1.Size]) == 1
}

func hasBcryptPrefix(hash string) bool {
	return strings.HasPrefix(hash, "$2y$") || strings.HasPrefix(hash, "$2b$") || strings.HasPrefix(hash, "$2a$")
}

// isGraphic reports whether s is of visible ASCII characters only, as every hash is.
func isGraphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isCrypt64 reports whether s has the length and only characters of crypt's base 64. Every string of them is a digest.
func isCrypt64(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '.' || c > '9') {
			return false
		}
	}
	return true
}

// decimal reads a number written the one usual way: digits, no sign, no zero in front.
func decimal(s string) (n uint32, ok bool) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err == nil && s[0] != '0'
}

func randomBytes(random *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = random.Read(b) // never fails
	return b
}

func crypt64(random *rand.ChaCha8, n int) string {
	b := randomBytes(random, n)
	for i := range b {
		b[i] = cryptAlphabet[b[i]%64]
	}
	return string(b)
}
