package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testNames are the names of all tests in the repository, and of their cases.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	pattern := regexp.MustCompile(`func (?:Test|Fuzz)(\w+)\(|"((?:CAP|CRD|SES|CSR|RED|HDR|PTH|INP|THR|USR|OTP|WEB|LOG)[-_]?[0-9][^"]*)"`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(path, "_test.go") && filepath.Base(filepath.Dir(path)) != "statetest":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1]+m[2])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryDearRequirementHasATestOrAReason(t *testing.T) {
	var shown []string
	for _, name := range testNames(t) {
		shown = append(shown, ids(name)...)
	}
	if len(requirements()) != 111 {
		t.Errorf("%d requirements", len(requirements()))
	}
	for _, q := range requirements() {
		if q.grade != "M" && q.instead == "" && !slices.Contains(shown, q.id) {
			t.Errorf("%s: no test names it: %s", q.id, q.text)
		}
		if q.instead != "" && slices.Contains(shown, q.id) {
			t.Errorf("%s: there is a test, and a reason why there is none", q.id)
		}
	}
	for _, id := range shown {
		if !slices.ContainsFunc(requirements(), func(q requirement) bool { return q.id == id }) {
			t.Errorf("a test names %s, which is none", id)
		}
	}
}

func TestTheTableTellsWhatFailed(t *testing.T) {
	found, err := read(strings.NewReader(`{"Action":"run","Package":"p/q","Test":"TestSES5_A"}
{"Action":"pass","Package":"p/q","Test":"TestSES5_A"}
{"Action":"fail","Package":"p/q","Test":"TestX/CAP-1_parallel_(SES-5)"}
FAIL p/q [build failed]
{"Action":"fail","Package":"p/q"}
`))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	open := report(&table, found)
	for _, want := range []string{
		"| SES-5 | C | a session dies with its user's entry | `q.TestSES5_A` and 1 more | **1 of 2 did not pass** |",
		"| CAP-1 | C | a challenge is judged once, right or wrong | `q.TestX/CAP-1_parallel_(SES-5)` | **1 of 1 did not pass** |",
		"| CAP-2 | C | an unknown challenge or an empty answer is refused |  | **open** |",
		"| RED-4 | M | a Referer becomes no link |  | - |",
	} {
		if !strings.Contains(table.String(), want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	if open < 90 {
		t.Errorf("%d open", open)
	}
}

func TestTheSecurityPageSaysWhatNoTestShows(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range requirements() {
		row := "| " + q.id + ": " + q.text + " | " + q.instead + " |\n"
		if strings.Contains(string(page), row) != (q.instead != "") {
			t.Errorf("docs/security.md on %s; the list says %q", q.id, row)
		}
	}
}
