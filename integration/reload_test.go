package integration

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Reloads while visitors come and go: nobody is signed out, no counter begins
// anew, and goroutines, files and memory stay flat. A thousand of them with
// CAPTCHA_GATE_MEASURE=1 go test -v -run ManyReloads .
func TestManyReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	const warm = 10
	reloads := 20
	if measuring {
		reloads = 1000
	}
	s := newSite(t)
	s.twoUsers()
	s.start(s.standard(roomy))
	kept := newVisitor(t, s)
	kept.patient = true
	kept.signIn()
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 3 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := newVisitor(t, s)
				v.patient = true
				form := fields(t, v.page("/login").body)
				form.Set("username", "bob") // whose oldest session goes when there are too many
				// Sent twice, when the first reply was lost, it finds its challenge spent.
				a := v.form("/login", form)
				for range 20 {
					if a.StatusCode == http.StatusSeeOther && !v.isSignedIn() {
						t.Error("somebody was signed out")
					}
				}
				v.client.CloseIdleConnections()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	reload := func(from, to int) {
		for i := from; i < to; i++ {
			if status, body := s.load(s.standard(fmt.Sprintf("%slanding /%d", roomy, i))); status != http.StatusOK {
				t.Fatalf("reload %d: %d %s", i, status, body)
			}
			if !kept.isSignedIn() {
				t.Fatalf("signed out by reload %d", i)
			}
		}
	}
	reload(0, warm)
	before := s.footing()
	reload(warm, warm+reloads)
	close(stop)
	load.Wait()
	after := s.rest(roomy)
	t.Logf("%d reloads: before: %v; after: %v", reloads, before, after)
	after.isLike(t, before)
}

var heapInUse = regexp.MustCompile(`# HeapInuse = (\d+)`)

// heap is what Caddy's heap holds after a collection, in bytes.
func (s *site) heap() int {
	s.t.Helper()
	match := heapInUse.FindStringSubmatch(s.profile("heap?debug=1&gc=1"))
	if match == nil {
		s.t.Fatal("no figures of the heap")
	}
	n, _ := strconv.Atoi(match[1])
	return n
}
