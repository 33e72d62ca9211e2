package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/page"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/password"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/secondstep"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// code is one of the contract's words for how a request ended.
type code string

const (
	codeUnauthenticated      code = "unauthenticated"
	codeCredentialsWrong     code = "credentials_wrong"
	codeCaptchaRequired      code = "captcha_required"
	codeCaptchaWrong         code = "captcha_wrong"
	codeCaptchaExpired       code = "captcha_expired"
	codeCookiesRequired      code = "cookies_required"
	codeCrossOrigin          code = "cross_origin"
	codeMalformed            code = "malformed"
	codeUnsupportedMediaType code = "unsupported_media_type"
	codeTooLarge             code = "too_large"
	codeMethodNotAllowed     code = "method_not_allowed"
	codeThrottled            code = "throttled"
	codeBusy                 code = "busy"
	codeStateUnavailable     code = "state_unavailable"
	codeUsersUnavailable     code = "users_unavailable"
	codeSenderUnavailable    code = "sender_unavailable"
	codeSecondStepRequired   code = "second_step_required"
	codeSecondStepWrong      code = "second_step_wrong"
	codeSecondStepExpired    code = "second_step_expired"
	codeFormExpired          code = "form_expired"
	codeInvalid              code = "invalid"
	codePasswordsDiffer      code = "passwords_differ"
	codePasswordUnchanged    code = "password_unchanged"
	codeUsernameMissing      code = "username_missing"
	codeUsernameInvalid      code = "username_invalid"
	codeUsernameReserved     code = "username_reserved"
	codeUsernameTaken        code = "username_taken"
	codeEmailMissing         code = "email_missing"
	codeEmailInvalid         code = "email_invalid"
	codePasswordMissing      code = "password_missing"
	codeSignUpFull           code = "sign_up_full"
	codeNotFound             code = "not_found"
	codeInternal             code = "internal_error"
)

// statuses has every code; one that is missing would be answered 500.
var statuses = map[code]int{
	codeUnauthenticated:      http.StatusUnauthorized,
	codeCredentialsWrong:     http.StatusUnauthorized,
	codeCaptchaRequired:      http.StatusForbidden,
	codeCaptchaWrong:         http.StatusForbidden,
	codeCaptchaExpired:       http.StatusForbidden,
	codeCookiesRequired:      http.StatusForbidden,
	codeCrossOrigin:          http.StatusForbidden,
	codeMalformed:            http.StatusBadRequest,
	codeUnsupportedMediaType: http.StatusUnsupportedMediaType,
	codeTooLarge:             http.StatusRequestEntityTooLarge,
	codeMethodNotAllowed:     http.StatusMethodNotAllowed,
	codeThrottled:            http.StatusTooManyRequests,
	codeBusy:                 http.StatusServiceUnavailable,
	codeStateUnavailable:     http.StatusServiceUnavailable,
	codeUsersUnavailable:     http.StatusServiceUnavailable,
	codeSenderUnavailable:    http.StatusServiceUnavailable,
	codeSecondStepRequired:   http.StatusForbidden,
	codeSecondStepWrong:      http.StatusForbidden,
	codeSecondStepExpired:    http.StatusForbidden,
	codeFormExpired:          http.StatusForbidden,
	codeInvalid:              http.StatusUnprocessableEntity,
	codePasswordsDiffer:      http.StatusUnprocessableEntity,
	codePasswordUnchanged:    http.StatusUnprocessableEntity,
	codeUsernameMissing:      http.StatusUnprocessableEntity,
	codeUsernameInvalid:      http.StatusUnprocessableEntity,
	codeUsernameReserved:     http.StatusUnprocessableEntity,
	codeUsernameTaken:        http.StatusUnprocessableEntity,
	codeEmailMissing:         http.StatusUnprocessableEntity,
	codeEmailInvalid:         http.StatusUnprocessableEntity,
	codePasswordMissing:      http.StatusUnprocessableEntity,
	codeSignUpFull:           http.StatusForbidden,
	codeNotFound:             http.StatusNotFound,

	code(password.TooShort):  http.StatusUnprocessableEntity,
	code(password.TooLong):   http.StatusUnprocessableEntity,
	code(password.TooCommon): http.StatusUnprocessableEntity,
	code(password.LikeName):  http.StatusUnprocessableEntity,
}

func (c code) status() int {
	if status, ok := statuses[c]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// retryAfterFault is what a client is told to wait when something of ours is
// away.
const retryAfterFault = 5 * time.Second

// fault turns an error of the store, the users file or the throttle into a
// code. It logs what is ours to mend, and that a limit refused something.
func (g *Gate) fault(r *http.Request, err error) code { return g.faultOf(r, "", err) }

// faultOf is fault where it is known whom the request is about.
func (g *Gate) faultOf(r *http.Request, user string, err error) code {
	var limit *throttle.LimitError
	var soon *secondstep.TooSoonError
	switch {
	case errors.As(err, &limit):
		g.tell(r, eventThrottled, user, reason(codeThrottled), zap.String("bucket", limit.Bucket))
		return codeThrottled
	case errors.As(err, &soon):
		measured.throttled.WithLabelValues(bucketResend).Inc()
		g.tell(r, eventThrottled, user, reason(codeThrottled), zap.String("bucket", bucketResend))
		return codeThrottled
	case errors.Is(err, errForeign):
		return codeCrossOrigin
	case errors.Is(err, secondstep.ErrGone):
		return codeSecondStepExpired
	case errors.Is(err, errSender), errors.Is(err, outbox.ErrDown), errors.Is(err, outbox.ErrFull):
		g.logger.Error("sender unavailable", g.facts(r, user, reason(codeSenderUnavailable), zap.Error(err))...)
		return codeSenderUnavailable
	case errors.Is(err, throttle.ErrBusy), errors.Is(err, outbox.ErrClosed): // a reload has overtaken the request
		return codeBusy
	case errors.Is(err, errUsers):
		g.logger.Error("users unavailable", g.facts(r, user, reason(codeUsersUnavailable), zap.Error(err))...)
		return codeUsersUnavailable
	default:
		if g.complaints.due(g.now()) {
			g.logger.Error("state unavailable", g.facts(r, user, reason(codeStateUnavailable), zap.Error(err))...)
		}
		return codeStateUnavailable
	}
}

// complaintEvery is how often the log repeats that the store is away.
const complaintEvery = time.Minute

// complaints are said once a minute, however many requests meet the fault.
type complaints struct{ last atomic.Int64 }

func (c *complaints) due(now time.Time) bool {
	last := c.last.Load()
	if last != 0 && now.UnixNano()-last < int64(complaintEvery) {
		return false
	}
	return c.last.CompareAndSwap(last, now.UnixNano())
}

// retryAfter is how long a client should wait after err.
func retryAfter(err error) time.Duration {
	var limit *throttle.LimitError
	if errors.As(err, &limit) {
		return limit.RetryAfter
	}
	var soon *secondstep.TooSoonError
	if errors.As(err, &soon) {
		return soon.Wait
	}
	return 0
}

const typeJSON = "application/json"

// contentSecurityPolicy lets the page load its own files and nothing else
// (WEB-3).
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"media-src 'self'; worker-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// harden sets the headers that every answer of the gate has. The referrer
// policy is same-origin and not stricter: without a referrer browsers send
// "Origin: null" with forms over plain HTTP, which no origin check can accept.
func harden(w http.ResponseWriter) {
	h := w.Header()
	values := make([]string, len(hardening)) // one for all: floods get these headers, too
	for i, header := range hardening {
		values[i] = header.value
		h[header.name] = values[i : i+1 : i+1]
	}
}

// hardening has canonical names.
var hardening = [...]struct{ name, value string }{
	{"Cache-Control", "no-store"},
	{"Content-Security-Policy", contentSecurityPolicy},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "same-origin"},
	{"X-Frame-Options", "DENY"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
}

// success is the JSON answer to what worked.
type success struct {
	Status string `json:"status"`
	Code   string `json:"code"`
	// RedirectURL is where to go, null for staying on the page.
	RedirectURL  *string `json:"redirect_url"`
	ErrorMessage string  `json:"error_message"`
	// RetryAfter is when another code can be asked for, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
}

// failure is the JSON answer to everything else.
type failure struct {
	Status       string         `json:"status"`
	Code         code           `json:"code"`
	RedirectURL  *string        `json:"redirect_url"`
	ErrorMessage string         `json:"error_message"`
	Captcha      *challengeJSON `json:"captcha"`
	RetryAfter   int            `json:"retry_after"`
	// Errors are the faults of each field, and ErrorMessages say them.
	Errors        map[string]code   `json:"errors,omitempty"`
	ErrorMessages map[string]string `json:"error_messages,omitempty"`
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	harden(w)
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	// The only error left is a client that went away.
	_ = json.NewEncoder(w).Encode(body)
}

// announce sets the headers that belong to a status and returns the wait in
// whole seconds.
func (g *Gate) announce(w http.ResponseWriter, v *visitor, status int, wait time.Duration) (seconds int) {
	if status == http.StatusServiceUnavailable && wait == 0 {
		wait = retryAfterFault
	}
	seconds = int((wait + time.Second - 1) / time.Second)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		seconds = max(1, seconds)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Cookie realm="`+g.Realm+`" form-action="`+v.prefix+g.Login[0]+`"`)
	}
	return seconds
}

// refusal is what a visitor is told.
type refusal struct {
	code code
	// status replaces the code's own where it is not 0.
	status int
	wait   time.Duration
	// captcha is a new challenge for the next try, or nil.
	captcha *challengeJSON
	// errors are the faults of single fields.
	errors map[string]code
}

func (f refusal) statusCode() int {
	if f.status != 0 {
		return f.status
	}
	return f.code.status()
}

// failJSON refuses a request of a script.
func (g *Gate) failJSON(w http.ResponseWriter, v *visitor, f refusal) {
	seconds := g.announce(w, v, f.statusCode(), f.wait)
	reply := failure{
		Status: "failed", Code: f.code, ErrorMessage: g.site.Text(v.lang, string(f.code), seconds),
		Captcha: f.captcha, RetryAfter: seconds, Errors: f.errors,
	}
	if len(f.errors) > 0 {
		reply.ErrorMessages = map[string]string{}
		for field, fault := range f.errors {
			reply.ErrorMessages[field] = g.site.Text(v.lang, textOf(field, fault))
		}
	}
	writeJSON(w, f.statusCode(), reply)
}

// textOf is the text for the fault of a field. Who changes a password gave no user
// name that could be wrong.
func textOf(field string, fault code) string {
	if field == "current_password" && fault == codeCredentialsWrong {
		return "current_password_wrong"
	}
	return string(fault)
}

// texts are codes as the page takes them.
func texts(codes map[string]code) map[string]string {
	plain := make(map[string]string, len(codes))
	for field, c := range codes {
		plain[field] = string(c)
	}
	return plain
}

// fail refuses a request with a small page or JSON, whichever it understands.
func (g *Gate) fail(w http.ResponseWriter, r *http.Request, v *visitor, f refusal) {
	if !isNavigation(r) && (wantsJSON(r) || r.Method == http.MethodGet || r.Method == http.MethodHead) {
		g.failJSON(w, v, f)
		return
	}
	seconds := g.announce(w, v, f.statusCode(), f.wait)
	view := g.view(v)
	view.Code, view.RetryAfter = string(f.code), seconds
	g.writePage(w, f.statusCode(), "message", view)
}

// notAllowed refuses a method on one of the gate's own paths (INP-5).
func (g *Gate) notAllowed(w http.ResponseWriter, r *http.Request, v *visitor, allow string) {
	w.Header().Set("Allow", allow)
	g.fail(w, r, v, refusal{code: codeMethodNotAllowed})
}

// view is the part of a page's data that all pages share.
func (g *Gate) view(v *visitor) page.View {
	return page.View{
		Lang: v.lang, Prefix: v.prefix,
		BasePath: g.BasePath, LoginPath: g.Login[0], LogoutPath: g.Logout,
		HumanOnly: g.HumanOnly, RememberOffered: *g.Session.Remember > 0, SignUpOffered: g.Accounts.SignUp,
	}
}

// bodies have room for a page each. Floods ask for little else.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (g *Gate) writePage(w http.ResponseWriter, status int, name string, view page.View) {
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if err := g.site.Render(body, name, view); err != nil {
		g.logger.Error("page failed", zap.String("template", name), zap.Error(err))
		writeFault(w)
		return
	}
	harden(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// writeFault is the answer when not even the page can be written.
func writeFault(w http.ResponseWriter) {
	harden(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, "internal error\n")
}

// seeOther sends the browser to a path on this host (RED-3).
func seeOther(w http.ResponseWriter, target string) {
	harden(w)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}
