package caddymodule

import (
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/outbox"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
	"github.com/captcha-gate/captcha-gate/captcha"
)

// metrics are what the gates of this process count and measure, whichever
// configuration they belong to. Caddy makes a new registry for each configuration;
// the same collector is registered with all of them, so that counters go on over
// reloads, also refused ones. No label holds what a visitor chose.
//
// Nothing here is touched by a request that passes with its session.
type metrics struct {
	issued, judged, signIns, throttled, stateErrors, reloads, codes *prometheus.CounterVec

	hashing   prometheus.Histogram
	rendering *prometheus.HistogramVec

	sessions, stateUp, users *prometheus.Desc
	counted                  counted
}

// measured is the one collector of the process.
var measured = newMetrics()

const (
	namespace = "caddy"
	subsystem = "captcha_gate"
)

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, nil, nil)
	}
	m := &metrics{
		issued:      counter("challenges_issued_total", "Challenges made.", "kind"),
		judged:      counter("challenges_judged_total", "Answers to challenges, by what came of them. Only right and wrong ones were compared.", "kind", "outcome"),
		signIns:     counter("sign_ins_total", "Sign-ins, by how they ended: signed_in, second_step_required, or the code of the refusal.", "outcome"),
		throttled:   counter("throttled_total", "Refusals because a limit was reached, by what is counted.", "bucket"),
		stateErrors: counter("state_errors_total", "Calls of the state store that failed.", "operation"),
		reloads:     counter("users_reloads_total", "Changes of the users file: reloaded, kept (it is of no use, the last good one stays) or closed (nobody can sign in).", "outcome"),
		codes:       counter("codes_sent_total", "Tries to hand a code to its provider: sent, failed, refused; retried for each further try, expired for each code given up.", "channel", "outcome"),
		hashing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "password_hash_seconds",
			Help:    "Time to verify or hash one password, without the wait for a slot.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		rendering: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "render_seconds",
			Help:    "Time to draw one picture or make one sound. One from the cache does not count.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}, []string{"kind"}),
		sessions: gauge("sessions", "Live sessions. With state local and memory all of them; with Redis those that this process served within the last minute."),
		stateUp:  gauge("state_up", "Whether every state store in use works: 1 or 0."),
		users:    gauge("users", "Users who can sign in, summed over the users files in use."),
	}
	m.prepare()
	return m
}

// Outcomes of a sign-in beside the codes of refusals, and kinds of a challenge that
// cannot be told.
const (
	outcomeSignedIn = "signed_in"
	kindUnknown     = "unknown"
)

// signInOutcomes are all that a sign-in can come to.
var signInOutcomes = []string{
	outcomeSignedIn, string(codeSecondStepRequired), string(codeCredentialsWrong), string(codeCaptchaRequired),
	string(codeCaptchaWrong), string(codeCaptchaExpired), string(codeCookiesRequired), string(codeCrossOrigin),
	string(codeMalformed), string(codeUnsupportedMediaType), string(codeTooLarge), string(codeThrottled), string(codeBusy),
	string(codeStateUnavailable), string(codeUsersUnavailable), string(codeSenderUnavailable),
	string(codeSecondStepWrong), string(codeSecondStepExpired),
}

// bucketResend is the wait before another code, which no bucket of the throttle counts.
const bucketResend = "resend"

// prepare makes every series that is known, so that its first event is a rise from
// zero that a rate sees.
func (m *metrics) prepare() {
	for kind := captcha.Image; kind <= captcha.Work; kind++ {
		m.issued.WithLabelValues(kind.String())
		for _, outcome := range judgements {
			m.judged.WithLabelValues(kind.String(), outcome.name)
		}
		if kind != captcha.Work {
			m.rendering.WithLabelValues(kind.String())
		}
	}
	for _, outcome := range []string{"invalid", "expired"} { // what cannot be opened is of no known kind
		m.judged.WithLabelValues(kindUnknown, outcome)
	}
	for _, outcome := range signInOutcomes {
		m.signIns.WithLabelValues(outcome)
	}
	for _, bucket := range append(throttle.Buckets, bucketResend) {
		m.throttled.WithLabelValues(bucket)
	}
	for _, operation := range state.Operations {
		m.stateErrors.WithLabelValues(operation)
	}
	for _, outcome := range htpasswd.Outcomes {
		m.reloads.WithLabelValues(outcome)
	}
	for _, channel := range []string{channelSMS, channelEmail} {
		for _, outcome := range outbox.Outcomes {
			m.codes.WithLabelValues(channel, outcome)
		}
	}
}

// register makes the metrics part of a configuration's registry. Of several gates
// in one configuration the first does it.
func (m *metrics) register(registry *prometheus.Registry) error {
	if registry == nil {
		return nil
	}
	err := registry.Register(m)
	if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		return nil
	}
	return err
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.issued, m.judged, m.signIns, m.throttled, m.stateErrors, m.reloads, m.codes, m.hashing, m.rendering,
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(to)
	}
	to <- m.sessions
	to <- m.stateUp
	to <- m.users
}

// Collect implements prometheus.Collector. The gauges are asked of the gates that
// are live at this moment, and left out where nobody can tell.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(to)
	}
	gauge := func(desc *prometheus.Desc, value int) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	realms := live.realms()
	if len(realms) == 0 {
		return
	}
	up, tellable := 1, false
	users := map[string]int{}
	for _, realm := range realms {
		if realm.newest().ready() == nil {
			tellable = true
		} else {
			up = 0
		}
		for _, g := range realm.gates {
			if g.users != nil {
				users[g.usersPath()] = g.usersLen()
			}
		}
	}
	gauge(m.stateUp, up)
	if tellable {
		gauge(m.sessions, m.counted.sessions(realms))
	}
	if len(users) > 0 {
		sum := 0
		for _, n := range users {
			sum += n
		}
		gauge(m.users, sum)
	}
}

// counted remembers the last count of sessions.
type counted struct {
	mu   sync.Mutex
	n    int
	at   time.Time
	took time.Duration
}

// countShare bounds the time that counting takes: a hundredth, however often and by
// however many it is asked for.
const countShare = 100

// sessions counts those of all realms whose store works.
func (c *counted) sessions(realms []realm) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Sub(c.at) < countShare*c.took {
		return c.n
	}
	c.n = 0
	for _, realm := range realms {
		if realm.newest().ready() != nil {
			continue
		}
		realm.newest().sessions.Known(func(s session.Listed) {
			if realm.isCurrent(s.Record) {
				c.n++
			}
		})
	}
	c.at = time.Now()
	c.took = c.at.Sub(began)
	return c.n
}

// usersPath tells one users file from another, however it was spelled.
func (g *Gate) usersPath() string {
	if path, err := filepath.Abs(g.Users); err == nil {
		return path
	}
	return g.Users
}

// usersLen is how many can sign in now: nobody while the file cannot be used.
func (g *Gate) usersLen() int {
	table, err := g.users.Table()
	if err != nil {
		return 0
	}
	return table.Len()
}
