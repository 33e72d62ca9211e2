package caddymodule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/crypto/bcrypt"
)

// timingSamples is how many of each kind are compared.
const timingSamples = 400

// BenchmarkCRD6_UsersCannotBeToldByTime measures what a stranger could: how long
// the refusal of a wrong password takes for users with entries of different costs
// and for names that nobody has, in turns of a random order. `make timing` runs
// it. It fails where medians differ by more than 5 % or a rank test says that the
// two are not of one kind. Hashing alone is compared as well, without the floor
// and the jitter that the answer waits for.
func BenchmarkCRD6_UsersCannotBeToldByTime(b *testing.B) {
	for name, costs := range map[string][]int{"one cost": {10}, "mixed costs": {8, 10}} {
		b.Run(name, func(b *testing.B) {
			g, users := timingGate(b, costs)
			table, err := g.users.Table()
			if err != nil {
				b.Fatal(err)
			}
			kinds := append([]string{"unknown"}, users...)
			hashing, answering := map[string][]float64{}, map[string][]float64{}
			n := 0
			for b.Loop() {
				for range timingSamples {
					for _, i := range rand.Perm(len(kinds)) {
						kind := kinds[i]
						n++
						user := fmt.Sprintf("%s%d", kind, n%usersOfEachCost)
						if kind == "unknown" {
							user = fmt.Sprintf("nobody%d", n)
						}
						began := time.Now()
						table.Verify(user, "not it at all")
						hashing[kind] = append(hashing[kind], float64(time.Since(began)))
						post := signInRequest(b, g, user, "not it at all")
						began = time.Now()
						if w, _ := serve(b, g, post); w.Code != 401 {
							b.Fatalf("%s: %d %s", user, w.Code, w.Body)
						}
						answering[kind] = append(answering[kind], float64(time.Since(began)))
					}
				}
			}
			for what, times := range map[string]map[string][]float64{"hashing": hashing, "answering": answering} {
				for _, kind := range users {
					compare(b, what, times["unknown"], times[kind], kind)
				}
			}
		})
	}
}

// usersOfEachCost is how many users there are of each cost, so that none meets the ceiling
// of failures in a row.
const usersOfEachCost = 40

// timingGate has so many users of each cost, and limits that nobody meets.
func timingGate(b *testing.B, costs []int) (g *Gate, kinds []string) {
	b.Helper()
	var file strings.Builder
	for _, cost := range costs {
		hash, err := bcrypt.GenerateFromPassword([]byte("right"), cost)
		if err != nil {
			b.Fatal(err)
		}
		kind := fmt.Sprintf("cost%d-", cost)
		kinds = append(kinds, kind)
		for i := range usersOfEachCost {
			fmt.Fprintf(&file, "%s%d:%s\n", kind, i, hash)
		}
	}
	path := filepath.Join(b.TempDir(), "users.htpasswd")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	wide := &LimitConfig{Events: 1 << 20, Window: caddy.Duration(time.Hour)}
	g, err := load(b, Gate{
		Users: path, Secret: []Secret{gateSecret}, Realm: realmOf(b), State: &StateConfig{Store: storeMemory},
		Throttle: &ThrottleConfig{Client: wide, User: wide, Issue: wide},
	})
	if err != nil {
		b.Fatal(err)
	}
	return g, kinds
}

func compare(b *testing.B, what string, unknown, known []float64, kind string) {
	b.Helper()
	ratio, p := median(known)/median(unknown), rankTest(unknown, known)
	b.Logf("%-9s known (%s) over unknown: median %.2f ms over %.2f ms = %.4f, rank test p = %.3f, %d samples each",
		what, strings.Trim(kind, "-"), median(known)/1e6, median(unknown)/1e6, ratio, p, len(known))
	if math.Abs(ratio-1) > .05 || p < .01 {
		b.Errorf("%s tells users of %s", what, kind)
	}
}

func median(samples []float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2]
}

// rankTest is the probability that two samples of one kind differ in their ranks
// as much as these, after Mann and Whitney, two-sided, by the normal approximation.
func rankTest(a, b []float64) float64 {
	type sample struct {
		value float64
		ofA   bool
	}
	var all []sample
	for _, v := range a {
		all = append(all, sample{v, true})
	}
	for _, v := range b {
		all = append(all, sample{v, false})
	}
	slices.SortFunc(all, func(x, y sample) int {
		if x.value < y.value {
			return -1
		}
		return 1
	})
	ranks := 0.0
	for i, s := range all {
		if s.ofA {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	z := (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(math.Abs(z) / math.Sqrt2)
}

func TestTheRankTestKnowsEqualFromUnequal(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(shift float64) (samples []float64) {
		for range timingSamples {
			samples = append(samples, random.NormFloat64()+shift)
		}
		return samples
	}
	if p := rankTest(draw(0), draw(0)); p < .01 {
		t.Errorf("equal: p = %v", p)
	}
	if p := rankTest(draw(0), draw(.5)); p > 1e-6 {
		t.Errorf("unequal: p = %v", p)
	}
}
