package secondstep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// Purpose is what happens when the code is right.
type Purpose string

// The purposes.
const (
	SignIn Purpose = "sign_in"
	SignUp Purpose = "sign_up"
)

// Pending is a step that waits for its code. It prints as its purpose.
type Pending struct {
	Purpose Purpose
	User    string
	// Fingerprint is that of the user's entry; another password ends the step.
	Fingerprint [16]byte
	Remember    bool
	// Browser is whose page it is.
	Browser [16]byte
	// Channel and Destination are where codes go, Lang is their language.
	Channel, Destination, Lang string
	// Hash is that of the chosen password, of a sign-up.
	PasswordHash string

	// What follows is the Manager's.
	Epoch       state.Epoch
	Created     time.Time
	Expires     time.Time // the step
	CodeExpires time.Time // the newest code
	Resend      time.Time // when another may be sent
	Codes       int       // drawn so far
	Tries       int       // at the newest
	Hash        []byte    // of the newest
	Message     string    // that carries it
}

// Format keeps the record out of logs, whatever the verb.
func (p Pending) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "pending "+string(p.Purpose)) }

// stored is a record as it is sealed. Key and version tell it from every other
// (SES-13); the keyring binds it to realm and purpose.
type stored struct {
	Version int
	Key     state.Key
	Pending *fields
}

// fields has the fields of Pending without its methods.
type fields Pending

const recordVersion = 1

func (m *Manager) seal(at state.Key, p Pending) ([]byte, error) {
	plaintext, err := json.Marshal(stored{recordVersion, at, (*fields)(&p)})
	if err != nil {
		return nil, fmt.Errorf("pending step: %w", err)
	}
	value, err := m.Keys.Seal(plaintext, m.Rand)
	return []byte(value), err
}

// open reads a live record; anything else is none.
func (m *Manager) open(at state.Key, value []byte) (Pending, bool) {
	opened, err := m.Keys.Open(string(value))
	if err != nil {
		return Pending{}, false
	}
	r := stored{Pending: new(fields)}
	d := json.NewDecoder(bytes.NewReader(opened.Plaintext))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Version != recordVersion || r.Key != at || r.Pending == nil {
		return Pending{}, false
	}
	p := Pending(*r.Pending)
	// A record from the future was made by a clock that is wrong.
	return p, m.Now().Before(p.Expires) && !p.Created.After(m.Now().Add(time.Minute))
}
