package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const accountPath = "/captcha-gate/account"

func TestAnAccountTellsOfItsSessions(t *testing.T) {
	g, _ := stepGate(t, annasContact, Gate{})
	v, other, bert := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "198.51.100.1"), newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	other.want(other.enters("anna"), "signed_in")
	bert.want(bert.enters("bert"), "signed_in")
	var told accountJSON
	if w := v.send(request("GET", accountPath, "Accept", typeJSON)); json.Unmarshal(w.Body.Bytes(), &told) != nil || w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	if !told.Authenticated || told.User != (userJSON{ID: "anna", Email: "anna@example.com"}) || !told.ChangePassword || told.Captcha != nil {
		t.Errorf("%+v", told)
	}
	page := v.send(request("GET", accountPath, "Accept", "text/html")).Body.String()
	want := map[string]string{} // networks by id
	for _, one := range []*guest{v, other} {
		want[g.sessions.ID(one.cookies["captcha_gate"].Value)] = strings.TrimSuffix(one.address, "1") + "0/24"
	}
	mine := g.sessions.ID(v.cookies["captcha_gate"].Value)
	for _, s := range told.Sessions {
		if want[s.ID] != s.Network || s.Current != (s.ID == mine) {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(page, s.Network) || s.Current == strings.Contains(page, `value="`+s.ID+`"`) {
			t.Errorf("the page does not have %+v, or would end this very session", s)
		}
	}
	if len(told.Sessions) != 2 || !strings.Contains(page, "anna@example.com") || !strings.Contains(page, `name="form_token"`) || tokenField.MatchString(page) {
		t.Errorf("%d sessions", len(told.Sessions))
	}
}

// The log says how many sessions a user ended, and nothing where there were none.
func TestEndedSessionsAreLogged(t *testing.T) {
	g := memoryGate(t, "anna")
	v, other := newGuest(t, g, "192.0.2.1"), newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	other.want(other.enters("anna"), "signed_in")
	entries, log := observer.New(zap.InfoLevel)
	g.logger = zap.New(entries)
	for range 2 {
		v.want(v.to(accountPath, map[string]string{"action": "end_others"}), "sessions_ended")
	}
	ended := log.FilterMessage("sessions ended").All()
	if len(ended) != 1 || ended[0].ContextMap()["sessions"] != int64(1) || ended[0].ContextMap()["user"] != "anna" {
		t.Errorf("%v", log.All())
	}
}

// THR-4, THR-8: changing the password is counted like signing in: a wrong one stays
// counted, what was not judged does not, and a right one ends the row.
func TestTHR8_ChangesOfAPasswordAreCountedLikeSignIns(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	change := func(present string, fields map[string]string) failure {
		t.Helper()
		fields["current_password"], fields["new_password"], fields["confirm_password"] = present, freshPassword, freshPassword
		return v.to(accountPath, fields)
	}
	v.want(change("wrong", map[string]string{}), codeCredentialsWrong)
	if n := v.failures("anna"); n != 1 {
		t.Errorf("%d failures", n)
	}
	for range 3 {
		v.want(change("anna-password", map[string]string{}), codeCaptchaRequired)
	}
	if n := v.failures("anna"); n != 1 {
		t.Errorf("%d failures after changes that were not judged", n)
	}
	id := v.known()[0].id
	v.want(change("anna-password", v.captchaOn(accountPath, map[string]string{})), "password_changed")
	if n := v.failures("anna"); n != 0 {
		t.Errorf("%d failures after the change", n)
	}
	users, err := g.users.Table()
	if err != nil {
		t.Fatal(err)
	}
	fingerprint, _ := users.Fingerprint("anna")
	if known := v.known(); len(known) != 1 || known[0].id != id || !known[0].knows(g.userTag("anna", fingerprint)) {
		t.Errorf("the browser is a stranger after the change: %+v", known)
	}
}

// Without JavaScript the way leads back to the page, with what was wrong in it.
func TestAccountFormsWorkWithoutScripts(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	token := func() string {
		t.Helper()
		_, rest, _ := strings.Cut(v.send(request("GET", accountPath, "Accept", "text/html")).Body.String(), `name="form_token" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	clean := v.page(accountPath)
	wantPage(t, "the page", clean, http.StatusOK, `id="picture" width="240"`)
	if tokenField.MatchString(clean.Body.String()) {
		t.Error("a captcha without a failure")
	}
	w := v.formOf(accountPath, map[string]string{
		"form_token": token(), "current_password": "wrong", "new_password": freshPassword, "confirm_password": freshPassword,
	})
	wantPage(t, "a wrong password", w, http.StatusUnauthorized, `id="current_password-error" class="error" role="alert">`+g.site.Text("en", "current_password_wrong"),
		`aria-invalid="true"`, `href="`+accountPath+`?kind=audio"`)
	if !tokenField.MatchString(w.Body.String()) {
		t.Error("a wrong password: no captcha for the next try")
	}
	w = v.formOf(accountPath, map[string]string{"form_token": token(), "action": "end_others"})
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), g.site.Text("en", "sessions_ended")) {
		t.Errorf("ending others: %d", w.Code)
	}
	reply := v.to(accountPath, map[string]string{"action": "end_others"})
	if reply.Code != "sessions_ended" || reply.RedirectURL == nil || *reply.RedirectURL != accountPath {
		t.Errorf("ending others by script: %+v", reply)
	}
}

// The session may outlive the cookie that a browser is known by.
func TestUSR3_APasswordIsChangedInABrowserThatIsNotKnownAnyMore(t *testing.T) {
	g := memoryGate(t, "anna")
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	delete(v.cookies, "captcha_gate_browser")
	v.want(v.to(accountPath, map[string]string{
		"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
	}), "password_changed")
	if !v.isIn() || len(v.known()) != 1 || v.known()[0].id == [16]byte{} {
		t.Errorf("in: %v, known as %v", v.isIn(), v.known())
	}
}

func TestAGateThatChangesNoPasswordsHasNoFormForIt(t *testing.T) {
	off := false
	g, _ := stepGate(t, annasContact, Gate{Accounts: &AccountsConfig{ChangePassword: &off}})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	if page := v.page(accountPath).Body.String(); strings.Contains(page, "new_password") {
		t.Errorf("offered\n%s", page)
	}
	v.want(v.to(accountPath, map[string]string{
		"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
	}), codeNotFound)
	if users, err := g.users.Table(); err != nil {
		t.Error(err)
	} else if _, same := users.Verify("anna", "anna-password"); !same {
		t.Error("changed")
	}
}
