package caddymodule

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// serveSignIn shows the sign-in page and judges what it sends.
func (g *Gate) serveSignIn(w http.ResponseWriter, r *http.Request, v *visitor) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		_, found, err := g.signedIn(detached(r), v.presented.Sessions())
		query := original(r).Query()
		returnTo := query.Get("rd")
		switch {
		case err != nil:
			g.fail(w, r, v, refusal{code: g.fault(r, err)})
		case found:
			seeOther(w, g.returnTarget(v, returnTo))
		case isScript(r) && wantsJSON(r):
			g.failJSON(w, v, refusal{code: codeUnauthenticated})
		default:
			wanted := wish{kind: captcha.Image, purpose: purposeLogin}
			if query.Get("kind") == captcha.Audio.String() {
				wanted.kind, wanted.voice = captcha.Audio, g.voice(r, v)
			}
			wanted.named = query.Has("kind")
			g.showSignIn(w, r, v, signInForm{status: http.StatusOK, returnTo: returnTo, wanted: wanted})
		}
	case http.MethodPost:
		g.signIn(w, r, v)
	default:
		g.notAllowed(w, r, v, "GET, HEAD, POST")
	}
}

// sameOrigin reports whether a request that changes something comes from this
// very site (CSR-2). Beyond net/http's own rule, an old browser's Origin must
// not name plain HTTP on a site that is HTTPS.
func (g *Gate) sameOrigin(r *http.Request, v *visitor) bool {
	if g.origin.Check(r) != nil {
		return false
	}
	if r.Header.Get("Sec-Fetch-Site") != "" || !v.secure {
		return true
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Scheme != "http"
}

// signIn judges a filled-in form: size, type and shape, then origin, throttle,
// captcha and password, in this order, so that nothing dear is done for a
// request that something cheap refuses.
func (g *Gate) signIn(w http.ResponseWriter, r *http.Request, v *visitor) {
	fields, wrong := readSignIn(w, r)
	if wrong == "" && !g.sameOrigin(r, v) {
		wrong, fields = codeCrossOrigin, signInFields{}
	}
	if wrong != "" {
		g.refuseSignIn(w, r, v, fields, verdict{code: wrong})
		return
	}
	result := g.judge(r, v, fields)
	if result.code != "" {
		g.refuseSignIn(w, r, v, fields, result)
		return
	}
	if result.pending != "" {
		measured.signIns.WithLabelValues(string(codeSecondStepRequired)).Inc()
		g.waitForCode(w, r, v, result.pending, fields.returnTo)
		return
	}
	g.welcome(w, r, v, result, fields.returnTo)
}

// welcome answers who has passed everything.
func (g *Gate) welcome(w http.ResponseWriter, r *http.Request, v *visitor, result verdict, returnTo string) {
	if result.notice != "" {
		g.noticeSignUp(w, r, v, result.notice)
		return
	}
	measured.signIns.WithLabelValues(outcomeSignedIn).Inc()
	g.tell(r, eventSignedIn, result.record.User)
	g.setCookies(w, v, result)
	target := g.returnTarget(v, returnTo)
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, success{Status: "success", Code: "signed_in", RedirectURL: &target})
		return
	}
	seeOther(w, target)
}

// setCookies gives the browser its session, and makes it a known device.
func (g *Gate) setCookies(w http.ResponseWriter, v *visitor, result verdict) {
	lifetime := time.Duration(0)
	if result.record.Remember {
		lifetime = time.Duration(*g.Session.Remember)
	}
	g.cookies.SetSession(w, v.secure, result.token, lifetime)
	if err := g.rememberBrowser(w, v, result.browser, browserLifetime); err != nil {
		g.logger.Error("browser cookie not renewed", zap.Error(err))
	}
}

// refuseSignIn says why, with a new challenge for the next try.
func (g *Gate) refuseSignIn(w http.ResponseWriter, r *http.Request, v *visitor, fields signInFields, why verdict) {
	fields.captcha.purpose = purposeLogin // also where nothing could be read
	g.signInFailed(r, fields.username, why.code)
	if !wantsJSON(r) {
		g.showSignIn(w, r, v, signInForm{
			status: why.code.status(), code: why.code, wait: why.wait,
			userName: fields.username, remember: fields.remember, returnTo: fields.returnTo,
			wanted: g.again(r, v, fields.captcha, false),
		})
		return
	}
	f := refusal{code: why.code, wait: why.wait}
	if known := g.knownBrowsers(v); len(known) > 0 {
		// Without a new challenge the reply is still right; the script asks for one.
		if failures, err := g.failures(r, known, fields.username); err == nil && g.asks(failures) {
			if challenge, err := g.newChallenge(r, known[0], g.again(r, v, fields.captcha, true), failures); err == nil {
				f.captcha = g.challengeJSON(v, challenge)
			}
		}
	}
	g.failJSON(w, v, f)
}

// signInFailed counts and logs a sign-in that came to nothing, be it for its second
// step.
func (g *Gate) signInFailed(r *http.Request, user string, why code) {
	measured.signIns.WithLabelValues(string(why)).Inc()
	g.tellFailed(r, eventSignInFailed, user, why)
}

// verdict is how a sign-in or sign-up ended; an empty code is success.
type verdict struct {
	code    code
	wait    time.Duration
	browser browser
	token   string
	record  session.Record
	// pending is the token of a step that waits for a code, and notice what else
	// there is to say to a new user; there is no session yet.
	pending string
	notice  string
}

// faulty is the verdict where an error of ours, or a limit, kept a form from being
// judged.
func (g *Gate) faulty(r *http.Request, user string, err error) verdict {
	return verdict{code: g.faultOf(r, user, err), wait: retryAfter(err)}
}

// judge decides about a well-formed sign-in of this origin. The attempt is
// counted before anything is looked at, for its user once the captcha is right, and
// given back where nothing was judged or the fault is ours (THR-8).
func (g *Gate) judge(r *http.Request, v *visitor, f signInFields) verdict {
	ctx := detached(r)
	browsers := g.knownBrowsers(v)
	switch {
	case len(browsers) == 0:
		return verdict{code: codeCookiesRequired}
	case !f.captcha.isGiven() && !g.onlySuspicious():
		return verdict{code: codeCaptchaRequired}
	}
	name := f.username
	if g.HumanOnly {
		name = ""
	} else if _, err := g.users.Table(); err != nil {
		// Before the challenge is spent, so that our fault costs nothing.
		return g.faulty(r, name, errors.Join(errUsers, err))
	}
	attempt, err := g.throttle.ReserveSignIn(ctx, g.caller(r, browsers, name))
	if err != nil {
		return g.faulty(r, name, err)
	}
	defer attempt.Release(ctx) // does nothing once the attempt is settled

	used, wrong, err := g.judgeCaptcha(r, f.captcha, browsers, attempt, g.asks(attempt.Failures()))
	if err == nil && wrong == "" {
		if err = attempt.ReserveUser(ctx); err == nil { // others may have failed in the meantime
			wrong = g.missing(f.captcha, attempt.Failures(), g.asks(attempt.Failures()))
		}
	}
	switch {
	case err != nil:
		return g.faulty(r, name, err)
	case wrong != "":
		return verdict{code: wrong}
	}
	level, fingerprint := session.Human, [16]byte{}
	if !g.HumanOnly {
		var ok bool
		level = session.Password
		if fingerprint, ok, err = g.checkPassword(r.Context(), f.username, f.password, attempt.Lane()); err != nil {
			return g.faulty(r, name, err)
		}
		if !ok {
			attempt.PasswordFailed(ctx)
			return verdict{code: codeCredentialsWrong}
		}
		fingerprint = g.upgradeHash(r, name, f.password, fingerprint)
	}
	if level == session.Password && g.asksCode() {
		// The password's attempt is given back and resets nothing (THR-7).
		return g.beginStep(r, v, secondstep.Pending{
			Purpose: secondstep.SignIn, User: name, Fingerprint: fingerprint, Remember: f.remember, Browser: used.id,
			Channel: g.SecondStep.Channel, Destination: g.destinationOf(name),
		})
	}
	result := g.enter(r, v, session.Record{User: name, Fingerprint: fingerprint, Level: level, Remember: f.remember}, used.id)
	if result.code == "" {
		attempt.Succeeded(ctx)
	}
	return result
}

// judgeCaptcha judges the answer, where there is one, and says what is wrong
// with it, or missing where one is asked for. Only what was judged stays counted.
func (g *Gate) judgeCaptcha(r *http.Request, c captchaResponse, browsers []browser, attempt *throttle.Attempt, asked bool) (used browser, wrong code, err error) {
	if wrong := g.missing(c, attempt.Failures(), asked); wrong != "" {
		return used, wrong, nil
	}
	if !c.isGiven() {
		return browsers[0], "", nil
	}
	used, wrong, err = g.checkCaptcha(r, c, browsers)
	if err == nil && wrong != "" && wrong != codeCaptchaRequired {
		attempt.CaptchaFailed(detached(r))
	}
	return used, wrong, err
}

// missing is what an answer lacks before it is looked at, after so many failures.
func (g *Gate) missing(c captchaResponse, failures int, asked bool) code {
	switch {
	case c.isGiven() && g.isCheap(c.token, failures):
		return g.judged(c.token, errCheap).code
	case !c.isGiven() && asked:
		return codeCaptchaRequired
	}
	return ""
}

// checkCaptcha spends the challenge and compares the answer, in this order and
// once (CAP-1). The challenge must have been made for one of the browser's ids.
func (g *Gate) checkCaptcha(r *http.Request, c captchaResponse, browsers []browser) (used browser, wrong code, err error) {
	ctx := detached(r)
	for _, used = range browsers {
		var scope captcha.Scope
		if scope, err = g.scope(ctx, r, used.id, c.purpose); err != nil {
			return used, "", err
		}
		spend := func(id [24]byte, until time.Time) (bool, error) {
			return g.store.Take(ctx, scope.Epoch, state.KeyOf(g.Realm, "spent", id[:]), until.Add(spentMargin))
		}
		err = g.captchas.Check(captcha.Response{Token: c.token, Answer: c.answer, Work: c.work}, scope, spend)
		if !errors.Is(err, captcha.ErrMoved) {
			break
		}
	}
	outcome := g.judged(c.token, err)
	if outcome.name == "" {
		return used, "", err
	}
	return used, outcome.code, nil
}

// errCheap is a challenge that was made when there were fewer failures.
var errCheap = errors.New("challenge is too easy by now")

// judgement is what came of an answer: its name among the metrics, and what the
// visitor is told.
type judgement struct {
	err  error
	name string
	code code
}

var judgements = []judgement{
	{nil, "right", ""},
	{captcha.ErrWrong, "wrong", codeCaptchaWrong},
	{captcha.ErrIncomplete, "incomplete", codeCaptchaRequired},
	{captcha.ErrExpired, "expired", codeCaptchaExpired},
	{captcha.ErrSpent, "spent", codeCaptchaExpired},
	{captcha.ErrMoved, "moved", codeCaptchaExpired},
	{captcha.ErrInvalid, "invalid", codeCaptchaExpired},
	{errCheap, "too_easy", codeCaptchaExpired},
}

// judged counts an answer and says what came of it; the zero judgement is for an
// error of the store.
func (g *Gate) judged(token string, err error) judgement {
	for _, j := range judgements {
		if errors.Is(err, j.err) {
			kind := kindUnknown
			if claims, err := g.captchas.Unpack(token); err == nil {
				kind = claims.Kind.String()
			}
			measured.judged.WithLabelValues(kind, j.name).Inc()
			return j
		}
	}
	return judgement{}
}

// spentMargin is how much longer than the challenge lives it is remembered as
// spent: the clocks of two nodes may each be a minute off.
const spentMargin = 2 * time.Minute

const (
	// hashWait is how long a sign-in waits for a hash slot before it is told
	// that the gate is busy. Waiting is cheaper than refusing at once: a refused
	// client comes back immediately.
	hashWait = 5 * time.Second

	// A wrong password is answered no sooner than this after its hash was
	// begun, plus up to the jitter, so that the time tells even less (CRD-6).
	wrongFloor  = 250 * time.Millisecond
	wrongJitter = 85 * time.Millisecond
)

// checkPassword verifies the password in one of the few slots for hashing
// (CRD-8).
func (g *Gate) checkPassword(ctx context.Context, name, password string, lane throttle.Lane) (fingerprint [16]byte, ok bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	release, err := g.slots.Acquire(waiting, lane)
	if err != nil {
		return fingerprint, false, err
	}
	started := time.Now()
	fingerprint, ok, err = g.verify(name, password, release)
	if err == nil && !ok {
		timer := time.NewTimer(wrongFloor + rand.N(wrongJitter) - time.Since(started))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return fingerprint, ok, err
}

func (g *Gate) verify(name, password string, release func()) (fingerprint [16]byte, ok bool, err error) {
	defer release()
	users, err := g.users.Table()
	if err != nil {
		return fingerprint, false, errors.Join(errUsers, err)
	}
	began := time.Now()
	fingerprint, ok = users.Verify(name, password)
	measured.hashing.Observe(time.Since(began).Seconds())
	return fingerprint, ok, nil
}

// startSession ends what the browser was signed in with and makes a session
// under a new id (SES-2).
func (g *Gate) startSession(r *http.Request, v *visitor, record session.Record) (string, session.Record, error) {
	ctx := detached(r)
	for _, old := range v.presented.Sessions() {
		if err := g.sessions.End(ctx, old); err != nil {
			return "", session.Record{}, err
		}
	}
	record.Remember = record.Remember && *g.Session.Remember > 0
	record.Network, record.Browser = networkOf(r), browserName(r)
	return g.sessions.Start(ctx, record)
}
