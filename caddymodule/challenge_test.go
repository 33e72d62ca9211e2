package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// captchaGate is a gate with a captcha block.
func captchaGate(t testing.TB, c CaptchaConfig) *Gate {
	t.Helper()
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t),
		State: &StateConfig{Store: storeMemory}, Captcha: &c,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// openPage navigates to a page and returns its cookies and the challenge in it.
func openPage(t testing.TB, g *Gate, address string) (captcha.Claims, string, []*http.Cookie, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.Header.Set("Accept", "text/html")
	w, _ := serve(t, g, r)
	match := tokenField.FindStringSubmatch(w.Body.String())
	if match == nil {
		t.Fatalf("%s: %d without a challenge", address, w.Code)
	}
	claims, err := g.captchas.Unpack(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return claims, match[1], w.Result().Cookies(), w.Body.String()
}

// askFor asks for a challenge as a script does.
func askFor(t testing.TB, g *Gate, query string, cookies []*http.Cookie, header ...string) (*challengeJSON, int) {
	t.Helper()
	r := withCookies(httptest.NewRequest(http.MethodGet, "/captcha-gate/challenge?"+query, nil), cookies)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, _ := serve(t, g, r)
	if w.Code != http.StatusOK {
		return nil, w.Code
	}
	var c challengeJSON
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	return &c, w.Code
}

func postJSON(t testing.TB, g *Gate, fields map[string]string, cookies []*http.Cookie) (int, failure) {
	t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	r := withCookies(httptest.NewRequest(http.MethodPost, "/login", bytes.NewReader(body)), cookies)
	r.Header.Set("Content-Type", "application/json")
	w, _ := serve(t, g, r)
	var f failure
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return w.Code, f
}

func TestAChallengeOfEachKindHasWhatItNeeds(t *testing.T) {
	quick := caddy.Duration(captcha.MinWork)
	g := captchaGate(t, CaptchaConfig{WorkAlone: &quick})
	for kind, c := range map[string]struct{ image, audio, work bool }{
		"": {image: true}, "image": {image: true}, "audio": {audio: true}, "work": {work: true},
	} {
		got, status := askFor(t, g, "for=login&kind="+kind, nil)
		if status != http.StatusOK || (got.ImageURL != nil) != c.image || (got.AudioURL != nil) != c.audio || (got.Work != nil) != c.work {
			t.Errorf("%q: %d, %+v", kind, status, got)
		}
		if kind != "" && got.Kind != kind {
			t.Errorf("%q is a challenge of kind %s", kind, got.Kind)
		}
	}
	for _, query := range []string{"kind=video", "kind=Image", "kind=0", "for=sign_up", "kind=work&for=change"} {
		if got, status := askFor(t, g, query, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d, %+v", query, status, got)
		}
	}
}

func TestWhatIsSwitchedOffIsNotOffered(t *testing.T) {
	off, none := false, caddy.Duration(0)
	g := captchaGate(t, CaptchaConfig{Audio: &off, WorkAlone: &none})
	for _, kind := range []string{"audio", "work"} {
		if got, status := askFor(t, g, "kind="+kind, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d, %+v", kind, status, got)
		}
	}
	claims, _, _, body := openPage(t, g, "/login?kind=audio")
	if claims.Kind != captcha.Image {
		t.Errorf("the page shows a challenge of kind %v", claims.Kind)
	}
	for _, word := range []string{"<audio", `id="neither"`, "data-worker"} {
		if strings.Contains(body, word) {
			t.Errorf("the page has %s", word)
		}
	}
}

func TestASoundIsSpokenInTheVisitorsLanguage(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	for _, c := range []struct{ accept, chosen, want string }{
		{"", "", "en"}, {"de-AT, en;q=0.5", "", "de"}, {"zh-TW", "", "zh"}, {"pt-BR,pt;q=0.9", "", "pt"},
		{"tlh", "", "en"}, {"xx;;;", "", "en"}, {strings.Repeat("de,", 200), "", "en"},
		{"de", "fr", "fr"}, {"de", "tlh", "de"}, {"", "hi", "hi"},
	} {
		got, _ := askFor(t, g, "kind=audio&voice="+c.chosen, nil, "Accept-Language", c.accept)
		claims, err := g.captchas.Unpack(got.Token)
		if err != nil {
			t.Fatal(err)
		}
		if claims.Language != c.want {
			t.Errorf("accepts %.20q, chose %q: spoken in %s; want %s", c.accept, c.chosen, claims.Language, c.want)
		}
	}
	for _, name := range captcha.Languages() {
		if voiceNames[name] == "" {
			t.Errorf("%s has no name", name)
		}
	}
}

// Without JavaScript, who listens goes on listening after a wrong answer, and
// keeps the language.
func TestTheFormKeepsTheKindOfChallenge(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	_, token, cookies, _ := openPage(t, g, "/login?kind=audio&voice=fr&rd=%2Fwiki")
	r := withCookies(httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(
		"username=anna&password=x&rd=%2Fwiki&captcha_answer=1&captcha_token="+token)), cookies)
	r.Header.Set("Content-Type", typeForm)
	r.Header.Set("Accept", "text/html")
	w, _ := serve(t, g, r)
	match := tokenField.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusForbidden || match == nil {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	claims, err := g.captchas.Unpack(match[1])
	if err != nil || claims.Kind != captcha.Audio || claims.Language != "fr" {
		t.Errorf("%v in %q, error %v", claims, claims.Language, err)
	}
}

func TestWithSilentWorkOnlyScriptsGetThePuzzle(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{Work: beside(captcha.MinWork), Level: "easy"})
	inPage, token, cookies, body := openPage(t, g, "/login")
	if inPage.Level != captcha.Hard || !strings.Contains(body, "data-silent") {
		t.Errorf("the page has a challenge of level %v", inPage.Level)
	}
	fields := map[string]string{
		"username": "anna", "password": "anna-password", "captcha_token": token, "captcha_answer": inPage.Answer,
	}
	if status, f := postJSON(t, g, fields, cookies); status != http.StatusOK {
		t.Errorf("the page's own challenge: %d %s", status, f.Code)
	}

	swapped, _ := askFor(t, g, "kind=image", cookies)
	claims, err := g.captchas.Unpack(swapped.Token)
	if err != nil || swapped.Work == nil || claims.Level != captcha.Easy {
		t.Fatalf("%+v, level %v, error %v", swapped, claims.Level, err)
	}
	fields["captcha_token"], fields["captcha_answer"] = swapped.Token, claims.Answer
	if status, f := postJSON(t, g, fields, cookies); status != http.StatusForbidden || f.Code != codeCaptchaRequired {
		t.Errorf("without the puzzle: %d %s", status, f.Code)
	}
	solution, err := swapped.Work.Solve()
	if err != nil {
		t.Fatal(err)
	}
	fields["captcha_work"] = solution
	if status, f := postJSON(t, g, fields, cookies); status != http.StatusOK {
		t.Errorf("with the puzzle, which was not spent: %d %s", status, f.Code)
	}
}

func TestAPuzzleAloneSignsIn(t *testing.T) {
	quick := caddy.Duration(captcha.MinWork)
	g := captchaGate(t, CaptchaConfig{WorkAlone: &quick})
	_, _, cookies, _ := openPage(t, g, "/login")
	challenge, _ := askFor(t, g, "kind=work", cookies)
	solution, err := challenge.Work.Solve()
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{"username": "anna", "password": "wrong", "captcha_token": challenge.Token, "captcha_work": solution}
	status, f := postJSON(t, g, fields, cookies)
	if status != http.StatusUnauthorized || f.Captcha == nil || f.Captcha.Kind != "work" {
		t.Fatalf("a wrong password: %d %s, next challenge %+v", status, f.Code, f.Captcha)
	}
	fields["password"] = "anna-password"
	if status, f := postJSON(t, g, fields, cookies); status != http.StatusForbidden || f.Code != codeCaptchaExpired {
		t.Errorf("CAP-1 the same puzzle again: %d %s", status, f.Code)
	}
	if fields["captcha_work"], err = f.Captcha.Work.Solve(); err != nil {
		t.Fatal(err)
	}
	fields["captcha_token"] = f.Captcha.Token
	if status, f := postJSON(t, g, fields, cookies); status != http.StatusOK {
		t.Errorf("%d %s", status, f.Code)
	}
}

// A program solves puzzles as well as anybody, so a network gets few of them.
func TestCAP9_PuzzlesAloneAreFew(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	granted := 0
	for range 20 {
		if _, status := askFor(t, g, "kind=work", nil); status == http.StatusOK {
			granted++
		} else if status != http.StatusTooManyRequests {
			t.Errorf("status %d", status)
		}
	}
	if granted != 6 {
		t.Errorf("%d puzzles granted; want 6", granted)
	}
	if _, status := askFor(t, g, "kind=image", nil); status != http.StatusOK {
		t.Errorf("a picture afterwards: %d", status)
	}
}

func TestSoundsAreServedWholeAndInParts(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	challenge, _ := askFor(t, g, "kind=audio", nil)
	get := func(address, wanted string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, address, nil)
		if wanted != "" {
			r.Header.Set("Range", wanted)
		}
		w, _ := serve(t, g, r)
		return w
	}
	whole := get(*challenge.AudioURL, "")
	sound := whole.Body.Bytes()
	if whole.Code != http.StatusOK || whole.Header().Get("Content-Type") != "audio/wav" || string(sound[:4]) != "RIFF" {
		t.Fatalf("%d %v", whole.Code, whole.Header())
	}
	for wanted, c := range map[string]struct {
		status int
		body   []byte
	}{
		"bytes=0-":         {http.StatusPartialContent, sound},
		"bytes=0-1":        {http.StatusPartialContent, sound[:2]},
		"bytes=100-":       {http.StatusPartialContent, sound[100:]},
		"bytes=999999999-": {http.StatusOK, sound},
		"bytes=9-3":        {http.StatusOK, sound},
		"bytes=-5":         {http.StatusOK, sound},
		"lines=1-2":        {http.StatusOK, sound},
	} {
		w := get(*challenge.AudioURL, wanted)
		if w.Code != c.status || !bytes.Equal(w.Body.Bytes(), c.body) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %d bytes, %q", wanted, w.Code, w.Body.Len(), w.Header().Get("Cache-Control"))
		}
	}
	// CAP-11: a sound has no picture, a picture no sound.
	picture, _ := askFor(t, g, "kind=image", nil)
	work, _ := askFor(t, g, "kind=work", nil)
	for _, address := range []string{
		strings.Replace(*challenge.AudioURL, ".wav", ".png", 1), strings.Replace(*picture.ImageURL, ".png", ".wav", 1),
		"/captcha-gate/challenge/" + work.Token + ".png", "/captcha-gate/challenge/" + work.Token + ".wav",
	} {
		if w := get(address, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "captcha_expired") {
			t.Errorf("%s: %d %s", address[len(address)-4:], w.Code, w.Body)
		}
	}
	if w := get(strings.Replace(*picture.ImageURL, ".png", ".gif", 1), ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "not_found") {
		t.Errorf("another kind of file: %d %s", w.Code, w.Body)
	}
	g.store = state.NewMemory(state.Options{}) // which knows nothing of what was spent
	t.Cleanup(func() { _ = g.store.Close() })
	if w := get(*picture.ImageURL, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "captcha_expired") {
		t.Errorf("a picture from before the state was lost: %d %s", w.Code, w.Body)
	}
}

// CSR-2: what another site sends must not replace the visitor's browser cookie.
func TestCrossSitePostsSetNoCookie(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	for name, c := range map[string]struct{ kind, body string }{
		"text": {"text/plain", "a=b"}, "malformed": {typeForm, "a=1&a=2"}, "well-formed": {typeForm, "a=b"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if w, _ := serve(t, g, r); len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d sets %v", name, w.Code, w.Result().Cookies())
		}
	}
}

// CAP-9: what other sites have a browser load draws nothing, or a page of theirs would
// use up what a whole network may draw.
func TestCAP9_OtherSitesDrawNothing(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	ask := func(path, site, mode, dest string) *httptest.ResponseRecorder {
		r := request("GET", path, "Accept", "text/html,image/png,*/*")
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w, _ := serve(t, g, r)
		return w
	}
	for range 30 {
		for _, path := range []string{"/captcha-gate/challenge", "/login", "/wiki"} {
			for _, c := range [][3]string{{"cross-site", "no-cors", "image"}, {"same-site", "cors", "empty"}, {"cross-site", "navigate", "iframe"}} {
				w := ask(path, c[0], c[1], c[2])
				if w.Code == http.StatusOK || tokenField.MatchString(w.Body.String()) || len(w.Result().Cookies()) > 0 {
					t.Fatalf("%s for %v: %d, %v", path, c, w.Code, w.Result().Cookies())
				}
			}
		}
	}
	for _, c := range [][3]string{{"cross-site", "navigate", "document"}, {"cross-site", "navigate", ""}, {"same-origin", "cors", "empty"}, {"none", "navigate", "document"}, {"", "", ""}} {
		if w := ask("/login", c[0], c[1], c[2]); w.Code != http.StatusOK || !tokenField.MatchString(w.Body.String()) {
			t.Errorf("%v: %d", c, w.Code)
		}
	}
}
