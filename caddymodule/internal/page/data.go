package page

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// data is what templates see: the fields of [View], and these methods. Methods
// that return an address return "" where there is none.
type data struct {
	View
	site     *Site
	page     string
	lifetime int // of the challenge, in seconds
}

func (s *Site) newData(name string, v View) *data {
	d := &data{View: v, site: s, page: name}
	if d.Asked() {
		d.lifetime = max(0, int(v.Captcha.ExpiresAt.Sub(s.now())/time.Second))
	}
	return d
}

// T is a text of the page's language.
func (d *data) T(key string) string { return d.site.Text(d.Lang, key) }

// With is a text in which a number stands in the place of {name}.
func (d *data) With(key, name string, number int) string {
	return strings.ReplaceAll(d.T(key), "{"+name+"}", strconv.Itoa(number))
}

// Wait is a text that tells a time, such as "code_valid".
func (d *data) Wait(key string, seconds int) string { return d.site.Text(d.Lang, key, seconds) }

// Title is the operator's name for the site, or "".
func (d *data) Title() string { return d.site.title }

// Contact is whom to ask for help, or nil.
func (d *data) Contact() *Contact { return d.site.contact }

// Asset is the address of one of "gate.css", "gate.js", "work.js", "account.css",
// "account.js", "style.css" (the operator's), "logo" (the operator's) and "icon".
func (d *data) Asset(name string) string {
	public, ok := d.site.public[name]
	if !ok {
		return ""
	}
	return d.own("/assets/" + public)
}

// own is the address of something below the base path.
func (d *data) own(path string) string { return local(d.Prefix + d.BasePath + path) }

// returning is an address that keeps where to go after signing in.
func (d *data) returning(address string) string {
	if address == "" || d.ReturnTo == "" {
		return address
	}
	return address + "?" + url.Values{"rd": {d.ReturnTo}}.Encode()
}

// Extra says that the page needs account.css and account.js.
func (d *data) Extra() bool {
	return d.page == "account" || d.page == "sign-up" || d.page == "second-step"
}

// Styled says that the page needs account.css.
func (d *data) Styled() bool { return d.Extra() || d.Notice != "" || d.page == "language" }

// Language is the word for a language in the page's own.
func (d *data) Language() string {
	for _, b := range builtIn {
		if b.tag == d.Lang {
			return b.word
		}
	}
	return ""
}

// Picker is the address of the page to choose a language on, which leads back to
// this one; "" where there is nothing to choose from, and on that page itself.
func (d *data) Picker() string {
	if len(d.site.tags) < 2 || d.page == "language" {
		return ""
	}
	from := d.page
	if from == "sign-in" || from == "message" {
		from = "" // which stands for the sign-in page, as no address does for a message
	}
	return d.picker(from, "")
}

// picker leaves out what is empty.
func (d *data) picker(from string, choose Lang) string {
	query := url.Values{}
	for name, value := range map[string]string{"from": from, "lang": string(choose), "rd": d.ReturnTo} {
		if value != "" {
			query.Set(name, value)
		}
	}
	address := d.own("/language")
	if len(query) == 0 || address == "" {
		return address
	}
	return address + "?" + query.Encode()
}

// Choice is a language to choose.
type Choice struct {
	Tag Lang
	// Name is what the language calls itself, Direction which way it is written.
	Name, Direction string
	// URL chooses it.
	URL     string
	Current bool
}

// Choices are the languages that the site offers, for the page to choose one on.
func (d *data) Choices() (choices []Choice) {
	for _, b := range builtIn {
		if texts, ok := d.site.texts[b.tag]; ok {
			choices = append(choices, Choice{b.tag, b.name, texts["direction"], d.picker(d.From, b.tag), b.tag == d.Lang})
		}
	}
	return choices
}

// Back is the page that the visitor came from to choose a language.
func (d *data) Back() string { return local(d.BackURL) }

// Login is the address of the sign-in form.
func (d *data) Login() string { return local(d.Prefix + d.LoginPath) }

// SignIn is the sign-in page for a link from another one.
func (d *data) SignIn() string { return d.returning(d.Login()) }

// SignUp is the address of the sign-up page and its form.
func (d *data) SignUp() string { return d.returning(d.own("/sign-up")) }

// SecondStep is the address of the second step and its form.
func (d *data) SecondStep() string { return d.returning(d.own("/second-step")) }

// Resend is where to ask for a new code.
func (d *data) Resend() string { return d.own("/second-step/resend") }

// Account is the address of the account page and its forms.
func (d *data) Account() string { return d.own("/account") }

// Strength is where scripts learn how good a password is.
func (d *data) Strength() string { return d.own("/password-strength") }

// Logout is the address of the sign-out form.
func (d *data) Logout() string { return local(d.Prefix + d.LogoutPath) }

// Challenge is where scripts get a new challenge.
func (d *data) Challenge() string { return d.own("/challenge") }

// Purpose is what the page's form is for. A challenge is good for one purpose.
func (d *data) Purpose() string {
	switch d.page {
	case "account":
		return "change_password"
	case "sign-up":
		return "sign_up"
	case "second-step":
		return "second_step"
	}
	return "login"
}

// Refresh is the page again with a new picture.
func (d *data) Refresh() string { return local(d.RefreshURL) }

// Listen is the page again with a sound.
func (d *data) Listen() string { return local(d.ListenURL) }

// ListenIn is the page again with a sound in another language.
func (d *data) ListenIn(tag string) string {
	if d.Listen() == "" {
		return ""
	}
	return d.Listen() + "&voice=" + url.QueryEscape(tag)
}

// Voice is the language of sounds that is chosen now.
func (d *data) Voice() Voice {
	for _, v := range d.Voices {
		if v.Tag == d.VoiceTag {
			return v
		}
	}
	return Voice{}
}

// Asked says that there is a challenge to answer.
func (d *data) Asked() bool { return d.Captcha != nil && d.Captcha.Token != "" }

// Picture is the address of the picture.
func (d *data) Picture() string {
	if !d.Asked() || d.Sound() != "" {
		return ""
	}
	return local(d.Captcha.ImageURL)
}

// Sound is the address of the sound, if the challenge is one.
func (d *data) Sound() string {
	if !d.Asked() {
		return ""
	}
	return local(d.Captcha.AudioURL)
}

// RoomBeside says that the picture leaves room for something beside it. The
// widest that does has the default width.
func (d *data) RoomBeside() bool {
	return d.Captcha == nil || d.Captcha.Width <= 240
}

// Lifetime is how many seconds the challenge is still good for. Scripts get
// this rather than a time, since a visitor's clock may be wrong.
func (d *data) Lifetime() int { return d.lifetime }

// Closed says that signing in cannot even be tried before RetryAfter.
func (d *data) Closed() bool { return d.Captcha == nil && d.RetryAfter > 0 }

// Heading is the page's heading and the first part of its title.
func (d *data) Heading() string {
	switch d.page {
	case "sign-out":
		return d.T("sign_out")
	case "message":
		return d.T(headingOf(d.Code))
	case "account":
		return d.T("account")
	case "sign-up":
		return d.T("sign_up")
	case "language":
		return d.Language()
	case "second-step":
		if d.Channel == "sms" {
			return d.T("heading_phone")
		}
		return d.T("heading_email")
	}
	if d.HumanOnly {
		return d.T("heading_human")
	}
	return d.T("sign_in")
}

func headingOf(code string) string {
	switch code {
	case "signed_out":
		return "heading_signed_out"
	case "not_found":
		return "heading_not_found"
	case "busy", "throttled", "state_unavailable", "users_unavailable", "sender_unavailable":
		return "heading_unavailable"
	}
	return "heading_problem"
}

// CodeLength is how much can be typed for a code: its digits, and spaces that
// came along.
func (d *data) CodeLength() int { return 2*d.Digits + 4 }

// local lets a path on this host pass and nothing else: no other host, no
// scheme, nothing that a browser would repair into one (WEB-5, RED-3).
func local(address string) string {
	if !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") {
		return ""
	}
	if strings.ContainsFunc(address, func(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f }) {
		return ""
	}
	return address
}

// Contact is whom to ask for help. URL is "" for a plain text.
type Contact struct{ Text, URL string }

func newContact(wish string) *Contact {
	scheme, rest, _ := strings.Cut(wish, ":")
	switch {
	case wish == "":
		return nil
	case strings.EqualFold(scheme, "mailto"):
		address, _, _ := strings.Cut(rest, "?")
		return &Contact{Text: address, URL: wish}
	case strings.EqualFold(scheme, "https"):
		return &Contact{Text: strings.TrimSuffix(strings.TrimPrefix(rest, "//"), "/"), URL: wish}
	}
	return &Contact{Text: wish}
}
