package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// mutant is one change.
type mutant struct {
	id                       int
	file, function, was, now string
	line                     int
	fate                     fate
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d %s: %s  ->  %s", m.file, m.line, m.function, m.was, m.now)
}

// The comparison that is false when the other is true, and the one that differs
// where both sides are equal.
var (
	opposite = map[token.Token]token.Token{
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
	}
	neighbour = map[token.Token]token.Token{
		token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	}
	logical    = map[token.Token]token.Token{token.LAND: token.LOR, token.LOR: token.LAND}
	arithmetic = []token.Token{token.ADD, token.SUB, token.MUL, token.QUO, token.REM}
)

// tells is what only logs, counts for metrics or is about the process: the
// integration tests look at these.
var tells = regexp.MustCompile(`^(measured\.|g\.tell|g\.logger\.|g\.signInFailed|defer (cancel|timer)|cancel\(|panic\()`)

// edit replaces a stretch of the source.
type edit struct {
	from, to int
	make     func(inner string) string // of the stretch with its own edits made
}

// mutator finds the places of one file.
type mutator struct {
	name     string
	text     string
	fset     *token.FileSet
	edits    []edit
	mutants  []*mutant
	next     *int
	barred   map[string]bool // changes that do not compile
	function string
}

// mutate returns the source with all changes in it, each off until chosen, and what
// they are. Numbers go on from next.
func mutate(name, text string, next *int, barred map[string]bool) (string, []*mutant, error) {
	m := &mutator{name: name, text: text, fset: token.NewFileSet(), next: next, barred: barred}
	file, err := parser.ParseFile(m.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return "", nil, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			m.function = f.Name.Name
			m.inFunction(f.Body)
		}
	}
	return m.apply(), m.mutants, nil
}

func (m *mutator) offset(p token.Pos) int   { return m.fset.Position(p).Offset }
func (m *mutator) source(n ast.Node) string { return m.text[m.offset(n.Pos()):m.offset(n.End())] }
func (m *mutator) replace(n ast.Node, f func(string) string) {
	m.edits = append(m.edits, edit{m.offset(n.Pos()), m.offset(n.End()), f})
}

var spaces = regexp.MustCompile(`\s+`)

// add notes a change of a node, unless it is known not to compile; 0 is no change.
func (m *mutator) add(n ast.Node, now string) int {
	plain := func(s string) string { return spaces.ReplaceAllString(s, " ") }
	one := &mutant{
		file: m.name, line: m.fset.Position(n.Pos()).Line, function: m.function, was: plain(m.source(n)), now: plain(now),
	}
	if m.barred[one.String()] {
		return 0
	}
	*m.next++
	one.id = *m.next
	m.mutants = append(m.mutants, one)
	return one.id
}

// inFunction walks through a body.
func (m *mutator) inFunction(body *ast.BlockStmt) {
	conditions := map[ast.Expr]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.ArrayType:
			return false // its length is a constant
		case *ast.IfStmt:
			conditions[n.Cond] = true
		case *ast.ForStmt:
			conditions[n.Cond] = n.Cond != nil
		case *ast.SwitchStmt:
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					conditions[e] = n.Tag == nil
				}
			}
		case *ast.BinaryExpr:
			if _, ok := logical[n.Op]; ok {
				conditions[n.X], conditions[n.Y] = true, true
			}
			m.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				m.choose(n, m.source(n.X))
			}
		case *ast.CallExpr, *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr:
			if conditions[n.(ast.Expr)] {
				m.choose(n.(ast.Expr), "!"+m.source(n))
			}
		case *ast.BlockStmt:
			m.statements(n.List)
		case *ast.CaseClause:
			m.statements(n.Body)
		case *ast.CommClause:
			m.statements(n.Body)
		}
		return true
	})
}

// choose puts the changed expression beside the right one.
func (m *mutator) choose(n ast.Expr, now string) {
	if id := m.add(n, now); id > 0 {
		m.replace(n, func(inner string) string {
			return fmt.Sprintf("func() bool { if mutantIs(%d) { return %s }; return %s }()", id, now, inner)
		})
	}
}

func (m *mutator) binary(n *ast.BinaryExpr) {
	x, y := m.source(n.X), m.source(n.Y)
	with := func(op token.Token) string { return x + " " + op.String() + " " + y }
	switch {
	case opposite[n.Op] != 0:
		m.choose(n, with(opposite[n.Op]))
		if other := neighbour[n.Op]; other != 0 {
			m.choose(n, with(other))
		}
	case logical[n.Op] != 0:
		m.choose(n, "("+x+") "+logical[n.Op].String()+" ("+y+")")
	case slices.Contains(arithmetic, n.Op) && isHarmless(n.X):
		if id := m.add(n, x); id > 0 {
			m.replace(n, func(inner string) string { return fmt.Sprintf("mutantOr(%d, %s, %s)", id, inner, x) })
		}
	}
}

// isHarmless reports whether an expression may be evaluated twice.
func isHarmless(e ast.Expr) bool {
	harmless := true
	ast.Inspect(e, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, isName := call.Fun.(*ast.Ident)
			harmless = harmless && isName && slices.Contains([]string{"len", "min", "max", "int", "int64", "uint64", "string", "byte"}, name.Name)
		}
		return true
	})
	return harmless
}

// statements leaves one out: a call or an assignment.
func (m *mutator) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.DeferStmt, *ast.IncDecStmt:
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || m.source(s.Lhs[0]) == "_" {
				continue
			}
		default:
			continue
		}
		if tells.MatchString(m.source(s)) {
			continue
		}
		if id := m.add(s, "(nothing)"); id > 0 {
			m.replace(s, func(inner string) string { return fmt.Sprintf("if !mutantIs(%d) { %s }", id, inner) })
		}
	}
}

// apply makes the edits, the inner ones first.
func (m *mutator) apply() string {
	slices.SortStableFunc(m.edits, func(a, b edit) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to // the outer one first
	})
	var out strings.Builder
	rest := m.edits
	m.render(&out, 0, len(m.text), &rest)
	return out.String()
}

// render writes a stretch with the edits that begin in it.
func (m *mutator) render(out *strings.Builder, from, to int, rest *[]edit) {
	for len(*rest) > 0 && (*rest)[0].from < to {
		e := (*rest)[0]
		*rest = (*rest)[1:]
		out.WriteString(m.text[from:e.from])
		var inner strings.Builder
		m.render(&inner, e.from, e.to, rest)
		out.WriteString(e.make(inner.String()))
		from = e.to
	}
	out.WriteString(m.text[from:to])
}
