package captcha

import (
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The design rule is WCAG 1.4.3: 4.5 to 1 for text.
func TestEveryInkCanBeReadOnEveryTint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		var p palette
		p.mix(rand.New(rand.NewChaCha8(seed)))
		for i := range inks {
			for tint := range tints {
				ink, paper := p[inkIndex(i)], p[tint]
				if c := contrast(ink, paper); c < 4.5 {
					t.Errorf("ink %v on %v has a contrast of %.2f", ink, paper, c)
				}
			}
		}
	})
}

func TestContrastIsThatOfWCAG(t *testing.T) {
	for _, c := range []struct {
		a, b color.RGBA
		want float64
	}{
		{color.RGBA{0, 0, 0, 255}, color.RGBA{255, 255, 255, 255}, 21},
		{color.RGBA{255, 255, 255, 255}, color.RGBA{255, 255, 255, 255}, 1},
		{color.RGBA{0x76, 0x76, 0x76, 255}, color.RGBA{255, 255, 255, 255}, 4.54},
		{color.RGBA{255, 0, 0, 255}, color.RGBA{255, 255, 255, 255}, 4.00},
		{color.RGBA{0, 0, 255, 255}, color.RGBA{255, 255, 0, 255}, 8.00},
	} {
		for _, got := range []float64{contrast(c.a, c.b), contrast(c.b, c.a)} {
			if math.Abs(got-c.want) > 0.005 {
				t.Errorf("%v on %v: %.3f; want %.2f", c.a, c.b, got, c.want)
			}
		}
	}
}

func TestFromHSL(t *testing.T) {
	for _, c := range []struct {
		h, s, l float64
		want    color.RGBA
	}{
		{0, 1, 0.5, color.RGBA{255, 0, 0, 255}},
		{1.0 / 3, 1, 0.5, color.RGBA{0, 255, 0, 255}},
		{2.0 / 3, 1, 0.5, color.RGBA{0, 0, 255, 255}},
		{1.0 / 6, 1, 0.25, color.RGBA{128, 128, 0, 255}},
		{0.5, 0, 0.8, color.RGBA{204, 204, 204, 255}},
	} {
		if got := fromHSL(c.h, c.s, c.l); got != c.want {
			t.Errorf("%v, %v, %v: %v; want %v", c.h, c.s, c.l, got, c.want)
		}
	}
}
