package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// finding is one check of the doctor.
type finding struct{ Check, Level, Says, Mend string }

// doctor examines a site and returns what it found, whether or not it was well. Nothing secret may show.
func (s *site) doctor(url, input string, args ...string) []finding {
	s.t.Helper()
	if len(args) == 0 || args[0] != "--config" {
		args = append([]string{"--config", "Caddyfile"}, args...)
	}
	command := s.command(s.t.Context(), append([]string{"captcha-gate", "doctor", "--json", "--url", url}, args...)...)
	var out, problems strings.Builder
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &problems
	code := exitOf(s.t, command.Run())
	var found []finding
	if err := json.Unmarshal([]byte(out.String()), &found); err != nil {
		s.t.Fatalf("exit %d, %v:\n%s%s", code, err, out.String(), problems.String())
	}
	if want := min(len(levels(found, "problem")), 1); code != want {
		s.t.Errorf("exit %d, want %d", code, want)
	}
	for _, secret := range []string{testSecret, testPassword, testHash, "another password"} {
		if strings.Contains(out.String()+problems.String(), secret) {
			s.t.Errorf("%q is in the output:\n%s%s", secret, out.String(), problems.String())
		}
	}
	for _, f := range found {
		if f.Level != "ok" && f.Mend == "" {
			s.t.Errorf("nothing to mend: %+v", f)
		}
	}
	return found
}

// levels are the checks that came out like this, each once.
func levels(found []finding, level string) (checks []string) {
	for _, f := range found {
		if f.Level == level && (len(checks) == 0 || checks[len(checks)-1] != f.Check) {
			checks = append(checks, f.Check)
		}
	}
	return checks
}

func told(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-8s %-15s %s -> %s\n", f.Level, f.Check, f.Says, f.Mend)
	}
	return b.String()
}

func TestTheDoctorFindsNothingWrongWithAHealthySite(t *testing.T) {
	t.Parallel()
	asUser := []string{"--user", testUser}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *site) (caddyfile, path string)
		proxy   *between
		args    []string
	}{
		"plain": {func(_ *testing.T, s *site) (string, string) {
			return s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address), "/wiki?x=1"
		}, nil, asUser},
		"without a user, with a secret of its own": {func(_ *testing.T, s *site) (string, string) {
			return s.caddyfile("captcha_gate {\nusers users.htpasswd\nstate memory\n}\nreverse_proxy " + s.upstream.address), "/"
		}, nil, nil},
		"below a path": {func(_ *testing.T, s *site) (string, string) {
			return s.caddyfile("handle_path /shop/* {\ncaptcha_gate {\n" + s.basics() + "login /sign-in\n}\nreverse_proxy " + s.upstream.address + "\n}"), "/shop/cart"
		}, nil, asUser},
		"behind a trusted proxy": {func(_ *testing.T, s *site) (string, string) {
			return trusting(s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address)), "/"
		}, &between{https: true}, asUser},
		"for humans only, when suspicious off": {func(_ *testing.T, s *site) (string, string) {
			return s.caddyfile("captcha_gate {\nhuman_only\nsecret " + testSecret + "\ncaptcha {\nbind address\nwork 1s\n}\n}\nreverse_proxy " + s.upstream.address), "/"
		}, nil, nil},
		"suspicious, with Redis": {func(t *testing.T, s *site) (string, string) {
			redis := newRedis(t, "--maxmemory-policy", "noeviction")
			redis.run()
			return s.caddyfile("captcha_gate {\n" + s.basics() + "captcha {\nwhen suspicious\n}\nstate redis redis://" + redis.addr + "\n}\nreverse_proxy " + s.upstream.address), "/"
		}, nil, asUser},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.writeFile("users.htpasswd", testUser+":"+goodHash+"\n")
			caddyfile, path := c.prepare(t, s)
			s.start(caddyfile)
			at := s.url
			if c.proxy != nil {
				at = startProxy(t, s, *c.proxy).URL
				c.args = append(c.args, "--ca", "ca.pem")
			}
			found := s.doctor(at+path, testPassword+"\n", c.args...)
			if bad := append(levels(found, "problem"), levels(found, "warning")...); len(bad) > 0 {
				t.Errorf("%v:\n%s", bad, told(found))
			}
			if says := told(found); len(c.args) > 0 && c.args[0] == "--user" && !strings.Contains(says, "signed out") {
				t.Errorf("not signed in and out:\n%s", says)
			}
		})
	}
}

// hoard keeps the first answer to everything that is asked by GET, whatever it says.
func hoard(next http.Handler) http.Handler {
	var mu sync.Mutex
	kept := map[string]*httptest.ResponseRecorder{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.URL.String()
		answer := kept[key]
		if answer == nil || r.Method != http.MethodGet {
			answer = httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			if r.Method == http.MethodGet {
				kept[key] = answer
			}
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = io.Copy(w, bytes.NewReader(answer.Body.Bytes()))
	})
}

// Each proxy spoils one thing on the way to one healthy site, which trusts it.
func TestTheDoctorFindsWhatAProxySpoils(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(trusting(s.caddyfile("captcha_gate {\n" + s.basics() + patient + "}\nreverse_proxy " + s.upstream.address)))
	dropping := func(name string) func(*http.Response) error {
		return func(r *http.Response) error { r.Header.Del(name); return nil }
	}
	for name, c := range map[string]struct {
		proxy between
		want  []string // all problems
		says  string
	}{
		"it hides that it speaks HTTPS": {between{https: true, request: func(p *httputil.ProxyRequest) {
			p.Out.Header.Del("X-Forwarded-Proto")
		}}, []string{"https"}, "X-Forwarded-Proto $scheme"},
		"it hides addresses": {between{request: func(p *httputil.ProxyRequest) {
			p.Out.Header.Del("X-Forwarded-For")
		}}, []string{"client address"}, "X-Forwarded-For"},
		"it keeps everything": {between{wrap: hoard}, []string{"cache"}, "same captcha"},
		"it keeps the app's pages": {between{wrap: func(next http.Handler) http.Handler {
			kept := hoard(next)
			var keeps atomic.Bool
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// From the first sign-in on, everybody gets the page.
				if _, err := r.Cookie("captcha_gate"); err == nil {
					keeps.Store(true)
				}
				if keeps.Load() && r.URL.Path == "/" {
					kept.ServeHTTP(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		}}, []string{"sign-out"}, "still shown"},
		"it keeps old pages": {between{response: func(r *http.Response) error {
			r.Header.Set("Age", "40")
			return nil
		}}, []string{"cache"}, "Age: 40"},
		"it lets browsers keep pages": {between{response: func(r *http.Response) error {
			r.Header.Set("Cache-Control", "public, max-age=600")
			return nil
		}}, []string{"cache"}, "no-store"},
		"it takes cookies from answers": {between{response: dropping("Set-Cookie")}, []string{"cookie"}, "Set-Cookie"},
		"it takes cookies from questions": {between{request: func(p *httputil.ProxyRequest) {
			p.Out.Header.Del("Cookie")
		}}, []string{"cookie"}, "proxy_set_header Cookie"},
		"its clock is wrong": {between{response: func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(-10*time.Minute-30*time.Second).UTC().Format(http.TimeFormat))
			return nil
		}}, []string{"clock"}, "10m"},
		"it changes Host": {between{request: func(p *httputil.ProxyRequest) {
			p.Out.Host = fmt.Sprintf("127.0.0.1:%d", s.port)
		}}, []string{"post"}, "proxy_set_header Host $http_host"},
		"it lets no form through": {between{wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					http.Error(w, "no", http.StatusMethodNotAllowed)
					return
				}
				next.ServeHTTP(w, r)
			})
		}}, []string{"post"}, "405"},
		"it blocks pictures": {between{wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".png") {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				next.ServeHTTP(w, r)
			})
		}}, []string{"picture"}, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startProxy(t, s, c.proxy)
			args := []string{"--user", testUser}
			if c.proxy.https {
				args = append(args, "--ca", "ca.pem")
			}
			found := s.doctor(server.URL+"/", testPassword+"\n", args...)
			says := told(found)
			if !slices.Equal(levels(found, "problem"), c.want) || !strings.Contains(says, c.says) {
				t.Errorf("want problems with %v that say %q:\n%s", c.want, c.says, says)
			}
		})
	}
	t.Run("nobody knows its certificate", func(t *testing.T) {
		found := s.doctor(startProxy(t, s, between{https: true}).URL, testPassword+"\n", "--user", testUser)
		if says := told(found); !strings.Contains(says, "--ca") || !strings.Contains(says, "not tried: a password is not sent") {
			t.Errorf("%s", says)
		}
	})
}

// Each change makes one thing of the configuration, or of what it names, not fit the running site.
func TestTheDoctorFindsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	running := s.caddyfile("captcha_gate {\n" + s.basics() + patient + "}\nreverse_proxy " + s.upstream.address)
	s.start(running)
	files := 0
	config := func(old, new string) string {
		files++
		return s.writeFile(fmt.Sprintf("%d.caddyfile", files), strings.Replace(running, old, new, 1))
	}
	users := func(content string) string {
		return config(s.users, s.writeFile(fmt.Sprintf("%d.htpasswd", files), content))
	}
	for name, c := range map[string]struct {
		config string // other than the running one
		url    string
		user   string
		typed  string
		want   string // problem
		says   string
	}{
		"no users file":            {config: config(s.users, s.dir+"/none.htpasswd"), want: "users", says: "none.htpasswd"},
		"a users file without use": {config: users("alice\nbob:plain\n"), want: "users", says: "line 1: no colon"},
		"everybody locked":         {config: users("alice:!" + testHash + "\n"), want: "users", says: "1 user is locked"},
		"another users file":       {config: users("bob:" + testHash + "\n"), user: "bob", typed: testPassword, want: "sign-in", says: "another file"},
		"another secret":           {config: config(testSecret, strings.Repeat("s", 32)), user: testUser, typed: testPassword, want: "secret", says: "caddy reload"},
		"another realm":            {config: config("secret", "realm blog\nsecret"), want: "secret", says: "realm"},
		"another login":            {config: config("secret", "login /sign-in\nsecret"), want: "configuration", says: "/sign-in"},
		"a wrong password":         {user: testUser, typed: "another password", want: "sign-in", says: "wrong"},
		"no such user":             {user: "nobody", typed: testPassword, want: "sign-in", says: "no such user"},
		"a configuration in error": {config: config("users", "userz"), want: "configuration", says: "userz"},
		"no gate":                  {config: s.writeFile("none", "example.com {\nrespond hello\n}\n"), want: "configuration", says: "no captcha_gate"},
		"no such file":             {config: "nowhere", want: "configuration", says: "nowhere"},
		"no such name":             {url: "http://nowhere.invalid/", want: "dns", says: "A or AAAA"},
		"nobody there":             {url: fmt.Sprintf("http://127.0.0.1:%d/", freePort(t)), want: "connection", says: "nothing listens"},
		"another host":             {url: fmt.Sprintf("http://localhost:%d/", s.port), want: "gate", says: "the gate is not there"},
		"HTTPS where is none":      {url: strings.Replace(s.url, "http", "https", 1), want: "tls", says: "plain HTTP"},
		"a missing contacts file":  {config: config("secret", "contacts /none.json\nsecret"), want: "contacts", says: "/none.json"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.config == "" {
				c.config = "Caddyfile"
			}
			if c.url == "" {
				c.url = s.url
			}
			args := []string{"--config", c.config}
			if c.user != "" {
				args = append(args, "--user", c.user)
			}
			found := s.doctor(c.url, c.typed+"\n", args...)
			if says := told(found); !strings.Contains(strings.Join(levels(found, "problem"), " "), c.want) || !strings.Contains(says, c.says) {
				t.Errorf("want a problem with %s that says %q:\n%s", c.want, c.says, says)
			}
		})
	}
}

// Sites that are built wrongly, or lack something.
func TestTheDoctorFindsWhatIsBuiltWrongly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *site) (caddyfile string, then func())
		want    string
		says    string
	}{
		"the app has the sign-in path": {func(_ *testing.T, s *site) (string, func()) {
			return s.caddyfile("handle /login {\nreverse_proxy " + s.upstream.address + "\n}\nhandle {\ncaptcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address + "\n}"), nil
		}, "sign-in page", "login /sign-in"},
		"the app has the base path": {func(_ *testing.T, s *site) (string, func()) {
			return s.caddyfile("handle /captcha-gate/* {\nreverse_proxy " + s.upstream.address + "\n}\nhandle {\ncaptcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address + "\n}"), nil
		}, "base path", "base_path /gate"},
		"an HTTPS proxy that is not trusted": {func(t *testing.T, s *site) (string, func()) {
			return s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address), func() {
				s.url = startProxy(t, s, between{https: true}).URL
			}
		}, "https client address", "trusted_proxies"},
		"cookies for another domain": {func(_ *testing.T, s *site) (string, func()) {
			return s.caddyfile("captcha_gate {\n" + s.basics() + "session {\ncookie_domain example.com\n}\n}\nreverse_proxy " + s.upstream.address), nil
		}, "cookie", "cookie_domain"},
		"cookies for HTTPS over HTTP": {func(t *testing.T, s *site) (string, func()) {
			return trusting(s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address)), func() {
				proxy := startProxy(t, s, between{request: func(p *httputil.ProxyRequest) { p.Out.Header.Set("X-Forwarded-Proto", "https") }})
				s.url = proxy.URL
			}
		}, "https", "plain HTTP"},
		"Redis is away": {func(t *testing.T, s *site) (string, func()) {
			redis := newRedis(t)
			redis.run()
			return s.caddyfile("captcha_gate {\n" + s.basics() + "state redis redis://" + redis.addr + "\n}\nreverse_proxy " + s.upstream.address), redis.kill
		}, "state", "redis"},
		"the app is public for caches": {func(_ *testing.T, s *site) (string, func()) {
			s.upstream.handle = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				w.Header().Set("Age", "5")
			})
			return s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address), nil
		}, "cache", "pages of the app"},
		"the users file is gone": {func(t *testing.T, s *site) (string, func()) {
			return s.caddyfile("captcha_gate {\n" + s.basics() + "}\nreverse_proxy " + s.upstream.address), func() {
				if err := os.Remove(s.users); err != nil {
					t.Fatal(err)
				}
			}
		}, "users", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			caddyfile, then := c.prepare(t, s)
			s.start(caddyfile)
			if then != nil {
				then()
			}
			args := []string{"--user", testUser}
			if strings.HasPrefix(s.url, "https") {
				args = append(args, "--ca", "ca.pem")
			}
			found := s.doctor(s.url+"/", testPassword+"\n", args...)
			if says := told(found); !strings.Contains(strings.Join(levels(found, "problem"), " "), c.want) || !strings.Contains(says, c.says) {
				t.Errorf("want a problem with %s that says %q:\n%s", c.want, c.says, says)
			}
		})
	}
}

func TestTheDoctorsCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for want, args := range map[string][]string{
		"--config":     {"--url", "http://127.0.0.1/"},
		"--url":        {"--config", "Caddyfile"},
		"ftp":          {"--config", "Caddyfile", "--url", "ftp://127.0.0.1/"},
		"never":        {"--config", "Caddyfile", "--url", "http://127.0.0.1/", "word"},
		"unknown flag": {"--password", "secret-word"},
		"--ca":         {"--config", "Caddyfile", "--url", "http://127.0.0.1/", "--ca", "none.pem"},
	} {
		_, problems, err := s.run(append([]string{"captcha-gate", "doctor"}, args...)...)
		if code := exitOf(t, err); code != 2 || !strings.Contains(problems, want) || strings.Contains(problems, "secret-word") {
			t.Errorf("%v: %d %s", args, code, problems)
		}
	}
}
