// Command coverage says how many of the statements ran, of each package and of
// all together. It reads the profile that `go tool covdata textfmt` writes on
// standard input, and fails below the floors. `make coverage` runs the tests and
// this.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/captcha-gate/captcha-gate/"

// The floors in percent: of everything, and of what decides who gets in.
const (
	floor     = 90
	dearFloor = 95
)

var dear = []string{
	"caddymodule", "caddymodule/internal/htpasswd", "caddymodule/internal/session", "caddymodule/internal/state",
	"caddymodule/internal/throttle", "captcha",
}

// aside is what runs in no gate: helpers of the tests, generators, the lines that
// start Caddy.
var aside = []string{
	"caddymodule/internal/state/redistest", "caddymodule/internal/state/statetest", "caddymodule/senders/sendertest",
	"cmd", "docs", "internal",
}

// isAside reports whether the package or a folder that it is in is aside.
func isAside(pkg string) bool {
	return slices.ContainsFunc(aside, func(a string) bool { return pkg == a || strings.HasPrefix(pkg, a+"/") })
}

// tally counts statements.
type tally struct{ ran, all int }

func (t *tally) add(more tally) { t.ran, t.all = t.ran+more.ran, t.all+more.all }

func (t tally) percent() float64 { return 100 * float64(t.ran) / float64(max(1, t.all)) }

// read counts the statements of each file. A block may stand in the profile more
// than once: several test programs hold it.
func read(r io.Reader) (map[string]*tally, error) {
	blocks := map[string]tally{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		// name.go:line.column,line.column statements count
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue // the mode, in the first line
		}
		statements, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		name := strings.TrimPrefix(fields[0], module)
		b := tally{blocks[name].ran, statements}
		if fields[2] != "0" {
			b.ran = b.all
		}
		blocks[name] = b
	}
	files := map[string]*tally{}
	for name, b := range blocks {
		file, _, _ := strings.Cut(name, ":")
		if isAside(path.Dir(file)) {
			continue
		}
		if files[file] == nil {
			files[file] = new(tally)
		}
		files[file].add(b)
	}
	if len(files) == 0 {
		return nil, errors.New("no statements in the profile")
	}
	return files, nil
}

// report writes the table and returns what is below its floor. Of the dear
// packages the files below it are named too.
func report(w io.Writer, files map[string]*tally) (low []string) {
	packages, all := map[string]*tally{}, tally{}
	for file, t := range files {
		pkg := path.Dir(file)
		if packages[pkg] == nil {
			packages[pkg] = new(tally)
		}
		packages[pkg].add(*t)
		all.add(*t)
	}
	line := func(name string, t tally) { fmt.Fprintf(w, "%6.1f %%  %5d  %s\n", t.percent(), t.all, name) }
	for _, pkg := range slices.Sorted(maps.Keys(packages)) {
		line(pkg, *packages[pkg])
		if !slices.Contains(dear, pkg) {
			continue
		}
		if packages[pkg].percent() < dearFloor {
			low = append(low, pkg)
		}
		for _, file := range slices.Sorted(maps.Keys(files)) {
			if path.Dir(file) == pkg && files[file].percent() < dearFloor {
				line("    "+path.Base(file), *files[file])
			}
		}
	}
	line("all", all)
	if all.percent() < floor {
		low = append(low, "all")
	}
	return low
}

func main() {
	files, err := read(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if low := report(os.Stdout, files); len(low) > 0 {
		log.Fatalf("below the floor: %s", strings.Join(low, ", "))
	}
}
