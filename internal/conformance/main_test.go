package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testNames are the names of all tests in the repository, and of their cases: what a
// literal begins with a requirement, but for what a test says when it fails.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(path, "_test.go") && filepath.Base(filepath.Dir(path)) != "statetest":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			names = append(names, testNamesIn(file)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func testNamesIn(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz") {
				names = append(names, n.Name.Name)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && failing[f.Sel.Name] {
				return false
			}
			if f, ok := n.Fun.(*ast.Ident); ok && failing[f.Name] {
				return false
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if at := named.FindStringIndex(text); err == nil && at != nil && at[0] == 0 {
				names = append(names, text)
			}
		}
		return true
	})
	return names
}

// failing are the functions whose words are for who reads of a failure.
var failing = map[string]bool{
	"Error": true, "Errorf": true, "Fatal": true, "Fatalf": true, "Log": true, "Logf": true, "wantCode": true, "eventually": true,
}

func TestWordsOfAFailureAreNoNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", `package x
// CAP-1 is shown.
func TestSES5_A(t *testing.T) {
	for name := range map[string]int{"CAP-2 empty": 1} {
		t.Run(name, func(t *testing.T) { t.Errorf("CAP-3: %v", "CAP-4") })
	}
	t.Run("WEB-1 stored", nil)
	wantCode(t, "CAP-6: another form")
}
func helper() { t.Error("CSR-1: by GET") }
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := testNamesIn(file); !slices.Equal(got, []string{"TestSES5_A", "CAP-2 empty", "WEB-1 stored"}) {
		t.Errorf("%q", got)
	}
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
