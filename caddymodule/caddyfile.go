package caddymodule

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func init() {
	httpcaddyfile.RegisterDirective("captcha_gate", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("captcha_gate", httpcaddyfile.Before, "basic_auth")
}

// parseDirective keeps the matcher for the gate itself instead of hanging it on
// the route: the gate must see every request, to clean its headers and to
// answer the gate's own paths, whatever is protected.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	g := new(Gate)
	if err := g.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if matcher != nil {
		g.ProtectRaw = caddyhttp.RawMatcherSets{matcher}
	}
	return h.NewRoute(nil, g), nil
}

// UnmarshalCaddyfile reads the directive. Syntax:
//
//	captcha_gate [<matcher>] {
//		users      <file>
//		contacts   <file>
//		human_only
//		realm      <name>
//		secret     <value> [<value>...]
//		login      <path> [<path>...]
//		logout     <path>
//		base_path  <path>
//		landing    <path>
//		captcha {
//			when     always|suspicious
//			length   <4..8>
//			alphabet <characters>
//			lifetime <duration>
//			size     <width> <height>
//			bind     network|address|off
//			audio    on|off
//			level    easy|normal|hard
//			work       <duration>|off
//			work_alone <duration>|off
//			noise    [lines=<n>] [dots=<n>] [arcs=<n>] [colour=bands|character]
//		}
//		session {
//			lifetime <duration>
//			idle     <duration>
//			remember <duration>
//			cookie_name   <name>
//			cookie_domain <domain>
//		}
//		throttle {
//			client  <n> <window>
//			user    <n> <window>
//			issue   <n> <window>
//			hashing <n>
//		}
//		state  local [<file>] | memory | redis <url> { ... }
//		identity {
//			user  <header>
//			email <header>
//		}
//		accounts {
//			change_password on|off
//			sign_up         on|off
//			sign_up_limit   <per client and day> <users at most>
//			approval        on|off
//			upgrade_hashes  on|off
//			password_min    <n>
//		}
//		second_step sms|email|none {
//			sender    <module> ...
//			digits    <6..10>
//			lifetime  <duration>
//			resend    <duration>
//			attempts  <1..10>
//			limits    [user=<n>/<window>] [destination=...] [network=...] [total=...]
//			countries <calling code>...
//		}
//		page {
//			title      <text>
//			logo       <file>
//			stylesheet <file>
//			templates  <directory>
//			contact    <text>
//			languages  <tag>...
//		}
//	}
func (g *Gate) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["users"] = func() error { return b.text(&g.Users) }
	b.words["contacts"] = func() error { return b.text(&g.Contacts) }
	b.words["human_only"] = func() error { g.HumanOnly = true; return b.none() }
	b.words["realm"] = func() error { return b.text(&g.Realm) }
	b.words["secret"] = func() error { return someTexts(b, &g.Secret) }
	b.words["login"] = func() error { return someTexts(b, &g.Login) }
	b.words["logout"] = func() error { return b.text(&g.Logout) }
	b.words["base_path"] = func() error { return b.text(&g.BasePath) }
	b.words["landing"] = func() error { return b.text(&g.Landing) }
	b.words["captcha"] = func() error { g.Captcha = new(CaptchaConfig); return g.Captcha.unmarshal(d) }
	b.words["session"] = func() error { g.Session = new(SessionConfig); return g.Session.unmarshal(d) }
	b.words["throttle"] = func() error { g.Throttle = new(ThrottleConfig); return g.Throttle.unmarshal(d) }
	b.words["state"] = func() error { g.State = new(StateConfig); return g.State.unmarshal(b) }
	b.words["identity"] = func() error { g.Identity = new(IdentityConfig); return g.Identity.unmarshal(d) }
	b.words["accounts"] = func() error { g.Accounts = new(AccountsConfig); return g.Accounts.unmarshal(d) }
	b.words["second_step"] = func() error { g.SecondStep = new(SecondStepConfig); return g.SecondStep.unmarshal(b) }
	b.words["page"] = func() error { g.Page = new(PageConfig); return g.Page.unmarshal(d) }
	_, err := b.read()
	return err
}

func (c *CaptchaConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["when"] = func() error { return b.oneOf(&c.When, whenAlways, whenSuspicious) }
	b.words["length"] = func() error { return b.number(&c.Length) }
	b.words["alphabet"] = func() error { return b.text(&c.Alphabet) }
	b.words["lifetime"] = func() error { return b.positive(&c.Lifetime) }
	b.words["size"] = func() error { return b.numbers(&c.Width, &c.Height) }
	b.words["bind"] = func() error { return b.oneOf(&c.Bind, bindNetwork, bindAddress, bindOff) }
	b.words["audio"] = func() error { return b.onOff(&c.Audio) }
	b.words["level"] = func() error { return b.oneOf(&c.Level, levels...) }
	b.words["work"] = func() error { c.Work = new(caddy.Duration); return b.durationOrOff(c.Work) }
	b.words["work_alone"] = func() error { c.WorkAlone = new(caddy.Duration); return b.durationOrOff(c.WorkAlone) }
	b.words["noise"] = func() error { c.Noise = new(NoiseConfig); return c.Noise.unmarshal(b) }
	return b.nested()
}

func (c *SessionConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["lifetime"] = func() error { return b.positive(&c.Lifetime) }
	b.words["idle"] = func() error { c.Idle = new(caddy.Duration); return b.duration(c.Idle) }
	b.words["remember"] = func() error { c.Remember = new(caddy.Duration); return b.duration(c.Remember) }
	b.words["cookie_name"] = func() error { return b.text(&c.CookieName) }
	b.words["cookie_domain"] = func() error { return b.text(&c.CookieDomain) }
	return b.nested()
}

func (c *ThrottleConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["client"] = func() error { c.Client = new(LimitConfig); return b.limit(c.Client) }
	b.words["user"] = func() error { c.User = new(LimitConfig); return b.limit(c.User) }
	b.words["issue"] = func() error { c.Issue = new(LimitConfig); return b.limit(c.Issue) }
	b.words["hashing"] = func() error { return b.number(&c.Hashing) }
	return b.nested()
}

func (c *IdentityConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["user"] = func() error { return b.text(&c.User) }
	b.words["email"] = func() error { return b.text(&c.Email) }
	return b.nested()
}

func (c *PageConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["title"] = func() error { return b.text(&c.Title) }
	b.words["logo"] = func() error { return b.text(&c.Logo) }
	b.words["stylesheet"] = func() error { return b.text(&c.Stylesheet) }
	b.words["templates"] = func() error { return b.text(&c.Templates) }
	b.words["contact"] = func() error { return b.text(&c.Contact) }
	b.words["languages"] = func() error { return someTexts(b, &c.Languages) }
	return b.nested()
}

// levels are the words for how hard a challenge is.
var levels = []string{captcha.Easy.String(), captcha.Normal.String(), captcha.Hard.String()}

func (c *NoiseConfig) unmarshal(b block) error {
	args := b.RemainingArgs()
	if len(args) == 0 {
		return b.ArgErr()
	}
	counts := map[string]**int{"lines": &c.Lines, "dots": &c.Dots, "arcs": &c.Arcs}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if name == "colour" {
			if c.Colour != "" {
				return b.Err("noise colour is given twice")
			}
			if value != colourBands && value != colourCharacter {
				return b.Errf("noise colour %q: one of bands, character", value)
			}
			c.Colour = value
			continue
		}
		to, known := counts[name]
		if !known {
			return b.Errf("unrecognized noise %q: lines=<n>, dots=<n>, arcs=<n> or colour=bands|character", arg)
		}
		if *to != nil {
			return b.Errf("noise %s is given twice", name)
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return b.Errf("noise %s: %q is not a number", name, value)
		}
		*to = &n
	}
	return b.noBlock("noise")
}
