package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var testVersions = map[string]string{
	"go":                               "go1.26.0",
	"github.com/dchest/captcha":        "v1.1.0",
	"github.com/wenlng/go-captcha/v2":  "v2.0.0-20191010092841-4bd1f21c8868",
	"github.com/some/other/dependency": "v1.0.0",
}

func input(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/results.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// report runs the command in a folder of its own.
func report(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(args, strings.NewReader(in), &out, testVersions)
	return out.String(), err
}

func TestReportMatchesGoldenFiles(t *testing.T) {
	dir := t.TempDir()
	document, svg := filepath.Join(dir, "results.md"), filepath.Join(dir, "results.svg")
	if _, err := report(t, input(t), "-o", document, "-svg", svg); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{document, svg} {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", filepath.Base(file))
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s has changed; go test -update writes it anew if that was meant:\n%s", golden, got)
		}
	}
}

func TestChartIsWellFormedAndSaysWhatItShows(t *testing.T) {
	r, err := read(strings.NewReader(input(t)))
	if err != nil {
		t.Fatal(err)
	}
	r.pictures[1].library = `<&">`
	text := chart(r.pictures)
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"<title ", "wenlng/go-captcha, click 300x220: 10,100 µs", "prefers-color-scheme: dark", `width="760"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestOnlyWhatIsBetweenTheMarkersIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	old := "# Mine\n\n" + beginMarker + "\nold\n" + endMarker + "\n\nmore of mine\n"
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time finds what the first wrote
		if _, err := report(t, input(t), "-o", file); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, "# Mine\n\n"+beginMarker) || !strings.HasSuffix(text, endMarker+"\n\nmore of mine\n") {
		t.Errorf("what is around the markers has changed:\n%s", text)
	}
	if strings.Contains(text, "\nold\n") || strings.Count(text, "## Pictures") != 1 {
		t.Errorf("what is between the markers was not replaced:\n%s", text)
	}
}

func TestFileWithoutMarkersIsRefusedAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	for _, old := range []string{"mine", beginMarker + " only", endMarker + beginMarker} {
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := report(t, input(t), "-o", file); err == nil {
			t.Errorf("%q was accepted", old)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != old {
			t.Errorf("%q became %q, %v", old, got, err)
		}
	}
}

func TestUnusableResultsAreRefused(t *testing.T) {
	good := input(t)
	for name, c := range map[string]struct{ in, want string }{
		"empty":             {"", `"ours"`},
		"failed":            {good + "--- FAIL: BenchmarkSound\nFAIL\n", "failed"},
		"without us":        {strings.ReplaceAll(good, "Picture/ours", "Picture/theirs"), `pictures: no benchmark of "ours"`},
		"without -benchmem": {strings.ReplaceAll(good, "allocs/op", "other/op"), "allocs/op is missing"},
		"busy machine":      {strings.ReplaceAll(good, "1290000 ns/op", "2290000 ns/op"), "dchest/6-digits-240x80: the runs spread by ±38 %"},
	} {
		if out, err := report(t, c.in); err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestProcessorsAreTakenOffTheName(t *testing.T) {
	out, err := report(t, strings.NewReplacer("-1x ", "-1x-8 ", "-240x80 ", "-240x80-8 ",
		"-300x220 ", "-300x220-8 ", "-en ", "-en-8 ", "/en ", "/en-8 ").Replace(input(t)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "GOMAXPROCS=8") || !strings.Contains(out, "| normal 240x80 1x |") {
		t.Error(out)
	}
}

func TestSpreadLeavesOutTheOutermostOfSix(t *testing.T) {
	for _, c := range []struct {
		values       []float64
		middle, want float64
	}{
		{[]float64{5}, 5, 0},
		{[]float64{90, 110, 100}, 100, 10},
		{[]float64{1, 1000, 100, 100, 95, 105}, 100, 5},
	} {
		if got := spread(c.values); got != c.want {
			t.Errorf("%v: spread %v, want %v", c.values, got, c.want)
		}
		if got := median(c.values); got != c.middle {
			t.Errorf("%v: median %v, want %v", c.values, got, c.middle)
		}
	}
}
