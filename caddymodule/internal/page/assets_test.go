package page

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func asset(t testing.TB, name string) string {
	t.Helper()
	body, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// captures are the distinct first groups of a pattern.
func captures(pattern, text string) []string {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// told are the names of an element's data- attributes.
func told(n *html.Node) []string {
	var names []string
	for _, a := range n.Attr {
		if name, ok := strings.CutPrefix(a.Key, "data-"); ok && a.Val != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestScriptAndFormsKnowEachOther(t *testing.T) {
	s, js := newSite(t, Options{}), asset(t, "gate.js")
	for _, name := range []string{"sign-in", "sign-up", "account", "second-step"} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, render(t, s, name, accountView()))
			var form *html.Node
			for _, n := range d.all("data-for") {
				if form != nil {
					t.Error("a second form for the script")
				}
				form = n
			}
			if used := captures(`texts\.(\w+)`, js); form == nil || !slices.Equal(used, told(form)) {
				t.Fatalf("the script uses %v, the form tells something else", used)
			}
			d.must(t, "id", "form-error")
			for _, field := range d.all("data-missing") {
				id, _ := attr(field, "id")
				d.must(t, "id", id+"-error")
				if text, _ := attr(field, "data-missing"); text == "" {
					t.Errorf("%s does not say what is missing", id)
				}
				_, pattern := attr(field, "pattern")
				_, least := attr(field, "minlength")
				kind, _ := attr(field, "type")
				if wrong, _ := attr(field, "data-wrong"); wrong == "" && (pattern || least || kind == "email") {
					t.Errorf("%s does not say what is wrong", id)
				}
			}
			for _, field := range d.all("required") {
				if _, ok := attr(field, "data-missing"); !ok {
					t.Error("a required field that the script does not know")
				}
			}
			button := d.must(t, "type", "submit")
			for n := range form.Descendants() {
				if kind, _ := attr(n, "type"); kind == "submit" {
					button = n
				}
			}
			if button.FirstChild == nil || button.FirstChild.Data != "span" {
				t.Error("the button has no label that the script can change")
			}
			if name == "second-step" {
				return // no captcha
			}
			for _, id := range captures(`(?:byId|getElementById)\('([\w-]+)'\)`, js) {
				d.must(t, "id", id)
			}
			for _, field := range []string{"username", "captcha_answer", "captcha_token", "captcha_work"} {
				if d.must(t, "name", field); !strings.Contains(js, field) {
					t.Errorf("the script does not know %s", field)
				}
			}
		})
	}
}

// The script looks for the button to reveal a password beside its field, and
// for the hint about Caps Lock after it.
func TestScriptFindsWhatBelongsToAPassword(t *testing.T) {
	s := newSite(t, Options{})
	for name, want := range map[string]int{"sign-in": 1, "sign-up": 2, "account": 3, "second-step": 0} {
		found := 0
		for _, n := range parse(t, render(t, s, name, accountView())) {
			if kind, _ := attr(n, "type"); n.Data != "input" || kind != "password" {
				continue
			}
			found++
			id, _ := attr(n, "id")
			reveal := element(n.NextSibling)
			wantAttr(t, reveal, "aria-controls", id)
			wantAttr(t, reveal, "hidden", "")
			hint := element(reveal.NextSibling)
			wantAttr(t, hint, "role", "status")
			wantAttr(t, hint.FirstChild, "hidden", "")
		}
		if found != want {
			t.Errorf("%s: %d passwords, want %d", name, found, want)
		}
	}
}

// element is the first element from n on.
func element(n *html.Node) *html.Node {
	for n != nil && n.Type != html.ElementNode {
		n = n.NextSibling
	}
	if n == nil {
		return &html.Node{}
	}
	return n
}

func TestAccountScriptAndPagesKnowEachOther(t *testing.T) {
	s, js := newSite(t, Options{}), asset(t, "account.js")
	ids, names, notices := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var all document
	for _, name := range []string{"sign-up", "account", "second-step"} {
		d := parse(t, render(t, s, name, accountView()))
		all = append(all, d...)
		for _, n := range d {
			id, _ := attr(n, "id")
			field, _ := attr(n, "name")
			ids[id], names[field] = true, true
		}
		for _, text := range told(d.must(t, "id", "notice")) {
			notices[text] = true
		}
	}
	for _, id := range captures(`byId\('([\w-]+)'\)`, js) {
		if !ids[id] {
			t.Errorf("no page has #%s", id)
		}
	}
	for _, name := range captures(`elements\.(\w+)`, js) {
		if !names[name] {
			t.Errorf("no form has a field %s", name)
		}
	}
	for _, text := range captures(`texts\.(\w+)`, js) {
		if !notices[text] {
			t.Errorf("no notice tells %s", text)
		}
	}
	for id, names := range map[string][]string{
		"strength": {"0", "1", "2", "3", "4", "address"}, "code": {"code", "digits", "left", "missing", "over", "wrong"}, "resend": {"in", "wait"},
	} {
		if got := told(all.must(t, "id", id)); !slices.Equal(got, names) {
			t.Errorf("#%s tells %v, want %v", id, got, names)
		}
		for _, name := range names {
			if !strings.Contains(js+asset(t, "gate.js"), "dataset."+name) && !strings.Contains("01234missingwrong", name) {
				t.Errorf("no script uses what #%s tells as %s", id, name)
			}
		}
	}
}

// A field of the name "action" hides the property of a form.
func TestScriptsAskForTheAddressOfAFormByItsAttribute(t *testing.T) {
	for _, name := range []string{"gate.js", "account.js"} {
		if js := asset(t, name); strings.Contains(js, "form.action") || strings.Contains(js, "small.action") {
			t.Errorf("%s takes a field for an address", name)
		}
	}
}

func TestOnlyThePagesThatNeedThemLoadTheAccountsFiles(t *testing.T) {
	s := newSite(t, Options{Stylesheet: write(t, "theme.css", ":root{--gate-good:#070}")})
	for _, name := range pages {
		page := render(t, s, name, with(func(v *View) { v.Code = "not_found" }))
		wantScript := name == "account" || name == "sign-up" || name == "second-step"
		want := wantScript || name == "language"
		style, script := strings.Index(page, s.public["account.css"]), strings.Index(page, s.public["account.js"])
		if (style >= 0) != want || (script >= 0) != wantScript {
			t.Errorf("%s: style at %d, script at %d", name, style, script)
		}
		if want && (style < strings.Index(page, s.public["gate.css"]) || style > strings.Index(page, s.public["style.css"])) {
			t.Errorf("%s: the stylesheets are out of order", name)
		}
		if wantScript && script < strings.Index(page, s.public["gate.js"]) {
			t.Errorf("%s: the scripts are out of order", name)
		}
	}
	page := render(t, s, "sign-in", with(func(v *View) { v.Notice = "signed_up" }))
	if !strings.Contains(page, s.public["account.css"]) || strings.Contains(page, s.public["account.js"]) {
		t.Error("a notice on another page needs the style, and no script")
	}
}

func TestWEB3_ScriptAndStyleStayWithinThePolicy(t *testing.T) {
	js, css := asset(t, "gate.js")+asset(t, "account.js"), stylesheets(t)
	for _, word := range []string{"eval(", "Function(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", ".style", "http:", "https:", "data:", "import"} {
		if strings.Contains(js, word) {
			t.Errorf("the script has %s", word)
		}
	}
	for _, word := range []string{"url(", "@import", "http:", "https:", "data:"} {
		if strings.Contains(css, word) {
			t.Errorf("the stylesheet has %s", word)
		}
	}
}

// What is served says the same as what people read. No text of the scripts goes
// over several lines, where blanks would count.
func TestServedFilesAreWithoutWhatOnlyPeopleRead(t *testing.T) {
	s := newSite(t, Options{})
	lines := func(text string) (code []string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				code = append(code, line)
			}
		}
		return code
	}
	for _, name := range []string{"gate.css", "account.css", "gate.js", "account.js", "work.js"} {
		served, _ := s.Asset(s.public[name])
		source := asset(t, name)
		for i, line := range lines(source) {
			if strings.Count(line, "`")%2 != 0 {
				t.Errorf("%s: line %d of code has a text that goes on: %s", name, i, line)
			}
		}
		for strings.HasSuffix(name, ".css") && strings.Contains(source, "/*") {
			before, rest, _ := strings.Cut(source, "/*")
			_, after, closed := strings.Cut(rest, "*/")
			if source = before + after; !closed {
				t.Fatalf("%s: a comment without an end", name)
			}
		}
		if got, want := strings.Split(strings.TrimSuffix(string(served.Body), "\n"), "\n"), lines(source); !slices.Equal(got, want) {
			t.Errorf("%s: served\n%q\nwant\n%q", name, got, want)
		}
	}
}

// stylesheets are both of the gate's own.
func stylesheets(t *testing.T) string { return asset(t, "gate.css") + asset(t, "account.css") }

func TestStylesheetIsReadyForBothDirections(t *testing.T) {
	css := stylesheets(t)
	if found := captures(`[;{\s]((?:margin|padding|border)-(?:left|right)|left|right|float)\s*:`, css); len(found) > 0 {
		t.Errorf("%v know only one direction", found)
	}
	if found := captures(`text-align: (left|right)`, css); len(found) > 0 {
		t.Errorf("text is aligned %v", found)
	}
}

// properties reads the custom properties of a part of the stylesheet.
func properties(css string) map[string]string {
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(--gate-[\w-]+): ([^;]+);`).FindAllStringSubmatch(css, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// schemes reads the properties that a stylesheet sets, and those that it sets for
// dark systems.
func schemes(t *testing.T, css string) (light, dark map[string]string) {
	t.Helper()
	before, rest, ok := strings.Cut(css, "@media (prefers-color-scheme: dark) {")
	inside, _, closed := strings.Cut(rest, "\n}\n")
	if ok != closed {
		t.Fatal("the dark scheme does not end")
	}
	return properties(before), properties(inside)
}

// ownSchemes are the properties of the gate's own stylesheets.
func ownSchemes(t *testing.T) (light, dark map[string]string) {
	t.Helper()
	light, dark = map[string]string{}, map[string]string{}
	for _, name := range []string{"gate.css", "account.css"} {
		lightOf, darkOf := schemes(t, asset(t, name))
		if len(darkOf) == 0 {
			t.Fatalf("%s: no dark scheme", name)
		}
		maps.Copy(light, lightOf)
		maps.Copy(dark, darkOf)
	}
	return light, dark
}

func TestContrastIsEnoughInLightAndDark(t *testing.T) {
	light, dark := ownSchemes(t)
	for name := range light {
		if name != "--gate-radius" && name != "--gate-font" && dark[name] == "" {
			t.Errorf("%s has no dark value", name)
		}
	}
	for name := range dark {
		if light[name] == "" {
			t.Errorf("%s has no light value", name)
		}
	}
	if used := captures(`var\((--gate-[\w-]+)\)`, stylesheets(t)); !slices.Equal(used, slices.Sorted(maps.Keys(light))) {
		t.Errorf("used %v, set %v", used, slices.Sorted(maps.Keys(light)))
	}
	for scheme, colours := range map[string]map[string]string{"light": light, "dark": dark} {
		testContrast(t, scheme, colours)
	}
}

// A theme's values come after the gate's own: those without a scheme hold in both.
func TestContrastIsEnoughInTheThemesOfTheDocuments(t *testing.T) {
	themes, err := filepath.Glob("../../../docs/themes/*/theme.css")
	if err != nil || len(themes) < 3 {
		t.Fatalf("themes %v, %v", themes, err)
	}
	for _, file := range themes {
		css, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		light, dark := ownSchemes(t)
		themeLight, themeDark := schemes(t, string(css))
		for name := range themeLight {
			if light[name] == "" {
				t.Errorf("%s: there is no property %s", file, name)
			}
		}
		maps.Copy(light, themeLight)
		maps.Copy(dark, themeLight)
		maps.Copy(dark, themeDark)
		for scheme, colours := range map[string]map[string]string{"light": light, "dark": dark} {
			testContrast(t, filepath.Base(filepath.Dir(file))+" "+scheme, colours)
		}
	}
}

// The table in the documents has every property with its values.
func TestTheDocumentsListEveryProperty(t *testing.T) {
	page, err := os.ReadFile("../../../docs/themes.md")
	if err != nil {
		t.Fatal(err)
	}
	light, dark := ownSchemes(t)
	for name, value := range light {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\|.*$").FindString(string(page))
		switch name {
		case "--gate-shadow", "--gate-font": // too long for a table
			value, dark[name] = "", ""
		}
		if row == "" || !strings.Contains(row, value) || !strings.Contains(row, dark[name]) {
			t.Errorf("%s: %s; want %q and %q", name, row, value, dark[name])
		}
	}
	if listed := captures("(?m)^\\| `(--gate-[\\w-]+)`", string(page)); len(listed) != len(light) {
		t.Errorf("listed %v", listed)
	}
}

func testContrast(t *testing.T, scheme string, colours map[string]string) {
	t.Helper()
	colour := func(name string) [3]float64 { return rgbOf(t, colours["--gate-"+name]) }
	// Behind the card there is at most so much of the accent.
	glow := mix(colour("accent"), colour("background"), .16)
	alert := mix(colour("error"), colour("card"), .07)
	for _, c := range []struct {
		what     string
		fore, on [3]float64
		least    float64
	}{
		{"text on card", colour("text"), colour("card"), 4.5},
		{"text in field", colour("text"), colour("field"), 4.5},
		{"text in alert", colour("text"), alert, 4.5},
		{"muted on card", colour("muted"), colour("card"), 4.5},
		{"muted on background", colour("muted"), colour("background"), 4.5},
		{"muted on glow", colour("muted"), glow, 4.5},
		{"link on card", colour("accent"), colour("card"), 4.5},
		{"link on background", colour("accent"), colour("background"), 4.5},
		{"button", colour("on-accent"), colour("accent"), 4.5},
		{"error on card", colour("error"), colour("card"), 4.5},
		{"border of field, inside", colour("line"), colour("field"), 3},
		{"border of field, outside", colour("line"), colour("card"), 3},
		{"focus", colour("accent"), colour("card"), 3},
		{"border of alert", colour("error"), colour("card"), 3},
		{"text in notice", colour("text"), mix(colour("good"), colour("card"), .08), 4.5},
		{"border of notice", colour("good"), colour("card"), 3},
		{"badge", colour("good"), colour("card"), 4.5},
		{"strength, good", colour("good"), colour("field"), 3},
		{"strength, fair", colour("accent"), colour("field"), 3},
		{"strength, weak", colour("error"), colour("field"), 3},
		{"button beside", colour("line"), colour("card"), 3},
	} {
		if got := contrast(c.fore, c.on); got < c.least {
			t.Errorf("%s, %s: %.2f, want %.1f", scheme, c.what, got, c.least)
		}
	}
}

func rgbOf(t *testing.T, text string) (rgb [3]float64) {
	digits := strings.TrimPrefix(text, "#")
	if len(digits) == 3 {
		digits = digits[0:1] + digits[0:1] + digits[1:2] + digits[1:2] + digits[2:3] + digits[2:3]
	}
	n, err := strconv.ParseUint(digits, 16, 24)
	if err != nil || len(digits) != 6 {
		t.Fatalf("%q is not a colour", text)
	}
	return [3]float64{float64(n>>16&0xff) / 255, float64(n>>8&0xff) / 255, float64(n&0xff) / 255}
}

func mix(a, b [3]float64, part float64) (m [3]float64) {
	for i := range m {
		m[i] = a[i]*part + b[i]*(1-part)
	}
	return m
}

// contrast is the ratio of WCAG 2.2.
func contrast(a, b [3]float64) float64 {
	luminance := func(rgb [3]float64) (sum float64) {
		for i, weight := range []float64{.2126, .7152, .0722} {
			c := rgb[i]
			if c <= .04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + .05) / (min(la, lb) + .05)
}
