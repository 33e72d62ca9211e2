package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// listedSession is a session as the admin API tells it.
type listedSession struct {
	User      string    `json:"user"`
	Since     time.Time `json:"since"`
	LastSeen  time.Time `json:"last_seen"`
	ExpiresAt time.Time `json:"expires_at"`
	Network   string    `json:"network"`
	Browser   string    `json:"browser"`
	Level     string    `json:"level"`
	Realm     string    `json:"realm"`
	ID        string    `json:"id"`
}

// sessions asks for the list; query may be empty.
func (s *site) sessions(query string) []listedSession {
	s.t.Helper()
	a := s.ask("GET", "/captcha_gate/sessions"+query)
	var list []listedSession
	if err := json.Unmarshal([]byte(a.body), &list); a.StatusCode != http.StatusOK || err != nil || list == nil {
		s.t.Fatalf("GET sessions%s: %d %v\n%s", query, a.StatusCode, err, a.body)
	}
	return list
}

// end ends sessions and returns how many.
func (s *site) endSessions(query string) int {
	s.t.Helper()
	a := s.ask("DELETE", "/captcha_gate/sessions"+query)
	var reply struct{ Ended *int }
	if err := json.Unmarshal([]byte(a.body), &reply); a.StatusCode != http.StatusOK || err != nil || reply.Ended == nil {
		s.t.Fatalf("DELETE sessions%s: %d %v\n%s", query, a.StatusCode, err, a.body)
	}
	return *reply.Ended
}

// twoUsers makes alice and bob, with a hash that costs next to nothing.
func (s *site) twoUsers() {
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\nbob:"+testHash+"\n")
}

// signInAs signs a user in by form.
func (v *visitor) signInAs(user string) {
	v.t.Helper()
	form := fields(v.t, v.page("/login").body)
	form.Set("username", user)
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("%s: %d\n%s", user, a.StatusCode, a.body)
	}
}

func TestSES14_AnOperatorListsAndEndsSessions(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"state local", "state memory"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.twoUsers()
			s.start(s.standard(state))
			if list := s.sessions(""); len(list) != 0 {
				t.Fatalf("before anybody signed in: %v", list)
			}
			began := time.Now().Add(-2 * time.Second)
			alice, alsoAlice, bob := newVisitor(t, s), newVisitor(t, s), newVisitor(t, s)
			alice.signIn()
			alsoAlice.signIn()
			bob.signInAs("bob")
			list := s.sessions("")
			if len(list) != 3 || list[0].User != "alice" || list[1].User != "alice" || list[2].User != "bob" || list[0].ID == list[1].ID {
				t.Fatalf("%+v", list)
			}
			one := list[0]
			if one.Level != "password" || one.Realm != "default" || one.Network != "127.0.0.0/24" || one.Since.Before(began) ||
				one.LastSeen.Before(began) || !one.ExpiresAt.After(time.Now().Add(11*time.Hour)) {
				t.Errorf("%+v", one)
			}
			if again := s.sessions("?realm=default"); !slices.Equal(again, list) {
				t.Errorf("the order changed: %v, before %v", again, list)
			}
			if of := s.sessions("?user=bob"); len(of) != 1 || of[0] != list[2] {
				t.Errorf("bob's: %+v", of)
			}
			if of := s.sessions("?user=nobody"); len(of) != 0 {
				t.Errorf("nobody's: %+v", of)
			}
			if n := s.endSessions("?user=alice"); n != 2 || alice.isSignedIn() || alsoAlice.isSignedIn() || !bob.isSignedIn() {
				t.Errorf("ended %d; signed in: %v %v %v", n, alice.isSignedIn(), alsoAlice.isSignedIn(), bob.isSignedIn())
			}
			if n := s.endSessions("?user=alice"); n != 0 {
				t.Errorf("once more: %d", n)
			}
			alice.signIn()
			if n := s.endSessions("?realm=default"); n != 2 || alice.isSignedIn() || bob.isSignedIn() {
				t.Errorf("of the realm: %d", n)
			}
			if !strings.Contains(s.log.String(), `"msg":"sessions ended","realm":"default","reason":"admin","sessions":2,"user":"alice"`) {
				t.Error("the log does not say so")
			}
		})
	}
}

// Sessions that the users file has ended are in nobody's list.
func TestTheListLeavesOutWhomTheUsersFileHasPutOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.twoUsers()
	s.start(s.standard(""))
	alice, bob := newVisitor(t, s), newVisitor(t, s)
	alice.signIn()
	bob.signInAs("bob")
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\n")
	eventually(t, "bob is out", 10*time.Second, func() bool { return !bob.isSignedIn() })
	if list := s.sessions(""); len(list) != 1 || list[0].User != "alice" {
		t.Errorf("%+v", list)
	}
	s.countsSessions(1)
	// The record is still there, and would come alive with the line.
	if n := s.endSessions("?user=bob"); n != 1 {
		t.Errorf("ended %d", n)
	}
	s.twoUsers()
	eventually(t, "bob is a user again", 10*time.Second, func() bool { return s.metric("users") == 2 })
	if bob.isSignedIn() {
		t.Error("an ended session came back")
	}
}

func TestVisitorsWithoutANameAreListedAndEndWithTheRealm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate {\nhuman_only\nsecret " + testSecret + "\n}\nreverse_proxy " + s.upstream.address))
	v := newVisitor(t, s)
	form := fields(t, v.page("/login").body)
	if a := v.form("/login", form); a.StatusCode != http.StatusSeeOther || !v.isSignedIn() {
		t.Fatalf("%d", a.StatusCode)
	}
	if list := s.sessions(""); len(list) != 1 || list[0].User != "" || list[0].Level != "human" {
		t.Fatalf("%+v", list)
	}
	if n := s.endSessions("?realm=default"); n != 1 || v.isSignedIn() {
		t.Errorf("ended %d, still in: %v", n, v.isSignedIn())
	}
}

// Gates that share a realm share its sessions: nothing is told twice. Others are
// kept apart.
func TestAdminTellsGatesOfOneRealmOnce(t *testing.T) {
	t.Parallel()
	s, same, other := newSite(t), newSite(t), newSite(t)
	s.twoUsers()
	gate := func(of *site, more string) string {
		return fmt.Sprintf("http://127.0.0.1:%d {\ncaptcha_gate {\n%s%s\n}\nrespond ok\n}\n", of.port, s.basics(), more)
	}
	s.start(s.standard("") + gate(same, "") + gate(other, "realm other"))
	alice, bob, stranger := newVisitor(t, s), newVisitor(t, same), newVisitor(t, other)
	alice.signIn()
	bob.signInAs("bob")
	form := url.Values{"username": {"bob"}, "password": {testPassword}}
	form.Set("captcha_token", token(t, stranger.page("/login").body))
	form.Set("captcha_answer", solveIn(t, "other", form.Get("captcha_token")))
	if a := stranger.form("/login", form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d", a.StatusCode)
	}
	list := s.sessions("")
	if len(list) != 3 || list[0].User != "alice" || list[1].User != "bob" || list[2].User != "bob" || list[2].Realm != "other" {
		t.Fatalf("%+v", list)
	}
	s.countsSessions(3)
	if n := s.metric("users"); n != 2 {
		t.Errorf("%v users, in one file", n)
	}
	if of := s.sessions("?user=bob"); len(of) != 2 {
		t.Errorf("bob's: %+v", of)
	}
	if n := s.endSessions("?user=bob&realm=other"); n != 1 || !bob.isSignedIn() || stranger.isSignedIn() {
		t.Errorf("ended %d", n)
	}
	if n := s.endSessions("?realm=default"); n != 2 || bob.isSignedIn() || alice.isSignedIn() {
		t.Errorf("ended %d", n)
	}
}

func TestAdminRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	for request, want := range map[string]int{
		"POST /captcha_gate/sessions":                                  405,
		"PUT /captcha_gate/throttle?user=alice":                        405,
		"DELETE /captcha_gate/sessions":                                400,
		"DELETE /captcha_gate/sessions?usr=alice":                      400,
		"DELETE /captcha_gate/sessions?user=":                          400,
		"DELETE /captcha_gate/sessions?user=alice&user=bob":            400,
		"DELETE /captcha_gate/sessions?realm=default&limit=1":          400,
		"DELETE /captcha_gate/sessions?user=%zz":                       400,
		"DELETE /captcha_gate/sessions?realm=other":                    404,
		"DELETE /captcha_gate/sessions?user=alice&realm=other":         404,
		"GET /captcha_gate/sessions?realm=other":                       404,
		"GET /captcha_gate/sessions?limit=0":                           400,
		"GET /captcha_gate/sessions?limit=many":                        400,
		"GET /captcha_gate/sessions?after=here":                        400,
		"GET /captcha_gate/sessions?after=bnVsbA":                      400,
		"GET /captcha_gate/throttle":                                   400,
		"GET /captcha_gate/throttle?user=alice&client=203.0.113.7":     400,
		"GET /captcha_gate/throttle?client=somewhere":                  400,
		"DELETE /captcha_gate/throttle?client=203.0.113.0/24":          400,
		"DELETE /captcha_gate/throttle?client=203.0.113.7&realm=other": 404,
		"GET /captcha_gate/elsewhere":                                  404,
	} {
		method, path, _ := strings.Cut(request, " ")
		a := s.ask(method, path)
		if a.StatusCode != want || want != 404 && !strings.Contains(a.body, `"error":`) {
			t.Errorf("%s: %d %s, want %d", request, a.StatusCode, a.body, want)
		}
		if want == 405 && a.Header.Get("Allow") != "GET, DELETE" {
			t.Errorf("%s: Allow %q", request, a.Header.Get("Allow"))
		}
	}
	if !v.isSignedIn() {
		t.Error("a refused request ended a session")
	}
}

var nextLink = regexp.MustCompile(`^<(/captcha_gate/sessions\?[^>]+)>; rel="next"$`)

func TestTheListComesInPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.twoUsers()
	s.start(s.standard(roomy))
	for i := range 15 {
		newVisitor(t, s).signInAs([]string{"alice", "bob"}[i%2])
	}
	all := s.sessions("")
	if len(all) != 15 {
		t.Fatalf("%d sessions", len(all))
	}
	if s.ask("GET", "/captcha_gate/sessions").Header.Get("Link") != "" {
		t.Error("a whole list has a next page")
	}
	var paged []listedSession
	path := "/captcha_gate/sessions?limit=4"
	for pages := 1; path != ""; pages++ {
		a := s.ask("GET", path)
		var page []listedSession
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page) == 0 || len(page) > 4 {
			t.Fatalf("%s: %d %v %s", path, a.StatusCode, err, a.body)
		}
		paged, path = append(paged, page...), ""
		if link := a.Header.Get("Link"); link != "" {
			match := nextLink.FindStringSubmatch(link)
			if match == nil || pages > 4 {
				t.Fatalf("page %d: %s", pages, link)
			}
			path = match[1]
		}
		if pages == 2 {
			// Who goes in the middle of it moves nothing.
			last := page[len(page)-1]
			if n := s.endSessions("?user=" + last.User); n == 0 {
				t.Fatal("nobody was ended")
			}
			all = slices.DeleteFunc(all, func(l listedSession) bool { return l.User == last.User && !slices.Contains(paged, l) })
		}
	}
	if !slices.Equal(paged, all) {
		t.Errorf("in pages %v\nat once %v", paged, all)
	}
}

// What the admin API tells is right after reloads, also refused ones.
func TestAdminIsRightAfterReloads(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.patient = true
	v.signIn()
	for i, config := range []string{
		s.standard("landing /changed"), s.standard("secret short"), s.standard("landing /again"),
		s.caddyfile("@bad path_regexp (\nheader @bad X y\ncaptcha_gate {\n" + s.basics() + "}\nrespond ok"),
	} {
		s.load(config)
		if list := s.sessions(""); len(list) != 1 || list[0].User != testUser {
			t.Errorf("after reload %d: %+v", i, list)
		}
	}
	if n := s.endSessions("?realm=default"); n != 1 || v.isSignedIn() {
		t.Errorf("ended %d, still in: %v", n, v.isSignedIn())
	}
	if status, body := s.load(s.caddyfile("respond ok")); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if a := s.ask("DELETE", "/captcha_gate/sessions?realm=default"); a.StatusCode != http.StatusNotFound {
		t.Errorf("the gate is gone, and yet: %d %s", a.StatusCode, a.body)
	}
}

// Ended at one node's admin endpoint, a session is refused by the next request at
// the other (SES-3).
func TestSES14_ClusterEndsSessionsEverywhere(t *testing.T) {
	t.Parallel()
	c := startCluster(t, crowded)
	c.a.endSessions("?realm=default") // of those who made sure that the cluster is ready
	for round := range 10 {
		alice, also := c.signedIn(c.a), c.signedIn(c.b)
		for _, node := range c.nodes() {
			if !alice.at(node).isSignedIn() || !also.at(node).isSignedIn() {
				t.Fatalf("round %d: not signed in on both nodes", round)
			}
			if list := node.sessions(""); len(list) != 2 {
				t.Fatalf("round %d: %+v", round, list)
			}
		}
		query := []string{"?user=alice", "?realm=default"}[round%2]
		if n := c.b.endSessions(query); n != 2 {
			t.Fatalf("round %d: ended %d", round, n)
		}
		for i, node := range c.nodes() {
			if alice.at(node).isSignedIn() || also.at(node).isSignedIn() {
				t.Errorf("round %d, %s: still signed in on node %d", round, query, i)
			}
			if list := node.sessions(""); len(list) != 0 {
				t.Errorf("round %d: node %d lists %+v", round, i, list)
			}
		}
	}
	c.redis.kill()
	if a := c.a.ask("DELETE", "/captcha_gate/sessions?realm=default"); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "others may go on") {
		t.Errorf("without Redis: %d %s", a.StatusCode, a.body)
	}
}
