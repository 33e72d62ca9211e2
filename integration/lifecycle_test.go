package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func (s *site) standard(more string) string {
	return s.caddyfile("captcha_gate {\n" + s.basics() + more + "\n}\nreverse_proxy " + s.upstream.address)
}

func TestAReloadKeepsSessionsAndCounters(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"state local", "state memory"} {
		t.Run(state, func(t *testing.T) {
			// Who has signed in is a known device, which has the limit of a user.
			limits := "throttle {\nuser 3 10m\n}\n" + state
			s := startSite(t, limits)
			v := newVisitor(t, s)
			v.signIn()
			failure := func() int {
				form := fields(t, challenge(t, v))
				form.Set("captcha_answer", "wrong")
				return v.form("/login", form).StatusCode
			}
			for range 2 {
				failure()
			}
			spent := fields(t, challenge(t, v))
			spent.Set("captcha_answer", "wrong")
			v.form("/login", spent)
			spent.Set("captcha_answer", solve(t, spent.Get("captcha_token")))

			if out, ok := s.reload(s.standard(limits + "\nlanding /changed")); !ok {
				t.Fatalf("reload: %s", out)
			}
			if !v.isSignedIn() {
				t.Error("the session is gone")
			}
			if status := failure(); status != http.StatusTooManyRequests {
				t.Errorf("THR-6: the fourth failure after a reload: %d", status)
			}
		})
	}
}

// challenge asks for a challenge as scripts do, since somebody who is signed in
// does not get the page any more, and returns it as it stands in the page.
func challenge(t *testing.T, v *visitor) string {
	t.Helper()
	a := v.do("GET", "/captcha-gate/challenge", "", "Accept", "application/json")
	found := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no challenge: %d %s", a.StatusCode, a.body)
	}
	return `name="captcha_token" value="` + found[1] + `"`
}

// Trap 1: a refused configuration must not take the running one's state away,
// neither at once nor at the next good reload.
func TestARefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, "state local")
	v := newVisitor(t, s)
	v.signIn()
	for _, bad := range []string{"users /nonexistent", "nonsense", "secret short", "base_path /login"} {
		body := s.standard(bad)
		if strings.HasPrefix(bad, "users") {
			body = strings.Replace(s.standard(""), s.users, "/nonexistent", 1)
		}
		if out, ok := s.reload(body); ok {
			t.Errorf("%s was accepted:\n%s", bad, out)
		}
		if !v.isSignedIn() {
			t.Fatalf("the session is gone after %q", bad)
		}
	}
	for i := range 2 {
		if out, ok := s.reload(s.standard("landing /" + strconv.Itoa(i))); !ok {
			t.Fatalf("good reload: %s", out)
		}
		if !v.isSignedIn() {
			t.Fatal("the session is gone after a good reload")
		}
	}
}

func TestValidateBesideARunningServerDisturbsNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	out, err := s.command(t.Context(), "validate", "--config", "Caddyfile", "--adapter", "caddyfile").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !v.isSignedIn() {
		t.Error("the session is gone")
	}
}

func TestRestartAndCrash(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state string
		end   func(*site)
		lives bool
	}{
		"local, restart":  {"state local", (*site).stop, true},
		"local, kill -9":  {"state local", (*site).kill, true},
		"memory, restart": {"state memory", (*site).stop, false},
		"memory, kill -9": {"state memory", (*site).kill, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, c.state)
			stays, leaves := newVisitor(t, s), newVisitor(t, s)
			stays.signIn()
			leaves.signIn()
			old := sessionCookie(t, leaves)
			leaves.form("/logout", nil)
			fresh, used := newVisitor(t, s), newVisitor(t, s)
			open := fields(t, fresh.page("/login").body)
			spent := fields(t, used.page("/login").body)
			wrong := fields(t, `name="captcha_token" value="`+spent.Get("captcha_token")+`"`)
			wrong.Set("captcha_answer", "wrong")
			if a := used.form("/login", wrong); a.StatusCode != http.StatusForbidden {
				t.Fatal(a.StatusCode)
			}

			c.end(s)
			s.start(s.standard(c.state))

			if got := stays.isSignedIn(); got != c.lives {
				t.Errorf("the session lives: %v", got)
			}
			if a := newVisitor(t, s).do("GET", "/app", "", "Cookie", "captcha_gate="+old); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("SES-3: the signed-out session is back: %d", a.StatusCode)
			}
			if a := used.form("/login", spent); a.StatusCode != http.StatusForbidden {
				t.Errorf("CAP-1: the spent challenge is good again: %d", a.StatusCode)
			}
			if a := fresh.form("/login", open); (a.StatusCode == http.StatusSeeOther) != c.lives {
				t.Errorf("the open challenge: %d", a.StatusCode)
			}
		})
	}
}

// Refused configurations are refused at every stage: before, in and after the
// gate's own preparations, and when everything is ready but a port is taken.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.patient = true
	v.signIn()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	round := func(i int) {
		for name, c := range map[string]struct {
			caddyfile string
			good      bool
		}{
			"good":                  {s.standard(fmt.Sprintf("landing /%d", i)), true},
			"no users file":         {strings.Replace(s.standard(""), s.users, "/nonexistent", 1), false},
			"bad page":              {s.standard("page {\nlogo /nonexistent\n}"), false},
			"state unusable":        {s.standard("state local " + s.dir), false},
			"bad site beside":       {s.standard("") + "http://127.0.0.1:1 {\nbasic_auth {\nbob nohash\n}\n}\n", false},
			"port of another taken": {s.standard("") + "http://" + taken.Addr().String() + " {\nrespond x\n}\n", false},
		} {
			status, body := s.load(c.caddyfile)
			if (status == http.StatusOK) != c.good {
				t.Fatalf("%s: %d %s", name, status, body)
			}
			if !v.isSignedIn() {
				t.Fatalf("the session is gone after: %s", name)
			}
		}
	}
	for i := range 2 {
		round(i)
	}
	// Each configuration's reverse_proxy keeps a connection to the app for a
	// while, with the gate and without; they are not what is counted here.
	s.upstream.server.CloseClientConnections()
	goroutines, files := s.goroutines(), s.openFiles()
	for i := range 8 { // each of them six configurations
		round(10 + i)
	}
	s.upstream.server.CloseClientConnections()
	eventually(t, fmt.Sprintf("about %d goroutines and %d open files as before", goroutines, files), 20*time.Second, func() bool {
		return s.goroutines() <= goroutines+5 && s.openFiles() <= files+5
	})
	// What is left of the state must still be one store: it ends and comes back.
	s.stop()
	s.start(s.standard(""))
	if !v.isSignedIn() {
		t.Error("the session did not survive the restart")
	}
}

// THR-6: the counters are on the disk with the rest.
func TestCountersSurviveARestart(t *testing.T) {
	t.Parallel()
	const limits = "throttle {\nclient 3 10m\n}"
	s := startSite(t, limits)
	v := newVisitor(t, s)
	failure := func() int {
		form := fields(t, v.page("/login").body)
		form.Set("captcha_answer", "wrong")
		return v.form("/login", form).StatusCode
	}
	for i := range 3 {
		if status := failure(); status != http.StatusForbidden {
			t.Fatalf("failure %d: %d", i+1, status)
		}
	}
	s.stop()
	s.start(s.standard(limits))
	if status := failure(); status != http.StatusTooManyRequests {
		t.Errorf("the fourth failure after a restart: %d", status)
	}
}

// openFiles counts the process's open files where the system shows them.
func (s *site) openFiles() int {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Process.Pid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return len(open)
}

var total = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines is how many Caddy has.
func (s *site) goroutines() int {
	s.t.Helper()
	found := total.FindStringSubmatch(s.profile("goroutine?debug=1"))
	if found == nil {
		s.t.Fatal("no goroutine profile")
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// profile asks Caddy's admin endpoint.
func (s *site) profile(name string) string {
	s.t.Helper()
	v := newVisitor(s.t, s)
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.admin+"/debug/pprof/"+name, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Close = true
	return v.send(r).body
}
