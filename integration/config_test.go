package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (s *site) logged(message string) bool {
	return strings.Contains(s.log.String(), `"msg":"`+message+`"`)
}

func TestAWrongCaddyfileIsRefusedWithWhereAndWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	broken := filepath.Join(s.dir, "templates")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	s.writeFile("templates/sign-in.html", "<form>\n{{.Nope")
	s.writeFile("logo.png", "no picture")
	for name, c := range map[string]struct {
		directives string
		want       []string
	}{
		"unknown word":          {"pasword x", []string{"Caddyfile.bad:11", "pasword"}},
		"word twice":            {"realm a\nrealm b", []string{"Caddyfile.bad:12", "realm", "twice"}},
		"too many arguments":    {"landing /a /b", []string{"Caddyfile.bad:11", "/a"}},
		"bad duration":          {"session {\nidle soon\n}", []string{"Caddyfile.bad:12", "idle", "soon"}},
		"unknown state":         {"state disk", []string{"Caddyfile.bad:11", "disk"}},
		"clashing paths":        {"logout /login", []string{"logout", "/login"}},
		"login in base_path":    {"login /captcha-gate/x", []string{"login", "base_path"}},
		"short secret":          {"", []string{"secret", "value 1", "32"}},
		"bad header name":       {"identity {\nuser \"Remote User\"\n}", []string{"identity user", "Remote User"}},
		"broken template":       {"page {\ntemplates " + broken + "\n}", []string{"page", "sign-in.html", ":2"}},
		"logo is no picture":    {"page {\nlogo " + s.dir + "/logo.png\n}", []string{"page", "logo.png"}},
		"logo is missing":       {"page {\nlogo " + s.dir + "/nothing.png\n}", []string{"page", "nothing.png"}},
		"unknown language":      {"page {\nlanguages tlh\n}", []string{"page", "tlh"}},
		"look-alikes":           {"captcha {\nalphabet ABCDEFGH0OIL\n}", []string{"captcha", "alphabet", "look alike"}},
		"too few answers":       {"captcha {\nalphabet ACDE\n}", []string{"captcha", "alphabet", "100000"}},
		"size out of range":     {"captcha {\nsize 6000 80\n}", []string{"captcha", "width", "6000"}},
		"length out of range":   {"captcha {\nlength 9\n}", []string{"captcha", "length", "9"}},
		"state file unusable":   {"state local " + s.dir, []string{"state", s.dir}},
		"unset variable":        {"landing {env.GATE_UNSET}", []string{"landing", "GATE_UNSET"}},
		"users file missing":    {"", []string{"users", "nothing.htpasswd"}},
		"users file useless":    {"", []string{"users", "useless.htpasswd", "line 1"}},
		"no users":              {"", []string{"users", "human_only"}},
		"users and human_only":  {"human_only", []string{"users", "human_only"}},
		"realm with a slash":    {"realm a/b", []string{"realm", "a/b"}},
		"relative landing":      {"landing home", []string{"landing", "home"}},
		"cookie name with dots": {"session {\ncookie_name __Host-x\n}", []string{"cookie_name", "__Host-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			basics := s.basics()
			switch name {
			case "short secret":
				basics = strings.Replace(basics, testSecret, "hunter2", 1)
			case "users file missing":
				basics = strings.Replace(basics, s.users, s.dir+"/nothing.htpasswd", 1)
			case "users file useless":
				basics = strings.Replace(basics, s.users, s.writeFile("useless.htpasswd", "no colon here\n"), 1)
			case "no users":
				basics = "secret " + testSecret + "\n"
			}
			s.writeFile("Caddyfile.bad", s.caddyfile("captcha_gate {\n"+basics+c.directives+"\n}\nrespond hello"))
			out, err := s.command(t.Context(), "validate", "--config", "Caddyfile.bad", "--adapter", "caddyfile").CombinedOutput()
			if err == nil {
				t.Fatalf("accepted:\n%s", out)
			}
			last := lastLine(string(out))
			for _, want := range c.want {
				if !strings.Contains(last, want) {
					t.Errorf("the error does not say %q:\n%s", want, last)
				}
			}
			if strings.Contains(string(out), testSecret) || strings.Contains(string(out), "hunter2") {
				t.Errorf("the secret is in the output:\n%s", out)
			}
		})
	}
}

// lastLine is where caddy prints its error.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func TestNoSecretReachesTheLog(t *testing.T) {
	t.Parallel()
	s := startSite(t, "")
	v := newVisitor(t, s)
	page := v.page("/login")
	form := fields(t, page.body)
	form.Set("password", "a-wrong-password-of-alice")
	v.form("/login", form)
	v.signIn()
	session := sessionCookie(t, v)
	s.stop()
	log := s.log.String()
	for what, text := range map[string]string{
		"the secret": testSecret, "the right password": testPassword, "a wrong password": "a-wrong-password-of-alice",
		"the answer": `"` + form.Get("captcha_answer") + `"`, "the challenge": form.Get("captcha_token"), "the session": session, "the hash": testHash,
	} {
		if strings.Contains(log, text) {
			t.Errorf("LOG-1: %s is in the log:\n%s", what, log)
		}
	}
	for _, event := range []string{"signed in", "sign-in failed"} {
		if !s.logged(event) {
			t.Errorf("LOG-2: %q is not in the log:\n%s", event, log)
		}
	}
}
