// Package figures turns what benchmarks/gate has measured into a report and a
// chart. It measures nothing itself: the same records make the same report.
package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The sides that are measured.
const (
	Bare          = "none"
	BareAgain     = "none again" // the same once more: what identical sides differ by
	BareTold      = "none, told" // what any gate of sessions asks of Caddy: cookies to take away, a name to pass on
	BasicAuth     = "basic_auth"
	CaddySecurity = "caddy-security"
	GateMemory    = "captcha_gate, memory"
	GateLocal     = "captcha_gate, local"
	GateRedis     = "captcha_gate, redis"
)

// The kinds of requests.
const (
	Proxied = "signed in"    // passed to the app; with a session, where there is a gate
	Page    = "sign-in page" // the page for a browser, with a challenge if the side has one
	Refusal = "401"          // what a script without a session gets
)

// The groups in which rounds are alternated. Only rounds of one group compare.
const (
	Requests = "requests"
	Users    = "users"
	Sessions = "sessions"
)

// Record is one line of the raw figures; one of its fields is set.
type Record struct {
	Machine *Machine `json:"machine,omitempty"`
	Round   *Round   `json:"round,omitempty"`
	Memory  *Memory  `json:"memory,omitempty"`
	SignIns *SignIns `json:"sign_ins,omitempty"`
	Storm   *Storm   `json:"storm,omitempty"`
	Start   *Start   `json:"start,omitempty"`
	Bench   *Bench   `json:"bench,omitempty"`
}

// Machine is what everything ran on, and how.
type Machine struct {
	CPU         string  `json:"cpu"`
	Cores       int     `json:"cores"`
	System      string  `json:"system"`
	Go          string  `json:"go"`
	Caddy       string  `json:"caddy"`
	Security    string  `json:"caddy_security"`
	Redis       string  `json:"redis"`
	Seconds     float64 `json:"seconds"` // of load a side and round
	Connections int     `json:"connections"`
}

// Round is one side under load in one round.
type Round struct {
	Group    string  `json:"group"`
	Number   int     `json:"number"`
	Side     string  `json:"side"`
	Kind     string  `json:"kind"`
	Size     int     `json:"size,omitempty"` // how many users or sessions, where the group is about them
	Requests int     `json:"requests"`
	Micros   float64 `json:"cpu_us"` // CPU time of the gate's process a request
	Rate     float64 `json:"rate"`   // requests a second
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	RSS      float64 `json:"rss_mib"` // at the end of the round
}

// Memory is what the gate's process takes after so many sign-in pages.
type Memory struct {
	Side  string  `json:"side"`
	Pages int     `json:"pages"`
	RSS   float64 `json:"rss_mib"`
}

// SignIns is how many right sign-ins got through in one round.
type SignIns struct {
	Side   string  `json:"side"`
	Number int     `json:"number"`
	Count  int     `json:"count"`
	Rate   float64 `json:"rate"`    // a second
	Hash   float64 `json:"hash_ms"` // of one hash of the same cost, measured in the same round with nothing else running
	Slots  int     `json:"slots"`   // hashes at a time; 0 where there is no limit
}

// Storm is how live sessions fared beside clients that guess passwords.
type Storm struct {
	Side       string  `json:"side"`
	Number     int     `json:"number"`
	Live       int     `json:"live"` // requests of live sessions in the storm
	Failed     int     `json:"failed"`
	QuietP50   float64 `json:"quiet_p50_ms"`
	QuietP99   float64 `json:"quiet_p99_ms"`
	StormP50   float64 `json:"storm_p50_ms"`
	StormP99   float64 `json:"storm_p99_ms"`
	Onset      float64 `json:"onset_sign_in_ms"` // of who knows the password, as the storm begins
	SignIn     float64 `json:"sign_in_ms"`       // the slowest of them, once all who guess have been answered
	QuietEntry float64 `json:"quiet_sign_in_ms"` // the same before the storm
	SignedIn   int     `json:"signed_in"`
	Judged     int     `json:"judged"` // guesses whose password was judged
	Busy       int     `json:"busy"`   // guesses answered with 429 or 503
	Lost       int     `json:"lost"`   // guesses without an answer
}

// Start is a process from its start to its first answer.
type Start struct {
	Side    string  `json:"side"`
	Users   int     `json:"users"`
	Seconds float64 `json:"seconds"`
	RSS     float64 `json:"rss_mib"` // a second after the first answer
}

// Bench is one line of `go test -bench`.
type Bench struct {
	Name   string  `json:"name"` // without "Benchmark" and the number of processors
	Nanos  float64 `json:"ns"`
	Allocs float64 `json:"allocs"`
}

// Results are all records of a run.
type Results struct {
	Machine Machine
	Rounds  []Round
	Memory  []Memory
	SignIns []SignIns
	Storms  []Storm
	Starts  []Start
	Benches []Bench
}

// Read takes records as JSON, one a line.
func Read(in io.Reader) (Results, error) {
	var all Results
	decoder := json.NewDecoder(in)
	for n := 1; ; n++ {
		var r Record
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Results{}, fmt.Errorf("record %d: %w", n, err)
		}
		if !all.add(r) {
			return Results{}, fmt.Errorf("record %d says nothing", n)
		}
	}
	if all.Machine.Cores == 0 {
		return Results{}, errors.New("no record of the machine")
	}
	return all, nil
}

func (r *Results) add(one Record) bool {
	switch {
	case one.Machine != nil:
		r.Machine = *one.Machine
	case one.Round != nil:
		r.Rounds = append(r.Rounds, *one.Round)
	case one.Memory != nil:
		r.Memory = append(r.Memory, *one.Memory)
	case one.SignIns != nil:
		r.SignIns = append(r.SignIns, *one.SignIns)
	case one.Storm != nil:
		r.Storms = append(r.Storms, *one.Storm)
	case one.Start != nil:
		r.Starts = append(r.Starts, *one.Start)
	case one.Bench != nil:
		r.Benches = append(r.Benches, *one.Bench)
	default:
		return false
	}
	return true
}
