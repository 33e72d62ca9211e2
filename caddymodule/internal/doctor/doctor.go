// Package doctor finds out why people cannot sign in. It knows what the gate was told to do, visits the running site as
// a browser does, and says in plain words what is wrong and where to mend it.
//
// # What a visit costs
//
// A handful of pages and two pictures, which count for the doctor's network like anybody's, and one wrong answer to a
// captcha, which counts as one failed sign-in of that network and of no user. With a user's name and password it signs
// in and out as well. Nothing else changes: files are only looked at.
//
// # What it can see
//
// The gate's secret opens challenges: the doctor reads in one which answer is right, when the gate's clock made it, and
// from which network the gate saw the doctor come. Nothing of the secret, of an answer, cookie or password is in a [Finding].
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/captcha"
	"github.com/captcha-gate/captcha-gate/captcha/seal"
)

// Level is how bad a finding is.
type Level string

// The levels. Only a problem keeps people from signing in, or makes signing in unsafe.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Problem Level = "problem"
)

// Finding is the outcome of one check.
type Finding struct {
	// Check is what was looked at, in a word.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Says is what was found.
	Says string `json:"says"`
	// Mend is what to do, with an example; "" if nothing.
	Mend string `json:"mend"`
}

// Gate is what the configuration says.
type Gate struct {
	Realm string
	// Secrets open challenges; without them much cannot be seen.
	Secrets [][]byte
	// Login, Logout and BasePath are the gate's paths.
	Login, Logout, BasePath string
	Cookies                 session.Cookies
	// HumanOnly, AsksCode: no password is asked for, and a code after it.
	HumanOnly, AsksCode bool
	// Bind is "network", "address" or "off".
	Bind string
	// Lifetime is that of a challenge.
	Lifetime time.Duration
	// Users is the users file. EditsUsers says that users may change it by what the configuration asks for, and
	// MayEdit by default.
	Users               string
	EditsUsers, MayEdit bool
	// Contacts is the contacts file, "" if there is none. ByPhone says that codes go to phones, of these Countries.
	Contacts  string
	ByPhone   bool
	Countries []string
	// StrictProxies says that the server reads X-Forwarded-For from the right, past all addresses it trusts.
	StrictProxies bool
	// State is "local", "memory" or "redis".
	State     string
	StateFile string
	Redis     state.RedisOptions
}

// Visit is whom to visit, and how.
type Visit struct {
	// URL is of a page that the gate protects.
	URL *url.URL
	// User and Password sign in; without User the doctor does not.
	User, Password string
	// Roots are the certificates to trust, nil for the system's.
	Roots *x509.CertPool
	// Now is the clock.
	Now func() time.Time
	// Timeout bounds every single step.
	Timeout time.Duration
}

// examination is one visit.
type examination struct {
	Gate
	Visit
	report func(Finding)
	// maker and browsers open what the gate seals; nil without a secret that fits.
	maker    *captcha.Maker
	browsers *seal.Keyring
	// unverified says that the certificate is not to be trusted, so that no password may be sent.
	unverified bool
	// prefix is what stands in front of the gate's paths in the browser.
	prefix string
	// open says that the URL is shown without a sign-in.
	open bool
	// untold says that the gate does not know of HTTPS, which a proxy in front speaks.
	untold bool
}

// Examine makes all checks, and reports each as it is made.
func Examine(ctx context.Context, g Gate, v Visit, report func(Finding)) error {
	e := &examination{Gate: g, Visit: v, report: report}
	if len(g.Secrets) > 0 {
		var err error
		if e.maker, err = captcha.New(captcha.Options{Secrets: g.Secrets, Realm: g.Realm, CacheBytes: 1, Now: v.Now}); err != nil {
			return err
		}
		defer e.maker.Close()
		if e.browsers, err = seal.New(g.Secrets, "browser", g.Realm); err != nil {
			return err
		}
	}
	e.checkUsers()
	e.checkContacts()
	e.checkState(ctx)
	if e.checkReach(ctx) {
		e.walk(ctx)
	}
	return nil
}

// walk goes the way of a visitor. Each step needs the one before.
func (e *examination) walk(ctx context.Context) {
	first, page, ok := e.checkPages(ctx)
	if !ok {
		return
	}
	e.checkClock(page)
	if !e.checkCaches(ctx, page) {
		return
	}
	cookies := e.checkBrowserCookie(ctx, first, page)
	challenge := tokenIn(page.body)
	claims, opened := e.checkSecret(challenge)
	if opened {
		e.checkGateClock(page, claims)
		e.checkAddress(ctx, first, page, claims)
	}
	e.checkPicture(ctx, first, challenge)
	if !cookies || !e.checkWrongAnswer(ctx, first, challenge, claims.Answer) {
		return
	}
	e.checkSignIn(ctx, first, opened)
}

func (e *examination) ok(check, says string, args ...any) {
	e.report(Finding{Check: check, Level: OK, Says: fmt.Sprintf(says, args...)})
}

func (e *examination) warn(check, mend, says string, args ...any) {
	e.report(Finding{Check: check, Level: Warning, Says: fmt.Sprintf(says, args...), Mend: mend})
}

func (e *examination) problem(check, mend, says string, args ...any) {
	e.report(Finding{Check: check, Level: Problem, Says: fmt.Sprintf(says, args...), Mend: mend})
}
