package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// stressed is how long everything happens at once; make soak has a minute of it.
func stressed() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CAPTCHA_GATE_STRESS")); err == nil {
		return d
	}
	return 3 * time.Second
}

// Sign-ins, sign-outs, pages, wrong passwords, the admin API and the metrics, while
// one configuration follows the other: every answer is the right one, the race
// detector finds nothing, and nothing is left behind.
func TestEverythingAtOnceWhileConfigurationsChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.twoUsers()
	s.start(s.standard(crowded))
	b := newBustle(t, s)
	b.run(stressed() / 3) // has everything made that is made once
	before := s.rest(crowded)
	b.run(stressed())
	after := s.rest(crowded)
	t.Logf("%d sign-ins, %d refused, %d pages with a session, %d without, %d lists, %d scrapes, %d configurations",
		b.signIns.Load(), b.refused.Load(), b.pages.Load(), b.asked.Load(), b.lists.Load(), b.scrapes.Load(), b.reloads.Load())
	t.Logf("before %v; after %v", before, after)
	for what, n := range map[string]*atomic.Int64{
		"sign-ins": &b.signIns, "refusals": &b.refused, "pages": &b.pages, "strangers": &b.asked, "lists": &b.lists, "scrapes": &b.scrapes, "reloads": &b.reloads,
	} {
		if n.Load() == 0 {
			t.Errorf("no %s", what)
		}
	}
	after.isLike(t, before)
}

// bustle is everything that happens at once at one site. Bob comes and goes, Alice
// stays.
type bustle struct {
	t         *testing.T
	s         *site
	solve     func(token string) string
	transport *http.Transport
	stop      chan struct{}

	signIns, refused, pages, asked, lists, scrapes, reloads atomic.Int64
}

func newBustle(t *testing.T, s *site) *bustle {
	b := &bustle{t: t, s: s, solve: solver(t), transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(b.transport.CloseIdleConnections)
	return b
}

// solver reads answers like solve, many in a row.
func solver(t *testing.T) func(token string) string {
	t.Helper()
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(testSecret)}, Realm: "default"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(maker.Close)
	return func(token string) string {
		claims, err := maker.Unpack(token)
		if err != nil {
			t.Errorf("unpacking the challenge: %v", err)
		}
		return claims.Answer
	}
}

// visitor is one that shares its connections with the others.
func (b *bustle) visitor() *visitor {
	v := newVisitor(b.t, b.s)
	v.patient, v.client.Transport = true, b.transport
	return v
}

// run does everything for a while.
func (b *bustle) run(d time.Duration) {
	b.t.Helper()
	alice := b.visitor()
	alice.signIn()
	b.stop = make(chan struct{})
	var all sync.WaitGroup
	for _, one := range []func(){
		b.comeAndGo, b.comeAndGo, b.guess, b.beStrange, func() { b.stay(alice) }, b.list, b.watch(), b.reload(),
	} {
		all.Go(func() {
			for !b.t.Failed() {
				select {
				case <-b.stop:
					return
				default:
					one()
				}
			}
		})
	}
	time.Sleep(d)
	close(b.stop)
	all.Wait()
	b.transport.CloseIdleConnections()
	if b.t.Failed() {
		b.t.FailNow()
	}
}

// comeAndGo signs in, sees the app under the right name, signs out and sees it no
// more.
func (b *bustle) comeAndGo() {
	v := b.visitor()
	challenge := token(b.t, v.page("/login").body)
	a, said := v.json("/login", map[string]any{
		"username": "bob", "password": testPassword, "captcha_token": challenge, "captcha_answer": b.solve(challenge),
	})
	if v.broken > 0 && said.Code == "captcha_expired" {
		return // the first reply was lost, and the challenge spent
	}
	if a.StatusCode != http.StatusOK || said.Code != "signed_in" {
		b.t.Errorf("sign-in: %d %s", a.StatusCode, a.body)
		return
	}
	b.signIns.Add(1)
	b.isShown(v, "bob")
	if a := v.form("/logout", nil); a.StatusCode != http.StatusSeeOther {
		b.t.Errorf("sign-out: %d", a.StatusCode)
	}
	if a := v.do("GET", "/app", ""); a.StatusCode != http.StatusUnauthorized {
		b.t.Errorf("after signing out: %d", a.StatusCode)
	}
}

// isShown asks the app who it takes the visitor for.
func (b *bustle) isShown(v *visitor, user string) {
	a := v.do("GET", "/app", "", "Remote-User", "root")
	var app seen
	if err := json.Unmarshal([]byte(a.body), &app); a.StatusCode != http.StatusOK || err != nil || strings.Join(app.Header["Remote-User"], ",") != user {
		b.t.Errorf("%s at the app: %d %v %v", user, a.StatusCode, err, app.Header["Remote-User"])
	}
}

func (b *bustle) stay(alice *visitor) {
	b.isShown(alice, testUser)
	b.pages.Add(1)
}

// guess is refused for the password, then for the captcha. No name is guessed at so
// often that it would be waited for.
func (b *bustle) guess() {
	v := b.visitor()
	for _, c := range []struct{ answer, code string }{{"", "credentials_wrong"}, {"wrong", "captcha_wrong"}} {
		challenge := token(b.t, v.page("/login").body)
		if c.answer == "" {
			c.answer = b.solve(challenge)
		}
		_, said := v.json("/login", map[string]any{
			"username": fmt.Sprint("user", b.refused.Add(1)), "password": "wrong", "captcha_token": challenge, "captcha_answer": c.answer,
		})
		if said.Code != c.code && (v.broken == 0 || said.Code != "captcha_expired") {
			b.t.Errorf("%q instead of %s", said.Code, c.code)
		}
	}
}

// beStrange has no session: it gets the page in place, a picture, and a refusal.
func (b *bustle) beStrange() {
	v := b.visitor()
	page := v.page("/app")
	picture := v.do("GET", "/captcha-gate/challenge/"+token(b.t, page.body)+".png", "")
	script := v.do("GET", "/app", "", "Accept", "application/json")
	if page.StatusCode != http.StatusUnauthorized || picture.StatusCode != http.StatusOK || script.StatusCode != http.StatusUnauthorized {
		b.t.Errorf("page %d, picture %d, refusal %d", page.StatusCode, picture.StatusCode, script.StatusCode)
	}
	b.asked.Add(1)
}

// list finds Alice among the sessions.
func (b *bustle) list() {
	found := false
	for _, l := range b.s.sessions("") {
		found = found || l.User == testUser
	}
	if !found {
		b.t.Error("the admin API has lost a session")
	}
	b.lists.Add(1)
}

// watch scrapes; what is counted never falls.
func (b *bustle) watch() func() {
	last := 0.0
	return func() {
		n := b.s.metric(`sign_ins_total{outcome="signed_in"}`)
		if n < last {
			b.t.Errorf("%v sign-ins, then %v", last, n)
		}
		last = n
		b.scrapes.Add(1)
	}
}

// reload changes the configuration five times a second; every tenth is refused.
func (b *bustle) reload() func() {
	tick := time.NewTicker(200 * time.Millisecond)
	b.t.Cleanup(tick.Stop)
	return func() {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		n := b.reloads.Add(1)
		next, want := fmt.Sprintf("%slanding /%d", crowded, n), http.StatusOK
		if n%10 == 0 {
			next, want = "secret short", http.StatusBadRequest
		}
		if status, body := b.s.load(b.s.standard(next)); status != want {
			b.t.Errorf("configuration %d: %d %s", n, status, body)
		}
	}
}
