package doctor

import (
	"context"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
)

// checkSignIn signs in and out, where it can and may.
func (e *examination) checkSignIn(ctx context.Context, b *browser, opened bool) {
	switch {
	case !opened && (e.User != "" || e.HumanOnly):
		e.warn("sign-in", mendSecret, "not tried: without the gate's secret the doctor cannot answer the captcha")
		return
	case e.User == "" && !e.HumanOnly:
		e.ok("sign-in", "not tried: name a user with --user, and the doctor signs in and out")
		return
	case e.unverified:
		e.warn("sign-in", "see the check \"tls\"", "not tried: a password is not sent to a server that cannot prove who it is")
		return
	}
	page, err := b.navigate(ctx, e.signInPage())
	if err != nil {
		e.problem("sign-in", "see Caddy's log", "no answer: %s", plainFault(err))
		return
	}
	if e.judgeFault(ctx, b, "sign-in", page) {
		return
	}
	claims, err := e.maker.Unpack(tokenIn(page.body))
	if err != nil {
		e.problem("sign-in", mendSecret, "this time another gate answers, with another secret")
		return
	}
	a, err := b.post(ctx, e.own(e.Login), map[string]string{
		"username": e.User, "password": e.Password, "captcha_token": tokenIn(page.body), "captcha_answer": claims.Answer,
	}, e.URL.Scheme == "https")
	if err != nil {
		e.problem("sign-in", "see Caddy's log", "no answer: %s", plainFault(err))
		return
	}
	if e.judgeSignIn(a) {
		e.checkSession(ctx, b)
		e.checkSignOut(ctx, b)
	}
}

// judgeSignIn is true when there is a session to look at.
func (e *examination) judgeSignIn(a answer) bool {
	switch code := a.reply().Code; code {
	case "signed_in":
		cookie := e.find(a.cookies, "")
		if cookie == nil {
			e.problem("sign-in", mendSetCookie, "signed in, and the session cookie does not arrive: something in between removes it")
			return false
		}
		if !e.judgeCookie("session cookie", cookie) {
			return false
		}
		e.ok("sign-in", "the right answer%s are accepted; %s is set", map[bool]string{false: " and password", true: ""}[e.HumanOnly], cookie.Name)
		return true
	case "second_step_required":
		e.ok("sign-in", "the right answer and password are accepted, and a code was sent to the user; the doctor goes no further")
	case "credentials_wrong":
		e.judgeCredentials()
	case "captcha_wrong":
		e.problem("sign-in", "caddy reload", "the gate refuses the right answer: captcha alphabet and length of the running gate are others")
	default:
		e.judgeRefusal("sign-in", a)
	}
	return false
}

// judgeCredentials asks the users file at hand, which need not be the one that the server reads.
func (e *examination) judgeCredentials() {
	data, err := atomicfile.Read(e.Users)
	if err != nil {
		e.problem("sign-in", "see the check \"users\"", "the gate says that name or password is wrong")
		return
	}
	users, _ := htpasswd.Parse(data)
	_, right := users.Verify(e.User, e.Password)
	switch {
	case right:
		e.problem("sign-in", "name the file with its whole path: users /etc/caddy/users.htpasswd; then caddy reload",
			"the gate says that name or password is wrong, and by %s they are right: it reads another file, or the file only just changed", e.Users)
	case !users.Has(e.User, nil):
		e.problem("sign-in", "caddy captcha-gate user add --file "+e.Users+" NAME", "there is no such user in %s; upper and lower case count", e.Users)
	case users.Locked(e.User):
		e.problem("sign-in", "caddy captcha-gate user approve --file "+e.Users+" NAME", "the user is locked")
	default:
		e.problem("sign-in", "caddy captcha-gate user set-password --file "+e.Users+" NAME", "the password is wrong by %s too", e.Users)
	}
}

// checkSession asks for what only a session gets.
func (e *examination) checkSession(ctx context.Context, b *browser) {
	const mend = "several Caddys need one store: state redis redis://HOST:6379; and a proxy must pass the header Cookie on"
	page, err := b.navigate(ctx, e.URL)
	switch {
	case err != nil:
		e.problem("session", "see Caddy's log", "no answer: %s", plainFault(err))
		return
	case page.status == 401 && page.isGates():
		e.problem("session", mend, "%s asks to sign in again: the session is not known there", e.URL)
		return
	case page.status >= 500:
		e.warn("session", "start the app, and see reverse_proxy in the site block", "signed in; behind the gate the app answers %s", describe(page))
	default:
		e.ok("session", "%s is shown (%d)", e.URL, page.status)
	}
	e.checkPrivate(page)
	a, err := b.ask(ctx, e.own(e.BasePath+"/session"))
	switch {
	case err != nil || a.status != 200:
		e.problem("session", mend, "the gate does not know the session any more")
	case a.reply().User.ID != e.User:
		e.problem("session", mendCache, "the session is that of another user")
	default:
		e.ok("session", "the gate knows who is signed in")
	}
}

// checkSignOut ends the session and makes sure of it.
func (e *examination) checkSignOut(ctx context.Context, b *browser) {
	a, err := b.post(ctx, e.own(e.Logout), map[string]string{}, e.URL.Scheme == "https")
	if err != nil || a.status != 200 || a.reply().Code != "signed_out" {
		e.problem("sign-out", mendRoute+"; or choose another path: logout /sign-out", "%s does not sign out: %s", e.own(e.Logout).Path, describe(a))
		return
	}
	page, err := b.navigate(ctx, e.URL)
	if err == nil && !e.open && (page.status != 401 || !page.isGates()) {
		e.problem("sign-out", mendCache, "signed out, and %s is still shown (%s): a cache in front keeps it", e.URL, describe(page))
		return
	}
	e.ok("sign-out", "signed out, and asked to sign in again")
}
