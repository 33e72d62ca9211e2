package benchmarks

import (
	"image"
	"image/color"
	"math"
	"strings"

	"github.com/golang/freetype/truetype"
	"github.com/wenlng/go-captcha/v2/click"
	"golang.org/x/image/font/gofont/gobold"
)

// goCaptchaCharacters takes the place of the default ones, which are Chinese
// and not in the Go fonts.
const goCaptchaCharacters = "ACDEFHJKLMPRTUWXY39"

// GoCaptcha sets go-captcha up for its default task, to click on characters in
// the order that a second picture shows, with the library's default sizes. Font
// and background, which it does not bring, are ours.
func GoCaptcha() (Generator, error) {
	font, err := truetype.Parse(gobold.TTF)
	if err != nil {
		return Generator{}, err
	}
	builder := click.NewBuilder()
	builder.SetResources(
		click.WithChars(strings.Split(goCaptchaCharacters, "")),
		click.WithFonts([]*truetype.Font{font}),
		click.WithBackgrounds([]image.Image{landscape(300, 220)}),
	)
	maker := builder.Make()
	next := func() (Sample, error) {
		data, err := maker.Generate()
		if err != nil {
			return Sample{}, err
		}
		var s Sample
		dots := data.GetData()
		for i := range len(dots) {
			s.Answer += dots[i].Text
		}
		if s.File, err = data.GetMasterImage().ToBytes(); err != nil {
			return Sample{}, err
		}
		s.Prompt, err = data.GetThumbImage().ToBytes()
		return s, err
	}
	return Generator{Next: next, Close: func() {}}, nil
}

// landscape stands in for a photograph: a sky over waves of hills.
func landscape(width, height int) image.Image {
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			c := color.NRGBA{R: uint8(90 + 80*v), G: uint8(130 + 60*v), B: 200, A: 255}
			for hill := range 5 {
				i := float64(hill)
				if v > 0.3+0.14*i+0.05*math.Sin(u*(7+3*i)+i*i) {
					shade := 20 * math.Sin(40*u+i) * math.Sin(55*v)
					c = color.NRGBA{R: uint8(70 - 10*i + shade/2), G: uint8(130 - 18*i + shade), B: uint8(95 - 12*i), A: 255}
				}
			}
			picture.SetNRGBA(x, y, c)
		}
	}
	return picture
}
