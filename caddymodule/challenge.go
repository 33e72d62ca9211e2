package caddymodule

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// purposeLogin is the form that a challenge of the sign-in page is good for; no
// other form accepts it (CAP-6).
const purposeLogin = "login"

// challengeJSON is a challenge as scripts get it. AudioURL and Work are null in
// a challenge that is a picture.
type challengeJSON struct {
	Token     string  `json:"token"`
	Kind      string  `json:"kind"`
	ImageURL  string  `json:"image_url"`
	AudioURL  *string `json:"audio_url"`
	Work      *string `json:"work"`
	ExpiresAt string  `json:"expires_at"`
}

// scope is what a challenge is sealed to, and what it is checked against.
func (g *Gate) scope(ctx context.Context, r *http.Request, browser [16]byte) (captcha.Scope, error) {
	epoch, err := g.store.Epoch(ctx)
	if err != nil {
		return captcha.Scope{}, err
	}
	return captcha.Scope{
		Purpose: purposeLogin,
		Epoch:   epoch,
		Binding: captcha.Binding{Browser: browser, Network: g.network(r)},
	}, nil
}

// newChallenge makes a challenge for a browser, within what its network may
// have drawn (CAP-9). Nothing of it is stored.
func (g *Gate) newChallenge(r *http.Request, browser [16]byte) (captcha.Challenge, error) {
	ctx := detached(r)
	if err := g.throttle.Draw(ctx, clientAddr(r)); err != nil {
		return captcha.Challenge{}, err
	}
	scope, err := g.scope(ctx, r, browser)
	if err != nil {
		return captcha.Challenge{}, err
	}
	return g.captchas.Issue(captcha.Image, scope)
}

func (g *Gate) imageURL(v *visitor, c captcha.Challenge) string {
	return v.prefix + g.BasePath + "/challenge/" + c.Token + ".png"
}

func (g *Gate) challengeJSON(v *visitor, c captcha.Challenge) *challengeJSON {
	return &challengeJSON{
		Token: c.Token, Kind: c.Kind.String(), ImageURL: g.imageURL(v, c), ExpiresAt: timestamp(c.ExpiresAt),
	}
}

func (g *Gate) challengeView(v *visitor, c captcha.Challenge) *page.Captcha {
	return &page.Captcha{
		Token: c.Token, ImageURL: g.imageURL(v, c),
		Width: g.Captcha.Width, Height: g.Captcha.Height, ExpiresAt: c.ExpiresAt,
	}
}

// serveChallenge makes a new challenge for a script. It sets no cookie: a
// browser without the gate's one gets a challenge that no form will accept, and
// the form then says why (cookies_required).
func (g *Gate) serveChallenge(w http.ResponseWriter, r *http.Request, v *visitor) {
	query := original(r).Query()
	kind, purpose := query.Get("kind"), query.Get("for")
	if kind != "" && kind != captcha.Image.String() || purpose != "" && purpose != purposeLogin {
		g.failJSON(w, v, refusal{code: codeNotFound})
		return
	}
	var browser [16]byte
	if known := g.knownBrowsers(v); len(known) > 0 {
		browser = known[0]
	}
	challenge, err := g.newChallenge(r, browser)
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(err), wait: retryAfter(err)})
		return
	}
	writeJSON(w, http.StatusOK, g.challengeJSON(v, challenge))
}

// servePicture draws a challenge. The same token gets the same bytes each time,
// and looking at it never uses it up (CAP-8).
func (g *Gate) servePicture(w http.ResponseWriter, r *http.Request, v *visitor, name string) {
	gone := refusal{code: codeCaptchaExpired, status: http.StatusNotFound}
	token, ok := strings.CutSuffix(name, ".png")
	if !ok {
		g.fail(w, r, v, refusal{code: codeNotFound})
		return
	}
	claims, err := g.captchas.Unpack(token)
	if err != nil || claims.Kind != captcha.Image {
		g.failJSON(w, v, gone)
		return
	}
	epoch, err := g.store.Epoch(detached(r))
	if err != nil {
		g.failJSON(w, v, refusal{code: g.fault(err)})
		return
	}
	if claims.Epoch != epoch {
		g.failJSON(w, v, gone)
		return
	}
	picture, err := g.captchas.Render(claims)
	if err != nil {
		g.failJSON(w, v, gone)
		return
	}
	harden(w)
	w.Header().Set("Content-Type", "image/png")
	serveBytes(w, r, picture)
}

func serveBytes(w http.ResponseWriter, r *http.Request, body []byte) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
