package integration

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	accountPath = "/captcha-gate/account"
	newPassword = "seven green kites at dawn"
)

var formTokenPattern = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

func formToken(t *testing.T, page string) string {
	t.Helper()
	match := formTokenPattern.FindStringSubmatch(page)
	if match == nil {
		t.Fatalf("no form token in the page:\n%s", page)
	}
	return match[1]
}

func change(current, next string) map[string]any {
	return map[string]any{"current_password": current, "new_password": next, "confirm_password": next}
}

// account is the account as a script sees it.
type account struct {
	User     struct{ ID, Email string }
	Since    string
	Sessions []struct {
		ID, Browser, Network, Since, Seen string
		Current                           bool
	}
	FormToken string `json:"form_token"`
	Captcha   *struct{ Token string }
}

func (v *visitor) account() (a account) {
	v.t.Helper()
	reply := v.do("GET", accountPath, "", "Accept", "application/json")
	if err := json.Unmarshal([]byte(reply.body), &a); err != nil || reply.StatusCode != 200 {
		v.t.Fatalf("%d %s: %v", reply.StatusCode, reply.body, err)
	}
	return a
}

// htpasswdAccepts asks Apache's own tool.
func htpasswdAccepts(t *testing.T, file, user, password string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "htpasswd", "-vi", file, user)
	cmd.Stdin = strings.NewReader(password)
	return cmd.Run() == nil
}

func TestUSR3_ChangingThePassword(t *testing.T) {
	t.Parallel()
	for _, asForm := range []bool{false, true} {
		t.Run(map[bool]string{false: "json", true: "form"}[asForm], func(t *testing.T) {
			s := startSite(t, "")
			// A comment, a third field, another user and odd spacing must stay.
			before := "# the team\r\n" + testUser + ":" + testHash + "\n\n  # odd\nbob:" + testHash + ":Bob B."
			s.writeFile("users.htpasswd", before)
			mine, other := newVisitor(t, s), newVisitor(t, s)
			mine.signIn()
			other.signIn()
			if asForm {
				page := mine.page(accountPath)
				a := mine.form(accountPath, url.Values{"action": {"change_password"}, "form_token": {formToken(t, page.body)},
					"current_password": {testPassword}, "new_password": {newPassword}, "confirm_password": {newPassword}})
				if a.StatusCode != 200 || !strings.Contains(a.body, `role="status"`) {
					t.Fatalf("%d\n%s", a.StatusCode, a.body)
				}
			} else {
				a, r := mine.json(accountPath, change(testPassword, newPassword))
				wantCode(t, "the change", a, r, 200, "password_changed")
			}
			if !mine.isSignedIn() || other.isSignedIn() {
				t.Errorf("signed in: here %v, elsewhere %v", mine.isSignedIn(), other.isSignedIn())
			}
			after, err := os.ReadFile(s.users)
			if err != nil {
				t.Fatal(err)
			}
			pattern := regexp.QuoteMeta("# the team\r\n"+testUser+":") + `\$2y\$10\$[./A-Za-z0-9]{53}` + regexp.QuoteMeta("\n\n  # odd\nbob:"+testHash+":Bob B.")
			if !regexp.MustCompile("^" + pattern + "$").Match(after) {
				t.Errorf("the file is now %q", after)
			}
			if !htpasswdAccepts(t, s.users, testUser, newPassword) || htpasswdAccepts(t, s.users, testUser, testPassword) {
				t.Error("Apache's htpasswd disagrees")
			}
			if info, err := os.Stat(s.users); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			page := newVisitor(t, s)
			f := fields(t, page.page("/login").body)
			if a := page.form("/login", f); a.StatusCode != 401 {
				t.Errorf("the old password: %d", a.StatusCode)
			}
			f = fields(t, page.page("/login").body)
			f.Set("password", newPassword)
			if a := page.form("/login", f); a.StatusCode != http.StatusSeeOther {
				t.Errorf("the new password: %d", a.StatusCode)
			}
			for _, secret := range []string{newPassword, testPassword, "$2y$"} {
				if strings.Contains(s.log.String(), secret) {
					t.Errorf("LOG-1: the log holds %q", secret)
				}
			}
		})
	}
}

func TestFaultsOfANewPassword(t *testing.T) {
	t.Parallel()
	s := startSite(t, "page {\ntitle Wiki\n}")
	v := newVisitor(t, s)
	v.signIn()
	for _, c := range []struct {
		fields map[string]any
		status int
		code   string
	}{
		{change(testPassword, "short"), 422, "password_too_short"},
		{change(testPassword, "password123"), 422, "password_too_common"},
		{change(testPassword, "alice1234"), 422, "password_like_name"},
		{change(testPassword, testPassword), 422, "password_unchanged"},
		{change(testPassword, strings.Repeat("kx7 pqzv", 10)), 422, "password_too_long"},
		{map[string]any{"current_password": testPassword, "new_password": newPassword, "confirm_password": "x"}, 422, "passwords_differ"},
		{change(testPassword, "nul\x00in the middle"), 400, "malformed"},
		{map[string]any{"action": "fly"}, 400, "malformed"},
		{change("not it at all", newPassword), 401, "credentials_wrong"},
	} {
		a, r := v.json(accountPath, c.fields)
		wantCode(t, c.code, a, r, c.status, c.code)
	}
	if !v.isSignedIn() {
		t.Error("a failed change ended the session")
	}
	if !htpasswdAccepts(t, s.users, testUser, testPassword) {
		t.Error("the password changed")
	}
}

func TestCAP12_ACaptchaIsAskedForAfterTheFirstFailureOfAChange(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	v.signIn()
	if v.account().Captcha != nil {
		t.Error("a captcha before any failure")
	}
	a, r := v.json(accountPath, change("not it at all", newPassword))
	wantCode(t, "the first failure", a, r, 401, "credentials_wrong")
	if r.Captcha == nil {
		t.Fatal("no captcha with the failure")
	}
	a, without := v.json(accountPath, change(testPassword, newPassword))
	wantCode(t, "the right password without a captcha", a, without, 403, "captcha_required")
	var challenge struct{ Token string }
	body := v.do("GET", "/captcha-gate/challenge?for=login", "").body
	if err := json.Unmarshal([]byte(body), &challenge); err != nil {
		t.Fatal(err)
	}
	f := change(testPassword, newPassword)
	f["captcha_token"], f["captcha_answer"] = challenge.Token, solve(t, challenge.Token)
	a, other := v.json(accountPath, f)
	wantCode(t, "CAP-6: a challenge of the sign-in form", a, other, 403, "captcha_expired")
	f["captcha_token"], f["captcha_answer"] = other.Captcha.Token, solve(t, other.Captcha.Token)
	a, r = v.json(accountPath, f)
	wantCode(t, "with its own captcha", a, r, 200, "password_changed")
}

func TestCSR3_TheAccountsFormsNeedTheirToken(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v, neighbour := newVisitor(t, s), newVisitor(t, s)
	v.signIn()
	neighbour.signIn()
	foreign := formToken(t, neighbour.page(accountPath).body)
	cut := formToken(t, v.page(accountPath).body)[1:]
	for what, token := range map[string]string{"none": "", "another session's": foreign, "cut": cut} {
		a := v.form(accountPath, url.Values{"action": {"end_others"}, "form_token": {token}})
		if a.StatusCode != 403 || !neighbour.isSignedIn() {
			t.Errorf("%s: %d", what, a.StatusCode)
		}
	}
	a := v.do("POST", accountPath, `{"action":"end_others"}`, "Content-Type", "text/plain", "Accept", "application/json")
	if a.StatusCode != 415 {
		t.Errorf("CSR-4: JSON as text: %d", a.StatusCode)
	}
	a = v.do("POST", accountPath, `{"action":"end_others"}`, "Content-Type", "application/json", "Sec-Fetch-Site", "same-site")
	if a.StatusCode != 403 || !neighbour.isSignedIn() {
		t.Errorf("CSR-2: from a neighbouring site: %d", a.StatusCode)
	}
}

func TestTheAccountListsAndEndsSessions(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	mine, second, third := newVisitor(t, s), newVisitor(t, s), newVisitor(t, s)
	for _, v := range []*visitor{mine, second, third} {
		v.signIn()
	}
	a := mine.account()
	if a.User.ID != testUser || len(a.Sessions) != 3 || !a.Sessions[0].Current || a.Sessions[1].Current {
		t.Fatalf("%+v", a)
	}
	if got := a.Sessions[0]; got.Network != "127.0.0.0/24" || got.Browser == "" {
		t.Errorf("%+v", got)
	}
	if _, err := time.Parse(time.RFC3339, a.Sessions[0].Seen); err != nil {
		t.Error(err)
	}
	reply, r := mine.json(accountPath, map[string]any{"action": "end_session", "session": a.Sessions[1].ID})
	wantCode(t, "ending one", reply, r, 200, "session_ended")
	if second.isSignedIn() || !third.isSignedIn() || !mine.isSignedIn() {
		t.Fatal("not the one that was named")
	}
	page := mine.page(accountPath)
	done := mine.form(accountPath, url.Values{"action": {"end_others"}, "form_token": {formToken(t, page.body)}})
	if done.StatusCode != 200 || third.isSignedIn() || !mine.isSignedIn() {
		t.Errorf("ending the others: %d", done.StatusCode)
	}
	if n := len(mine.account().Sessions); n != 1 {
		t.Errorf("%d sessions left", n)
	}
}

func TestTheAccountIsForWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	if a := v.page(accountPath); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/login" {
		t.Errorf("a stranger's page: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	a, r := v.json(accountPath, change(testPassword, newPassword))
	wantCode(t, "a stranger's change", a, r, 401, "unauthenticated")
	v.signIn()
	a = v.do("DELETE", accountPath, "")
	if a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("%d, %q", a.StatusCode, a.Header.Get("Allow"))
	}
	off := startSite(t, "accounts {\nchange_password off\n}")
	v = newVisitor(t, off)
	v.signIn()
	a, r = v.json(accountPath, change(testPassword, newPassword))
	wantCode(t, "switched off", a, r, 404, "not_found")
	if page := v.page(accountPath); page.StatusCode != 200 || strings.Contains(page.body, `name="new_password"`) {
		t.Errorf("the page of a gate that changes no passwords: %d", page.StatusCode)
	}
	human := newSite(t)
	human.start(human.caddyfile("captcha_gate {\nhuman_only\n}\nrespond ok"))
	if a := newVisitor(t, human).page(accountPath); a.StatusCode != 404 {
		t.Errorf("human_only: %d", a.StatusCode)
	}
}

// TestUSR8_AFileThatCannotBeWrittenIsLeftAlone: a bind-mounted file cannot be
// renamed over, as in containers; a directory in the place of the lock or of the
// new file is the same to the gate and needs no rights to make.
func TestUSR8_AFileThatCannotBeWrittenIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := startSite(t, "accounts {\nchange_password on\n}")
	v := newVisitor(t, s)
	v.signIn()
	before, err := os.ReadFile(s.users)
	if err != nil {
		t.Fatal(err)
	}
	// A second name of the file: a rename would leave the other one behind.
	if err := os.Link(s.users, filepath.Join(s.dir, "hard-link")); err != nil {
		t.Fatal(err)
	}
	a, r := v.json(accountPath, change(testPassword, newPassword))
	wantCode(t, "the change", a, r, 503, "users_unavailable")
	if after, err := os.ReadFile(s.users); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
	if !v.isSignedIn() {
		t.Error("signed out")
	}
	newVisitor(t, s).signIn()
	if litter, _ := filepath.Glob(filepath.Join(s.dir, ".*captcha*")); len(litter) > 0 {
		t.Errorf("left over: %v", litter)
	}
}

func TestUpgradeHashesWritesWeakEntriesAnew(t *testing.T) {
	t.Parallel()
	s := startSite(t, "accounts {\nupgrade_hashes on\n}")
	out, err := exec.CommandContext(t.Context(), "htpasswd", "-bm", s.users, "mona", testPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	time.Sleep(2 * time.Second) // edits are in force after two
	v := newVisitor(t, s)
	f := fields(t, v.page("/login").body)
	f.Set("username", "mona")
	if a := v.form("/login", f); a.StatusCode != http.StatusSeeOther || !v.isSignedIn() {
		t.Fatalf("%d", a.StatusCode)
	}
	text, err := os.ReadFile(s.users)
	if err != nil || !regexp.MustCompile(`(?m)^mona:\$2y\$10\$`).Match(text) || !htpasswdAccepts(t, s.users, "mona", testPassword) {
		t.Errorf("%s, %v", text, err)
	}
	if !bytes.Contains(text, []byte(testUser+":"+testHash+"\n")) {
		t.Error("a strong entry changed")
	}
	if !v.isSignedIn() {
		t.Error("the new entry ended the session")
	}
}
