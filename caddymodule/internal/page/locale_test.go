package page

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// codes are the contract's codes that a page or a reply tells in words.
var codes = []string{
	"unauthenticated", "credentials_wrong", "captcha_required", "captcha_wrong", "captcha_expired", "cookies_required",
	"cross_origin", "malformed", "unsupported_media_type", "too_large", "method_not_allowed", "throttled", "busy",
	"state_unavailable", "users_unavailable", "not_found", "internal_error",
	"invalid", "username_missing", "username_taken", "username_invalid", "username_reserved", "email_missing", "email_invalid",
	"password_missing", "password_too_short", "password_too_long", "password_too_common", "password_like_name", "password_unchanged",
	"passwords_differ", "second_step_required", "second_step_wrong", "second_step_expired", "sender_unavailable", "form_expired",
	"sign_up_full",
}

// notices are the codes of what went well.
var notices = []string{
	"signed_out", "password_changed", "session_ended", "sessions_ended", "code_sent", "signed_up", "awaiting_approval",
}

func TestEveryBuiltInLanguageHasAFileAndEveryFileIsALanguage(t *testing.T) {
	entries, err := fs.ReadDir(localeFiles, "locales")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, strings.TrimSuffix(e.Name(), ".json"))
	}
	slices.Sort(files)
	if want := slices.Sorted(slices.Values(tags())); !slices.Equal(files, want) {
		t.Errorf("files for %v, languages %v", files, want)
	}
	names := map[string]bool{}
	for _, b := range builtIn {
		if parsed, err := language.Parse(string(b.tag)); err != nil || parsed.String() != string(b.tag) {
			t.Errorf("%s is not a canonical tag: %v, %v", b.tag, parsed, err)
		}
		if b.name == "" || b.word == "" || names[b.name] {
			t.Errorf("%s: name %q, word %q", b.tag, b.name, b.word)
		}
		names[b.name] = true
	}
}

// tags are those of all built-in languages.
func tags() (tags []string) {
	for _, b := range builtIn {
		tags = append(tags, string(b.tag))
	}
	return tags
}

func TestLanguagesHaveTheSameKeysAndPlaceholders(t *testing.T) {
	english, err := readTexts("en")
	if err != nil {
		t.Fatal(err)
	}
	placeholder := regexp.MustCompile(`\{\w*\}`)
	for _, tag := range tags() {
		texts, err := readTexts(tag)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := slices.Sorted(maps.Keys(texts)), slices.Sorted(maps.Keys(english)); !slices.Equal(got, want) {
			t.Errorf("%s has the keys\n%v, want\n%v", tag, got, want)
		}
		for key, text := range texts {
			if strings.TrimSpace(text) != text || text == "" {
				t.Errorf("%s %s: %q is empty or has space around it", tag, key, text)
			}
			// Each language has its own order.
			got, want := placeholder.FindAllString(text, -1), placeholder.FindAllString(english[key], -1)
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%s %s: placeholders %v, want %v", tag, key, got, want)
			}
			// The texts are plain, and in pages, mails and text messages alike.
			if strings.ContainsAny(placeholder.ReplaceAllString(text, ""), "<>&{}\\\t\r") || strings.Contains(text, "  ") || !utf8.ValidString(text) {
				t.Errorf("%s %s: %q is not plain text", tag, key, text)
			}
			if strings.Contains(text, "\n") != strings.Contains(english[key], "\n") {
				t.Errorf("%s %s: %q has other lines than in English", tag, key, text)
			}
			if tag != "en" && text == english[key] && strings.Contains(text, " ") && key != "minutes" {
				t.Errorf("%s %s: %q is still English", tag, key, text)
			}
		}
		if d := texts["direction"]; d != "ltr" && d != "rtl" {
			t.Errorf("%s: direction %q", tag, d)
		}
	}
}

func TestLocaleFilesHaveEachKeyOnceAndInOrder(t *testing.T) {
	for _, tag := range tags() {
		file, err := localeFiles.ReadFile("locales/" + tag + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, m := range regexp.MustCompile(`(?m)^  "(\w+)": `).FindAllStringSubmatch(string(file), -1) {
			keys = append(keys, m[1])
		}
		if want := slices.Compact(slices.Sorted(slices.Values(keys))); !slices.Equal(keys, want) {
			t.Errorf("%s: keys are not sorted and unique", tag)
		}
		var texts map[string]string
		if err := json.Unmarshal(file, &texts); err != nil || len(texts) != len(keys) {
			t.Errorf("%s: %d keys on lines of their own, %d in all (%v)", tag, len(keys), len(texts), err)
		}
	}
}

func TestEveryTextIsUsedAndEveryUsedTextIsThere(t *testing.T) {
	used := map[string]bool{"hours": true, "minutes": true, "seconds": true, thisSite: true}
	for _, message := range messages {
		used[message.text] = true
		if message.subject != "" {
			used[message.subject] = true
		}
	}
	for _, code := range append(notices, codes...) {
		used[code] = true
		used[headingOf(code)] = true
	}
	used[headingOf("signed_out")] = true
	sources, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(sources, "data.go", "fields.go") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\.(?:T|With|Wait)[ (]"(\w+)"`).FindAllSubmatch(source, -1) {
			used[string(m[1])] = true
		}
	}
	texts, err := readTexts("en")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(texts)), slices.Sorted(maps.Keys(used)); !slices.Equal(got, want) {
		t.Errorf("texts\n%v, used\n%v", got, want)
	}
}

func TestLanguageThatSuitsTheBrowser(t *testing.T) {
	both, chineseFirst := newSite(t, Options{}), newSite(t, Options{Languages: []string{"zh-Hans", "EN"}})
	for _, c := range []struct {
		accept string
		site   *Site
		want   Lang
	}{
		{"", both, "en"},
		{"", chineseFirst, "zh-Hans"},
		{"en-GB,en;q=0.9", chineseFirst, "en"},
		{"zh-CN,zh;q=0.9,en;q=0.8", both, "zh-Hans"},
		{"zh", both, "zh-Hans"},
		{"zh-SG", both, "zh-Hans"},
		{"fi,zh-CN;q=0.5,en;q=0.2", both, "zh-Hans"},
		{"fi", both, "en"},
		{"fi", chineseFirst, "zh-Hans"},
		{"*", both, "en"},
		{"fi, *;q=0.1", chineseFirst, "zh-Hans"},
		{"zh;q=0, en", chineseFirst, "en"},
		{"de;q=x", chineseFirst, "zh-Hans"},
		{"\x00\xff;;;=,", both, "en"},
		{strings.Repeat("zh,", 100), both, "zh-Hans"},
		{strings.Repeat("z", 100000), both, "en"},
		{strings.Repeat("fi;q=0.1,", 40) + "zh", both, "en"}, // beyond what is looked at
		{"zh", newSite(t, Options{Languages: []string{"en"}}), "en"},
		{"zh-TW,zh;q=0.9", both, "zh-Hant"},
		{"zh-HK", both, "zh-Hant"},
		{"zh-MO", both, "zh-Hant"},
		{"zh-Hant", both, "zh-Hant"},
		{"zh-Hans-TW", both, "zh-Hans"},
		{"pt-BR,pt;q=0.9", both, "pt"},
		{"pt-PT", both, "pt"},
		{"es-419", both, "es"},
		{"de-AT", both, "de"},
		{"fr-CA,fr;q=0.8", both, "fr"},
		{"ru-RU", both, "ru"},
		{"nb", both, "en"},
		{"nb", chineseFirst, "zh-Hans"},
		{"uk", both, "en"}, // not the neighbour's
		{"nb,de;q=0.1", both, "de"},
	} {
		if got := c.site.Language(c.accept); got != c.want {
			t.Errorf("Language(%.40q) = %s, want %s", c.accept, got, c.want)
		}
	}
}

func TestLongAcceptLanguageCostsNothingMore(t *testing.T) {
	s := newSite(t, Options{})
	cost := func(header string) float64 { return testing.AllocsPerRun(20, func() { s.Language(header) }) }
	at := cost(strings.Repeat("zh-CN;q=0.5,", maxAcceptLanguage/12))
	if got := cost(strings.Repeat("zh-CN;q=0.5,", 1<<16)); got > at+1 {
		t.Errorf("%v allocations for a long header, %v for one at the limit", got, at)
	}
}

func TestPageIsInTheLanguageOfTheView(t *testing.T) {
	s := newSite(t, Options{})
	for lang, want := range map[Lang]string{"en": "en", "zh-Hans": "zh-Hans", "": "en", `"><x`: "en"} {
		v := signInView()
		v.Lang = lang
		d := parse(t, render(t, s, "sign-in", v))
		wantAttr(t, d[0], "lang", want)
		wantAttr(t, d[0], "dir", "ltr")
	}
}

func TestEveryLanguageIsChosenByItsTagAndHasItsDirection(t *testing.T) {
	s := newSite(t, Options{})
	for _, tag := range tags() {
		if got := s.Language(tag + ",en;q=0.5"); got != Lang(tag) {
			t.Errorf("%s is answered in %s", tag, got)
		}
		d := parse(t, render(t, s, "sign-in", with(func(v *View) { v.Lang = Lang(tag) })))
		wantAttr(t, d[0], "lang", tag)
		wantAttr(t, d[0], "dir", s.Text(Lang(tag), "direction"))
	}
}

func TestUnknownLanguagesAreRefused(t *testing.T) {
	for wish, want := range map[string]string{
		"tlh": `languages: "tlh" is not one of en, zh-Hans, zh-Hant, ru`, "": `languages: "" is not one of`, "en": "languages: en is named twice",
	} {
		if _, err := New(Options{Languages: []string{"en", wish}}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", wish, err, want)
		}
	}
}

func TestEveryCodeHasItsOwnWords(t *testing.T) {
	s := newSite(t, Options{})
	for _, lang := range s.tags {
		broken := s.Text(lang, "internal_error")
		for _, code := range append(notices, codes...) {
			got := s.Text(lang, code, 30)
			if got == "" || strings.ContainsAny(got, "{}") || (got == broken && code != "internal_error") {
				t.Errorf("%s %s: %q", lang, code, got)
			}
		}
		if got := s.Text(lang, "no_such_code"); got != broken {
			t.Errorf("%s: an unknown code is told as %q", lang, got)
		}
	}
	if got := s.Text("nonsense", "sign_in"); got != "Sign in" {
		t.Errorf("a language that is not offered gives %q", got)
	}
}

func TestWaitIsToldInOneUnitAndNeverTooShort(t *testing.T) {
	s := newSite(t, Options{})
	for seconds, want := range map[any]string{
		-5: "2 seconds", 0: "2 seconds", 1: "2 seconds", 45: "45 seconds", 89: "89 seconds", 90: "2 minutes", 120: "2 minutes",
		121: "3 minutes", 5399: "90 minutes", 5400: "2 hours", 7201: "3 hours", "soon": "2 seconds",
	} {
		if got := s.Text("en", "throttled", seconds); !strings.Contains(got, " "+want+",") {
			t.Errorf("%v: %q, want %s", seconds, got, want)
		}
	}
	if got := s.Text("en", "throttled"); !strings.Contains(got, "2 seconds") {
		t.Errorf("without a wait: %q", got)
	}
	if got := s.Text("zh-Hans", "throttled", 300); !strings.Contains(got, "5 分钟") {
		t.Errorf("Chinese: %q", got)
	}
}

func FuzzLanguage(f *testing.F) {
	for _, seed := range []string{"", "en", "zh-CN,zh;q=0.9", "*", "de;q=x", "\x00", "zh-Hant-TW-u-ca-roc;q=1.000", "x-private", "i-klingon,en--US"} {
		f.Add(seed)
	}
	s := newSite(f, Options{})
	f.Fuzz(func(t *testing.T, header string) {
		if got := s.Language(header); !slices.Contains(s.tags, got) {
			t.Fatalf("Language(%q) = %q", header, got)
		}
	})
}

func TestMessagesHaveTheCodeAndFitIntoAnSMS(t *testing.T) {
	s := newSite(t, Options{})
	// What one SMS holds: 160 characters of GSM 03.38 or 70 of any kind. The
	// texts have none that count twice.
	const gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	site := strings.Repeat("a-z.", 10)
	inGSM := func(text string) bool {
		return !strings.ContainsFunc(text, func(c rune) bool { return !strings.ContainsRune(gsm, c) })
	}
	for _, lang := range s.tags {
		for kind := range messages {
			subject, text := s.Message(lang, kind, "012345", site, 10)
			if strings.Count(text, "012345") != 1 || strings.Count(text, site) != 1 || !strings.Contains(text, "10") || strings.ContainsAny(text, "{}") {
				t.Errorf("%s %s: %q", lang, kind, text)
			}
			if strings.Contains(subject, "012345") || strings.ContainsAny(subject, "{}\r\n") || (subject == "") != (kind == "sms") {
				t.Errorf("OTP-7: %s %s: subject %q", lang, kind, subject)
			}
			for line := range strings.Lines(text) {
				if len(line) > 998 { // RFC 5322, 2.1.1
					t.Errorf("%s %s: a line of %d bytes", lang, kind, len(line))
				}
			}
		}
		_, text := s.Message(lang, "sms", "012345", site, 10)
		limit := 160
		if !inGSM(text) {
			limit = 70
		}
		// Where a language can do without other characters, it has room to warn.
		latin := slices.Contains([]Lang{"en", "es", "pt", "de", "fr"}, lang)
		if n := utf8.RuneCountInString(text); n > limit || (latin && limit != 160) {
			t.Errorf("%s: %d of %d characters: %s", lang, n, limit, text)
		}
		// A site without a title has a name that fits into its sentences.
		if _, text := s.Message(lang, "sms", "012345", "", 10); !strings.Contains(text, s.Text(lang, thisSite)) || (latin && !inGSM(text)) {
			t.Errorf("%s: %q", lang, text)
		}
	}
}

func TestMessagesPutNothingIntoWhatIsPutIn(t *testing.T) {
	s := newSite(t, Options{})
	for kind := range messages {
		if _, text := s.Message("en", kind, "{minutes}", "{code}", 7); strings.Count(text, "{code}") != 1 || strings.Count(text, "{minutes}") != 1 {
			t.Errorf("%s: %q", kind, text)
		}
	}
	if subject, text := s.Message("en", "nothing", "1", "x", 1); subject != "" || text != "" {
		t.Errorf("an unknown kind is %q, %q", subject, text)
	}
	if _, text := s.Message("tlh", "sms", "1", "x", 1); !strings.HasPrefix(text, "1 is your code") {
		t.Errorf("a language that is not offered: %q", text)
	}
}
