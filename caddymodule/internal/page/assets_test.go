package page

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
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

func TestScriptAndFormKnowEachOther(t *testing.T) {
	js := asset(t, "gate.js")
	page := render(t, newSite(t, Options{}), "sign-in", with(func(v *View) { v.ListenURL = "/login?kind=audio" }))
	d := parse(t, page)

	form := d.must(t, "id", "sign-in")
	var told []string
	for _, a := range form.Attr {
		if name, ok := strings.CutPrefix(a.Key, "data-"); ok && a.Val != "" {
			told = append(told, name)
		}
	}
	slices.Sort(told)
	if used := captures(`texts\.(\w+)`, js); !slices.Equal(used, told) {
		t.Errorf("the script uses %v, the form tells %v", used, told)
	}
	for _, id := range captures(`(?:byId|getElementById)\('([\w-]+)'\)`, js) {
		d.must(t, "id", id)
	}
	for _, id := range []string{"form", "username", "password", "answer"} {
		d.must(t, "id", id+"-error")
	}
	for _, field := range d.all("required") {
		if text, _ := attr(field, "data-missing"); text == "" {
			t.Error("a required field does not say what is missing")
		}
	}
	for _, name := range []string{"username", "password", "captcha_answer", "captcha_token", "remember"} {
		if d.must(t, "name", name); !strings.Contains(js, name) {
			t.Errorf("the script does not know %s", name)
		}
	}
}

func TestWEB3_ScriptAndStyleStayWithinThePolicy(t *testing.T) {
	js, css := asset(t, "gate.js"), asset(t, "gate.css")
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

func TestStylesheetIsReadyForBothDirections(t *testing.T) {
	css := asset(t, "gate.css")
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

func TestContrastIsEnoughInLightAndDark(t *testing.T) {
	css := asset(t, "gate.css")
	before, rest, ok := strings.Cut(css, "@media (prefers-color-scheme: dark) {")
	inside, _, closed := strings.Cut(rest, "\n}\n")
	if !ok || !closed {
		t.Fatal("no dark scheme")
	}
	light, dark := properties(before), properties(inside)
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
	if used := captures(`var\((--gate-[\w-]+)\)`, css); !slices.Equal(used, slices.Sorted(maps.Keys(light))) {
		t.Errorf("used %v, set %v", used, slices.Sorted(maps.Keys(light)))
	}
	for scheme, colours := range map[string]map[string]string{"light": light, "dark": dark} {
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
		} {
			if got := contrast(c.fore, c.on); got < c.least {
				t.Errorf("%s, %s: %.2f, want %.1f", scheme, c.what, got, c.least)
			}
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
