// Command report turns what `go test -bench` printed, on stdin, into a table in
// Markdown and a chart in SVG.
//
//	report [-o FILE.md] [-svg FILE.svg] [-spread PERCENT] < results
//
// Where FILE.md exists, what stands between its two marker comments is replaced,
// and a file without them is refused; where it does not, it is made. Without -o
// the table goes to stdout. Of several runs of one benchmark (-count) it takes
// the median of each figure. A run that failed is refused, and so are runs that
// differ by more than PERCENT: a busy machine slows some libraries and not
// others, so that the comparison would be wrong.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, versions()); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// versions of the modules in this program by their paths; those measured are
// the same, as both are built from one go.mod.
func versions() map[string]string {
	found := map[string]string{"go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Replace == nil {
				found[module.Path] = module.Version
			}
		}
	}
	return found
}

func run(args []string, in io.Reader, out io.Writer, versions map[string]string) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	document := flags.String("o", "", "Markdown `file` to write the table to")
	chartFile := flags.String("svg", "", "SVG `file` to write the chart to")
	limit := flags.Float64("spread", 20, "how much the runs of a benchmark may differ, in `percent`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	results, err := read(in)
	if err != nil {
		return err
	}
	if err := results.steady(*limit); err != nil {
		return err
	}
	link := ""
	if *chartFile != "" {
		if err := os.WriteFile(*chartFile, []byte(chart(results.pictures)), 0o644); err != nil { //nolint:gosec // public
			return fmt.Errorf("svg: %w", err)
		}
		if link, err = linkTo(*chartFile, *document); err != nil {
			return fmt.Errorf("svg: %w", err)
		}
	}
	text := section(results, versions, link)
	if *document == "" {
		_, err := io.WriteString(out, text)
		return err
	}
	return put(*document, text)
}

// linkTo is what a document links a file with, or, without a document, one in
// the current folder.
func linkTo(file, document string) (string, error) {
	to, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	from, err := filepath.Abs(document)
	if err != nil {
		return "", err
	}
	if document != "" {
		from = filepath.Dir(from)
	}
	link, err := filepath.Rel(from, to)
	return filepath.ToSlash(link), err
}

const (
	beginMarker = "<!-- benchmarks:begin -->"
	endMarker   = "<!-- benchmarks:end -->"
)

// put writes text between the markers of a file, or makes the file.
func put(file, text string) error {
	text = beginMarker + "\n\n" + text + "\n" + endMarker
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "# Benchmarks\n\n" + text + "\n"
	case err != nil:
		return fmt.Errorf("o: %w", err)
	default:
		before, rest, begun := strings.Cut(string(old), beginMarker)
		_, after, ended := strings.Cut(rest, endMarker)
		if !begun || !ended {
			return fmt.Errorf("o: %s has no %s and %s", file, beginMarker, endMarker)
		}
		text = before + text + after
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // public
		return fmt.Errorf("o: %w", err)
	}
	return nil
}
