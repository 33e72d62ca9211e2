package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// What every test's gate is configured with.
const (
	testSecret   = "integration-secret-0123456789abcdef"
	testUser     = "alice"
	testPassword = "correct horse battery staple"
	// A bcrypt hash of testPassword that costs next to nothing: the tests sign in often.
	testHash = "$2y$04$Msv.hohLR9wTO70MjJzojusF8tRjYdv9v.v29mVossstkTe3uGIu2"
	// The same with the cost that the gate itself gives, for tests of how good a hash is.
	goodHash = "$2y$10$cAjKtdfbpHAVQzy7wbvEi.SQFS3E4N6GQNzC1XrxvXqgW/QLRT6rO"
)

// caddyBinary is Caddy with the gate, built once with the race detector.
var caddyBinary string

// measuring builds Caddy without the race detector, which makes it several times
// as slow: for the tests that log times, never for make test.
var measuring = os.Getenv("CAPTCHA_GATE_MEASURE") != ""

// counting builds Caddy so that it notes which statements ran, for make coverage.
// Every process that ends by itself then leaves a file in that directory.
var counting = os.Getenv("GOCOVERDIR") != ""

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "captcha-gate-")
	if err != nil {
		log.Fatal(err)
	}
	caddyBinary = filepath.Join(dir, "caddy")
	args := []string{"build", "-o", caddyBinary}
	switch {
	case counting:
		args = append(args, "-cover", "-covermode=atomic", "-coverpkg=./...")
	case !measuring:
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/caddy")...)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("building caddy: %v\n%s", err, out)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// site is a running Caddy with a gate in front of an upstream.
type site struct {
	t        *testing.T
	dir      string // the site's files; also home of its data directory
	url      string // http://127.0.0.1:PORT
	port     int
	admin    string // host:port of the admin endpoint
	upstream *upstream
	users    string // path of the users file

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{}
	log     *lockedBuffer
}

// newSite prepares a site and starts nothing. The Caddyfile is made by
// caddyfile; its users file holds testUser.
func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: dir, log: new(lockedBuffer), users: filepath.Join(dir, "users.htpasswd")}
	s.port = freePort(t)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	s.admin = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.upstream = newUpstream(t)
	s.writeFile("users.htpasswd", testUser+":"+testHash+"\n")
	t.Cleanup(func() {
		if counting {
			s.stop() // what is killed leaves no count
		}
		s.kill()
		if t.Failed() {
			t.Logf("log of caddy:\n%s", s.log.String())
		}
		if strings.Contains(s.log.String(), "WARNING: DATA RACE") {
			t.Errorf("data race in caddy:\n%s", s.log.String())
		}
	})
	return s
}

// startSite starts a site whose gate has the given extra directives and which
// passes everything to the upstream.
func startSite(t *testing.T, directives string) *site {
	t.Helper()
	s := newSite(t)
	s.start(s.caddyfile("captcha_gate {\n" + s.basics() + directives + "\n}\nreverse_proxy " + s.upstream.address))
	return s
}

// basics are the directives that every gate of the tests needs.
func (s *site) basics() string {
	return "users " + s.users + "\nsecret " + testSecret + "\n"
}

// caddyfile wraps the body of the one site block.
func (s *site) caddyfile(body string) string {
	return fmt.Sprintf("{\n\tadmin %s\n\tdefault_bind 127.0.0.1\n\tauto_https off\n\tgrace_period 2s\n}\nhttp://127.0.0.1:%d {\n%s\n}\n", s.admin, s.port, body)
}

func (s *site) writeFile(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// command prepares a caddy command in the site's own environment.
func (s *site) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, caddyBinary, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+s.dir+"/data", "XDG_CONFIG_HOME="+s.dir+"/config",
		"GORACE=halt_on_error=0 atexit_sleep_ms=0")
	return cmd
}

// start runs Caddy with this Caddyfile and waits until it answers.
func (s *site) start(caddyfile string) {
	s.t.Helper()
	s.writeFile("Caddyfile", caddyfile)
	cmd := s.command(context.Background(), "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	s.mu.Lock()
	s.process, s.exited = cmd, exited
	s.mu.Unlock()
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
			s.t.Fatalf("caddy ended at start:\n%s", s.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("caddy does not listen:\n%s", s.log.String())
		}
	}
}

// reload gives the running Caddy a new Caddyfile and returns what the command
// printed; ok says whether it was accepted.
func (s *site) reload(caddyfile string) (output string, ok bool) {
	s.t.Helper()
	s.writeFile("Caddyfile.next", caddyfile)
	out, err := s.command(s.t.Context(), "reload", "--config", "Caddyfile.next", "--adapter", "caddyfile", "--address", s.admin).CombinedOutput()
	return string(out), err == nil
}

// load gives the running Caddy a new Caddyfile without a command of its own,
// which is much quicker.
func (s *site) load(caddyfile string) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://"+s.admin+"/load", strings.NewReader(caddyfile))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/caddyfile")
	r.Close = true // the admin endpoint starts anew with each configuration
	v := newVisitor(s.t, s)
	v.patient = true
	a := v.send(r)
	return a.StatusCode, a.body
}

// stop ends Caddy as an operator would.
func (s *site) stop() { s.end(syscall.SIGTERM) }

// kill ends Caddy as a crash would.
func (s *site) kill() { s.end(syscall.SIGKILL) }

func (s *site) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(signal)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		_ = s.process.Process.Kill()
		<-s.exited
		s.t.Errorf("caddy did not end on %v", signal)
	}
	s.process = nil
}

// upstream is the app behind the gate. It answers with what it saw, as JSON,
// and counts.
type upstream struct {
	server  *httptest.Server
	address string
	mu      sync.Mutex
	seen    []seen
	// handle replaces the echo when set.
	handle http.Handler
}

// seen is one request as the upstream got it.
type seen struct {
	Method string      `json:"method"`
	URI    string      `json:"uri"`
	Host   string      `json:"host"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

func newUpstream(t *testing.T) *upstream {
	u := new(upstream)
	u.server = httptest.NewServer(u)
	u.address = strings.TrimPrefix(u.server.URL, "http://")
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	handle := u.handle
	u.mu.Unlock()
	if handle != nil {
		handle.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s := seen{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body)}
	u.mu.Lock()
	u.seen = append(u.seen, s)
	u.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// requests are all that the upstream has seen.
func (u *upstream) requests() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.seen...)
}

// visitor is one browser without a screen: a client with a cookie jar that
// follows no redirects.
type visitor struct {
	t      *testing.T
	site   *site
	client *http.Client
	// patient asks again when the connection breaks: Caddy resets what waits to be
	// accepted at the moment a reload closes a listener.
	patient bool
	broken  int // how often it broke
}

func newVisitor(t *testing.T, s *site) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, site: s, client: &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// do sends a request; header is a list of names and values.
func (v *visitor) do(method, path, body string, header ...string) answer {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.site.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	return v.send(r)
}

func (v *visitor) send(r *http.Request) answer {
	v.t.Helper()
	response, err := v.client.Do(r)
	for try := 0; err != nil && v.patient && try < 5; try++ {
		v.broken++
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
		response, err = v.client.Do(r)
	}
	if err != nil {
		v.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{response, string(body)}
}

// page loads an address as a person's browser does.
func (v *visitor) page(path string) answer {
	v.t.Helper()
	return v.do("GET", path, "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

// form posts a form as a browser without JavaScript does.
func (v *visitor) form(path string, fields url.Values) answer {
	v.t.Helper()
	return v.do("POST", path, fields.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
}

// json posts an object as a script does.
func (v *visitor) json(path string, fields map[string]any) (answer, reply) {
	v.t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		v.t.Fatal(err)
	}
	a := v.do("POST", path, string(body), "Content-Type", "application/json", "Accept", "application/json")
	return a, decode(v.t, a)
}

// reply is any JSON answer of the gate.
type reply struct {
	Status       string  `json:"status"`
	Code         string  `json:"code"`
	RedirectURL  *string `json:"redirect_url"`
	ErrorMessage string  `json:"error_message"`
	RetryAfter   int     `json:"retry_after"`
	Captcha      *struct {
		Token     string `json:"token"`
		Kind      string `json:"kind"`
		ImageURL  string `json:"image_url"`
		ExpiresAt string `json:"expires_at"`
	} `json:"captcha"`
}

func decode(t *testing.T, a answer) (r reply) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &r); err != nil {
		t.Fatalf("%d %s is not JSON: %v\n%s", a.StatusCode, a.Header.Get("Content-Type"), err, a.body)
	}
	return r
}

var tokenPattern = regexp.MustCompile(`name="captcha_token"[^>]* value="([^"]+)"|value="([^"]+)"[^>]* name="captcha_token"`)

// token finds the challenge in a page of the gate.
func token(t *testing.T, page string) string {
	t.Helper()
	match := tokenPattern.FindStringSubmatch(page)
	if match == nil {
		t.Fatalf("no challenge in the page:\n%s", page)
	}
	return match[1] + match[2]
}

// solve reads the answer of a challenge with the secret that the test
// configured.
func solve(t *testing.T, token string) string {
	t.Helper()
	return solveIn(t, "default", token)
}

func solveIn(t *testing.T, realm, token string) string {
	t.Helper()
	return claimsIn(t, realm, token).Answer
}

// claimsOf is what a challenge of the default realm says.
func claimsOf(t *testing.T, token string) captcha.Claims {
	t.Helper()
	return claimsIn(t, "default", token)
}

func claimsIn(t *testing.T, realm, token string) captcha.Claims {
	t.Helper()
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(testSecret)}, Realm: realm})
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	claims, err := maker.Unpack(token)
	if err != nil {
		t.Fatalf("unpacking the challenge: %v", err)
	}
	return claims
}

// fields is a right sign-in for the challenge of a page.
func fields(t *testing.T, page string) url.Values {
	t.Helper()
	challenge := token(t, page)
	return url.Values{
		"username": {testUser}, "password": {testPassword},
		"captcha_token": {challenge}, "captcha_answer": {solve(t, challenge)},
	}
}

// signIn signs in by form and fails the test if that does not work.
func (v *visitor) signIn() {
	v.t.Helper()
	page := v.page("/login")
	if a := v.form("/login", fields(v.t, page.body)); a.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("sign-in: %d\n%s", a.StatusCode, a.body)
	}
}

// isSignedIn asks the app behind the gate.
func (v *visitor) isSignedIn() bool {
	v.t.Helper()
	return v.do("GET", "/app", "").StatusCode == http.StatusOK
}

// eventually waits for something that takes an unknown short time.
func eventually(t *testing.T, what string, limit time.Duration, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(25 * time.Millisecond) {
		if check() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// nextPort counts through ports below those that systems give to outgoing
// connections: one of these could be taken between the choice and the use.
var nextPort atomic.Int32

// freePort returns a port that nobody listens on and no other test has.
func freePort(t *testing.T) int {
	t.Helper()
	const first, ports = 15000, 15000
	for range ports {
		port := first + (os.Getpid()*64+int(nextPort.Add(1)))%ports
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatal("no free port")
	return 0
}

// lockedBuffer collects a process's output.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func encode(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
