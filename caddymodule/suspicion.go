package caddymodule

import (
	"net/http"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// With "when suspicious" a captcha is asked for from the first failure on, and
// rises with their number. What counts are the recent failures of a known
// device, or else of the network and the user, whichever are more, and a surge
// of failures on the whole site.

// rises are the failures from which on a challenge is harder, and how many times
// the work it then is.
var rises = []struct {
	failures, times int
	level           captcha.Level
}{
	{6, 4, captcha.Hard},
	{3, 2, captcha.Normal},
	{0, 1, captcha.Easy},
}

// A surge is this many failures on the whole site in a minute.
const (
	surgeFailures = 60
	surgeWindow   = time.Minute
)

func (g *Gate) onlySuspicious() bool { return g.Captcha.When == whenSuspicious }

// failures are those that count against who asks. Where a captcha is always
// asked for, they do not matter and are not looked up.
func (g *Gate) failures(r *http.Request, browsers []browser, user string) (int, error) {
	if !g.onlySuspicious() {
		return 0, nil
	}
	return g.throttle.Failures(detached(r), g.caller(r, browsers, user))
}

// asks reports whether a captcha is asked for after so many failures.
func (g *Gate) asks(failures int) bool { return !g.onlySuspicious() || failures > 0 }

// price is how hard a challenge is after so many failures, and the puzzle beside
// it. The configured level is the least.
func (g *Gate) price(failures int) (captcha.Level, time.Duration) {
	work := time.Duration(*g.Captcha.Work)
	if !g.onlySuspicious() {
		return g.level, work
	}
	for _, rise := range rises {
		if failures >= rise.failures {
			return max(g.level, rise.level), min(time.Duration(rise.times)*work, captcha.MaxWork)
		}
	}
	return g.level, work
}

// worth is how many failures a challenge was made for at the least: the fewest that
// make one as hard.
func (g *Gate) worth(token string) int {
	claims, err := g.captchas.Unpack(token)
	if err != nil || !g.onlySuspicious() {
		return 0
	}
	fewest := 0
	for _, rise := range rises {
		if level, _ := g.price(rise.failures); level >= claims.Level {
			fewest = rise.failures
		}
	}
	return fewest
}

// isCheap reports a challenge that was made when there were fewer failures. It
// would let an attacker put easy ones by.
func (g *Gate) isCheap(token string, failures int) bool {
	if !g.onlySuspicious() {
		return false
	}
	claims, err := g.captchas.Unpack(token)
	if err != nil || claims.Kind == captcha.Work {
		return false // judged elsewhere
	}
	level, _ := g.price(failures)
	return claims.Level < level
}
