package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const observeDir = "../docs/observe/"

func readObserve(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(observeDir + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// names and labels that an expression of Prometheus uses.
var (
	usedMetric  = regexp.MustCompile(`\b` + metricPrefix + `[a-z_]+`)
	usedMatcher = regexp.MustCompile(`\b(` + metricPrefix + `[a-z_]+)\{([^}]*)\}`)
	oneMatcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	usedBy      = regexp.MustCompile(`\bby \(([^)]*)\)`)
	usedLegend  = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// known are the labels of each metric and their values, as a gate shows them.
type known map[string]map[string][]string

func knownMetrics(s *site) known {
	k := known{}
	for _, found := range s.scrape() {
		if k[found.name] == nil {
			// Prometheus itself adds this one.
			k[found.name] = map[string][]string{"instance": nil}
		}
		for label, value := range found.labels {
			k[found.name][label] = append(k[found.name][label], value)
		}
	}
	return k
}

// check holds an expression against what there is.
func (k known) check(t *testing.T, where, expression string, more ...string) (used []string) {
	t.Helper()
	labels := []string{}
	for _, name := range usedMetric.FindAllString(expression, -1) {
		if k[name] == nil {
			t.Errorf("%s: no metric %s in %s", where, name, expression)
		}
		used = append(used, name)
		labels = slices.AppendSeq(labels, maps.Keys(k[name]))
	}
	if len(used) == 0 {
		t.Errorf("%s: no metric of ours in %s", where, expression)
	}
	for _, match := range usedMatcher.FindAllStringSubmatch(expression, -1) {
		for _, m := range oneMatcher.FindAllStringSubmatch(match[2], -1) {
			values, ok := k[match[1]][m[1]]
			if !ok {
				t.Errorf("%s: %s has no label %s", where, match[1], m[1])
			}
			if m[1] == "instance" {
				continue
			}
			for value := range strings.SplitSeq(m[3], "|") {
				if !slices.Contains(values, value) {
					t.Errorf("%s: %s is never %s=%q", where, match[1], m[1], value)
				}
			}
		}
	}
	for _, match := range usedBy.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(match[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
				t.Errorf("%s: nothing in %s has a label %s", where, expression, label)
			}
		}
	}
	for _, text := range more {
		for _, match := range usedLegend.FindAllStringSubmatch(text, -1) {
			kept := usedBy.FindStringSubmatch(expression)
			if !slices.Contains(labels, match[1]) || kept != nil && !regexp.MustCompile(`\b`+match[1]+`\b`).MatchString(kept[1]) {
				t.Errorf("%s: %s is not left of %s", where, match[1], expression)
			}
		}
	}
	return used
}

func TestDashboardUsesTheMetricsThereAre(t *testing.T) {
	t.Parallel()
	k := knownMetrics(startSite(t, ""))
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(readObserve(t, "grafana/captcha-gate.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	used, ids, taken := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || len(panel.Targets) == 0 {
			t.Errorf("%s: id %d is there twice, or nothing is shown", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				at := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies over %s", panel.Title, other)
				}
				taken[at] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			for _, name := range k.check(t, panel.Title, target.Expr, target.LegendFormat) {
				used[name] = true
			}
		}
	}
	page := readObserve(t, "README.md")
	for name := range k {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if !used[name] && !used[base+"_bucket"] {
			t.Errorf("the dashboard does not show %s", name)
		}
		if !strings.Contains(page, "| `"+base+"` |") {
			t.Errorf("README.md does not tell of %s", base)
		}
	}
}

func TestAlertsUseTheMetricsThereAre(t *testing.T) {
	t.Parallel()
	k := knownMetrics(startSite(t, ""))
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readObserve(t, "prometheus/alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alerts++
			k.check(t, rule.Alert, rule.Expr, rule.Annotations["summary"], rule.Annotations["description"])
		}
	}
	if alerts < 5 {
		t.Errorf("%d alerts", alerts)
	}
}

// withEventLog is a site that writes the gate's own log into a file, as
// docs/observe says, and takes the client's address from a trusted proxy.
func withEventLog(t *testing.T, more string) (s *site, file string) {
	t.Helper()
	s = newSite(t)
	file = filepath.Join(s.dir, "captcha-gate.log")
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\n")
	config := s.standard(more)
	head, rest, _ := strings.Cut(config, "\n")
	s.start(head + "\nservers {\ntrusted_proxies static 127.0.0.1/32\n}\nlog captcha_gate {\noutput file " + file +
		"\nformat json\ninclude http.handlers.captcha_gate\n}\n" + rest)
	return s, file
}

// hostileNames are user names made to look like something else in a line of the log.
var hostileNames = []string{
	`alice`,
	`x","client_ip":"198.51.100.1","reason":"credentials_wrong","user":"y`,
	`"}` + "\u2028" + `{"level":"info","ts":1,"logger":"http.handlers.captcha_gate"`,
	`{"client_ip":"198.51.100.2"}`,
	`198.51.100.3`,
	`\","client_ip":"198.51.100.4`,
	`\\\"`, `"`, `\`, `'`, `<script>`, `%s %(_from)s`, `<HOST>`, `<ADDR> 198.51.100.5`,
	`"reason":"captcha_wrong","user":"198.51.100.6`,
	"sign-in failed 198.51.100.7 \u202e\ufeff",
	strings.Repeat(`"`, 200), strings.Repeat("\u00e9", 63) + `"`,
	`::ffff:198.51.100.8`, `2001:db8::bad`,
}

// failFrom makes one failing sign-in as from another address.
func failFrom(t *testing.T, s *site, address string, change func(*testing.T, *visitor, map[string]string)) int {
	t.Helper()
	v := newVisitor(t, s)
	from := []string{"X-Forwarded-For", address}
	page := v.do("GET", "/login", "", append(from, "Accept", navigation)...)
	form := map[string]string{}
	if page.StatusCode == http.StatusOK {
		challenge := token(t, page.body)
		form = map[string]string{"username": testUser, "password": "wrong", "captcha_token": challenge, "captcha_answer": solve(t, challenge)}
	}
	if change != nil {
		change(t, v, form)
	}
	a := v.do("POST", "/login", encode(t, form), append(from, "Content-Type", "application/json", "Accept", "application/json")...)
	return a.StatusCode
}

// attack fails in all ways that count, and some that do not, and returns the
// addresses that a filter must find, once for each line.
func attack(t *testing.T, s *site) (guilty []string) {
	t.Helper()
	for i, name := range hostileNames {
		address := fmt.Sprintf("203.0.113.%d", i+1)
		guilty = append(guilty, address)
		if status := failFrom(t, s, address, func(_ *testing.T, _ *visitor, form map[string]string) { form["username"] = name }); status != http.StatusUnauthorized {
			t.Fatalf("%q: %d", name, status)
		}
	}
	guilty = append(guilty, "2001:db8::1", "2001:db8::1")
	failFrom(t, s, "2001:db8::1", func(_ *testing.T, _ *visitor, form map[string]string) { form["captcha_answer"] = "AAAAA" })
	for range 3 { // two more are allowed, and the last is refused by the limit on the network
		failFrom(t, s, "192.0.2.77", nil)
	}
	guilty = append(guilty, "192.0.2.77", "192.0.2.77", "192.0.2.77")
	failFrom(t, s, "2001:db8::1", nil)
	// These are no guesses: too late, no cookie, somebody else's limit.
	failFrom(t, s, "192.0.2.200", func(_ *testing.T, _ *visitor, form map[string]string) {
		form["captcha_token"] = strings.Repeat("A", 100)
	})
	newVisitor(t, s).do("POST", "/login", `{"username":"alice"}`, "X-Forwarded-For", "192.0.2.201", "Content-Type", "application/json")
	slices.Sort(guilty)
	return guilty
}

func linesOf(t *testing.T, file string) (all []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

// LOG-1: no name that anybody types gets another address banned, or keeps the own
// one from it.
func TestFail2banFindsWhoGuessesAndNobodyElse(t *testing.T) {
	t.Parallel()
	s, file := withEventLog(t, "throttle {\nclient 2 10m\nuser 1000 10m\nissue 1000 1m\n}")
	guilty := attack(t, s)
	filter := filepath.Join(s.dir, "captcha-gate.conf")
	if err := os.WriteFile(filter, []byte(readObserve(t, "fail2ban/captcha-gate.filter.conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is in the file", 10*time.Second, func() bool { return strings.Contains(strings.Join(linesOf(t, file), "\n"), "192.0.2.201") })
	out, err := exec.CommandContext(t.Context(), "fail2ban-regex", "--out", "<ip> <time>", file, filter).CombinedOutput()
	if err != nil {
		t.Fatalf("fail2ban-regex (package fail2ban): %v\n%s", err, out)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		address, when, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		found = append(found, address)
		var seconds float64
		if _, err := fmt.Sscan(when, &seconds); err != nil || time.Since(time.Unix(int64(seconds), 0)).Abs() > 10*time.Minute {
			t.Errorf("the time of %s is %q", address, when)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, guilty) {
		t.Errorf("found  %v\nwanted %v\n%s", found, guilty, strings.Join(linesOf(t, file), "\n"))
	}
}

// jsonField is how the parser of CrowdSec takes a field out of a line.
var (
	jsonField  = regexp.MustCompile(`JsonExtract\(evt\.Line\.Raw, '([^']+)'\)`)
	fieldIs    = regexp.MustCompile(`JsonExtract\(evt\.Line\.Raw, '([^']+)'\) (?:== '([^']+)'|in \[([^\]]+)\])`)
	metaOfLogs = regexp.MustCompile(`evt\.Meta\.([a-z_]+)`)
	quoted     = regexp.MustCompile(`'([^']+)'`)
)

// fieldsOf are the fields of the lines and all values that each can have.
func (s *site) fieldsOf(file string) map[string]map[string]bool {
	s.t.Helper()
	fields := map[string]map[string]bool{}
	for _, line := range linesOf(s.t, file) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		for name, value := range event {
			if fields[name] == nil {
				fields[name] = map[string]bool{}
			}
			fields[name][fmt.Sprint(value)] = true
		}
	}
	for _, found := range s.scrape() {
		fields["reason"][found.labels["outcome"]] = true
		fields["bucket"][found.labels["bucket"]] = true
	}
	return fields
}

// CrowdSec itself is not part of the tests: this makes sure that its files parse and
// that every field and word in them is one of real lines.
func TestCrowdSecFilesFitRealLines(t *testing.T) {
	t.Parallel()
	s, file := withEventLog(t, "throttle {\nclient 2 10m\nuser 1000 10m\nissue 1000 1m\n}")
	attack(t, s)
	fields := s.fieldsOf(file)
	var parser struct {
		Name, Filter, OnSuccess string
		Statics                 []struct{ Meta, Target, Expression, Value string }
	}
	text := readObserve(t, "crowdsec/captcha-gate-logs.yaml")
	if err := yaml.Unmarshal([]byte(text), &parser); err != nil || parser.Name == "" || parser.OnSuccess != "next_stage" {
		t.Fatalf("%+v, %v", parser, err)
	}
	metas, types := map[string]bool{}, map[string]bool{}
	for _, static := range parser.Statics {
		metas[static.Meta] = true
		if _, then, ok := strings.Cut(static.Expression, " ? '"); ok {
			name, _, _ := strings.Cut(then, "'")
			types[name] = true
		}
	}
	for _, match := range jsonField.FindAllStringSubmatch(text, -1) {
		if fields[match[1]] == nil {
			t.Errorf("no line has a field %q", match[1])
		}
	}
	for _, match := range fieldIs.FindAllStringSubmatch(text, -1) {
		for _, value := range append(quoted.FindAllStringSubmatch(match[3], -1), []string{"", match[2]}) {
			if value[1] != "" && !fields[match[1]][value[1]] {
				t.Errorf("%s is never %q", match[1], value[1])
			}
		}
	}
	checkScenarios(t, metas, func(value string) bool { return types[value] || fields["reason"][value] })
}

// checkScenarios wants every field and word of the scenarios to be one that the
// parser makes.
func checkScenarios(t *testing.T, metas map[string]bool, known func(value string) bool) {
	t.Helper()
	scenarios := yaml.NewDecoder(strings.NewReader(readObserve(t, "crowdsec/captcha-gate-guessing.yaml")))
	for range 2 {
		var scenario struct{ Type, Name, Filter, GroupBy, Distinct, LeakSpeed string }
		if err := scenarios.Decode(&scenario); err != nil || scenario.Type != "leaky" || scenario.GroupBy != "evt.Meta.source_ip" {
			t.Fatalf("%+v, %v", scenario, err)
		}
		if _, err := time.ParseDuration(scenario.LeakSpeed); err != nil {
			t.Error(err)
		}
		for _, match := range metaOfLogs.FindAllStringSubmatch(scenario.Filter+" "+scenario.GroupBy+" "+scenario.Distinct, -1) {
			if !metas[match[1]] {
				t.Errorf("%s: the parser makes no %s", scenario.Name, match[1])
			}
		}
		for _, value := range quoted.FindAllStringSubmatch(scenario.Filter, -1) {
			if !known(value[1]) {
				t.Errorf("%s: nothing is %q", scenario.Name, value[1])
			}
		}
	}
}
