package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

// measureInProcess runs the benchmarks of the handler itself.
func (b *bench) measureInProcess() error {
	command := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "PassThrough", "-benchmem", //nolint:gosec // our own
		"-count", fmt.Sprint(min(b.rounds, 3)), "./caddymodule")
	command.Dir = b.root
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	found, err := readBenches(bytes.NewReader(out))
	if err != nil {
		return err
	}
	for _, one := range found {
		if err := b.record(figures.Record{Bench: &one}); err != nil {
			return err
		}
	}
	return nil
}

// readBenches reads what `go test -bench` prints.
func readBenches(in io.Reader) (all []figures.Bench, err error) {
	reader := benchfmt.NewReader(in, "go test")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		base, parts := result.Name.Parts()
		name := string(base)
		for _, part := range parts {
			if !strings.HasPrefix(string(part), "-") { // the number of processors
				name += string(part)
			}
		}
		seconds, timed := result.Value("sec/op")
		allocs, counted := result.Value("allocs/op")
		if !timed || !counted {
			return nil, fmt.Errorf("%s: no time or no allocations", name)
		}
		all = append(all, figures.Bench{Name: name, Nanos: seconds * 1e9, Allocs: allocs})
	}
	if len(all) == 0 {
		return nil, errors.New("no benchmark has run")
	}
	return all, reader.Err()
}
