package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks"
	"github.com/captcha-gate/captcha-gate/benchmarks/numbers"
)

const chartTitle = "Time to make one captcha picture"

// The chart's measures in pixels.
const (
	chartWidth = 760
	barLeft    = 240 // where the bars begin, right of the labels
	barRight   = 620 // where the longest ends, left of its figure
	headHeight = 64
	rowHeight  = 40
	footHeight = 44
)

const chartStyle = `<style>
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
.page { fill: #ffffff; } .head { font-size: 17px; font-weight: 600; } .small { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; } .bar { fill: #818b98; } .ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .page { fill: #0d1117; } .small { fill: #9198a1; }
.grid { stroke: #3d444d; } .bar { fill: #656c76; } .ours { fill: #4493f8; }
}
</style>
`

// chart draws a bar a row, the shortest first, on a logarithmic scale.
func chart(rows []row) string {
	rows = slices.SortedStableFunc(slices.Values(rows), func(a, b row) int { return cmp.Compare(a.micros, b.micros) })
	longest := rows[len(rows)-1].micros
	// The scale begins at a power of ten, so far down that even the shortest bar
	// is one.
	begin := math.Pow10(int(math.Floor(math.Log10(rows[0].micros / 2))))
	x := func(micros float64) float64 {
		return barLeft + (barRight-barLeft)*math.Log(micros/begin)/math.Log(longest/begin)
	}
	height := headHeight + rowHeight*len(rows) + footHeight

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="title desc">`+"\n",
		chartWidth, height)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", chartTitle, html.EscapeString(description(rows)))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text class="head" x="16" y="28">%s</text>`+"\n", chartTitle)
	b.WriteString(`<text class="small" x="16" y="48">Microseconds on one processor, logarithmic scale; shorter is faster</text>` + "\n")
	for tick := begin; tick <= longest; tick *= 10 {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1[1]f" y1="%[2]d" x2="%.1[1]f" y2="%[3]d"/>`+"\n", x(tick), headHeight, height-footHeight+4)
		fmt.Fprintf(&b, `<text class="small" x="%.1f" y="%d" text-anchor="middle">%s µs</text>`+"\n", x(tick), height-footHeight+22, numbers.Thousands(tick))
	}
	for i, r := range rows {
		y := headHeight + rowHeight*i
		class := "bar"
		if r.library == benchmarks.Ours {
			class = "ours"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", barLeft-12, y+17, html.EscapeString(r.title()))
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", barLeft-12, y+33, html.EscapeString(r.words()))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="24" rx="3"/>`+"\n", class, barLeft, y+8, x(r.micros)-barLeft)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", x(r.micros)+8, y+25, figure(r))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// figure stands at the end of a bar.
func figure(r row) string {
	return fmt.Sprintf("%s µs (%s×)", numbers.Short(r.micros), numbers.Short(r.ratio))
}

// description says in words what the bars show.
func description(rows []row) string {
	said := make([]string, len(rows))
	for i, r := range rows {
		said[i] = fmt.Sprintf("%s, %s: %s µs", r.title(), r.words(), numbers.Short(r.micros))
	}
	return "Horizontal bars, fastest first. " + strings.Join(said, "; ") + "."
}
