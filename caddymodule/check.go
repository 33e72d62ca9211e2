package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// expand replaces placeholders in the configured texts. One that is unknown or
// empty is an error: a secret or a file name that silently became "" would be
// worse.
func (g *Gate) expand() error {
	replacer := caddy.NewReplacer()
	var errs []error
	text := func(field string, to *string) {
		if *to == "" {
			return
		}
		value, err := replacer.ReplaceOrErr(*to, true, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
			return
		}
		*to = value
	}
	text("users", &g.Users)
	text("contacts", &g.Contacts)
	text("realm", &g.Realm)
	for i := range g.Secret {
		text("secret", (*string)(&g.Secret[i]))
	}
	for i := range g.Login {
		text("login", &g.Login[i])
	}
	text("logout", &g.Logout)
	text("base_path", &g.BasePath)
	text("landing", &g.Landing)
	if g.Captcha != nil {
		g.Captcha.expand(text)
	}
	if c := g.Session; c != nil {
		text("session cookie_name", &c.CookieName)
		text("session cookie_domain", &c.CookieDomain)
	}
	if c := g.State; c != nil {
		text("state file", &c.File)
		if c.Redis != nil {
			c.Redis.expand(text)
		}
	}
	if c := g.Identity; c != nil {
		text("identity user", &c.User)
		text("identity email", &c.Email)
	}
	if c := g.SecondStep; c != nil {
		text("second_step channel", &c.Channel)
		for i := range c.Countries {
			text("second_step countries", &c.Countries[i])
		}
	}
	if g.Page != nil {
		g.Page.expand(text)
	}
	return errors.Join(errs...)
}

// expander replaces what stands in a field, which it names in an error.
type expander func(field string, to *string)

func (c *CaptchaConfig) expand(text expander) {
	text("captcha when", &c.When)
	text("captcha alphabet", &c.Alphabet)
	text("captcha bind", &c.Bind)
	text("captcha level", &c.Level)
	if c.Noise != nil {
		text("captcha noise colour", &c.Noise.Colour)
	}
}

func (c *PageConfig) expand(text expander) {
	text("page title", &c.Title)
	text("page logo", &c.Logo)
	text("page stylesheet", &c.Stylesheet)
	text("page templates", &c.Templates)
	text("page contact", &c.Contact)
	for i := range c.Languages {
		text("page languages", &c.Languages[i])
	}
}

// A realm becomes part of storage keys and header values.
var realmPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkShape holds the rules that need nothing but the values themselves.
// Provision asks them before it opens anything.
func (g *Gate) checkShape() error {
	switch {
	case g.HumanOnly && g.Users != "":
		return errors.New("users and human_only exclude each other")
	case !g.HumanOnly && g.Users == "":
		return errors.New("users: a users file is needed, or human_only")
	case !realmPattern.MatchString(g.Realm):
		return fmt.Errorf("realm: %q is not 1 to 64 letters, digits, dots, underscores or hyphens", g.Realm)
	}
	for _, check := range []func() error{g.checkPaths, g.checkChallenge, g.checkSession, g.checkThrottle, g.checkAccounts} {
		if err := check(); err != nil {
			return err
		}
	}
	return g.State.check()
}

// checkChallenge holds what the library does not: it learns of proofs of work only
// when a challenge is made.
func (g *Gate) checkChallenge() error {
	c := g.Captcha
	switch {
	case c.When != whenAlways && c.When != whenSuspicious:
		return fmt.Errorf("captcha when: %q is none of always, suspicious", c.When)
	case c.When == whenSuspicious && g.HumanOnly:
		return errors.New("captcha when suspicious: with human_only there is nothing else to ask for")
	}
	if !slices.Contains([]string{bindNetwork, bindAddress, bindOff}, c.Bind) {
		return fmt.Errorf("captcha bind: %q is none of network, address, off", c.Bind)
	}
	if n := c.Noise; n != nil && !slices.Contains([]string{"", colourBands, colourCharacter}, n.Colour) {
		return fmt.Errorf("captcha noise colour: %q is none of bands, character", n.Colour)
	}
	for _, w := range []struct {
		field string
		time  caddy.Duration
	}{{"work", *c.Work}, {"work_alone", *c.WorkAlone}} {
		if d := time.Duration(w.time); d != 0 && (d < captcha.MinWork || d > captcha.MaxWork) {
			return fmt.Errorf("captcha %s: %v is not within %v and %v", w.field, d, captcha.MinWork, captcha.MaxWork)
		}
	}
	return nil
}

func (g *Gate) checkPaths() error {
	named := map[string]string{}
	own := func(field, path string) error {
		if err := checkOwnPath(field, path); err != nil {
			return err
		}
		if other, taken := named[path]; taken {
			return fmt.Errorf("%s: %s is the %s path already", field, path, other)
		}
		if field != "base_path" && below(path, g.BasePath) {
			return fmt.Errorf("%s: %s lies inside base_path %s", field, path, g.BasePath)
		}
		named[path] = field
		return nil
	}
	if err := own("base_path", g.BasePath); err != nil {
		return err
	}
	for _, path := range g.Login {
		if err := own("login", path); err != nil {
			return err
		}
	}
	if err := own("logout", g.Logout); err != nil {
		return err
	}
	target, ok := localpath.Target(g.Landing)
	switch {
	case !ok:
		return fmt.Errorf("landing: %q is not a path on this site", g.Landing)
	case g.owns(localpath.Path(target)):
		return fmt.Errorf("landing: %s is one of the gate's own paths", g.Landing)
	}
	g.Landing = target
	return nil
}

func checkOwnPath(field, path string) error {
	switch {
	case path == "/":
		return fmt.Errorf("%s: / is the whole site", field)
	case !localpath.Plain(&url.URL{Path: path}), strings.HasSuffix(path, "/"), strings.ContainsAny(path, `*%"'`),
		(&url.URL{Path: path}).EscapedPath() != path:
		return fmt.Errorf("%s: %q is not a plain absolute path such as /login, in characters that need no escape", field, path)
	}
	return nil
}

// below reports whether path is base or lies under it, by whole segments.
func below(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

// owns reports whether the gate answers a path itself.
func (g *Gate) owns(path string) bool {
	return path == g.Logout || slices.Contains(g.Login, path) || below(path, g.BasePath)
}

func (g *Gate) checkSession() error {
	s := g.Session
	switch {
	case s.Lifetime < 0:
		return errors.New("session lifetime: must be more than 0")
	case *s.Idle < 0:
		return errors.New("session idle: must not be negative; 0 means no limit")
	case *s.Remember < 0:
		return errors.New("session remember: must not be negative; 0 hides the box")
	case strings.HasPrefix(s.CookieName, "__"):
		return fmt.Errorf("session cookie_name: %q: prefixes are added by the gate where they fit", s.CookieName)
	}
	if err := (&http.Cookie{Name: s.CookieName}).Valid(); err != nil {
		return fmt.Errorf("session cookie_name: %q is not a cookie name", s.CookieName)
	}
	if s.CookieDomain != "" {
		if err := (&http.Cookie{Name: s.CookieName, Domain: s.CookieDomain}).Valid(); err != nil {
			return fmt.Errorf("session cookie_domain: %q is not a domain", s.CookieDomain)
		}
	}
	return nil
}

func (g *Gate) checkThrottle() error {
	t := g.Throttle
	if t.Hashing < 1 {
		return errors.New("throttle hashing: must be at least 1")
	}
	return checkLimits("throttle", []namedLimit{{"client", t.Client}, {"user", t.User}, {"issue", t.Issue}})
}

type namedLimit struct {
	field string
	*LimitConfig
}

func checkLimits(block string, limits []namedLimit) error {
	for _, l := range limits {
		if l.Events < 1 {
			return fmt.Errorf("%s %s: the number must be at least 1", block, l.field)
		}
		if time.Duration(l.Window) < time.Second {
			return fmt.Errorf("%s %s: the window must be at least 1s", block, l.field)
		}
	}
	return nil
}
