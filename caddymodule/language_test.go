package caddymodule

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// chosenFrom asks for a language and returns where that leads to and the cookie.
func chosenFrom(t *testing.T, g *Gate, query string, header ...string) (string, *http.Cookie) {
	t.Helper()
	w, app := serve(t, g, request("GET", "/captcha-gate/language?"+query, append(header, "Accept", "text/html")...))
	if app != nil {
		t.Errorf("%s: the app saw it", query)
	}
	var set *http.Cookie
	for _, c := range w.Result().Cookies() {
		set = c
	}
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%s: %d", query, w.Code)
	}
	return w.Header().Get("Location"), set
}

func TestChoosingALanguageLeadsBackToThePageAndNowhereElse(t *testing.T) {
	g, _ := stepGate(t, `{}`, signUpByEmail())
	for query, want := range map[string]string{
		"lang=de":                                     "/login",
		"lang=de&rd=%2Fsome%2Fpage%3Fx%3D1":           "/login?rd=%2Fsome%2Fpage%3Fx%3D1",
		"lang=de&rd=%2Fa%3Flang%3Dfr":                 "/login?rd=%2Fa%3Flang%3Dfr",
		"lang=de&from=sign-up&rd=%2Fa":                "/captcha-gate/sign-up?rd=%2Fa",
		"lang=de&from=second-step&rd=%2Fa":            "/captcha-gate/second-step?rd=%2Fa",
		"lang=de&from=account&rd=%2Fa":                "/captcha-gate/account",
		"lang=de&from=sign-out&rd=%2Fa":               "/logout",
		"lang=de&from=nonsense&rd=%2Fa":               "/login?rd=%2Fa",
		"lang=de&from=https://evil.example":           "/login",
		"lang=de&from=%2F%2Fevil.example":             "/login",
		"lang=de&rd=https://evil.example/":            "/login",
		"lang=de&rd=%2F%2Fevil.example":               "/login",
		"lang=de&rd=%2F%5Cevil.example":               "/login",
		"lang=de&rd=%2Fcaptcha-gate%2Flanguage":       "/login",
		"lang=de&from=sign-up&rd=%2F%2Fevil.example/": "/captcha-gate/sign-up",
	} {
		to, cookie := chosenFrom(t, g, query)
		if to != want {
			t.Errorf("%s leads to %s, want %s", query, to, want)
		}
		if cookie == nil || cookie.Name != "captcha_gate_lang" || cookie.Value != "de" || cookie.MaxAge != 365*24*3600 ||
			cookie.Path != "/" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: cookie %+v", query, cookie)
		}
	}
}

func TestChoosingALanguageLeadsToNoPageThatTheGateHasNot(t *testing.T) {
	open, err := load(t, Gate{HumanOnly: true, Secret: []Secret{gateSecret}, Realm: "open", State: &StateConfig{Store: storeMemory}})
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*Gate{"users": memoryGate(t, "anna"), "human_only": open} {
		for _, from := range []string{"sign-up", "second-step", "account"} {
			want := "/login"
			if from == "account" && g.hasUsers() {
				want = "/captcha-gate/account"
			}
			if to, _ := chosenFrom(t, g, "lang=de&from="+from); to != want {
				t.Errorf("%s: from %s to %s, want %s", name, from, to, want)
			}
		}
	}
}

func TestTheChosenLanguageComesBeforeThatOfTheBrowser(t *testing.T) {
	g := memoryGate(t, "anna")
	for _, c := range []struct{ cookie, accept, want string }{
		{"", "fr", "fr"},
		{"captcha_gate_lang=de", "fr", "de"},
		{"captcha_gate_lang=de", "", "de"},
		{"captcha_gate_lang=de", "xx;;;", "de"},
		{"captcha_gate_lang=zh-Hant", "zh-CN", "zh-Hant"},
		{"captcha_gate_lang=tlh", "fr", "fr"},
		{"captcha_gate_lang=DE", "fr", "fr"},
		{"captcha_gate_lang=", "fr", "fr"},
		{`captcha_gate_lang="><script>`, "fr", "fr"},
		{"captcha_gate_lang=tlh; captcha_gate_lang=de", "fr", "de"}, // a neighbouring host's does not shadow it
		{"__Host-captcha_gate_lang=de", "fr", "fr"},                 // of another kind of connection
	} {
		for _, address := range []string{"/login", "/some/page?lang=es"} {
			w, app := serve(t, g, request("GET", address, "Accept", "text/html", "Accept-Language", c.accept, "Cookie", c.cookie))
			if app != nil || !strings.Contains(w.Body.String(), `<html lang="`+c.want+`"`) {
				t.Errorf("%s with %q, accepting %q: not in %s", address, c.cookie, c.accept, c.want)
			}
		}
		w, _ := serve(t, g, request("GET", "/some/data", "Accept", "application/json", "Accept-Language", c.accept, "Cookie", c.cookie))
		if !strings.Contains(w.Body.String(), g.site.Text(g.site.Language(c.want), "unauthenticated")) {
			t.Errorf("JSON with %q, accepting %q: %s", c.cookie, c.accept, w.Body)
		}
	}
}

func TestSES12_TheUpstreamDoesNotSeeTheLanguageCookie(t *testing.T) {
	g := memoryGate(t, "anna")
	_, cookies := signInAs(t, g, "anna", "anna-password")
	r := withCookies(request("GET", "/some/page?lang=es", "Cookie", "theme=dark; captcha_gate_lang=de; lang=fr"), cookies)
	_, app := serve(t, g, r)
	if app == nil {
		t.Fatal("the app was not reached")
	}
	if got := app.Header["Cookie"]; !slices.Equal(got, []string{"theme=dark; lang=fr"}) {
		t.Errorf("the app sees %q", got)
	}
	if app.URL.RawQuery != "lang=es" {
		t.Errorf("the app's own query became %q", app.URL.RawQuery)
	}
}

func TestThePageShownInPlaceKeepsItsTargetWhileALanguageIsChosen(t *testing.T) {
	g := memoryGate(t, "anna")
	w, _ := serve(t, g, request("GET", "/some/page?x=1", "Accept", "text/html"))
	if link := `href="/captcha-gate/language?rd=%2Fsome%2Fpage%3Fx%3D1"`; w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), link) {
		t.Fatalf("%d without %s", w.Code, link)
	}
	w, _ = serve(t, g, request("GET", "/captcha-gate/language?rd=%2Fsome%2Fpage%3Fx%3D1", "Accept", "text/html"))
	for _, link := range []string{
		`href="/captcha-gate/language?lang=de&amp;rd=%2Fsome%2Fpage%3Fx%3D1" lang="de"`, `href="/login?rd=%2Fsome%2Fpage%3Fx%3D1"`,
	} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), link) {
			t.Errorf("%d without %s", w.Code, link)
		}
	}
	if cookies := w.Result().Cookies(); len(cookies) != 0 {
		t.Errorf("looking sets %v", cookies)
	}
}

func TestALanguageThatIsNotOfferedChoosesNothing(t *testing.T) {
	g := memoryGate(t, "anna")
	for _, lang := range []string{"tlh", "DE", "", "de,fr", "de%0d%0aX:y", "%22%3E%3Cx"} {
		w, _ := serve(t, g, request("GET", "/captcha-gate/language?lang="+lang, "Accept", "text/html"))
		if w.Code != http.StatusOK || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Body.String(), "<h1>Language</h1>") {
			t.Errorf("%q: %d %v", lang, w.Code, w.Result().Cookies())
		}
	}
	if w, _ := serve(t, g, request("POST", "/captcha-gate/language?lang=de")); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestWithOneLanguageThereIsNoPicker(t *testing.T) {
	g, err := load(t, Gate{
		Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t),
		State: &StateConfig{Store: storeMemory}, Page: &PageConfig{Languages: []string{"de"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w, _ := serve(t, g, request("GET", "/login", "Accept", "text/html", "Accept-Language", "fr", "Cookie", "captcha_gate_lang=fr"))
	if body := w.Body.String(); !strings.Contains(body, `<html lang="de"`) || strings.Contains(body, "/language") {
		t.Errorf("a picker, or not in German:\n%s", body)
	}
	if w, _ := serve(t, g, request("GET", "/captcha-gate/language?lang=de", "Accept", "text/html")); w.Code != http.StatusNotFound {
		t.Errorf("the page of languages: %d", w.Code)
	}
}

func TestASoundFollowsTheLanguageOfThePages(t *testing.T) {
	g := captchaGate(t, CaptchaConfig{})
	for _, c := range []struct{ cookie, accept, voice, want string }{
		{"de", "fr", "", "de"}, {"zh-Hant", "en", "", "zh"}, {"de", "fr", "hi", "hi"}, {"tlh", "fr", "", "fr"}, {"de", "xx;;;", "", "de"},
	} {
		got, _ := askFor(t, g, "kind=audio&voice="+c.voice, nil, "Accept-Language", c.accept, "Cookie", "captcha_gate_lang="+c.cookie)
		claims, err := g.captchas.Unpack(got.Token)
		if err != nil {
			t.Fatal(err)
		}
		if claims.Language != c.want {
			t.Errorf("%+v: spoken in %s", c, claims.Language)
		}
	}
}
