package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/htpasswd"
	"github.com/captcha-gate/captcha-gate/caddymodule/internal/session"
)

func (v *guest) account() accountJSON {
	v.t.Helper()
	var told accountJSON
	if w := v.send(request("GET", accountPath, "Accept", typeJSON)); json.Unmarshal(w.Body.Bytes(), &told) != nil || w.Code != http.StatusOK {
		v.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return told
}

// Two sites share a realm, as the default has it, and each has an anna of its own. What
// one does with her account is nothing to the other.
func TestSES14_NamesakesOfTwoSitesLeaveEachOtherAlone(t *testing.T) {
	config := func() Gate {
		return Gate{Users: usersFile(t, "anna"), Secret: []Secret{gateSecret}, Realm: realmOf(t), State: &StateConfig{Store: storeMemory}}
	}
	here, err := load(t, config())
	if err != nil {
		t.Fatal(err)
	}
	there, err := load(t, config()) // with another salt
	if err != nil {
		t.Fatal(err)
	}
	anna, namesake := newGuest(t, here, "192.0.2.1"), newGuest(t, there, "198.51.100.1")
	anna.want(anna.enters("anna"), "signed_in")
	namesake.want(namesake.enters("anna"), "signed_in")
	if told := anna.account().Sessions; len(told) != 1 || !told[0].Current {
		t.Errorf("anna is told of %+v", told)
	}
	if page := anna.page(accountPath).Body.String(); strings.Contains(page, "198.51.100.0/24") {
		t.Errorf("anna's page has the other's network\n%s", page)
	}
	its := there.sessions.ID(namesake.cookies["captcha_gate"].Value)
	for _, fields := range []map[string]string{
		{"action": "end_session", "session": its}, {"action": "end_others"},
		{"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword},
	} {
		anna.to(accountPath, fields)
		if !namesake.isIn() {
			t.Fatalf("%v ended the other's session", fields)
		}
	}
	for range session.MaxPerUser + 1 {
		token, _, err := here.sessions.Start(t.Context(), session.Record{User: "anna", Fingerprint: [16]byte{1}, Level: session.Password})
		if err != nil || token == "" {
			t.Fatal(err)
		}
	}
	if !namesake.isIn() {
		t.Error("anna's many sessions ended the other's")
	}
}

// A password that changes in the file leaves sessions that are good for nothing. They
// are not shown as open.
func TestSES5_SessionsOfAnEntryThatIsGoneAreNotListed(t *testing.T) {
	g := memoryGate(t, "anna")
	old := newGuest(t, g, "198.51.100.1")
	old.want(old.enters("anna"), "signed_in")
	if err := g.editor.Remove("anna"); err != nil {
		t.Fatal(err)
	}
	hash, err := g.hash(t.Context(), "anna-password")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.editor.Add("anna", hash, htpasswd.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), "signed_in")
	if told := v.account().Sessions; len(told) != 1 || old.isIn() {
		t.Errorf("told of %+v", told)
	}
}

// SES-4: the session that takes the place of another ends with it.
func TestSES4_AChangedPasswordGivesNoLongerSession(t *testing.T) {
	g, l := stepGate(t, annasContact, Gate{SecondStep: &SecondStepConfig{Channel: channelSMS}})
	v := newGuest(t, g, "192.0.2.1")
	v.want(v.enters("anna"), codeSecondStepRequired)
	v.want(v.types(l.last(t, 0).Code), "signed_in")
	before := v.account()
	later := time.Now().Add(time.Minute)
	g.sessions = session.New(g.store, g.Realm, session.Limits{Lifetime: time.Duration(g.Session.Lifetime)}, func() time.Time { return later }, strings.NewReader(strings.Repeat("x", 64)))
	v.want(v.to(accountPath, map[string]string{
		"current_password": "anna-password", "new_password": freshPassword, "confirm_password": freshPassword,
	}), "password_changed")
	if after := v.account(); after.ExpiresAt != before.ExpiresAt || after.Since == before.Since {
		t.Errorf("since %s until %s, and before the change since %s until %s", after.Since, after.ExpiresAt, before.Since, before.ExpiresAt)
	}
}
