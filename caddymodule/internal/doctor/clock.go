package doctor

import (
	"net/http"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// maxSkew is how far clocks may be apart before challenges and cookies suffer.
const maxSkew = time.Minute

const mendClock = "let both machines follow a time server: timedatectl set-ntp true; timedatectl status says whether it works"

// checkClock compares the Date of an answer with the doctor's clock.
func (e *examination) checkClock(a answer) {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		e.warn("clock", "something in between removes the header Date", "the site does not say what time it is")
		return
	}
	// Date leaves out the fraction of a second.
	here := a.asked.Add(a.got.Sub(a.asked) / 2)
	if skew := date.Add(time.Second / 2).Sub(here); skew.Abs() > maxSkew {
		e.problem("clock", mendClock, "the site's Date is %s this machine's clock", apart(skew))
		return
	}
	e.ok("clock", "the site's Date and this machine's clock agree")
}

// checkGateClock compares the time that a challenge was made with the doctor's clock.
func (e *examination) checkGateClock(a answer, claims captcha.Claims) {
	made := claims.ExpiresAt.Add(-e.Lifetime)
	here := a.asked.Add(a.got.Sub(a.asked) / 2)
	if skew := made.Sub(here); skew.Abs() > maxSkew {
		e.problem("clock", mendClock+"; or, if lifetime in the block captcha was changed: caddy reload --config Caddyfile", "the gate's clock is %s this machine's", apart(skew))
	}
}

// apart is a distance in words.
func apart(skew time.Duration) string {
	if skew < 0 {
		return skew.Abs().Round(time.Second).String() + " behind"
	}
	return skew.Round(time.Second).String() + " ahead of"
}
