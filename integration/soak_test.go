package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many sign-ins of many users leave nothing behind once their sessions have ended
// and their challenges are forgotten. A hundred thousand with
// CAPTCHA_GATE_MEASURE=1 go test -v -run ManySignIns .
func TestManySignInsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const workers = 4
	// Spent challenges are remembered for as long, and two minutes.
	brief := strings.Replace(crowded, "issue 100000", "issue 1000000", 1) + "captcha {\nlifetime 10s\n}\n"
	signIns, users := 150, 20
	if measuring {
		signIns, users = 100_000, 2_500 // who may have fifty sessions each
	}
	s := newSite(t)
	var lines strings.Builder
	for i := range users {
		fmt.Fprintf(&lines, "user%d:%s\n", i, testHash)
	}
	s.writeFile("users.htpasswd", lines.String())
	s.start(s.standard(brief))
	b := newBustle(t, s)
	round := func(signIns int) {
		var next atomic.Int64
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for n := next.Add(1); n <= int64(signIns) && !t.Failed(); n = next.Add(1) {
					b.enter(fmt.Sprint("user", n%int64(users)), n%20 == 0)
				}
			})
		}
		all.Wait()
		b.transport.CloseIdleConnections()
	}
	round(users)
	before := s.rest(brief)
	began := time.Now()
	round(signIns)
	took := time.Since(began)
	if n := int(s.metric("sessions")); n != signIns {
		t.Errorf("%d sessions after %d sign-ins", n, signIns)
	}
	full := s.heap()
	after := s.rest(brief)
	if measuring {
		// What is spent is swept away within a minute of its end. The store keeps the
		// room of up to a quarter of a million entries, some 25 MB.
		eventually(t, "a heap as before", 5*time.Minute, func() bool { after.heap = s.heap(); return after.heap < before.heap+30e6 })
	}
	t.Logf("%d sign-ins of %d users in %v; heap with all sessions %.1f MB", signIns, users, took.Round(time.Second), float64(full)/1e6)
	t.Logf("before: %v; after: %v", before, after)
	after.isLike(t, before)
}

// enter signs somebody in, who then perhaps goes to the app.
func (b *bustle) enter(user string, goesOn bool) {
	v := b.visitor()
	challenge := token(b.t, v.page("/login").body)
	form := url.Values{
		"username": {user}, "password": {testPassword}, "captcha_token": {challenge}, "captcha_answer": {b.solve(challenge)},
	}
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		b.t.Errorf("sign-in: %d\n%s", a.StatusCode, a.body)
		return
	}
	b.signIns.Add(1)
	if goesOn {
		b.isShown(v, user)
	}
}
