package state_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state/redistest"
)

// A walk goes to the node of the cluster that has the realm, whichever that is, and
// meets nothing of other realms or programs.
func TestAWalkFindsTheNodeOfTheRealm(t *testing.T) {
	first, second := redistest.Start(t, "--cluster-enabled", "yes"), redistest.Start(t, "--cluster-enabled", "yes")
	first.Do("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
	second.Do("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
	host, port, _ := net.SplitHostPort(second.Addr)
	first.Do("CLUSTER", "MEET", host, port)
	for _, node := range []*redistest.Server{first, second} {
		eventually(t, "the nodes know each other", func() bool {
			info := node.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		})
	}
	for i := range 8 {
		realm := fmt.Sprintf("realm %d", i)
		r := openRealm(t, first, realm, time.Now)
		eventually(t, "ready", func() bool { return r.Ready() == nil })
		for j := range 20 {
			put(t, r, sessionKey(fmt.Sprint(i, j)), realm)
		}
	}
	sizes := first.Do("DBSIZE") + " " + second.Do("DBSIZE")
	if strings.HasPrefix(sizes, "0 ") || strings.HasSuffix(sizes, " 0") {
		t.Fatalf("all realms lie on one node: %s", sizes)
	}
	for i := range 8 {
		realm := fmt.Sprintf("realm %d", i)
		r := openRealm(t, second, realm, time.Now)
		eventually(t, "ready", func() bool { return r.Ready() == nil })
		met := 0
		err := r.Walk(t.Context(), func(_ state.Key, value []byte) error {
			if string(value) != realm {
				t.Errorf("%s met what is of %s", realm, value)
			}
			met++
			return nil
		})
		if err != nil || met != 20 {
			t.Errorf("%s: met %d, %v", realm, met, err)
		}
	}
}
