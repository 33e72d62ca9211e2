package senders_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/caddymodule/senders"
)

const (
	twilioAccount = "account_sid AC1\n\tauth_token t1"
	longSecret    = "0123456789abcdef0123456789abcdef"
)

func block(head string, lines ...string) string {
	return head + " {\n\t" + strings.Join(lines, "\n\t") + "\n}"
}

func TestCaddyfileAdaptsAsWritten(t *testing.T) {
	for _, c := range []struct{ name, caddyfile, want string }{
		{"twilio", block("twilio", "account_sid AC1", "auth_token {env.TOKEN}", `from "My Site"`, "base_url https://api.dublin.ie1.twilio.com"),
			`{"account_sid":"AC1","auth_token":"{env.TOKEN}","from":"My Site","base_url":"https://api.dublin.ie1.twilio.com"}`},
		{"twilio with a messaging service", block("twilio", "messaging_service_sid MG1"), `{"messaging_service_sid":"MG1"}`},
		{"smtp", "smtp mail.example.com:587", `{"server":"mail.example.com:587"}`},
		{"smtp with everything", block("smtp mail.example.com:587", "username u", "password p", `from "A <a@example.com>"`, "tls tls", "ca /ca.pem", "helo h"),
			`{"server":"mail.example.com:587","username":"u","password":"p","from":"A \u003ca@example.com\u003e","tls":"tls","ca":"/ca.pem","helo":"h"}`},
		{"webhook", "webhook https://example.com/", `{"url":"https://example.com/"}`},
		{"webhook with everything", block("webhook https://example.com/", "header authorization a", "header X-B b", "secret "+longSecret),
			`{"url":"https://example.com/","header":{"Authorization":"a","X-B":"b"},"secret":"` + longSecret + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, err := adapt(t, c.caddyfile)
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestCaddyfileRefusesWithFileAndLine(t *testing.T) {
	for _, c := range []struct{ name, caddyfile, want string }{
		{"twilio with an argument", "twilio x", "wrong argument count or unexpected line ending after 'x', at Testfile:1"},
		{"smtp without a server", "smtp", "wrong argument count or unexpected line ending after 'smtp', at Testfile:1"},
		{"smtp with two servers", "smtp a:1 b:2", "wrong argument count or unexpected line ending after 'a:1', at Testfile:1"},
		{"smtp with an empty server", `smtp ""`, "smtp must not be empty, at Testfile:1"},
		{"webhook without an address", "webhook {\n}", "wrong argument count or unexpected line ending after 'webhook', at Testfile:1"},
		{"unknown word of twilio", block("twilio", "sid x"), `unrecognized subdirective "sid", at Testfile:2`},
		{"unknown word of smtp", block("smtp a:1", "port 25"), `unrecognized subdirective "port", at Testfile:2`},
		{"unknown word of webhook", block("webhook https://a", "method GET"), `unrecognized subdirective "method", at Testfile:2`},
		{"given twice", block("twilio", "from +1", "from +2"), "from is given twice, at Testfile:3"},
		{"no value", block("twilio", "auth_token"), "wrong argument count or unexpected line ending after 'auth_token', at Testfile:2"},
		{"two values", block("smtp a:1", "from A a@example.com"), "wrong argument count or unexpected line ending after 'A', at Testfile:2"},
		{"an empty value", block("smtp a:1", `password ""`), "password must not be empty, at Testfile:2"},
		{"a block where none belongs", block("smtp a:1", "from a {", "x", "}"), "from takes no block, at Testfile:3"},
		{"secret twice", block("webhook https://a", "secret a", "secret b"), "secret is given twice, at Testfile:3"},
		{"header without a value", block("webhook https://a", "header X-A"), "wrong argument count or unexpected line ending after 'X-A', at Testfile:2"},
		{"header with two values", block("webhook https://a", "header X-A b c"), "wrong argument count or unexpected line ending after 'b', at Testfile:2"},
		{"header with an empty value", block("webhook https://a", `header X-A ""`), "header must not be empty, at Testfile:2"},
		{"header twice in another spelling", block("webhook https://a", "header X-A b", "header x-a c"), "header X-A is given twice, at Testfile:3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, err := adapt(t, c.caddyfile)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestProvisionRefusesAndNamesTheField(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	twilio := func(lines ...string) string { return block("twilio", append([]string{twilioAccount}, lines...)...) }
	smtp := func(server string, lines ...string) string {
		return block("smtp "+server, append([]string{"from a@example.com"}, lines...)...)
	}
	hook := func(lines ...string) string { return block("webhook https://example.com/", lines...) }
	const credentials = "username u\n\tpassword p"

	for _, c := range []struct{ name, caddyfile, want string }{
		{"unset variable", block("twilio", "account_sid AC1", "auth_token {env.SENDERS_UNSET}", "from +15005550006"), "auth_token: evaluated placeholder {env.SENDERS_UNSET} is empty"},
		{"unknown placeholder", twilio("from {nothing}"), "from: braces that are neither {env.NAME} nor {file.PATH}"},
		{"unknown placeholder in a header", hook("header X-A {http.request.uri}"), "header X-A: braces that are neither {env.NAME} nor {file.PATH}"},
		{"password with braces", smtp("a:1", "username u", "password x{seeded}y"), "password: braces that are neither {env.NAME} nor {file.PATH}"},
		{"no account", block("twilio", "auth_token t", "from +15005550006"), "account_sid: is needed"},
		{"no token", block("twilio", "account_sid AC1", "from +15005550006"), "auth_token: is needed"},
		{"account with a slash", block("twilio", "account_sid AC/..", "auth_token t", "from +15005550006"), `account_sid: "AC/.." is not made of letters and digits`},
		{"token with a hyphen", block("twilio", "account_sid AC1", "auth_token seeded-x", "from +15005550006"), "auth_token: is not made of letters and digits"},
		{"nobody to come from", twilio(), "from: either it or messaging_service_sid is needed"},
		{"two to come from", twilio("from +15005550006", "messaging_service_sid MG1"), "from: either it or messaging_service_sid is needed"},
		{"number without plus", twilio("from 15005550006"), `from: "15005550006" is neither a number such as +4915112345678 nor a sender id`},
		{"long sender id", twilio("from TwelveLetter"), `from: "TwelveLetter" is neither a number such as +4915112345678 nor a sender id`},
		{"sender id of spaces", twilio(`from " - "`), `from: " - " is neither a number such as +4915112345678 nor a sender id`},
		{"bad service", twilio("messaging_service_sid M-G"), `messaging_service_sid: "M-G" is not made of letters and digits`},
		{"plain http", twilio("from +15005550006", "base_url http://10.0.0.5"), "base_url: must begin with https://; http:// is only for this machine, such as http://localhost:8000"},
		{"base_url with a query", twilio("from +15005550006", "base_url https://a/?b"), "base_url: must not hold a query"},
		{"base_url with another scheme", twilio("from +15005550006", "base_url ftp://a"), "base_url: must begin with https://"},

		{"no sender", "smtp mail.example.com:587", "from: is needed"},
		{"server without a port", smtp("mail.example.com"), `server: "mail.example.com" is not host:port such as mail.example.com:587`},
		{"port too high", smtp("mail.example.com:65536"), `server: "mail.example.com:65536" is not host:port such as mail.example.com:587`},
		{"port that is a name", smtp("mail.example.com:smtp"), `server: "mail.example.com:smtp" is not host:port such as mail.example.com:587`},
		{"port without a server", smtp(":25"), `server: ":25" is not host:port such as mail.example.com:587`},
		{"sender that is no address", block("smtp a:1", "from codes"), `from: "codes" is not an address such as codes@example.com or Example <codes@example.com>`},
		{"two senders", block("smtp a:1", `from "a@example.com, b@example.com"`), `from: "a@example.com, b@example.com" is not an address such as codes@example.com or Example <codes@example.com>`},
		{"sender with a line end in its name", block("smtp a:1", `from "=?utf-8?q?a=0D=0Ab?= <a@example.com>"`), `from: "=?utf-8?q?a=0D=0Ab?= <a@example.com>" is not an address such as codes@example.com or Example <codes@example.com>`},
		{"unknown tls", smtp("a:1", "tls maybe"), `tls: "maybe" is none of starttls, tls, off`},
		{"password in plain text", smtp("mail.example.com:25", "tls off", credentials), "tls: off would show the password to everybody on the way to another machine"},
		{"user name alone", smtp("a:1", "username u"), "username: it and password go together"},
		{"password alone", smtp("a:1", "password p"), "username: it and password go together"},
		{"ca without tls", smtp("a:1", "tls off", "ca "+notPEM), "ca: of no use with tls off"},
		{"ca that is not there", smtp("a:1", "ca /nowhere.pem"), "ca: open /nowhere.pem: no such file or directory"},
		{"ca without certificates", smtp("a:1", "ca "+notPEM), "ca: " + notPEM + " holds no certificate in PEM"},
		{"helo with a space", smtp("a:1", `helo "a b"`), `helo: "a b" is not a host name`},

		{"not a URL", "webhook seeded", "url: is not a URL such as https://sms.example.com/send"},
		{"control character in a URL", "webhook \"https://a/\x7fseeded\"", "url: is not a URL such as https://sms.example.com/send"},
		{"plain http to a private network", "webhook http://192.168.1.2/seeded", "url: must begin with https://; http:// is only for this machine, such as http://localhost:8000"},
		{"plain http to a name", "webhook http://localhost.example.com/seeded", "url: must begin with https://; http:// is only for this machine, such as http://localhost:8000"},
		{"credentials in the URL", "webhook https://seeded:b@example.com/", "url: must not hold a user name or password"},
		{"fragment", "webhook https://example.com/#seeded", "url: must not hold a fragment"},
		{"header with a bad name", hook(`header "X A" b`), `header: "X A" is not a header name`},
		{"header of the sender's own", hook("header webhook-id b"), "header: Webhook-Id is set by the sender itself"},
		{"host header", hook("header host seeded"), "header: Host is set by the sender itself"},
		{"header with a line end", hook("header X-A \"seeded\nX-B: c\""), "header X-A: has characters that no header may have"},
		{"short secret", hook("secret seeded"), "secret: has 6 bytes; at least 32 are needed"},
		{"short secret in base64", hook("secret whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"), "secret: is not base64 after whsec_"},
		{"secret that is no base64", hook("secret whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"), "secret: has 24 bytes; at least 32 are needed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, settings, err := adapt(t, c.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			_, err = provision(t, name, settings)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+c.want) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "seeded") {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

func TestJSONRefusesWhatACaddyfileCannotSay(t *testing.T) {
	for _, c := range []struct{ sender, settings, want string }{
		{"twilio", `{"edge":"dublin"}`, `unknown field "edge"`},
		{"webhook", `{"url":"https://a","header":{"X-A":"b","x-a":"c"}}`, "header: X-A is given twice"},
		{"webhook", `{"url":"https://a","header":{"X-A":""}}`, "header X-A: must not be empty"},
		{"smtp", `{"from":"a@example.com"}`, "server: is needed"},
		{"webhook", `{}`, "url: is needed"},
	} {
		if _, err := provision(t, c.sender, []byte(c.settings)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %s", c.sender, c.settings, err, c.want)
		}
	}
}

func TestProvisionTakesGoodSettings(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("t1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SENDERS_SECRET", longSecret)
	for _, c := range []struct {
		caddyfile string
		channels  int
	}{
		{block("twilio", "account_sid AC1", "auth_token {file."+token+"}", "from +15005550006"), 1},
		{block("twilio", twilioAccount, "messaging_service_sid MG1", "base_url https://sms.example.com/twilio/"), 1},
		{block("twilio", twilioAccount, "from A&B_-+1", "base_url http://[::1]:8000"), 1},
		{block("smtp [::1]:25", "from a@example.com", "tls off", "username u", "password p"), 1},
		{block("smtp mail.example.com:25", `from "Ä B <a@example.com>"`, "tls off"), 1},
		{block("smtp mail.example.com:465", "from <a@example.com>", "username u", "password p", "helo [192.0.2.1]"), 1},
		{block("webhook http://localhost:8000/hook", "secret {env.SENDERS_SECRET}", "header Authorization \"Bearer {env.SENDERS_SECRET}\""), 2},
		{"webhook https://10.0.0.5/hook?token=x", 2},
	} {
		if got := len(load(t, c.caddyfile).Channels()); got != c.channels {
			t.Errorf("%d channels of\n%s", got, c.caddyfile)
		}
	}
}

func TestSMTPChoosesTLSByPort(t *testing.T) {
	for server, want := range map[string]string{
		"mail.example.com:465": "tls", "mail.example.com:587": "starttls", "mail.example.com:25": "starttls", "127.0.0.1:2525": "starttls",
	} {
		if got := load(t, block("smtp "+server, "from a@example.com")).(*senders.SMTP).TLS; got != want {
			t.Errorf("%s: %s, want %s", server, got, want)
		}
	}
}
