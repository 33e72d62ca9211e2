package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

// myself is the process that the tests run in.
func myself(t *testing.T) *process {
	t.Helper()
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return &process{name: "test", cmd: &exec.Cmd{Process: p}}
}

func TestTheCPUClockIsThatOfTheProcess(t *testing.T) {
	p := myself(t)
	before, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	after, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	// getrusage counts whole microseconds, two of them.
	between := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	if between < before-2*time.Microsecond || between > after {
		t.Errorf("getrusage says %v, the clock %v before and %v after", between, before, after)
	}
}

func TestFiguresAreFoundInProc(t *testing.T) {
	got, err := residentSet("Name:\tcaddy\nVmHWM:\t  999999 kB\nVmRSS:\t  131072 kB\nThreads:\t9\n")
	if err != nil || got != 128 {
		t.Errorf("resident set: %v, %v", got, err)
	}
	for _, text := range []string{"", "VmRSS:\n", "VmRSS:\tmuch kB\n"} {
		if got, err := residentSet(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got, err := myself(t).rss(); err != nil || got <= 0 {
		t.Errorf("resident set of this process: %v, %v", got, err)
	}
	if got := processor("processor\t: 0\nmodel name\t: Example CPU @ 3.00GHz\n"); got != "Example CPU @ 3.00GHz" {
		t.Errorf("processor: %q", got)
	}
}

func TestEveryLaneHasOneTurn(t *testing.T) {
	for n := 1; n <= 7; n++ {
		first := map[int]bool{}
		for turn := range 2 * n {
			seen := map[int]bool{}
			for place := range n {
				seen[order(place, turn, n)] = true
			}
			if len(seen) != n {
				t.Errorf("turn %d: %d of %d", turn, len(seen), n)
			}
			first[order(0, turn, n)] = true
		}
		if len(first) != n {
			t.Errorf("of %d lanes only %d ever come first", n, len(first))
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	for _, count := range []int{0, 7, 8, 1000001} {
		sum := 0
		for i := range connections {
			sum += share(count, i, connections)
		}
		if sum != count {
			t.Errorf("%d became %d", count, sum)
		}
	}
}

func TestAChallengeIsFoundInItsPage(t *testing.T) {
	if got, err := tokenIn([]byte(`<input name="captcha_token" value="abc-_1" autocomplete="off">`)); err != nil || got != "abc-_1" {
		t.Errorf("%q, %v", got, err)
	}
	for _, page := range []string{"", `<input name="captcha_token" value="">`, `name="captcha_token" value="abc`} {
		if got, err := tokenIn([]byte(page)); err == nil {
			t.Errorf("%q: %q", page, got)
		}
	}
}

func TestBenchmarksAreRead(t *testing.T) {
	got, err := readBenches(strings.NewReader("goos: linux\npkg: x\n{\"log\":1}\n" +
		"BenchmarkPassThrough/memory/bare-2 \t 1000\t 32 ns/op\t 0 B/op\t 0 allocs/op\n" +
		"BenchmarkPassThroughAmongMany/1000000-2 \t 1000\t 950 ns/op\t 300 B/session\t 48 B/op\t 5 allocs/op\nPASS\n"))
	want := []figures.Bench{{Name: "PassThrough/memory/bare", Nanos: 32}, {Name: "PassThroughAmongMany/1000000", Nanos: 950, Allocs: 5}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v, %v", got, err)
	}
	for _, in := range []string{"", "PASS\n", "BenchmarkX \t 10\t 30 ns/op\n"} {
		if got, err := readBenches(strings.NewReader(in)); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestUnknownExperimentsAreRefused(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(experiments) {
		t.Errorf("all: %v, %v", all, err)
	}
	if some, err := choose("storm,start"); err != nil || len(some) != 2 {
		t.Errorf("some: %v, %v", some, err)
	}
	if _, err := choose("storm,sun"); err == nil {
		t.Error("sun: accepted")
	}
}

// testSite is a server of the test in the place of a Caddy.
func testSite(t *testing.T, handler http.HandlerFunc) (s *site, opened *int) {
	t.Helper()
	opened = new(int)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			*opened++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return &site{process: myself(t), address: server.Listener.Addr().String(), side: "test"}, opened
}

func TestAVisitorKeepsCookiesAndConnection(t *testing.T) {
	s, opened := testSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
		http.SetCookie(w, &http.Cookie{Name: "at", Value: r.URL.Path[1:]})
		_, _ = w.Write([]byte(r.Method + " " + r.Header.Get("Cookie") + " " + r.Header.Get("X-Forwarded-For")))
	})
	v := s.visitor("192.0.2.1")
	defer v.close()
	for _, c := range []struct{ path, want string }{
		{"/one", "GET  192.0.2.1"}, {"/last", "GET at=one 192.0.2.1"}, {"/two", "GET at=last 192.0.2.1"},
	} {
		a, err := v.send("GET", c.path, "")
		if err != nil || a.status != http.StatusOK || string(a.body) != c.want {
			t.Errorf("%s: %d %q, %v", c.path, a.status, a.body, err)
		}
	}
	if *opened != 2 { // the server closed the first
		t.Errorf("%d connections", *opened)
	}
}

func TestALaneCountsWhatItSends(t *testing.T) {
	s, _ := testSite(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	l := newLane(figures.Lane{Side: "test"}, s, expect(http.StatusOK, "hello"), request("GET", "/", ""))
	if err := l.run(context.Background(), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	round, err := l.take(1)
	if err != nil || round.Requests < connections || round.Micros <= 0 || round.Rate <= 0 || round.P99 < round.P50 {
		t.Errorf("%+v, %v", round, err)
	}
}

func TestAnAnswerThatIsNotExpectedEndsTheRun(t *testing.T) {
	s, _ := testSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	l := newLane(figures.Lane{Side: "test"}, s, expect(http.StatusOK, ""), request("GET", "/", ""))
	if err := l.run(context.Background(), time.Minute); err == nil || !strings.Contains(err.Error(), "got 429, expected 200") {
		t.Error(err)
	}
}
