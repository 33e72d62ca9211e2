package caddymodule

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
)

const allowGet = "GET, HEAD"

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
	serve := map[string]func(http.ResponseWriter, *http.Request, *visitor){
		"challenge": g.serveChallenge,
		"session":   g.serveSession,
	}[name]
	if media, ok := strings.CutPrefix(name, "challenge/"); ok {
		serve = func(w http.ResponseWriter, r *http.Request, v *visitor) { g.serveMedia(w, r, v, media) }
	}
	if asset, ok := strings.CutPrefix(name, "assets/"); ok {
		serve = func(w http.ResponseWriter, r *http.Request, v *visitor) { g.serveAsset(w, r, v, asset) }
	}
	switch {
	case serve == nil:
		g.fail(w, r, v, refusal{code: codeNotFound})
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		g.notAllowed(w, r, v, allowGet)
	default:
		serve(w, r, v)
	}
}

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
	record, found, err := g.signedIn(detached(r), v)
	switch {
	case err != nil:
		g.failJSON(w, v, refusal{code: g.fault(err)})
	case !found:
		g.failJSON(w, v, refusal{code: codeUnauthenticated})
	default:
		writeJSON(w, http.StatusOK, sessionJSON{
			Authenticated: true, User: userJSON{ID: record.User}, ExpiresAt: timestamp(record.Expires),
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
