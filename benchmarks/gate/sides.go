package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
)

const (
	// password of all users.
	password = "correct horse battery staple"
	// cost of the hashes.
	cost = 10
	// someUsers are in every users file that is not about their number.
	someUsers = 10
	// withPassword is how many users at most have the password.
	withPassword = 24
)

// site is a running Caddy.
type site struct {
	*process
	address string // host:port
	side    string
}

// config is what one side runs with.
type config struct {
	side    string
	users   int
	human   bool   // a gate that asks no password
	trusted bool   // believe X-Forwarded-For
	state   string // of a captcha_gate
}

// startSite starts a Caddy and waits for its first answer. started is how long
// that took.
func (b *bench) startSite(c config) (s *site, started time.Duration, err error) {
	b.sites++
	dir := filepath.Join(b.dir, fmt.Sprintf("site-%d", b.sites))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, 0, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, 0, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, 0, err
	}
	file := filepath.Join(dir, "Caddyfile")
	text, err := b.caddyfile(c, dir, address, admin)
	if err != nil {
		return nil, 0, err
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, 0, err
	}
	env := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir + "/data", "XDG_CONFIG_HOME=" + dir + "/config"}
	began := time.Now()
	p, err := startProcess(c.side, filepath.Join(dir, "log"), env, b.caddy, "run", "--config", file, "--adapter", "caddyfile")
	if err != nil {
		return nil, 0, err
	}
	b.running = append(b.running, p)
	s = &site{process: p, address: address, side: c.side}
	for time.Since(began) < time.Minute {
		v := s.visitor("")
		_, err := v.send("GET", "/", "", acceptJSON)
		v.close()
		if err == nil {
			return s, time.Since(began), nil
		}
		if err := errors.Join(p.ended(), b.ctx.Err()); err != nil {
			return nil, 0, err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil, 0, fmt.Errorf("%s does not answer", c.side)
}

// caddyfile is the configuration of a side, whose files go to dir.
func (b *bench) caddyfile(c config, dir, address, admin string) (string, error) {
	proxy := "reverse_proxy " + b.upstream + "\n"
	global, handlers := "", proxy
	var err error
	switch c.side {
	case figures.Bare, figures.BareAgain:
	case figures.BareTold:
		handlers = "request_header -Cookie\nrequest_header Remote-User " + userName(0) + "\n" + proxy
	case figures.BasicAuth:
		handlers = basicAuth(c) + proxy
	case figures.CaddySecurity:
		global, handlers, err = security(c, dir, proxy)
	default:
		handlers, err = b.captchaGate(c, dir)
		handlers += proxy
	}
	return frame(c, global, handlers, address, admin, dir), err
}

// frame is what the Caddyfiles of all sides have in common.
func frame(c config, global, site, address, admin, dir string) string {
	trusted := ""
	if c.trusted {
		trusted = "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n"
	}
	return fmt.Sprintf("{\nadmin %s\nstorage file_system %s/storage\npersist_config off\nauto_https off\ngrace_period 1s\n%s%s}\n"+
		"http://%s {\nbind 127.0.0.1\n%s}\n", admin, dir, trusted, global, portOf(address), site)
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':'):] }

// captchaGate is the directive of ours. Its limits are so wide that nothing here
// meets them; everything else is the default.
func (b *bench) captchaGate(c config, dir string) (string, error) {
	const wide = 1_000_000_000
	who := "human_only"
	if !c.human {
		var text strings.Builder
		for _, a := range accounts(c.users) {
			fmt.Fprintf(&text, "%s:%s\n", a.name, a.hash)
		}
		file := filepath.Join(dir, "users.htpasswd")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			return "", err
		}
		who = "users " + file
	}
	return fmt.Sprintf("captcha_gate {\n%s\nsecret %s\nstate %s\nthrottle {\nclient %d 10m\nuser %[4]d 10m\nissue %[4]d 1m\n}\n}\n",
		who, gateSecret, c.state, wide), nil
}

func basicAuth(c config) string {
	var text strings.Builder
	text.WriteString("basic_auth {\n")
	for _, a := range accounts(c.users) {
		fmt.Fprintf(&text, "%s %s\n", a.name, a.hash)
	}
	return text.String() + "}\n"
}

// account is a line of a users file.
type account struct{ name, hash string }

func userName(i int) string { return fmt.Sprintf("user%d", i) }

// hashes of the password, each with another salt, or basic_auth would know the
// password of one user from that of another.
var hashes = sync.OnceValue(func() []string {
	all := make([]string, withPassword)
	for i := range all {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		if err != nil {
			panic(err) // the password and the cost are constants
		}
		all[i] = string(hash)
	}
	return all
})

// accounts are so many users. The first have the password; the hashes of the
// others are right in form, each another, and no password's.
func accounts(count int) []account {
	known := hashes()
	all := make([]account, count)
	for i := range all {
		all[i].name = userName(i)
		if i < len(known) {
			all[i].hash = known[i]
		} else {
			all[i].hash = fmt.Sprintf("%s%08d%s", known[0][:7], i, known[0][15:])
		}
	}
	return all
}

func containsText(body []byte, part string) bool { return bytes.Contains(body, []byte(part)) }

// basicLine is the header that basic_auth asks for.
func basicLine(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
