package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// source is what a package says about its options.
type source struct {
	structs  map[string]*ast.StructType
	comments map[string]string // of the structs
	// grammars are what the comments of the methods that read a Caddyfile show, by
	// the name of the struct: of each word, with the words around it, its line.
	grammars map[string]map[string]string
	whole    map[string]string // the same as one text
	// names of structs that are Caddy modules, in alphabetical order
	isModule []string
}

// option is one field of a struct.
type option struct {
	name    string // in JSON
	kind    ast.Expr
	comment string
}

// readPackage reads a folder, without its tests.
func readPackage(dir string) (*source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &source{
		structs: map[string]*ast.StructType{}, comments: map[string]string{},
		grammars: map[string]map[string]string{}, whole: map[string]string{},
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				s.addTypes(d)
			case *ast.FuncDecl:
				s.addMethod(d)
			}
		}
	}
	slices.Sort(s.isModule)
	return s, nil
}

func (s *source) addTypes(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		structure, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		s.structs[t.Name.Name] = structure
		s.comments[t.Name.Name] = d.Doc.Text()
	}
}

func (s *source) addMethod(d *ast.FuncDecl) {
	if d.Recv == nil {
		return
	}
	receiver := strings.TrimPrefix(types.ExprString(d.Recv.List[0].Type), "*")
	switch name := d.Name.Name; {
	case name == "CaddyModule":
		s.isModule = append(s.isModule, receiver)
	case name == "UnmarshalCaddyfile", name == "unmarshal" && strings.Contains(d.Doc.Text(), "Syntax:"):
		s.grammars[receiver], s.whole[receiver] = grammarOf(d.Doc.Text())
	}
}

func (s *source) modules() []string { return s.isModule }

// grammarOf reads the indented lines of a comment. Words are joined by dots; the
// first, the directive's own name, is left out.
func grammarOf(comment string) (lines map[string]string, whole string) {
	lines = map[string]string{}
	var around, text []string
	for line := range strings.Lines(comment) {
		indented, ok := strings.CutPrefix(line, "\t")
		if !ok {
			continue
		}
		text = append(text, strings.TrimRight(indented, "\n"))
		words := strings.Fields(indented)
		if len(words) == 0 {
			continue
		}
		if words[0] == "}" {
			around = around[:len(around)-1]
			continue
		}
		path := slices.Concat(around, words[:1])
		syntax := strings.Join(words, " ")
		if words[len(words)-1] == "{" {
			around = path
			syntax += " ... }"
		}
		lines[strings.Join(path[1:], ".")] = syntax
	}
	return lines, strings.Join(text, "\n")
}

// options are the fields of a struct that JSON knows, in the order of the source.
func (s *source) options(structure string) ([]option, error) {
	t, ok := s.structs[structure]
	if !ok {
		return nil, fmt.Errorf("there is no struct %s", structure)
	}
	var found []option
	for _, f := range t.Fields.List {
		if f.Tag == nil {
			continue
		}
		name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		if f.Doc.Text() == "" {
			return nil, fmt.Errorf("%s.%s has no comment", structure, f.Names[0])
		}
		found = append(found, option{name: name, kind: f.Type, comment: strings.Join(strings.Fields(f.Doc.Text()), " ")})
	}
	return found, nil
}
