package page

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file in a new directory and returns its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	pngHead  = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	jpegHead = "\xff\xd8\xff\xe0\x00\x10JFIF"
	webpHead = "RIFF\x24\x00\x00\x00WEBPVP8 "
	svg      = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`
)

func TestAssetsAreFoundByHashedNameOnly(t *testing.T) {
	s := newSite(t, Options{})
	for plain, contentType := range map[string]string{
		"gate.css": "text/css; charset=utf-8", "gate.js": "text/javascript; charset=utf-8", "icon": "image/svg+xml",
		"account.css": "text/css; charset=utf-8", "account.js": "text/javascript; charset=utf-8", "work.js": "text/javascript; charset=utf-8",
	} {
		a, ok := s.Asset(s.public[plain])
		if !ok || a.ContentType != contentType || len(a.Body) == 0 {
			t.Errorf("%s: %v %q, %d bytes", plain, ok, a.ContentType, len(a.Body))
		}
	}
	for _, name := range []string{"", "gate.css", "gate.js", "gate-00000000.css", "../page.go", "mark.svg", "style.css"} {
		if _, ok := s.Asset(name); ok {
			t.Errorf("there is an asset %q", name)
		}
	}
}

func TestAssetNameChangesWithTheContent(t *testing.T) {
	name := func(css string) string {
		return newSite(t, Options{Stylesheet: write(t, "theme.css", css)}).public["style.css"]
	}
	red, again, blue := name("a{color:red}"), name("a{color:red}"), name("a{color:blue}")
	if red != again || red == blue {
		t.Errorf("names %s, %s for the same content, %s for another", red, again, blue)
	}
}

func TestStylesheetIsLinkedAfterTheGatesOwn(t *testing.T) {
	s := newSite(t, Options{Stylesheet: write(t, "theme.css", ":root{--gate-accent:#070}")})
	page := render(t, s, "message", with(func(v *View) { v.Prefix = "/app" }))
	own := strings.Index(page, `href="/app/captcha-gate/assets/`+s.public["gate.css"]+`"`)
	theirs := strings.Index(page, `href="/app/captcha-gate/assets/`+s.public["style.css"]+`"`)
	if own < 0 || theirs < own {
		t.Errorf("own stylesheet at %d, the operator's at %d", own, theirs)
	}
	if page := render(t, newSite(t, Options{}), "message", signInView()); strings.Count(page, "stylesheet") != 1 {
		t.Error("a stylesheet is linked that nobody asked for")
	}
}

func TestLogoTakesThePlaceOfTheMark(t *testing.T) {
	for name, content := range map[string]string{
		"logo.png": pngHead, "logo.JPG": jpegHead, "logo.jpeg": jpegHead, "logo.gif": "GIF89a", "logo.webp": webpHead,
		"logo.svg": svg, "old.svg": `<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE svg><!-- hi -->` + svg,
	} {
		s := newSite(t, Options{Logo: write(t, name, content)})
		d := parse(t, render(t, s, "sign-in", signInView()))
		src := "/captcha-gate/assets/" + s.public["logo"]
		wantAttr(t, d.must(t, "src", src), "alt", "")
		wantAttr(t, d.must(t, "rel", "icon"), "href", src)
		a, ok := s.Asset(s.public["logo"])
		if !ok || !bytes.Equal(a.Body, []byte(content)) || a.ContentType != logoTypes[strings.ToLower(filepath.Ext(name))] {
			t.Errorf("%s: served %v as %q", name, ok, a.ContentType)
		}
	}
}

func TestMistakesOfTheOperatorAreNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	logo := func(name, content string) Options { return Options{Logo: write(t, name, content)} }
	templates := func(name, content string) Options {
		return Options{Templates: filepath.Dir(write(t, name, content))}
	}
	for name, c := range map[string]struct {
		options Options
		want    []string
	}{
		"logo missing":             {Options{Logo: missing + ".png"}, []string{"logo: ", "missing.png"}},
		"logo of another kind":     {logo("logo.bmp", "BM"), []string{"logo: ", "logo.bmp", ".svg"}},
		"logo without extension":   {logo("logo", pngHead), []string{"logo: "}},
		"logo that is something":   {logo("logo.png", jpegHead), []string{"logo.png", "image/jpeg", "image/png"}},
		"logo that is a page":      {logo("logo.svg", "<html><svg/></html>"), []string{"logo.svg"}},
		"logo that is empty":       {logo("logo.svg", ""), []string{"logo.svg"}},
		"logo too large":           {logo("logo.png", pngHead+strings.Repeat("x", maxLogo)), []string{"logo.png", "524288"}},
		"logo that is a directory": {Options{Logo: dirNamed(t, "logo.png")}, []string{"logo.png", "not a regular file"}},
		"stylesheet missing":       {Options{Stylesheet: missing}, []string{"stylesheet: ", "missing"}},
		"stylesheet too large":     {Options{Stylesheet: write(t, "a.css", strings.Repeat(" ", maxText+1))}, []string{"a.css", "262144"}},
		"stylesheet not UTF-8":     {Options{Stylesheet: write(t, "a.css", "a{content:'\xff'}")}, []string{"stylesheet: ", "a.css", "UTF-8"}},
		"templates missing":        {Options{Templates: missing}, []string{"templates: ", "missing"}},
		"template unknown":         {templates("signin.html", ""), []string{"templates: ", "signin.html", "sign-in.html"}},
		"template too large":       {templates("sign-in.html", strings.Repeat(" ", maxText+1)), []string{"sign-in.html", "262144"}},
		"template empty":           {templates("sign-in.html", " \n"), []string{"templates: ", "sign-in.html", "empty"}},
		"template will not parse":  {templates("sign-in.html", "\n\n{{if}}"), []string{"templates: ", "sign-in.html:3"}},
		"template unknown field":   {templates("sign-in.html", "<p>\n{{.Nonsense}}"), []string{"templates: ", "sign-in.html:2", "Nonsense"}},
		"template of an account":   {templates("account.html", "\n{{range .Sessions}}{{.Nonsense}}{{end}}"), []string{"account.html:2", "Nonsense"}},
		"template of a second":     {templates("second-step.html", "{{if .ForSignUp}}\n{{.Nonsense}}{{end}}"), []string{"second-step.html:2", "Nonsense"}},
		"template of a sound":      {templates("captcha.html", "{{if .Listen}}{{range .Voices}}\n{{.Nonsense}}{{end}}{{end}}"), []string{"captcha.html:2", "Nonsense"}},
		"template of a sign-up":    {templates("sign-up.html", "{{if .Notice}}\n{{.Nonsense}}{{end}}"), []string{"sign-up.html:2", "Nonsense"}},
		"template of a password":   {templates("secret.html", "\n{{if .Chosen}}{{.Nonsense}}{{end}}"), []string{"secret.html:2", "Nonsense"}},
		"template without nil":     {templates("captcha.html", "\n{{.Captcha.Width}}"), []string{"captcha.html:2"}},
		"template that branches":   {templates("message.html", `{{if .HumanOnly}}{{template "nothing" .}}{{end}}`), []string{"message.html:1", "nothing"}},
		"template out of context":  {templates("bottom.html", "\n<a href={{if .Code}}\"{{end}}>"), []string{"bottom.html"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not tell %q", err, part)
				}
			}
		})
	}
}

func dirNamed(t *testing.T, name string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTemplateReplacesTheOneOfItsName(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"bottom.html":    `<footer>{{.T "help"}} &copy; {{.Title}} {{.Asset "gate.css"}}{{.Asset "nothing"}}</footer></body></html>`,
		".bottom.html~":  "{{",
		"..2026_03_04":   "{{",
		".hidden.html":   "{{",
		"message.html":   `{{template "top.html" .}}<p class="ours">{{.Message}}</p>{{template "bottom.html" .}}`,
		".gitkeep":       "",
		"..data.ignored": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, Options{Templates: dir, Title: "Wiki"})
	footer := "<footer>Need help? &copy; Wiki /captcha-gate/assets/" + s.public["gate.css"] + "</footer>"
	for _, name := range pages {
		page := render(t, s, name, with(func(v *View) { v.Code = "not_found" }))
		if !strings.Contains(page, footer) {
			t.Errorf("%s does not have the footer", name)
		}
		if got := strings.Contains(page, `class="ours"`); got != (name == "message") {
			t.Errorf("%s: replaced %v", name, got)
		}
	}
	parse(t, render(t, s, "sign-in", signInView())).must(t, "id", "sign-in")
}

func TestTemplateOfTheOperatorIsEscapedToo(t *testing.T) {
	dir := filepath.Dir(write(t, "message.html", "<p title={{.UserName}}>{{.UserName}}</p>"))
	page := render(t, newSite(t, Options{Templates: dir}), "message", with(func(v *View) { v.UserName = `x onclick=alert(1)><script>` }))
	if d := parse(t, page); len(d.all("onclick")) != 0 || strings.Contains(page, "<script>") {
		t.Errorf("page %s", page)
	}
}

func TestContactIsATextOrALink(t *testing.T) {
	for wish, want := range map[string]*Contact{
		"":                                   nil,
		"Ask at the front desk: room 12":     {Text: "Ask at the front desk: room 12"},
		"mailto:help@example.com":            {Text: "help@example.com", URL: "mailto:help@example.com"},
		"MailTo:help@example.com?subject=Hi": {Text: "help@example.com", URL: "MailTo:help@example.com?subject=Hi"},
		"https://example.com/":               {Text: "example.com", URL: "https://example.com/"},
		"https://example.com/help":           {Text: "example.com/help", URL: "https://example.com/help"},
		"javascript:alert(1)":                {Text: "javascript:alert(1)"},
	} {
		got := newContact(wish)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q: %+v, want %+v", wish, got, want)
		}
		page := render(t, newSite(t, Options{Contact: wish}), "sign-in", signInView())
		if has := strings.Contains(page, "Need help?"); has != (want != nil) {
			t.Errorf("%q: contact %v", wish, has)
		}
		if want != nil && want.URL != "" {
			wantAttr(t, parse(t, page).must(t, "href", want.URL), "href", want.URL)
		}
	}
}

func TestTitleStandsInHeaderAndTab(t *testing.T) {
	for title, want := range map[string]string{"": "<title>Sign in</title>", "A & B": "<title>Sign in · A &amp; B</title>"} {
		page := render(t, newSite(t, Options{Title: title}), "sign-in", signInView())
		if !strings.Contains(page, want) || strings.Contains(page, "<p>A &amp; B</p>") != (title != "") {
			t.Errorf("%q: %s", title, page)
		}
	}
}

func TestWithoutAClockTheSystemsIsUsed(t *testing.T) {
	s, err := New(Options{})
	if err != nil || s.now == nil {
		t.Fatal(err)
	}
}
