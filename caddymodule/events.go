package caddymodule

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
)

// event is what visitors do and what is done to them, as the log says it. The
// words never change: filters depend on them. docs/observe/logs.md has all of
// them, and those of the packages below.
type event string

const (
	eventSignedIn             event = "signed in"
	eventSignInFailed         event = "sign-in failed"
	eventSignedOut            event = "signed out"
	eventSignedUp             event = "signed up"
	eventSignUpFailed         event = "sign-up failed"
	eventPasswordChanged      event = "password changed"
	eventPasswordChangeFailed event = "password change failed"
	eventCodeSent             event = "code sent"
	eventSessionsEnded        event = "sessions ended"
	eventThrottled            event = "throttled"
	eventHashUpgraded         event = "hash upgraded"
	eventThrottleLifted       event = "throttle lifted"
)

// tell logs an event. What anybody may type, the user's name, comes last, so that
// a filter for lines need not read past it (LOG-1).
func (g *Gate) tell(r *http.Request, e event, user string, more ...zap.Field) {
	g.logger.Info(string(e), g.facts(r, user, more...)...)
}

// tellFailed logs what came to nothing, and why. A refusal by the throttle was told
// where it happened, and is no failure of another kind.
func (g *Gate) tellFailed(r *http.Request, e event, user string, why code) {
	if why != codeThrottled {
		g.tell(r, e, user, reason(why))
	}
}

func reason(why code) zap.Field { return zap.String("reason", string(why)) }

// facts are the fields that every event of a request has; the realm is part of the
// logger.
func (g *Gate) facts(r *http.Request, user string, more ...zap.Field) []zap.Field {
	fields := append([]zap.Field{zap.String("client_ip", clientAddr(r).String())}, more...)
	return append(fields, zap.String("user", logged(user)))
}

// maxLogged bounds a name in the log in bytes: anybody may type anything there.
const maxLogged = 64

// logged is a name as the log shows it: cut, and without what does not print, such
// as marks that turn the rest of a line around on a screen.
func logged(name string) string {
	for len(name) > maxLogged {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, name)
}
