// Package caddymodule is Captcha Gate as a Caddy HTTP handler: it stands in
// front of a site and lets only those visitors through who answered a captcha
// and gave a right user name and password.
//
// A request goes one way (serve.go): identity headers and the gate's cookies
// are cleaned off it; the gate's own paths are answered here; a live session
// passes on with the user's name; what the matcher does not protect passes on
// without; everything else is asked to sign in.
//
// Where things are: config.go the options, caddyfile.go their spelling in a
// Caddyfile, gate.go their life cycle, visitor.go what the gate knows of one
// request, reply.go what it says, and one file for each of its own pages.
package caddymodule

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/identity"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

func init() {
	caddy.RegisterModule(Gate{})
}

// Gate is a sign-in gate in front of a site. A visitor without a session gets
// its page, at the address that was asked for: a captcha, user name and
// password. The right answer and credentials of the users file get a session
// cookie; from then on every request is passed on, with the user's name in a
// header.
//
// Placeholders such as `{env.NAME}` and `{file.PATH}` are expanded in every
// text when the configuration is loaded, never in anything that a client sends.
type Gate struct {
	// Which requests are protected. Default: all. A path that not every program
	// reads alike (dot segments, encoded slashes and the like) is protected in
	// any case.
	ProtectRaw caddyhttp.RawMatcherSets `json:"protect,omitempty" caddy:"namespace=http.matchers"`

	// The users file, in the format of Apache's htpasswd: bcrypt, argon2id,
	// SHA-256 and SHA-512 crypt, apr1, {SSHA} and {SHA} entries. Changes are
	// noticed within 2 seconds. Required unless human_only is set.
	Users string `json:"users,omitempty"`

	// A JSON file with the users' e-mail addresses and phone numbers:
	// {"alice": {"email": "alice@example.com", "phone": "+4915112345678"}}.
	// Changes are noticed within 2 seconds. Needed to send codes; the address is
	// told the upstream as well.
	Contacts string `json:"contacts,omitempty"`

	// Ask for the captcha alone: no users, no passwords, a session without a
	// name.
	HumanOnly bool `json:"human_only,omitempty"`

	// Names the state that gates share, and is bound into every challenge and
	// session: 1 to 64 letters, digits, ".", "_" and "-". Gates of one realm
	// share their sessions, so they need the same users and the same secret; a
	// site with other users needs another realm. Where one request passes two
	// gates, each needs a cookie_name of its own, since the first takes its
	// cookies out of the request. Default: default.
	Realm string `json:"realm,omitempty"`

	// Secrets of at least 32 bytes each: the first seals new challenges, all
	// open old ones. Default: one that is made once and kept in Caddy's storage.
	Secret []Secret `json:"secret,omitempty"`

	// The paths of the sign-in page; the app never sees them. Default: /login.
	Login []string `json:"login,omitempty"`

	// The path that signs out. Default: /logout.
	Logout string `json:"logout,omitempty"`

	// The path below which everything is the gate's own. Default: /captcha-gate.
	BasePath string `json:"base_path,omitempty"`

	// Where a visitor goes after signing in when no other place is known.
	// Default: /.
	Landing string `json:"landing,omitempty"`

	// How challenges are made.
	Captcha *CaptchaConfig `json:"captcha,omitempty"`

	// How long visitors stay signed in.
	Session *SessionConfig `json:"session,omitempty"`

	// Bounds on attempts and work.
	Throttle *ThrottleConfig `json:"throttle,omitempty"`

	// Where sessions, spent challenges and counters are kept.
	State *StateConfig `json:"state,omitempty"`

	// The headers that tell the upstream who is signed in.
	Identity *IdentityConfig `json:"identity,omitempty"`

	// What users may do with their accounts themselves.
	Accounts *AccountsConfig `json:"accounts,omitempty"`

	// A code that is asked for after the password.
	SecondStep *SecondStepConfig `json:"second_step,omitempty"`

	// The looks of the gate's page.
	Page *PageConfig `json:"page,omitempty"`

	// What accounts and codes need; nil where they are switched off.
	contacts *contacts.File
	editor   *htpasswd.Editor
	steps    *secondstep.Manager
	outbox   *outbox.Outbox
	// What seals the forms of the account page, pending steps and messages.
	forms, stepKeys, outboxKeys *seal.Keyring
	// confirmsEmail says that there is a sender for e-mail.
	confirmsEmail bool

	logger  *zap.Logger
	protect caddyhttp.MatcherSets
	users   *htpasswd.File
	store   state.Store
	// storeName tells one open store from another, and storeKey is the same while
	// this instance holds on to it; ready asks whether the store works.
	storeName, storeKey string
	ready               func() error
	sessions            *session.Manager
	cookies             session.Cookies
	browsers            *seal.Keyring
	captchas            *captcha.Maker
	level               captcha.Level
	throttle            *throttle.Throttle
	slots               *throttle.Slots
	identity            identity.Headers
	site                *page.Site
	origin              *http.CrossOriginProtection
	now                 func() time.Time
	// complaints about the store that were just made
	complaints *complaints
}

// CaddyModule returns the module's identity.
func (Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.captcha_gate",
		New: func() caddy.Module { return new(Gate) },
	}
}

// Provision reads the users file, opens the store and prepares everything that
// requests need. What it took, Cleanup gives back, also after it failed half-way.
func (g *Gate) Provision(ctx caddy.Context) error {
	g.logger = ctx.Logger()
	if err := measured.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	g.now = time.Now
	g.complaints = new(complaints)
	g.origin = http.NewCrossOriginProtection()
	if err := g.expand(); err != nil {
		return err
	}
	g.setDefaults()
	if err := g.checkShape(); err != nil {
		return err
	}
	g.logger = g.logger.With(zap.String("realm", g.Realm)) // of every line
	if len(g.ProtectRaw) > 0 {
		matchers, err := ctx.LoadModule(g, "ProtectRaw")
		if err != nil {
			return fmt.Errorf("protect: %w", err)
		}
		if err := g.protect.FromInterface(matchers); err != nil {
			return fmt.Errorf("protect: %w", err)
		}
	}

	var err error
	if g.identity, err = identity.New(g.Identity.User, g.Identity.Email); err != nil {
		return err
	}
	if g.site, err = page.New(page.Options{
		Title: g.Page.Title, Logo: g.Page.Logo, Stylesheet: g.Page.Stylesheet,
		Templates: g.Page.Templates, Contact: g.Page.Contact, Languages: g.Page.Languages,
	}); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := g.provisionSecrets(ctx); err != nil {
		return err
	}
	if !g.HumanOnly {
		if g.users, err = htpasswd.Open(g.Users, htpasswd.Options{
			Logger:  g.logger,
			Observe: func(outcome string) { measured.reloads.WithLabelValues(outcome).Inc() },
		}); err != nil {
			return fmt.Errorf("users: %w", err)
		}
	}
	if err := g.provisionState(); err != nil {
		return err
	}
	if err := g.provisionAccounts(ctx); err != nil {
		return err
	}
	live.add(g)
	return nil
}

// provisionSecrets makes what is sealed with the realm's secrets: challenges
// and the browser cookie.
func (g *Gate) provisionSecrets(ctx caddy.Context) error {
	var secrets [][]byte
	for i, s := range g.Secret {
		if len(s) < seal.MinSecret {
			return fmt.Errorf("secret: value %d has %d bytes; at least %d are needed", i+1, len(s), seal.MinSecret)
		}
		secrets = append(secrets, []byte(s))
	}
	if len(secrets) == 0 {
		made, err := storedSecret(ctx, ctx.Storage(), g.Realm)
		if err != nil {
			return err
		}
		secrets = [][]byte{made}
	}
	var err error
	for purpose, keys := range map[string]**seal.Keyring{
		"browser": &g.browsers, "form": &g.forms, "second step": &g.stepKeys, "outbox": &g.outboxKeys,
	} {
		if *keys, err = seal.New(secrets, purpose, g.Realm); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
	}
	c := g.Captcha
	if g.level, err = captcha.ParseLevel(c.Level); err != nil {
		return fmt.Errorf("captcha: %w", err)
	}
	g.captchas, err = captcha.New(captcha.Options{
		Secrets: secrets, Realm: g.Realm,
		Length: c.Length, Alphabet: c.Alphabet, Lifetime: time.Duration(c.Lifetime),
		Level: g.level, Width: c.Width, Height: c.Height, Noise: c.noise(g.level),
		Rendered: func(kind captcha.Kind, took time.Duration) {
			measured.rendering.WithLabelValues(kind.String()).Observe(took.Seconds())
		},
		Now: g.now,
	})
	if err != nil {
		return fmt.Errorf("captcha: %w", err)
	}
	return nil
}

// noise is what the configuration says, nil if it says nothing.
func (c *CaptchaConfig) noise(level captcha.Level) *captcha.Noise {
	if c.Noise == nil {
		return nil
	}
	noise := captcha.DefaultNoise(level)
	for _, n := range []struct {
		set *int
		to  *int
	}{{c.Noise.Lines, &noise.Lines}, {c.Noise.Dots, &noise.Dots}, {c.Noise.Arcs, &noise.Arcs}} {
		if n.set != nil {
			*n.to = *n.set
		}
	}
	noise.OneColour = c.Noise.Colour == colourCharacter
	return &noise
}

func (g *Gate) provisionState() error {
	store, key, notice, err := takeStore(*g.State, g.Realm)
	if err != nil {
		return err
	}
	g.store = state.Watch(store, func(operation string) { measured.stateErrors.WithLabelValues(operation).Inc() })
	g.storeName, g.storeKey, g.ready = key, key, func() error { return readiness(store) }
	if notice != nil {
		g.logger.Warn("state not ready; sign-in waits for it", zap.Error(notice))
	}
	if advisor, ok := store.(interface{ Warning() error }); ok {
		if warning := advisor.Warning(); warning != nil {
			g.logger.Warn("state may lose what it must keep", zap.Error(warning))
		}
	}
	if g.State.Store == storeRedis && len(g.Secret) == 0 {
		g.logger.Warn("no secret is configured: the gates that share this Redis must share Caddy's storage too, or they do not accept each other's challenges")
	}
	rule := func(l *LimitConfig) throttle.Rule {
		return throttle.Rule{Limit: l.Events, Window: time.Duration(l.Window)}
	}
	rules := throttle.Rules{Client: rule(g.Throttle.Client), User: rule(g.Throttle.User), Issue: rule(g.Throttle.Issue)}
	if g.onlySuspicious() {
		rules.Site = throttle.Rule{Limit: surgeFailures, Window: surgeWindow}
	}
	g.throttle = throttle.New(g.store, g.Realm, rules, g.now)
	g.throttle.Refused = func(bucket string) { measured.throttled.WithLabelValues(bucket).Inc() }
	g.slots = throttle.NewSlots(g.Throttle.Hashing)
	g.sessions = session.New(g.store, g.Realm, session.Limits{
		Lifetime: time.Duration(g.Session.Lifetime),
		Idle:     time.Duration(*g.Session.Idle),
		Remember: time.Duration(*g.Session.Remember),
	}, g.now, rand.Reader)
	g.cookies = session.Cookies{Name: g.Session.CookieName, Domain: g.Session.CookieDomain}
	return nil
}

// Cleanup gives back what this instance took, and only that: after a refused
// configuration the running one still uses the same store.
func (g *Gate) Cleanup() error {
	live.remove(g)
	var errs []error
	if g.outbox != nil {
		g.outbox.Close() // before the store that it uses
	}
	if g.contacts != nil {
		g.contacts.Close()
	}
	if g.users != nil {
		g.users.Close()
	}
	if g.captchas != nil {
		g.captchas.Close()
	}
	if g.storeKey != "" {
		if _, err := stores.Delete(g.storeKey); err != nil {
			errs = append(errs, fmt.Errorf("state: %w", err))
		}
		g.storeKey = ""
	}
	return errors.Join(errs...)
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddy.CleanerUpper          = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)
