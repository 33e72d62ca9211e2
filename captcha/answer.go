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

// possible is every character that any alphabet can have.
const possible = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// unlike stands for what no answer has.
const unlike = '?'

// alphabet is the characters of answers, upper case, and which of them is meant
// by a typed one that looks like it. It is immutable.
type alphabet struct {
	characters string
	meant      [unicode.MaxASCII + 1]byte
}

func newAlphabet(characters string, length int) (alphabet, error) {
	var a alphabet
	var clean strings.Builder
	for _, c := range characters {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !strings.ContainsRune(possible, c) {
			return alphabet{}, fmt.Errorf("%q is no letter or digit of ASCII", c)
		}
		if a.meant[c] != 0 {
			return alphabet{}, fmt.Errorf("%q stands there twice", c)
		}
		a.meant[c] = byte(c)
		clean.WriteRune(c)
	}
	a.characters = clean.String()
	for _, group := range lookAlikes {
		var present byte
		for i := range len(group) {
			switch has := a.meant[group[i]] != 0; {
			case has && present != 0:
				return alphabet{}, fmt.Errorf("%q and %q look alike", present, group[i])
			case has:
				present = group[i]
			}
		}
		for i := range len(group) {
			a.meant[group[i]] = present
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
	var room [maxLength]byte
	answer := room[:0]
	buffer := make([]byte, 32)
	for range 64 {
		if _, err := io.ReadFull(random, buffer); err != nil {
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
// forms, digits of other scripts and look-alikes of absent characters make no
// difference. What is empty or too long is never right (CAP-2).
//
// The right answer may be of another alphabet, from before a change of the
// configuration; then what was typed counts as it stands.
func (a alphabet) equal(right, typed string) bool {
	if right == "" || len(typed) > maxTyped {
		return false
	}
	literal, meant := make([]byte, 0, maxTyped), make([]byte, 0, maxTyped)
	for _, c := range typed {
		if unicode.IsSpace(c) {
			continue
		}
		if '！' <= c && c <= '～' { // full-width forms, as East Asian keyboards type them
			c -= '！' - '!'
		}
		c = unicode.ToUpper(plainDigit(c))
		if !strings.ContainsRune(possible, c) {
			c = unlike
		}
		literal = append(literal, byte(c))
		if m := a.meant[c]; m != 0 {
			c = rune(m)
		}
		meant = append(meant, byte(c))
	}
	wanted := []byte(right)
	return subtle.ConstantTimeCompare(wanted, literal)|subtle.ConstantTimeCompare(wanted, meant) == 1
}

// plainDigit is the ASCII digit of the same value as a decimal digit of another
// script, as Arabic or Indian keyboards type them; other characters stay.
func plainDigit(c rune) rune {
	if c <= unicode.MaxASCII || !unicode.IsDigit(c) {
		return c
	}
	// Unicode has the ten digits of every script in a row (section 4.6), and its
	// tables join rows only whole.
	for _, r := range unicode.Nd.R16 {
		if first := rune(r.Lo); first <= c && c <= rune(r.Hi) {
			return '0' + (c-first)%10
		}
	}
	for _, r := range unicode.Nd.R32 {
		if first := rune(r.Lo); first <= c && c <= rune(r.Hi) {
			return '0' + (c-first)%10
		}
	}
	return c
}
