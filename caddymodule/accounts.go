package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
)

// provisionAccounts prepares what users may do with their accounts. The users
// file and the store are open.
func (g *Gate) provisionAccounts(ctx caddy.Context) error {
	if g.HumanOnly {
		return nil
	}
	g.editor = g.users.Editor()
	if err := g.editor.Writable(); err != nil {
		if g.Accounts.SignUp || g.Accounts.UpgradeHashes || g.Accounts.ChangePassword != nil && *g.Accounts.ChangePassword {
			g.logger.Warn("users file cannot be changed now", zap.Error(err))
		}
		if g.Accounts.ChangePassword == nil {
			off := false
			g.Accounts.ChangePassword = &off
		}
	}
	if g.Accounts.ChangePassword == nil {
		on := true
		g.Accounts.ChangePassword = &on
	}
	if g.Contacts != "" {
		var err error
		options := contacts.Options{Logger: g.logger}
		if g.SecondStep.Channel == channelSMS {
			options.Countries = g.SecondStep.Countries
		}
		if g.contacts, err = contacts.Open(g.Contacts, options); err != nil {
			return fmt.Errorf("contacts: %w", err)
		}
	}
	if len(g.SecondStep.SendersRaw) > 0 {
		return g.provisionSecondStep(ctx)
	}
	return nil
}

// provisionSecondStep loads the senders, and starts what sends in the background.
func (g *Gate) provisionSecondStep(ctx caddy.Context) error {
	c := g.SecondStep
	modules, err := ctx.LoadModule(c, "SendersRaw")
	if err != nil {
		return fmt.Errorf("second_step: %w", err)
	}
	byChannel := map[string]outbox.Sender{}
	for _, module := range modules.([]any) {
		sender, ok := module.(senders.Sender)
		if !ok {
			return fmt.Errorf("second_step: module %T is no sender", module)
		}
		for _, channel := range sender.Channels() {
			if byChannel[string(channel)] == nil {
				byChannel[string(channel)] = adapter{sender}
			}
		}
	}
	if c.Channel != channelNone && byChannel[c.Channel] == nil {
		return fmt.Errorf("second_step %s: none of the senders can send by %[1]s", c.Channel)
	}
	g.confirmsEmail = byChannel[channelEmail] != nil
	g.steps = secondstep.New(secondstep.Options{
		Store: g.store, Realm: g.Realm, Keys: g.stepKeys, Now: g.now, Rand: rand.Reader,
		Digits: c.Digits, Lifetime: time.Duration(c.Lifetime), Resend: time.Duration(c.Resend), Attempts: c.Attempts,
	})
	g.outbox = outbox.New(outbox.Options{
		Store: g.store, Realm: g.Realm, Keys: g.outboxKeys, Senders: byChannel, Now: g.now, Rand: rand.Reader, Logger: g.logger,
		Observe: func(channel, outcome string) { measured.codes.WithLabelValues(channel, outcome).Inc() },
	})
	g.outbox.Start()
	return nil
}

// adapter is a sender as the outbox knows one: neither package needs the other.
type adapter struct{ senders.Sender }

// Send implements outbox.Sender.
func (a adapter) Send(ctx context.Context, m outbox.Message) error {
	err := a.Sender.Send(ctx, senders.Message{
		ID: m.ID, Channel: senders.Channel(m.Channel), To: m.To, Subject: m.Subject, Text: m.Text, Code: m.Code,
		Lang: m.Lang, Realm: m.Realm, Expires: m.Expires,
	})
	switch {
	case errors.Is(err, senders.ErrRefused):
		return fmt.Errorf("%w: %w", outbox.ErrRefused, err)
	case errors.Is(err, senders.ErrDeferred):
		return fmt.Errorf("%w: %w", outbox.ErrDeferred, err)
	}
	return err
}

// asksCode reports whether a password alone is not enough.
func (g *Gate) asksCode() bool { return g.SecondStep.Channel != channelNone }

func (g *Gate) changesPasswords() bool {
	return g.Accounts.ChangePassword != nil && *g.Accounts.ChangePassword
}

// sendRules are the budgets of codes. Anybody may sign up with anybody's address, so
// those of sign-ups are counted apart: strangers use up nobody's codes.
func (g *Gate) sendRules(purpose secondstep.Purpose) throttle.SendRules {
	rule := func(l *LimitConfig) throttle.Rule {
		return throttle.Rule{Limit: l.Events, Window: time.Duration(l.Window)}
	}
	l := g.SecondStep.Limits
	rules := throttle.SendRules{User: rule(l.User), Destination: rule(l.Destination), Network: rule(l.Network), Total: rule(l.Total)}
	if purpose == secondstep.SignUp {
		rules.Apart = string(purpose)
	}
	return rules
}

// emailOf is a user's address, "" if none is known.
func (g *Gate) emailOf(user string) string {
	if g.contacts == nil {
		return ""
	}
	contact, _ := g.contacts.Get(user)
	return contact.Email
}

// destinationOf is where a user's codes go, "" if nothing is known.
func (g *Gate) destinationOf(user string) string {
	contact, _ := g.contacts.Get(user)
	if g.SecondStep.Channel == channelSMS {
		return contact.Phone
	}
	return contact.Email
}

// reservedNames cannot be signed up for: an app or its users could take them for
// somebody in charge (USR-1).
var reservedNames = []string{
	"abuse", "account", "admin", "administrator", "anonymous", "api", "captcha-gate", "daemon", "guest", "help",
	"hostmaster", "info", "login", "logout", "mail", "me", "moderator", "nobody", "no-reply", "noreply", "null", "operator",
	"owner", "postmaster", "root", "security", "staff", "sudo", "support", "sysadmin", "system", "test", "undefined", "user",
	"users", "webmaster", "www",
}

// isReserved is also true of what looks like a reserved name.
func isReserved(name string) bool {
	return slices.ContainsFunc(reservedNames, func(reserved string) bool { return likeness(reserved) == likeness(name) })
}

// upgradeHash writes a weak entry anew once its password is known, and returns the
// fingerprint of the entry that is there then. Where that fails the entry stays as
// it is, and the sign-in goes on.
func (g *Gate) upgradeHash(r *http.Request, name, text string, old [16]byte) [16]byte {
	users, err := g.users.Table()
	if !g.Accounts.UpgradeHashes || err != nil {
		return old
	}
	if present, _ := users.Fingerprint(name); present == old && !users.IsWeak(name) {
		return old
	}
	hash, err := g.hash(r.Context(), text)
	if err == nil {
		err = g.editor.SetHash(name, old, hash)
	}
	if errors.Is(err, htpasswd.ErrChanged) { // most likely by another sign-in of the same user
		if present, right, err := g.checkPassword(r.Context(), name, text, throttle.CleanLane); err == nil && right {
			return present
		}
	}
	if err == nil {
		users, err = g.users.Table()
	}
	if err != nil {
		g.logger.Warn("hash not upgraded", g.facts(r, name, zap.Error(err))...)
		return old
	}
	if upgraded, ok := users.Fingerprint(name); ok {
		g.tell(r, eventHashUpgraded, name)
		return upgraded
	}
	return old
}
