package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// A store that is closed fails every call, as one whose disk is gone does.
func TestAFailingStoreClosesTheGateAndTouchesNoCookie(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t),
		State:      &StateConfig{Store: storeMemory},
		ProtectRaw: caddyhttp.RawMatcherSets{{"path": caddyconfig.JSON([]string{"/private/*"}, nil)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	page, _ := serve(t, g, request("GET", "/login", "Accept", "text/html"))
	picture := strings.Split(strings.SplitAfter(page.Body.String(), `src="/captcha-gate/challenge/`)[1], `"`)[0]
	_, cookies := signInAs(t, g, "anna", "anna-password")
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"protected, with a session": withCookies(request("GET", "/private/x"), cookies),
		"a navigation":              withCookies(request("GET", "/private/x", "Accept", "text/html"), cookies),
		"page without a session":    request("GET", "/private/x", "Accept", "text/html"),
		"sign-in page":              request("GET", "/login", "Accept", "text/html"),
		"sign-in page, signed in":   withCookies(request("GET", "/login", "Accept", "text/html"), cookies),
		"challenge":                 request("GET", "/captcha-gate/challenge"),
		"picture":                   request("GET", "/captcha-gate/challenge/"+picture),
		"session":                   withCookies(request("GET", "/captcha-gate/session"), cookies),
		"sign-out":                  withCookies(request("POST", "/logout"), cookies),
		"sign-out page":             withCookies(request("GET", "/logout", "Accept", "text/html"), cookies),
	} {
		t.Run(name, func(t *testing.T) {
			w, app := serve(t, g, r)
			if app != nil || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("%d, Retry-After %q, app reached: %v", w.Code, w.Header().Get("Retry-After"), app != nil)
			}
			if c := w.Header()["Set-Cookie"]; c != nil {
				t.Errorf("SES-11: %v", c)
			}
			if strings.Contains(w.Header().Get("Content-Type"), "json") {
				var f failure
				if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Code != codeStateUnavailable {
					t.Errorf("%s, %v", w.Body, err)
				}
			}
		})
	}
	t.Run("what is not protected goes on, without a name", func(t *testing.T) {
		_, app := serve(t, g, withCookies(request("GET", "/public", "Remote-User", "root"), cookies))
		if app == nil || app.Header.Get("Remote-User") != "" {
			t.Errorf("app: %v", app)
		}
	})
	t.Run("signing in", func(t *testing.T) {
		form := postRequest(typeForm, "username=anna&password=anna-password&captcha_token="+strings.TrimSuffix(picture, ".png")+"&captcha_answer=x")
		w, _ := serve(t, g, withCookies(form, page.Result().Cookies()))
		if w.Code != http.StatusServiceUnavailable || w.Header()["Set-Cookie"] != nil {
			t.Errorf("%d %v", w.Code, w.Header()["Set-Cookie"])
		}
	})
}

func TestEveryCodeHasATextInEveryLanguage(t *testing.T) {
	g := memoryGate(t, "anna")
	for c := range statuses {
		for _, lang := range g.site.Languages() {
			if c != codeInternal && g.site.Text(lang, string(c), 30) == g.site.Text(lang, string(codeInternal)) {
				t.Errorf("%s has no text in %s", c, lang)
			}
		}
	}
}

// watchedStore is a store that tells until when uses are remembered.
type watchedStore struct {
	state.Store
	spentUntil time.Time
}

func (s *watchedStore) Take(ctx context.Context, e state.Epoch, k state.Key, until time.Time) (bool, error) {
	s.spentUntil = until
	return s.Store.Take(ctx, e, k, until)
}

// A node whose clock is a minute behind would judge a challenge again that one
// whose clock is a minute ahead has forgotten.
func TestCAP1_ASpentChallengeIsRememberedForAsLongAsClocksDiffer(t *testing.T) {
	g := memoryGate(t, "anna")
	watched := &watchedStore{Store: g.store}
	g.store = watched
	claims, token, cookies, _ := openPage(t, g, "/login")
	status, _ := postJSON(t, g, map[string]string{
		"username": "anna", "password": "wrong", "captcha_token": token, "captcha_answer": claims.Answer,
	}, cookies)
	if status != http.StatusUnauthorized {
		t.Fatalf("judged: %d", status)
	}
	if left := watched.spentUntil.Sub(claims.ExpiresAt); left < 2*time.Minute {
		t.Errorf("forgotten %v after the challenge ends", left)
	}
}

// A request may be under way when a reload cleans its gate up.
func TestRequestsThatAReloadOvertakesAreNotToldThatTheStoreIsAway(t *testing.T) {
	g, _ := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelSMS}})
	if c := g.fault(request("POST", "/login"), fmt.Errorf("posting: %w", outbox.ErrClosed)); c != codeBusy {
		t.Error(c)
	}
	v := newGuest(t, g, "192.0.2.1")
	fields := v.captchaOn("/login", map[string]string{"username": "anna", "password": "anna-password"})
	g.outbox.Close()
	v.want(v.to("/login", fields), codeBusy)
}
