// Package page writes the gate's HTML pages: sign-in, sign-up, the second step,
// the account, sign-out, one to choose a language, and a small one for messages.
// Everything is embedded: templates, stylesheets, scripts, and the texts of each
// language, also of the messages that carry a code. It knows neither HTTP nor
// Caddy.
//
// # What it promises
//
// The pages hold no inline script, no inline style and no data: address, so that
// a policy of default-src 'none' with 'self' for scripts, styles, pictures,
// sound, connections and forms is enough (WEB-3). What visitors typed passes
// html/template and stands in attributes and text only (WEB-5). Addresses that
// come from a [View] are written only if they are paths on this host. A password
// is never written back.
//
// Everything works with plain forms and links. The script gate.js sends the one
// form of a page that may have a captcha by fetch, mends it in place, and renews
// the picture; controls that need it are hidden until it runs. What sign-up, the
// second step and the account have beyond that is in account.js and account.css,
// so that the sign-in page stays small. The two scripts share nothing but an
// event, "reply", which the form sends out for each answer of the server.
//
// # The order of the form
//
// User name, password, picture, answer, "stay signed in", button. User name and
// password stand next to each other and first, because password managers take
// the field before the password for the user name, and because a picture that
// is looked at last is answered while it is fresh. The answer is the last thing
// typed, so that Enter sends the form. In the order of the keyboard the answer
// comes before the links beside the picture, which few people need.
//
// # Changing the looks
//
// A stylesheet is linked after the gate's own and sets the custom properties that
// are listed on top of assets/gate.css and assets/account.css. Templates replace those in templates/ one
// by one, by file name. They are executed on sample data when they are loaded, so
// that a mistake is an error of the configuration and not of a visitor. They see
// the fields of [View] and the methods of the data type in data.go and fields.go;
// start from a copy of the embedded file.
package page

import (
	"fmt"
	"html/template"
	"io"
	"sync"
	"time"
)

// Options are an operator's wishes. The zero value is a page with every built-in
// language and the gate's own looks.
type Options struct {
	// Title is the name of the site, shown above the heading and in the browser's
	// tab. Default: none.
	Title string

	// Logo is a PNG, JPEG, SVG, WebP or GIF file of at most 512 KiB, shown in the
	// place of the gate's mark. It is read once.
	Logo string

	// Stylesheet is a CSS file of at most 256 KiB that is linked after the gate's
	// own. It is read once.
	Stylesheet string

	// Templates is a directory of templates that replace the embedded ones of the
	// same name, at most 256 KiB each. Files of other names are refused, except
	// those that begin with a dot.
	Templates string

	// Contact says whom to ask for help: a text, or a link if it begins with
	// mailto: or https:. Default: none.
	Contact string

	// Languages are the BCP 47 tags of the built-in languages to offer; the first
	// one is used where a browser asks for none of them. Default: all, English
	// first.
	Languages []string

	// Now is the clock that the remaining life of a challenge is counted by.
	// Default: time.Now.
	Now func() time.Time
}

// View is what one page shows. A field that does not concern a page is ignored.
type View struct {
	Lang Lang

	// Prefix is what the browser needs in front of the gate's own paths, such as
	// "/app" where the gate sits inside handle_path; else "".
	Prefix string
	// BasePath, LoginPath and LogoutPath are the gate's own paths without Prefix.
	BasePath, LoginPath, LogoutPath string

	// ReturnTo is where to go after signing in; the caller has checked it.
	ReturnTo string
	// UserName is what was typed in the last try.
	UserName string
	// RememberOffered shows the box "stay signed in"; Remember ticks it.
	RememberOffered, Remember bool
	// HumanOnly leaves out user name and password, and says so in other words.
	HumanOnly bool

	// Code is the contract's code of what went wrong or has happened, "" if
	// nothing did.
	Code string
	// RetryAfter is how long to wait before the next try, in seconds. A sign-in
	// page with a wait and without a Captcha has no form but a link to try again.
	RetryAfter int

	// Errors has the code of what is wrong with each field, by the field's name;
	// for the pages with several things to get wrong: account and sign-up. Code
	// then is "invalid", or one of these codes.
	Errors map[string]string
	// Notice is the code of something that went well, "" if nothing did.
	Notice string

	// FormToken is sent along as form_token by the forms of the account page and
	// of the second step, and by that of sign-up; "" is left out.
	FormToken string

	// SignedInAs is the name of the user, for the pages that tell it.
	SignedInAs string

	// SignUpOffered and AccountOffered show links to these pages: on the sign-in
	// page, and on the sign-out page for who is signed in.
	SignUpOffered, AccountOffered bool

	// Email is the user's address on the account page, and on the sign-up page
	// what was typed in the last try. There EmailAsked shows the field, and
	// EmailNeeded does not let it be empty.
	Email                   string
	EmailAsked, EmailNeeded bool
	// PasswordMin is how many characters a new password has at least; 0 does not
	// tell.
	PasswordMin int

	// Since is when the user signed in; the zero time does not tell.
	Since time.Time
	// ChangeOffered shows the form to change the password.
	ChangeOffered bool
	// Sessions are all of the user's, for the account page.
	Sessions []Session

	// Channel is how the code of the second step is sent: "sms" or "email", and
	// Destination where to, masked.
	Channel, Destination string
	// Digits is how many the code has.
	Digits int
	// SecondsLeft is how long the code is good for; 0 does not tell. ResendIn is
	// how long until another one can be asked for, in seconds.
	SecondsLeft, ResendIn int
	// ForSignUp says that the code confirms the address of a new account.
	ForSignUp bool

	// RefreshURL is the page's own address for a new picture; ListenURL is the same
	// for a sound and has a query, "" as long as there are none.
	RefreshURL, ListenURL string

	// BackURL is the page that a visitor came from to choose a language, and From
	// its name in the links of that page, "" for the sign-in page.
	BackURL, From string

	// Voices are the languages that a sound can be spoken in, and VoiceTag is the
	// one that is chosen. The same list may serve all pages.
	Voices   []Voice
	VoiceTag string
	// WorkOffered offers a puzzle for the device in place of an answer;
	// WorkSilent has the script ask for a challenge with a puzzle at once.
	WorkOffered, WorkSilent bool

	// Captcha is the challenge; nil or one without Token hides the picture and
	// its field. Without Token nothing is to be answered yet.
	Captcha *Captcha
}

// Session is a browser that is signed in.
type Session struct {
	ID string
	// Browser and Network say which one, in words; "" is unknown.
	Browser, Network string
	// Since and Seen are its first and its last visit; the zero time is unknown.
	Since, Seen time.Time
	// Current is the one that looks at the page.
	Current bool
}

// Voice is a language of sounds; Name is what it calls itself.
type Voice struct{ Tag, Name string }

// Captcha is a challenge to show: a picture, or a sound if AudioURL is set.
type Captcha struct {
	Token string
	// ImageURL and AudioURL are paths on this host with the prefix.
	ImageURL string
	AudioURL string
	// Width and Height are the size of the picture in CSS pixels.
	Width, Height int
	ExpiresAt     time.Time
	// Length is how many characters the answer has; 0 does not tell.
	Length int
}

// Site writes the pages. It is safe for concurrent use.
type Site struct {
	title     string
	contact   *Contact
	templates *template.Template
	assets    map[string]Asset  // by public name
	public    map[string]string // public name by plain name, such as "gate.css"
	languages
	now func() time.Time

	ownTemplates bool // the operator has replaced some
	standIn      string
	kept         keptPages
}

// pages are the templates that Render can be asked for; the others are parts.
var pages = []string{"sign-in", "sign-up", "second-step", "account", "sign-out", "message", "language"}

// The embedded templates are the same for every site, which they get with the data. It is
// a test that tries them in every language.
var embedded = sync.OnceValues(func() (*template.Template, error) { return parseTemplates("") })

// New reads the operator's files and tries their templates in every language.
// Errors name the option, the file, and for a template the line.
func New(o Options) (*Site, error) {
	s := &Site{
		title: o.Title, contact: newContact(o.Contact),
		assets: map[string]Asset{}, public: map[string]string{}, now: o.Now,
		ownTemplates: o.Templates != "", standIn: newStandIn(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.languages, err = loadLanguages(o.Languages); err != nil {
		return nil, err
	}
	if err := s.loadAssets(o); err != nil {
		return nil, err
	}
	if !s.ownTemplates {
		s.templates, err = embedded()
		return s, err
	}
	if s.templates, err = parseTemplates(o.Templates); err != nil {
		return nil, err
	}
	if err := s.try(); err != nil {
		return nil, fmt.Errorf("templates: %s: %w", o.Templates, err)
	}
	return s, nil
}

// Render writes a page: "sign-in", "sign-up", "second-step", "account",
// "sign-out", "message" or "language". It fails for an unknown name, for a template of the
// operator's that the sample data did not find out, and for an error of w.
func (s *Site) Render(w io.Writer, name string, v View) error {
	v.Lang = s.known(v.Lang)
	d := s.newData(name, v)
	if s.isKept(d) {
		return s.renderKept(w, d)
	}
	return s.templates.ExecuteTemplate(w, name+".html", d)
}
