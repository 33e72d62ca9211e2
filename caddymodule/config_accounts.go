package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/password"
)

// AccountsConfig says what users may do with their accounts themselves.
type AccountsConfig struct {
	// Whether users may change their password. Default: true where the users
	// file can be written.
	ChangePassword *bool `json:"change_password,omitempty"`

	// Whether visitors may make accounts for themselves. With a sender for
	// e-mail, the address is confirmed by a code first. Default: false.
	SignUp bool `json:"sign_up,omitempty"`

	// Bounds on sign-ups.
	SignUpLimit *SignUpLimitConfig `json:"sign_up_limit,omitempty"`

	// Whether a new user waits until an operator has approved of it, by `caddy
	// captcha-gate user approve`. Default: false.
	Approval bool `json:"approval,omitempty"`

	// Whether entries that are weak (apr1, {SHA}, a low cost of bcrypt and so on)
	// are written anew with bcrypt when their user signs in. It ends the user's
	// other sessions. Default: false.
	UpgradeHashes bool `json:"upgrade_hashes,omitempty"`

	// The least number of characters of a new password, 8 to 64. Default: 8.
	PasswordMin int `json:"password_min,omitempty"`
}

// SignUpLimitConfig bounds sign-ups.
type SignUpLimitConfig struct {
	// Accounts that one client network may make in a day. Default: 5.
	PerClient int `json:"per_client,omitempty"`

	// How many users the file may have in all. Default: 10000.
	Users int `json:"users,omitempty"`
}

// SecondStepConfig asks for a code after the password, and says how codes reach
// people.
type SecondStepConfig struct {
	// By what codes are sent: "sms" or "email", to the user's number or address
	// in the contacts file. "none" asks for no code at sign-in; senders of e-mail
	// then only confirm the address of a sign-up. A user who has no such contact
	// cannot sign in. Default: none.
	Channel string `json:"channel,omitempty"`

	// What sends. The first that can send by a channel is taken.
	SendersRaw []json.RawMessage `json:"senders,omitempty" caddy:"namespace=http.captcha_gate.senders inline_key=sender"`

	// How many digits a code has, 6 to 10. Default: 6.
	Digits int `json:"digits,omitempty"`

	// How long a code is good, 30s to 10m. Default: 5m.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// How long until another code can be asked for, at least 1s; it doubles with
	// each. Default: 60s.
	Resend caddy.Duration `json:"resend,omitempty"`

	// How many wrong tries end a code, 1 to 10. Default: 5.
	Attempts int `json:"attempts,omitempty"`

	// How many codes are sent.
	Limits *SendLimitsConfig `json:"limits,omitempty"`

	// The calling codes that text messages go to, such as "+49". A number of
	// another country in the contacts file is an error. Default: all.
	Countries []string `json:"countries,omitempty"`
}

// SendLimitsConfig bounds how many codes are sent. Each limit holds twice: for
// codes of sign-ins, and for those of sign-ups, which anybody can ask for.
type SendLimitsConfig struct {
	// To one user. Default: 10 a day.
	User *LimitConfig `json:"user,omitempty"`
	// To one number or address. Default: 5 a day.
	Destination *LimitConfig `json:"destination,omitempty"`
	// For one client network. Default: 20 a day.
	Network *LimitConfig `json:"network,omitempty"`
	// In all. Default: 500 a day.
	Total *LimitConfig `json:"total,omitempty"`
}

const (
	channelNone  = "none"
	channelSMS   = "sms"
	channelEmail = "email"

	// senderNamespace is that of SendersRaw.
	senderNamespace = "http.captcha_gate.senders"

	defaultSignUps  = 5
	defaultMaxUsers = 10_000

	leastDigits, mostDigits = 6, 10
	mostCodeLifetime        = 10 * time.Minute // OTP-1
	mostAttempts            = 10
	day                     = 24 * time.Hour
)

func (c *AccountsConfig) unmarshal(d *caddyfile.Dispenser) error {
	b := block{Dispenser: d, words: map[string]func() error{}}
	b.words["change_password"] = func() error { return b.onOff(&c.ChangePassword) }
	b.words["sign_up"] = func() error { return b.isOn(&c.SignUp) }
	b.words["sign_up_limit"] = func() error {
		c.SignUpLimit = new(SignUpLimitConfig)
		return b.numbers(&c.SignUpLimit.PerClient, &c.SignUpLimit.Users)
	}
	b.words["approval"] = func() error { return b.isOn(&c.Approval) }
	b.words["upgrade_hashes"] = func() error { return b.isOn(&c.UpgradeHashes) }
	b.words["password_min"] = func() error { return b.number(&c.PasswordMin) }
	return b.nested()
}

func (c *SecondStepConfig) unmarshal(b block) error {
	d := b.Dispenser
	if err := b.word(&c.Channel, channelSMS, channelEmail, channelNone); err != nil {
		return err
	}
	b = block{Dispenser: d, words: map[string]func() error{}, repeated: []string{"sender"}}
	b.words["sender"] = func() error { return c.unmarshalSender(b) }
	b.words["digits"] = func() error { return b.number(&c.Digits) }
	b.words["lifetime"] = func() error { return b.positive(&c.Lifetime) }
	b.words["resend"] = func() error { return b.positive(&c.Resend) }
	b.words["attempts"] = func() error { return b.number(&c.Attempts) }
	b.words["limits"] = func() error { c.Limits = new(SendLimitsConfig); return c.Limits.unmarshal(b) }
	b.words["countries"] = func() error { return someTexts(b, &c.Countries) }
	_, err := b.read()
	return err
}

// unmarshalSender reads "sender <module> ...", the rest of which is the module's.
func (c *SecondStepConfig) unmarshalSender(b block) error {
	if !b.NextArg() {
		return b.ArgErr()
	}
	name := b.Val()
	var known []string
	for _, module := range caddy.GetModules(senderNamespace) {
		known = append(known, module.ID.Name())
	}
	if !slices.Contains(known, name) {
		return b.Errf("sender %q: this Caddy has only %s; others are built in with xcaddy", name, strings.Join(known, ", "))
	}
	module, err := caddyfile.UnmarshalModule(b.Dispenser, senderNamespace+"."+name)
	if err != nil {
		return err
	}
	c.SendersRaw = append(c.SendersRaw, caddyconfig.JSONModuleObject(module, "sender", name, nil))
	return nil
}

// unmarshal reads "user=10/1d destination=5/1d network=20/1d total=500/1d", any of
// them.
func (c *SendLimitsConfig) unmarshal(b block) error {
	args := b.RemainingArgs()
	if len(args) == 0 {
		return b.ArgErr()
	}
	limits := map[string]**LimitConfig{"user": &c.User, "destination": &c.Destination, "network": &c.Network, "total": &c.Total}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		to, known := limits[name]
		if !known {
			return b.Errf("unrecognized limit %q: user=<n>/<window>, destination=..., network=... or total=...", arg)
		}
		if *to != nil {
			return b.Errf("limits %s is given twice", name)
		}
		events, window, _ := strings.Cut(value, "/")
		n, err := strconv.Atoi(events)
		w, windowErr := caddy.ParseDuration(window)
		if err != nil || windowErr != nil || n < 1 || w < time.Second {
			return b.Errf("limits %s: %q is not a number and a window of at least 1s, such as 10/1d", name, value)
		}
		*to = &LimitConfig{Events: n, Window: caddy.Duration(w)}
	}
	return b.noBlock("limits")
}

func (c *AccountsConfig) setDefaults() {
	if c.SignUpLimit == nil {
		c.SignUpLimit = new(SignUpLimitConfig)
	}
	orNumber(&c.SignUpLimit.PerClient, defaultSignUps)
	orNumber(&c.SignUpLimit.Users, defaultMaxUsers)
	orNumber(&c.PasswordMin, password.LeastMin)
}

func (c *SecondStepConfig) setDefaults() {
	orText(&c.Channel, channelNone)
	orNumber(&c.Digits, leastDigits)
	if c.Lifetime == 0 {
		c.Lifetime = caddy.Duration(5 * time.Minute)
	}
	if c.Resend == 0 {
		c.Resend = caddy.Duration(time.Minute)
	}
	orNumber(&c.Attempts, 5)
	if c.Limits == nil {
		c.Limits = new(SendLimitsConfig)
	}
	orLimit(&c.Limits.User, 10, day)
	orLimit(&c.Limits.Destination, 5, day)
	orLimit(&c.Limits.Network, 20, day)
	orLimit(&c.Limits.Total, 500, day)
}

func orNumber(to *int, value int) {
	if *to == 0 {
		*to = value
	}
}

// callingCode is the beginning of an E.164 number.
var callingCode = regexp.MustCompile(`^\+[1-9][0-9]{0,6}$`)

// checkAccounts holds what needs nothing but the values themselves.
func (g *Gate) checkAccounts() error {
	a, s := g.Accounts, g.SecondStep
	switch {
	case g.HumanOnly && (a.SignUp || a.UpgradeHashes || a.ChangePassword != nil && *a.ChangePassword):
		return errors.New("accounts: human_only has no accounts")
	case g.HumanOnly && s.Channel != channelNone:
		return errors.New("second_step: human_only has no users to send a code to")
	case a.PasswordMin < password.LeastMin || a.PasswordMin > 64:
		return fmt.Errorf("accounts password_min: %d is not within %d and 64", a.PasswordMin, password.LeastMin)
	case a.SignUpLimit.PerClient < 1 || a.SignUpLimit.Users < 1:
		return errors.New("accounts sign_up_limit: both numbers must be at least 1")
	case a.Approval && !a.SignUp:
		return errors.New("accounts approval: there is nothing to approve of without sign_up on")
	case a.SignUp && s.Channel == channelSMS:
		return errors.New("accounts sign_up: a new user has no phone number that a second_step by sms could go to; use second_step email or none")
	}
	return s.check(g.Contacts)
}

func (c *SecondStepConfig) check(contacts string) error {
	switch {
	case c.Channel != channelSMS && c.Channel != channelEmail && c.Channel != channelNone:
		return fmt.Errorf("second_step: %q is none of sms, email, none", c.Channel)
	case c.Channel != channelNone && len(c.SendersRaw) == 0:
		return errors.New("second_step: needs a sender, such as sender smtp mail.example.com:587 { ... } or sender twilio { ... }")
	case len(c.SendersRaw) > 0 && contacts == "":
		return errors.New("second_step: needs a contacts file")
	case c.Digits < leastDigits || c.Digits > mostDigits:
		return fmt.Errorf("second_step digits: %d is not within %d and %d", c.Digits, leastDigits, mostDigits)
	case time.Duration(c.Lifetime) < 30*time.Second || time.Duration(c.Lifetime) > mostCodeLifetime:
		return fmt.Errorf("second_step lifetime: %v is not within 30s and %v", time.Duration(c.Lifetime), mostCodeLifetime)
	case time.Duration(c.Resend) < time.Second:
		return errors.New("second_step resend: must be at least 1s")
	case c.Attempts < 1 || c.Attempts > mostAttempts:
		return fmt.Errorf("second_step attempts: %d is not within 1 and %d", c.Attempts, mostAttempts)
	}
	for _, country := range c.Countries {
		if !callingCode.MatchString(country) {
			return fmt.Errorf("second_step countries: %q is not a calling code such as +49", country)
		}
	}
	l := c.Limits
	return checkLimits("second_step limits", []namedLimit{
		{"user", l.User}, {"destination", l.Destination}, {"network", l.Network}, {"total", l.Total},
	})
}
