package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/captcha-gate/captcha-gate/captcha"
)

const mendSecret = "one secret for all: secret {env.GATE_SECRET} or secret {file./etc/caddy/gate.secret}; then caddy reload. " +
	"Without one in the configuration, the doctor must run as the user whose storage Caddy uses"

// checkSecret opens the page's challenge. Without that the visit goes on, and sees less.
func (e *examination) checkSecret(challenge string) (claims captcha.Claims, opened bool) {
	if e.maker == nil {
		e.warn("secret", mendSecret, "without the gate's secret neither the client address nor a whole sign-in can be looked at")
		return claims, false
	}
	claims, err := e.maker.Unpack(challenge)
	switch {
	case errors.Is(err, captcha.ErrExpired):
		e.problem("clock", mendClock, "by this machine's clock the challenge that was just made is long over, or far ahead")
		return claims, false
	case err != nil:
		e.problem("secret", mendSecret, "the running gate has another secret or realm than this configuration, and seals what others cannot open")
		return claims, false
	}
	e.ok("secret", "the running gate has the secret of this configuration")
	return claims, true
}

// checkPicture loads the picture of a challenge twice.
func (e *examination) checkPicture(ctx context.Context, b *browser, challenge string) {
	const instances = "where several Caddys take turns, they need one store: state redis redis://HOST:6379"
	at := e.own(e.BasePath + "/challenge/" + challenge + ".png")
	one, err := b.send(ctx, "GET", at, nil, map[string]string{"Accept": "image/*", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"})
	if err != nil {
		e.problem("picture", "see Caddy's log", "no answer: %s", plainFault(err))
		return
	}
	two, err := b.send(ctx, "GET", at, nil, map[string]string{"Accept": "image/*"})
	kind := one.header.Get("Content-Type")
	switch {
	case one.status == 404 && one.reply().Code == "captcha_expired":
		e.problem("picture", instances, "the gate that should draw the picture does not know the challenge: another one made it")
	case one.status != 200 || kind != "image/png" || !strings.HasPrefix(one.body, "\x89PNG"):
		e.problem("picture", "see that nothing in between changes or blocks "+e.prefix+e.BasePath+"/challenge/", "the picture does not load: %s, %s", describe(one), kind)
	case err != nil || two.body != one.body:
		e.problem("picture", instances, "the picture is another one the second time")
	case one.header.Get("Cache-Control") != "no-store" || cacheHit(two) != "":
		e.warn("picture", mendCache, "a cache in front keeps pictures")
	default:
		e.ok("picture", "loads (%d kB), the same each time", (len(one.body)+1023)>>10)
	}
}

// checkWrongAnswer sends a wrong answer: it must reach the gate and be refused for that alone.
func (e *examination) checkWrongAnswer(ctx context.Context, b *browser, challenge, right string) bool {
	wrong := "????"
	if right != "" {
		wrong = strings.Repeat(right[:1], len(right))
	}
	if strings.EqualFold(wrong, right) {
		wrong += right[:1]
	}
	fields := map[string]string{"captcha_token": challenge, "captcha_answer": wrong, "username": "", "password": ""}
	at := e.own(e.Login)
	a, err := b.post(ctx, at, fields, false)
	if err == nil && a.reply().Code == "cross_origin" {
		const mend = "let the proxy pass Host on, in nginx: proxy_set_header Host $http_host;"
		if e.URL.Scheme == "http" {
			e.problem("post", mend, "the gate takes its own form for another site's (cross_origin): Host or Origin is changed on the way")
			return false
		}
		e.warn("post", mend, "old browsers cannot sign in (cross_origin): Host or Origin is changed on the way")
		a, err = b.post(ctx, at, fields, true)
	}
	if err != nil {
		e.problem("post", "see Caddy's log", "no answer to a form: %s", plainFault(err))
		return false
	}
	if code := a.reply().Code; code == "captcha_wrong" {
		e.ok("post", "a wrong answer is refused as one (it counts as one failed sign-in of your network)")
		return true
	}
	e.judgeRefusal("post", a)
	return false
}

// judgeRefusal explains why a form came to nothing.
func (e *examination) judgeRefusal(check string, a answer) {
	switch code := a.reply().Code; code {
	case "cookies_required":
		e.problem(check, "let the header Cookie through with POST too", "the cookie does not come back with the form (%s)", code)
	case "captcha_expired":
		e.problem(check, "several Caddys need one secret and one store; where visitors' addresses change all the time, in the block captcha: bind off",
			"the gate refuses a challenge that is a second old (%s): it sees you come from another network than before, or another Caddy with another store made it", code)
	case "cross_origin":
		e.problem(check, "let the proxy pass Host on, in nginx: proxy_set_header Host $http_host;", "the gate takes its own form for another site's (%s)", code)
	case "throttled", "busy", "state_unavailable", "users_unavailable":
		e.judgeCode(check, code, a)
	case "":
		e.problem(check, mendRoute+"; and let POST through: no method filter", "the form does not reach the gate: POST %s is answered with %s", e.own(e.Login).Path, describe(a))
	default:
		e.problem(check, "see Caddy's log", "the gate refuses the form: %d %s", a.status, code)
	}
}
