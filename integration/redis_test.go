package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redisServer is a redis-server of one test, on this machine only.
type redisServer struct {
	t       *testing.T
	addr    string // host:port
	dir     string
	options []string
	process *exec.Cmd // nil while it does not run
}

// newRedis prepares a server and starts nothing. Options are those of
// redis.conf, such as "--appendonly", "yes".
func newRedis(t *testing.T, options ...string) *redisServer {
	t.Helper()
	r := &redisServer{t: t, addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), dir: t.TempDir(), options: options}
	t.Cleanup(r.kill)
	return r
}

// run starts the process, again after kill with what the folder holds, and
// waits until it answers.
func (r *redisServer) run() {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	arguments := append([]string{"--bind", host, "--port", port, "--dir", r.dir, "--save", "", "--logfile", "redis.log"}, r.options...)
	r.process = exec.Command("redis-server", arguments...)
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("redis-server (a package of that name): %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if reply, err := r.ask("PING"); err == nil && reply == "PONG" {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(r.dir, "redis.log"))
			r.t.Fatalf("redis-server does not answer:\n%s", said)
		}
	}
}

// kill ends the process as a crash would.
func (r *redisServer) kill() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
	r.process = nil
}

// freeze stops the process without ending it: connections stay open and new
// ones are accepted, but nothing is answered. It returns when it is so.
func (r *redisServer) freeze() {
	r.t.Helper()
	if err := r.process.Process.Signal(syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(r.process.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			r.t.Fatal(err)
		}
	}
	if !status.Stopped() {
		r.t.Fatalf("redis-server did not stop: %v", status)
	}
}

func (r *redisServer) thaw() {
	r.t.Helper()
	if err := r.process.Process.Signal(syscall.SIGCONT); err != nil {
		r.t.Fatal(err)
	}
}

// do runs a command, which must succeed, and returns its reply.
func (r *redisServer) do(words ...string) string {
	r.t.Helper()
	reply, err := r.ask(words...)
	if err != nil {
		r.t.Fatalf("redis %v: %v", words, err)
	}
	return reply
}

// ask runs a command on a connection of its own.
func (r *redisServer) ask(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	command := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		command += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(conn, command); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[:1], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case "-":
		return "", fmt.Errorf("%s", rest)
	case "$":
		length, err := strconv.Atoi(rest)
		if err != nil || length < 0 {
			return "", err
		}
		text := make([]byte, length)
		_, err = io.ReadFull(reader, text)
		return string(text), err
	}
	return rest, nil
}
