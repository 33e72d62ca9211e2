package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// throttled is what the admin API tells of one user or network.
type throttled struct {
	Realm     string
	Throttled bool
	Buckets   []struct {
		Bucket   string
		Count    int
		Limit    int
		ResetsAt *time.Time `json:"resets_at"`
		Full     bool
	}
}

func (s *site) throttle(query string) throttled {
	s.t.Helper()
	a := s.ask("GET", "/captcha_gate/throttle"+query)
	var told []throttled
	if err := json.Unmarshal([]byte(a.body), &told); a.StatusCode != http.StatusOK || err != nil || len(told) != 1 {
		s.t.Fatalf("%s: %d %v %s", query, a.StatusCode, err, a.body)
	}
	return told[0]
}

func (t throttled) of(bucket string) int {
	for _, b := range t.Buckets {
		if b.Bucket == bucket {
			return b.Count
		}
	}
	return -1
}

func TestAnOperatorSeesAndLiftsLimits(t *testing.T) {
	t.Parallel()
	s := startSite(t, "throttle {\nuser 3 10m\nclient 5 10m\n}\n")
	v := newVisitor(t, s)
	v.page("/login")
	fail := func() int {
		form := fields(t, challenge(t, v))
		form.Set("password", "wrong")
		return v.form("/login", form).StatusCode
	}
	for range 3 {
		fail()
	}
	if status := fail(); status != http.StatusTooManyRequests {
		t.Fatalf("the fourth failure: %d", status)
	}
	user, client := s.throttle("?user=ALICE"), s.throttle("?client=127.0.0.1")
	if !user.Throttled || user.of("user") != 3 || user.of("user_in_a_row") != 3 || user.Buckets[0].ResetsAt == nil || !user.Buckets[0].ResetsAt.After(time.Now()) {
		t.Errorf("the user: %+v", user)
	}
	if client.Throttled || client.of("client") != 3 || client.of("issue") < 4 {
		t.Errorf("the client: %+v", client)
	}
	if other := s.throttle("?client=203.0.113.7"); other.Throttled || other.of("client") != 0 {
		t.Errorf("somebody else: %+v", other)
	}
	if a := s.ask("DELETE", "/captcha_gate/throttle?user=alice"); a.StatusCode != http.StatusOK || strings.TrimSpace(a.body) != `{"lifted":["default"]}` {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if s.throttle("?user=alice").of("user") != 0 || fail() != http.StatusUnauthorized || fail() != http.StatusUnauthorized {
		t.Error("the user is still throttled")
	}
	if status := fail(); status != http.StatusTooManyRequests {
		t.Errorf("the network's limit went with the user's: %d", status)
	}
	s.ask("DELETE", "/captcha_gate/throttle?client=127.0.0.1&realm=default")
	if status := fail(); status != http.StatusUnauthorized {
		t.Errorf("after lifting both: %d", status)
	}
	if !strings.Contains(s.log.String(), `"msg":"throttle lifted","realm":"default","reason":"admin","user":"alice"`) {
		t.Error("the log does not say so")
	}
}
