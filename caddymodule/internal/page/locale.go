package page

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

//go:embed locales/*.json
var localeFiles embed.FS

// builtIn are the languages there are texts for, in the order in which they are
// offered; the first one is the fallback. Each has a file locales/TAG.json with
// the same keys.
var builtIn = []struct {
	tag Lang
	// name is what the language calls itself: who looks for it may read no other.
	// word is what it calls a language.
	name, word string
}{
	{"en", "English", "Language"},
	{"zh-Hans", "简体中文", "语言"},
	{"zh-Hant", "繁體中文", "語言"},
	{"ru", "Русский", "Язык"},
	{"es", "Español", "Idioma"},
	{"pt", "Português", "Idioma"},
	{"de", "Deutsch", "Sprache"},
	{"fr", "Français", "Langue"},
	{"ja", "日本語", "言語"},
	{"ko", "한국어", "언어"},
	{"ar", "العربية", "اللغة"},
	{"hi", "हिन्दी", "भाषा"},
	{"tr", "Türkçe", "Dil"},
	{"id", "Bahasa Indonesia", "Bahasa"},
	{"vi", "Tiếng Việt", "Ngôn ngữ"},
}

// Lang is the BCP 47 tag of a language that a [Site] offers. A site takes every
// other value for its first language.
type Lang string

// languages are the texts that a site offers, in order of preference.
type languages struct {
	tags    []Lang
	texts   map[Lang]map[string]string
	matcher language.Matcher
}

func loadLanguages(wish []string) (languages, error) {
	var all []string
	for _, b := range builtIn {
		all = append(all, string(b.tag))
	}
	if len(wish) == 0 {
		wish = all
	}
	l := languages{texts: map[Lang]map[string]string{}}
	var tags []language.Tag
	for _, name := range wish {
		i := slices.IndexFunc(all, func(tag string) bool { return strings.EqualFold(tag, name) })
		if i < 0 {
			return l, fmt.Errorf("languages: %q is not one of %s", name, strings.Join(all, ", "))
		}
		lang := builtIn[i].tag
		if l.texts[lang] != nil {
			return l, fmt.Errorf("languages: %s is named twice", lang)
		}
		texts, err := readTexts(all[i])
		if err != nil {
			return l, err
		}
		l.texts[lang] = texts
		l.tags = append(l.tags, lang)
		tags = append(tags, language.MustParse(all[i]))
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

func readTexts(tag string) (map[string]string, error) {
	name := "locales/" + tag + ".json"
	file, err := localeFiles.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var texts map[string]string
	if err := json.Unmarshal(file, &texts); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(texts) == 0 {
		return nil, errors.New(name + ": no texts")
	}
	return texts, nil
}

// maxAcceptLanguage is how much of an Accept-Language header is looked at, in
// bytes. Browsers send less; whoever sends more gets no more work out of it.
const maxAcceptLanguage = 256

// Language is the offered language that suits an Accept-Language header best,
// the first offered one if none does.
func (l *languages) Language(acceptLanguage string) Lang {
	if len(acceptLanguage) > maxAcceptLanguage {
		whole := strings.LastIndexByte(acceptLanguage[:maxAcceptLanguage], ',')
		acceptLanguage = acceptLanguage[:max(0, whole)]
	}
	if acceptLanguage == "" || len(l.tags) == 1 {
		return l.tags[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return l.tags[0]
	}
	_, i, confidence := l.matcher.Match(wanted...)
	if confidence == language.No {
		return l.tags[0] // else the matcher prefers what is written in the same script
	}
	return l.tags[i]
}

// Languages are those that the site offers, in the order of preference.
func (l *languages) Languages() []Lang { return l.tags }

// Offers finds the offered language with this tag.
func (l *languages) Offers(tag string) (Lang, bool) {
	_, ok := l.texts[Lang(tag)]
	return Lang(tag), ok
}

func (l *languages) known(lang Lang) Lang {
	if _, ok := l.texts[lang]; ok {
		return lang
	}
	return l.tags[0]
}

// Text is a text by its key, among them every code of the contract. For a text
// that tells a wait, such as "throttled", the argument is the wait in seconds
// (an int); other texts ignore it. An unknown key is told as internal_error.
func (l *languages) Text(lang Lang, key string, args ...any) string {
	lang = l.known(lang)
	text, ok := l.texts[lang][key]
	if !ok {
		text = l.texts[lang]["internal_error"]
	}
	if !strings.Contains(text, "{wait}") {
		return text
	}
	seconds := 0
	if len(args) > 0 {
		seconds, _ = args[0].(int)
	}
	return strings.ReplaceAll(text, "{wait}", l.wait(lang, seconds))
}

// Message is what to send with a code that is good for so many minutes. The kind
// is "sms", a text of one SMS for a second step; "second_step", the same as a
// mail; or "sign_up", a mail that confirms the address of a new account. Only
// mails have a subject, and the code is not in it, for subjects get logged
// (OTP-7). The texts are plain, with lines that end in "\n".
func (l *languages) Message(lang Lang, kind, code, site string, minutes int) (subject, text string) {
	keys, ok := messages[kind]
	if !ok {
		return "", ""
	}
	if site == "" {
		site = l.Text(lang, thisSite)
	}
	// One pass, so that nothing is looked for in what was put in.
	fill := strings.NewReplacer("{code}", code, "{site}", site, "{minutes}", strconv.Itoa(minutes))
	if keys.subject != "" {
		subject = fill.Replace(l.Text(lang, keys.subject))
	}
	return subject, fill.Replace(l.Text(lang, keys.text))
}

// thisSite is the key of what stands for a site without a title.
const thisSite = "this_site"

// messages are the keys of the texts to send.
var messages = map[string]struct{ subject, text string }{
	"sms":         {"", "sms_text"},
	"second_step": {"mail_subject", "mail_text"},
	"sign_up":     {"sign_up_mail_subject", "sign_up_mail_text"},
}

// wait tells a time in one unit and, so that no language needs a singular, as
// at least two of it: seconds to a minute and a half, minutes to an hour and a
// half, then hours, never less than it is.
func (l *languages) wait(lang Lang, seconds int) string {
	key, n := "seconds", seconds
	switch {
	case seconds >= 90*60:
		key, n = "hours", (seconds-1)/3600+1
	case seconds >= 90:
		key, n = "minutes", (seconds-1)/60+1
	}
	return strings.ReplaceAll(l.texts[lang][key], "{n}", strconv.Itoa(max(2, n)))
}
