package caddymodule

import (
	"strings"
	"time"
	"unicode"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
)

// message is what is sent with a code.
func (g *Gate) message(p secondstep.Pending, code string) (subject, text string) {
	kind := "second_step"
	switch {
	case p.Purpose == secondstep.SignUp:
		kind = "sign_up"
	case p.Channel == channelSMS:
		kind = "sms"
	}
	lang := page.Lang(p.Lang)
	minutes := max(1, int(time.Duration(g.SecondStep.Lifetime)/time.Minute))
	return g.site.Message(lang, kind, code, g.Page.Title, minutes) // never the Host header, which anybody sets (RED-3)
}

// masked shows enough of a destination to recognise it.
func masked(p secondstep.Pending) string {
	const dots = "•••"
	if name, domain, ok := strings.Cut(p.Destination, "@"); ok {
		return name[:min(1, len(name))] + dots + "@" + domain
	}
	if len(p.Destination) < 8 {
		return dots
	}
	return p.Destination[:3] + " " + dots + " " + p.Destination[len(p.Destination)-2:]
}

// plainDigit is 0 to 9 for a digit of any script, which some keyboards type, and
// drops all else. Each script has its ten in a row.
func plainDigit(c rune) rune {
	if !unicode.IsDigit(c) {
		return -1
	}
	zero := c
	for unicode.IsDigit(zero - 1) {
		zero--
	}
	return '0' + (c-zero)%10
}
