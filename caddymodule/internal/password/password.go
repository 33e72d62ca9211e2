// Package password judges passwords that somebody wants to set.
//
// It asks for length and against the obvious, not for kinds of characters
// (CRD-11, NIST SP 800-63B-4, 3.1.1.2): a password is too short, too long for
// bcrypt, built around the user's own name or the site's, or so common that
// guessing it takes next to no time. How long guessing takes is estimated by
// zxcvbn, with the lists of frequent passwords, names and words that it embeds.
package password

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/match"
	"github.com/ccojocar/zxcvbn-go/matching"
)

// Code is the contract's word for what is wrong with a password, "" if nothing is.
type Code string

// The codes.
const (
	TooShort  Code = "password_too_short"
	TooLong   Code = "password_too_long"
	TooCommon Code = "password_too_common"
	LikeName  Code = "password_like_name"
)

const (
	// LeastMin is the lowest minimum, in characters (CRD-2).
	LeastMin = 8
	// maxBytes is where bcrypt stops reading (CRD-1).
	maxBytes = 72
	// maxJudged bounds the estimate's work, in bytes; it only ever gets better
	// with what follows.
	maxJudged = 40
	// leastWord is how long a name must be to be looked for, in characters.
	leastWord = 3
	// leastScore is the lowest of zxcvbn's scores, 0 to 4, that is accepted: 10^4
	// guesses a second find less within hours.
	leastScore = 2
)

// Verdict is what Judge makes of a password.
type Verdict struct {
	// Score is 0 to 4; what is refused has at most 1.
	Score int
	Code  Code
}

// Judge judges a password that is to have at least so many characters. words are
// what the password must not be made of: the user's name, address, the site's
// name.
func Judge(password string, least int, words ...string) Verdict {
	switch {
	case utf8.RuneCountInString(password) < max(least, LeastMin):
		return Verdict{Code: TooShort}
	case len(password) > maxBytes:
		return Verdict{Code: TooLong}
	}
	words = significant(words)
	score := estimate(truncate(password), words)
	switch {
	case madeOf(password, words):
		return Verdict{Score: min(score, leastScore-1), Code: LikeName}
	case score < leastScore:
		return Verdict{Score: score, Code: TooCommon}
	}
	return Verdict{Score: score}
}

// zxcvbn takes leet for letters, and tries every combination of those that each may
// stand for: with all of them, for seconds. Where there are more than mostLeet
// kinds, they hide no word.
const (
	leet     = "4@8([{<3691!|70$5+%2"
	mostLeet = 6
)

// estimate is zxcvbn's score.
func estimate(password string, words []string) int {
	kinds := 0
	for _, c := range leet {
		if strings.ContainsRune(password, c) {
			kinds++
		}
	}
	tooMany := func(m match.Matcher) bool { return kinds > mostLeet && matching.FilterL33tMatcher(m) }
	return zxcvbn.PasswordStrength(password, words, tooMany).Score
}

// truncate cuts at a character.
func truncate(password string) string {
	if len(password) <= maxJudged {
		return password
	}
	cut := maxJudged
	for !utf8.RuneStart(password[cut]) {
		cut--
	}
	return password[:cut]
}

// significant are the words, and the parts they consist of, that are long enough
// to matter.
func significant(words []string) (found []string) {
	for _, word := range words {
		word = strings.ToLower(word)
		parts := strings.FieldsFunc(word, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
		for _, part := range append(parts, word) {
			if utf8.RuneCountInString(part) >= leastWord {
				found = append(found, part)
			}
		}
	}
	return found
}

// madeOf reports whether little is left of the password without one of the words.
func madeOf(password string, words []string) bool {
	password = strings.ToLower(password)
	for _, word := range words {
		if !strings.Contains(password, word) {
			continue
		}
		rest := strings.ReplaceAll(password, word, "")
		if utf8.RuneCountInString(rest) < LeastMin {
			return true
		}
	}
	return false
}
