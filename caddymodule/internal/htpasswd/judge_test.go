package htpasswd

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"
)

// step is one reading of the file: when, what, and what must come of it.
type step struct {
	at   time.Duration
	text string
	err  error
	want event
	wait time.Duration
}

const (
	one     = "ann:" + hashSHA + "\n"
	two     = one + "bob:" + hashSHA + "\n"
	three   = two + "cat:" + hashSHA + "\n"
	garbage = "not a users file\n"
	ms      = time.Millisecond
	sec     = time.Second
)

var gone = fs.ErrNotExist

func TestUSR5_WhatReadingsMean(t *testing.T) {
	for _, test := range []struct {
		name  string
		start string
		steps []step
	}{
		{"nothing happens", one, []step{{at: 0, text: one}, {at: sec, text: one}, {at: time.Hour, text: one}}},
		{"change counts when two readings agree", one, []step{
			{at: sec, text: two, wait: 500 * ms},
			{at: sec + 499*ms, text: two, wait: ms},
			{at: sec + 500*ms, text: two, want: eventReloaded},
			{at: 2 * sec, text: two},
		}},
		{"twice in a row, and back", one, []step{
			{at: sec, text: two, wait: 500 * ms}, {at: 2 * sec, text: two, want: eventReloaded},
			{at: 3 * sec, text: three, wait: 500 * ms}, {at: 4 * sec, text: three, want: eventReloaded},
			{at: 5 * sec, text: one, wait: 500 * ms}, {at: 6 * sec, text: one, want: eventReloaded},
		}},
		{"readings that differ never agree", one, []step{
			{at: sec, text: two, wait: 500 * ms},
			{at: sec + 500*ms, text: three, wait: 500 * ms},
			{at: sec + 999*ms, text: three, wait: ms},
			{at: sec + 1000*ms, text: three, want: eventReloaded},
		}},
		{"half-written file is passed over", two, []step{
			{at: sec, text: one, wait: 500 * ms},
			{at: sec + 100*ms, text: two},
			{at: sec + 500*ms, text: one, wait: 500 * ms}, // begins anew
			{at: sec + 700*ms, text: two},
			{at: 60 * sec, text: two},
		}},
		{"gap of a rename is not told", one, []step{
			{at: sec, err: gone, wait: 500 * ms},
			{at: sec + 50*ms, text: two, wait: 500 * ms},
			{at: sec + 550*ms, text: two, want: eventReloaded},
		}},
		{"bad lines beside good ones are accepted", one, []step{
			{at: sec, text: one + garbage, wait: 500 * ms}, {at: 2 * sec, text: one + garbage, want: eventReloaded},
		}},
		{"comment only: same users, new content", one, []step{
			{at: sec, text: one + "# x\n", wait: 500 * ms}, {at: 2 * sec, text: one + "# x\n", want: eventReloaded},
			{at: 3 * sec, text: one + "# x\n"},
		}},

		{"missing file is told once and closes after 10 s", one, []step{
			{at: sec, err: gone, wait: 500 * ms},
			{at: sec + 500*ms, err: gone, want: eventKeeping},
			{at: 2 * sec, err: gone},
			{at: 10 * sec, err: gone},
			{at: 11*sec - ms, err: gone},
			{at: 11 * sec, err: gone, want: eventClosed},
			{at: 12 * sec, err: gone},
			{at: time.Hour, err: gone},
		}},
		{"another error is the same trouble", one, []step{
			{at: sec, err: gone, wait: 500 * ms},
			{at: 2 * sec, err: fs.ErrPermission, want: eventKeeping},
			{at: 3 * sec, err: gone},
			{at: 11 * sec, err: fs.ErrPermission, want: eventClosed},
		}},
		{"file comes back as it was", one, []step{
			{at: sec, err: gone, wait: 500 * ms}, {at: 2 * sec, err: gone, want: eventKeeping},
			{at: 3 * sec, text: one, want: eventRecovered}, {at: 4 * sec, text: one},
			// The settle time begins anew.
			{at: 10 * sec, err: gone, wait: 500 * ms}, {at: 12 * sec, err: gone, want: eventKeeping},
			{at: 19 * sec, err: gone}, {at: 20 * sec, err: gone, want: eventClosed},
		}},
		{"file comes back as it was after closing", one, []step{
			{at: 0, err: gone, wait: 500 * ms}, {at: 20 * sec, err: gone, want: eventClosed},
			{at: 21 * sec, text: one, want: eventRecovered},
			{at: 22 * sec, err: gone, wait: 500 * ms}, {at: 23 * sec, err: gone, want: eventKeeping},
		}},
		{"file comes back changed", one, []step{
			{at: 0, err: gone, wait: 500 * ms}, {at: sec, err: gone, want: eventKeeping},
			{at: 2 * sec, text: two, wait: 500 * ms}, {at: 3 * sec, text: two, want: eventReloaded},
		}},
		{"file comes back changed after closing", one, []step{
			{at: 0, err: gone, wait: 500 * ms}, {at: 20 * sec, err: gone, want: eventClosed},
			{at: 21 * sec, text: two, wait: 500 * ms}, {at: 21*sec + 500*ms, text: two, want: eventReloaded},
			{at: 22 * sec, text: two},
		}},
		{"good file at the last moment is given its time", one, []step{
			{at: 0, err: gone, wait: 500 * ms}, {at: sec, err: gone, want: eventKeeping},
			{at: 10*sec - ms, text: two, wait: 500 * ms},
			{at: 10*sec + 400*ms, text: two, wait: 99 * ms},
			{at: 10*sec + 499*ms, text: two, want: eventReloaded},
		}},

		{"garbage is kept out, then closes", one, []step{
			{at: 0, text: garbage, wait: 500 * ms}, {at: 500 * ms, text: garbage, want: eventKeeping},
			{at: 5 * sec, text: garbage}, {at: 10*sec - ms, text: garbage}, {at: 10 * sec, text: garbage, want: eventClosed},
			{at: 11 * sec, text: garbage},
			{at: 12 * sec, text: "other " + garbage, wait: 500 * ms}, {at: 13 * sec, text: "other " + garbage},
			{at: 14 * sec, text: two, wait: 500 * ms}, {at: 15 * sec, text: two, want: eventReloaded},
		}},
		{"garbage, then missing: one trouble", one, []step{
			{at: 0, text: garbage, wait: 500 * ms}, {at: sec, text: garbage, want: eventKeeping},
			{at: 6 * sec, err: gone, wait: 500 * ms}, {at: 7 * sec, err: gone},
			{at: 10 * sec, err: gone, want: eventClosed},
		}},
		{"users all unusable is garbage", one, []step{
			{at: 0, text: "ann:plain\n", wait: 500 * ms}, {at: sec, text: "ann:plain\n", want: eventKeeping},
		}},

		{"emptied file is kept out, then means nobody", one, []step{
			{at: 0, text: "", wait: 500 * ms}, {at: 500 * ms, text: "", want: eventKeeping},
			{at: 10*sec - ms, text: ""}, {at: 10 * sec, text: "", want: eventEmptied}, {at: 11 * sec, text: ""},
			{at: 12 * sec, text: one, wait: 500 * ms}, {at: 13 * sec, text: one, want: eventReloaded},
		}},
		{"comments only is empty", one, []step{
			{at: 0, text: "# none\n", wait: 500 * ms}, {at: sec, text: "# none\n", want: eventKeeping},
			{at: 10 * sec, text: "# none\n", want: eventEmptied},
		}},
		{"missing and closed, then empty: nobody at once", one, []step{
			{at: 0, err: gone, wait: 500 * ms}, {at: 10 * sec, err: gone, want: eventClosed},
			{at: 11 * sec, text: "", wait: 500 * ms}, {at: 12 * sec, text: "", want: eventEmptied},
		}},
		{"empty from the start is no trouble", "", []step{
			{at: 0, text: ""}, {at: time.Hour, text: ""},
			{at: time.Hour + sec, text: "# x", wait: 500 * ms}, {at: time.Hour + 2*sec, text: "# x", want: eventReloaded},
			{at: time.Hour + 3*sec, text: one, wait: 500 * ms}, {at: time.Hour + 4*sec, text: one, want: eventReloaded},
		}},

		{"file that never rests closes", one, []step{
			{at: 0, text: two, wait: 500 * ms}, {at: 400 * ms, text: three, wait: 500 * ms},
			{at: 9900 * ms, text: two, wait: 500 * ms}, {at: 10300 * ms, text: three, wait: 500 * ms},
			{at: 10499 * ms, text: two, wait: 500 * ms},
			{at: 10500 * ms, text: three, want: eventClosed, wait: 500 * ms},
			{at: 10900 * ms, text: two, wait: 500 * ms},
			{at: 11400 * ms, text: two, want: eventReloaded},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			j := judge{agree: 500 * ms, settle: 10 * sec, good: newReading([]byte(test.start), [32]byte{}),
				inUse: contentOf([]byte(test.start), nil)}
			for i, s := range test.steps {
				v := j.observe(start.Add(s.at), []byte(s.text), s.err)
				if v.event != s.want || v.wait != s.wait {
					t.Fatalf("step %d at %v: event %d, wait %v; want %d, %v", i+1, s.at, v.event, v.wait, s.want, s.wait)
				}
				checkVerdict(t, v, s)
			}
		})
	}
}

// checkVerdict looks at what comes with an event.
func checkVerdict(t *testing.T, v verdict, s step) {
	t.Helper()
	switch s.want {
	case eventReloaded, eventRecovered, eventEmptied:
		table, problems := parseText(s.text)
		if v.table == nil || v.table.Len() != table.Len() || len(v.problems) != len(problems) {
			t.Errorf("at %v: table %v with %d problems", s.at, v.table, len(v.problems))
		}
		if (v.err != nil) != (s.want == eventEmptied) {
			t.Errorf("at %v: error %v", s.at, v.err)
		}
	case eventKeeping, eventClosed:
		if v.err == nil || s.err != nil && !errors.Is(v.err, s.err) || s.text == garbage && len(v.problems) != 1 {
			t.Errorf("at %v: error %v with problems %v", s.at, v.err, v.problems)
		}
	}
}

func TestProblemsStayKnownAfterRecovery(t *testing.T) {
	text := one + garbage
	j := judge{agree: ms, settle: sec, good: newReading([]byte(text), [32]byte{}), inUse: contentOf([]byte(text), nil)}
	now := time.Now()
	j.observe(now, nil, gone)
	j.observe(now.Add(sec), nil, gone)
	v := j.observe(now.Add(2*sec), []byte(text), nil)
	if v.event != eventRecovered || fmt.Sprint(v.problems) != "[line 2: no colon]" {
		t.Errorf("event %d, problems %v", v.event, v.problems)
	}
}
