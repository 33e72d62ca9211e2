package page

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// account returns the view of these pages with changes.
func account(change func(*View)) View {
	v := accountView()
	change(&v)
	return v
}

// sent are the fields that a form sends without a script, by name, and where to.
func sent(t *testing.T, form *html.Node) (action string, fields map[string]string) {
	t.Helper()
	wantAttr(t, form, "method", "post")
	action, _ = attr(form, "action")
	fields = map[string]string{}
	buttons := 0
	for n := range form.Descendants() {
		if kind, _ := attr(n, "type"); n.Data == "button" && kind == "submit" {
			buttons++
		}
		name, ok := attr(n, "name")
		if !ok {
			continue
		}
		if _, twice := fields[name]; twice {
			t.Errorf("field %s twice", name)
		}
		fields[name], _ = attr(n, "value")
	}
	if buttons != 1 {
		t.Errorf("%d buttons to send the form to %s", buttons, action)
	}
	return action, fields
}

func (d document) forms() []*html.Node {
	var forms []*html.Node
	for _, n := range d {
		if n.Data == "form" {
			forms = append(forms, n)
		}
	}
	return forms
}

func wantFields(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if is, ok := got[name]; !ok || is != value {
			t.Errorf("field %s = %q (there: %v), want %q", name, is, ok, value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("field %s is sent", name)
		}
	}
}

// captchaFields are what the part with the captcha sends without an answer.
func captchaFields(v View, others map[string]string) map[string]string {
	others["captcha_token"], others["captcha_work"], others["captcha_answer"] = v.Captcha.Token, "", ""
	return others
}

func TestWithoutScriptTheAccountIsWhole(t *testing.T) {
	v := account(func(v *View) { v.Prefix, v.ReturnTo = "/app", "" })
	d := parse(t, render(t, newSite(t, Options{}), "account", v))
	forms := d.forms()
	if len(forms) != 5 {
		t.Fatalf("%d forms", len(forms))
	}
	if action, fields := sent(t, forms[0]); action != "/app/logout" {
		t.Errorf("the first form is for %s and sends %v", action, fields)
	}
	for i, want := range []map[string]string{
		{"action": "end_session", "session": "s2", "form_token": "form-token"},
		{"action": "end_session", "session": "s3", "form_token": "form-token"},
		{"action": "end_others", "form_token": "form-token"},
		captchaFields(v, map[string]string{
			"action": "change_password", "form_token": "form-token", "username": "alice",
			"current_password": "", "new_password": "", "confirm_password": "",
		}),
	} {
		action, fields := sent(t, forms[i+1])
		if action != "/app/captcha-gate/account" {
			t.Errorf("form %d is for %s", i+1, action)
		}
		wantFields(t, fields, want)
	}
	for _, n := range d.all("hidden") {
		id, _ := attr(n, "id")
		name, _ := attr(n, "name")
		label, _ := attr(n, "aria-label")
		if name != "username" && id != "strength" && id != "neither" && label != "Show password" && text(n) != "Caps Lock is on." {
			t.Errorf("<%s id=%s> is hidden without script", n.Data, id)
		}
	}
	wantAttr(t, d.must(t, "id", "strength"), "data-address", "/app/captcha-gate/password-strength")
}

func TestWithoutScriptSignUpIsWhole(t *testing.T) {
	v := account(func(v *View) { v.Prefix, v.UserName = "/app", "alice" })
	d := parse(t, render(t, newSite(t, Options{}), "sign-up", v))
	forms := d.forms()
	if len(forms) != 1 {
		t.Fatalf("%d forms", len(forms))
	}
	action, fields := sent(t, forms[0])
	if want := "/app/captcha-gate/sign-up?rd=%2Fwiki%3Fpage%3D1"; action != want {
		t.Errorf("the form is for %s, want %s", action, want)
	}
	wantFields(t, fields, captchaFields(v, map[string]string{
		"rd": "/wiki?page=1", "form_token": "form-token", "username": "alice", "email": "alice@example.com", "password": "", "confirm_password": "",
	}))
	wantAttr(t, d.must(t, "class", "quiet"), "href", "/app/login?rd=%2Fwiki%3Fpage%3D1")
}

func TestWithoutScriptTheSecondStepIsWhole(t *testing.T) {
	s := newSite(t, Options{})
	v := account(func(v *View) { v.Prefix = "/app" })
	d := parse(t, render(t, s, "second-step", v))
	forms := d.forms()
	if len(forms) != 2 {
		t.Fatalf("%d forms", len(forms))
	}
	action, fields := sent(t, forms[0])
	if want := "/app/captcha-gate/second-step?rd=%2Fwiki%3Fpage%3D1"; action != want {
		t.Errorf("the form is for %s, want %s", action, want)
	}
	wantFields(t, fields, map[string]string{"rd": "/wiki?page=1", "form_token": "form-token", "code": ""})
	if action, fields = sent(t, forms[1]); action != "/app/captcha-gate/second-step/resend" {
		t.Errorf("a new code is asked for at %s", action)
	}
	wantFields(t, fields, map[string]string{"rd": "/wiki?page=1", "form_token": "form-token"})
	for n := range forms[1].Descendants() {
		if _, disabled := attr(n, "disabled"); disabled {
			t.Error("without script nobody could switch the button on again")
		}
	}
	wantAttr(t, d.must(t, "class", "quiet"), "href", "/app/login?rd=%2Fwiki%3Fpage%3D1")
	v.ForSignUp = true
	wantAttr(t, parse(t, render(t, s, "second-step", v)).must(t, "class", "quiet"), "href", "/app/captcha-gate/sign-up?rd=%2Fwiki%3Fpage%3D1")
}

func TestWithoutFormTokenOrReturnTheFieldsAreLeftOut(t *testing.T) {
	s := newSite(t, Options{})
	for _, name := range []string{"sign-up", "account", "second-step"} {
		d := parse(t, render(t, s, name, account(func(v *View) { v.FormToken, v.ReturnTo = "", "" })))
		if d.find("name", "form_token") != nil || d.find("name", "rd") != nil {
			t.Errorf("%s has empty fields", name)
		}
		for _, form := range d.forms() {
			if action, _ := attr(form, "action"); strings.Contains(action, "?") {
				t.Errorf("%s: a form for %s", name, action)
			}
		}
	}
}

func TestCRD13_PasswordManagersKnowTheAccountPages(t *testing.T) {
	s := newSite(t, Options{})
	for page, want := range map[string]map[string]string{
		"account":     {"username": "username", "current_password": "current-password", "new_password": "new-password", "confirm_password": "new-password"},
		"sign-up":     {"username": "username", "email": "email", "password": "new-password", "confirm_password": "new-password"},
		"second-step": {"code": "one-time-code"},
	} {
		d := parse(t, render(t, s, page, accountView()))
		for name, hint := range want {
			field := d.must(t, "name", name)
			wantAttr(t, field, "autocomplete", hint)
			if !strings.Contains(hint, "password") {
				continue
			}
			wantAttr(t, field, "type", "password")
			if value, ok := attr(field, "value"); ok {
				t.Errorf("%s: %s has a value %q", page, name, value)
			}
			if least, _ := attr(field, "minlength"); (least == "15") != (name == "password" || name == "new_password") {
				t.Errorf("%s: %s wants %q characters", page, name, least)
			}
			if _, most := attr(field, "maxlength"); most {
				t.Errorf("%s: %s would cut what is pasted", page, name)
			}
		}
	}
	code := parse(t, render(t, s, "second-step", accountView())).must(t, "name", "code")
	wantAttr(t, code, "inputmode", "numeric")
	wantAttr(t, code, "pattern", "[0-9 ]*")
	wantAttr(t, code, "maxlength", "16")
}

func TestEachFieldSaysWhatIsWrongWithIt(t *testing.T) {
	s := newSite(t, Options{})
	for page, c := range map[string]struct {
		errors map[string]string
		focus  string
	}{
		"sign-up": {map[string]string{
			"username": "username_taken", "email": "email_invalid", "password": "password_too_short",
			"confirm_password": "passwords_differ", "captcha_answer": "captcha_wrong",
		}, "username"},
		"account": {map[string]string{
			"current_password": "password_missing", "new_password": "password_unchanged", "confirm_password": "passwords_differ", "captcha_answer": "captcha_required",
		}, "current_password"},
		"second-step": {map[string]string{"code": "second_step_wrong"}, "code"},
	} {
		d := parse(t, render(t, s, page, account(func(v *View) { v.Code, v.Errors = "invalid", c.errors })))
		for name, code := range c.errors {
			field := d.must(t, "name", name)
			id, _ := attr(field, "id")
			wantAttr(t, field, "aria-invalid", "true")
			described, _ := attr(field, "aria-describedby")
			if !slices.Contains(strings.Fields(described), id+"-error") {
				t.Errorf("%s: %s is described by %q", page, name, described)
			}
			slot := d.must(t, "id", id+"-error")
			wantAttr(t, slot, "role", "alert")
			if got := text(slot); got != s.Text("en", code) {
				t.Errorf("%s: at %s: %q", page, name, got)
			}
		}
		form := "form-error"
		if page == "account" {
			form = "page-error"
		}
		if got := text(d.must(t, "id", form)); got != s.Text("en", "invalid") {
			t.Errorf("%s: above the form: %q", page, got)
		}
		focus := d.all("autofocus")
		if len(focus) != 1 {
			t.Fatalf("%s: %d elements want the focus", page, len(focus))
		}
		wantAttr(t, focus[0], "id", c.focus)
	}
}

// The code of a reply without errors is told at the field it belongs to, by the
// page and by the script, which looks at data-code.
func TestCodesAreToldAtTheirFieldByPageAndScript(t *testing.T) {
	s := newSite(t, Options{})
	for page, places := range map[string]map[string]string{
		"sign-up": {
			"username_taken": "username", "username_invalid": "username", "username_reserved": "username", "username_missing": "username",
			"email_invalid": "email", "email_missing": "email", "password_too_short": "password", "password_too_long": "password",
			"password_too_common": "password", "password_like_name": "password", "password_missing": "password",
			"password_unchanged": "password", "passwords_differ": "confirm_password",
			"captcha_wrong": "answer", "captcha_expired": "answer", "captcha_required": "answer",
		},
		"account": {
			"credentials_wrong": "current_password", "password_too_short": "new_password", "password_too_common": "new_password",
			"password_like_name": "new_password", "password_too_long": "new_password", "password_unchanged": "new_password",
			"password_missing": "new_password", "passwords_differ": "confirm_password",
			"captcha_wrong": "answer", "captcha_expired": "answer", "captcha_required": "answer",
		},
		"second-step": {"second_step_wrong": "code", "second_step_expired": "code", "second_step_required": "code"},
	} {
		for _, code := range codes {
			d := parse(t, render(t, s, page, account(func(v *View) { v.Code = code })))
			byScript, byPage := "", ""
			for _, n := range d.all("data-code") {
				id, _ := attr(n, "id")
				if codes, _ := attr(n, "data-code"); codes != "" && strings.HasPrefix(code, codes) {
					byScript = id
				}
				if text(d.must(t, "id", id+"-error")) != "" {
					byPage = id
				}
			}
			if want := places[code]; byPage != want || byScript != want {
				t.Errorf("%s: %s is told at %q by the page, at %q by the script, want %q", page, code, byPage, byScript, want)
			}
		}
	}
}

func TestErrorOfAFieldIsNotToldTwice(t *testing.T) {
	s := newSite(t, Options{})
	d := parse(t, render(t, s, "sign-up", account(func(v *View) {
		v.Code, v.Errors = "sign_up_full", map[string]string{"username": "sign_up_full"}
	})))
	if text(d.must(t, "id", "form-error")) != "" || text(d.must(t, "id", "username-error")) == "" {
		t.Error("the message is not at the field alone")
	}
}

func TestMessageIsNotLostWhereItsFieldIsNotShown(t *testing.T) {
	s := newSite(t, Options{})
	for page, c := range map[string]struct {
		code, at string
		change   func(*View)
	}{
		"account": {"credentials_wrong", "page-error", func(v *View) { v.ChangeOffered = false }},
		"sign-up": {"email_invalid", "form-error", func(v *View) { v.EmailAsked = false }},
	} {
		d := parse(t, render(t, s, page, account(func(v *View) { v.Code = c.code; c.change(v) })))
		if text(d.must(t, "id", c.at)) == "" {
			t.Errorf("%s: %s is lost", page, c.code)
		}
	}
	d := parse(t, render(t, s, "sign-up", account(func(v *View) { v.Code, v.Captcha = "captcha_required", &Captcha{} })))
	if text(d.must(t, "id", "form-error")) == "" {
		t.Error("sign-up: captcha_required is lost")
	}
}

// Nobody typed a user name there.
func TestWrongCurrentPasswordIsToldInItsOwnWords(t *testing.T) {
	s := newSite(t, Options{})
	want := s.Text("en", "current_password_wrong")
	for _, v := range []View{
		account(func(v *View) { v.Code = "credentials_wrong" }),
		account(func(v *View) {
			v.Code, v.Errors = "invalid", map[string]string{"current_password": "credentials_wrong"}
		}),
	} {
		d := parse(t, render(t, s, "account", v))
		if got := text(d.must(t, "id", "current_password-error")); got != want {
			t.Errorf("message %q, want %q", got, want)
		}
		wantAttr(t, d.must(t, "id", "notice"), "data-credentials_wrong", want)
	}
}

func TestFocusOfTheAccountPages(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct {
		page, want string
		change     func(*View)
	}{
		{"account", "", func(*View) {}},
		{"account", "notice", func(v *View) { v.Notice = "password_changed" }},
		{"account", "page-error", func(v *View) { v.Code = "form_expired" }},
		{"second-step", "code", func(*View) {}},
		{"second-step", "code", func(v *View) { v.Notice = "code_sent" }},
		{"second-step", "form-error", func(v *View) { v.Code = "throttled" }},
		{"sign-up", "username", func(v *View) { v.Email = "" }},
		{"sign-up", "email", func(v *View) { v.UserName, v.Email = "alice", "" }},
		{"sign-up", "password", func(v *View) { v.UserName = "alice" }},
		{"sign-up", "password", func(v *View) { v.UserName, v.Email, v.EmailAsked = "alice", "", false }},
		{"sign-up", "notice", func(v *View) { v.Notice = "awaiting_approval" }},
	} {
		focus := parse(t, render(t, s, c.page, account(c.change))).all("autofocus")
		if c.want == "" {
			if len(focus) > 0 {
				t.Errorf("%s: the focus is taken from the top", c.page)
			}
			continue
		}
		if len(focus) != 1 {
			t.Errorf("%s: %d elements want the focus, want it on %s", c.page, len(focus), c.want)
			continue
		}
		wantAttr(t, focus[0], "id", c.want)
	}
}

func TestNoticeIsToldOnEveryPage(t *testing.T) {
	s := newSite(t, Options{})
	for _, page := range pages {
		for _, code := range notices {
			d := parse(t, render(t, s, page, account(func(v *View) { v.Notice = code })))
			box := d.must(t, "class", "notice")
			wantAttr(t, box, "role", "status")
			if got := text(box); got != s.Text("en", code) {
				t.Errorf("%s: %s is told as %q", page, code, got)
			}
		}
		if box := parse(t, render(t, s, page, accountView())).find("class", "notice"); box != nil && text(box) != "" {
			t.Errorf("%s: notice %q", page, text(box))
		}
	}
}

func TestNoticesAreAtHandForTheScript(t *testing.T) {
	s := newSite(t, Options{})
	for page, codes := range map[string][]string{
		"account":     {"password_changed", "session_ended", "sessions_ended"},
		"sign-up":     {"signed_up", "awaiting_approval"},
		"second-step": {"code_sent"},
	} {
		box := parse(t, render(t, s, page, accountView())).must(t, "id", "notice")
		for _, code := range codes {
			wantAttr(t, box, "data-"+code, s.Text("en", code))
		}
	}
	// The code may be the last that a sign-up waited for.
	box := parse(t, render(t, s, "second-step", account(func(v *View) { v.ForSignUp = true }))).must(t, "id", "notice")
	for _, code := range []string{"code_sent", "signed_up", "awaiting_approval"} {
		wantAttr(t, box, "data-"+code, s.Text("en", code))
	}
}

func TestSignUpThatIsDoneHasNoForm(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "sign-up", account(func(v *View) { v.Notice = "awaiting_approval" })))
	if len(d.forms()) != 0 {
		t.Error("there is a form")
	}
	wantAttr(t, d.must(t, "class", "button"), "href", "/login?rd=%2Fwiki%3Fpage%3D1")
}

func TestClosedSignUpHasNoForm(t *testing.T) {
	s := newSite(t, Options{})
	d := parse(t, render(t, s, "sign-up", account(func(v *View) { v.Captcha, v.Code, v.RetryAfter = nil, "throttled", 30 })))
	if len(d.forms()) != 0 || text(d.must(t, "role", "alert")) != s.Text("en", "throttled", 30) {
		t.Error("there is a form, or no reason for none")
	}
}

func TestAccountTellsWhoAndSinceWhen(t *testing.T) {
	s := newSite(t, Options{})
	page := render(t, s, "account", accountView())
	for _, want := range []string{
		"<bdi>alice</bdi>", "<bdi>alice@example.com</bdi>", `<time dir="auto" datetime="2026-03-04T04:06:07Z">2026-03-04 04:06 UTC</time>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	// Another zone is the same moment.
	v := account(func(v *View) { v.Since = v.Since.In(time.FixedZone("", 3600)) })
	if render(t, s, "account", v) != page {
		t.Error("the zone of the server shows")
	}
	bare := render(t, s, "account", account(func(v *View) { v.Email, v.Since, v.Sessions = "", time.Time{}, nil }))
	if strings.Contains(bare, "<time") || strings.Contains(bare, s.Text("en", "email")) || strings.Contains(bare, "0001") {
		t.Error("something is told that is not known")
	}
}

func TestSessionsAreListedAndEachButThisCanBeEnded(t *testing.T) {
	s := newSite(t, Options{})
	d := parse(t, render(t, s, "account", accountView()))
	list := d.must(t, "id", "sessions")
	items := 0
	for n := range list.ChildNodes() {
		if n.Data != "li" {
			continue
		}
		items++
		_, current := attr(n, "data-current")
		if badge := strings.Contains(text(n), s.Text("en", "this_device")); badge != (items == 1) || current != badge {
			t.Errorf("item %d: badge %v, current %v", items, badge, current)
		}
	}
	if items != 3 {
		t.Errorf("%d sessions", items)
	}
	buttons := 0
	for n := range list.Descendants() {
		if n.Data != "button" {
			continue
		}
		buttons++
		described, _ := attr(n, "aria-describedby")
		if !strings.Contains(text(d.must(t, "id", described)), "on ") {
			t.Error("a button does not tell which session it ends")
		}
	}
	if buttons != 2 {
		t.Errorf("%d sessions can be ended", buttons)
	}
	alone := parse(t, render(t, s, "account", account(func(v *View) { v.Sessions = v.Sessions[:1] })))
	if alone.find("id", "end-others") != nil || alone.find("value", "end_session") != nil {
		t.Error("something can be ended where there is nothing else")
	}
	nameless := render(t, s, "account", account(func(v *View) { v.Sessions = []Session{{ID: "1", Current: true}, {ID: "2"}} }))
	if strings.Count(nameless, s.Text("en", "unknown_browser")) != 2 || strings.Contains(nameless, s.Text("en", "last_seen")) {
		t.Error("an unknown browser is not told as such")
	}
}

func TestChangingThePasswordIsOfferedOnlyWhereItCanBe(t *testing.T) {
	d := parse(t, render(t, newSite(t, Options{}), "account", account(func(v *View) { v.ChangeOffered = false })))
	if d.find("id", "change-password") != nil || d.find("type", "password") != nil {
		t.Error("there is a form")
	}
	hidden := parse(t, render(t, newSite(t, Options{}), "account", account(func(v *View) { v.Captcha = nil })))
	if _, ok := attr(hidden.must(t, "id", "captcha"), "hidden"); !ok {
		t.Error("a captcha is shown that nobody asks for")
	}
}

func TestEachPageAsksForChallengesOfItsPurpose(t *testing.T) {
	s := newSite(t, Options{})
	for page, want := range map[string]string{
		"sign-in": "login", "sign-up": "sign_up", "account": "change_password", "second-step": "second_step",
	} {
		parse(t, render(t, s, page, accountView())).must(t, "data-for", want)
	}
}

func TestEmailIsAskedOnlyWhereItIsWanted(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct{ asked, needed bool }{{false, false}, {true, false}, {true, true}} {
		d := parse(t, render(t, s, "sign-up", account(func(v *View) { v.EmailAsked, v.EmailNeeded = c.asked, c.needed })))
		field := d.find("name", "email")
		if (field != nil) != c.asked {
			t.Fatalf("%+v: field %v", c, field)
		}
		if field == nil {
			continue
		}
		if _, required := attr(field, "required"); required != c.needed {
			t.Errorf("%+v: required %v", c, required)
		}
		if label := text(d.must(t, "for", "email")); strings.Contains(label, "optional") == c.needed {
			t.Errorf("%+v: label %q", c, label)
		}
	}
}

func TestSecondStepTellsWhereTheCodeWentAndForHowLong(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct {
		channel, destination, heading string
		forSignUp                     bool
		words                         string
	}{
		{"sms", "+49 ••• ••12", "heading_phone", false, "Type the code of 6 digits"},
		{"email", "a•••@example.com", "heading_email", false, "Type the code of 6 digits"},
		{"email", "a•••@example.com", "heading_email", true, "To confirm your address"},
	} {
		page := render(t, s, "second-step", account(func(v *View) {
			v.Channel, v.Destination, v.ForSignUp = c.channel, c.destination, c.forSignUp
		}))
		for _, want := range []string{
			"<h1>" + s.Text("en", c.heading) + "</h1>", `<bdi dir="ltr">` + html.EscapeString(c.destination) + "</bdi>", c.words, "It is good for 10 minutes.",
		} {
			if !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), want) {
				t.Errorf("%+v: no %q", c, want)
			}
		}
	}
	if page := render(t, s, "second-step", account(func(v *View) { v.SecondsLeft = 0 })); strings.Contains(page, "good for") {
		t.Error("a time is told that is not known")
	}
}

func TestLinksToSignUpAndAccount(t *testing.T) {
	s := newSite(t, Options{})
	for _, c := range []struct {
		page, href string
		change     func(*View)
		want       bool
	}{
		{"sign-in", "/captcha-gate/sign-up?rd=%2Fwiki%3Fpage%3D1", func(*View) {}, true},
		{"sign-in", "/captcha-gate/sign-up", func(v *View) { v.ReturnTo = "" }, true},
		{"sign-in", "/captcha-gate/sign-up", func(v *View) { v.SignUpOffered, v.ReturnTo = false, "" }, false},
		{"sign-out", "/captcha-gate/account", func(*View) {}, true},
		{"sign-out", "/captcha-gate/account", func(v *View) { v.AccountOffered = false }, false},
		{"sign-out", "/captcha-gate/account", func(v *View) { v.SignedInAs = "" }, false},
	} {
		d := parse(t, render(t, s, c.page, account(c.change)))
		if got := d.find("href", c.href) != nil; got != c.want {
			t.Errorf("%s: link to %s: %v", c.page, c.href, got)
		}
	}
}
