package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/contacts"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/password"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// signUpFields are the fields of the sign-up form.
type signUpFields struct {
	username, email, password, confirm string
	captcha                            captchaResponse
	returnTo                           string
}

// serveSignUp shows the sign-up page and judges what it sends.
func (g *Gate) serveSignUp(w http.ResponseWriter, r *http.Request, v *visitor) {
	if r.Method == http.MethodPost {
		g.signUp(w, r, v)
		return
	}
	query := original(r).Query()
	_, found, err := g.signedIn(detached(r), v.presented.Sessions())
	switch {
	case err != nil:
		g.fail(w, r, v, refusal{code: g.fault(r, err)})
	case found:
		seeOther(w, g.returnTarget(v, query.Get("rd")))
	default:
		wanted := wish{kind: captcha.Image, purpose: purposeSignUp}
		if query.Get("kind") == captcha.Audio.String() {
			wanted.kind, wanted.voice = captcha.Audio, g.voice(r, v)
		}
		g.showSignUp(w, r, v, signUpFields{returnTo: query.Get("rd")}, wanted, refusal{})
	}
}

// showSignUp writes the page with a new challenge.
func (g *Gate) showSignUp(w http.ResponseWriter, r *http.Request, v *visitor, f signUpFields, wanted wish, why refusal) {
	view := g.view(v)
	view.UserName, view.Email = f.username, f.email
	view.EmailAsked, view.EmailNeeded, view.PasswordMin = g.confirmsEmail, g.confirmsEmail, g.Accounts.PasswordMin
	g.setReturn(&view, v, f.returnTo)
	status := http.StatusOK
	if why.code != "" {
		status = why.statusCode()
	}
	if err := g.challengeOn(w, r, v, &view, wanted); err != nil {
		why = refusal{code: g.fault(r, err), wait: retryAfter(err)}
		status = why.statusCode()
	}
	view.Code, view.Errors = string(why.code), texts(why.errors)
	view.RetryAfter = g.announce(w, v, status, why.wait)
	g.offerOthers(&view, g.voice(r, v), v.prefix+g.BasePath+"/sign-up")
	g.writePage(w, status, "sign-up", view)
}

// refuseSignUp says what is wrong, with a new challenge for the next try.
func (g *Gate) refuseSignUp(w http.ResponseWriter, r *http.Request, v *visitor, f signUpFields, why refusal) {
	g.tellFailed(r, eventSignUpFailed, f.username, why.code)
	f.captcha.purpose = purposeSignUp
	if !wantsJSON(r) {
		g.showSignUp(w, r, v, f, g.again(r, v, f.captcha, false), why)
		return
	}
	why.captcha = g.nextChallenge(r, v, f.captcha)
	g.failJSON(w, v, why)
}

// signUp judges a filled-in form in the order of the sign-in: shape, origin,
// throttle, captcha, and then the fields, all at once.
func (g *Gate) signUp(w http.ResponseWriter, r *http.Request, v *visitor) {
	values, wrong := readFields(w, r)
	if wrong == "" && !g.sameOrigin(r, v) {
		wrong, values = codeCrossOrigin, nil
	}
	f := signUpFields{
		username: values["username"], email: values["email"], password: values["password"], confirm: values["confirm_password"],
		captcha: captchaOf(purposeSignUp, values), returnTo: values["rd"],
	}
	if wrong != "" {
		g.refuseSignUp(w, r, v, f, refusal{code: wrong})
		return
	}
	result, faults := g.judgeSignUp(r, v, f)
	switch {
	case len(faults) > 0:
		g.refuseSignUp(w, r, v, f, refusal{code: codeInvalid, errors: faults})
	case result.code != "":
		g.refuseSignUp(w, r, v, f, refusal{code: result.code, wait: result.wait})
	case result.pending != "":
		g.waitForCode(w, r, v, result.pending, f.returnTo)
	default:
		g.welcome(w, r, v, result, f.returnTo)
	}
}

// judgeSignUp judges a form of this origin, up to where a code is sent or the
// user exists.
func (g *Gate) judgeSignUp(r *http.Request, v *visitor, f signUpFields) (verdict, map[string]code) {
	ctx := detached(r)
	browsers := g.knownBrowsers(v)
	switch {
	case len(browsers) == 0:
		return verdict{code: codeCookiesRequired}, nil
	case !f.captcha.isGiven():
		return verdict{code: codeCaptchaRequired}, nil
	}
	users, err := g.users.Table()
	if err != nil {
		return g.faulty(r, f.username, errors.Join(errUsers, err)), nil
	}
	attempt, err := g.throttle.ReserveSignIn(ctx, g.caller(r, browsers, "")) // whom the challenge was made for
	if err != nil {
		return g.faulty(r, f.username, err), nil
	}
	defer attempt.Release(ctx) // does nothing once the attempt is settled
	used, wrong, err := g.judgeCaptcha(r, f.captcha, browsers, attempt, true)
	switch {
	case err != nil:
		return g.faulty(r, f.username, err), nil
	case wrong != "":
		return verdict{code: wrong}, nil
	}
	if faults := g.faultsOf(f, users); len(faults) > 0 {
		return verdict{}, faults
	}
	release, err := g.throttle.ReserveSignUp(ctx, clientAddr(r), g.Accounts.SignUpLimit.PerClient)
	if err != nil {
		return g.faulty(r, f.username, err), nil
	}
	hash, err := g.hash(r.Context(), f.password)
	if err != nil {
		release()
		return g.faulty(r, f.username, err), nil
	}
	p := secondstep.Pending{
		Purpose: secondstep.SignUp, User: f.username, Browser: used.id, PasswordHash: hash,
		Channel: channelEmail, Destination: f.email,
	}
	result := verdict{}
	if g.confirmsEmail {
		result = g.beginStep(r, v, p)
	} else {
		result = g.register(r, v, p)
	}
	if result.code != "" && result.code != codeThrottled {
		release()
	}
	if result.code == codeUsernameTaken {
		return verdict{}, map[string]code{"username": codeUsernameTaken}
	}
	return result, nil
}

// faultsOf are the faults of each field. A name is taken also where one looks like
// it (USR-1).
func (g *Gate) faultsOf(f signUpFields, users *htpasswd.Table) map[string]code {
	faults := map[string]code{}
	fault := func(field string, c code) {
		if c != "" {
			faults[field] = c
		}
	}
	switch {
	case f.username == "":
		fault("username", codeUsernameMissing)
	case !signUpName.MatchString(f.username):
		fault("username", codeUsernameInvalid)
	case isReserved(f.username):
		fault("username", codeUsernameReserved)
	case users.Has(f.username, likeness), !g.confirmsEmail && g.emailOf(f.username) != "":
		// Where no address is confirmed, nobody gets one that is in the contacts already.
		fault("username", codeUsernameTaken)
	}
	if g.confirmsEmail {
		switch {
		case f.email == "":
			fault("email", codeEmailMissing)
		case !isAddress(f.email):
			fault("email", codeEmailInvalid)
		}
	}
	fault("password", g.passwordFault(f.password, f.username, f.email))
	if f.confirm != f.password {
		fault("confirm_password", codePasswordsDiffer)
	}
	return faults
}

// isAddress accepts what the contacts file does.
func isAddress(text string) bool {
	return contacts.CheckEmail(text) == nil
}

// passwordFault is what is wrong with a new password, "" if nothing is.
func (g *Gate) passwordFault(text, user, email string) code {
	if text == "" {
		return codePasswordMissing
	}
	return code(g.judgePassword(text, user, email).Code)
}

func (g *Gate) judgePassword(text, user, email string) password.Verdict {
	local, _, _ := strings.Cut(email, "@")
	return password.Judge(text, g.Accounts.PasswordMin, user, local, g.Page.Title)
}

// hash hashes a new password in one of the few slots for that (CRD-8).
func (g *Gate) hash(ctx context.Context, text string) (string, error) {
	waiting, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	release, err := g.slots.Acquire(waiting, throttle.CleanLane)
	if err != nil {
		return "", err
	}
	defer release()
	began := time.Now()
	defer func() { measured.hashing.Observe(time.Since(began).Seconds()) }()
	return htpasswd.HashPassword(text)
}

// addUser writes a new user into the files; of two who want a name at the same
// moment one gets it (USR-9), and only that one's address is written. Until it is,
// the entry is locked: a user without an address could not sign in where codes are
// asked for.
func (g *Gate) addUser(p secondstep.Pending) error {
	err := g.editor.Add(p.User, p.PasswordHash, htpasswd.AddOptions{
		MaxUsers: g.Accounts.SignUpLimit.Users, Locked: g.Accounts.Approval || g.confirmsEmail, Fold: likeness,
	})
	if err != nil || !g.confirmsEmail {
		return err
	}
	if err = g.contacts.Set(p.User, contacts.Contact{Email: p.Destination}); err != nil {
		return errors.Join(err, g.editor.Remove(p.User))
	}
	if g.Accounts.Approval {
		return nil
	}
	if err = g.editor.Approve(p.User); err != nil {
		return errors.Join(err, g.contacts.Remove(p.User), g.editor.Remove(p.User))
	}
	return nil
}

// register makes the user and, unless that takes an approval, signs in.
func (g *Gate) register(r *http.Request, v *visitor, p secondstep.Pending) verdict {
	err := g.addUser(p)
	switch {
	case errors.Is(err, htpasswd.ErrExists):
		return verdict{code: codeUsernameTaken}
	case errors.Is(err, htpasswd.ErrFull):
		return verdict{code: codeSignUpFull}
	case err != nil:
		return g.faulty(r, p.User, errors.Join(errUsers, err))
	}
	g.tell(r, eventSignedUp, p.User, zap.Bool("approved", !g.Accounts.Approval))
	if g.Accounts.Approval {
		return verdict{notice: "awaiting_approval"}
	}
	result := g.welcomeNew(r, v, p)
	if result.code != "" { // the user is there all the same
		return verdict{notice: "signed_up"}
	}
	return result
}

// welcomeNew signs a new user in.
func (g *Gate) welcomeNew(r *http.Request, v *visitor, p secondstep.Pending) verdict {
	users, err := g.users.Table()
	if err != nil {
		return g.faulty(r, p.User, errors.Join(errUsers, err))
	}
	fingerprint, ok := users.Fingerprint(p.User)
	if !ok {
		return verdict{code: codeUsersUnavailable}
	}
	level := session.Password
	if g.SecondStep.Channel == channelEmail { // the code of the sign-up is one as the sign-in would ask for
		level = session.SecondStep
	}
	return g.enter(r, v, session.Record{User: p.User, Fingerprint: fingerprint, Level: level}, p.Browser)
}

// serveStrength tells a script how good a password is that somebody is about to
// choose. It is where the page's meter comes from, and keeps nothing.
func (g *Gate) serveStrength(w http.ResponseWriter, r *http.Request, v *visitor) {
	values, wrong := readFields(w, r)
	if wrong == "" && !g.sameOrigin(r, v) {
		wrong = codeCrossOrigin
	}
	if wrong != "" {
		g.failJSON(w, v, refusal{code: wrong})
		return
	}
	ctx := detached(r)
	record, found, err := g.signedIn(ctx, v.presented.Sessions())
	if err == nil && !found && !g.Accounts.SignUp {
		g.failJSON(w, v, refusal{code: codeUnauthenticated})
		return
	}
	if err == nil {
		err = g.throttle.JudgeStrength(ctx, clientAddr(r))
	}
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(r, err), wait: retryAfter(err)})
		return
	}
	name := values["username"]
	if found {
		name = record.User
	}
	judged := g.judgePassword(values["password"], name, values["email"])
	reply := strength{Score: judged.Score, Code: code(judged.Code)}
	if judged.Code != "" {
		reply.Message = g.site.Text(v.lang, string(reply.Code))
	}
	writeJSON(w, http.StatusOK, reply)
}

// strength is the JSON answer about a password.
type strength struct {
	Score   int    `json:"score"` // 0 to 4
	Code    code   `json:"code"`
	Message string `json:"message"`
}

// noticeSignUp tells a new user who is not signed in how things stand.
func (g *Gate) noticeSignUp(w http.ResponseWriter, r *http.Request, v *visitor, notice string) {
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, success{Status: "success", Code: notice})
		return
	}
	view := g.view(v)
	view.Notice = notice
	g.writePage(w, http.StatusOK, "sign-up", view)
}
