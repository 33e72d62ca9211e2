package caddymodule

import (
	"net/http"
	"net/url"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/localpath"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// signInForm is the state of the sign-in page.
type signInForm struct {
	status int
	code   code
	wait   time.Duration
	// userName and remember are kept from the last try.
	userName string
	remember bool
	// returnTo is the wish, judged again before it is written anywhere.
	returnTo string
	// wanted is the challenge to show. A puzzle alone is for scripts.
	wanted wish
	// refresh is the page's own address when it is shown in place.
	refresh string
}

// showSignIn shows the page with a new challenge. A navigation without the
// browser cookie gets one (scripts and sub-resources never do), and the
// challenge is bound to it.
func (g *Gate) showSignIn(w http.ResponseWriter, r *http.Request, v *visitor, form signInForm) {
	known := g.knownBrowsers(v)
	isNew := len(known) == 0
	if isNew {
		known = []browser{newBrowser()}
	}
	shown, err := g.challengeFor(r, v, known, form)
	if err != nil {
		form.code, form.wait = g.fault(r, err), retryAfter(err)
		form.status = form.code.status()
	} else if isNew && !isScript(r) && g.sameOrigin(r, v) {
		if err := g.rememberBrowser(w, v, known[0], 0); err != nil {
			g.fail(w, r, v, refusal{code: codeInternal})
			return
		}
	}
	view := g.view(v)
	view.Code, view.UserName, view.Remember = string(form.code), form.userName, form.remember
	view.RetryAfter = g.announce(w, v, form.status, form.wait)
	view.Captcha = shown
	g.setReturn(&view, v, form.returnTo)
	view.RefreshURL = g.refreshURL(v, form, view.ReturnTo)
	voice := form.wanted.voice
	if voice == "" {
		voice = g.voice(r, v)
	}
	g.offerOthers(&view, voice, v.prefix+g.Login[0])
	g.writePage(w, form.status, "sign-in", view)
}

// setReturn has the page keep where to go afterwards, if that is a place of the
// app.
func (g *Gate) setReturn(view *page.View, v *visitor, wish string) {
	if target, ok := localpath.Target(wish); ok && !g.ownsTarget(v, target) {
		view.ReturnTo = target
	}
}

// challengeFor is what the page shows; without a token nothing is asked yet.
func (g *Gate) challengeFor(r *http.Request, v *visitor, browsers []browser, form signInForm) (*page.Captcha, error) {
	failures, err := g.failures(r, browsers, form.userName)
	if err != nil {
		return nil, err
	}
	var challenge captcha.Challenge
	form.wanted.purpose = purposeLogin
	if g.asks(failures) || form.wanted.named {
		if challenge, err = g.newChallenge(r, browsers[0], form.wanted, failures); err != nil {
			return nil, err
		}
	}
	return g.challengeView(v, challenge), nil
}

// voiceNames are the languages of sounds, each in its own words.
var voiceNames = map[string]string{
	"en": "English", "zh": "中文", "ru": "Русский", "es": "Español", "de": "Deutsch",
	"fr": "Français", "ar": "العربية", "hi": "हिन्दी", "pt": "Português", "ja": "日本語",
}

// spoken has them as every page shows them.
var spoken = func() (list []page.Voice) {
	for _, tag := range captcha.Languages() {
		list = append(list, page.Voice{Tag: tag, Name: voiceNames[tag]})
	}
	return list
}()

// offerOthers adds the other ways to prove oneself to the page at an address: a
// sound, also without JavaScript, and with it a puzzle.
func (g *Gate) offerOthers(view *page.View, voice, address string) {
	orText(&view.RefreshURL, address)
	view.WorkOffered, view.WorkSilent = g.offers(captcha.Work), *g.Captcha.Work > 0
	if !g.offers(captcha.Audio) {
		return
	}
	query := url.Values{"kind": {captcha.Audio.String()}}
	if view.ReturnTo != "" {
		query.Set("rd", view.ReturnTo)
	}
	view.ListenURL = address + "?" + query.Encode()
	view.Voices, view.VoiceTag = spoken, voice
}

// refreshURL is the link to the same page with a new picture, for browsers
// without JavaScript.
func (g *Gate) refreshURL(v *visitor, form signInForm, returnTo string) string {
	if form.refresh != "" && form.refresh == returnTo && !g.onlySuspicious() {
		return form.refresh
	}
	query := url.Values{}
	if g.onlySuspicious() {
		query.Set("kind", captcha.Image.String()) // the page alone might ask for none
	}
	if returnTo != "" {
		query.Set("rd", returnTo)
	}
	login := v.prefix + g.Login[0]
	if len(query) == 0 {
		return login
	}
	return login + "?" + query.Encode()
}
