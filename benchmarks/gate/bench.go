package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/captcha-gate/captcha-gate/benchmarks/gate/figures"
	"github.com/captcha-gate/captcha-gate/captcha"
)

const (
	// connections that carry the load, kept open.
	connections = 8
	// gateSecret seals the challenges, and reads them.
	gateSecret = "benchmark-secret-0123456789abcdef"
)

// bench is one run of this program.
type bench struct {
	options
	ctx      context.Context
	raw      io.Writer
	dir      string // for everything that the processes write
	caddy    string // the program
	upstream string // host:port
	redis    string // host:port
	captchas *captcha.Maker
	running  []*process
	keep     int // how many of those run until the end
	sites    int // started so far
}

// newBench builds Caddy and starts what all experiments need.
func newBench(ctx context.Context, o options, raw io.Writer) (*bench, error) {
	b := &bench{options: o, ctx: ctx, raw: raw}
	var err error
	if b.captchas, err = captcha.New(captcha.Options{Secrets: [][]byte{[]byte(gateSecret)}, Realm: "default", CacheBytes: 1}); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "gate-"); err != nil {
		return nil, err
	}
	if err := b.prepare(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare() error {
	b.say("building Caddy with all gates (some minutes the first time) ...")
	b.caddy = filepath.Join(b.dir, "caddy")
	build := exec.CommandContext(b.ctx, "go", "build", "-o", b.caddy, ".") //nolint:gosec // our own
	build.Dir = filepath.Join(b.root, "benchmarks", "gate", "caddy")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building caddy: %w\n%s", err, out)
	}
	if err := b.startUpstream(); err != nil {
		return err
	}
	if err := b.startRedis(); err != nil {
		return err
	}
	b.keep = len(b.running)
	return b.recordMachine()
}

// close ends everything that was started.
func (b *bench) close() {
	b.keep = 0
	b.stopAll()
	b.captchas.Close()
	_ = os.RemoveAll(b.dir)
}

// stopAll ends the processes of an experiment.
func (b *bench) stopAll() {
	for _, p := range slices.Backward(b.running[b.keep:]) {
		p.stop()
	}
	b.running = b.running[:b.keep]
}

// stop ends one process before its experiment is over.
func (b *bench) stop(p *process) {
	p.stop()
	b.running = slices.DeleteFunc(b.running, func(other *process) bool { return other == p })
}

func (b *bench) startUpstream() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if b.upstream, err = freeAddress(); err != nil {
		return err
	}
	return b.helper("app", b.upstream, self, upstreamCommand, b.upstream)
}

func (b *bench) startRedis() (err error) {
	if b.redis, err = freeAddress(); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(b.redis)
	dir := filepath.Join(b.dir, "redis")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return b.helper("redis-server", b.redis, "redis-server", "--bind", host, "--port", port, "--dir", dir, "--save", "")
}

// helper starts a process that is not measured, and waits until it listens.
func (b *bench) helper(name, address, program string, args ...string) error {
	p, err := startProcess(name, filepath.Join(b.dir, name+".log"), nil, program, args...)
	if err != nil {
		return err
	}
	b.running = append(b.running, p)
	for range 500 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		if err := p.ended(); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s does not listen", name)
}

// freeAddress is a port of this machine that nobody listens on just now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

var redisVersion = regexp.MustCompile(`v=([0-9.]+)`)

// recordMachine says what everything runs on. It names no machine.
func (b *bench) recordMachine() error {
	info, err := buildinfo.ReadFile(b.caddy)
	if err != nil {
		return err
	}
	m := figures.Machine{
		Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: info.GoVersion,
		Seconds: b.seconds, Connections: connections,
	}
	for _, dependency := range info.Deps {
		switch dependency.Path {
		case "github.com/caddyserver/caddy/v2":
			m.Caddy = dependency.Version
		case "github.com/greenpau/caddy-security":
			m.Security = dependency.Version
		}
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	m.CPU = processor(string(cpuinfo))
	said, err := exec.CommandContext(b.ctx, "redis-server", "--version").Output()
	if err != nil {
		return err
	}
	if match := redisVersion.FindSubmatch(said); match != nil {
		m.Redis = string(match[1])
	}
	if m.Caddy == "" || m.Security == "" {
		return errors.New("caddy was built without its gates")
	}
	return b.record(figures.Record{Machine: &m})
}

// solve reads the answer of a challenge with the operator's secret, as
// `caddy captcha-gate answer` does.
func (b *bench) solve(token string) (string, error) {
	claims, err := b.captchas.Unpack(token)
	return claims.Answer, err
}

// tokenIn finds the challenge in a sign-in page.
func tokenIn(page []byte) (string, error) {
	_, rest, found := strings.Cut(string(page), `name="captcha_token" value="`)
	token, _, ended := strings.Cut(rest, `"`)
	if !found || !ended || token == "" {
		return "", errors.New("a sign-in page without a challenge")
	}
	return token, nil
}
