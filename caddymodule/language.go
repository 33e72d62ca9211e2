package caddymodule

import (
	"net/http"
	"net/url"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
)

// chooseLanguage finds the language of the answer: the one that the visitor
// chose, as long as it is offered, else what suits the browser best.
func (g *Gate) chooseLanguage(r *http.Request, v *visitor) {
	for _, tag := range v.presented.Languages() {
		if lang, ok := g.site.Offers(tag); ok {
			v.lang, v.chosen = lang, lang
			return
		}
	}
	v.lang = g.site.Language(r.Header.Get("Accept-Language"))
}

// hasLanguages says that there is something to choose from.
func (g *Gate) hasLanguages() bool { return len(g.site.Languages()) > 1 }

// serveLanguage shows the languages, each a link to this page that names it.
// Who follows one gets a cookie and is sent back to the page that he or she came
// from. It is GET, as the cookie changes nothing but the words: so it works by
// plain links, also from a page of the app.
func (g *Gate) serveLanguage(w http.ResponseWriter, r *http.Request, v *visitor) {
	query := original(r).Query()
	view := g.view(v)
	g.setReturn(&view, v, query.Get("rd"))
	g.setBack(&view, v, query.Get("from"))
	if lang, ok := g.site.Offers(query.Get("lang")); ok {
		g.cookies.SetLanguage(w, v.secure, string(lang))
		seeOther(w, view.BackURL)
		return
	}
	g.writePage(w, http.StatusOK, "language", view)
}

// setBack has the page lead back to where the visitor came from. That is one of
// the gate's own pages, whatever the address says (RED-3): the sign-in page, if
// it says nothing, nonsense or a page that this gate has not.
func (g *Gate) setBack(view *page.View, v *visitor, from string) {
	base := v.prefix + g.BasePath
	view.From, view.BackURL = from, v.prefix+g.Login[0]
	switch {
	case from == "sign-up" && g.signsUp(), from == "second-step" && g.sendsCodes():
		view.BackURL = base + "/" + from
	case from == "account" && g.hasUsers():
		view.BackURL = base + "/" + from
		return
	case from == "sign-out":
		view.BackURL = v.prefix + g.Logout
		return
	default:
		view.From = ""
	}
	if view.ReturnTo != "" {
		view.BackURL += "?" + url.Values{"rd": {view.ReturnTo}}.Encode()
	}
}
