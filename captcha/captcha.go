// Package captcha makes, draws and checks picture challenges. It knows neither
// HTTP nor Caddy; package caddymodule is one user of it.
//
// A challenge is a sealed token that carries everything: what form it is for,
// until when, for which browser, and the answer. Nothing is stored when one is
// made, so a flood of them costs no memory (CAP-9). The picture is a pure
// function of secret and token: every instance of one build draws the same
// bytes, every time, so nobody gets a second look at one answer (CAP-8).
//
//	maker, err := captcha.New(captcha.Options{Secrets: secrets, Realm: "shop"})
//	challenge, err := maker.Issue(captcha.Image, scope) // into a hidden field
//	claims, err := maker.Unpack(token)                  // when the picture is asked for
//	png, err := maker.Render(claims)
//	err = maker.Check(token, answer, scope, spend)      // when the form comes back
//
// What must be remembered is that a challenge was used. Check asks for it
// through spend, which must be one atomic operation of a store that all
// instances share, and judges nothing unless spend says that this is the first
// use, right or wrong (CAP-1).
package captcha

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

// How a challenge fails. Errors of spend come back wrapped and are none of these.
var (
	// ErrInvalid: not made by this maker's secrets for this realm and form.
	ErrInvalid = errors.New("captcha: invalid challenge")
	// ErrExpired: too old, from before the store was emptied, or from a future
	// that no clock reaches.
	ErrExpired = errors.New("captcha: expired challenge")
	// ErrMoved: made for another browser or network.
	ErrMoved = errors.New("captcha: challenge of another browser")
	// ErrSpent: used before.
	ErrSpent = errors.New("captcha: challenge used before")
	// ErrWrong: a good challenge with a wrong answer, now spent.
	ErrWrong = errors.New("captcha: wrong answer")
)

// Kind is what a challenge asks the visitor to do.
type Kind uint8

// Image asks to read a picture.
const Image Kind = 1

// String is the kind's name in URLs and JSON.
func (k Kind) String() string {
	if k == Image {
		return "image"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

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
	// Width and Height of the picture in CSS pixels, 120x40 to 600x240. It is
	// drawn twice as fine. Default 240x80.
	Width, Height int
	// Noise over and under the characters. Default DefaultNoise.
	Noise *Noise
	// CacheBytes bounds the drawn pictures that are kept, in bytes. Default 8 MiB.
	CacheBytes int64
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
	if o.Length == 0 {
		o.Length = 5
	}
	if o.Alphabet == "" {
		o.Alphabet = DefaultAlphabet
	}
	if o.Lifetime == 0 {
		o.Lifetime = 5 * time.Minute
	}
	if o.Width == 0 {
		o.Width = 240
	}
	if o.Height == 0 {
		o.Height = 80
	}
	if o.Noise == nil {
		noise := DefaultNoise
		o.Noise = &noise
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
}

func (o *Options) check() error {
	for _, r := range []struct {
		field           string
		value, from, to int
	}{
		{"length", o.Length, minLength, maxLength},
		{"width", o.Width, minWidth, maxWidth},
		{"height", o.Height, minHeight, maxHeight},
		{"noise lines", o.Noise.Lines, 0, 50},
		{"noise dots", o.Noise.Dots, 0, 500},
		{"noise arcs", o.Noise.Arcs, 0, 50},
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

// Maker issues, draws and checks challenges. It is safe for concurrent use.
type Maker struct {
	keys     *seal.Keyring
	alphabet alphabet
	options  Options
	artist   *artist
	cache    *cache
}

// New makes a Maker. An error names the option that is wrong. Close it when it
// is no longer used.
func New(o Options) (*Maker, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	letters, err := newAlphabet(o.Alphabet, o.Length)
	if err != nil {
		return nil, fmt.Errorf("alphabet: %w", err)
	}
	keys, err := seal.New(o.Secrets, "captcha", o.Realm)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	artist, err := newArtist(o.Width, o.Height, *o.Noise)
	if err != nil {
		return nil, err
	}
	cache, err := newCache(o.CacheBytes)
	if err != nil {
		return nil, err
	}
	o.Secrets = nil // the keyring has what is needed of them
	return &Maker{keys: keys, alphabet: letters, options: o, artist: artist, cache: cache}, nil
}

// Close frees the cache. A closed Maker still works, without one. Closing twice
// is fine.
func (m *Maker) Close() { m.cache.close() }

// Binding is what a challenge belongs to beside its form.
type Binding struct {
	// Browser is an id that only this browser has, from a cookie.
	Browser [16]byte
	// Network is where the browser is, as coarse as the caller likes; "" for
	// anywhere.
	Network string
}

// Scope is what a challenge is good for. It must be equal when it is issued and
// when it is checked.
type Scope struct {
	// Purpose is the form: "login", "sign_up" ... At most 255 bytes (CAP-6).
	Purpose string
	// Epoch is that of the store that remembers spent challenges: an emptied
	// store has another one, and old challenges die.
	Epoch   [16]byte
	Binding Binding
}

// Challenge is a new challenge.
type Challenge struct {
	// Token is the challenge: letters, digits, "-" and "_", fit for a URL.
	Token     string
	Kind      Kind
	ExpiresAt time.Time
}

// Issue makes a challenge and stores nothing.
func (m *Maker) Issue(kind Kind, s Scope) (Challenge, error) {
	if kind != Image {
		return Challenge{}, fmt.Errorf("captcha: cannot make %v", kind)
	}
	if len(s.Purpose) > maxText {
		return Challenge{}, fmt.Errorf("captcha: the purpose has %d bytes; at most %d are possible", len(s.Purpose), maxText)
	}
	answer, err := m.alphabet.draw(m.options.Length, m.options.Rand)
	if err != nil {
		return Challenge{}, fmt.Errorf("captcha: drawing an answer: %w", err)
	}
	// Cut to what the token holds, so that both say the same.
	expires := m.options.Now().Add(m.options.Lifetime).Truncate(time.Millisecond)
	token, err := m.keys.Seal(encode(content{
		kind: kind, epoch: s.Epoch, expires: expires, binding: s.Binding.digest(), purpose: s.Purpose, answer: answer,
	}), m.options.Rand)
	if err != nil {
		return Challenge{}, fmt.Errorf("captcha: %w", err)
	}
	return Challenge{Token: token, Kind: kind, ExpiresAt: expires}, nil
}

// Claims are what an unexpired token says.
type Claims struct {
	Kind      Kind
	Purpose   string
	Epoch     [16]byte
	ExpiresAt time.Time
	// ID is unique to the challenge.
	ID [24]byte
	// Answer is secret: fmt and JSON do not show it.
	Answer string `json:"-"`

	seed [32]byte
}

// Format hides the answer from every verb of fmt.
func (c Claims) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%v challenge for %q until %v, answer REDACTED", c.Kind, c.Purpose, c.ExpiresAt)
}

// Unpack opens a token. It returns ErrInvalid or ErrExpired, and looks at
// nothing in a token before its seal holds.
func (m *Maker) Unpack(token string) (Claims, error) {
	c, opened, err := m.open(token)
	if err != nil {
		return Claims{}, err
	}
	return Claims{
		Kind: c.kind, Purpose: c.purpose, Epoch: c.epoch, ExpiresAt: c.expires, ID: opened.Nonce, Answer: c.answer,
		seed: m.keys.Seed(opened, "drawing"),
	}, nil
}

// open returns what an unexpired token holds. A token that ends later than any
// configuration allows was made before the clock went back; it would live
// longer than promised, so it is refused. The bound is not this maker's own
// lifetime, lest a reload that shortens it break open challenges.
func (m *Maker) open(token string) (content, seal.Opened, error) {
	opened, err := m.keys.Open(token)
	if err != nil {
		return content{}, seal.Opened{}, ErrInvalid
	}
	c, ok := decode(opened.Plaintext)
	if !ok {
		return content{}, seal.Opened{}, ErrInvalid
	}
	left := c.expires.Sub(m.options.Now())
	if left <= 0 || left > maxLifetime+maxSkew {
		return content{}, seal.Opened{}, ErrExpired
	}
	return c, opened, nil
}

// Render draws the PNG picture of an unpacked challenge. Callers must not
// modify the bytes.
func (m *Maker) Render(c Claims) ([]byte, error) {
	if c.Kind != Image {
		return nil, fmt.Errorf("captcha: cannot draw %v", c.Kind)
	}
	if picture, ok := m.cache.get(c.ID); ok {
		return picture, nil
	}
	picture, err := m.artist.draw(c.seed, c.Answer)
	if err != nil {
		return nil, fmt.Errorf("captcha: drawing: %w", err)
	}
	m.cache.put(c.ID, picture)
	return picture, nil
}

// Check judges an answer. Everything that the token says is compared with the
// scope first; a challenge that does not fit is refused and stays unspent, so
// that nobody can burn another's. Then spend is called once: it must atomically
// mark id as used until the given time and report whether this was the first
// use. Only then is the answer compared. nil means right.
func (m *Maker) Check(token, answer string, s Scope, spend func(id [24]byte, until time.Time) (first bool, err error)) error {
	c, opened, err := m.open(token)
	if err != nil {
		return err
	}
	digest := s.Binding.digest()
	switch {
	case c.kind != Image, c.purpose != s.Purpose:
		return ErrInvalid
	case c.epoch != s.Epoch:
		return ErrExpired
	case subtle.ConstantTimeCompare(c.binding[:], digest[:]) != 1:
		return ErrMoved
	}
	first, err := spend(opened.Nonce, c.expires)
	switch {
	case err != nil:
		return fmt.Errorf("captcha: spending a challenge: %w", err)
	case !first:
		return ErrSpent
	case !m.alphabet.equal(c.answer, answer):
		return ErrWrong
	}
	return nil
}
