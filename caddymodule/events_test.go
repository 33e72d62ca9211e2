package caddymodule

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// saidInSource are the messages of all logger calls below this folder, with their
// levels. A message that is not written out there must be an event.
func saidInSource(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{}
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // eventX event = "..."
				name, ok := n.Type.(*ast.Ident)
				if ok && name.Name == "event" && len(n.Values) == 1 {
					if text, ok := n.Values[0].(*ast.BasicLit); ok {
						said[textOfLiteral(t, text)] = "info"
					}
				}
			case *ast.CallExpr:
				level, message := loggerCall(n)
				switch literal, isLiteral := message.(*ast.BasicLit); {
				case level == "":
				case isLiteral:
					said[textOfLiteral(t, literal)] = level
				case !isEvent(message):
					t.Errorf("%s: a message that is neither a text nor an event", files.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// loggerCall is the level and message of a call such as g.logger.Info("...").
func loggerCall(call *ast.CallExpr) (level string, message ast.Expr) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, method.Sel.Name) {
		return "", nil
	}
	name := ""
	switch of := method.X.(type) {
	case *ast.Ident:
		name = of.Name
	case *ast.SelectorExpr:
		name = of.Sel.Name
	}
	if !strings.EqualFold(name, "logger") {
		return "", nil
	}
	return strings.ToLower(method.Sel.Name), call.Args[0]
}

// isEvent is string(e) or string(eventX), with e of type event.
func isEvent(message ast.Expr) bool {
	call, ok := message.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return false
	}
	to, isName := call.Fun.(*ast.Ident)
	what, isArgument := call.Args[0].(*ast.Ident)
	return isName && to.Name == "string" && isArgument && (what.Name == "e" || strings.HasPrefix(what.Name, "event"))
}

func textOfLiteral(t *testing.T, literal *ast.BasicLit) string {
	t.Helper()
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var logRow = regexp.MustCompile("^\\| `([^`]+)` \\| ([a-z]+) \\| (.*) \\|$")

// The log is what filters and people rely on: docs/observe/logs.md has every message
// with its level, and a line of each as Caddy writes it.
func TestLOG2_EveryMessageIsDocumentedWithALine(t *testing.T) {
	said := saidInSource(t)
	if len(said) < 30 {
		t.Fatalf("only %d messages found in the source", len(said))
	}
	page, err := os.ReadFile("../docs/observe/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, samples := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if row := logRow.FindStringSubmatch(line); row != nil {
			documented[row[1]] = row[2]
		}
		if strings.HasPrefix(line, `{"`) {
			var sample struct{ Level, Logger, Msg, Realm string }
			if err := json.Unmarshal([]byte(line), &sample); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if sample.Logger != "http.handlers.captcha_gate" || sample.Realm == "" {
				t.Errorf("not a line of the gate: %s", line)
			}
			samples[sample.Msg] = sample.Level
		}
	}
	for what, found := range map[string]map[string]string{"table": documented, "sample lines": samples} {
		if !maps.Equal(found, said) {
			for message, level := range said {
				if found[message] != level {
					t.Errorf("%s: %s %q is said there as %q", what, level, message, found[message])
				}
			}
			for message := range found {
				if said[message] == "" {
					t.Errorf("%s: nothing says %q", what, message)
				}
			}
		}
	}
}
