package integration

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fifty clients, each in a network of its own, guess passwords as fast as they
// can, for several times as many hash slots as there are. Meanwhile live
// sessions go on, and who knows the password gets in. The times are logged: see
// them with CAPTCHA_GATE_MEASURE=1 go test -v -run Storm .
func TestAStormOfWrongPasswordsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	const clients, signIns = 50, 5
	cost, requests := "5", 50
	if measuring {
		cost, requests = "10", 500
	}
	hashed, err := exec.Command("htpasswd", "-nbBC", cost, testUser, testPassword).Output()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.writeFile("users.htpasswd", strings.TrimSpace(string(hashed))+"\n")
	s.start(trusting(s.standard("")))
	signedIn := newVisitor(t, s)
	signInFrom(t, signedIn, "198.51.100.1")
	quiet := timeRequests(t, signedIn, requests)
	alone := signInFrom(t, newVisitor(t, s), "198.51.100.2")

	stop := make(chan struct{})
	var guesses, refused, limited int
	var mu sync.Mutex
	var storm sync.WaitGroup
	for i := range clients {
		storm.Go(func() {
			v, address := newVisitor(t, s), fmt.Sprintf("203.0.113.%d", i)
			form := fields(t, v.from(address, "/login", nil).body)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				form.Set("username", fmt.Sprintf("user%d", i))
				form.Set("password", "wrong")
				a := v.from(address, "/login", form)
				mu.Lock()
				switch a.StatusCode {
				case http.StatusUnauthorized:
					guesses++
				case http.StatusServiceUnavailable:
					refused++
				case http.StatusTooManyRequests:
					limited++
				default:
					t.Errorf("guess: %d", a.StatusCode)
				}
				mu.Unlock()
				if a.StatusCode == http.StatusTooManyRequests {
					return
				}
				form = fields(t, a.body)
			}
		})
	}
	eventually(t, "the storm has begun", time.Minute, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return guesses >= clients
	})
	busy := timeRequests(t, signedIn, requests)
	var slowest time.Duration
	for i := range signIns {
		slowest = max(slowest, signInFrom(t, newVisitor(t, s), fmt.Sprintf("198.51.100.%d", 10+i)))
	}
	close(stop)
	storm.Wait()
	if guesses < clients {
		t.Errorf("only %d guesses were judged", guesses)
	}
	t.Logf("requests with a session: p99 %v quiet, %v in the storm (%.1f times)", quiet, busy, float64(busy)/float64(quiet))
	t.Logf("a rightful sign-in: %v alone, at most %v of %d in the storm", alone, slowest, signIns)
	t.Logf("the storm: %d guesses judged, %d told that the gate is busy, %d clients over their limit", guesses, refused, limited)
}

// signInFrom signs in and returns how long the form took.
func signInFrom(t *testing.T, v *visitor, address string) time.Duration {
	t.Helper()
	form := fields(t, v.from(address, "/login", nil).body)
	began := time.Now()
	if a := v.from(address, "/login", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-in of who knows the password: %d", a.StatusCode)
	}
	return time.Since(began)
}

// timeRequests returns the 99th percentile of requests with a live session.
func timeRequests(t *testing.T, v *visitor, n int) time.Duration {
	t.Helper()
	times := make([]time.Duration, 0, n)
	for range n {
		began := time.Now()
		if a := v.page("/"); a.StatusCode != http.StatusOK {
			t.Errorf("a request with a session: %d", a.StatusCode)
		}
		times = append(times, time.Since(began))
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(times)
	return times[n*99/100]
}
