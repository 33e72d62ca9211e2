package page

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// views is one view for each state of each page.
func views() map[string][]View {
	var signIn []View
	for _, code := range append([]string{""}, codes...) {
		for _, humanOnly := range []bool{false, true} {
			v := signInView()
			v.Code, v.HumanOnly = code, humanOnly
			signIn = append(signIn, v, with(func(v *View) {
				v.Code, v.HumanOnly, v.Captcha, v.RetryAfter = code, humanOnly, nil, 5
			}), with(func(v *View) {
				v.Code, v.HumanOnly, v.ListenURL = code, humanOnly, "/login?kind=audio"
				v.Captcha = &Captcha{Token: "t", AudioURL: "/captcha-gate/challenge/t.wav", ExpiresAt: testNow}
			}))
		}
	}
	all := map[string][]View{"sign-in": signIn, "sign-out": {signInView(), accountView(), with(func(v *View) { v.SignedInAs = "alice" })}}
	for _, code := range append([]string{"signed_out"}, codes...) {
		all["message"] = append(all["message"], with(func(v *View) { v.Code, v.SignedInAs = code, "alice" }))
	}
	for _, name := range []string{"sign-up", "account", "second-step"} {
		all[name] = accountViews()
	}
	all["language"] = []View{signInView(), with(func(v *View) { v.From, v.BackURL = "sign-up", "/captcha-gate/sign-up" })}
	return all
}

// accountViews is one view for each state of sign-up, second step and account.
func accountViews() []View {
	var list []View
	add := func(change func(*View)) {
		v := accountView()
		change(&v)
		list = append(list, v)
	}
	for _, code := range append([]string{""}, codes...) {
		add(func(v *View) { v.Code, v.RetryAfter = code, 5 })
		add(func(v *View) {
			v.Code, v.RetryAfter, v.Captcha, v.EmailAsked, v.PasswordMin = code, 5, nil, false, 0
			v.Sessions, v.ChangeOffered = v.Sessions[:1], false
			v.Channel, v.ForSignUp, v.SecondsLeft, v.ResendIn, v.FormToken = "email", true, 0, 0, ""
		})
		add(func(v *View) {
			v.Code, v.EmailNeeded, v.WorkOffered, v.ListenURL, v.Voices = code, false, false, "", nil
			v.Errors = map[string]string{"username": "username_taken", "new_password": "password_too_common", "confirm_password": "passwords_differ"}
			v.Sessions, v.Since = []Session{{ID: "1"}, {ID: "2"}}, time.Time{}
		})
	}
	for _, code := range notices {
		add(func(v *View) { v.Notice = code })
	}
	return list
}

// everyPage calls f for every state of every page, and for a part of them in
// every other language.
func everyPage(t *testing.T, s *Site, f func(t *testing.T, page string, d document)) {
	for name, list := range views() {
		for i, lang := range tags() {
			for j, v := range list {
				if i > 0 && j%len(builtIn) != i && j > 0 {
					continue
				}
				v.Lang = Lang(lang)
				page := render(t, s, name, v)
				f(t, page, parse(t, page))
			}
		}
	}
}

func TestWEB3_PagesNeedNoInlineCodeAndNoOtherHost(t *testing.T) {
	s := newSite(t, Options{Title: "Wiki", Contact: "mailto:help@example.com"})
	addresses := []string{"src", "href", "action", "formaction", "data-challenge", "data-address"}
	everyPage(t, s, func(t *testing.T, _ string, d document) {
		for _, n := range d {
			if n.Data == "style" || n.Data == "base" || n.Data == "iframe" || n.Data == "object" {
				t.Fatalf("there is a <%s>", n.Data)
			}
			if src, ok := attr(n, "src"); n.Data == "script" && (!ok || src == "" || text(n) != "") {
				t.Fatalf("inline script %q", text(n))
			}
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Fatalf("<%s> has %s=%q", n.Data, a.Key, a.Val)
				}
				if slices.Contains(addresses, a.Key) && a.Val != "mailto:help@example.com" && local(a.Val) == "" {
					t.Fatalf("<%s> points to %s=%q", n.Data, a.Key, a.Val)
				}
			}
		}
	})
}

func TestPagesAreSoundForReaders(t *testing.T) {
	s := newSite(t, Options{Title: "Wiki"})
	everyPage(t, s, func(t *testing.T, page string, d document) {
		if n := strings.Count(page, "<h1>"); n != 1 {
			t.Fatalf("%d headings", n)
		}
		seen := map[string]bool{}
		for _, n := range d.all("id") {
			id, _ := attr(n, "id")
			if seen[id] {
				t.Fatalf("id %q twice", id)
			}
			seen[id] = true
		}
		for _, reference := range []string{"for", "aria-describedby", "aria-labelledby", "aria-controls"} {
			for _, n := range d.all(reference) {
				ids, _ := attr(n, reference)
				for _, id := range strings.Fields(ids) {
					if !seen[id] {
						t.Fatalf("%s points to %q, which is not there", reference, id)
					}
				}
			}
		}
		if n := len(d.all("autofocus")); n > 1 {
			t.Fatalf("%d elements want the focus", n)
		}
		for _, n := range d {
			if _, ok := attr(n, "alt"); n.Data == "img" && !ok {
				t.Fatal("picture without alt text")
			}
			kind, _ := attr(n, "type")
			_, hidden := attr(n, "hidden")
			if n.Data != "input" || hidden || kind == "hidden" || kind == "checkbox" { // whose label is around it
				continue
			}
			if id, _ := attr(n, "id"); d.find("for", id) == nil {
				t.Fatalf("field %s has no label", id)
			}
		}
	})
}

func TestSignInFitsInItsBudget(t *testing.T) {
	s := newSite(t, Options{Title: "The wiki of the department", Contact: "mailto:help@example.com"})
	css, _ := s.Asset(s.public["gate.css"])
	js, _ := s.Asset(s.public["gate.js"])
	for _, lang := range tags() {
		page := render(t, s, "sign-in", with(func(v *View) {
			v.Lang, v.Prefix, v.SignUpOffered = Lang(lang), "/app", true
			for len(v.Voices) < 10 {
				v.Voices = append(v.Voices, v.Voices[1])
			}
		}))
		sum := len(page) + len(css.Body) + len(js.Body)
		t.Logf("%s: page %d + style %d + script %d = %d bytes", lang, len(page), len(css.Body), len(js.Body), sum)
		if sum >= 25000 {
			t.Errorf("%s: %d bytes, want less than 25000", lang, sum)
		}
	}
}

func TestCRD13_PasswordManagersKnowTheForm(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "sign-in", with(func(v *View) {
		v.Prefix, v.UserName = "/app", "alice"
	})))
	form := d.must(t, "id", "sign-in")
	wantAttr(t, form, "method", "post")
	wantAttr(t, form, "action", "/app/login")
	wantAttr(t, form, "data-challenge", "/app/captcha-gate/challenge")
	wantAttr(t, form, "data-lifetime", "300")

	user := d.must(t, "name", "username")
	wantAttr(t, user, "autocomplete", "username")
	wantAttr(t, user, "value", "alice")
	password := d.must(t, "name", "password")
	wantAttr(t, password, "type", "password")
	wantAttr(t, password, "autocomplete", "current-password")
	if value, ok := attr(password, "value"); ok {
		t.Errorf("password field has a value %q", value)
	}
	answer := d.must(t, "name", "captcha_answer")
	wantAttr(t, answer, "autocomplete", "off")
	wantAttr(t, answer, "autocapitalize", "characters")
	wantAttr(t, answer, "spellcheck", "false")
	wantAttr(t, answer, "inputmode", "text")
	wantAttr(t, d.must(t, "name", "captcha_token"), "value", strings.Repeat("Ab3", 50))
	wantAttr(t, d.must(t, "name", "rd"), "value", "/wiki?page=1")
	wantAttr(t, d.must(t, "name", "remember"), "type", "checkbox")
	picture := d.must(t, "id", "picture")
	wantAttr(t, picture, "width", "240")
	wantAttr(t, picture, "height", "80")

	var order []string
	for _, n := range d.all("name") {
		if kind, _ := attr(n, "type"); n.Data == "input" && kind != "hidden" {
			name, _ := attr(n, "name")
			order = append(order, name)
		}
	}
	if want := []string{"username", "password", "captcha_answer", "remember"}; !slices.Equal(order, want) {
		t.Errorf("fields in the order %v, want %v", order, want)
	}
}

func TestWithoutScriptTheFormIsWhole(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "sign-in", signInView()))
	wantAttr(t, d.must(t, "data-kind", "image"), "id", "captcha")
	var links []string
	for _, n := range d {
		if href, ok := attr(n, "href"); ok && n.Data == "a" {
			links = append(links, href)
		}
	}
	listen := "/login?kind=audio&rd=%2Fwiki"
	if want := []string{"/login?rd=%2Fwiki", listen, listen + "&voice=en", listen + "&voice=ar", "/captcha-gate/language?rd=%2Fwiki%3Fpage%3D1"}; !slices.Equal(links, want) {
		t.Errorf("links %v, want %v", links, want)
	}
	for _, n := range d.all("hidden") {
		if id, _ := attr(n, "id"); id != "reveal" && id != "neither" && text(n) != "Caps Lock is on." {
			t.Errorf("<%s id=%s> is hidden without script", n.Data, id)
		}
	}
}

func TestMessageStandsWhereItBelongsAndHasTheFocus(t *testing.T) {
	s := newSite(t, Options{})
	places := map[string]string{
		"captcha_wrong": "answer", "captcha_expired": "answer", "captcha_required": "answer", "credentials_wrong": "password",
	} // the codes of other pages belong to no field of this one
	for _, code := range codes {
		t.Run(code, func(t *testing.T) {
			place := places[code]
			if place == "" {
				place = "form"
			}
			d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.Code, v.UserName, v.RetryAfter = code, "alice", 60 })))
			want := s.Text("en", code, 60)
			for _, p := range []string{"form", "username", "password", "answer"} {
				slot := d.must(t, "id", p+"-error")
				wantAttr(t, slot, "role", "alert")
				if got := text(slot); (p == place && got != want) || (p != place && got != "") {
					t.Errorf("at %s: %q; want %q at %s", p, got, want, place)
				}
				if p != place || p == "form" {
					continue
				}
				field := d.must(t, "id", p)
				wantAttr(t, field, "aria-invalid", "true")
				wantAttr(t, field, "aria-describedby", p+"-error")
			}
			focus := d.all("autofocus")
			if len(focus) != 1 {
				t.Fatalf("%d elements want the focus", len(focus))
			}
			id, _ := attr(focus[0], "id")
			if id != place && id != place+"-error" {
				t.Errorf("focus on %s, want %s", id, place)
			}
		})
	}
}

func TestFocusBeginsAtTheFirstEmptyField(t *testing.T) {
	s := newSite(t, Options{})
	for want, v := range map[string]View{
		"username": signInView(),
		"password": with(func(v *View) { v.UserName = "alice" }),
		"answer":   with(func(v *View) { v.HumanOnly = true }),
	} {
		focus := parse(t, render(t, s, "sign-in", v)).all("autofocus")
		if len(focus) != 1 {
			t.Fatalf("%s: %d elements want the focus", want, len(focus))
		}
		wantAttr(t, focus[0], "id", want)
	}
}

// The pages that come after a sign-in may be larger, but not much: phones on
// slow lines get them, too.
func TestAccountPagesFitInTheirBudget(t *testing.T) {
	s := newSite(t, Options{Title: "The wiki of the department", Contact: "mailto:help@example.com"})
	for _, name := range []string{"sign-up", "account", "second-step"} {
		for _, lang := range tags() {
			page := render(t, s, name, account(func(v *View) { v.Lang = Lang(lang) }))
			sum := len(page)
			for _, file := range []string{"gate.css", "gate.js", "account.css", "account.js"} {
				body, _ := s.Asset(s.public[file])
				sum += len(body.Body)
			}
			t.Logf("%s, %s: page %d, with styles and scripts %d bytes", name, lang, len(page), sum)
			if sum >= 45000 {
				t.Errorf("%s, %s: %d bytes, want less than 45000", name, lang, sum)
			}
		}
	}
}

func TestHumanOnlyAsksForNoName(t *testing.T) {
	s := newSite(t, Options{})
	page := render(t, s, "sign-in", with(func(v *View) { v.HumanOnly, v.Code = true, "credentials_wrong" }))
	d := parse(t, page)
	for _, name := range []string{"username", "password"} {
		if d.find("name", name) != nil {
			t.Errorf("there is a field %s", name)
		}
	}
	d.must(t, "name", "captcha_answer")
	if !strings.Contains(page, "<h1>"+s.Text("en", "heading_human")+"</h1>") {
		t.Error("the heading asks to sign in")
	}
	if got := text(d.must(t, "id", "form-error")); got != s.Text("en", "credentials_wrong") {
		t.Errorf("message %q is lost", got)
	}
}

func TestRememberIsOfferedAndKept(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct{ offered, ticked bool }{{false, false}, {true, false}, {true, true}} {
		d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.RememberOffered, v.Remember = c.offered, c.ticked })))
		box := d.find("name", "remember")
		if (box != nil) != c.offered {
			t.Fatalf("offered %v: box %v", c.offered, box)
		}
		if box == nil {
			continue
		}
		if _, checked := attr(box, "checked"); checked != c.ticked {
			t.Errorf("ticked %v: checked %v", c.ticked, checked)
		}
	}
}

func TestListeningIsOfferedOnlyWhereThereAreSounds(t *testing.T) {
	s := newSite(t, Options{})
	d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.ListenURL, v.Voices = "", nil })))
	if d.find("data-kind", "audio") != nil || d.find("id", "sound") != nil || d.find("id", "voice") != nil {
		t.Error("a sound is offered where there is none")
	}
	d = parse(t, render(t, s, "sign-in", with(func(v *View) { v.ListenURL = "/login?kind=audio" })))
	wantAttr(t, d.must(t, "data-kind", "audio"), "href", "/login?kind=audio")
	wantAttr(t, d.must(t, "id", "voice"), "lang", "en")
	wantAttr(t, d.must(t, "lang", "ar"), "href", "/login?kind=audio&voice=ar")
	if _, ok := attr(d.must(t, "id", "sound"), "src"); ok {
		t.Error("a picture's challenge has a sound")
	}
	d = parse(t, render(t, s, "sign-in", with(func(v *View) {
		v.ListenURL, v.Captcha.AudioURL = "/login?kind=audio", "/captcha-gate/challenge/t.wav"
	})))
	wantAttr(t, d.must(t, "id", "sound"), "src", "/captcha-gate/challenge/t.wav")
	wantAttr(t, d.must(t, "id", "captcha"), "data-kind", "audio")
	if _, ok := attr(d.must(t, "id", "picture"), "src"); ok {
		t.Error("a sound's challenge shows its picture")
	}
}

func TestWithoutChallengeThePictureIsHidden(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "sign-in", with(func(v *View) { v.Captcha = nil })))
	if _, hidden := attr(d.must(t, "id", "captcha"), "hidden"); !hidden {
		t.Error("picture without challenge")
	}
	if _, required := attr(d.must(t, "id", "answer"), "required"); required {
		t.Error("an answer is required that nobody can see")
	}
	wantAttr(t, d.must(t, "id", "sign-in"), "data-lifetime", "0")
}

func TestWidePictureLeavesNoRoomBeside(t *testing.T) {
	s := newSite(t, Options{})
	for width, want := range map[int]bool{120: true, 240: true, 241: false, 600: false} {
		d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.Captcha.Width = width })))
		if _, beside := attr(d.must(t, "id", "captcha"), "class"); beside != want {
			t.Errorf("width %d: beside %v", width, beside)
		}
	}
}

func TestClosedPageHasNoForm(t *testing.T) {
	s := newSite(t, Options{})
	for _, code := range []string{"throttled", "state_unavailable"} {
		page := render(t, s, "sign-in", with(func(v *View) { v.Captcha, v.Code, v.RetryAfter = nil, code, 30 }))
		d := parse(t, page)
		if d.find("id", "sign-in") != nil {
			t.Errorf("%s: there is a form", code)
		}
		wantAttr(t, d.must(t, "class", "button"), "href", "/login?rd=%2Fwiki")
		if got := text(d.must(t, "role", "alert")); got != s.Text("en", code, 30) {
			t.Errorf("%s: message %q", code, got)
		}
	}
}

func TestExpiredChallengeHasNoNegativeLife(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "sign-in", with(func(v *View) { v.Captcha.ExpiresAt = testNow.Add(-time.Hour) })))
	wantAttr(t, d.must(t, "id", "sign-in"), "data-lifetime", "0")
}

func TestSignOutIsOneButtonThatPosts(t *testing.T) {
	page := render(t, newSite(t, Options{}), "sign-out", with(func(v *View) { v.Prefix, v.SignedInAs = "/app", "alice" }))
	d := parse(t, page)
	form := d.must(t, "method", "post")
	wantAttr(t, form, "action", "/app/logout")
	if !strings.Contains(page, "<bdi>alice</bdi>") {
		t.Error("the page does not tell who is signed in")
	}
	if page := render(t, newSite(t, Options{}), "sign-out", signInView()); strings.Contains(page, "<bdi>") {
		t.Error("nobody is named")
	}
}

func TestMessagePageHasHeadingTextAndTheWayBack(t *testing.T) {
	s := newSite(t, Options{})
	for code, heading := range map[string]string{
		"not_found": "heading_not_found", "signed_out": "heading_signed_out", "busy": "heading_unavailable",
		"throttled": "heading_unavailable", "state_unavailable": "heading_unavailable", "users_unavailable": "heading_unavailable",
		"method_not_allowed": "heading_problem", "cross_origin": "heading_problem", "no such code": "heading_problem", "": "heading_problem",
	} {
		page := render(t, s, "message", with(func(v *View) { v.Code, v.RetryAfter = code, 45 }))
		if !strings.Contains(page, "<h1>"+s.Text("en", heading)+"</h1>") {
			t.Errorf("%q: heading is not %s", code, heading)
		}
		if want := html.EscapeString(s.Text("en", code, 45)); code != "" && !strings.Contains(page, want) {
			t.Errorf("%q: %q is missing", code, want)
		}
		wantAttr(t, parse(t, page).must(t, "class", "button"), "href", "/login")
	}
}

func TestUnknownPageIsAnError(t *testing.T) {
	if err := newSite(t, Options{}).Render(io.Discard, "nothing", View{}); err == nil {
		t.Error("no error")
	}
}

type brokenPipe struct{ left int }

var errPipe = errors.New("broken pipe")

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errPipe
	}
	return len(p), nil
}

func TestErrorOfTheWriterIsReported(t *testing.T) {
	err := newSite(t, Options{}).Render(&brokenPipe{left: 500}, "sign-in", signInView())
	if !errors.Is(err, errPipe) {
		t.Errorf("error %v, want %v", err, errPipe)
	}
}

func BenchmarkRenderSignIn(b *testing.B) {
	s := newSite(b, Options{Title: "Wiki"})
	v := signInView()
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := s.Render(&out, "sign-in", v); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAPuzzleIsOfferedOnlyWhereThereIsOne(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct{ offered, silent, worker bool }{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.WorkOffered, v.WorkSilent = c.offered, c.silent })))
		form := d.must(t, "id", "sign-in")
		if worker, _ := attr(form, "data-worker"); (worker != "") != c.worker {
			t.Errorf("%+v: worker %q", c, worker)
		}
		if _, silent := attr(form, "data-silent"); silent != c.silent {
			t.Errorf("%+v: silent %v", c, silent)
		}
		if offered := d.find("id", "neither") != nil && d.find("id", "work") != nil; offered != c.offered {
			t.Errorf("%+v: offered %v", c, offered)
		}
	}
}
