package captcha

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"time"
)

// Puzzle is a proof of work. It consists of many small ones, so that the time
// it takes scatters little: by about an eighth of itself.
//
// To solve it, find for each i from 0 to Count-1 a number n, of 32 bits, for
// which the first four bytes of
//
//	SHA-256(seed, i as 4 bytes, n as 4 bytes)
//
// are below Threshold; all numbers big-endian, the seed as 16 bytes. The
// solution is the n one after the other, 4 bytes each, in base64 of the URL
// alphabet without padding.
type Puzzle struct {
	Algorithm string `json:"algorithm"` // "sha-256"
	Seed      string `json:"seed"`      // 32 hexadecimal digits
	Count     int    `json:"count"`
	Threshold uint32 `json:"threshold"`
}

const (
	// pieces is how many small puzzles there are.
	pieces = 64
	// slowPhone is how many hashes a second a slow phone tries, in the page's
	// worker. See docs/captcha.md for where the number comes from.
	slowPhone = 150_000
)

// MinWork and MaxWork bound the Work of a Spec.
const (
	MinWork = 100 * time.Millisecond
	MaxWork = 2 * time.Minute
)

// threshold is the Threshold of a puzzle that takes a slow phone so long, on
// average.
func threshold(work time.Duration) (uint32, error) {
	if work < MinWork || work > MaxWork {
		return 0, fmt.Errorf("work: %v is not within %v and %v", work, MinWork, MaxWork)
	}
	tries := max(1, work.Seconds()*slowPhone/pieces)
	return uint32(math.MaxUint32 / tries), nil
}

// newPuzzle is the puzzle of a token. Its seed is a hash of the token, so every
// token has its own, and nobody can work on one before it is issued.
func newPuzzle(token string, threshold uint32) Puzzle {
	return Puzzle{
		Algorithm: "sha-256", Seed: hex.EncodeToString(puzzleSeed(token)), Count: pieces, Threshold: threshold,
	}
}

func puzzleSeed(token string) []byte {
	sum := sha256.Sum256([]byte("captcha-gate/1/work" + token))
	return sum[:16]
}

// solved reports whether the solution is one of the token's puzzle.
func solved(token string, threshold uint32, solution string) bool {
	var nonces [4 * pieces]byte
	if len(solution) != base64.RawURLEncoding.EncodedLen(len(nonces)) {
		return false
	}
	if n, err := base64.RawURLEncoding.Decode(nonces[:], []byte(solution)); err != nil || n != len(nonces) {
		return false
	}
	var try [16 + 8]byte
	copy(try[:], puzzleSeed(token))
	for i := range pieces {
		binary.BigEndian.PutUint32(try[16:], uint32(i))
		copy(try[20:], nonces[4*i:4*i+4])
		sum := sha256.Sum256(try[:])
		if binary.BigEndian.Uint32(sum[:]) >= threshold {
			return false
		}
	}
	return true
}

// Solve solves a puzzle, as a browser does. It takes as long as it takes: about
// a second on one core of a desktop computer for a minute of a slow phone.
func (p Puzzle) Solve() (string, error) {
	seed, err := hex.DecodeString(p.Seed)
	if err != nil || len(seed) != 16 || p.Threshold == 0 || p.Count < 0 || p.Count > 1<<16 {
		return "", fmt.Errorf("captcha: the puzzle is malformed")
	}
	var try [16 + 8]byte
	copy(try[:], seed)
	solution := make([]byte, 0, 4*p.Count)
	for i := range p.Count {
		binary.BigEndian.PutUint32(try[16:], uint32(i))
		for n := uint32(0); ; n++ {
			binary.BigEndian.PutUint32(try[20:], n)
			sum := sha256.Sum256(try[:])
			if binary.BigEndian.Uint32(sum[:]) < p.Threshold {
				solution = append(solution, try[20:]...)
				break
			}
			if n == math.MaxUint32 {
				return "", fmt.Errorf("captcha: piece %d of the puzzle has no solution", i)
			}
		}
	}
	return base64.RawURLEncoding.EncodeToString(solution), nil
}
