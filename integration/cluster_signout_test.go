package integration

import (
	"net/http"
	"testing"
)

// SES-3: a sign-out that Redis refused is said (503), and trying again ends the
// session everywhere, not only on the node that was asked.
func TestSES3_ClusterSignOutThatFailedCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "")
	v := c.signedIn(c.a)
	session := "captcha_gate=" + sessionCookie(t, v)
	c.redis.do("REPLICAOF", "127.0.0.1", "1")
	if a := v.form("/logout", nil); a.StatusCode != http.StatusServiceUnavailable || a.Header["Set-Cookie"] != nil {
		t.Fatalf("sign-out while Redis takes no writes: %d %v", a.StatusCode, a.Header["Set-Cookie"])
	}
	c.redis.do("REPLICAOF", "NO", "ONE")
	c.isReady()
	if a := v.form("/logout", nil); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-out again: %d", a.StatusCode)
	}
	for i, node := range c.nodes() {
		if a := newVisitor(t, node).do("GET", "/app", "", "Cookie", session); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("the signed-out session on node %d: %d", i, a.StatusCode)
		}
	}
}
