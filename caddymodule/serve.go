package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

// ServeHTTP lets a request pass or answers it. The body of a request for the
// app is never read and the response writer never wrapped, so that uploads,
// WebSocket and server-sent events go through untouched.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !g.admit(w, r) {
		return nil
	}
	return next.ServeHTTP(w, r)
}

// admit decides. When it says false it has answered. A panic anywhere in the
// gate's own code closes this one request with a 500 (INP-7); one of the app is
// not its business.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request) (pass bool) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause == http.ErrAbortHandler { //nolint:errorlint // a panic's value, which net/http compares like this
			panic(cause)
		}
		g.logger.Error("panic", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
		writeFault(w)
		pass = false
	}()

	secure := isSecure(r)
	g.identity.Clean(r)
	presented := g.cookies.Take(r.Header, secure)

	if path, own := g.ownPath(r); own {
		g.serveOwn(w, r, g.prepare(w, r, secure, presented), path)
		return false
	}
	record, found, err := g.signedIn(detached(r), presented.Sessions())
	if found {
		g.identify(r, record)
		return true
	}
	if !g.isProtected(r) {
		return true
	}
	v := g.prepare(w, r, secure, presented)
	if err != nil {
		g.fail(w, r, v, refusal{code: g.fault(r, err)})
		return false
	}
	g.ask(w, r, v)
	return false
}

// prepare makes what only the gate's own answers need, and bounds how long a
// body may take that stalls. HTTP/1 waits for a whole body before it answers,
// unless the connection ends with the answer (INP-6).
func (g *Gate) prepare(w http.ResponseWriter, r *http.Request, secure bool, presented session.Presented) *visitor {
	if r.ContentLength != 0 {
		// Where the connection knows no deadlines, Caddy's own limits remain.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
	}
	v := &visitor{secure: secure, presented: presented, prefix: pathPrefix(r)}
	g.chooseLanguage(r, v)
	return v
}

// ownPath returns the request's path if the gate answers it. It looks at the
// path as rewritten and as asked for: handle_path strips a prefix before the
// gate, try_files and rewrite may have turned /login into something else.
func (g *Gate) ownPath(r *http.Request) (string, bool) {
	if g.owns(r.URL.Path) {
		return r.URL.Path, true
	}
	if path := original(r).Path; g.owns(path) {
		return path, true
	}
	return "", false
}

var errUsers = errors.New("users file")

// signedIn finds the live session among a visitor's tokens. An error means that
// nobody knows.
func (g *Gate) signedIn(ctx context.Context, tokens []string) (session.Record, bool, error) {
	for _, token := range tokens {
		if record, found, err := g.current(ctx, token); found || err != nil {
			return record, found, err
		}
	}
	return session.Record{}, false, nil
}

// current is the live session of a token.
func (g *Gate) current(ctx context.Context, token string) (session.Record, bool, error) {
	record, found, err := g.sessions.Find(ctx, token)
	if !found || err != nil {
		return session.Record{}, false, err
	}
	if current, err := g.isCurrent(record); !current || err != nil {
		return session.Record{}, false, err
	}
	return record, true, nil
}

// isCurrent reports whether the session's user still has the entry in the
// users file that he or she signed in with (SES-5), and whether the gate still
// asks for no more than was proved then.
func (g *Gate) isCurrent(record session.Record) (bool, error) {
	if g.HumanOnly {
		return record.Level == session.Human, nil
	}
	if record.Level < session.Password || g.asksCode() && record.Level < session.SecondStep {
		return false, nil
	}
	users, err := g.users.Table()
	if err != nil {
		return false, errors.Join(errUsers, err)
	}
	fingerprint, ok := users.Fingerprint(record.User)
	return ok && fingerprint == record.Fingerprint, nil
}

// identify tells the upstream, placeholders and the access log who it is.
func (g *Gate) identify(r *http.Request, record session.Record) {
	email := g.emailOf(record.User)
	g.identity.Set(r.Header, record.User, email)
	if record.User == "" {
		return
	}
	if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Set("http.auth.user.id", record.User)
		if email != "" {
			replacer.Set("http.auth.user.email", email)
		}
	}
}

// isProtected asks the matcher, but only about paths that everybody reads
// alike; every other path, and a matcher that fails, counts as protected (PTH-1).
func (g *Gate) isProtected(r *http.Request) bool {
	if len(g.protect) == 0 || !localpath.Plain(r.URL) || !localpath.Plain(original(r)) {
		return true
	}
	match, err := g.protect.AnyMatchWithError(r)
	if err != nil {
		g.logger.Error("matcher failed", zap.Error(err))
		return true
	}
	return match
}

// ask answers a request that needs a session and has none: a person gets the
// page at this very address, everything else a plain refusal. The body of an
// upload is not read (INP-6).
func (g *Gate) ask(w http.ResponseWriter, r *http.Request, v *visitor) {
	if !isNavigation(r) {
		g.failJSON(w, v, refusal{code: codeUnauthenticated})
		return
	}
	here := original(r).RequestURI()
	g.showSignIn(w, r, v, signInForm{status: http.StatusUnauthorized, returnTo: here, refresh: here})
}
