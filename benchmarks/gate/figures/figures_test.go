package figures

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example are the figures of a run that never was.
func example(t *testing.T) Results {
	t.Helper()
	file, err := os.Open("testdata/figures.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	results, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestReportAndChartMatchGoldenFiles(t *testing.T) {
	r := example(t)
	for name, got := range map[string]string{"report.md": r.Report("chart.svg"), "chart.svg": r.Chart()} {
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s has changed; go test -update writes it anew if that was meant:\n%s", golden, got)
		}
	}
}

func TestAMissIsSaidAsAMiss(t *testing.T) {
	met := map[string]string{}
	for _, g := range example(t).goals() {
		met[g.what] = g.met + " " + g.measured
	}
	for what, want := range map[string]string{
		"request with a session: CPU of the gate's process over Caddy without a gate":       "yes local: 1.032 (1.031–1.033)<br>Redis: 1.049 (",
		"in process: time that the gate adds to the next handler":                           "**no** local: +0.92 µs<br>Redis: +1.47 µs<br>memory: +0.87 µs",
		"sign-in page with its challenge: CPU over a proxied request without a gate":        "**no** local: 0.600 (",
		"memory that sign-in pages leave behind":                                            "yes +2.5 MiB from page 10,000 to 1,000,000",
		"good sign-ins a second, bcrypt of cost 10, over what the hash slots allow":         "yes 0.969 (",
		"storm of 50 clients with wrong passwords: p99 of live sessions over the quiet one": "yes 2.750 (",
		"sessions 10 → 1,000,000: the same":                                                 "**no** 1,000,000: 1.070 (",
	} {
		if !strings.HasPrefix(met[what], want) {
			t.Errorf("%s: %q, want %q", what, met[what], want)
		}
	}
}

func TestWhatWasNotMeasuredIsNotReached(t *testing.T) {
	r := Results{Machine: Machine{Cores: 2}}
	for _, g := range r.goals() {
		if g.met != unknown || g.measured != "not in this run" {
			t.Errorf("%s: %s, %s", g.what, g.met, g.measured)
		}
	}
	if text := r.Report(""); strings.Contains(text, "NaN") || strings.Contains(text, "## Requests") {
		t.Error(text)
	}
	if r.Chart() != "" {
		t.Error("a chart of nothing")
	}
}

func TestARatioComparesWithinARound(t *testing.T) {
	lane, base := Lane{Side: "a"}, Lane{Side: "b"}
	r := Results{Rounds: []Round{
		{Number: 1, Side: "a", Micros: 110}, {Number: 1, Side: "b", Micros: 100},
		{Number: 2, Side: "b", Micros: 200}, {Number: 2, Side: "a", Micros: 240},
		{Number: 3, Side: "a", Micros: 500}, // without a partner
	}}
	got := r.ratio(lane, base, cpu)
	if got.Count != 2 || got.times() != "1.150 (1.100–1.200)" {
		t.Errorf("%+v", got)
	}
}

func TestRangesAndPercentiles(t *testing.T) {
	if got := RangeOf([]float64{3, 1, 2}); got != (Range{3, 2, 1, 3}) {
		t.Errorf("odd: %+v", got)
	}
	if got := RangeOf([]float64{4, 1, 2, 3}); got != (Range{4, 2.5, 1, 4}) {
		t.Errorf("even: %+v", got)
	}
	if got := RangeOf(nil); got != (Range{}) || got.times() != unknown || got.plain() != unknown {
		t.Errorf("none: %+v", got)
	}
	times := make([]time.Duration, 200)
	for i := range times {
		times[len(times)-1-i] = time.Duration(i + 1)
	}
	for percent, want := range map[float64]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := Percentile(times, percent); got != want {
			t.Errorf("%v %%: %d, want %d", percent, got, want)
		}
	}
	if got := Percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestRecordsThatSayNothingAreRefused(t *testing.T) {
	machine := `{"machine":{"cores":2}}` + "\n"
	for name, in := range map[string]string{
		"empty": "", "no machine": `{"start":{"side":"none"}}`, "an empty record": machine + "{}", "not JSON": machine + "round",
	} {
		if _, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestChartIsWellFormedAndSaysWhatItShows(t *testing.T) {
	r := example(t)
	text := r.Chart()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"<title ", "caddy-security: 1.180 (", "prefers-color-scheme: dark", `class="ours"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}
