package main

import (
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

// gateSlots is how many hashes a gate runs at a time by default.
func gateSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// hashTime is the time that one password hash takes here while nothing else
// runs: the median of some.
func hashTime() time.Duration {
	hash := []byte(hashes()[0])
	times := make([]time.Duration, 9)
	for i := range times {
		began := time.Now()
		_ = bcrypt.CompareHashAndPassword(hash, []byte(password))
		times[i] = time.Since(began)
	}
	return figures.Percentile(times, 50)
}
