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
	reloads := 40
	if measuring {
		reloads = 1000
	}
	s := startSite(t, roomy)
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
				// Sent twice, when the first reply was lost, it finds its challenge spent.
				a := v.form("/login", fields(t, v.page("/login").body))
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
	before, heap := s.goroutines(), s.heap()
	reload(warm, warm+reloads)
	close(stop)
	load.Wait()
	s.upstream.server.CloseClientConnections()
	eventually(t, fmt.Sprintf("about %d goroutines as before", before), time.Minute, func() bool { return s.goroutines() <= before+5 })
	after := s.heap()
	t.Logf("%d reloads: %d goroutines, then %d; heap %.1f MB, then %.1f MB; %d open files",
		reloads, before, s.goroutines(), float64(heap)/1e6, float64(after)/1e6, s.openFiles())
	// What a configuration holds is megabytes (the faces, the cache): forty that
	// stayed would be seen.
	if after > heap+40e6 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
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
