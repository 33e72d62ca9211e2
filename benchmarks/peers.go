package benchmarks

import (
	"bytes"
	"image/color"
	"image/png"
	"strconv"

	afocus "github.com/afocus/captcha"
	dchest "github.com/dchest/captcha"
	"github.com/mojocn/base64Captcha"
	steambap "github.com/steambap/captcha"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/goregular"
)

// writing is the Generator of a library that writes to an io.Writer. The buffer
// is used again and again, so that its growth is not counted against anyone.
func writing(write func(*bytes.Buffer) (answer string, err error)) Generator {
	var file bytes.Buffer
	next := func() (Sample, error) {
		file.Reset()
		answer, err := write(&file)
		return Sample{Answer: answer, File: file.Bytes()}, err
	}
	return Generator{Next: next, Close: func() {}}
}

// dchestDigits draws an answer, and an id that the picture or sound is seeded
// with, as the library's own store would give.
func dchestDigits(made *int) (id string, digits []byte, answer string) {
	*made++
	digits = dchest.RandomDigits(length)
	text := make([]byte, length)
	for i, digit := range digits {
		text[i] = '0' + digit
	}
	return strconv.Itoa(*made), digits, string(text)
}

// Dchest sets dchest/captcha up for pictures of its standard size.
func Dchest() (Generator, error) {
	made := 0
	return writing(func(file *bytes.Buffer) (string, error) {
		id, digits, answer := dchestDigits(&made)
		_, err := dchest.NewImage(id, digits, width, height).WriteTo(file)
		return answer, err
	}), nil
}

// DchestSound sets dchest/captcha up for English sounds.
func DchestSound() (Generator, error) {
	made := 0
	return writing(func(file *bytes.Buffer) (string, error) {
		id, digits, answer := dchestDigits(&made)
		_, err := dchest.NewAudio(id, digits, "en").WriteTo(file)
		return answer, err
	}), nil
}

func fromDriver(driver base64Captcha.Driver) Generator {
	return writing(func(file *bytes.Buffer) (string, error) {
		_, content, answer := driver.GenerateIdQuestionAnswer()
		item, err := driver.DrawCaptcha(content)
		if err != nil {
			return "", err
		}
		_, err = item.WriteTo(file)
		return answer, err
	})
}

// Base64Digits is base64Captcha's default driver for pictures: five digits.
func Base64Digits() (Generator, error) { return fromDriver(base64Captcha.DefaultDriverDigit), nil }

// Base64Sound is base64Captcha's default driver for sounds: six English digits.
func Base64Sound() (Generator, error) { return fromDriver(base64Captcha.DefaultDriverAudio), nil }

// base64Source has the characters of the answers in the library's demo.
const base64Source = "1234567890qwertyuioplkjhgfdsazxcvbnm"

// Base64String sets base64Captcha up for digits and letters: in one font without
// noise, as in its demo, or in all of its fonts with three kinds of lines and 20
// characters of noise.
func Base64String(width, height int, noise bool) func() (Generator, error) {
	characters, lines, fonts := 0, 0, []string{"wqy-microhei.ttc"}
	if noise {
		characters, fonts = 20, nil
		lines = base64Captcha.OptionShowHollowLine | base64Captcha.OptionShowSlimeLine | base64Captcha.OptionShowSineLine
	}
	return func() (Generator, error) {
		return fromDriver(base64Captcha.NewDriverString(
			height, width, characters, lines, length, base64Source, nil, nil, fonts)), nil
	}
}

// Steambap sets steambap/captcha up as it comes, but for six characters.
func Steambap() (Generator, error) {
	return writing(func(file *bytes.Buffer) (string, error) {
		data, err := steambap.New(width, height, func(o *steambap.Options) { o.TextLength = length })
		if err != nil {
			return "", err
		}
		return data.Text, data.WriteImage(file)
	}), nil
}

// Afocus sets afocus/captcha up with the colours, the noise and the characters
// of its example. It has no fonts of its own.
func Afocus() (Generator, error) {
	c := afocus.New()
	for _, font := range [][]byte{goregular.TTF, gobold.TTF, goitalic.TTF} {
		if err := c.AddFontFromBytes(font); err != nil {
			return Generator{}, err
		}
	}
	c.SetSize(width, height)
	c.SetDisturbance(afocus.MEDIUM)
	c.SetFrontColor(color.White)
	c.SetBkgColor(color.RGBA{R: 255, A: 255}, color.RGBA{B: 255, A: 255}, color.RGBA{G: 153, A: 255})
	return writing(func(file *bytes.Buffer) (string, error) {
		picture, answer := c.Create(length, afocus.ALL)
		return answer, png.Encode(file, picture)
	}), nil
}
