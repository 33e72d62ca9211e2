package page

import (
	"strings"
	"time"
)

// data is what templates see: the fields of [View], and these methods. Methods
// that return an address return "" where there is none.
type data struct {
	View
	site *Site
	page string
}

// T is a text of the page's language.
func (d *data) T(key string) string { return d.site.Text(d.Lang, key) }

// Title is the operator's name for the site, or "".
func (d *data) Title() string { return d.site.title }

// Contact is whom to ask for help, or nil.
func (d *data) Contact() *Contact { return d.site.contact }

// Asset is the address of one of "gate.css", "gate.js", "work.js", "style.css" (the
// operator's), "logo" (the operator's) and "icon".
func (d *data) Asset(name string) string {
	public, ok := d.site.public[name]
	if !ok {
		return ""
	}
	return local(d.Prefix + d.BasePath + "/assets/" + public)
}

// Login is the address of the sign-in form.
func (d *data) Login() string { return local(d.Prefix + d.LoginPath) }

// Logout is the address of the sign-out form.
func (d *data) Logout() string { return local(d.Prefix + d.LogoutPath) }

// Challenge is where scripts get a new challenge.
func (d *data) Challenge() string { return local(d.Prefix + d.BasePath + "/challenge") }

// Refresh is the page again with a new picture.
func (d *data) Refresh() string { return local(d.RefreshURL) }

// Listen is the page again with a sound.
func (d *data) Listen() string { return local(d.ListenURL) }

// Local is a path on this host, "" for everything else.
func (d *data) Local(address string) string { return local(address) }

// Voice is the language of sounds that is chosen now.
func (d *data) Voice() (chosen Voice) {
	for _, v := range d.Voices {
		if v.Current {
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
func (d *data) Lifetime() int {
	if !d.Asked() {
		return 0
	}
	return max(0, int(d.Captcha.ExpiresAt.Sub(d.site.now())/time.Second))
}

// Closed says that signing in cannot even be tried before RetryAfter.
func (d *data) Closed() bool { return d.Captcha == nil && d.RetryAfter > 0 }

// Heading is the page's heading and the first part of its title.
func (d *data) Heading() string {
	switch d.page {
	case "sign-out":
		return d.T("sign_out")
	case "message":
		return d.T(headingOf(d.Code))
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
	case "busy", "throttled", "state_unavailable", "users_unavailable":
		return "heading_unavailable"
	}
	return "heading_problem"
}

// Message is the text for Code, or "" if there is none.
func (d *data) Message() string {
	if d.Code == "" {
		return ""
	}
	return d.site.Text(d.Lang, d.Code, d.RetryAfter)
}

// ErrorAt is the message if it belongs to a place: "answer", "password", or
// "form" for everything else. It does not tell which of user name and password
// is wrong, and stands at the password, which has to be typed again (CRD-9).
func (d *data) ErrorAt(place string) string {
	if place != d.place() {
		return ""
	}
	return d.Message()
}

func (d *data) place() string {
	if d.Asked() && strings.HasPrefix(d.Code, "captcha_") {
		return "answer"
	}
	if d.Code == "credentials_wrong" && !d.HumanOnly {
		return "password"
	}
	return "form"
}

// Focus says whether to begin at a place: the field to mend, a message that
// concerns the form, or the first empty field.
func (d *data) Focus(place string) bool {
	switch {
	case d.Code != "":
		return place == d.place()
	case d.HumanOnly:
		return place == "answer"
	case d.UserName != "":
		return place == "password"
	}
	return place == "username"
}

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
