package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// An error of ours is said as what it is about, with a status that closes the gate.
func TestEveryFaultHasItsCode(t *testing.T) {
	g := memoryGate(t, "anna")
	r := throughCaddy(request("POST", "/login"), false, "192.0.2.1")
	for name, c := range map[string]struct {
		err    error
		code   code
		status int
	}{
		"a limit":               {&throttle.LimitError{Bucket: throttle.BucketClient, RetryAfter: time.Second}, codeThrottled, 429},
		"a code too soon":       {&secondstep.TooSoonError{}, codeThrottled, 429},
		"a step that is gone":   {secondstep.ErrGone, codeSecondStepExpired, 403},
		"no contact":            {errNoContact, codeSenderUnavailable, 503},
		"a provider down":       {outbox.ErrDown, codeSenderUnavailable, 503},
		"too much to send":      {outbox.ErrFull, codeSenderUnavailable, 503},
		"no hash slot":          {throttle.ErrBusy, codeBusy, 503},
		"the users file":        {errors.Join(errUsers, errors.New("gone")), codeUsersUnavailable, 503},
		"whatever else, a slow": {errors.New("store"), codeStateUnavailable, 503},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if got := g.fault(r, err); got != c.code || got.status() != c.status {
				t.Errorf("%s: %s, %d", name, got, got.status())
			}
		}
	}
	if got := code("nobody knows this").status(); got != http.StatusInternalServerError {
		t.Errorf("a code without a status: %d", got)
	}
}

// Sealed by the gate, yet of another version, or cut: nobody's browser.
func TestABrowserCookieIsReadWholeOrNotAtAll(t *testing.T) {
	good := make([]byte, browserFixed)
	good[0] = browserFormat
	other := append([]byte{browserFormat + 1}, good[1:]...)
	for name, c := range map[string]struct {
		text  []byte
		users int // -1 for none at all
	}{
		"no user": {good, 0}, "two users": {append(good[:browserFixed:browserFixed], make([]byte, 32)...), 2},
		"nothing": {nil, -1}, "cut": {good[:browserFixed-1], -1}, "half a user": {append(good[:browserFixed:browserFixed], make([]byte, 8)...), -1},
		"another format": {other, -1},
	} {
		b, _, ok := parseBrowser(c.text)
		if ok != (c.users >= 0) || ok && len(b.users) != c.users {
			t.Errorf("%s: %+v, %v", name, b, ok)
		}
	}
}

// With "when suspicious" a challenge is as hard as the failures say, and none that was
// got for fewer is good.
func TestChallengesRiseWithFailures(t *testing.T) {
	suspicious := suspiciousGate(t, CaptchaConfig{})
	always := memoryGate(t, "anna")
	least := time.Duration(*suspicious.Captcha.Work)
	token := func(g *Gate, kind captcha.Kind, level captcha.Level, work time.Duration) string {
		c, err := g.captchas.Issue(captcha.Spec{Kind: kind, Level: level, Work: work}, captcha.Scope{Purpose: purposeLogin})
		if err != nil {
			t.Fatal(err)
		}
		return c.Token
	}
	for _, c := range []struct {
		failures int
		level    captcha.Level
		times    int
		cheap    []captcha.Level // too easy by now
	}{
		{0, captcha.Easy, 1, nil}, {2, captcha.Easy, 1, nil},
		{3, captcha.Normal, 2, []captcha.Level{captcha.Easy}}, {5, captcha.Normal, 2, []captcha.Level{captcha.Easy}},
		{6, captcha.Hard, 4, []captcha.Level{captcha.Easy, captcha.Normal}}, {1000, captcha.Hard, 4, []captcha.Level{captcha.Easy, captcha.Normal}},
	} {
		level, work := suspicious.price(c.failures)
		if level != max(c.level, suspicious.level) || work != time.Duration(c.times)*least {
			t.Errorf("%d failures: %v, %v", c.failures, level, work)
		}
		for _, level := range []captcha.Level{captcha.Easy, captcha.Normal, captcha.Hard} {
			want := level < max(c.level, suspicious.level)
			if got := suspicious.isCheap(token(suspicious, captcha.Image, level, 0), c.failures); got != want {
				t.Errorf("%v after %d failures is too easy: %v", level, c.failures, got)
			}
		}
		if suspicious.isCheap(token(suspicious, captcha.Work, captcha.Easy, captcha.MinWork), c.failures) || suspicious.isCheap("nonsense", c.failures) {
			t.Error("what has no level is judged by it")
		}
		if always.isCheap(token(always, captcha.Image, captcha.Easy, 0), c.failures) || always.worth(token(always, captcha.Image, captcha.Hard, 0)) != 0 {
			t.Error("levels matter where a captcha is always asked for")
		}
	}
	for configured, worth := range map[captcha.Level][3]int{
		captcha.Easy: {0, 3, 6}, captcha.Normal: {0, 0, 6}, captcha.Hard: {0, 0, 0},
	} {
		g := suspiciousGate(t, CaptchaConfig{Level: configured.String()})
		for i, level := range []captcha.Level{captcha.Easy, captcha.Normal, captcha.Hard} {
			if got := g.worth(token(g, captcha.Image, level, 0)); got != worth[i] {
				t.Errorf("where the least is %v, a challenge that is %v was made for %d failures, want %d", configured, level, got, worth[i])
			}
		}
	}
	if suspicious.worth("nonsense") != 0 {
		t.Error("what is no challenge was made for failures")
	}
}

func TestWordsWithWrongArgumentsAreRefusedWithTheirLine(t *testing.T) {
	for line, want := range map[string]string{
		"users a b":                              "wrong argument count",
		"login":                                  "wrong argument count",
		`login ""`:                               "login must not be empty",
		"landing":                                "wrong argument count",
		"captcha {\nlifetime 1m 2m\n}":           "wrong argument count",
		"captcha {\nwork\n}":                     "wrong argument count",
		"captcha {\nwhen\n}":                     "wrong argument count",
		"captcha {\nnoise\n}":                    "wrong argument count",
		"captcha {\nnoise lines=-1\n}":           `noise lines: "-1" is not a number`,
		"captcha {\nlifetime 10ms\n}":            "lifetime: must be at least 1s",
		"throttle {\nclient 20\n}":               "wrong argument count",
		"throttle {\nclient 0 10m\n}":            `client: "0" is not a whole number`,
		"state":                                  "wrong argument count",
		"second_step sms {\nsender\n}":           "wrong argument count",
		"second_step sms {\nsender mail x\n}":    "smtp, twilio, webhook",
		"second_step sms {\nlimits\n}":           "wrong argument count",
		"second_step sms {\nlimits user=x/1d\n}": "user",
	} {
		text := ":80 {\ncaptcha_gate {\n" + line + "\n}\nrespond hello\n}\n"
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), want) || !strings.Contains(err.Error(), "at Caddyfile:") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
