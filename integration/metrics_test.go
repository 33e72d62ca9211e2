package integration

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const metricPrefix = "caddy_captcha_gate_"

// sample is one series as /metrics shows it.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	sampleLabel = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// scrape asks the admin endpoint as Prometheus does, and returns the gate's series
// by their full names. One that is there twice fails the test.
func (s *site) scrape() map[string]sample {
	s.t.Helper()
	a := s.ask("GET", "/metrics")
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("metrics: %d %s", a.StatusCode, a.body)
	}
	series := map[string]sample{}
	for line := range strings.Lines(a.body) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, metricPrefix) {
			continue
		}
		match := sampleLine.FindStringSubmatch(line)
		if match == nil {
			s.t.Fatalf("not a sample: %s", line)
		}
		value, err := strconv.ParseFloat(match[3], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		found := sample{name: match[1], labels: map[string]string{}, value: value}
		for _, label := range sampleLabel.FindAllStringSubmatch(match[2], -1) {
			found.labels[label[1]] = label[2]
		}
		key := strings.TrimPrefix(strings.TrimSuffix(line, " "+match[3]), metricPrefix)
		if _, twice := series[key]; twice {
			s.t.Errorf("there twice: %s", key)
		}
		series[key] = found
	}
	return series
}

// metric is the value of one series, and must be there.
func (s *site) metric(name string) float64 {
	s.t.Helper()
	found, ok := s.scrape()[name]
	if !ok {
		s.t.Fatalf("no series %s", name)
	}
	return found.value
}

// ask sends a request to the admin endpoint. A reload may close its connections.
func (s *site) ask(method, path string) answer {
	s.t.Helper()
	v := newVisitor(s.t, s)
	v.patient = true
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Close = true
	return v.send(r)
}

// rose compares two scrapes.
func rose(before, after map[string]sample, name string) float64 {
	return after[name].value - before[name].value
}

func TestMetricsCountWhatHappens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+goodHash+"\n")
	s.start(s.standard("throttle {\nissue 20 1m\n}\n"))
	before := s.scrape()
	for _, known := range []string{
		`challenges_issued_total{kind="image"}`, `challenges_judged_total{kind="audio",outcome="right"}`, `sign_ins_total{outcome="busy"}`,
		`throttled_total{bucket="client"}`, `state_errors_total{operation="get"}`, `users_reloads_total{outcome="reloaded"}`,
		`codes_sent_total{channel="sms",outcome="sent"}`, `password_hash_seconds_count`, `render_seconds_count{kind="audio"}`, `sessions`,
	} {
		if found, ok := before[known]; !ok || found.value != 0 {
			t.Errorf("before anything happened: %s = %v, there: %v", known, found.value, ok)
		}
	}
	if before["users"].value != 1 || before["state_up"].value != 1 {
		t.Errorf("%v users, state_up %v", before["users"].value, before["state_up"].value)
	}
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	for range 2 { // the second is from the cache
		v.do("GET", "/captcha-gate/challenge/"+form.Get("captcha_token")+".png", "")
	}
	wrong := maps.Clone(form)
	wrong.Set("captcha_answer", "AAAAA")
	v.form("/login", wrong)
	again := fields(t, v.page("/login").body)
	again.Set("password", "wrong")
	v.form("/login", again)
	v.signIn()
	for name, want := range map[string]float64{
		`challenges_judged_total{kind="image",outcome="wrong"}`: 1, `challenges_judged_total{kind="image",outcome="right"}`: 2,
		`sign_ins_total{outcome="captcha_wrong"}`: 1, `sign_ins_total{outcome="credentials_wrong"}`: 1, `sign_ins_total{outcome="signed_in"}`: 1,
		`password_hash_seconds_count`: 2, `render_seconds_count{kind="image"}`: 1,
		`challenges_issued_total{kind="image"}`: 5, // three pages, and one with each refusal
	} {
		if got := rose(before, s.scrape(), name); got != want {
			t.Errorf("%s rose by %v, want %v", name, got, want)
		}
	}
	s.countsSessions(1)
	if hashed := s.metric("password_hash_seconds_sum"); hashed < 0.02 {
		t.Errorf("two hashes took %v s", hashed)
	}
	for range 30 {
		v.do("GET", "/captcha-gate/challenge", "")
	}
	if n := s.metric(`throttled_total{bucket="issue"}`); n < 10 {
		t.Errorf("refused %v times to draw", n)
	}
	v.form("/logout", nil)
	s.countsSessions(0)
	s.namesNobody()
}

// countsSessions waits for the number: counting has a bounded share of the time, and
// a busy machine makes it look dear.
func (s *site) countsSessions(want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d sessions", want), 20*time.Second, func() bool { return s.metric("sessions") == float64(want) })
}

// namesNobody makes sure that no label tells who did something.
func (s *site) namesNobody() {
	s.t.Helper()
	for key, found := range s.scrape() {
		for name, value := range found.labels {
			if name == "le" {
				continue
			}
			if !slices.Contains([]string{"kind", "outcome", "bucket", "operation", "channel"}, name) || !regexp.MustCompile(`^[a-z_]+$`).MatchString(value) {
				s.t.Errorf("a label that may name somebody: %s", key)
			}
		}
	}
}

// Counters only ever rise, whatever happens to configurations: good ones, ones that
// are refused before, in and after the gate, and ones with several gates.
func TestMetricsOutliveReloads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\n")
	s.start(s.standard(roomy))
	v := newVisitor(t, s)
	v.patient = true
	v.signIn()
	two := fmt.Sprintf("%s\nhttp://127.0.0.1:%d {\ncaptcha_gate {\n%s%s}\nrespond ok\n}\n", s.standard(roomy), freePort(t), s.basics(), roomy)
	refused := map[int]string{
		4:  s.standard("page {\nlogo " + filepath.Join(s.dir, "missing") + "\n}"),
		8:  s.caddyfile("@bad path_regexp (\nheader @bad X y\ncaptcha_gate {\n" + s.basics() + "}\nrespond ok"),
		12: s.standard(roomy) + "http://" + s.upstream.address + " {\nrespond ok\n}\n",
		16: strings.Replace(two, "secret "+testSecret, "secret short", 1),
	}
	last := s.scrape()
	goroutines := 0
	for i := range 20 {
		config, good := s.standard(fmt.Sprintf("%slanding /%d", roomy, i)), true
		if i%3 == 0 {
			config = two
		}
		if bad, ok := refused[i]; ok {
			config, good = bad, false
		}
		if status, body := s.load(config); (status == http.StatusOK) != good {
			t.Fatalf("reload %d: %d %s", i, status, body)
		}
		visitor := newVisitor(t, s)
		visitor.patient = true
		visitor.signIn()
		now := s.scrape()
		for key, before := range last {
			after, ok := now[key]
			if !ok {
				t.Fatalf("reload %d: %s is gone", i, key)
			}
			if gauge := slices.Contains([]string{"sessions", "users", "state_up"}, key); !gauge && after.value < before.value {
				t.Fatalf("reload %d: %s fell from %v to %v", i, key, before.value, after.value)
			}
		}
		if got := rose(last, now, `sign_ins_total{outcome="signed_in"}`); got != 1 {
			t.Fatalf("reload %d: one sign-in, and the count rose by %v", i, got)
		}
		if now["users"].value != 1 || now["state_up"].value != 1 {
			t.Fatalf("reload %d: %v users, state_up %v", i, now["users"].value, now["state_up"].value)
		}
		s.countsSessions(i + 2)
		last = now
		if i == 9 {
			goroutines = s.goroutines()
		}
	}
	if len(last) < 60 {
		t.Errorf("only %d series", len(last))
	}
	eventually(t, "about as many goroutines as before", time.Minute, func() bool { return s.goroutines() <= goroutines+20 })
}

func TestMetricsOfTheUsersFile(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nbob:"+testHash+"\n")
	eventually(t, "two users", 10*time.Second, func() bool { return s.metric("users") == 2 })
	if s.metric(`users_reloads_total{outcome="reloaded"}`) != 1 {
		t.Error("the reload is not counted")
	}
	if err := os.Remove(s.users); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is counted", 10*time.Second, func() bool { return s.metric(`users_reloads_total{outcome="kept"}`) == 1 })
	if s.metric("users") != 2 {
		t.Error("the last good file is not in use")
	}
	eventually(t, "sign-in is closed", 30*time.Second, func() bool { return s.metric(`users_reloads_total{outcome="closed"}`) == 1 })
	if s.metric("users") != 0 {
		t.Error("nobody can sign in, and yet there are users")
	}
}

func TestMetricsOfCodes(t *testing.T) {
	t.Parallel()
	p, sender := twilio(t)
	s := startSecondStep(t, "sms", sender, "")
	v := newVisitor(t, s)
	v.password()
	v.code(p.next(0).code(t))
	p.set(500, 0)
	// On a busy machine the page can come before the sender has failed.
	eventually(t, "a sign-in is told that the sender fails", 20*time.Second, func() bool {
		newVisitor(t, s).tryPassword()
		return s.metric(`sign_ins_total{outcome="sender_unavailable"}`) > 0
	})
	for name, want := range map[string]float64{
		`codes_sent_total{channel="sms",outcome="sent"}`: 1, `codes_sent_total{channel="sms",outcome="failed"}`: 1,
		`sign_ins_total{outcome="second_step_required"}`: 1, `sign_ins_total{outcome="signed_in"}`: 1, `sign_ins_total{outcome="sender_unavailable"}`: 1,
	} {
		if got := s.metric(name); got < want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

// tryPassword passes captcha and password, whatever comes then.
func (v *visitor) tryPassword() answer {
	v.t.Helper()
	return v.form("/login", fields(v.t, v.page("/login").body))
}

func TestMetricsTellOfAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t, crowded)
	v := c.signedIn(c.a)
	if !v.isSignedIn() || c.a.metric("state_up") != 1 {
		t.Fatal("not ready")
	}
	// With Redis a node counts the sessions that it served in the last minute.
	here := c.a.metric("sessions")
	if here < 1 {
		t.Errorf("%v sessions", here)
	}
	c.redis.kill()
	eventually(t, "the metrics say that the store is away", 20*time.Second, func() bool { return c.a.metric("state_up") == 0 })
	newVisitor(t, c.a).page("/login")
	errors := 0.0
	for key, found := range c.a.scrape() {
		if strings.HasPrefix(key, "state_errors_total") {
			errors += found.value
		}
	}
	if errors == 0 {
		t.Error("no error is counted")
	}
	c.redis.run()
	c.isReady()
	if c.a.metric("state_up") != 1 {
		t.Error("the store is back, and state_up is not 1")
	}
}
