// Package secondstep keeps sign-ins and sign-ups that wait for a code which was
// sent to their user.
//
// What waits is a record of its own kind under a token of its own, which a cookie
// of its own carries: it opens nothing but the page for the code (SES-6). The
// record is sealed, so that a dump of the store shows no address. It holds a hash
// of the newest code (OTP-3), keyed with the token, which only the browser has
// (OTP-1): nobody who reads the store can try the million codes at home.
//
// A try is counted in the store before it is judged, in one atomic step (OTP-2),
// so that parallel tries get no more than their number. What has been right is
// spent like a challenge, under the epoch of the store: a store that was emptied
// or went back in time knows no pending step any more.
//
// The count of a user's wrong codes over all codes, and the budgets of what is
// sent, are in package throttle; sending is in package outbox.
package secondstep

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

const (
	tokenBytes  = 32
	tokenLength = 43 // of 32 bytes in unpadded base64

	// codesPerStep is how many codes one pending step gets, and how many lifetimes
	// of a code it lives: a new code does not stretch it (OTP-3).
	codesPerStep    = 5
	lifetimesOfStep = 3
)

// ErrGone says that nothing waits under a token, or not any more.
var ErrGone = errors.New("no pending step")

// ErrContended says that a record is changed all the time.
var ErrContended = errors.New("pending step changes too fast")

// TooSoonError says that no new code is sent yet.
type TooSoonError struct {
	// Wait is until one is.
	Wait time.Duration
}

// Error implements error.
func (e *TooSoonError) Error() string { return fmt.Sprintf("next code in %v", e.Wait) }

// Options are what a Manager needs. Numbers that are not positive are replaced by
// their defaults.
type Options struct {
	Store state.Store
	Realm string
	// Keys seal the records.
	Keys *seal.Keyring
	Now  func() time.Time
	Rand io.Reader

	Digits   int           // of a code; default 6
	Lifetime time.Duration // of a code; default 5 minutes
	Resend   time.Duration // until a second code may be sent; doubles each time; default 60 seconds
	Attempts int           // at one code; default 5
}

// Manager begins, changes and ends pending steps of one realm. It is safe for
// concurrent use.
type Manager struct{ Options }

// New makes a Manager.
func New(o Options) *Manager {
	if o.Digits <= 0 {
		o.Digits = 6
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 5 * time.Minute
	}
	if o.Resend <= 0 {
		o.Resend = time.Minute
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	return &Manager{o}
}

// Longest is how long a step lives.
func (m *Manager) Longest() time.Duration { return lifetimesOfStep * m.Lifetime }

// Begin stores a step, of which the caller sets the fields that are not about its
// codes, and returns its token for the cookie and the first code, both kept
// nowhere.
func (m *Manager) Begin(ctx context.Context, p Pending) (token, code string, _ Pending, err error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(m.Rand, raw); err != nil {
		return "", "", Pending{}, fmt.Errorf("drawing a token: %w", err)
	}
	if p.Epoch, err = m.Store.Epoch(ctx); err != nil {
		return "", "", Pending{}, err
	}
	p.Created = m.Now()
	p.Expires = p.Created.Add(m.Longest())
	p.Codes, p.Tries = 0, 0
	if code, err = m.newCode(raw, &p); err != nil {
		return "", "", Pending{}, err
	}
	at := m.key(raw)
	value, err := m.seal(at, p)
	if err != nil {
		return "", "", Pending{}, err
	}
	swapped, _, err := m.Store.Swap(ctx, at, nil, value, p.Expires)
	if err == nil && !swapped {
		err = ErrContended // the random source gave the same token twice
	}
	if err != nil {
		return "", "", Pending{}, fmt.Errorf("beginning a second step: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), code, p, nil
}

// newCode draws the next code of a step.
func (m *Manager) newCode(raw []byte, p *Pending) (string, error) {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(m.Digits)), nil)
	n, err := rand.Int(m.Rand, limit)
	if err != nil {
		return "", fmt.Errorf("drawing a code: %w", err)
	}
	code := fmt.Sprintf("%0*d", m.Digits, n)
	now := m.Now()
	p.Hash = hash(raw, p.Codes+1, code)
	p.Resend = now.Add(m.Resend << p.Codes)
	p.Codes, p.Tries = p.Codes+1, 0
	p.CodeExpires = now.Add(m.Lifetime)
	if p.CodeExpires.After(p.Expires) {
		p.CodeExpires = p.Expires
	}
	return code, nil
}

// hash is what is kept of a code.
func hash(raw []byte, number int, code string) []byte {
	mac := hmac.New(sha256.New, raw)
	fmt.Fprintf(mac, "%d:%s", number, code)
	return mac.Sum(nil)
}

// Find returns the step of a token.
func (m *Manager) Find(ctx context.Context, token string) (Pending, bool, error) {
	raw, ok := parse(token)
	if !ok {
		return Pending{}, false, nil
	}
	at := m.key(raw)
	value, err := m.Store.Get(ctx, at)
	if err != nil {
		return Pending{}, false, fmt.Errorf("looking up a second step: %w", err)
	}
	p, ok := m.open(at, value)
	return p, ok, nil
}

// Renew draws a new code, and the one before is no longer good. It returns a
// [*TooSoonError] before the wait is over, and [ErrGone] where nothing waits or all
// codes were used up.
func (m *Manager) Renew(ctx context.Context, token string) (code string, p Pending, err error) {
	err = m.change(ctx, token, func(raw []byte, p *Pending) error {
		switch wait := p.Resend.Sub(m.Now()); {
		case p.Codes >= codesPerStep:
			return ErrGone
		case wait > 0:
			return &TooSoonError{Wait: wait}
		}
		code, err = m.newCode(raw, p)
		return err
	}, &p)
	if err != nil {
		return "", Pending{}, err
	}
	return code, p, nil
}

// Sent notes which message carries the newest code.
func (m *Manager) Sent(ctx context.Context, token, message string) error {
	var p Pending
	return m.change(ctx, token, func(_ []byte, p *Pending) error { p.Message = message; return nil }, &p)
}

// Verdict is how a code was judged.
type Verdict int

// The verdicts. Only Right ends the step.
const (
	Wrong Verdict = iota
	Expired
	Right
)

// Judge judges a code. It counts the try first; a right code is right for one
// caller only.
func (m *Manager) Judge(ctx context.Context, token, code string) (Verdict, Pending, error) {
	var p Pending
	err := m.change(ctx, token, func(_ []byte, p *Pending) error {
		if p.Tries >= m.Attempts || !m.Now().Before(p.CodeExpires) {
			return ErrGone
		}
		p.Tries++
		return nil
	}, &p)
	switch {
	case errors.Is(err, ErrGone):
		return Expired, Pending{}, nil
	case err != nil:
		return Wrong, Pending{}, err
	}
	raw, _ := parse(token)
	if !hmac.Equal(hash(raw, p.Codes, code), p.Hash) {
		return Wrong, p, nil
	}
	used := state.KeyOf(m.Realm, "second step used", p.Hash)
	first, err := m.Store.Take(ctx, p.Epoch, used, p.Expires.Add(time.Minute))
	switch {
	case err != nil:
		return Wrong, Pending{}, fmt.Errorf("using a code: %w", err)
	case !first:
		return Expired, Pending{}, nil
	}
	if err := m.Drop(ctx, token); err != nil {
		return Wrong, Pending{}, err
	}
	return Right, p, nil
}

// Left is how many tries the present code has left.
func (m *Manager) Left(p Pending) int { return max(0, m.Attempts-p.Tries) }

// Drop ends a step.
func (m *Manager) Drop(ctx context.Context, token string) error {
	raw, ok := parse(token)
	if !ok {
		return nil
	}
	if err := m.Store.Delete(ctx, m.key(raw)); err != nil {
		return fmt.Errorf("ending a second step: %w", err)
	}
	return nil
}

// maxSwaps is how often a change is tried again because another came in between.
const maxSwaps = 100

// change edits the step of a token; edit may be asked several times. What was
// stored is left in result.
func (m *Manager) change(ctx context.Context, token string, edit func(raw []byte, p *Pending) error, result *Pending) error {
	raw, ok := parse(token)
	if !ok {
		return ErrGone
	}
	at := m.key(raw)
	there, err := m.Store.Get(ctx, at)
	if err != nil {
		return fmt.Errorf("looking up a second step: %w", err)
	}
	for range maxSwaps {
		p, ok := m.open(at, there)
		if !ok {
			return ErrGone
		}
		if err := edit(raw, &p); err != nil {
			return err
		}
		value, err := m.seal(at, p)
		if err != nil {
			return err
		}
		swapped := false
		if swapped, there, err = m.Store.Swap(ctx, at, there, value, p.Expires); err != nil {
			return fmt.Errorf("changing a second step: %w", err)
		}
		if swapped {
			*result = p
			return nil
		}
	}
	return ErrContended
}

func (m *Manager) key(raw []byte) state.Key { return state.KeyOf(m.Realm, "second step", raw) }

// parse accepts the one spelling of a token that Begin writes.
func parse(token string) (raw []byte, ok bool) {
	if len(token) != tokenLength {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return raw, err == nil && len(raw) == tokenBytes
}
