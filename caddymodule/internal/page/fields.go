package page

import (
	"slices"
	"strings"
)

// field is a place in a form that can be wrong. The codes that begin with its
// own belong to it, which the templates tell the script as well (data-code); ""
// is none.
type field struct{ name, codes string }

// fields are the fields of each page that can be wrong, from top to bottom.
// On the sign-in page nothing tells which of user name and password is wrong,
// and the message stands at the password, which has to be typed again (CRD-9).
var fields = map[string][]field{
	"sign-in":     {{"username", ""}, {"password", "credentials_wrong"}, {"answer", "captcha_"}},
	"sign-up":     {{"username", "username_"}, {"email", "email_"}, {"password", "password_"}, {"confirm_password", "passwords_differ"}, {"answer", "captcha_"}},
	"account":     {{"current_password", "credentials_wrong"}, {"new_password", "password_"}, {"confirm_password", "passwords_differ"}, {"answer", "captcha_"}},
	"second-step": {{"code", "second_step_"}},
}

// shown are the fields that the page has this time.
func (d *data) shown() (list []field) {
	for _, f := range fields[d.page] {
		there := true
		switch {
		case f.name == "answer":
			there = d.Asked()
		case f.name == "email":
			there = d.EmailAsked
		case d.page == "account":
			there = d.ChangeOffered
		case d.page == "sign-in":
			there = !d.HumanOnly
		}
		if there {
			list = append(list, f)
		}
	}
	return list
}

// Codes is what the codes that belong to a field begin with.
func (d *data) Codes(name string) string {
	i := slices.IndexFunc(fields[d.page], func(f field) bool { return f.name == name })
	if i < 0 {
		return ""
	}
	return fields[d.page][i].codes
}

// Message is the text for Code, or "" if there is none.
func (d *data) Message() string { return d.told(d.Code) }

// told is the text for a code on this page.
func (d *data) told(code string) string {
	switch {
	case code == "":
		return ""
	case code == "credentials_wrong" && d.page == "account":
		return d.T("current_password_wrong") // nobody typed a user name
	}
	return d.site.Text(d.Lang, code, d.RetryAfter)
}

// wrong is the code of Errors for a field.
func (d *data) wrong(name string) string {
	if name == "answer" {
		name = "captcha_answer"
	}
	return d.Errors[name]
}

// ErrorAt is what is wrong at a place: the name of a field, "answer" for that of
// the captcha, or "form" for everything else.
func (d *data) ErrorAt(place string) string {
	if code := d.wrong(place); code != "" {
		return d.told(code)
	}
	if place != d.place() {
		return ""
	}
	return d.Message()
}

// place is where Code is told.
func (d *data) place() string {
	for _, f := range d.shown() {
		if f.codes != "" && strings.HasPrefix(d.Code, f.codes) || d.Code != "" && d.Code == d.wrong(f.name) {
			return f.name
		}
	}
	return "form"
}

// Focus says whether to begin at a place: the first field to mend, a message
// that concerns the form, or the first empty field.
func (d *data) Focus(place string) bool { return place == d.begin() }

func (d *data) begin() string {
	for _, f := range d.shown() {
		if d.ErrorAt(f.name) != "" {
			return f.name
		}
	}
	if d.Code != "" {
		return "form"
	}
	switch {
	case d.page == "second-step":
		return "code"
	case d.Extra() && d.Notice != "":
		return "notice"
	case d.page == "account":
		return "" // there is something to read first
	case d.HumanOnly && d.page == "sign-in":
		return "answer"
	case d.UserName == "":
		return "username"
	case d.page == "sign-up" && d.EmailAsked && d.Email == "":
		return "email"
	}
	return "password"
}

// secret is a field for a password, as secret.html sees it.
type secret struct {
	*data
	Name, Label, Autocomplete string
	// Missing and Wrong are told by the script where the field is empty or its
	// content cannot be right.
	Missing, Wrong string
	// Chosen is a password that is made up here, of at least Min characters.
	Chosen bool
	Min    int
}

// Secret is a field for a password: "current_password", "confirm_password", or
// one for a password that is chosen.
func (d *data) Secret(name string) secret {
	s := secret{data: d, Name: name, Autocomplete: "new-password"}
	switch name {
	case "current_password":
		s.Label, s.Missing, s.Autocomplete = d.T("current_password"), d.T("password_missing"), "current-password"
	case "confirm_password":
		s.Label, s.Missing, s.Wrong = d.T("confirm_password"), d.T("confirm_missing"), d.T("passwords_differ")
	default:
		s.Label, s.Missing, s.Wrong = d.T("password"), d.T("new_password_missing"), d.T("password_too_short")
		if name == "new_password" {
			s.Label = d.T("new_password")
		}
		s.Chosen, s.Min = true, d.PasswordMin
	}
	return s
}
