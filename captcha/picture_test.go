package captcha_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// tints is how many of a picture's first colours are background.
const tints = 4

func TestCAP8_RepeatedRendersAreEqual(t *testing.T) {
	first := newMaker(t)
	token, answer := solved(t, first)
	want := mustRender(t, first, token)
	closed := newMaker(t)
	closed.Close()
	for name, m := range map[string]*captcha.Maker{
		"again":             first,
		"another instance":  newMaker(t),
		"without a cache":   closed,
		"with a tiny cache": newMaker(t, func(o *captcha.Options) { o.CacheBytes = 1 }),
		"another lifetime":  newMaker(t, func(o *captcha.Options) { o.Lifetime *= 2 }),
	} {
		for range 20 {
			if !bytes.Equal(mustRender(t, m, token), want) {
				t.Errorf("%s: another picture", name)
				break
			}
		}
	}
	if err := first.Check(captcha.Response{Token: token, Answer: answer}, loginScope, new(spentOnce).spend); err != nil {
		t.Errorf("looking at it used it up: %v", err)
	}
}

func TestCAP8_RendersAtOnceAreEqual(t *testing.T) {
	m := newMaker(t)
	claims := mustUnpack(t, m, mustIssue(t, m).Token)
	pictures := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range pictures {
		group.Go(func() {
			var err error
			if pictures[i], err = m.Render(claims); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range pictures {
		if !bytes.Equal(pictures[i], pictures[0]) {
			t.Errorf("picture %d differs", i)
		}
	}
}

func TestChallengesHavePicturesOfTheirOwn(t *testing.T) {
	m, other := newMaker(t), newMaker(t, withSecrets("x"))
	seen := map[string]bool{}
	for range 20 {
		seen[string(mustRender(t, m, mustIssue(t, m).Token))] = true
		seen[string(mustRender(t, other, mustIssue(t, other).Token))] = true
	}
	if len(seen) != 40 {
		t.Errorf("40 challenges have %d pictures", len(seen))
	}
}

// One answer must look different in each challenge, and strangers must not be
// able to draw the picture of every answer.
func TestOneAnswerHasManyPictures(t *testing.T) {
	seen := map[string]bool{}
	for _, letters := range []string{"s", "x"} {
		for nonce := range byte(3) {
			// The first 32 bytes make the answer, the next ones the nonce.
			source := io.MultiReader(bytes.NewReader(make([]byte, 32)), random(nonce))
			m := newMaker(t, withSecrets(letters), func(o *captcha.Options) { o.Rand = source })
			token, answer := solved(t, m)
			if answer != "AAAAA" {
				t.Fatalf("answer %q", answer)
			}
			seen[string(mustRender(t, m, token))] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("6 challenges have %d pictures", len(seen))
	}
}

func decode(t require, picture []byte) *image.Paletted {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	paletted, ok := decoded.(*image.Paletted)
	if !ok {
		t.Fatalf("the picture is a %T", decoded)
	}
	return paletted
}

// require is what tests and property tests have in common.
type require interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func TestPicturesAreSmallPNGsWithoutMetadata(t *testing.T) {
	m := newMaker(t)
	for range 50 {
		picture := mustRender(t, m, mustIssue(t, m).Token)
		if len(picture) > 8<<10 {
			t.Errorf("%d bytes", len(picture))
		}
		p := decode(t, picture)
		if p.Rect != image.Rect(0, 0, 480, 160) {
			t.Errorf("%v; want twice 240x80", p.Rect)
		}
		if len(p.Palette) > 16 {
			t.Errorf("%d colours", len(p.Palette))
		}
		for rest := picture[8:]; len(rest) > 0; rest = rest[12+binary.BigEndian.Uint32(rest):] {
			switch kind := string(rest[4:8]); kind {
			case "IHDR", "PLTE", "IDAT", "IEND":
			default:
				t.Errorf("chunk %s", kind)
			}
		}
	}
}

// inked counts the pixels of each ink.
func inked(p *image.Paletted) map[uint8]int {
	counts := map[uint8]int{}
	for ink := range len(p.Palette) - tints {
		index := uint8(tints + ink)
		if n := bytes.Count(p.Pix, []byte{index}); n > 0 {
			counts[index] = n
		}
	}
	return counts
}

func TestOneColourGivesEveryCharacterItsOwn(t *testing.T) {
	for _, alphabet := range []string{captcha.DefaultAlphabet, "0123456789", "BGIJNOSTVZ"} {
		for length := 5; length <= 8; length++ {
			t.Run(fmt.Sprintf("%s %d", alphabet, length), func(t *testing.T) {
				m := newMaker(t, func(o *captcha.Options) {
					o.Alphabet, o.Length, o.Noise = alphabet, length, &captcha.Noise{OneColour: true}
				})
				for range 8 {
					token, answer := solved(t, m)
					p := decode(t, mustRender(t, m, token))
					counts := inked(p)
					if len(counts) != length {
						t.Errorf("%s is drawn in %d inks", answer, len(counts))
					}
					colours := map[color.Color]bool{}
					for ink, pixels := range counts {
						colours[p.Palette[ink]] = true
						// The smallest of all, a hollow I, covers more than this.
						if pixels < 120 {
							t.Errorf("a character of %s has %d pixels", answer, pixels)
						}
					}
					if len(colours) != length {
						t.Errorf("%s has %d colours", answer, len(colours))
					}
				}
			})
		}
	}
}

func TestCharactersStayInsideThePicture(t *testing.T) {
	m := newMaker(t, func(o *captcha.Options) { o.Noise = &captcha.Noise{}; o.Alphabet = "ACDEFHJKLMPRTUWXY39" })
	for range 80 {
		token, answer := solved(t, m)
		p := decode(t, mustRender(t, m, token))
		for x := range p.Rect.Dx() {
			for _, y := range []int{0, p.Rect.Dy() - 1} {
				if p.ColorIndexAt(x, y) >= tints {
					t.Fatalf("%s is cut off at %d,%d", answer, x, y)
				}
			}
		}
		for y := range p.Rect.Dy() {
			for _, x := range []int{0, p.Rect.Dx() - 1} {
				if p.ColorIndexAt(x, y) >= tints {
					t.Fatalf("%s is cut off at %d,%d", answer, x, y)
				}
			}
		}
	}
}

func TestNoiseIsDrawn(t *testing.T) {
	for name, noise := range map[string]captcha.Noise{"lines": {Lines: 10}, "dots": {Dots: 100}, "arcs": {Arcs: 10}} {
		// Noise takes random numbers and so moves what is drawn after it: only
		// many pictures tell its ink from that of other characters.
		const pictures = 64
		with := newMaker(t, func(o *captcha.Options) { o.Noise, o.Rand = &noise, random(4) })
		without := newMaker(t, func(o *captcha.Options) { o.Noise = &captcha.Noise{} })
		more := 0
		for range pictures {
			token := mustIssue(t, with).Token
			for _, pixels := range inked(decode(t, mustRender(t, with, token))) {
				more += pixels
			}
			for _, pixels := range inked(decode(t, mustRender(t, without, token))) {
				more -= pixels
			}
		}
		if more < pictures*500 {
			t.Errorf("%s add %d pixels to %d pictures", name, more, pictures)
		}
	}
}

func TestAnySettingDraws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(5, 8).Draw(t, "length")
		width := rapid.IntRange(24*length, 600).Draw(t, "width")
		height := rapid.IntRange(40, 240).Draw(t, "height")
		noise := captcha.Noise{
			Lines: rapid.IntRange(0, 50).Draw(t, "lines"),
			Dots:  rapid.IntRange(0, 500).Draw(t, "dots"),
			Arcs:  rapid.IntRange(0, 50).Draw(t, "arcs"),
		}
		m, err := captcha.New(captcha.Options{
			Secrets: [][]byte{secret('s')}, Length: length, Width: width, Height: height, Noise: &noise,
			Rand: random(rapid.Byte().Draw(t, "seed")),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, captcha.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := m.Unpack(challenge.Token)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := m.Render(claims)
		if err != nil {
			t.Fatal(err)
		}
		if size := decode(t, picture).Rect.Size(); size != image.Pt(2*width, 2*height) {
			t.Fatalf("%v; want twice %dx%d", size, width, height)
		}
	})
}

func TestRenderRefusesWhatItCannotDraw(t *testing.T) {
	m := newMaker(t)
	good := mustUnpack(t, m, mustIssue(t, m).Token)
	for name, change := range map[string]func(*captcha.Claims){
		"a puzzle":          func(c *captcha.Claims) { c.Kind = captcha.Work },
		"another level":     func(c *captcha.Claims) { c.Level = 0 },
		"no kind":           func(c *captcha.Claims) { c.Kind = 0 },
		"lower case":        func(c *captcha.Claims) { c.Answer = "abcde" },
		"a foreign letter":  func(c *captcha.Claims) { c.Answer = "ACÄDE" },
		"a space within":    func(c *captcha.Claims) { c.Answer = "AC DE" },
		"nothing to answer": func(c *captcha.Claims) { c.Answer = "" },
	} {
		c := good
		change(&c)
		if picture, err := m.Render(c); picture != nil || err == nil {
			t.Errorf("%s: %d bytes, error %v", name, len(picture), err)
		}
	}
}
