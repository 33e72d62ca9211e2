package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// The forms that challenges are good for; no other form accepts one (CAP-6).
const (
	purposeLogin          = "login"
	purposeSignUp         = "sign_up"
	purposeChangePassword = "change_password"
)

// serves reports whether the gate has such a form.
func (g *Gate) serves(purpose string) bool {
	switch purpose {
	case purposeLogin:
		return true
	case purposeSignUp:
		return g.Accounts.SignUp
	case purposeChangePassword:
		return g.changesPasswords()
	}
	return false
}

// challengeJSON is a challenge as scripts get it: a picture has an ImageURL, a
// sound an AudioURL, and either may have Work, which alone is a challenge too.
type challengeJSON struct {
	Token     string          `json:"token"`
	Kind      string          `json:"kind"`
	ImageURL  *string         `json:"image_url"`
	AudioURL  *string         `json:"audio_url"`
	Work      *captcha.Puzzle `json:"work"`
	ExpiresAt string          `json:"expires_at"`
}

// scope is what a challenge is sealed to, and what it is checked against.
func (g *Gate) scope(ctx context.Context, r *http.Request, browser [16]byte, purpose string) (captcha.Scope, error) {
	epoch, err := g.store.Epoch(ctx)
	if err != nil {
		return captcha.Scope{}, err
	}
	return captcha.Scope{
		Purpose: purpose,
		Epoch:   epoch,
		Binding: captcha.Binding{Browser: browser, Network: g.network(r)},
	}, nil
}

// wish is which challenge a visitor wants, and for which form.
type wish struct {
	kind    captcha.Kind
	purpose string
	// named says that the visitor asked for it, and gets one whether or not one
	// is needed yet.
	named bool
	voice string // of a sound
	// script says that a script will handle it, which can solve puzzles.
	script bool
}

// offers reports whether the configuration has such challenges.
func (g *Gate) offers(kind captcha.Kind) bool {
	switch kind {
	case captcha.Audio:
		return *g.Captcha.Audio
	case captcha.Work:
		return *g.Captcha.WorkAlone > 0
	}
	return kind == captcha.Image
}

// spec is what to make of a wish. What meets no script carries no puzzle and is
// hard instead, where a puzzle is asked for.
func (g *Gate) spec(wanted wish, failures int) captcha.Spec {
	level, work := g.price(failures)
	spec := captcha.Spec{Kind: wanted.kind, Level: level}
	if !g.offers(wanted.kind) || wanted.kind == captcha.Work && !wanted.script {
		spec.Kind = captcha.Image
	}
	switch {
	case spec.Kind == captcha.Work:
		spec.Work = time.Duration(*g.Captcha.WorkAlone)
	case work > 0 && wanted.script:
		spec.Work = work
	case work > 0:
		spec.Level = captcha.Hard
	}
	if spec.Kind == captcha.Audio {
		spec.Language = wanted.voice
	}
	return spec
}

var errForeign = errors.New("challenge for another site")

// newChallenge makes a challenge for a browser, within what it or its network
// may have drawn (CAP-9). Nothing of it is stored. Other sites get none: the pictures
// in a page of theirs would use up what a whole network may draw.
func (g *Gate) newChallenge(r *http.Request, b browser, wanted wish, failures int) (captcha.Challenge, error) {
	ctx := detached(r)
	if isForeign(r) {
		return captcha.Challenge{}, errForeign
	}
	drawer := drawer(r, b)
	if err := g.throttle.Draw(ctx, drawer); err != nil {
		return captcha.Challenge{}, err
	}
	spec := g.spec(wanted, failures)
	if spec.Kind == captcha.Work {
		if err := g.throttle.DrawWork(ctx, drawer); err != nil {
			return captcha.Challenge{}, err
		}
	}
	scope, err := g.scope(ctx, r, b.id, wanted.purpose)
	if err != nil {
		return captcha.Challenge{}, err
	}
	challenge, err := g.captchas.Issue(spec, scope)
	if err == nil {
		measured.issued.WithLabelValues(challenge.Kind.String()).Inc()
	}
	return challenge, err
}

// challengeOn puts a new challenge on a page other than the sign-in page. A
// navigation without the browser cookie gets one.
func (g *Gate) challengeOn(w http.ResponseWriter, r *http.Request, v *visitor, view *page.View, wanted wish) error {
	known := g.knownBrowsers(v)
	if len(known) == 0 {
		known = []browser{newBrowser()}
		if !isScript(r) && g.sameOrigin(r, v) {
			if err := g.rememberBrowser(w, v, known[0], 0); err != nil {
				return err
			}
		}
	}
	failures, err := g.failures(r, known, "")
	if err != nil {
		return err
	}
	challenge, err := g.newChallenge(r, known[0], wanted, failures)
	if err != nil {
		return err
	}
	view.Captcha = g.challengeView(v, challenge)
	return nil
}

// nextChallenge is a challenge for the next try of a script, like the one that was
// answered; nil where there can be none, and the script asks for one.
func (g *Gate) nextChallenge(r *http.Request, v *visitor, answered captchaResponse) *challengeJSON {
	known := g.knownBrowsers(v)
	if len(known) == 0 {
		return nil
	}
	failures, err := g.failures(r, known, "")
	if err != nil {
		return nil
	}
	challenge, err := g.newChallenge(r, known[0], g.again(r, v, answered, true), failures)
	if err != nil {
		return nil
	}
	return g.challengeJSON(v, challenge)
}

// again is the wish for another challenge like the one answered, after the answer
// was wrong or too late to be judged.
func (g *Gate) again(r *http.Request, v *visitor, c captchaResponse, script bool) wish {
	wanted := wish{kind: captcha.Image, purpose: c.purpose, voice: g.voice(r, v), script: script}
	if claims, err := g.captchas.Unpack(c.token); err == nil {
		wanted.kind = claims.Kind
		if claims.Kind == captcha.Audio {
			wanted.voice = claims.Language
		}
	}
	return wanted
}

// voices finds the language that a sound is spoken in.
var voices = func() language.Matcher {
	var tags []language.Tag
	for _, name := range captcha.Languages() {
		tags = append(tags, language.MustParse(name))
	}
	return language.NewMatcher(tags)
}()

// voice is the language chosen for the sound, else that chosen for the pages,
// else that of the browser.
func (g *Gate) voice(r *http.Request, v *visitor) string {
	if chosen := original(r).Query().Get("voice"); slices.Contains(captcha.Languages(), chosen) {
		return chosen
	}
	if v.chosen != "" {
		if _, i, confidence := voices.Match(language.Make(string(v.chosen))); confidence != language.No {
			return captcha.Languages()[i]
		}
	}
	accepted := r.Header.Get("Accept-Language")
	if len(accepted) > maxAcceptLanguage {
		accepted = ""
	}
	wanted, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil {
		return captcha.Languages()[0]
	}
	_, i, confidence := voices.Match(wanted...)
	if confidence == language.No {
		i = 0
	}
	return captcha.Languages()[i]
}

// maxAcceptLanguage bounds, in bytes, what is parsed of a header.
const maxAcceptLanguage = 256

// rendered are the files that a challenge is shown or played from.
var rendered = map[captcha.Kind]struct{ suffix, contentType string }{
	captcha.Image: {".png", "image/png"},
	captcha.Audio: {".wav", "audio/wav"},
}

// mediaURL is the address of a challenge's picture or sound, nil if it is of
// another kind.
func (g *Gate) mediaURL(v *visitor, c captcha.Challenge, kind captcha.Kind) *string {
	if c.Kind != kind {
		return nil
	}
	address := v.prefix + g.BasePath + "/challenge/" + c.Token + rendered[kind].suffix
	return &address
}

func (g *Gate) challengeJSON(v *visitor, c captcha.Challenge) *challengeJSON {
	return &challengeJSON{
		Token: c.Token, Kind: c.Kind.String(), ExpiresAt: timestamp(c.ExpiresAt), Work: c.Puzzle,
		ImageURL: g.mediaURL(v, c, captcha.Image), AudioURL: g.mediaURL(v, c, captcha.Audio),
	}
}

func (g *Gate) challengeView(v *visitor, c captcha.Challenge) *page.Captcha {
	shown := &page.Captcha{
		Token: c.Token, Width: g.Captcha.Width, Height: g.Captcha.Height, ExpiresAt: c.ExpiresAt,
	}
	if address := g.mediaURL(v, c, captcha.Image); address != nil {
		shown.ImageURL = *address
	}
	if address := g.mediaURL(v, c, captcha.Audio); address != nil {
		shown.AudioURL = *address
	}
	return shown
}

// serveChallenge makes a new challenge for a script. It sets no cookie: a
// browser without the gate's one gets a challenge that no form will accept, and
// the form then says why (cookies_required).
func (g *Gate) serveChallenge(w http.ResponseWriter, r *http.Request, v *visitor) {
	query := original(r).Query()
	kind, err := captcha.Image, error(nil)
	if name := query.Get("kind"); name != "" {
		kind, err = captcha.ParseKind(name)
	}
	purpose := query.Get("for")
	orText(&purpose, purposeLogin)
	if err != nil || !g.offers(kind) || !g.serves(purpose) {
		g.failJSON(w, v, refusal{code: codeNotFound})
		return
	}
	known := g.knownBrowsers(v)
	failures, err := g.failures(r, known, "")
	failures = max(failures, g.worth(query.Get("token"))) // the name may have more than the network
	var challenge captcha.Challenge
	if err == nil {
		known = append(known, browser{}) // one that no form accepts, where there is no other
		challenge, err = g.newChallenge(r, known[0], wish{kind: kind, purpose: purpose, voice: g.voice(r, v), script: true}, failures)
	}
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(r, err), wait: retryAfter(err)})
		return
	}
	writeJSON(w, http.StatusOK, g.challengeJSON(v, challenge))
}

// serveMedia draws or speaks a challenge. The same token gets the same bytes each
// time, and looking at it never uses it up (CAP-8).
func (g *Gate) serveMedia(w http.ResponseWriter, r *http.Request, v *visitor, name string) {
	gone := refusal{code: codeCaptchaExpired, status: http.StatusNotFound}
	suffix := path.Ext(name)
	claims, err := g.captchas.Unpack(strings.TrimSuffix(name, suffix))
	file, known := rendered[claims.Kind]
	switch {
	case suffix != rendered[captcha.Image].suffix && suffix != rendered[captcha.Audio].suffix:
		g.fail(w, r, v, refusal{code: codeNotFound})
		return
	case err != nil || !known || suffix != file.suffix:
		g.failJSON(w, v, gone)
		return
	}
	epoch, err := g.store.Epoch(detached(r))
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(r, err)})
		return
	}
	if claims.Epoch != epoch {
		g.failJSON(w, v, gone)
		return
	}
	body, err := g.captchas.Render(claims)
	if err != nil {
		g.failJSON(w, v, gone)
		return
	}
	harden(w)
	w.Header().Set("Content-Type", file.contentType)
	serveBytes(w, r, body)
}

// firstRange is a request for part of a file, as players make it.
var firstRange = regexp.MustCompile(`^bytes=(\d{1,9})-(\d{0,9})$`)

// serveBytes answers with a file or the part of it that was asked for. A range
// that it has not is ignored (RFC 9110, 14.2): net/http's answer to such ones
// loses the headers set before (WEB-1).
func serveBytes(w http.ResponseWriter, r *http.Request, body []byte) {
	if match := firstRange.FindStringSubmatch(r.Header.Get("Range")); match == nil {
		r.Header.Del("Range")
	} else {
		first, _ := strconv.Atoi(match[1]) // nine digits fit
		last, err := strconv.Atoi(match[2])
		if first >= len(body) || err == nil && last < first {
			r.Header.Del("Range")
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
