package figures

import (
	"fmt"
	"slices"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks/numbers"
)

// goal is one line of what was to be reached.
type goal struct {
	what, measured, reach, met string
}

// finding is a figure that a goal is judged by.
type finding struct {
	name string // which of several; "" where there is one
	text string
	met  bool
}

// judge is met when every finding is, and says nothing without findings.
func judge(what, reach string, findings []finding) goal {
	g := goal{what: what, reach: reach, measured: "not in this run", met: unknown}
	if len(findings) == 0 {
		return g
	}
	said := make([]string, len(findings))
	for i, f := range findings {
		said[i] = strings.TrimPrefix(f.name+": "+f.text, ": ")
	}
	g.measured, g.met = strings.Join(said, "<br>"), "yes"
	if slices.ContainsFunc(findings, func(f finding) bool { return !f.met }) {
		g.met = "**no**"
	}
	return g
}

// stores are our sides with what they are called in a goal.
var stores = []struct{ side, name string }{{GateLocal, "local"}, {GateRedis, "Redis"}, {GateMemory, "memory"}}

var bareProxied = Lane{Group: Requests, Side: Bare, Kind: Proxied}

// goals are all of them, in the order of the report.
func (r Results) goals() []goal {
	return []goal{
		judge("request with a session: CPU of the gate's process over Caddy without a gate", "at most 1.05",
			r.overBare(Proxied, cpu, func(v float64) bool { return v <= 1.05 })),
		judge("the same: requests a second", "at least 0.97",
			r.overBare(Proxied, rate, func(v float64) bool { return v >= 0.97 })),
		judge("in process: time that the gate adds to the next handler", "at most 1 µs", r.added(
			func(b Bench) float64 { return b.Nanos }, 1000, func(v float64) string { return "+" + numbers.Short(v/1000) + " µs" })),
		judge("the same: allocations", "at most 8", r.added(
			func(b Bench) float64 { return b.Allocs }, 8, func(v float64) string { return "+" + numbers.Thousands(v) })),
		judge("sign-in page with its challenge: CPU over a proxied request without a gate", "at most 0.5",
			r.overBare(Page, cpu, func(v float64) bool { return v <= 0.5 })),
		judge("memory that sign-in pages leave behind", "at most 16 MiB over 1,000,000", r.growth()),
		judge("401 in JSON to a script: CPU over a proxied request without a gate", "at most 0.35",
			r.overBare(Refusal, cpu, func(v float64) bool { return v <= 0.35 })),
		judge("good sign-ins a second, bcrypt of cost 10, over what the hash slots allow", "at least 0.9", r.signIns()),
		judge("storm of 50 clients with wrong passwords: p99 of live sessions over the quiet one", "at most 3", r.storm(calm)),
		judge("the same: requests and guesses without an answer", "none", r.storm(unanswered)),
		judge("the same: the slowest sign-in of who knows the password", "at most 1 s", r.storm(entry)),
		judge("100,000 users: start to first answer, over 1 user", "at most 0.2 s more", r.starts(
			func(s Start) float64 { return s.Seconds }, 0.2, " s")),
		judge("the same: memory", "at most 30 MiB more", r.starts(func(s Start) float64 { return s.RSS }, 30, " MiB")),
		judge("users 10 → 100,000: CPU of a request with a session", "within 5 %", r.scaled(Users, GateMemory)),
		judge("sessions 10 → 1,000,000: the same", "within 5 %", r.scaled(Sessions, GateMemory)),
	}
}

// overBare compares ours with Caddy without a gate, store by store.
func (r Results) overBare(kind string, f Figure, met func(float64) bool) (all []finding) {
	for _, store := range stores {
		over := r.ratio(Lane{Group: Requests, Side: store.side, Kind: kind}, bareProxied, f)
		if over.Count > 0 {
			all = append(all, finding{store.name, over.times(), met(over.Median)})
		}
	}
	return all
}

// benched is the median of a benchmark's runs.
func (r Results) benched(name string, f func(Bench) float64) Range {
	var all []float64
	for _, b := range r.Benches {
		if b.Name == name {
			all = append(all, f(b))
		}
	}
	return RangeOf(all)
}

func (r Results) added(f func(Bench) float64, most float64, text func(float64) string) (all []finding) {
	for _, store := range stores {
		name := "PassThrough/" + strings.ToLower(store.name)
		gate, bare := r.benched(name+"/gate", f), r.benched(name+"/bare", f)
		if gate.Count > 0 && bare.Count > 0 {
			more := gate.Median - bare.Median
			all = append(all, finding{store.name, text(more), more <= most})
		}
	}
	return all
}

// warm is the mark from which growth counts: before it, connections and pools
// are still being made.
func (r Results) warm() (from, to Memory, ok bool) {
	if len(r.Memory) < 3 {
		return Memory{}, Memory{}, false
	}
	return r.Memory[1], r.Memory[len(r.Memory)-1], true
}

func (r Results) growth() []finding {
	from, to, ok := r.warm()
	if !ok {
		return nil
	}
	more := to.RSS - from.RSS
	text := fmt.Sprintf("%+.1f MiB from page %s to %s", more, numbers.Thousands(float64(from.Pages)), numbers.Thousands(float64(to.Pages)))
	return []finding{{"", text, more <= 16}}
}

// allowed is how many hashes a second the slots let through.
func (s SignIns) allowed() float64 { return float64(s.Slots) * 1000 / s.Hash }

func (r Results) signIns() []finding {
	var shares, rates []float64
	slots := 0
	for _, s := range r.SignIns {
		if s.Side == GateLocal {
			shares, rates = append(shares, s.Rate/s.allowed()), append(rates, s.Rate)
			slots = s.Slots
		}
	}
	share := RangeOf(shares)
	if share.Count == 0 {
		return nil
	}
	text := fmt.Sprintf("%s; %s a second with slots for %d", share.times(), RangeOf(rates).middle(), slots)
	return []finding{{"", text, share.Median >= 0.9}}
}

func (r Results) storm(judged func([]Storm) finding) []finding {
	var ours []Storm
	for _, s := range r.Storms {
		if s.Side == GateLocal {
			ours = append(ours, s)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return []finding{judged(ours)}
}

func calm(storms []Storm) finding {
	over := stormRange(storms, func(s Storm) float64 { return s.StormP99 / s.QuietP99 })
	return finding{"", over.times(), over.Median <= 3}
}

func unanswered(storms []Storm) finding {
	var live, guesses, missing int
	for _, s := range storms {
		live, guesses, missing = live+s.Live, guesses+s.Judged+s.Busy+s.Lost, missing+s.Failed+s.Lost
	}
	text := fmt.Sprintf("%d of %s requests and %s guesses", missing, numbers.Thousands(float64(live)), numbers.Thousands(float64(guesses)))
	return finding{"", text, missing == 0}
}

func entry(storms []Storm) finding {
	worst, count := 0.0, 0
	for _, s := range storms {
		worst, count = max(worst, s.SignIn), count+s.SignedIn
	}
	return finding{"", fmt.Sprintf("%s s, of %d", numbers.Short(worst/1000), count), worst <= 1000 && count > 0}
}

func stormRange(storms []Storm, f func(Storm) float64) Range {
	all := make([]float64, len(storms))
	for i, s := range storms {
		all[i] = f(s)
	}
	return RangeOf(all)
}

// started is a figure of the starts of a side with so many users.
func (r Results) started(side string, users int, f func(Start) float64) Range {
	var all []float64
	for _, s := range r.Starts {
		if s.Side == side && s.Users == users {
			all = append(all, f(s))
		}
	}
	return RangeOf(all)
}

func (r Results) starts(f func(Start) float64, most float64, unit string) []finding {
	many, one := r.started(GateLocal, manyUsers, f), r.started(GateLocal, 1, f)
	if many.Count == 0 || one.Count == 0 {
		return nil
	}
	more := many.Median - one.Median
	return []finding{{"", fmt.Sprintf("%+.2f%s", more, unit), more <= most}}
}

const manyUsers = 100_000

// few is the size that larger ones are compared with.
const few = 10

// sizes that a side was measured with in a group, the least first.
func (r Results) sizes(group, side string) (all []int) {
	for _, round := range r.Rounds {
		if round.Group == group && round.Side == side && !slices.Contains(all, round.Size) {
			all = append(all, round.Size)
		}
	}
	slices.Sort(all)
	return all
}

func (r Results) scaled(group, side string) (all []finding) {
	for _, size := range r.sizes(group, side) {
		if size == few {
			continue
		}
		over := r.ratio(Lane{group, side, Proxied, size}, Lane{group, side, Proxied, few}, cpu)
		if over.Count > 0 {
			// Fewer would be no fault.
			all = append(all, finding{numbers.Thousands(float64(size)), over.times(), over.Median <= 1.05})
		}
	}
	return all
}
