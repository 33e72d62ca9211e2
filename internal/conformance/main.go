// Command conformance says which tests show each security requirement, and how
// they went. It reads what `go test -json` prints on standard input; a test that
// names a requirement, as TestSES5_... and "SES-5 ..." do, shows it. `make
// conformance` runs the tests and this.
package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed requirements.tsv
var list string

// requirement is a row of the list.
type requirement struct {
	id, grade, text string
	// instead says why no test shows it.
	instead string
}

// requirements reads the list.
func requirements() (all []requirement) {
	for line := range strings.Lines(list) {
		fields := append(strings.Split(strings.TrimSpace(line), "\t"), "")
		all = append(all, requirement{fields[0], fields[1], fields[2], fields[3]})
	}
	return all
}

var named = regexp.MustCompile(`(CAP|CRD|SES|CSR|RED|HDR|PTH|INP|THR|USR|OTP|WEB|LOG)[-_ ]?([0-9]{1,2})`)

// ids are the requirements that the name of a test names.
func ids(name string) (found []string) {
	for _, m := range named.FindAllStringSubmatch(name, -1) {
		if id := m[1] + "-" + m[2]; !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	return found
}

// result is how a test went.
type result struct{ test, outcome string }

// read collects the results of tests that name a requirement.
func read(r io.Reader) (map[string][]result, error) {
	found := map[string][]result{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test string }
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.Test == "" {
			continue // a line of the build, or of a package
		}
		if !slices.Contains([]string{"pass", "fail", "skip"}, event.Action) {
			continue
		}
		for _, id := range ids(event.Test) {
			found[id] = append(found[id], result{path.Base(event.Package) + "." + event.Test, event.Action})
		}
	}
	return found, lines.Err()
}

// report writes the table and returns how many dear requirements are not shown.
func report(w io.Writer, found map[string][]result) (open int) {
	fmt.Fprintln(w, "| requirement | grade | says that | shown by | result |\n|---|---|---|---|---|")
	for _, q := range requirements() {
		shown, outcome := q.instead, "-"
		if results := found[q.id]; len(results) > 0 {
			first, failed := "", 0
			for _, r := range results {
				if first == "" || len(r.test) < len(first) {
					first = r.test
				}
				if r.outcome != "pass" {
					failed++
				}
			}
			shown, outcome = fmt.Sprintf("`%s`", first), "pass"
			if n := len(results) - 1; n > 0 {
				shown += fmt.Sprintf(" and %d more", n)
			}
			if failed > 0 {
				outcome = fmt.Sprintf("**%d of %d did not pass**", failed, len(results))
				open++
			}
		} else if q.instead == "" && q.grade != "M" {
			outcome = "**open**"
			open++
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", q.id, q.grade, q.text, shown, outcome)
	}
	return open
}

func main() {
	found, err := read(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if open := report(os.Stdout, found); open > 0 {
		log.Fatalf("%d requirements are not shown", open)
	}
}
