package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// parseTemplates parses the embedded templates, and those of a directory in
// place of the ones of the same name.
func parseTemplates(dir string) (*template.Template, error) {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	replaced, err := readTemplates(dir, names)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	set := template.New("page")
	for _, name := range names {
		text, ok := replaced[name]
		if !ok {
			own, err := templateFiles.ReadFile("templates/" + name)
			if err != nil {
				return nil, err
			}
			text = string(own)
		}
		if _, err := set.New(name).Parse(text); err != nil {
			return nil, fmt.Errorf("templates: %s: %w", filepath.Join(dir, name), err)
		}
	}
	return set, nil
}

// readTemplates reads the operator's templates. A name that is not known would
// never be used, so it is a mistake. Names with a dot in front are not: editors
// and Kubernetes put such files beside those they manage.
func readTemplates(dir string, known []string) (map[string]string, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s: unknown name; a template is one of %s", filepath.Join(dir, name), strings.Join(known, ", "))
		}
		text, err := readBounded(filepath.Join(dir, name), maxText)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, fmt.Errorf("%s: empty", filepath.Join(dir, name))
		}
		texts[name] = string(text)
	}
	return texts, nil
}

// try executes every page on sample data of every kind, so that what can go
// wrong with a template goes wrong now. Languages differ in their words alone, so
// that beyond the first one sample of each page is enough. The first execution
// also lets html/template work out the escaping, once and for all.
func (s *Site) try() error {
	views, accountViews := samples(s.now())
	for _, name := range pages {
		list := views
		if (&data{page: name}).Extra() {
			list = accountViews
		}
		for i, lang := range s.tags {
			tried := list
			if i > 0 {
				tried = list[i%len(list):][:1]
			}
			for _, v := range tried {
				v.Lang = lang
				if err := s.Render(io.Discard, name, v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// samples has a view for each branch of a page; the second list is for the
// pages of sign-up, the second step and the account.
func samples(now time.Time) (views, accountViews []View) {
	picture := &Captcha{Token: "token", ImageURL: "/gate/challenge/token.png", Width: 240, Height: 80, ExpiresAt: now, Length: 5}
	sound := &Captcha{Token: "token", AudioURL: "/gate/challenge/token.wav", Width: 240, Height: 80, ExpiresAt: now}
	base := View{BasePath: "/gate", LoginPath: "/login", LogoutPath: "/logout", RefreshURL: "/login", BackURL: "/login"}
	base.Voices, base.VoiceTag = []Voice{{Tag: "en", Name: "English"}, {Tag: "de", Name: "Deutsch"}}, "en"
	for _, captcha := range []*Captcha{nil, picture, sound} {
		for _, humanOnly := range []bool{false, true} {
			for _, code := range []string{"", "captcha_wrong", "credentials_wrong", "throttled"} {
				v := base
				v.HumanOnly, v.Captcha, v.Code = humanOnly, captcha, code
				if code != "" {
					v.Prefix, v.ListenURL, v.RetryAfter, v.RememberOffered, v.Remember = "/app", "/login?kind=audio", 30, true, true
					v.ReturnTo, v.UserName, v.SignedInAs = "/wiki", "alice", "alice"
					v.SignUpOffered, v.AccountOffered = true, true
					v.From, v.BackURL = "sign-up", "/app/gate/sign-up"
				}
				views = append(views, v)
			}
		}
		accountViews = append(accountViews, accountSamples(base, captcha, now)...)
	}
	told := base
	told.Notice = "signed_up"
	return append(views, told), accountViews
}

// accountSamples are a visitor about whom nothing is known, one about whom
// everything is, one who got everything wrong, and one who is done.
func accountSamples(base View, captcha *Captcha, now time.Time) []View {
	base.Captcha = captcha
	full := base
	full.SignedInAs, full.UserName, full.Email, full.ReturnTo, full.FormToken = "alice", "alice", "alice@example.com", "/wiki", "token"
	full.Prefix, full.WorkOffered, full.WorkSilent, full.ListenURL = "/app", true, true, "/gate/account?kind=audio"
	full.ChangeOffered, full.EmailAsked, full.EmailNeeded, full.PasswordMin, full.Since = true, true, true, 15, now
	full.Sessions = []Session{{ID: "1", Browser: "Firefox", Network: "192.0.2.0/24", Since: now, Seen: now, Current: true}, {ID: "2"}}
	full.Channel, full.Destination, full.Digits, full.SecondsLeft, full.ResendIn = "sms", "+49 12", 6, 600, 60

	wrong := full
	wrong.Code, wrong.RetryAfter, wrong.Channel, wrong.ForSignUp, wrong.EmailNeeded = "invalid", 30, "email", true, false
	wrong.Errors = map[string]string{
		"username": "username_taken", "email": "email_invalid", "password": "password_too_short", "code": "second_step_wrong",
		"new_password": "password_too_short", "confirm_password": "passwords_differ", "captcha_answer": "captcha_wrong",
	}
	done := base
	done.Notice = "password_changed"
	return []View{base, full, wrong, done}
}
