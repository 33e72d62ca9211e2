package caddymodule

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered are the values of all series of a registry, by name and label values.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	measured.counted.mu.Lock()
	measured.counted.took = 0 // a count that seemed dear would be kept for a while
	measured.counted.mu.Unlock()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "caddy_captcha_gate_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func registered(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	for range 2 { // as two gates of one configuration do
		if err := measured.register(registry); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

// Everything that a label can say is there from the start, so that the first event
// of a kind is seen as one, and nothing new ever comes.
func TestMetricsHaveAClosedSetOfSeries(t *testing.T) {
	registry := registered(t)
	g := memoryGate(t, "anna")
	before := gathered(t, registry)
	if before["users"] < 1 || before["state_up"] != 1 {
		t.Errorf("%v users, state_up %v", before["users"], before["state_up"])
	}
	signInAs(t, g, "anna", "anna-password")
	signInAs(t, g, "anna", "wrong")
	signInAs(t, g, "no,\"body", "wrong")
	post := postRequest(typeForm, "username=anna&password=x&captcha_token=x&captcha_answer=x")
	serve(t, g, post)
	serve(t, g, request("GET", "/captcha-gate/challenge?kind=audio"))
	serve(t, g, request("GET", "/captcha-gate/challenge?kind=work"))
	after := gathered(t, registry)
	if names := slices.Sorted(maps.Keys(after)); !slices.Equal(names, slices.Sorted(maps.Keys(before))) {
		t.Errorf("new series: %v", slices.DeleteFunc(names, func(n string) bool { _, ok := before[n]; return ok }))
	}
	for name, want := range map[string]float64{
		"sign_ins_total signed_in": 1, "sign_ins_total credentials_wrong": 2, "sign_ins_total cookies_required": 1,
		"challenges_issued_total audio": 1, "challenges_issued_total work": 1, "challenges_judged_total image right": 3,
		"password_hash_seconds": 3, "sessions": 1,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s rose by %v, want %v", name, got, want)
		}
	}
}

// A store that is away has no number of sessions, and its errors are counted.
func TestMetricsOfAStoreThatFailed(t *testing.T) {
	registry := registered(t)
	g := memoryGate(t, "anna")
	_, cookies := signInAs(t, g, "anna", "anna-password")
	before := gathered(t, registry)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	if w, _ := serve(t, g, withCookies(request("GET", "/"), cookies)); w.Code != http.StatusServiceUnavailable {
		t.Fatal(w.Code)
	}
	after := gathered(t, registry)
	if got := after["state_errors_total get"] - before["state_errors_total get"]; got != 1 {
		t.Errorf("%v errors", got)
	}
}

// What is cleaned up is no longer asked, and a refused configuration leaves nothing.
func TestGatesLeaveWhenTheyAreCleanedUp(t *testing.T) {
	before := len(live.realms())
	g := memoryGate(t, "anna")
	if _, err := load(t, Gate{Users: usersFile(t, "anna"), Secret: []Secret{"short"}, Realm: "refused"}); err == nil {
		t.Fatal("a short secret was taken")
	}
	if _, err := load(t, Gate{Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: "refused", State: &StateConfig{Store: storeMemory}, Contacts: "/missing"}); err == nil {
		t.Fatal("a missing contacts file was taken")
	}
	if n := len(live.realms()); n != before+1 {
		t.Errorf("%d realms, want %d", n, before+1)
	}
	if err := g.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if n := len(live.realms()); n != before {
		t.Errorf("%d realms, want %d", n, before)
	}
}

func TestLOG1_LoggedNamesAreCutAndPrint(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "alice", "李 小龙": "李 小龙", "a\u202eb": "a�b", "a\u2028b\nc\x7f": "a�b�c�",
		strings.Repeat("é", 40): strings.Repeat("é", 32), strings.Repeat("x", 63) + "é": strings.Repeat("x", 63),
	} {
		if got := logged(name); got != want {
			t.Errorf("%q is logged as %q, want %q", name, got, want)
		}
	}
}
