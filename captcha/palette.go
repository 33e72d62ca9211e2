package captcha

import (
	"image/color"
	"math"
	"math/rand/v2"
)

const (
	// tints is how many shades the background has, inks how many colours are
	// written with.
	tints = 4
	inks  = 8

	// minContrast is what WCAG 1.4.3 asks between text and background.
	minContrast = 4.5
)

// palette is the colours of a picture: the tints, the inks, and some unused.
type palette [colours]color.RGBA

func inkIndex(ink int) uint8 { return uint8(tints + ink) }

// inkIndexes is the inks in order.
var inkIndexes = func() (indexes [inks]uint8) {
	for i := range indexes {
		indexes[i] = inkIndex(i)
	}
	return indexes
}()

// mix draws the colours: tints of one hue that differ a little, and inks from
// all around the colour wheel, each with enough contrast to all tints. Half of
// the pictures are light on dark: people do not mind, and a program has to learn
// both.
func (p *palette) mix(random *rand.Rand) {
	between := func(low, high float64) float64 { return low + (high-low)*random.Float64() }
	hue, saturation := random.Float64(), between(0.3, 0.8)
	dark := random.IntN(2) == 0
	first, step := between(0.9, 0.94), -0.02
	if dark {
		first, step = between(0.1, 0.14), 0.015
	}
	for i := range tints {
		p[i] = fromHSL(hue, saturation, first+step*float64(i))
	}
	start := random.Float64()
	for i := range inks {
		hue := math.Mod(start+(float64(i)+between(0, 0.6))/inks, 1)
		saturation, light := between(0.55, 1), between(0.25, 0.5)
		if dark {
			light = 1 - light
		}
		p[inkIndex(i)] = newInk(hue, saturation, light, p[tints-1])
	}
}

// newInk makes a colour that can be read on the paper: it is moved away from
// the paper's brightness until it can.
func newInk(hue, saturation, light float64, paper color.RGBA) color.RGBA {
	for {
		ink := fromHSL(hue, saturation, light)
		switch {
		case contrast(ink, paper) >= minContrast:
			return ink
		case luminance(paper) > 0.5:
			light *= 0.92
		default:
			light = 1 - (1-light)*0.92
		}
	}
}

// fromHSL turns hue, saturation and lightness, each 0 to 1, into a colour.
func fromHSL(h, s, l float64) color.RGBA {
	channel := func(n float64) uint8 {
		k := math.Mod(n+h*12, 12)
		v := l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1))
		return uint8(math.Round(v * 255))
	}
	return color.RGBA{channel(0), channel(8), channel(4), 255}
}

// contrast is WCAG's contrast ratio of two colours, 1 to 21.
func contrast(a, b color.RGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}
