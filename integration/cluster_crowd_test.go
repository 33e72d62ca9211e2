package integration

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// request is one of the many that a crowd sends.
type request struct {
	kind, method, path, accept, cookie, body string
	node                                     *site
}

// outcome is what became of it.
type outcome struct {
	kind   string
	status int
	code   string // of a JSON answer
	header http.Header
	ended  time.Time
	took   time.Duration
	err    error
}

// crowdClient sends for many visitors at a time. It has no cookie jar, and
// unlike a visitor it does not end the test when a request fails.
type crowdClient struct{ http.Client }

// generous is far beyond what any answer of the gate may take.
const generous = 10 * time.Second

func newCrowdClient(workers int) *crowdClient {
	return &crowdClient{http.Client{
		Timeout:       generous,
		Transport:     &http.Transport{MaxIdleConnsPerHost: workers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *crowdClient) send(t *testing.T, want request) (o outcome) {
	began := time.Now()
	o.kind = want.kind
	defer func() { o.ended = time.Now(); o.took = o.ended.Sub(began) }()
	// The test's own context ends before the last answers of a failing test.
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), want.method, want.node.url+want.path, strings.NewReader(want.body))
	if err != nil {
		o.err = err
		return o
	}
	r.Header.Set("Accept", want.accept)
	r.Header.Set("Remote-User", "root") // HDR-1: nobody is believed
	if want.cookie != "" {
		r.Header.Set("Cookie", want.cookie)
	}
	if want.body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.Do(r)
	if err != nil {
		o.err = err
		return o
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	o.status, o.header, o.err = response.StatusCode, response.Header, err
	if response.Header.Get("Content-Type") == "application/json" {
		var said reply
		_ = json.Unmarshal(body, &said)
		o.code = said.Code
	}
	return o
}

// crowd is who comes during a fault.
type crowd struct {
	*cluster
	known    *visitor // signed in, and seen by both nodes just before
	stranger *visitor // signed in on A; B has never seen the session
	leaver   string   // the cookie of a session that was signed out on A
	filler   *visitor // has the sign-in page open
	form     url.Values
}

// gather prepares everybody. The snapshot, if any, is taken before the leaver
// signs out.
func (c *cluster) gather(snapshot func(*crowd)) *crowd {
	c.t.Helper()
	g := &crowd{cluster: c, known: c.signedIn(c.a), stranger: c.signedIn(c.a), filler: newVisitor(c.t, c.a)}
	leaver := c.signedIn(c.a)
	g.leaver = "captcha_gate=" + sessionCookie(c.t, leaver)
	g.form = fields(c.t, g.filler.page("/login").body)
	if snapshot != nil {
		snapshot(g)
	}
	// Before the fault a busy machine alone can make Redis miss its deadline.
	eventually(c.t, "signed out", 10*time.Second, func() bool {
		return leaver.form("/logout", nil).StatusCode == http.StatusSeeOther
	})
	for _, node := range c.nodes() {
		if !g.known.at(node).isSignedIn() {
			c.t.Fatal("not signed in")
		}
	}
	return g
}

// requests are one of each kind. A node that is nil means both in turn.
func (g *crowd) requests() []request {
	const script, get = "*/*", "GET"
	return []request{
		{kind: "known", method: get, path: "/app/known", accept: script, cookie: g.known.cookies()},
		{kind: "stranger", method: get, path: "/app/stranger", accept: script, cookie: g.stranger.cookies(), node: g.b},
		{kind: "signed out", method: get, path: "/app/leaver", accept: script, cookie: g.leaver, node: g.a},
		{kind: "forged", method: get, path: "/app/forged", accept: script, cookie: "forged"},
		{kind: "script", method: get, path: "/app/script", accept: script},
		{kind: "page", method: get, path: "/app/page", accept: navigation},
		{kind: "login page", method: get, path: "/login", accept: navigation},
		{kind: "sign-in", method: "POST", path: "/login", accept: script, cookie: g.filler.cookies(), body: g.form.Encode()},
		{kind: "public", method: get, path: "/public/nobody", accept: script},
		{kind: "public, known", method: get, path: "/public/known", accept: script, cookie: g.known.cookies()},
		{kind: "public, forged", method: get, path: "/public/forged", accept: script, cookie: "forged"},
	}
}

// forged is a cookie like the gate's own, of a session that never was.
func forged() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	return "captcha_gate=" + base64.RawURLEncoding.EncodeToString(id)
}

// send sends n requests of all kinds, many at a time.
func (g *crowd) send(n int) []outcome {
	const workers = 24
	kinds, client := g.requests(), newCrowdClient(workers)
	defer client.CloseIdleConnections()
	outcomes := make([]outcome, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r := kinds[i%len(kinds)]
				if r.node == nil {
					r.node = g.nodes()[i/len(kinds)%2]
				}
				if r.cookie == "forged" {
					r.cookie = forged()
				}
				outcomes[i] = client.send(g.t, r)
			}
		})
	}
	wg.Wait()
	return outcomes
}
