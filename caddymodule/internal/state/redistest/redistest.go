// Package redistest runs real Redis servers for tests.
package redistest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a redis-server on a free port of this machine.
type Server struct {
	// Addr is host:port.
	Addr string
	// Dir holds its files.
	Dir string

	t       testing.TB
	first   []string // arguments that come first, in place of those of a server
	options []string
	process *exec.Cmd
}

// Start runs a server until the test ends. Options are those of redis.conf, such as "--appendonly", "yes".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), t: t, options: options}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// StartSentinel runs a sentinel that watches a master and fails over within a second or two.
func StartSentinel(t testing.TB, name, master string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(master)
	s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), t: t}
	file := filepath.Join(s.Dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 300\n"+
		"sentinel failover-timeout %[1]s 2000\n", name, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.first = []string{file, "--sentinel"}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// FreePort is a port that nobody listens on just now.
func FreePort(t testing.TB) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(freeAddr(t))
	return port
}

func freeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// URL is for state.RedisOptions.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Run starts the process, again after Kill, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	arguments := slices.Clone(s.first)
	arguments = append(arguments, "--bind", host, "--port", port, "--dir", s.Dir, "--logfile", filepath.Join(s.Dir, "redis.log"))
	if s.first == nil {
		arguments = append(arguments, "--save", "")
	}
	arguments = append(arguments, s.options...)
	s.process = exec.Command("redis-server", arguments...) //nolint:gosec // the tests' own arguments
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("redis-server (a package of that name): %v", err)
	}
	for range 500 {
		if reply, err := s.ask("PING"); err == nil && !strings.HasPrefix(reply, "-LOADING") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(s.Dir, "redis.log"))
	s.t.Fatalf("redis-server does not answer: %s", log)
}

// Kill ends the process at once.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Freeze stops the process without ending it; connections stay open.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// Do runs a command and returns the reply as text. An error reply fails the test.
func (s *Server) Do(words ...string) string {
	s.t.Helper()
	reply, err := s.ask(words...)
	if err != nil || strings.HasPrefix(reply, "-") {
		s.t.Fatalf("redis %v: %s %v", words, reply, err)
	}
	return reply
}

// Keys are the names that match a pattern; none of ours has a space.
func (s *Server) Keys(pattern string) []string {
	s.t.Helper()
	return strings.Fields(s.Do("KEYS", pattern))
}

// Role is master or slave.
func (s *Server) Role() string {
	s.t.Helper()
	role, _, _ := strings.Cut(s.Do("ROLE"), " ")
	return role
}

func (s *Server) ask(words ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.Write([]byte(command.String())); err != nil {
		return "", err
	}
	return read(bufio.NewReader(c))
}

// read reads one reply; the parts of a list are separated by spaces.
func read(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	kind, rest := line[:1], line[1:]
	n, _ := strconv.Atoi(rest)
	switch {
	case kind == "-":
		return line, nil
	case kind == "$" && n >= 0:
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case kind == "*":
		var parts []string
		for range max(n, 0) {
			part, err := read(r)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, " "), nil
	}
	return rest, nil
}
