package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one that this program has started and will end.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	log    string // the file with what it says
}

// startProcess starts a program; what it says goes to a file.
func startProcess(name, logFile string, env []string, program string, args ...string) (*process, error) {
	out, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own
	p := &process{name: name, cmd: exec.Command(program, args...), exited: make(chan struct{}), log: logFile}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process, and waits for that.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// ended is the error of a process that is gone, with its last words.
func (p *process) ended() error {
	select {
	case <-p.exited:
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s has ended: %s", p.name, text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// cpu is the processor time that the process has used so far, all its threads
// together, those too that have ended. It asks for the process's CPU clock,
// which counts nanoseconds; clock_getcpuclockid(3) makes the clock's number like
// this. /proc/PID/stat counts ticks of 10 ms, which is some percent of a slice
// of load, and /proc/PID/schedstat counts the first thread alone.
func (p *process) cpu() (time.Duration, error) {
	const schedulerClock = 2
	var t unix.Timespec
	clock := ^p.cmd.Process.Pid<<3 | schedulerClock
	if err := unix.ClockGettime(int32(clock), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of %s: %w", p.name, err)
	}
	return time.Duration(t.Nano()), nil
}

// rss is the resident set of the process in MiB.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return residentSet(string(text))
}

// residentSet finds it in the text of /proc/PID/status.
func residentSet(status string) (mib float64, err error) {
	for line := range strings.Lines(status) {
		value, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("VmRSS: %w", err)
		}
		return kib / 1024, nil
	}
	return 0, fmt.Errorf("no VmRSS")
}

// processor finds the model in the text of /proc/cpuinfo.
func processor(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
