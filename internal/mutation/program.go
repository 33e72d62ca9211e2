package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fate is what became of a change.
type fate string

const (
	killed    fate = "noticed"
	stuck     fate = "did not end"
	lived     fate = "lived"
	unreached fate = "no test comes by"
)

// program is the test program of a package with all changes in it.
type program struct {
	dir, scratch string
	barred       map[string]bool  // changes that do not compile
	reached      map[int][]string // the tests that come by a change
	took         map[string]time.Duration
}

// chooser is compiled into the package: it tells which change is on, and notes where
// the tests come by.
const chooser = `
import (
	"os"
	"strconv"
	"sync"
)

var (
	mutantChosen, _ = strconv.Atoi(os.Getenv("MUTANT"))
	mutantNotes     = os.Getenv("MUTANT_NOTES")
	mutantNoted     sync.Map
)

func mutantIs(id int) bool {
	if mutantNotes != "" {
		if _, known := mutantNoted.LoadOrStore(id, true); !known {
			if f, err := os.OpenFile(mutantNotes, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				_, _ = f.WriteString(strconv.Itoa(id) + "\n")
				_ = f.Close()
			}
		}
	}
	return id == mutantChosen
}

func mutantOr[T any](id int, whole, part T) T {
	if mutantIs(id) {
		return part
	}
	return whole
}
`

var complaint = regexp.MustCompile(`(?m)^(?:\S*/)?([^/\s]+\.go):(\d+):\d+: (.*)$`)

// build compiles the program. Changes that do not compile are barred, and it is
// compiled again.
func (p *program) build(paths []string) ([]*mutant, error) {
	for range 30 {
		mutants, written, err := p.write(paths)
		if err != nil {
			return nil, err
		}
		build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(p.scratch, "overlay.json"), "-o", p.binary(), "./"+p.dir) //nolint:gosec // the Makefile names the package
		out, err := build.CombinedOutput()
		if err == nil {
			return mutants, nil
		}
		barred := len(p.barred)
		for _, c := range complaint.FindAllStringSubmatch(string(out), -1) {
			p.bar(written[c[1]], c[2], mutants)
		}
		if len(p.barred) == barred {
			return nil, fmt.Errorf("building the tests: %w\n%s", err, out)
		}
	}
	return nil, errors.New("too many changes do not compile")
}

var chosen = regexp.MustCompile(`mutant(?:Is|Or)\((\d+)`)

// bar excludes the changes in a line of a written file.
func (p *program) bar(text, line string, mutants []*mutant) {
	lines := strings.Split(text, "\n")
	n, _ := strconv.Atoi(line) // the pattern has digits only
	if n < 1 || n > len(lines) {
		return
	}
	for _, c := range chosen.FindAllStringSubmatch(lines[n-1], -1) {
		id, _ := strconv.Atoi(c[1])
		for _, m := range mutants {
			if m.id == id {
				p.barred[m.String()] = true
			}
		}
	}
}

func (p *program) binary() string { return filepath.Join(p.scratch, "tests") }

// write makes the changed sources and tells the compiler of them.
func (p *program) write(paths []string) (mutants []*mutant, written map[string]string, err error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	put := func(name, text string) error {
		from, err := filepath.Abs(filepath.Join(p.dir, name))
		if err != nil {
			return err
		}
		to := filepath.Join(p.scratch, name)
		overlay.Replace[from] = to
		return os.WriteFile(to, []byte(text), 0o600)
	}
	written = map[string]string{}
	next, name := 0, ""
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		changed, found, err := mutate(path, string(text), &next, p.barred)
		if err != nil {
			return nil, nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.PackageClauseOnly)
		if err != nil {
			return nil, nil, err
		}
		name = file.Name.Name
		mutants = append(mutants, found...)
		written[filepath.Base(path)] = changed
		if err := put(filepath.Base(path), changed); err != nil {
			return nil, nil, err
		}
	}
	if err := put("mutant_chooser.go", "package "+name+"\n"+chooser); err != nil {
		return nil, nil, err
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return nil, nil, err
	}
	return mutants, written, os.WriteFile(filepath.Join(p.scratch, "overlay.json"), list, 0o600)
}

// explore runs each test by itself, without any change, and notes what it comes by.
func (p *program) explore(tests string) error {
	out, err := p.command(context.Background(), "-test.list", tests).Output()
	if err != nil {
		return fmt.Errorf("listing the tests: %w", err)
	}
	p.reached, p.took = map[int][]string{}, map[string]time.Duration{}
	for name := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		notes := filepath.Join(p.scratch, "notes")
		_ = os.Remove(notes) // of the test before
		run := p.command(context.Background(), "-test.run", "^"+name+"$", "-test.timeout", "5m")
		run.Env = append(os.Environ(), "MUTANT_NOTES="+notes)
		began := time.Now()
		if out, err := run.CombinedOutput(); err != nil {
			// A test that counts allocations, say, does not like the switches.
			fmt.Printf("%s is left out, it fails without any change:\n%s\n", name, out)
			continue
		}
		p.took[name] = time.Since(began)
		text, _ := os.ReadFile(notes) // none where it comes by nothing
		for id := range strings.FieldsSeq(string(text)) {
			n, _ := strconv.Atoi(id)
			p.reached[n] = append(p.reached[n], name)
		}
	}
	return nil
}

// command runs the test program where go test would.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	run := exec.CommandContext(ctx, p.binary(), args...) //nolint:gosec // what build has built
	run.Dir = p.dir
	return run
}

// try runs the tests that come by a change with that change, quick ones first.
func (p *program) try(id int) fate {
	tests := slices.Clone(p.reached[id])
	if len(tests) == 0 {
		return unreached
	}
	slices.SortFunc(tests, func(a, b string) int { return int(p.took[a] - p.took[b]) })
	for len(tests) > 0 {
		batch, sum := 0, time.Duration(0)
		for batch < len(tests) && (batch == 0 || sum+p.took[tests[batch]] < time.Second) {
			sum += p.took[tests[batch]]
			batch++
		}
		if f := p.runWith(id, tests[:batch], 5*time.Second+10*sum); f != lived {
			return f
		}
		tests = tests[batch:]
	}
	return lived
}

func (p *program) runWith(id int, tests []string, limit time.Duration) fate {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	run := p.command(ctx, "-test.failfast", "-test.run", "^("+strings.Join(tests, "|")+")$")
	run.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(id))
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	run.WaitDelay = time.Second // what the tests have started may hold its output
	switch err := run.Run(); {
	case err == nil:
		return lived
	case ctx.Err() != nil:
		return stuck
	}
	return killed
}
