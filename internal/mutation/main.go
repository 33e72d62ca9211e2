// Command mutation changes the code that decides, one place at a time, and says
// which changes no test notices. `make mutation` runs it over what it is meant for.
//
// All changes of a package stand in one test program, and an environment variable
// chooses one: linking Caddy anew for each would take hours. A change is tried
// with the tests that come by its place. Where none does is said apart: that is a
// matter of coverage, and for some of it of the integration tests.
//
//	mutation [-floor percent] package[:file,file...][=test regexp] ...
package main

import (
	"cmp"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// target is a package, the files of it that are changed (all, where none is named),
// and which of its tests are asked (all, where nothing is said).
type target struct {
	dir   string
	files []string
	tests string
}

func parseTarget(text string) target {
	text, tests, _ := strings.Cut(text, "=")
	dir, files, ok := strings.Cut(text, ":")
	t := target{dir: dir, tests: cmp.Or(tests, ".")}
	if ok {
		t.files = strings.Split(files, ",")
	}
	return t
}

// sources are the files to change.
func (t target) sources() (paths []string, err error) {
	for _, f := range t.files {
		paths = append(paths, filepath.Join(t.dir, f))
	}
	if len(paths) > 0 {
		return paths, nil
	}
	all, err := filepath.Glob(filepath.Join(t.dir, "*.go"))
	return slices.DeleteFunc(all, func(p string) bool { return strings.HasSuffix(p, "_test.go") }), err
}

// run tries all changes of a target and returns them, judged.
func (t target) run() ([]*mutant, error) {
	scratch, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	paths, err := t.sources()
	if err != nil {
		return nil, err
	}
	p := &program{dir: t.dir, scratch: scratch, barred: map[string]bool{}}
	mutants, err := p.build(paths)
	if err != nil {
		return nil, err
	}
	if err := p.explore(t.tests); err != nil {
		return nil, err
	}
	queue := make(chan *mutant)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for m := range queue {
				m.fate = p.try(m.id)
			}
		})
	}
	for _, m := range mutants {
		queue <- m
	}
	close(queue)
	workers.Wait()
	return mutants, nil
}

// tally counts fates.
type tally map[fate]int

func (t tally) add(m *mutant) { t[m.fate]++ }

// noticed is how many percent of the changes were noticed where tests come by.
func (t tally) noticed() float64 {
	noticed := t[killed] + t[stuck]
	return 100 * float64(noticed) / float64(max(1, noticed+t[lived]))
}

func (t tally) String() string {
	return fmt.Sprintf("%.1f %% noticed (%d, and %d by not ending; %d lived); where no test comes by %d",
		t.noticed(), t[killed], t[stuck], t[lived], t[unreached])
}

func main() {
	floor := flag.Float64("floor", 0, "fail where fewer percent of the changes of a package are noticed")
	flag.Parse()
	var low []string
	all := tally{}
	for _, argument := range flag.Args() {
		t := parseTarget(argument)
		mutants, err := t.run()
		if err != nil {
			log.Fatalf("%s: %v", t.dir, err)
		}
		here := tally{}
		for _, m := range mutants {
			here.add(m)
			all.add(m)
			if m.fate == lived || m.fate == unreached {
				fmt.Printf("%s  (%s)\n", m, m.fate)
			}
		}
		fmt.Printf("%s: %v\n\n", t.dir, here)
		if here.noticed() < *floor {
			low = append(low, t.dir)
		}
	}
	fmt.Printf("all: %v\n", all)
	if len(low) > 0 {
		log.Fatalf("below %v %%: %s", *floor, strings.Join(low, ", "))
	}
}
