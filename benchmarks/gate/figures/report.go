package figures

import (
	"fmt"
	"slices"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks/numbers"
)

const head = `# Performance

What the gate costs a site, beside Caddy without a gate, ` + "`basic_auth`" + ` and
[caddy-security](https://github.com/greenpau/caddy-security), which were run in the same minutes on the same machine.
` + "`make bench-gate`" + ` writes this page; the program is in ` + "`benchmarks/gate`" + `.

`

// Report is the page in Markdown. The chart is left out where its link is "".
func (r Results) Report(chartLink string) string {
	var b strings.Builder
	b.WriteString(head)
	if chartLink != "" {
		fmt.Fprintf(&b, "![%s](%s)\n\n", chartTitle, chartLink)
	}
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, %s, %s, Caddy %s, caddy-security %s, Redis %s.\n", m.CPU, m.Cores, m.System, m.Go, m.Caddy, m.Security, m.Redis)
	fmt.Fprintf(&b, "Figures are medians over the rounds; in brackets the least and the most.\n")
	b.WriteString("\n## What was to be reached\n\n| what | measured | reach | reached |\n| --- | --- | --- | --- |\n")
	for _, g := range r.goals() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, g.measured, g.reach, g.met)
	}
	r.requests(&b)
	r.scales(&b)
	r.memory(&b)
	r.entries(&b)
	r.storms(&b)
	r.startTable(&b)
	r.inProcess(&b)
	b.WriteString(r.how())
	return b.String()
}

// sides in the order of the tables.
var sides = []string{Bare, BareAgain, BareTold, BasicAuth, CaddySecurity, GateMemory, GateLocal, GateRedis}

func (r Results) requests(b *strings.Builder) {
	rounds := r.values(bareProxied, cpu).Count
	if rounds == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Requests\n\n%d rounds of %s s a line, %d connections. \"Over none\" compares with the first line, round by round;\n"+
		"the second line is the same Caddy once more and shows what two identical sides differ by. The third has no gate either, but\n"+
		"gets cookies as long as ours, removes them, and tells the app a name that stands in its configuration.\n\n", rounds, numbers.Short(r.Machine.Seconds), r.Machine.Connections)
	b.WriteString("| gate | request | CPU µs | over none | requests/s | over none | p50 ms | p99 ms | MiB |\n" +
		"| --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: |\n")
	for _, kind := range []string{Proxied, Page, Refusal} {
		for _, side := range sides {
			l := Lane{Group: Requests, Side: side, Kind: kind}
			if r.values(l, cpu).Count == 0 {
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", side, kind,
				r.values(l, cpu).middle(), r.ratio(l, bareProxied, cpu).times(),
				r.values(l, rate).middle(), r.ratio(l, bareProxied, rate).times(),
				r.values(l, p50).middle(), r.values(l, p99).middle(), r.values(l, rss).middle())
		}
	}
}

func (r Results) scales(b *strings.Builder) {
	if len(r.sizes(Users, GateMemory)) == 0 && len(r.sizes(Sessions, GateMemory)) == 0 {
		return
	}
	b.WriteString("\n## Many users and sessions\n\n| gate | how many | CPU µs | over 10 | MiB |\n| --- | --- | ---: | --- | ---: |\n")
	for _, group := range []string{Users, Sessions} {
		for _, side := range sides {
			for _, size := range r.sizes(group, side) {
				l := Lane{group, side, Proxied, size}
				fmt.Fprintf(b, "| %s | %s %s | %s | %s | %s |\n", side, numbers.Thousands(float64(size)), group, r.values(l, cpu).middle(),
					r.ratio(l, Lane{group, side, Proxied, few}, cpu).times(), r.values(l, rss).middle())
			}
		}
	}
	b.WriteString("\nThe sessions are those of a gate with `human_only`, which takes sign-ins without hashing; requests come from up to\n" +
		"10,000 of them in turn.\n")
}

func (r Results) memory(b *strings.Builder) {
	if len(r.Memory) == 0 {
		return
	}
	b.WriteString("\n## Memory over sign-in pages\n\nEvery page has a challenge of its own, for a browser that comes for the first time.\n\n" +
		"| pages | MiB |\n| ---: | ---: |\n")
	for _, m := range r.Memory {
		fmt.Fprintf(b, "| %s | %.1f |\n", numbers.Thousands(float64(m.Pages)), m.RSS)
	}
}

func (r Results) entries(b *strings.Builder) {
	if len(r.SignIns) == 0 {
		return
	}
	b.WriteString("\n## Good sign-ins\n\nEight people sign in one after the other, each time as a new browser. The hashes are bcrypt of cost 10.\n\n" +
		"| gate | sign-ins/s | one hash, ms | hash slots |\n| --- | --- | --- | --- |\n")
	for _, side := range []string{GateLocal, CaddySecurity} {
		var rates, hashes []float64
		slots := ""
		for _, s := range r.SignIns {
			if s.Side == side {
				rates, hashes = append(rates, s.Rate), append(hashes, s.Hash)
				slots = slotWords(s.Slots)
			}
		}
		if len(rates) > 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", side, RangeOf(rates).plain(), RangeOf(hashes).plain(), slots)
		}
	}
}

func slotWords(slots int) string {
	if slots == 0 {
		return "no setting"
	}
	return fmt.Sprint(slots)
}

func (r Results) storms(b *strings.Builder) {
	if len(r.Storms) == 0 {
		return
	}
	b.WriteString("\n## A storm of wrong passwords\n\n50 clients, each with an address of its own, guess as fast as they are answered, each at a user of its own. Eight live\n" +
		"sessions send 25 requests a second each, and every second somebody else signs in, with the right password. The storm begins\n" +
		"when 50 people ask at once of whom nothing is known yet; its figures are from the moment on when each of them was answered.\n\n" +
		"| gate | p50 ms quiet | in the storm | p99 ms quiet | in the storm | slowest sign-in ms quiet | at the beginning | in the storm | requests unanswered | guesses judged | told to wait | unanswered |\n" +
		"| --- | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, side := range []string{GateLocal, BasicAuth, CaddySecurity} {
		var its []Storm
		var worst, onset, quiet float64
		var total Storm
		for _, s := range r.Storms {
			if s.Side != side {
				continue
			}
			its = append(its, s)
			worst, onset, quiet = max(worst, s.SignIn), max(onset, s.Onset), max(quiet, s.QuietEntry)
			total.Live, total.Failed, total.Judged = total.Live+s.Live, total.Failed+s.Failed, total.Judged+s.Judged
			total.Busy, total.Lost = total.Busy+s.Busy, total.Lost+s.Lost
		}
		if len(its) == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %d of %s | %d | %d | %d |\n", side,
			stormRange(its, func(s Storm) float64 { return s.QuietP50 }).middle(), stormRange(its, func(s Storm) float64 { return s.StormP50 }).plain(),
			stormRange(its, func(s Storm) float64 { return s.QuietP99 }).middle(), stormRange(its, func(s Storm) float64 { return s.StormP99 }).plain(),
			numbers.Short(quiet), numbers.Short(onset), numbers.Short(worst), total.Failed, numbers.Thousands(float64(total.Live)), total.Judged, total.Busy, total.Lost)
	}
}

func (r Results) startTable(b *strings.Builder) {
	if len(r.Starts) == 0 {
		return
	}
	b.WriteString("\n## 100,000 users at the start\n\nFrom the start of the process to its first answer, and its memory a second later.\n\n" +
		"| gate | s, 1 user | s, 100,000 | MiB, 1 user | MiB, 100,000 |\n| --- | ---: | ---: | ---: | ---: |\n")
	seconds, memory := func(s Start) float64 { return s.Seconds }, func(s Start) float64 { return s.RSS }
	for _, side := range []string{GateLocal, BasicAuth, CaddySecurity} {
		if r.started(side, 1, seconds).Count == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", side, r.started(side, 1, seconds).middle(), r.started(side, manyUsers, seconds).middle(),
			r.started(side, 1, memory).middle(), r.started(side, manyUsers, memory).middle())
	}
}

func (r Results) inProcess(b *strings.Builder) {
	if len(r.Benches) == 0 {
		return
	}
	b.WriteString("\n## In process\n\n`go test -bench PassThrough -benchmem ./caddymodule`: a request with a session, without the network.\n\n" +
		"| benchmark | ns | allocations |\n| --- | ---: | ---: |\n")
	var names []string
	for _, one := range r.Benches {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, r.benched(name, func(b Bench) float64 { return b.Nanos }).plain(),
			r.benched(name, func(b Bench) float64 { return b.Allocs }).middle())
	}
}

func (r Results) how() string {
	return fmt.Sprintf(`
## How it is measured

- All sides are one Caddy program with the same modules, each a process of its own with another configuration, before one
  small app that answers 200 with a few bytes. Settings are the defaults, but for limits that are set so wide that the load
  does not meet them. Everything is HTTP/1.1 on the loopback interface, with %d connections that stay open.
- Sides take turns in slices of half a second, and the order moves on with each slice and round. A ratio compares two sides
  within a round, so that a machine that slows down for a minute slows both.
- CPU is the process's own clock as the kernel keeps it, in nanoseconds, for all its threads, those that have ended too. The
  counters in `+"`/proc/PID/stat`"+` tick a hundred times a second, and `+"`/proc/PID/schedstat`"+` is of one thread alone. The app, Redis and
  the program that sends the load are other processes and do not count.
- Every answer is checked for its status and, where it is a page, for its challenge. One that is not as expected ends the run.
- Sign-ins are real ones: the page, its challenge, answered with the operator's secret as `+"`caddy captcha-gate answer`"+` does, the
  form, the session. caddy-security's are the two requests of its JSON interface, which ask for no captcha.
- Memory is the resident set of the process.

## What it does not tell

- The machine has %d cores, which the load, the app and the gate share: requests a second and times are those of a crowded
  machine, and a network adds its own. CPU a request is the figure to plan with.
- The app does nothing. Beside a real one the gate's share is smaller.
- The sides do not do the same: `+"`basic_auth`"+` keeps passwords that were right and compares them, caddy-security checks a signed
  token, Captcha Gate looks its session up and sees that the user's entry is still the same.
- Nothing here is about products that were not run.
`, r.Machine.Connections, r.Machine.Cores)
}
