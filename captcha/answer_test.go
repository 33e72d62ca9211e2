package captcha_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// challengeFor issues challenges until one has the characters in its answer.
func challengeFor(t *testing.T, m *captcha.Maker, characters string) (token, answer string) {
	t.Helper()
	for {
		token, answer = solved(t, m)
		if strings.ContainsAny(answer, characters) {
			return token, answer
		}
	}
}

func TestAnswersMayBeTypedInManyWays(t *testing.T) {
	m := newMaker(t)
	fullWidth := func(s string) string {
		return strings.Map(func(r rune) rune { return r + '！' - '!' }, s)
	}
	for name, typed := range map[string]func(string) string{
		"as shown":            func(s string) string { return s },
		"lower case":          strings.ToLower,
		"spaces around":       func(s string) string { return "  " + s + "\t\r\n" },
		"spaces inside":       func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
		"no-break space":      func(s string) string { return s[:2] + "\u00a0" + s[2:] },
		"ideographic space":   func(s string) string { return s + "\u3000" },
		"full width":          fullWidth,
		"full width lower":    func(s string) string { return fullWidth(strings.ToLower(s)) },
		"64 bytes altogether": func(s string) string { return s + strings.Repeat(" ", 59) },
	} {
		t.Run(name, func(t *testing.T) {
			token, answer := solved(t, m)
			if err := m.Check(captcha.Response{Token: token, Answer: typed(answer)}, loginScope, new(spentOnce).spend); err != nil {
				t.Errorf("%q for %q: %v", typed(answer), answer, err)
			}
		})
	}
}

func TestLookAlikesOfAbsentCharactersAreMeant(t *testing.T) {
	m := newMaker(t)
	for typed, meant := range map[string]string{
		"0": "D", "O": "D", "Q": "D", "o": "D", "q": "D", "1": "L", "I": "L", "i": "L", "l": "L",
		"V": "U", "v": "U", "4": "A", "7": "T", "N": "M", "n": "M", "G": "C", "g": "C", "6": "C", "０": "D", "ｏ": "D",
	} {
		token, answer := challengeFor(t, m, meant)
		typedAnswer := strings.ReplaceAll(answer, meant, typed)
		if err := m.Check(captcha.Response{Token: token, Answer: typedAnswer}, loginScope, new(spentOnce).spend); err != nil {
			t.Errorf("%q for %q: %v", typedAnswer, answer, err)
		}
	}
}

func TestCharactersThatMeanNothingAreWrong(t *testing.T) {
	m := newMaker(t)
	for _, c := range []string{"2", "Z", "5", "S", "8", "B", "?", "-", "\x00", "\xff", "é", "А" /* Cyrillic */, "\u212a" /* Kelvin */, "😀"} {
		token, answer := solved(t, m)
		if err := m.Check(captcha.Response{Token: token, Answer: answer[:4] + c}, loginScope, new(spentOnce).spend); err != captcha.ErrWrong {
			t.Errorf("%q for %q: %v", answer[:4]+c, answer, err)
		}
	}
}

func TestPresentLookAlikesStandForThemselves(t *testing.T) {
	// This alphabet has 0 and no D, so that D is typed for 0 and not for itself.
	m := newMaker(t, func(o *captcha.Options) { o.Alphabet = "0AEFHJKMPRTUWXY39" })
	token, answer := challengeFor(t, m, "0")
	if err := m.Check(captcha.Response{Token: token, Answer: strings.ReplaceAll(answer, "0", "D")}, loginScope, new(spentOnce).spend); err != nil {
		t.Errorf("D for 0: %v", err)
	}
	token, answer = challengeFor(t, m, "3")
	if err := m.Check(captcha.Response{Token: token, Answer: strings.ReplaceAll(answer, "3", "0")}, loginScope, new(spentOnce).spend); err != captcha.ErrWrong {
		t.Errorf("0 for 3: %v", err)
	}
}

// FuzzCheckAnswer compares the judge with a slower one that is written another
// way.
func FuzzCheckAnswer(f *testing.F) {
	m := newMaker(f, func(o *captcha.Options) { o.Rand = random(4) })
	token, answer := solved(f, m)
	for _, typed := range []string{
		answer, strings.ToLower(answer), " " + answer, answer + answer, "", " ", answer[:4], "ＡＣＤ３９", "0OQ1I", "\xff\xfe", "ſıﬀ",
		strings.Repeat("A", 65),
	} {
		f.Add(typed)
	}
	means := strings.NewReplacer("0", "D", "O", "D", "Q", "D", "1", "L", "I", "L", "V", "U", "4", "A", "7", "T", "N", "M", "G", "C", "6", "C")
	f.Fuzz(func(t *testing.T, typed string) {
		var plain strings.Builder
		for _, c := range typed {
			if c >= 0xff01 && c <= 0xff5e {
				c -= 0xfee0
			}
			if c >= utf8.RuneSelf && unicode.IsDigit(c) {
				return // what those stand for, another test says
			}
			if !unicode.IsSpace(c) {
				plain.WriteRune(c)
			}
		}
		right := len(typed) <= 64 && utf8.ValidString(typed) && means.Replace(strings.ToUpper(plain.String())) == answer
		calls := 0
		err := m.Check(captcha.Response{Token: token, Answer: typed}, loginScope, func([24]byte, time.Time) (bool, error) { calls++; return true, nil })
		if typed == "" {
			if err != captcha.ErrIncomplete || calls != 0 {
				t.Errorf("no answer: %v, spent %d times", err, calls)
			}
			return
		}
		if calls != 1 {
			t.Errorf("spent %d times", calls)
		}
		if right && err != nil || !right && err != captcha.ErrWrong {
			t.Errorf("%q for %q: %v", typed, answer, err)
		}
	})
}
