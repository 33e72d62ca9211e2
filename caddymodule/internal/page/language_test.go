package page

import (
	"net/url"
	"strings"
	"testing"
)

func TestEveryPageHasThePickerAndLeadsBack(t *testing.T) {
	s := newSite(t, Options{})
	for name, from := range map[string]string{
		"sign-in": "", "message": "", "sign-up": "sign-up", "second-step": "second-step", "account": "account", "sign-out": "sign-out",
	} {
		for _, lang := range tags() {
			d := parse(t, render(t, s, name, account(func(v *View) { v.Lang, v.Prefix, v.ReturnTo = Lang(lang), "/app", "/wiki?page=1&lang=x" })))
			found := 0
			for _, n := range d {
				href, _ := attr(n, "href")
				address, err := url.Parse(href)
				if err != nil || n.Data != "a" || address.Path != "/app/captcha-gate/language" {
					continue
				}
				found++
				if q := address.Query(); q.Get("from") != from || q.Get("rd") != "/wiki?page=1&lang=x" || q.Has("lang") {
					t.Errorf("%s: %s", name, href)
				}
				if text(n) == "" {
					t.Errorf("%s in %s: the link has no name", name, lang)
				}
			}
			if found != 1 {
				t.Errorf("%s in %s: %d links to the languages", name, lang, found)
			}
		}
	}
}

func TestOneLanguageLeavesNothingToChoose(t *testing.T) {
	s := newSite(t, Options{Languages: []string{"de"}})
	for _, name := range pages {
		page := render(t, s, name, accountView())
		if name != "language" && (strings.Contains(page, "/language") || strings.Contains(page, "<footer>")) {
			t.Errorf("%s: there is a picker", name)
		}
	}
}

func TestLanguagesAreLinksInTheirOwnWords(t *testing.T) {
	s := newSite(t, Options{Languages: []string{"de", "zh-Hant", "en"}})
	v := with(func(v *View) { v.Lang, v.From, v.BackURL = "zh-Hant", "sign-up", "/captcha-gate/sign-up?rd=%2Fwiki" })
	page := render(t, s, "language", v)
	d := parse(t, page)
	want := map[string]string{"en": "English", "zh-Hant": "繁體中文", "de": "Deutsch"}
	found := 0
	for _, n := range d.all("hreflang") {
		tag, _ := attr(n, "hreflang")
		found++
		wantAttr(t, n, "lang", tag)
		wantAttr(t, n, "dir", "ltr")
		wantAttr(t, n, "href", "/captcha-gate/language?from=sign-up&lang="+tag+"&rd=%2Fwiki%3Fpage%3D1")
		if text(n) != want[tag] {
			t.Errorf("%s is called %q", tag, text(n))
		}
		if _, current := attr(n, "aria-current"); current != (tag == "zh-Hant") {
			t.Errorf("%s: current %v", tag, current)
		}
	}
	if found != len(want) {
		t.Errorf("%d languages", found)
	}
	if !strings.Contains(page, "<h1>語言</h1>") || !strings.Contains(page, "<title>語言</title>") {
		t.Error("the heading is in another language")
	}
	wantAttr(t, d.must(t, "class", "quiet"), "href", v.BackURL)
	if len(d.forms()) != 0 || strings.Contains(page, "<footer>") {
		t.Error("there is more than links to languages")
	}
}

// A language that is written from right to left turns the page; what is typed
// in Latin letters and digits stays as it is.
func TestWhatRunsFromLeftToRightStaysSo(t *testing.T) {
	s := newSite(t, Options{})
	for _, place := range []struct{ page, attribute, value, dir string }{
		{"sign-in", "name", "username", "auto"}, {"sign-in", "name", "captcha_answer", "ltr"},
		{"sign-up", "name", "username", "auto"}, {"sign-up", "name", "email", "auto"}, {"sign-up", "name", "captcha_answer", "ltr"},
		{"second-step", "name", "code", "ltr"}, {"account", "name", "captcha_answer", "ltr"},
		{"account", "datetime", "2026-03-04T04:06:07Z", "auto"},
	} {
		d := parse(t, render(t, s, place.page, accountView()))
		wantAttr(t, d.must(t, place.attribute, place.value), "dir", place.dir)
	}
	// Capitals that the stylesheet shows follow the language: in Turkish i would
	// become İ.
	wantAttr(t, parse(t, render(t, s, "sign-in", signInView())).must(t, "name", "captcha_answer"), "lang", "en")
	for _, rule := range []string{".secret :is(input, button) { grid-area: 1 / 1; direction: ltr; }", "justify-self: self-end;", "[dir=rtl] [data-kind=audio] svg { scale: -1 1; }"} {
		if !strings.Contains(stylesheets(t), rule) {
			t.Errorf("no %s", rule)
		}
	}
}
