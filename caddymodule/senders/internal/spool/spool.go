// Package spool is a sender for the gate: it writes every text message as a
// file, for a program that owns a modem to send.
package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
)

func init() {
	caddy.RegisterModule(Spool{})
}

// Spool writes text messages into a folder.
type Spool struct {
	// The folder. Required. Placeholders are expanded at load.
	Dir string `json:"dir,omitempty"`
}

// CaddyModule returns the module's identity. The last part of the ID is the word
// in the Caddyfile.
func (Spool) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha_gate.senders.spool",
		New: func() caddy.Module { return new(Spool) },
	}
}

// UnmarshalCaddyfile reads the sender's settings. Syntax:
//
//	spool <dir>
func (s *Spool) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the sender's name
	if !d.AllArgs(&s.Dir) {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("unrecognized subdirective %q", d.Val())
	}
	return nil
}

// Provision expands and checks the settings.
func (s *Spool) Provision(caddy.Context) (err error) {
	if s.Dir, err = caddy.NewReplacer().ReplaceOrErr(s.Dir, true, true); err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		return fmt.Errorf("dir: %q is not a folder", s.Dir)
	}
	return nil
}

// Channels returns what the sender can send by.
func (*Spool) Channels() []senders.Channel { return []senders.Channel{senders.SMS} }

// Send writes the message under its id, so that a second try replaces the first.
// The file appears under its name only when it is complete.
func (s *Spool) Send(ctx context.Context, m senders.Message) error {
	// Check keeps line ends out of To, and slashes and dots out of ID.
	if err := m.Check(time.Now(), s.Channels()...); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	file, err := os.CreateTemp(s.Dir, ".new-*") // for our own eyes only
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	_, err = fmt.Fprintf(file, "To: %s\n\n%s", m.To, m.Text)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(s.Dir, m.ID))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("spool: %w", err), os.Remove(file.Name()))
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Spool)(nil)
	_ caddyfile.Unmarshaler = (*Spool)(nil)
	_ senders.Sender        = (*Spool)(nil)
)
