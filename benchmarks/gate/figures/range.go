package figures

import (
	"slices"
	"time"
)

// Range is the median of some figures with the least and the most of them.
type Range struct {
	Count               int
	Median, Least, Most float64
}

// RangeOf is the zero Range where there are no values.
func RangeOf(values []float64) Range {
	if len(values) == 0 {
		return Range{}
	}
	sorted := slices.Sorted(slices.Values(values))
	last, middle := len(sorted)-1, len(sorted)/2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Range{Count: len(sorted), Median: median, Least: sorted[0], Most: sorted[last]}
}

// Percentile is the smallest of the times that so many percent of them do not
// exceed. It sorts them.
func Percentile(times []time.Duration, percent float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	rank := int(percent/100*float64(len(times))+0.999999) - 1
	return times[min(max(rank, 0), len(times)-1)]
}

// Lane is what is loaded by turns with others of its group.
type Lane struct {
	Group, Side, Kind string
	Size              int
}

// Figure is one of the figures of a round.
type Figure func(Round) float64

// The figures of a round that reports use.
var (
	cpu  Figure = func(r Round) float64 { return r.Micros }
	rate Figure = func(r Round) float64 { return r.Rate }
	p50  Figure = func(r Round) float64 { return r.P50 }
	p99  Figure = func(r Round) float64 { return r.P99 }
	rss  Figure = func(r Round) float64 { return r.RSS }
)

func (r Results) of(l Lane) map[int]Round {
	found := map[int]Round{}
	for _, round := range r.Rounds {
		if (Lane{round.Group, round.Side, round.Kind, round.Size}) == l {
			found[round.Number] = round
		}
	}
	return found
}

// values is a figure over all rounds.
func (r Results) values(l Lane, f Figure) Range {
	var all []float64
	for _, round := range r.of(l) {
		all = append(all, f(round))
	}
	return RangeOf(all)
}

// ratio compares two lanes round by round, so that what slows the machine down
// for a while slows both.
func (r Results) ratio(l, base Lane, f Figure) Range {
	var all []float64
	under := r.of(base)
	for number, round := range r.of(l) {
		if other, ok := under[number]; ok && f(other) > 0 {
			all = append(all, f(round)/f(other))
		}
	}
	return RangeOf(all)
}
