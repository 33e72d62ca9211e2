package captcha

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"
)

// Options set how challenges are made. The zero value of a field means its
// default; Secrets have none.
type Options struct {
	// Secrets of at least 32 bytes each: the first one seals, all open.
	Secrets [][]byte
	// Realm keeps the challenges of one site from being good at another.
	Realm string
	// Length of an answer in characters, 4 to 8. Default 5.
	Length int
	// Alphabet of the answers: ASCII letters and digits, no two of which look
	// alike, judged without regard to case. With Length it must leave at least
	// 100,000 answers. Default DefaultAlphabet.
	Alphabet string
	// Lifetime of a challenge, one second to one hour. Default 5 minutes.
	Lifetime time.Duration
	// Level of challenges whose Spec does not say one. Default Normal.
	Level Level
	// Width and Height of the picture in CSS pixels, 120x40 to 600x240.
	// Default 240x80.
	Width, Height int
	// Density is how many pixels there are to a CSS pixel: 2, so that pictures
	// are sharp on every screen, or 1 for half the bytes. Default 2.
	Density int
	// Noise over and under the characters. Default that of the level.
	Noise *Noise
	// CacheBytes bounds the drawn pictures and sounds that are kept, in bytes.
	// Default 8 MiB.
	CacheBytes int64
	// Rendered, if not nil, hears of every picture and sound that was made rather
	// than found in the cache, and how long that took.
	Rendered func(kind Kind, took time.Duration)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Rand is where answers and nonces come from. Default crypto/rand.
	Rand io.Reader
}

// Format hides the secrets from every verb of fmt.
func (Options) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "captcha options, secrets REDACTED")
}

const (
	minLength, maxLength     = 4, 8
	minLifetime, maxLifetime = time.Second, time.Hour
	// maxSkew is how far the clocks of two instances may be apart.
	maxSkew              = time.Minute
	minWidth, maxWidth   = 120, 600
	minHeight, maxHeight = 40, 240
	// minCell is the room in CSS pixels that a character needs to be read.
	minCell = 24
)

func (o *Options) setDefaults() {
	o.Length = cmp.Or(o.Length, 5)
	o.Alphabet = cmp.Or(o.Alphabet, DefaultAlphabet)
	o.Lifetime = cmp.Or(o.Lifetime, 5*time.Minute)
	o.Width = cmp.Or(o.Width, 240)
	o.Height = cmp.Or(o.Height, 80)
	o.Density = cmp.Or(o.Density, 2)
	o.Level = cmp.Or(o.Level, Normal)
	o.CacheBytes = cmp.Or(o.CacheBytes, 8<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
}

func (o *Options) check() error {
	var noise Noise
	if o.Noise != nil {
		noise = *o.Noise
	}
	for _, r := range []struct {
		field           string
		value, from, to int
	}{
		{"length", o.Length, minLength, maxLength},
		{"width", o.Width, minWidth, maxWidth},
		{"height", o.Height, minHeight, maxHeight},
		{"density", o.Density, 1, 2},
		{"level", int(o.Level), int(Easy), int(Hard)},
		{"noise lines", noise.Lines, 0, 50},
		{"noise dots", noise.Dots, 0, 500},
		{"noise arcs", noise.Arcs, 0, 50},
	} {
		if r.value < r.from || r.value > r.to {
			return fmt.Errorf("%s: %d is not within %d and %d", r.field, r.value, r.from, r.to)
		}
	}
	switch {
	case o.Lifetime < minLifetime || o.Lifetime > maxLifetime:
		return fmt.Errorf("lifetime: %v is not within %v and %v", o.Lifetime, minLifetime, maxLifetime)
	case o.Width < minCell*o.Length:
		return fmt.Errorf("width: %d is too narrow for %d characters; they need %d", o.Width, o.Length, minCell*o.Length)
	case o.CacheBytes < 0:
		return errors.New("cache bytes: must not be negative")
	}
	return nil
}
