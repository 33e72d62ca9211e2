package main

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks"
	"github.com/captcha-gate/captcha-gate/benchmarks/numbers"
)

// section is all that stands between the markers. The chart is left out where
// its link is "".
func section(r results, versions map[string]string, chartLink string) string {
	var b strings.Builder
	if chartLink != "" {
		fmt.Fprintf(&b, "![%s](%s)\n\n", chartTitle, chartLink)
	}
	fmt.Fprintf(&b, "%s, %s; medians of %d runs.\n", r.machine, cmp.Or(versions["go"], "go"), r.pictures[0].runs)
	b.WriteString("One operation draws a fresh answer, makes its captcha and encodes it; that of\n" +
		"Captcha Gate also issues, seals and opens the token. Nothing comes from a cache.\n" +
		"\"Times ours\" compares with the first line of the table. Pictures have one pixel\n" +
		"to a CSS pixel, but for \"2x\", which has four; their sizes are in CSS pixels.\n" +
		"± is how far the runs are apart, without the fastest and the slowest sixth.\n")
	table(&b, "Pictures", r.pictures, versions)
	table(&b, "Sounds", r.sounds, versions)
	return b.String()
}

func table(b *strings.Builder, heading string, rows []row, versions map[string]string) {
	fmt.Fprintf(b, "\n## %s\n\n", heading)
	b.WriteString("| library | setting | µs | ± | times ours | kB allocated | allocations | bytes sent |\n" +
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | %s | %s | %.0f %% | %s | %s | %s | %s |\n", named(r, versions), r.words(),
			numbers.Short(r.micros), r.spread, numbers.Short(r.ratio), numbers.Short(r.allocated/1000), numbers.Thousands(r.allocs), numbers.Thousands(r.size))
	}
}

// named is the library with its version and a link, ours without.
func named(r row, versions map[string]string) string {
	module := benchmarks.Libraries[r.library].Module
	if r.library == benchmarks.Ours || module == "" {
		return r.title()
	}
	name := fmt.Sprintf("[%s](https://pkg.go.dev/%s)", r.title(), module)
	if version := versions[module]; version != "" {
		name += " " + short(version)
	}
	return name
}

var pseudoVersion = regexp.MustCompile(`^v.*[-.](\d{4})(\d\d)(\d\d)\d{6}-[0-9a-f]{12}$`)

// short is a version, or the day of a commit that has none.
func short(version string) string {
	return pseudoVersion.ReplaceAllString(version, "of $1-$2-$3")
}
