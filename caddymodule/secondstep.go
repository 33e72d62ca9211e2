package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// firstOutcome is how long a reply waits for the first try to hand a code over: a
// provider that refuses at once is said at once. A slow one is not waited for.
const firstOutcome = 500 * time.Millisecond

var (
	errSender    = errors.New("sender")
	errNoContact = fmt.Errorf("%w: no contact for the second step", errSender)
)

// beginStep sends a code, and has the sign-in or sign-up wait for it. Where no
// code can be sent there is no way around it (OTP-5).
func (g *Gate) beginStep(r *http.Request, v *visitor, p secondstep.Pending) verdict {
	ctx := detached(r)
	if p.Destination == "" {
		return g.faulty(r, p.User, errNoContact)
	}
	budget, err := g.throttle.ReserveSend(ctx, g.guesser(r, v, p), p.Destination, g.sendRules(p.Purpose))
	if err != nil {
		return g.faulty(r, p.User, err)
	}
	p.Lang = string(v.lang)
	token, code, p, err := g.steps.Begin(ctx, p)
	if err != nil {
		budget.Release(ctx)
		return g.faulty(r, p.User, err)
	}
	counts, err := g.post(r, token, code, p)
	if !counts {
		budget.Release(ctx)
	}
	if err != nil {
		_ = g.steps.Drop(ctx, token) // nobody has the token
		return g.faulty(r, p.User, err)
	}
	return verdict{pending: token}
}

// post hands a code to the outbox. An error means that nobody waits for this code.
// It counts all the same once it was handed over, unless the provider is out of
// order: that must not cost its users the codes of the whole day.
func (g *Gate) post(r *http.Request, token, code string, p secondstep.Pending) (counts bool, err error) {
	ctx := detached(r)
	subject, text := g.message(p, code)
	id, err := g.outbox.Post(ctx, outbox.Message{
		Channel: p.Channel, To: p.Destination, Subject: subject, Text: text, Code: code, Lang: p.Lang, Expires: p.CodeExpires,
	})
	if err != nil {
		return false, err
	}
	if err := g.steps.Sent(ctx, token, id); err != nil {
		_ = g.outbox.Cancel(ctx, id)
		return true, err
	}
	switch status := g.outbox.Wait(r.Context(), id, firstOutcome); status {
	case outbox.Retrying, outbox.Refused:
		canceled := g.outbox.Cancel(ctx, id)
		down := status == outbox.Retrying && g.outbox.Failing(p.Channel)
		return canceled != nil || !down, fmt.Errorf("%w: %s", errSender, status)
	}
	g.tell(r, eventCodeSent, p.User, zap.String("channel", p.Channel), zap.String("id", id))
	return true, nil
}

// secondStepURL is the page for the code.
func (g *Gate) secondStepURL(v *visitor, returnTo string) string {
	address := v.prefix + g.BasePath + "/second-step"
	if target, ok := localpath.Target(returnTo); ok && !g.ownsTarget(v, target) {
		address += "?" + url.Values{"rd": {target}}.Encode()
	}
	return address
}

// waitForCode tells the browser that a code is asked for.
func (g *Gate) waitForCode(w http.ResponseWriter, r *http.Request, v *visitor, token, returnTo string) {
	g.cookies.SetPending(w, v.secure, token, g.steps.Longest())
	target := g.secondStepURL(v, returnTo)
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, success{Status: "pending", Code: string(codeSecondStepRequired), RedirectURL: &target})
		return
	}
	seeOther(w, target)
}

// pendingStep finds what waits for a code in this browser.
func (g *Gate) pendingStep(ctx context.Context, v *visitor) (token string, p secondstep.Pending, found bool, err error) {
	browsers := g.knownBrowsers(v)
	for _, token = range v.presented.Pendings() {
		p, found, err = g.steps.Find(ctx, token)
		if err != nil {
			return "", secondstep.Pending{}, false, err
		}
		if !found || !slices.ContainsFunc(browsers, func(b browser) bool { return b.id == p.Browser }) {
			continue
		}
		if found, err = g.stillWaits(p); found || err != nil {
			return token, p, found, err
		}
	}
	return "", secondstep.Pending{}, false, nil
}

// stillWaits reports whether the code is still worth something here. What was
// begun may have been begun under another configuration, or at another gate of the
// realm, and users, passwords and contacts change: no code goes to a phone that the
// operator has struck out. An error costs neither code nor try.
func (g *Gate) stillWaits(p secondstep.Pending) (bool, error) {
	users, err := g.users.Table()
	switch {
	case err != nil:
		return false, errors.Join(errUsers, err)
	case p.Purpose == secondstep.SignUp:
		return g.Accounts.SignUp && g.confirmsEmail, nil
	}
	fingerprint, ok := users.Fingerprint(p.User)
	return ok && fingerprint == p.Fingerprint && p.Channel == g.SecondStep.Channel && p.Destination == g.destinationOf(p.User), nil
}

// guesser is whom the limits count codes for. The name that somebody signs up with
// may by now be somebody else's, whom that must not keep out.
func (g *Gate) guesser(r *http.Request, v *visitor, p secondstep.Pending) throttle.Visitor {
	if p.Purpose == secondstep.SignUp {
		return throttle.Visitor{Client: clientAddr(r), User: ":" + p.User} // no user has such a name
	}
	return g.caller(r, g.knownBrowsers(v), p.User)
}

// stepReply is how a request about a code ended.
type stepReply struct {
	refusal
	notice   string
	returnTo string
}

// serveSecondStep shows the page for the code and judges what it sends.
func (g *Gate) serveSecondStep(w http.ResponseWriter, r *http.Request, v *visitor) {
	if r.Method == http.MethodPost {
		g.judgeStep(w, r, v)
		return
	}
	returnTo := original(r).Query().Get("rd")
	_, p, found, err := g.pendingStep(detached(r), v)
	switch {
	case err != nil:
		g.fail(w, r, v, refusal{code: g.fault(r, err)})
	case !found:
		_, signedIn, err := g.signedIn(detached(r), v.presented.Sessions())
		if err == nil && signedIn {
			seeOther(w, g.returnTarget(v, returnTo))
			return
		}
		g.noStep(w, r, v, refusal{code: codeSecondStepExpired})
	default:
		g.showStep(w, r, v, p, stepReply{refusal: refusal{code: g.delivery(r, p)}, returnTo: returnTo})
	}
}

// delivery is what went wrong with sending the newest code, "" if nothing is
// known to.
func (g *Gate) delivery(r *http.Request, p secondstep.Pending) code {
	status, err := g.outbox.Status(detached(r), p.Message)
	if err == nil && (status == outbox.Retrying || status == outbox.Refused) {
		return codeSenderUnavailable
	}
	return ""
}

// noStep answers who has nothing to type a code for: the way is to sign in again.
func (g *Gate) noStep(w http.ResponseWriter, r *http.Request, v *visitor, why refusal) {
	if isNavigation(r) {
		seeOther(w, v.prefix+g.Login[0])
		return
	}
	g.fail(w, r, v, why)
}

// showStep writes the page for the code.
func (g *Gate) showStep(w http.ResponseWriter, r *http.Request, v *visitor, p secondstep.Pending, reply stepReply) {
	if wantsJSON(r) && reply.code != "" {
		g.failJSON(w, v, reply.refusal)
		return
	}
	view := g.view(v)
	view.Code, view.Notice = string(reply.code), reply.notice
	view.Channel, view.Destination, view.Digits = p.Channel, masked(p), g.SecondStep.Digits
	view.ForSignUp = p.Purpose == secondstep.SignUp
	view.SecondsLeft = seconds(p.CodeExpires.Sub(g.now()))
	view.ResendIn = seconds(p.Resend.Sub(g.now()))
	g.setReturn(&view, v, reply.returnTo)
	status := http.StatusOK
	if reply.code != "" {
		status = reply.statusCode()
	}
	view.RetryAfter = g.announce(w, v, status, reply.wait)
	g.writePage(w, status, "second-step", view)
}

func seconds(d time.Duration) int { return max(0, int((d+time.Second-1)/time.Second)) }

// postedStep reads a form of this origin and finds the step that it is about. What
// is wrong it has answered itself, and returns.
func (g *Gate) postedStep(w http.ResponseWriter, r *http.Request, v *visitor) (values map[string]string, token string, p secondstep.Pending, why code) {
	values, why = readFields(w, r)
	if why == "" && !g.sameOrigin(r, v) {
		why = codeCrossOrigin
	}
	if why != "" {
		g.fail(w, r, v, refusal{code: why})
		return nil, "", p, why
	}
	token, p, found, err := g.pendingStep(detached(r), v)
	switch {
	case err != nil:
		why = g.fault(r, err)
		g.fail(w, r, v, refusal{code: why})
	case !found:
		why = codeSecondStepExpired
		g.noStep(w, r, v, refusal{code: why})
	}
	return values, token, p, why
}

// judgeStep judges a code. The try is counted twice before: for the code, and for
// the user over all codes (OTP-2).
func (g *Gate) judgeStep(w http.ResponseWriter, r *http.Request, v *visitor) {
	values, token, p, why := g.postedStep(w, r, v)
	if why != "" {
		g.signInFailed(r, "", why)
		return
	}
	result := g.tryCode(r, v, token, p, values["code"])
	switch result.code {
	case "":
		g.cookies.ClearPending(w, v.secure)
		g.welcome(w, r, v, result, values["rd"])
	case codeUsernameTaken:
		g.cookies.ClearPending(w, v.secure)
		g.refuseSignUp(w, r, v, signUpFields{returnTo: values["rd"]}, refusal{code: codeInvalid, errors: map[string]code{"username": codeUsernameTaken}})
	default:
		if p.Purpose == secondstep.SignUp {
			g.tellFailed(r, eventSignUpFailed, p.User, result.code)
		} else {
			g.signInFailed(r, p.User, result.code)
		}
		g.showStep(w, r, v, p, stepReply{refusal: refusal{code: result.code, wait: result.wait}, returnTo: values["rd"]})
	}
}

// tryCode judges a code and, if it is right, finishes what waited for it.
func (g *Gate) tryCode(r *http.Request, v *visitor, token string, p secondstep.Pending, typed string) verdict {
	ctx := detached(r)
	digits := strings.Map(plainDigit, typed)
	if digits == "" {
		return verdict{code: codeSecondStepRequired}
	}
	who := g.guesser(r, v, p)
	attempt, err := g.throttle.ReserveCode(ctx, who)
	if err != nil {
		return g.faulty(r, p.User, err)
	}
	defer attempt.Release(ctx) // does nothing once the attempt is settled
	judged, p, err := g.steps.Judge(ctx, token, digits)
	switch {
	case err != nil:
		return g.faulty(r, p.User, err)
	case judged == secondstep.Expired:
		return verdict{code: codeSecondStepExpired}
	case judged == secondstep.Wrong:
		attempt.PasswordFailed(ctx)
		return verdict{code: codeSecondStepWrong}
	}
	if waits, err := g.stillWaits(p); err != nil {
		return g.faulty(r, p.User, err)
	} else if !waits {
		return verdict{code: codeSecondStepExpired}
	}
	if p.Purpose == secondstep.SignUp {
		return g.register(r, v, p)
	}
	result := g.enter(r, v, session.Record{
		User: p.User, Fingerprint: p.Fingerprint, Level: session.SecondStep, Remember: p.Remember,
	}, p.Browser)
	if result.code == "" {
		attempt.Succeeded(ctx)
		g.throttle.Passed(ctx, who)
	}
	return result
}

// enter starts a session and makes the browser a known device of its user.
func (g *Gate) enter(r *http.Request, v *visitor, record session.Record, id [16]byte) verdict {
	token, record, err := g.startSession(r, v, record)
	if err != nil {
		return g.faulty(r, record.User, err)
	}
	used := browser{id: id}
	for _, b := range g.knownBrowsers(v) {
		if b.id == id {
			used = b
		}
	}
	if record.User != "" {
		used = used.with(g.userTag(record.User, record.Fingerprint))
	}
	return verdict{browser: used, token: token, record: record}
}

// serveResend sends another code in place of the last one.
func (g *Gate) serveResend(w http.ResponseWriter, r *http.Request, v *visitor) {
	values, token, p, why := g.postedStep(w, r, v)
	if why != "" {
		return
	}
	next, refused := g.resend(r, v, token, p)
	switch {
	case refused.code != "":
		g.showStep(w, r, v, next, stepReply{refusal: refused, returnTo: values["rd"]})
	case wantsJSON(r):
		target := g.secondStepURL(v, values["rd"])
		writeJSON(w, http.StatusOK, success{
			Status: "success", Code: "code_sent", RedirectURL: &target, RetryAfter: seconds(next.Resend.Sub(g.now())),
		})
	default:
		g.showStep(w, r, v, next, stepReply{notice: "code_sent", returnTo: values["rd"]})
	}
}

// resend returns the step as it is afterwards, and why nothing was sent.
func (g *Gate) resend(r *http.Request, v *visitor, token string, p secondstep.Pending) (secondstep.Pending, refusal) {
	ctx := detached(r)
	budget, err := g.throttle.ReserveSend(ctx, g.guesser(r, v, p), p.Destination, g.sendRules(p.Purpose))
	if err != nil {
		return p, refusal{code: g.faultOf(r, p.User, err), wait: retryAfter(err)}
	}
	code, next, err := g.steps.Renew(ctx, token)
	if err != nil {
		budget.Release(ctx)
		return p, refusal{code: g.faultOf(r, p.User, err), wait: retryAfter(err)}
	}
	_ = g.outbox.Cancel(ctx, p.Message) // where this fails, a code arrives that is no longer good
	counts, err := g.post(r, token, code, next)
	if !counts {
		budget.Release(ctx)
	}
	if err != nil {
		return next, refusal{code: g.faultOf(r, p.User, err), wait: retryAfter(err)}
	}
	return next, refusal{}
}
