// Package captcha makes, draws, speaks and checks challenges. It knows neither
// HTTP nor Caddy; package caddymodule is one user of it.
//
// A challenge is a sealed token that carries everything: what form it is for,
// until when, for which browser, and the answer. Nothing is stored when one is
// made, so a flood of them costs no memory (CAP-9). The picture or sound is a
// pure function of secret and token: every instance of one build makes the same
// bytes, every time, so nobody gets a second look at one answer (CAP-8).
//
//	maker, err := captcha.New(captcha.Options{Secrets: secrets, Realm: "shop"})
//	challenge, err := maker.Issue(captcha.Spec{Kind: captcha.Image}, scope) // into a hidden field
//	claims, err := maker.Unpack(token)                // when the picture is asked for
//	png, err := maker.Render(claims)
//	err = maker.Check(captcha.Response{Token: token, Answer: answer}, scope, spend)
//
// A picture shows characters, a sound speaks digits; a puzzle (Work) asks
// nothing of the visitor and some time of the device. A picture or sound can
// carry a puzzle too.
//
// None of them is a wall. Programs that are trained for it read such pictures
// and hear such sounds; what holds is that a challenge is good for one try, for
// one browser and a short time, and that tries are limited.
//
// What must be remembered is that a challenge was used. Check asks for it
// through spend, which must be one atomic operation of a store that all
// instances share, and judges nothing unless spend says that this is the first
// use, right or wrong (CAP-1).
package captcha

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
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
	// ErrIncomplete: a good challenge whose answer or solved puzzle is missing;
	// not spent.
	ErrIncomplete = errors.New("captcha: answer or solved puzzle missing")
	// ErrWrong: a good challenge with a wrong answer or puzzle, now spent.
	ErrWrong = errors.New("captcha: wrong answer")
)

// Kind is what a challenge asks the visitor to do.
type Kind uint8

const (
	// Image asks to read a picture.
	Image Kind = 1
	// Audio asks to hear digits. It is a challenge with an answer of its own,
	// not another form of a picture (CAP-11).
	Audio Kind = 2
	// Work asks nothing: the device solves a puzzle. It is the way in for who
	// can neither see nor hear, without a cognitive function test (WCAG 2.2,
	// 3.3.8).
	Work Kind = 3
)

var kindNames = [...]string{Image: "image", Audio: "audio", Work: "work"}

// String is the kind's name in URLs and JSON.
func (k Kind) String() string {
	if k < Image || k > Work {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kindNames[k]
}

// ParseKind reads what String wrote.
func ParseKind(name string) (Kind, error) {
	for k := Image; k <= Work; k++ {
		if name == kindNames[k] {
			return k, nil
		}
	}
	return 0, fmt.Errorf("kind %q: one of image, audio, work", name)
}

// Maker issues, draws and checks challenges. It is safe for concurrent use.
type Maker struct {
	keys     *seal.Keyring
	alphabet alphabet
	options  Options
	artist   *artist
	speaker  *speaker
	cache    *cache
}

// Voices and typefaces are read once for all makers of a program.
var (
	sharedSpeaker = sync.OnceValues(newSpeaker)
	sharedFaces   = sync.OnceValues(loadFaces)
)

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
	artist, err := newArtist(o.Width*o.Density, o.Height*o.Density, o.Noise)
	if err != nil {
		return nil, err
	}
	speaker, err := sharedSpeaker()
	if err != nil {
		return nil, err
	}
	cache, err := newCache(o.CacheBytes)
	if err != nil {
		return nil, err
	}
	o.Secrets = nil // the keyring has what is needed of them
	return &Maker{keys: keys, alphabet: letters, options: o, artist: artist, speaker: speaker, cache: cache}, nil
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

// Spec is what kind of challenge to make.
type Spec struct {
	Kind Kind
	// Level of a picture or sound. Default that of the Options.
	Level Level
	// Language that a sound is spoken in, one of Languages. Default "en".
	Language string
	// Work is how long a slow phone has to solve the puzzle that comes with the
	// challenge, or is all of it: 100 milliseconds to 2 minutes, 0 for none.
	Work time.Duration
}

// Challenge is a new challenge.
type Challenge struct {
	// Token is the challenge: letters, digits, "-" and "_", fit for a URL.
	Token     string
	Kind      Kind
	Level     Level
	ExpiresAt time.Time
	// Puzzle to solve, nil if there is none.
	Puzzle *Puzzle
}

// audioLength is how many digits a sound speaks: a million answers, and no more
// than people keep in mind.
const audioLength = 6

// digits is the alphabet of sounds: spoken letters rhyme.
var digits = alphabet{characters: "0123456789"}

// Issue makes a challenge and stores nothing.
func (m *Maker) Issue(spec Spec, s Scope) (Challenge, error) {
	c, err := m.content(spec)
	if err != nil {
		return Challenge{}, fmt.Errorf("captcha: %w", err)
	}
	if len(s.Purpose) > maxText {
		return Challenge{}, fmt.Errorf("captcha: the purpose has %d bytes; at most %d are possible", len(s.Purpose), maxText)
	}
	c.epoch, c.binding, c.purpose = s.Epoch, s.Binding.digest(), s.Purpose
	// Cut to what the token holds, so that both say the same.
	c.expires = m.options.Now().Add(m.options.Lifetime).Truncate(time.Millisecond)
	token, err := m.keys.Seal(encode(c), m.options.Rand)
	if err != nil {
		return Challenge{}, fmt.Errorf("captcha: %w", err)
	}
	challenge := Challenge{Token: token, Kind: c.kind, Level: c.level, ExpiresAt: c.expires}
	if c.threshold > 0 {
		puzzle := newPuzzle(token, c.threshold)
		challenge.Puzzle = &puzzle
	}
	return challenge, nil
}

// content decides what a challenge asks.
func (m *Maker) content(spec Spec) (c content, err error) {
	c = content{kind: spec.Kind, level: spec.Level}
	if c.level == 0 {
		c.level = m.options.Level
	}
	if !c.level.valid() {
		return content{}, fmt.Errorf("cannot make %v", c.level)
	}
	switch spec.Kind {
	case Image:
		c.answer, err = m.alphabet.draw(m.options.Length, m.options.Rand)
	case Audio:
		c.language = cmp.Or(spec.Language, "en")
		if !slices.Contains(Languages(), c.language) {
			return content{}, fmt.Errorf("language %q: one of %s", c.language, strings.Join(Languages(), ", "))
		}
		c.answer, err = digits.draw(audioLength, m.options.Rand)
	case Work:
		if spec.Work == 0 {
			return content{}, errors.New("work: a puzzle alone needs some")
		}
	default:
		return content{}, fmt.Errorf("cannot make %v", spec.Kind)
	}
	if err != nil {
		return content{}, fmt.Errorf("drawing an answer: %w", err)
	}
	if spec.Work != 0 {
		c.threshold, err = threshold(spec.Work)
	}
	return c, err
}

// Claims are what an unexpired token says.
type Claims struct {
	Kind      Kind
	Level     Level
	Purpose   string
	Language  string // of a sound
	Epoch     [16]byte
	ExpiresAt time.Time
	// ID is unique to the challenge.
	ID [24]byte
	// Answer is secret: fmt and JSON do not show it.
	Answer string `json:"-"`

	seed    [32]byte
	binding [digestLength]byte
}

// BoundTo reports whether the challenge was issued for this browser and network,
// so that who holds the secret can find out where the issuer took a browser to be.
func (c Claims) BoundTo(b Binding) bool { return c.binding == b.digest() }

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
		Kind: c.kind, Level: c.level, Purpose: c.purpose, Language: c.language,
		Epoch: c.epoch, ExpiresAt: c.expires, ID: opened.Nonce, Answer: c.answer,
		seed: m.keys.Seed(opened, "drawing"), binding: c.binding,
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
	if !ok || c.kind < Image || c.kind > Work || !c.level.valid() {
		return content{}, seal.Opened{}, ErrInvalid
	}
	left := c.expires.Sub(m.options.Now())
	if left <= 0 || left > maxLifetime+maxSkew {
		return content{}, seal.Opened{}, ErrExpired
	}
	return c, opened, nil
}

// Render draws the picture (PNG) or speaks the sound (WAV) of an unpacked
// challenge. Callers must not modify the bytes.
func (m *Maker) Render(c Claims) ([]byte, error) {
	if c.Kind != Image && c.Kind != Audio {
		return nil, fmt.Errorf("captcha: cannot draw %v", c.Kind)
	}
	if rendered, ok := m.cache.get(c.ID); ok {
		return rendered, nil
	}
	var rendered []byte
	var err error
	began := time.Now()
	if c.Kind == Image {
		rendered, err = m.artist.draw(c.seed, c.Answer, c.Level)
	} else {
		rendered, err = m.speaker.speak(c.seed, c.Answer, c.Language, c.Level)
	}
	if err != nil {
		return nil, fmt.Errorf("captcha: drawing: %w", err)
	}
	if m.options.Rendered != nil {
		m.options.Rendered(c.Kind, time.Since(began))
	}
	m.cache.put(c.ID, rendered)
	return rendered, nil
}

// Response is what comes back for a challenge.
type Response struct {
	Token  string
	Answer string // to a picture or sound
	Work   string // solution of the puzzle, if there was one
}

// Format hides what was answered from every verb of fmt.
func (r Response) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "captcha response, REDACTED")
}

// Check judges a response. Everything that the token says is compared with the
// scope first; a challenge that does not fit is refused and stays unspent, so
// that nobody can burn another's. Then spend is called once: it must atomically
// mark id as used until the given time and report whether this was the first
// use. Only then are answer and puzzle judged. nil means right.
func (m *Maker) Check(r Response, s Scope, spend func(id [24]byte, until time.Time) (first bool, err error)) error {
	c, opened, err := m.open(r.Token)
	if err != nil {
		return err
	}
	digest := s.Binding.digest()
	switch {
	case c.purpose != s.Purpose:
		return ErrInvalid
	case c.epoch != s.Epoch:
		return ErrExpired
	case subtle.ConstantTimeCompare(c.binding[:], digest[:]) != 1:
		return ErrMoved
	case c.kind != Work && r.Answer == "", c.threshold > 0 && r.Work == "":
		return ErrIncomplete
	}
	first, err := spend(opened.Nonce, c.expires)
	switch {
	case err != nil:
		return fmt.Errorf("captcha: spending a challenge: %w", err)
	case !first:
		return ErrSpent
	case c.threshold > 0 && !solved(r.Token, c.threshold, r.Work), !m.right(c, r.Answer):
		return ErrWrong
	}
	return nil
}

// right judges the answer alone.
func (m *Maker) right(c content, answer string) bool {
	switch c.kind {
	case Image:
		return m.alphabet.equal(c.answer, answer)
	case Audio:
		return digits.equal(c.answer, answer)
	case Work: // nothing was asked; the puzzle is judged apart, and must be there
		return c.threshold > 0
	}
	return false
}
