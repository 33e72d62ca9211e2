package caddymodule

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
)

const (
	allowGet     = "GET, HEAD"
	allowGetPost = "GET, HEAD, POST"
)

// serveOwn answers a request for one of the gate's own paths. Everything below
// the base path ends here, known or not (PTH-5).
func (g *Gate) serveOwn(w http.ResponseWriter, r *http.Request, v *visitor, path string) {
	if slices.Contains(g.Login, path) {
		g.serveSignIn(w, r, v)
		return
	}
	if path == g.Logout {
		g.serveSignOut(w, r, v)
		return
	}
	name := strings.TrimPrefix(path[len(g.BasePath):], "/")
	page, ok := ownPages[name]
	if media, is := strings.CutPrefix(name, "challenge/"); is {
		page, ok = ownPage{allow: allowGet, serve: func(g *Gate, w http.ResponseWriter, r *http.Request, v *visitor) { g.serveMedia(w, r, v, media) }}, true
	}
	if asset, is := strings.CutPrefix(name, "assets/"); is {
		page, ok = ownPage{allow: allowGet, serve: func(g *Gate, w http.ResponseWriter, r *http.Request, v *visitor) { g.serveAsset(w, r, v, asset) }}, true
	}
	switch {
	case !ok || page.has != nil && !page.has(g):
		g.fail(w, r, v, refusal{code: codeNotFound})
	case !slices.Contains(strings.Split(page.allow, ", "), r.Method):
		g.notAllowed(w, r, v, page.allow)
	default:
		page.serve(g, w, r, v)
	}
}

// ownPage is a path below the base path.
type ownPage struct {
	allow string // methods
	serve func(*Gate, http.ResponseWriter, *http.Request, *visitor)
	has   func(*Gate) bool // whether it is switched on; nil for always
}

var ownPages = map[string]ownPage{
	"challenge":          {allow: allowGet, serve: (*Gate).serveChallenge},
	"session":            {allow: allowGet, serve: (*Gate).serveSession},
	"account":            {allow: allowGetPost, serve: (*Gate).serveAccount, has: (*Gate).hasUsers},
	"sign-up":            {allow: allowGetPost, serve: (*Gate).serveSignUp, has: (*Gate).signsUp},
	"second-step":        {allow: allowGetPost, serve: (*Gate).serveSecondStep, has: (*Gate).sendsCodes},
	"second-step/resend": {allow: http.MethodPost, serve: (*Gate).serveResend, has: (*Gate).sendsCodes},
	"language":           {allow: allowGet, serve: (*Gate).serveLanguage, has: (*Gate).hasLanguages},
	"password-strength":  {allow: http.MethodPost, serve: (*Gate).serveStrength, has: (*Gate).setsPasswords},
}

func (g *Gate) hasUsers() bool      { return !g.HumanOnly }
func (g *Gate) signsUp() bool       { return g.Accounts.SignUp }
func (g *Gate) sendsCodes() bool    { return g.steps != nil }
func (g *Gate) setsPasswords() bool { return g.signsUp() || g.changesPasswords() }

// returnTarget is where to send the visitor after signing in: the wish if it is
// a path of the app on this host, else the landing page. It is asked when the
// address is emitted, whatever was checked before (RED-2).
func (g *Gate) returnTarget(v *visitor, wish string) string {
	if target, ok := localpath.Target(wish); ok && !g.ownsTarget(v, target) {
		return target
	}
	return v.prefix + g.Landing
}

// ownsTarget keeps visitors from being sent back to the gate itself (RED-5).
func (g *Gate) ownsTarget(v *visitor, target string) bool {
	return g.owns(localpath.Path(target)) || g.owns(localpath.Path(strings.TrimPrefix(target, v.prefix)))
}

type userJSON struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

type sessionJSON struct {
	Authenticated bool     `json:"authenticated"`
	User          userJSON `json:"user"`
	ExpiresAt     string   `json:"expires_at"`
}

// serveSession tells a script who is signed in.
func (g *Gate) serveSession(w http.ResponseWriter, r *http.Request, v *visitor) {
	record, found, err := g.signedIn(detached(r), v.presented.Sessions())
	switch {
	case err != nil:
		g.failJSON(w, v, refusal{code: g.fault(r, err)})
	case !found:
		g.failJSON(w, v, refusal{code: codeUnauthenticated})
	default:
		writeJSON(w, http.StatusOK, sessionJSON{
			Authenticated: true, User: userJSON{ID: record.User, Email: g.emailOf(record.User)}, ExpiresAt: timestamp(record.Expires),
		})
	}
}

// serveAsset serves an embedded file. Its name carries a hash of its content,
// so that a browser may keep it for a year.
func (g *Gate) serveAsset(w http.ResponseWriter, r *http.Request, v *visitor, name string) {
	asset, ok := g.site.Asset(name)
	if !ok {
		g.fail(w, r, v, refusal{code: codeNotFound})
		return
	}
	harden(w)
	w.Header().Set("Content-Type", asset.ContentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	serveBytes(w, r, asset.Body)
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
