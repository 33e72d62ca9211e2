package captcha

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
)

// DefaultAlphabet has no two characters that people take for one another in a
// warped picture.
const DefaultAlphabet = "ACDEFHJKLMPRTUWXY39"

// minAnswers is how many answers there must be, so that guessing is hopeless
// with one try per challenge and limits on tries (CAP-13).
const minAnswers = 100_000

// maxTyped bounds what is looked at of a typed answer, in bytes.
const maxTyped = 64

// lookAlikes are groups of which an alphabet may have one character. A visitor
// who types another of the group means that one.
var lookAlikes = []string{"0OQD", "1IL", "2Z", "5S", "8B", "6GC", "4A", "7T", "MN", "UV"}

// alphabet is the characters of answers, upper case, and how typed ones are
// read. It is immutable.
type alphabet struct {
	characters string
	meant      map[rune]byte
}

func newAlphabet(characters string, length int) (alphabet, error) {
	a := alphabet{characters: strings.ToUpper(characters), meant: map[rune]byte{}}
	for _, c := range a.characters {
		if c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return alphabet{}, fmt.Errorf("%q is no letter or digit of ASCII", c)
		}
		if _, twice := a.meant[c]; twice {
			return alphabet{}, fmt.Errorf("%q stands there twice", c)
		}
		a.meant[c] = byte(c)
	}
	for _, group := range lookAlikes {
		var present byte
		for i := range len(group) {
			switch _, has := a.meant[rune(group[i])]; {
			case has && present != 0:
				return alphabet{}, fmt.Errorf("%q and %q look alike", present, group[i])
			case has:
				present = group[i]
			}
		}
		if present == 0 {
			continue
		}
		for i := range len(group) {
			a.meant[rune(group[i])] = present
		}
	}
	if answers := math.Pow(float64(len(a.characters)), float64(length)); answers < minAnswers {
		return alphabet{}, fmt.Errorf("%d characters and length %d leave %.0f answers; at least %d are needed",
			len(a.characters), length, answers, minAnswers)
	}
	return a, nil
}

// draw makes an answer, each character equally likely: random bytes past the
// last whole multiple of the alphabet's size are thrown away.
func (a alphabet) draw(length int, random io.Reader) (string, error) {
	size := len(a.characters)
	limit := 256 - 256%size
	answer := make([]byte, 0, length)
	var buffer [32]byte
	for range 64 {
		if _, err := io.ReadFull(random, buffer[:]); err != nil {
			return "", err
		}
		for _, b := range buffer {
			if int(b) >= limit {
				continue
			}
			answer = append(answer, a.characters[int(b)%size])
			if len(answer) == length {
				return string(answer), nil
			}
		}
	}
	return "", errors.New("the random source repeats itself")
}

// equal compares a typed answer with the right one. Case, spaces, full-width
// forms and look-alikes of absent characters make no difference. What is empty
// or too long is never right (CAP-2).
func (a alphabet) equal(right, typed string) bool {
	if right == "" || len(typed) > maxTyped {
		return false
	}
	meant := make([]byte, 0, maxTyped)
	for _, c := range typed {
		if unicode.IsSpace(c) {
			continue
		}
		if '！' <= c && c <= '～' { // full-width forms, as East Asian keyboards type them
			c -= '！' - '!'
		}
		b, known := a.meant[unicode.ToUpper(c)]
		if !known {
			b = '?' // stands for everything that no answer has
		}
		meant = append(meant, b)
	}
	return subtle.ConstantTimeCompare([]byte(right), meant) == 1
}
