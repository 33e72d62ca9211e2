package integration

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// expected are the statuses that each kind of request may get. The first is
// what it gets where nothing else is wrong: some must get it.
type expected map[string][]int

// What is served during a fault, from the contract's point of view. A request
// that needs Redis gets 503 also where Redis answers, if a busy machine makes it
// wait longer than the gate does.
var (
	away = expected{
		"known": {200}, "stranger": {503}, "signed out": {503}, "forged": {503},
		"page": {503}, "login page": {503}, "sign-in": {503},
	}
	refusing = expected{
		"known": {200}, "stranger": {200, 503}, "signed out": {401, 503}, "forged": {401, 503},
		"page": {503}, "login page": {503}, "sign-in": {503},
	}
	emptied = expected{
		"known": {401, 503}, "stranger": {401, 503}, "signed out": {401, 503}, "forged": {401, 503},
		"page": {401, 503}, "login page": {200, 503}, "sign-in": {403, 503},
	}
	older = expected{
		"known": {200}, "stranger": {200, 503}, "signed out": {401, 503}, "forged": {401, 503},
		"page": {401, 503}, "login page": {200, 503}, "sign-in": {403, 503},
	}
	// What never touches the store goes on as if nothing had happened.
	untouched = expected{"script": {401}, "public": {200}, "public, known": {200}, "public, forged": {200}}
)

// fault is something that happens to Redis.
type fault struct {
	options    []string     // of Redis
	isFar      bool         // the nodes speak to Redis through a lane
	snapshot   func(*crowd) // while everybody is being prepared
	begin, end func(*crowd)
	expected   expected
	requests   int
	// What is still good afterwards: the sessions, and the challenge that was open.
	// Another run of Redis may have lost what was spent, so challenges end with it.
	sessions, challenge bool
}

func TestClusterFaultsOfRedis(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"stopped": {
			options: []string{"--appendonly", "yes", "--appendfsync", "always"},
			begin:   func(g *crowd) { g.redis.kill() }, end: func(g *crowd) { g.redis.run() },
			expected: away, requests: 10000, sessions: true,
		},
		"frozen": {
			begin: func(g *crowd) { g.redis.freeze() }, end: func(g *crowd) { g.redis.thaw() },
			expected: away, requests: 600, sessions: true, challenge: true,
		},
		"slow": {
			isFar: true,
			begin: func(g *crowd) { g.lane.jam() }, end: func(g *crowd) { g.lane.clear() },
			expected: away, requests: 600, sessions: true, challenge: true,
		},
		"flushed": {
			begin: flush, end: func(*crowd) {},
			expected: emptied, requests: 600,
		},
		"out of memory": {
			begin:    func(g *crowd) { g.redis.do("CONFIG", "SET", "maxmemory", "1") },
			end:      func(g *crowd) { g.redis.do("CONFIG", "SET", "maxmemory", "0") },
			expected: refusing, requests: 600, sessions: true, challenge: true,
		},
		"read-only": {
			begin:    func(g *crowd) { g.redis.do("REPLICAOF", "127.0.0.1", "1") },
			end:      func(g *crowd) { g.redis.do("REPLICAOF", "NO", "ONE") },
			expected: refusing, requests: 600, sessions: true, challenge: true,
		},
		"replaced by an older dump": {
			snapshot: dumpAndSpend,
			begin:    func(g *crowd) { g.redis.kill(); g.redis.run() }, end: func(*crowd) {},
			expected: older, requests: 600, sessions: true,
		},
	} {
		t.Run(name, func(t *testing.T) { // one by one: what Redis may take has a deadline
			f.test(t)
		})
	}
}

func (f fault) test(t *testing.T) {
	redis := newRedis(t, f.options...)
	redis.run()
	address := redis.addr
	var l *lane
	if f.isFar { // opened first, so that it is closed after the nodes have ended
		l = openLane(t, redis.addr)
		address = l.addr
	}
	c := newCluster(t, redis)
	c.lane = l
	c.start("redis://"+address, crowded)
	c.isReady()
	g := c.gather(f.snapshot)
	seenAt := time.Now()
	f.begin(g)
	before := len(c.a.upstream.requests())
	outcomes := g.send(f.requests)
	arrived := c.a.upstream.requests()[before:]
	f.judge(t, outcomes, seenAt)
	judgeArrivals(t, arrived, outcomes)

	f.end(g)
	ended := time.Now()
	c.isReady()
	t.Logf("%s: both nodes sign in again %v after the end", t.Name(), time.Since(ended).Round(time.Millisecond))
	f.aftermath(t, g)
}

// judge compares each answer with what the contract allows. Many requests go
// wrong in the same way: each way is told once.
func (f fault) judge(t *testing.T, outcomes []outcome, seenAt time.Time) {
	t.Helper()
	faults, tally := map[string]int{}, map[string]map[int]int{}
	for _, o := range outcomes {
		if wrong := f.wrong(o, seenAt); wrong != "" {
			faults[o.kind+": "+wrong]++
		}
		if tally[o.kind] == nil {
			tally[o.kind] = map[int]int{}
		}
		tally[o.kind][o.status]++
	}
	for what, n := range faults {
		t.Errorf("%d times %s", n, what)
	}
	for _, all := range []expected{f.expected, untouched} {
		for kind, want := range all {
			if tally[kind][want[0]] == 0 {
				t.Errorf("%s: nobody got %d: %v", kind, want[0], tally[kind])
			}
		}
	}
	slowest := slices.MaxFunc(outcomes, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
	t.Logf("%s: %d requests, the slowest %v (%s, %d): %v", t.Name(), len(outcomes), slowest.took.Round(time.Millisecond), slowest.kind, slowest.status, tally)
}

// wrong says what is wrong with an answer, if anything.
func (f fault) wrong(o outcome, seenAt time.Time) string {
	want := f.expected[o.kind]
	if want == nil {
		want = untouched[o.kind]
	}
	// What both nodes have seen is good for a minute without Redis, and not
	// promised for longer.
	if o.kind == "known" && o.ended.Sub(seenAt) > 55*time.Second {
		want = append(slices.Clone(want), http.StatusServiceUnavailable)
	}
	away := o.status == http.StatusServiceUnavailable
	switch {
	case o.err != nil:
		return o.err.Error()
	case !slices.Contains(want, o.status):
		return fmt.Sprintf("%d %s, want %v", o.status, o.code, want)
	case away && o.header["Set-Cookie"] != nil:
		return fmt.Sprintf("SES-11: 503 with Set-Cookie %v", o.header["Set-Cookie"])
	case away && o.header.Get("Retry-After") == "":
		return "503 without Retry-After"
	case away && o.code != "" && o.code != "state_unavailable":
		return "503 " + o.code
	}
	return ""
}

// judgeArrivals holds what the upstream saw against what was answered: nothing
// gets there that needs a session and has none, and nobody chooses a name.
func judgeArrivals(t *testing.T, arrived []seen, outcomes []outcome) {
	t.Helper()
	names := map[string][]string{
		"/app/known": {testUser}, "/app/stranger": {testUser},
		"/public/known": {testUser, ""}, "/public/nobody": {""}, "/public/forged": {""},
	}
	strangers := map[string]int{}
	for _, s := range arrived {
		if name := strings.Join(s.Header["Remote-User"], ","); !slices.Contains(names[s.URI], name) {
			strangers[fmt.Sprintf("%s of %q", s.URI, name)]++
		}
	}
	for what, n := range strangers {
		t.Errorf("the upstream got %s %d times", what, n)
	}
	passed := 0
	for _, o := range outcomes {
		if o.status == http.StatusOK && o.kind != "login page" {
			passed++
		}
	}
	if len(arrived) != passed {
		t.Errorf("the upstream got %d requests, and %d answers were its own", len(arrived), passed)
	}
}

// aftermath looks at what was there before the fault.
func (f fault) aftermath(t *testing.T, g *crowd) {
	t.Helper()
	for i, node := range g.nodes() {
		for name, v := range map[string]*visitor{"known": g.known, "stranger": g.stranger} {
			if in := v.at(node).isSignedIn(); in != f.sessions {
				t.Errorf("node %d: %s is signed in: %v", i, name, in)
			}
		}
	}
	if a := newVisitor(t, g.a).do("GET", "/app", "", "Cookie", g.leaver); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("SES-3: the session that was signed out is back: %d", a.StatusCode)
	}
	for i, node := range g.nodes() {
		want := http.StatusForbidden
		if f.challenge && i == 0 { // and is then used up
			want = http.StatusSeeOther
		}
		if a := g.filler.at(node).form("/login", g.form); a.StatusCode != want {
			t.Errorf("node %d: the challenge of before: %d, want %d", i, a.StatusCode, want)
		}
	}
}

// flush empties Redis, and waits until the nodes have heard of it.
func flush(g *crowd) {
	g.redis.do("FLUSHALL")
	for _, node := range g.nodes() {
		eventually(g.t, "the session is gone", 20*time.Second, func() bool {
			return g.known.at(node).do("GET", "/app", "").StatusCode == http.StatusUnauthorized
		})
	}
}

// dumpAndSpend saves everything and then uses the challenge up, so that the dump
// does not know of it. Each node judges a challenge afterwards, and so knows
// that Redis was further than the dump.
func dumpAndSpend(g *crowd) {
	g.redis.do("SAVE")
	g.signedIn(g.b)
	wrong := fields(g.t, fmt.Sprintf(`name="captcha_token" value="%s"`, g.form.Get("captcha_token")))
	wrong.Set("captcha_answer", "wrong")
	if a := g.filler.form("/login", wrong); a.StatusCode != http.StatusForbidden {
		g.t.Fatal(a.StatusCode)
	}
}

// laneDelay is how long a jammed lane takes for each chunk, each way.
const laneDelay = 2 * time.Second

// lane carries bytes between the nodes and Redis.
type lane struct {
	addr string
	mu   sync.Mutex
	free chan struct{} // closed while there is no jam
}

func openLane(t *testing.T, to string) *lane {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lane{addr: listener.Addr().String(), free: make(chan struct{})}
	close(l.free)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		l.clear()
		wg.Wait() // the nodes have ended before, and with them their connections
	})
	wg.Go(func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				_ = here.Close()
				continue
			}
			wg.Go(func() { l.carry(here, there) })
			wg.Go(func() { l.carry(there, here) })
		}
	})
	return l
}

func (l *lane) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	chunk := make([]byte, 16<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 {
			l.mu.Lock()
			free := l.free
			l.mu.Unlock()
			select {
			case <-free:
			case <-time.After(laneDelay):
			}
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// jam makes everything late from now on.
func (l *lane) jam() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = make(chan struct{})
}

// clear ends the jam, also for what is in it.
func (l *lane) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.free:
	default:
		close(l.free)
	}
}
