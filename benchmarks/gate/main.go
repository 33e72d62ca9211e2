// Command gate measures what Captcha Gate costs a site, beside Caddy without a
// gate, basic_auth and caddy-security. It starts them on the loopback interface
// in front of one small app, loads them by turns, and writes a report.
//
//	gate [-rounds N] [-seconds S] [-only LIST] [-o FILE.md] [-svg FILE.svg]
//	gate -from FILE.jsonl ...    the report of figures that were measured before
//
// What is measured: requests (CPU, times, rates of requests with and without a
// session), users and sessions (the same with many of them), pages (memory over
// a million sign-in pages), sign-ins, storm (live sessions beside guessers),
// start (100,000 users at the start) and bench (go test -bench). It takes about
// twenty minutes, wants a quiet Linux machine with redis-server, and its raw
// figures go to bin/gate.jsonl, one record a line.
//
// The Caddy that all sides run is a module of its own, in the folder caddy.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

// experiments in the order in which they run.
var experiments = []struct {
	name string
	run  func(*bench) error
}{
	{"requests", (*bench).measureRequests},
	{"pages", (*bench).measurePages},
	{"sign-ins", (*bench).measureSignIns},
	{"storm", (*bench).measureStorms},
	{"start", (*bench).measureStarts},
	{"users", (*bench).measureUsers},
	{"sessions", (*bench).measureSessions},
	{"bench", (*bench).measureInProcess},
}

// options of the command line.
type options struct {
	rounds          int
	seconds         float64
	pages, sessions int
	only            string
	root            string // of the repository
	raw, from       string
	document, chart string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == upstreamCommand {
		log.Fatal(serveUpstream(os.Args[2]))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 10, "how many `rounds`")
	flag.Float64Var(&o.seconds, "seconds", 2.5, "`seconds` of load a side and round")
	flag.IntVar(&o.pages, "pages", 1_000_000, "how many sign-in `pages` memory is watched over")
	flag.IntVar(&o.sessions, "sessions", 1_000_000, "how many live `sessions` are many")
	flag.StringVar(&o.only, "only", "", "measure only these, a `list` with commas")
	flag.StringVar(&o.root, "root", "../..", "the repository's root `folder`")
	flag.StringVar(&o.raw, "raw", "", "`file` for the raw figures; default: bin/gate.jsonl of the repository")
	flag.StringVar(&o.from, "from", "", "measure nothing; take the raw figures of this `file`")
	flag.StringVar(&o.document, "o", "", "Markdown `file` for the report; default: standard output")
	flag.StringVar(&o.chart, "svg", "", "SVG `file` for the chart")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.from == "" {
		if o.raw == "" {
			o.raw = filepath.Join(o.root, "bin", "gate.jsonl")
		}
		if err := measure(o); err != nil {
			return err
		}
		o.from = o.raw
	}
	return report(o)
}

// measure runs the experiments and writes the raw figures as they come.
func measure(o options) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := os.MkdirAll(filepath.Dir(o.raw), 0o755); err != nil { //nolint:gosec // public
		return err
	}
	raw, err := os.Create(o.raw)
	if err != nil {
		return err
	}
	defer raw.Close()
	b, err := newBench(ctx, o, raw)
	if err != nil {
		return err
	}
	defer b.close()
	for _, e := range experiments {
		if !slices.Contains(chosen, e.name) {
			continue
		}
		began := time.Now()
		b.say("%s ...", e.name)
		if err := e.run(b); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		b.stopAll()
		b.say("%s took %v", e.name, time.Since(began).Round(time.Second))
	}
	return nil
}

// choose reads a list of experiments; an empty one means all.
func choose(list string) ([]string, error) {
	var known []string
	for _, e := range experiments {
		known = append(known, e.name)
	}
	if list == "" {
		return known, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("only: %q is none of %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// report writes the document and the chart of raw figures.
func report(o options) error {
	file, err := os.Open(o.from)
	if err != nil {
		return err
	}
	defer file.Close()
	results, err := figures.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", o.from, err)
	}
	link := ""
	if drawing := results.Chart(); o.chart != "" && drawing != "" {
		if err := os.WriteFile(o.chart, []byte(drawing), 0o644); err != nil { //nolint:gosec // public
			return fmt.Errorf("svg: %w", err)
		}
		link = filepath.Base(o.chart) // beside the document
	}
	text := results.Report(link)
	if o.document == "" {
		_, err := io.WriteString(os.Stdout, text)
		return err
	}
	if err := os.WriteFile(o.document, []byte(text), 0o644); err != nil { //nolint:gosec // public
		return fmt.Errorf("o: %w", err)
	}
	return nil
}

// say tells how far the run is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// record writes a raw figure.
func (b *bench) record(r figures.Record) error { return json.NewEncoder(b.raw).Encode(r) }
