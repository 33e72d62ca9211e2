package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// spelled is what the grammars do not show word by word: values that stand
// behind the name of their block, or behind one word together.
var spelled = map[string]string{
	"Gate.protect":                 "captcha_gate <matcher> { ... }",
	"CaptchaConfig.width":          "size <width> <height>",
	"CaptchaConfig.height":         "size <width> <height>",
	"NoiseConfig.lines":            "noise lines=<n>",
	"NoiseConfig.dots":             "noise dots=<n>",
	"NoiseConfig.arcs":             "noise arcs=<n>",
	"NoiseConfig.colour":           "noise colour=bands|character",
	"LimitConfig.events":           "<n>",
	"LimitConfig.window":           "<window>",
	"StateConfig.store":            "state local|memory|redis",
	"StateConfig.file":             "state local <file>",
	"StateConfig.redis":            "state redis <url> { ... }",
	"RedisConfig.url":              "redis <url>",
	"SignUpLimitConfig.per_client": "sign_up_limit <n> ...",
	"SignUpLimitConfig.users":      "sign_up_limit ... <n>",
	"SecondStepConfig.channel":     "second_step sms|email|none",
	"SecondStepConfig.senders":     "sender <module> ...",
	"SendLimitsConfig.user":        "limits user=<n>/<window>",
	"SendLimitsConfig.destination": "limits destination=<n>/<window>",
	"SendLimitsConfig.network":     "limits network=<n>/<window>",
	"SendLimitsConfig.total":       "limits total=<n>/<window>",
	"SMTP.server":                  "smtp <host:port>",
	"Webhook.url":                  "webhook <url>",
}

// writer writes the page.
type writer struct {
	bytes.Buffer
	used    map[string]bool // of spelled
	written []string        // structs that have their place
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

func (w *writer) begin(gate *source) {
	w.printf(`# Every option

Made from the source by %[1]smake docs%[1]s; a test fails when it is not current. [Caddyfile.example](../Caddyfile.example) shows the
usual ones in their places.

| kind of value | in a Caddyfile | in JSON |
|---|---|---|
| duration | %[1]s90s%[1]s, %[1]s12h%[1]s, %[1]s30d%[1]s, %[1]s1h30m%[1]s | the same as a text, or nanoseconds |
| switch | %[1]son%[1]s, %[1]soff%[1]s | %[1]strue%[1]s, %[1]sfalse%[1]s |
| several values | one after the other | a list |

%[1]s{env.NAME}%[1]s and %[1]s{file.PATH}%[1]s are replaced in every text when the configuration is loaded; one that is unknown or empty stops the
load. Nothing that a client sends is ever expanded. What cannot be read in a Caddyfile (an unknown word, a word given twice,
a wrong number of values, a duration that is none) stops the load with file and line. What is judged only when the configuration
is loaded (a number out of range, a realm, a header's name, a short secret, a URL, a missing file) stops it with the name of the
option, and without a line. %[1]scaddy adapt%[1]s prints a Caddyfile as JSON, where the handler is
%[1]s{"handler": "captcha_gate", ...}%[1]s.

The whole directive:

%[1]s%[1]s%[1]stext
%[2]s
%[1]s%[1]s%[1]s
`, "`", gate.whole["Gate"])
}

// structure writes a struct and those inside it. around are the words of the
// Caddyfile in whose braces it stands.
func (w *writer) structure(s *source, name string, around []string) error {
	if slices.Contains(w.written, name) {
		return nil
	}
	w.written = append(w.written, name)
	options, err := s.options(name)
	if err != nil {
		return err
	}
	w.printf("\n%s %s\n\n%s\n", strings.Repeat("#", 2+min(1, len(around))+senderLevel(s)), heading(s, name, around), prose(name, s.comments[name]))
	w.printf("\n| Caddyfile | JSON | type | default | |\n|---|---|---|---|---|\n")
	type inner struct {
		name   string
		around []string
	}
	var inside []inner
	for _, o := range options {
		path := slices.Concat(around, []string{o.name})
		syntax, err := w.syntax(s, name, o.name, path)
		if err != nil {
			return err
		}
		kind, structure := kindOf(s, o.kind)
		if structure != "" {
			inside = append(inside, inner{structure, path})
		}
		text, value := split(o.comment)
		if kind == "switch" {
			value = strings.NewReplacer("true", "on", "false", "off").Replace(value)
		}
		w.printf("| `%s` | `%s` | %s | %s | %s |\n", cell(syntax), o.name, kind, cell(value), cell(text))
	}
	for _, i := range inside {
		if err := w.structure(s, i.name, i.around); err != nil {
			return err
		}
	}
	return nil
}

// senderLevel puts the senders one heading lower than the gate.
func senderLevel(s *source) int {
	if s.structs["Gate"] == nil {
		return 1
	}
	return 0
}

func heading(s *source, name string, around []string) string {
	switch {
	case name == "LimitConfig":
		return "A limit"
	case len(around) > 0:
		return strings.Join(around, " ")
	case name == "Gate":
		return "captcha_gate"
	}
	// The name of a sender is the first word of its grammar.
	word, _, _ := strings.Cut(s.whole[name], " ")
	return word
}

// syntax is how an option is written in a Caddyfile.
func (w *writer) syntax(s *source, structure, name string, path []string) (string, error) {
	grammar, word := s.grammars[structure], name
	if grammar == nil { // a block inside the directive
		grammar, word = s.grammars["Gate"], strings.Join(path, ".")
	}
	key := structure + "." + name
	shown, ok := grammar[word]
	if by, listed := spelled[key]; listed {
		w.used[key] = true
		if ok && structure != "Webhook" {
			return "", fmt.Errorf("%s needs no entry in spelled: the grammar has it", key)
		}
		return by, nil
	}
	if !ok {
		return "", fmt.Errorf("%s: no word in the grammar, and no entry in spelled", key)
	}
	return shown, nil
}

// leftOver complains about entries of spelled that no option has.
func (w *writer) leftOver() error {
	for _, key := range slices.Sorted(maps.Keys(spelled)) {
		if !w.used[key] {
			return fmt.Errorf("spelled has %s, which is no option", key)
		}
	}
	return nil
}

// kindOf names a type, and the struct of this package that it is, if any.
func kindOf(s *source, e ast.Expr) (kind, structure string) {
	name := strings.TrimPrefix(types.ExprString(e), "*")
	if _, ok := s.structs[name]; ok {
		return "block", name
	}
	known := map[string]string{
		"string": "text", "int": "number", "bool": "switch", "Secret": "text", "[]Secret": "texts", "[]string": "texts",
		"caddy.Duration": "duration", "map[string]Secret": "texts by name", "[]json.RawMessage": "modules",
		"caddyhttp.RawMatcherSets": "matchers",
	}
	if kind, ok := known[name]; ok {
		return kind, ""
	}
	return name, ""
}

var (
	defaultSentence  = regexp.MustCompile(`\s*\bDefault: (.+?)\.(?:\s|$)`)
	requiredSentence = regexp.MustCompile(`\s*\bRequired( unless [^.]+)?\.(?:\s|$)`)
	plainValue       = regexp.MustCompile(`^[\w./:-]+$`)
)

// split takes the default out of a comment.
func split(comment string) (text, value string) {
	if m := defaultSentence.FindStringSubmatch(comment); m != nil {
		value = m[1]
		if plainValue.MatchString(value) && value != "none" && value != "all" {
			value = "`" + value + "`"
		}
		return strings.TrimSpace(strings.Replace(comment, m[0], " ", 1)), value
	}
	if m := requiredSentence.FindStringSubmatch(comment); m != nil {
		return strings.TrimSpace(strings.Replace(comment, m[0], " ", 1)), "required" + m[1]
	}
	return comment, ""
}

// prose is a struct's comment without its name in front.
func prose(name, comment string) string {
	rest, ok := strings.CutPrefix(comment, name+" ")
	if !ok {
		return strings.TrimSpace(comment)
	}
	if a, ok := strings.CutPrefix(rest, "is "); ok {
		rest = a
	}
	return strings.TrimSpace(strings.ToUpper(rest[:1]) + rest[1:])
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
