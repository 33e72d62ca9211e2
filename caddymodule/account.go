package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// owner is who looks at the account page: a user with a live session.
type owner struct {
	session.Record
	id string // of the session
}

// has reports whether a session is the owner's. Another site of the realm may have a
// user of the same name in another users file, and an entry that was changed leaves
// sessions that are good for nothing.
func (o owner) has(s session.Listed) bool { return s.User == o.User && s.Fingerprint == o.Fingerprint }

// sessionsOf are the owner's live ones, the oldest first.
func (g *Gate) sessionsOf(ctx context.Context, o owner) ([]session.Listed, error) {
	all, err := g.sessions.List(ctx, o.User)
	return slices.DeleteFunc(all, func(s session.Listed) bool { return !o.has(s) }), err
}

// owner finds the user of the request; whom there is none it answers itself.
func (g *Gate) owner(w http.ResponseWriter, r *http.Request, v *visitor) (owner, bool) {
	for _, token := range v.presented.Sessions() {
		record, found, err := g.current(detached(r), token)
		if err != nil {
			g.fail(w, r, v, refusal{code: g.fault(r, err)})
			return owner{}, false
		}
		if found {
			return owner{record, g.sessions.ID(token)}, true
		}
	}
	if isNavigation(r) {
		seeOther(w, v.prefix+g.Login[0])
	} else {
		g.fail(w, r, v, refusal{code: codeUnauthenticated})
	}
	return owner{}, false
}

// serveAccount shows a user's account and does what its forms ask for.
func (g *Gate) serveAccount(w http.ResponseWriter, r *http.Request, v *visitor) {
	who, ok := g.owner(w, r, v)
	switch {
	case !ok:
	case r.Method == http.MethodPost:
		g.changeAccount(w, r, v, who)
	case wantsJSON(r):
		g.tellAccount(w, r, v, who)
	default:
		g.showAccount(w, r, v, who, "", refusal{})
	}
}

// accountJSON is the account as scripts get it.
type accountJSON struct {
	Authenticated  bool           `json:"authenticated"`
	User           userJSON       `json:"user"`
	Since          string         `json:"since"`
	ExpiresAt      string         `json:"expires_at"`
	ChangePassword bool           `json:"change_password"`
	FormToken      string         `json:"form_token"`
	Sessions       []listedJSON   `json:"sessions"`
	Captcha        *challengeJSON `json:"captcha"`
}

type listedJSON struct {
	ID      string `json:"id"`
	Browser string `json:"browser"`
	Network string `json:"network"`
	Since   string `json:"since"`
	Seen    string `json:"seen"`
	Current bool   `json:"current"`
}

func (g *Gate) tellAccount(w http.ResponseWriter, r *http.Request, v *visitor, who owner) {
	sessions, err := g.sessionsOf(detached(r), who)
	var token string
	if err == nil {
		token, err = g.formToken(who)
	}
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(r, err)})
		return
	}
	reply := accountJSON{
		Authenticated: true, User: userJSON{ID: who.User, Email: g.emailOf(who.User)}, Since: timestamp(who.Created),
		ExpiresAt: timestamp(who.Expires), ChangePassword: g.changesPasswords(), FormToken: token, Sessions: []listedJSON{},
	}
	for _, s := range sessions {
		reply.Sessions = append(reply.Sessions, listedJSON{
			ID: s.ID, Browser: s.Browser, Network: s.Network, Since: timestamp(s.Created), Seen: timestamp(s.Seen), Current: s.ID == who.id,
		})
	}
	if failures, err := g.throttle.Failures(detached(r), g.caller(r, g.knownBrowsers(v), who.User)); err == nil && failures > 0 {
		reply.Captcha = g.nextChallenge(r, v, captchaResponse{purpose: purposeChangePassword})
	}
	writeJSON(w, http.StatusOK, reply)
}

// showAccount writes the page, after a failed change with what is wrong.
func (g *Gate) showAccount(w http.ResponseWriter, r *http.Request, v *visitor, who owner, notice string, why refusal) {
	ctx := detached(r)
	view := g.view(v)
	view.SignedInAs, view.Email, view.Since, view.Notice = who.User, g.emailOf(who.User), who.Created, notice
	view.ChangeOffered, view.PasswordMin = g.changesPasswords(), g.Accounts.PasswordMin
	sessions, err := g.sessionsOf(ctx, who)
	if err == nil {
		view.FormToken, err = g.formToken(who)
	}
	// A challenge that comes with a failure needs its place in the page.
	view.Captcha = &page.Captcha{Width: g.Captcha.Width, Height: g.Captcha.Height}
	failures := 0
	if err == nil && view.ChangeOffered {
		failures, err = g.throttle.Failures(ctx, g.caller(r, g.knownBrowsers(v), who.User))
	}
	if err == nil && failures > 0 {
		wanted := g.again(r, v, captchaResponse{purpose: purposeChangePassword}, false)
		if original(r).Query().Get("kind") == captcha.Audio.String() {
			wanted.kind = captcha.Audio
		}
		if err := g.challengeOn(w, r, v, &view, wanted); err != nil && why.code == "" {
			why = refusal{code: g.fault(r, err), wait: retryAfter(err)}
		}
	}
	if err != nil {
		g.fail(w, r, v, refusal{code: g.fault(r, err), wait: retryAfter(err)})
		return
	}
	for _, s := range sessions {
		view.Sessions = append(view.Sessions, page.Session{
			ID: s.ID, Browser: s.Browser, Network: s.Network, Since: s.Created, Seen: s.Seen, Current: s.ID == who.id,
		})
	}
	status := http.StatusOK
	if why.code != "" {
		status = why.statusCode()
	}
	view.Code, view.Errors = string(why.code), texts(why.errors)
	view.RetryAfter = g.announce(w, v, status, why.wait)
	g.offerOthers(&view, g.voice(r, v), v.prefix+g.BasePath+"/account")
	g.writePage(w, status, "account", view)
}

// formToken is what the forms of the account page carry beside the cookie: sealed
// for one session, and different on each page (CSR-3, WEB-4).
func (g *Gate) formToken(who owner) (string, error) {
	return g.forms.Seal([]byte(who.id), rand.Reader)
}

// changeAccount does what one of the forms asks for. JSON needs no form token: no
// other site can send it without a permission that the gate never gives.
func (g *Gate) changeAccount(w http.ResponseWriter, r *http.Request, v *visitor, who owner) {
	values, wrong := readFields(w, r)
	if wrong == "" && !g.sameOrigin(r, v) {
		wrong = codeCrossOrigin
	}
	if token := values["form_token"]; wrong == "" && (mediaType(r) != typeJSON || token != "") {
		if opened, err := g.forms.Open(token); err != nil || string(opened.Plaintext) != who.id {
			wrong = codeFormExpired
		}
	}
	if wrong != "" {
		g.answerAccount(w, r, v, who, "", refusal{code: wrong})
		return
	}
	switch values["action"] {
	case "", "change_password":
		if !g.changesPasswords() {
			g.fail(w, r, v, refusal{code: codeNotFound})
			return
		}
		g.changePassword(w, r, v, who, values)
	case "end_session":
		g.endSessions(w, r, v, who, "session_ended", func(id string) bool { return id == values["session"] && id != who.id })
	case "end_others":
		g.endSessions(w, r, v, who, "sessions_ended", func(id string) bool { return id != who.id })
	default:
		g.answerAccount(w, r, v, who, "", refusal{code: codeMalformed})
	}
}

// answerAccount tells how a change went.
func (g *Gate) answerAccount(w http.ResponseWriter, r *http.Request, v *visitor, who owner, notice string, why refusal) {
	switch {
	case !wantsJSON(r):
		g.showAccount(w, r, v, who, notice, why)
	case why.code != "":
		g.failJSON(w, v, why)
	default:
		target := v.prefix + g.BasePath + "/account"
		writeJSON(w, http.StatusOK, success{Status: "success", Code: notice, RedirectURL: &target})
	}
}

func (g *Gate) endSessions(w http.ResponseWriter, r *http.Request, v *visitor, who owner, notice string, which func(id string) bool) {
	n, err := g.sessions.EndOf(detached(r), who.User, func(s session.Listed) bool { return who.has(s) && which(s.ID) })
	if err != nil {
		g.answerAccount(w, r, v, who, "", refusal{code: g.fault(r, err)})
		return
	}
	if n > 0 {
		g.tell(r, eventSessionsEnded, who.User, zap.String("reason", "user"), zap.Int("sessions", n))
	}
	g.answerAccount(w, r, v, who, notice, refusal{})
}

// changePassword judges the form: first what costs nothing, then like a sign-in,
// with a captcha from the first failure on.
func (g *Gate) changePassword(w http.ResponseWriter, r *http.Request, v *visitor, who owner, values map[string]string) {
	refuse := func(why refusal) {
		g.tellFailed(r, eventPasswordChangeFailed, who.User, why.code)
		if failures, err := g.throttle.Failures(detached(r), g.caller(r, g.knownBrowsers(v), who.User)); err == nil && failures > 0 && wantsJSON(r) {
			why.captcha = g.nextChallenge(r, v, captchaOf(purposeChangePassword, values))
		}
		g.answerAccount(w, r, v, who, "", why)
	}
	if why := g.newPasswordFault(who, values); why.code != "" {
		refuse(why)
		return
	}
	result := g.judgeChange(r, v, who, values)
	if result.code != "" {
		why := refusal{code: result.code, wait: result.wait}
		if result.code == codeCredentialsWrong {
			why.errors = map[string]code{"current_password": codeCredentialsWrong}
		}
		refuse(why)
		return
	}
	if result.token == "" { // signed out; the account page tells why, or asks to sign in
		if wantsJSON(r) {
			g.answerAccount(w, r, v, who, "password_changed", refusal{})
		} else {
			seeOther(w, v.prefix+g.BasePath+"/account")
		}
		return
	}
	g.setCookies(w, v, result)
	g.answerAccount(w, r, v, owner{result.record, g.sessions.ID(result.token)}, "password_changed", refusal{})
}

// newPasswordFault is what is wrong with the new password.
func (g *Gate) newPasswordFault(who owner, values map[string]string) refusal {
	next := values["new_password"]
	fault := func(field string, c code) refusal { return refusal{code: c, errors: map[string]code{field: c}} }
	if c := g.passwordFault(next, who.User, g.emailOf(who.User)); c != "" {
		return fault("new_password", c)
	}
	switch {
	case values["confirm_password"] != next:
		return fault("confirm_password", codePasswordsDiffer)
	case values["current_password"] == next:
		return fault("new_password", codePasswordUnchanged)
	}
	return refusal{}
}

// judgeChange verifies the present password and writes the new one. All sessions of
// the user end, and this browser gets a new one (USR-3).
func (g *Gate) judgeChange(r *http.Request, v *visitor, who owner, values map[string]string) verdict {
	ctx := detached(r)
	browsers := g.knownBrowsers(v)
	attempt, err := g.throttle.ReserveSignIn(ctx, g.caller(r, browsers, who.User))
	if err != nil {
		return g.faulty(r, who.User, err)
	}
	defer attempt.Release(ctx) // does nothing once the attempt is settled
	used := browser{}
	response := captchaOf(purposeChangePassword, values)
	if attempt.Failures() > 0 || response.isGiven() {
		if len(browsers) == 0 {
			return verdict{code: codeCookiesRequired}
		}
		_, wrong, err := g.judgeCaptcha(r, response, browsers, attempt, true)
		switch {
		case err != nil:
			return g.faulty(r, who.User, err)
		case wrong != "":
			return verdict{code: wrong}
		}
	}
	if len(browsers) > 0 {
		used = browsers[0]
	}
	if err := attempt.ReserveUser(ctx); err != nil {
		return g.faulty(r, who.User, err)
	}
	if wrong := g.missing(response, attempt.Failures(), attempt.Failures() > 0); wrong != "" { // others have failed in the meantime
		return verdict{code: wrong}
	}
	fingerprint, right, err := g.checkPassword(r.Context(), who.User, values["current_password"], attempt.Lane())
	switch {
	case err != nil:
		return g.faulty(r, who.User, err)
	case !right:
		attempt.PasswordFailed(ctx)
		return verdict{code: codeCredentialsWrong}
	}
	result := g.setPassword(r, v, who, fingerprint, values["new_password"], used)
	if result.code == "" {
		attempt.Succeeded(ctx)
	}
	return result
}

// setPassword writes the new hash, unless somebody changed the entry since it was
// verified, and begins the new session. Where none can begin the password is
// changed all the same, which ends all others by itself; the verdict then has no
// token.
func (g *Gate) setPassword(r *http.Request, v *visitor, who owner, old [16]byte, next string, used browser) verdict {
	hash, err := g.hash(r.Context(), next)
	if err != nil {
		return g.faulty(r, who.User, err)
	}
	switch err := g.editor.SetHash(who.User, old, hash); {
	case errors.Is(err, htpasswd.ErrChanged), errors.Is(err, htpasswd.ErrUnknown):
		return verdict{code: codeUnauthenticated} // and so is the session
	case err != nil:
		return g.faulty(r, who.User, errors.Join(errUsers, err))
	}
	g.tell(r, eventPasswordChanged, who.User)
	result, err := g.renewSession(r, v, who, used)
	if err != nil {
		g.faultOf(r, who.User, err) // for the log
		return verdict{}
	}
	return result
}

// renewSession ends all sessions of a user with a new password and begins another in
// the place of this one: it ends no later, for no code was asked for anew (SES-4).
func (g *Gate) renewSession(r *http.Request, v *visitor, who owner, used browser) (verdict, error) {
	users, err := g.users.Table()
	if err != nil {
		return verdict{}, errors.Join(errUsers, err)
	}
	fingerprint, ok := users.Fingerprint(who.User)
	if !ok {
		return verdict{}, errUsers
	}
	if _, err := g.sessions.EndOf(detached(r), who.User, who.has); err != nil {
		return verdict{}, err
	}
	record := who.Record
	record.Fingerprint = fingerprint
	if used.id == ([16]byte{}) {
		used = newBrowser()
	}
	token, record, err := g.startSession(r, v, record)
	if err != nil {
		return verdict{}, err
	}
	return verdict{browser: used.with(g.userTag(who.User, fingerprint)), token: token, record: record}, nil
}
