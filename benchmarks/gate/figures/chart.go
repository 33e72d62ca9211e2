package figures

import (
	"fmt"
	"html"
	"math"
	"strings"
)

const chartTitle = "CPU of a request with a session, over Caddy without a gate"

// The chart's measures in pixels.
const (
	chartWidth = 760
	barLeft    = 190 // where the bars begin, right of the labels
	barRight   = 570 // where the longest range ends, left of the figures
	headHeight = 76
	rowHeight  = 36
	footHeight = 44
)

const chartStyle = `<style>
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
.page { fill: #ffffff; } .head { font-size: 17px; font-weight: 600; } .small { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; } .bar { fill: #818b98; } .ours { fill: #0969da; } .range { stroke: #1f2328; stroke-width: 1.5; }
.reach { stroke: #bc4c00; stroke-dasharray: 4 3; } .reached { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .page { fill: #0d1117; } .small { fill: #9198a1; }
.grid { stroke: #3d444d; } .bar { fill: #656c76; } .ours { fill: #4493f8; } .range { stroke: #f0f6fc; }
.reach { stroke: #f0883e; } .reached { fill: #f0883e; }
}
</style>
`

// bar is one side of the chart.
type bar struct {
	side string
	Range
}

func (r Results) bars() (all []bar) {
	for _, side := range sides[1:] {
		if over := r.ratio(Lane{Group: Requests, Side: side, Kind: Proxied}, bareProxied, cpu); over.Count > 0 {
			all = append(all, bar{side, over})
		}
	}
	return all
}

// Chart draws what each side takes beside Caddy without a gate, whose own bar
// would end at 1. It is empty where that was not measured.
func (r Results) Chart() string {
	bars := r.bars()
	if len(bars) == 0 {
		return ""
	}
	most := 1.1
	for _, one := range bars {
		most = max(most, one.Most)
	}
	step := 0.25
	if most > 2 {
		step = math.Ceil(most / 8)
	}
	x := func(v float64) float64 { return barLeft + (barRight-barLeft)*v/most }
	height := headHeight + rowHeight*len(bars) + footHeight

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="title desc">`+"\n",
		chartWidth, height)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", chartTitle, html.EscapeString(description(bars)))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text class="head" x="16" y="28">%s</text>`+"\n", chartTitle)
	b.WriteString(`<text class="small" x="16" y="48">CPU time of the gate's process; 1 is no gate; lines from the least round to the most; shorter is better</text>` + "\n")
	bottom := height - footHeight + 4
	for tick := 0.0; tick <= most; tick += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1[1]f" y1="%[2]d" x2="%.1[1]f" y2="%[3]d"/>`+"\n", x(tick), headHeight, bottom)
		fmt.Fprintf(&b, `<text class="small" x="%.1f" y="%d" text-anchor="middle">%.4g</text>`+"\n", x(tick), bottom+18, tick)
	}
	for i, one := range bars {
		drawBar(&b, one, headHeight+rowHeight*i, x)
	}
	fmt.Fprintf(&b, `<line class="reach" x1="%.1[1]f" y1="%[2]d" x2="%.1[1]f" y2="%[3]d"/>`+"\n", x(1.05), headHeight, bottom)
	fmt.Fprintf(&b, `<text class="small reached" x="%.1f" y="%d">reach 1.05</text>`+"\n", x(1.05)+4, headHeight-4)
	b.WriteString("</svg>\n")
	return b.String()
}

func drawBar(b *strings.Builder, one bar, y int, x func(float64) float64) {
	class := "bar"
	if strings.HasPrefix(one.side, "captcha_gate") {
		class = "ours"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", barLeft-12, y+23, html.EscapeString(one.side))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="22" rx="3"/>`+"\n", class, barLeft, y+7, x(one.Median)-barLeft)
	fmt.Fprintf(b, `<path class="range" fill="none" d="M%.1[1]f %[3]dv8m0-4H%.1[2]fm0-4v8"/>`+"\n", x(one.Least), x(one.Most), y+14)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", barRight+12, y+23, one.times())
}

// description says in words what the bars show.
func description(bars []bar) string {
	said := make([]string, len(bars))
	for i, one := range bars {
		said[i] = one.side + ": " + one.times()
	}
	return "Horizontal bars. " + strings.Join(said, "; ") + "."
}
