package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks"
	"golang.org/x/perf/benchfmt"
)

// row is the median of each figure of one benchmark.
type row struct {
	library, setting string
	runs             int
	micros           float64 // µs an operation
	spread           float64 // of micros between the runs, in percent of it
	allocated        float64 // bytes an operation
	allocs           float64 // allocations an operation
	size             float64 // mean bytes of what is sent
	ratio            float64 // micros in terms of the first row that is ours
}

// title is the library as people know it.
func (r row) title() string {
	if known, ok := benchmarks.Libraries[r.library]; ok {
		return known.Title
	}
	return r.library
}

// words is the setting, readable.
func (r row) words() string { return strings.ReplaceAll(r.setting, "-", " ") }

type results struct {
	machine          string // "cpu, os/architecture, GOMAXPROCS=n"
	pictures, sounds []row
}

// measured gathers the runs of one benchmark.
type measured struct {
	row
	values map[string][]float64 // by unit
}

// read takes the results of BenchmarkPicture and BenchmarkSound, in the order in
// which they come, and ignores other benchmarks.
func read(in io.Reader) (results, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return results{}, err
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("--- FAIL")) || bytes.HasPrefix(line, []byte("FAIL")) {
			return results{}, errors.New("input: of a run that failed")
		}
	}
	var out results
	var pictures, sounds []*measured
	reader := benchfmt.NewReader(bytes.NewReader(text), "input")
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return results{}, record
		case *benchfmt.Result:
			kind, library, setting, procs := split(record.Name)
			switch kind {
			case "Picture":
				pictures = gather(pictures, library, setting, record)
			case "Sound":
				sounds = gather(sounds, library, setting, record)
			default:
				continue
			}
			out.machine = fmt.Sprintf("%s, %s/%s, GOMAXPROCS=%s",
				record.GetConfig("cpu"), record.GetConfig("goos"), record.GetConfig("goarch"), procs)
		}
	}
	if err := reader.Err(); err != nil {
		return results{}, err
	}
	if out.pictures, err = rows(pictures, "bytes/picture"); err != nil {
		return results{}, fmt.Errorf("pictures: %w", err)
	}
	if out.sounds, err = rows(sounds, "bytes/sound"); err != nil {
		return results{}, fmt.Errorf("sounds: %w", err)
	}
	return out, nil
}

// split takes the name Kind/library/setting-procs apart.
func split(name benchfmt.Name) (kind, library, setting, procs string) {
	base, parts := name.Parts()
	procs = "1"
	if n := len(parts); n > 0 && parts[n-1][0] == '-' {
		procs, parts = string(parts[n-1][1:]), parts[:n-1]
	}
	if len(parts) != 2 {
		return "", "", "", ""
	}
	return string(base), string(parts[0][1:]), string(parts[1][1:]), procs
}

func gather(all []*measured, library, setting string, record *benchfmt.Result) []*measured {
	i := slices.IndexFunc(all, func(m *measured) bool { return m.library == library && m.setting == setting })
	if i < 0 {
		i = len(all)
		all = append(all, &measured{
			row: row{library: library, setting: setting}, values: map[string][]float64{},
		})
	}
	all[i].runs++
	for _, v := range record.Values {
		all[i].values[v.Unit] = append(all[i].values[v.Unit], v.Value)
	}
	return all
}

// rows boils the runs down. There must be one that is ours, and all figures.
func rows(all []*measured, sizeUnit string) ([]row, error) {
	out := make([]row, 0, len(all))
	for _, m := range all {
		r := m.row
		for unit, to := range map[string]*float64{
			"sec/op": &r.micros, "B/op": &r.allocated, "allocs/op": &r.allocs, sizeUnit: &r.size,
		} {
			if len(m.values[unit]) != m.runs {
				return nil, fmt.Errorf("%s/%s: %s is missing", m.library, m.setting, unit)
			}
			*to = median(m.values[unit])
		}
		r.micros *= 1e6
		r.spread = spread(m.values["sec/op"])
		out = append(out, r)
	}
	ours := slices.IndexFunc(out, func(r row) bool { return r.library == benchmarks.Ours })
	if ours < 0 {
		return nil, fmt.Errorf("no benchmark of %q to compare with", benchmarks.Ours)
	}
	for i := range out {
		out[i].ratio = out[i].micros / out[ours].micros
	}
	return out, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is half of the way from the least to the most, in percent of the
// median. Of six runs or more the least sixth and the most are left out.
func spread(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	outer := len(sorted) / 6
	return 50 * (sorted[len(sorted)-1-outer] - sorted[outer]) / median(sorted)
}

// steady returns an error that names a benchmark whose runs spread by more than
// limit percent: what ran beside it was measured, too.
func (r results) steady(limit float64) error {
	for _, row := range slices.Concat(r.pictures, r.sounds) {
		if row.spread > limit {
			return fmt.Errorf("%s/%s: the runs spread by ±%.0f %%, more than %.0f; measure again on a quiet machine",
				row.library, row.setting, row.spread, limit)
		}
	}
	return nil
}
