package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	want, err := reference("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/reference.md is not what the source says; run: make docs")
	}
}

func TestDefaultsAreTakenOutOfComments(t *testing.T) {
	for comment, want := range map[string][2]string{
		"How many. Default: 5.":                      {"How many.", "`5`"},
		"Where. Default: https://a.example/v1.2.":    {"Where.", "`https://a.example/v1.2`"},
		"When. Default: none; 1s when suspicious. X": {"When. X", "none; 1s when suspicious"},
		"Who. Required. Not part of any log.":        {"Who. Not part of any log.", "required"},
		"Who. Required unless human_only is set.":    {"Who.", "required unless human_only is set"},
		"Either this or that is required.":           {"Either this or that is required.", ""},
	} {
		if text, value := split(comment); text != want[0] || value != want[1] {
			t.Errorf("%q: %q, %q", comment, text, value)
		}
	}
}

func TestGrammarIsReadWithItsBlocks(t *testing.T) {
	lines, whole := grammarOf("Reads. Syntax:\n\n\tgate [<matcher>] {\n\t\tusers  <file>\n\t\tcaptcha {\n\t\t\tlength <n>\n\t\t}\n\t\tstate local | redis <url> { ... }\n\t}\n")
	for word, want := range map[string]string{
		"users": "users <file>", "captcha": "captcha { ... }", "captcha.length": "length <n>", "state": "state local | redis <url> { ... }",
	} {
		if lines[word] != want {
			t.Errorf("%s: %q", word, lines[word])
		}
	}
	if len(lines) != 5 || !strings.HasPrefix(whole, "gate [<matcher>] {\n\tusers") {
		t.Errorf("%d lines of\n%s", len(lines), whole)
	}
}
