package benchmarks

import (
	"bytes"

	"github.com/captcha-gate/captcha-gate/captcha"
)

const normal = captcha.Normal

// OurOptions are the ones that comparisons vary.
type OurOptions struct {
	Level captcha.Level
	// Density is how many pixels there are to a CSS pixel, 1 or 2.
	Density int
	// Length of the answer of a picture in characters.
	Length int
}

// OurPictures sets up Captcha Gate's pictures of 240x80 CSS pixels.
func OurPictures(o OurOptions) func() (Generator, error) {
	return func() (Generator, error) { return newOurs(o, captcha.Spec{Kind: captcha.Image, Level: o.Level}) }
}

// OurSounds sets up Captcha Gate's English sounds.
func OurSounds(level captcha.Level) func() (Generator, error) {
	spec := captcha.Spec{Kind: captcha.Audio, Level: level, Language: "en"}
	return func() (Generator, error) { return newOurs(OurOptions{}, spec) }
}

// newOurs makes everything that a visitor costs part of each captcha: the token
// is issued and sealed, opened again, and only then drawn. Every challenge is
// new, so the cache is filled and never hit.
func newOurs(o OurOptions, spec captcha.Spec) (Generator, error) {
	maker, err := captcha.New(captcha.Options{
		Secrets: [][]byte{bytes.Repeat([]byte("b"), 32)}, Realm: "benchmarks",
		Length: o.Length, Width: width, Height: height, Density: o.Density,
	})
	if err != nil {
		return Generator{}, err
	}
	next := func() (Sample, error) {
		challenge, err := maker.Issue(spec, captcha.Scope{Purpose: "login"})
		if err != nil {
			return Sample{}, err
		}
		claims, err := maker.Unpack(challenge.Token)
		if err != nil {
			return Sample{}, err
		}
		file, err := maker.Render(claims)
		return Sample{Answer: claims.Answer, File: file}, err
	}
	return Generator{Next: next, Close: maker.Close}, nil
}
