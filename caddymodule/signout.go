package caddymodule

import "net/http"

// serveSignOut ends the session on POST and changes nothing on GET (CSR-1). The
// form needs no token: net/http's cross-origin protection and SameSite=Lax keep
// other sites away, the worst that a forged request could do is to sign
// somebody out, and any page of the app can offer the button with plain HTML.
func (g *Gate) serveSignOut(w http.ResponseWriter, r *http.Request, v *visitor) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		record, _, err := g.signedIn(detached(r), v.presented.Sessions())
		if err != nil {
			g.fail(w, r, v, refusal{code: g.fault(r, err)})
			return
		}
		view := g.view(v)
		view.SignedInAs, view.AccountOffered = record.User, record.User != ""
		g.writePage(w, http.StatusOK, "sign-out", view)
	case http.MethodPost:
		g.signOut(w, r, v)
	default:
		g.notAllowed(w, r, v, "GET, HEAD, POST")
	}
}

func (g *Gate) signOut(w http.ResponseWriter, r *http.Request, v *visitor) {
	if !g.sameOrigin(r, v) {
		g.fail(w, r, v, refusal{code: codeCrossOrigin})
		return
	}
	ctx := detached(r)
	for _, token := range v.presented.Sessions() {
		record, found, err := g.sessions.Find(ctx, token)
		if err == nil && found {
			err = g.sessions.End(ctx, token)
		}
		if err != nil {
			g.fail(w, r, v, refusal{code: g.fault(r, err)})
			return
		}
		if found {
			g.tell(r, eventSignedOut, record.User)
		}
	}
	g.cookies.ClearSession(w, v.secure)
	login := v.prefix + g.Login[0]
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, success{Status: "success", Code: "signed_out", RedirectURL: &login})
		return
	}
	seeOther(w, login)
}
