package caddymodule

import (
	"runtime"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// CaptchaConfig sets how challenges are made.
type CaptchaConfig struct {
	// When a captcha is asked for: "always", or "suspicious": from the first
	// recent failure of the network or the user, of a known device, or when the
	// whole site sees many. It then rises with the failures from easy to hard,
	// level being the least, and with it the proof of work. Default: always.
	When string `json:"when,omitempty"`

	// How many characters a picture shows, 4 to 8. Default: 5.
	Length int `json:"length,omitempty"`

	// The characters that pictures show, letters and digits that nobody takes
	// for one another; judged without regard to case. The alphabet and the
	// length must leave at least 100,000 answers. Default: ACDEFHJKLMPRTUWXY39.
	Alphabet string `json:"alphabet,omitempty"`

	// How long a challenge can be answered, 1s to 1h. Default: 5m.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// Width of the picture in CSS pixels, 120 to 600, and at least 24 for each
	// character. Default: 240.
	Width int `json:"width,omitempty"`

	// Height of the picture in CSS pixels, 40 to 240. Default: 80.
	Height int `json:"height,omitempty"`

	// What a challenge is bound to beside the browser that asked for it:
	// "network" (IPv4 /24, IPv6 /56), "address", or "off". Default: network.
	Bind string `json:"bind,omitempty"`

	// Whether a visitor can hear digits instead of reading a picture. Default:
	// true.
	Audio *bool `json:"audio,omitempty"`

	// How hard pictures and sounds are: "easy", "normal" or "hard". Default:
	// normal; easy when suspicious.
	Level string `json:"level,omitempty"`

	// A proof of work that the browser does while the visitor types, as the time
	// it takes a slow phone, 100ms to 2m. Without JavaScript the picture is hard
	// instead. 0 asks for none. Default: none; 1s when suspicious.
	Work *caddy.Duration `json:"work,omitempty"`

	// A proof of work in place of an answer, for visitors who can use neither
	// picture nor sound (WCAG 2.2, 3.3.8), as the time it takes a slow phone,
	// 100ms to 2m; 0 offers none. Default: 15s.
	WorkAlone *caddy.Duration `json:"work_alone,omitempty"`

	// What is drawn over and under the characters.
	Noise *NoiseConfig `json:"noise,omitempty"`
}

// NoiseConfig says what is drawn over and under the characters of a picture. A
// field left out keeps its default, which depends on the level.
type NoiseConfig struct {
	// Curved lines, 0 to 50.
	Lines *int `json:"lines,omitempty"`
	// Dots, 0 to 500.
	Dots *int `json:"dots,omitempty"`
	// Arcs, 0 to 50.
	Arcs *int `json:"arcs,omitempty"`
	// "bands": colours change across characters, which does not show programs
	// where one ends. "character": each has one of its own, the look that people
	// expect. Default: bands.
	Colour string `json:"colour,omitempty"`
}

// SessionConfig sets how long visitors stay signed in, and the cookie.
type SessionConfig struct {
	// The absolute lifetime of a session. Default: 12h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// A session that is not used for so long ends; 0 never does. Sessions of
	// visitors who asked to stay signed in have no idle limit. Default: 1h.
	Idle *caddy.Duration `json:"idle,omitempty"`

	// The lifetime of a session whose visitor ticked "stay signed in"; 0 hides
	// the box. Default: 720h (30 days).
	Remember *caddy.Duration `json:"remember,omitempty"`

	// The session cookie's name, to which a prefix is added over HTTPS.
	// Default: captcha_gate.
	CookieName string `json:"cookie_name,omitempty"`

	// Widens the cookies to a domain and all its hosts. Default: this host only.
	CookieDomain string `json:"cookie_domain,omitempty"`
}

// LimitConfig is a number of events in a window of time.
type LimitConfig struct {
	// How many events.
	Events int `json:"events,omitempty"`
	// In how long.
	Window caddy.Duration `json:"window,omitempty"`
}

// ThrottleConfig bounds attempts and work.
type ThrottleConfig struct {
	// Failed sign-ins per client network (an IPv4 address, an IPv6 /64).
	// Default: 20 in 10m.
	Client *LimitConfig `json:"client,omitempty"`

	// Failed sign-ins per user name, known or not. Default: 10 in 10m.
	User *LimitConfig `json:"user,omitempty"`

	// Challenges made per client network. Default: 60 in 1m.
	Issue *LimitConfig `json:"issue,omitempty"`

	// Password hashes at a time; the rest waits. Default: GOMAXPROCS-1, at least 1.
	Hashing int `json:"hashing,omitempty"`
}

// IdentityConfig names the headers that tell the upstream who is signed in.
type IdentityConfig struct {
	// The header with the user's name. Default: Remote-User.
	User string `json:"user,omitempty"`

	// The header with the user's e-mail address; what clients send under this
	// name is removed. Default: Remote-Email.
	Email string `json:"email,omitempty"`
}

// PageConfig changes the looks of the gate's page. Placeholders are expanded at
// load in every field.
type PageConfig struct {
	// The name shown above the form and in the browser's tab.
	Title string `json:"title,omitempty"`

	// A picture file shown above the form: PNG, JPEG, SVG, WebP or GIF.
	Logo string `json:"logo,omitempty"`

	// A CSS file linked after the gate's own.
	Stylesheet string `json:"stylesheet,omitempty"`

	// A directory whose HTML templates replace the gate's own of the same name.
	Templates string `json:"templates,omitempty"`

	// Whom to ask for help: a text, or a mailto: or https: address.
	Contact string `json:"contact,omitempty"`

	// The languages offered, as BCP 47 tags; the first one is used where a
	// browser asks for none of them and nobody chose one. Default: all that are
	// built in.
	Languages []string `json:"languages,omitempty"`
}

// Defaults of the contract that are not a library's own.
const (
	defaultRealm      = "default"
	defaultLogin      = "/login"
	defaultLogout     = "/logout"
	defaultBasePath   = "/captcha-gate"
	defaultLanding    = "/"
	defaultCookieName = "captcha_gate"

	bindNetwork = "network"
	bindAddress = "address"
	bindOff     = "off"

	whenAlways     = "always"
	whenSuspicious = "suspicious"

	colourBands     = "bands"
	colourCharacter = "character"

	storeLocal  = "local"
	storeMemory = "memory"
	storeRedis  = "redis"
)

func (g *Gate) setDefaults() {
	orText(&g.Realm, defaultRealm)
	orText(&g.Logout, defaultLogout)
	orText(&g.BasePath, defaultBasePath)
	orText(&g.Landing, defaultLanding)
	if len(g.Login) == 0 {
		g.Login = []string{defaultLogin}
	}

	if g.Captcha == nil {
		g.Captcha = new(CaptchaConfig)
	}
	g.Captcha.setDefaults()

	if g.Session == nil {
		g.Session = new(SessionConfig)
	}
	if g.Session.Lifetime == 0 {
		g.Session.Lifetime = caddy.Duration(12 * time.Hour)
	}
	orDuration(&g.Session.Idle, time.Hour)
	orDuration(&g.Session.Remember, 30*24*time.Hour)
	orText(&g.Session.CookieName, defaultCookieName)

	if g.Throttle == nil {
		g.Throttle = new(ThrottleConfig)
	}
	orLimit(&g.Throttle.Client, 20, 10*time.Minute)
	orLimit(&g.Throttle.User, 10, 10*time.Minute)
	orLimit(&g.Throttle.Issue, 60, time.Minute)
	if g.Throttle.Hashing == 0 {
		g.Throttle.Hashing = max(1, runtime.GOMAXPROCS(0)-1)
	}

	if g.State == nil {
		g.State = new(StateConfig)
	}
	orText(&g.State.Store, storeLocal)
	if g.Identity == nil {
		g.Identity = new(IdentityConfig)
	}
	if g.Page == nil {
		g.Page = new(PageConfig)
	}
	if g.Accounts == nil {
		g.Accounts = new(AccountsConfig)
	}
	g.Accounts.setDefaults()
	if g.SecondStep == nil {
		g.SecondStep = new(SecondStepConfig)
	}
	g.SecondStep.setDefaults()
}

func (c *CaptchaConfig) setDefaults() {
	orText(&c.Bind, bindNetwork)
	if c.Width == 0 {
		c.Width = 240
	}
	if c.Height == 0 {
		c.Height = 80
	}
	if c.Audio == nil {
		on := true
		c.Audio = &on
	}
	orText(&c.When, whenAlways)
	if c.When == whenSuspicious {
		orText(&c.Level, captcha.Easy.String())
		orDuration(&c.Work, time.Second)
	}
	orText(&c.Level, captcha.Normal.String())
	orDuration(&c.Work, 0)
	orDuration(&c.WorkAlone, 15*time.Second)
}

func orText(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

func orDuration(to **caddy.Duration, value time.Duration) {
	if *to == nil {
		d := caddy.Duration(value)
		*to = &d
	}
}

func orLimit(to **LimitConfig, events int, window time.Duration) {
	if *to == nil {
		*to = &LimitConfig{Events: events, Window: caddy.Duration(window)}
	}
}
