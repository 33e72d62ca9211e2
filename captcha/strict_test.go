package captcha

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func newTestMaker(t *testing.T, change ...func(*Options)) *Maker {
	t.Helper()
	o := Options{Secrets: [][]byte{bytes.Repeat([]byte{'s'}, 32)}}
	for _, c := range change {
		c(&o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// What a later version of this program seals with the same secrets, this one
// may not understand. It must refuse it and spend nothing.
func TestSealedContentThatIsNoChallengeIsRefused(t *testing.T) {
	end := time.Now().Add(time.Minute)
	good := content{kind: Image, level: Normal, expires: end, binding: Binding{}.digest(), purpose: "login", answer: "ACD39"}
	another, harder := good, good
	harder.level = 9
	another.kind = 9
	m := newTestMaker(t)
	for name, c := range map[string]struct {
		plaintext []byte
		unpack    error
		check     error
		spent     int
	}{
		"the challenge itself": {encode(good), nil, nil, 1},
		"another kind":         {encode(another), ErrInvalid, ErrInvalid, 0},
		"another level":        {encode(harder), ErrInvalid, ErrInvalid, 0},
		"nothing":              {nil, ErrInvalid, ErrInvalid, 0},
		"cut":                  {encode(good)[:len(encode(good))-1], ErrInvalid, ErrInvalid, 0},
		"a byte too many":      {append(encode(good), 0), ErrInvalid, ErrInvalid, 0},
		"text":                 {[]byte(strings.Repeat("text", 20)), ErrInvalid, ErrInvalid, 0},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := m.keys.Seal(c.plaintext, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := m.Unpack(token)
			if err != c.unpack {
				t.Errorf("unpacking: %v; want %v", err, c.unpack)
			}
			if err != nil && claims != (Claims{}) {
				t.Errorf("claims of what was refused: %v", claims)
			}
			calls := 0
			err = m.Check(Response{Token: token, Answer: "ACD39"}, Scope{Purpose: "login"}, func([24]byte, time.Time) (bool, error) { calls++; return true, nil })
			if err != c.check || calls != c.spent {
				t.Errorf("checking: %v, spent %d times; want %v and %d", err, calls, c.check, c.spent)
			}
		})
	}
}

func TestCAP2_ASealedEmptyAnswerIsNeverRight(t *testing.T) {
	m := newTestMaker(t)
	token, err := m.keys.Seal(encode(content{
		kind: Image, level: Easy, expires: time.Now().Add(time.Minute), binding: Binding{}.digest(), purpose: "login",
	}), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{" ", "\x00", "?"} {
		err := m.Check(Response{Token: token, Answer: typed}, Scope{Purpose: "login"}, func([24]byte, time.Time) (bool, error) { return true, nil })
		if err != ErrWrong {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

// Check and the picture end in the same millisecond.
func TestCAP7_UnpackEndsWithTheChallenge(t *testing.T) {
	start := time.UnixMilli(1_780_000_000_000)
	now := start
	m := newTestMaker(t, func(o *Options) { o.Now = func() time.Time { return now }; o.Lifetime = time.Minute })
	challenge, err := m.Issue(Spec{Kind: Image}, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  time.Time
		want error
	}{
		{start, nil},
		{challenge.ExpiresAt.Add(-1), nil},
		{challenge.ExpiresAt, ErrExpired},
		{challenge.ExpiresAt.Add(1), ErrExpired},
		{challenge.ExpiresAt.Add(-maxLifetime - maxSkew), nil},
		{challenge.ExpiresAt.Add(-maxLifetime - maxSkew - 1), ErrExpired},
	} {
		now = c.now
		if _, err := m.Unpack(challenge.Token); err != c.want {
			t.Errorf("%v before the end: %v; want %v", challenge.ExpiresAt.Sub(now), err, c.want)
		}
	}
}

func TestNegativeNoiseIsRefusedByName(t *testing.T) {
	for want, noise := range map[string]Noise{
		"noise lines: -1": {Lines: -1}, "noise dots: -1": {Dots: -1}, "noise arcs: -1": {Arcs: -1},
	} {
		m, err := New(Options{Secrets: [][]byte{bytes.Repeat([]byte{'s'}, 32)}, Noise: &noise})
		if m != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", noise, err, want)
		}
	}
}

// The groups are written out once more here, so that none gets lost.
func TestAlphabetHasOneOfEachGroupOfLookAlikes(t *testing.T) {
	groups := []string{"0OQD", "1IL", "2Z", "5S", "8B", "6GC", "4A", "7T", "MN", "UV"}
	grouped := strings.Join(groups, "")
	var single string
	for _, c := range possible {
		if !strings.ContainsRune(grouped, c) {
			single += string(c)
		}
	}
	for _, group := range groups {
		for _, a := range group {
			for _, b := range group {
				if a == b {
					continue
				}
				for _, pair := range []string{string(a) + string(b), strings.ToLower(string(a)) + string(b)} {
					if _, err := newAlphabet(single+pair, 8); err == nil || !strings.Contains(err.Error(), "look alike") {
						t.Errorf("%s: %v", single+pair, err)
					}
				}
			}
			other, err := newAlphabet(single+string(a), 8)
			if err != nil {
				t.Errorf("%s: %v", single+string(a), err)
			}
			for _, b := range group {
				if !other.equal(string(a), string(b)) {
					t.Errorf("%c does not stand for %c", b, a)
				}
			}
		}
	}
}

// What counts as a character, of all that Unicode has. Upper case of the
// dotless i is I, and of the long s it is S; no other letter becomes one of
// ASCII, so that no script has a second way to write an answer.
func TestFewCharactersOfUnicodeAreTakenForAnother(t *testing.T) {
	const characters = "ACDEFHJKLMPRSUWXY39"
	a, err := newAlphabet(characters, 5)
	if err != nil {
		t.Fatal(err)
	}
	for right, want := range map[string]string{
		"L": "1ILilıＩＬｉｌ１", "S": "5SsſＳｓ５", "K": "KkＫｋ", "3": "3３", "D": "0DOQdoqＤＯＱｄｏｑ０",
	} {
		var got strings.Builder
		for c := rune(0); c <= 0x1ffff; c++ { // beyond, no letter has two cases
			if a.equal(right, string(c)) {
				got.WriteRune(c)
			}
		}
		for _, c := range want {
			if !strings.ContainsRune(got.String(), c) {
				t.Errorf("%c is not taken for %s", c, right)
			}
		}
		for _, c := range got.String() {
			if c >= utf8.RuneSelf && unicode.IsDigit(c) {
				continue // those have a test of their own
			}
			if !strings.ContainsRune(want, c) {
				t.Errorf("%c (%U) is taken for %s", c, c, right)
			}
		}
	}
}

func TestDigitsOfOtherScriptsCount(t *testing.T) {
	for script, all := range map[string]string{
		"Arabic": "٠١٢٣٤٥٦٧٨٩", "Persian": "۰۱۲۳۴۵۶۷۸۹", "Devanagari": "०१२३४५६७८९",
		"Bengali": "০১২৩৪৫৬৭৮৯", "Thai": "๐๑๒๓๔๕๖๗๘๙", "full width": "０１２３４５６７８９",
		"Adlam": "𞥐𞥑𞥒𞥓𞥔𞥕𞥖𞥗𞥘𞥙", "mathematical": "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡", "ASCII": "0123456789",
	} {
		value := 0
		for _, c := range all {
			if !digits.equal(string(rune('0'+value)), string(c)) {
				t.Errorf("%s: %c is not %d", script, c, value)
			}
			if digits.equal(string(rune('0'+(value+1)%10)), string(c)) {
				t.Errorf("%s: %c is %d too", script, c, (value+1)%10)
			}
			value++
		}
	}
}
