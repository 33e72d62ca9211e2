package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Caddy has other sites to serve: that Redis is away keeps none of it from
// starting, and nothing has to be started anew when Redis comes.
func TestClusterStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	const guess = "hidden-guess"
	for name, c := range map[string]struct {
		prepare, mend func(*redisServer)
		user          string // user and password of the URL
		says          string // in the log
	}{
		"nobody listens": {
			prepare: func(*redisServer) {}, mend: (*redisServer).run,
			says: "refused",
		},
		"wrong password": {
			prepare: func(r *redisServer) {
				r.run()
				r.do("ACL", "SETUSER", "gate", "on", ">other", "~captcha_gate:*", "+@all")
			},
			mend: func(r *redisServer) { r.do("ACL", "SETUSER", "gate", ">"+guess) },
			user: "gate:" + guess + "@",
			says: "WRONGPASS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			redis := newRedis(t)
			c.prepare(redis)
			nodes := newCluster(t, redis)
			nodes.start("redis://"+c.user+redis.addr, crowded)
			nodes.serveWithoutRedis()
			c.mend(redis)
			nodes.isReady()
			for i, node := range nodes.nodes() {
				node.complains(i, c.says)
				if strings.Contains(node.log.String(), guess) {
					t.Errorf("the password is in the log of node %d", i)
				}
			}
		})
	}
}

// serveWithoutRedis asks for everything, often.
func (c *cluster) serveWithoutRedis() {
	c.t.Helper()
	const get, script = "GET", "*/*"
	requests := map[int][]request{
		http.StatusOK: {
			{kind: "public", method: get, path: "/public/x", accept: script},
			{kind: "public, forged", method: get, path: "/public/x", accept: script, cookie: forged()},
		},
		http.StatusUnauthorized: {{kind: "script", method: get, path: "/app", accept: script}},
		http.StatusServiceUnavailable: {
			{kind: "page", method: get, path: "/app", accept: navigation},
			{kind: "forged", method: get, path: "/app", accept: script, cookie: forged()},
			{kind: "login page", method: get, path: "/login", accept: navigation},
			{kind: "challenge", method: get, path: "/captcha-gate/challenge", accept: script},
		},
	}
	client := newCrowdClient(1)
	defer client.CloseIdleConnections()
	for range 20 {
		for want, all := range requests {
			for _, r := range all {
				for _, r.node = range c.nodes() {
					o := client.send(c.t, r)
					if o.err != nil || o.status != want {
						c.t.Fatalf("%s: %d %s, want %d, %v", r.kind, o.status, o.code, want, o.err)
					}
					if want == http.StatusServiceUnavailable && (o.header["Set-Cookie"] != nil || o.header.Get("Retry-After") == "") {
						c.t.Fatalf("SES-11: %s: Set-Cookie %v, Retry-After %q", r.kind, o.header["Set-Cookie"], o.header.Get("Retry-After"))
					}
				}
			}
		}
	}
	for _, s := range c.a.upstream.requests() {
		if s.URI != "/public/x" || s.Header["Remote-User"] != nil {
			c.t.Errorf("the upstream got %s of %q", s.URI, s.Header["Remote-User"])
		}
	}
}

// complains expects that the log gives the reason, and that many requests did
// not make as many lines.
func (s *site) complains(node int, reason string) {
	s.t.Helper()
	lines := slices.DeleteFunc(strings.Split(s.log.String(), "\n"), func(line string) bool {
		return !strings.Contains(line, `"msg":"state unavailable"`)
	})
	if len(lines) < 1 || len(lines) > 2 {
		s.t.Errorf("node %d complains %d times", node, len(lines))
	}
	for _, line := range lines {
		if !strings.Contains(line, reason) {
			s.t.Errorf("node %d does not say %s: %s", node, reason, line)
		}
	}
}
