package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// jobs are what processes of their own do. Each gets the path of a file.
var jobs = map[string]func(path string) string{
	"count": count,
	"hold":  hold,
}

// increment is a change that loses nothing only if all others wait.
func increment(old []byte) ([]byte, error) {
	n, err := strconv.Atoi(strings.TrimSpace(string(old)))
	return fmt.Appendln(nil, n+1), err
}

const (
	countLoops = 10
	countTimes = 5
)

// count counts the number in the file up, in several loops at a time and with two Files.
func count(path string) string {
	var wg sync.WaitGroup
	said := make(chan error, countLoops*countTimes)
	files := []*File{eager(path), eager(path)}
	for i := range countLoops {
		wg.Go(func() {
			for range countTimes {
				said <- files[i%2].Edit(increment)
			}
		})
	}
	wg.Wait()
	close(said)
	var all error
	for err := range said {
		all = errors.Join(all, err)
	}
	return fmt.Sprint(all)
}

// hold keeps the lock until it is killed.
func hold(path string) string {
	return fmt.Sprint(eager(path).Edit(func([]byte) ([]byte, error) {
		fmt.Println("held")
		time.Sleep(time.Hour)
		return nil, nil
	}))
}

func TestUSR9_NoEditIsLostBetweenProcesses(t *testing.T) {
	path := newFile(t, "0\n")
	var wg sync.WaitGroup
	const processes = 4
	for range processes {
		wg.Go(func() {
			out, err := process("count", path, nil).Output()
			if err != nil || string(out) != "<nil>" {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	// Readers find a whole number at any moment.
	stop := make(chan struct{})
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		for last := 0; ; {
			select {
			case <-stop:
				return
			default:
			}
			text, err := Read(path)
			n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil || !bytes.HasSuffix(text, []byte("\n")) || n < last {
				t.Errorf("read %q after %d: %v", text, last, err)
				return
			}
			last = n
			time.Sleep(time.Millisecond)
		}
	}()
	wg.Wait()
	close(stop)
	<-reader
	wantText(t, path, fmt.Sprintln(processes*countLoops*countTimes))
	wantFolder(t, filepath.Dir(path), "users")
}

// holding starts a process that keeps the lock.
func holding(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := process("hold", path, nil)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestLockIsWaitedForAndEndsWithItsProcess(t *testing.T) {
	path := newFile(t, "old")
	holder := holding(t, path)
	f := eager(path)
	f.wait = 200 * time.Millisecond
	start := time.Now()
	if err := f.Edit(to("new")); !errors.Is(err, ErrBusy) || time.Since(start) > 5*time.Second {
		t.Errorf("error %v after %v, want ErrBusy", err, time.Since(start))
	}
	wantText(t, path, "old")
	must(t, f.Writable())

	time.AfterFunc(100*time.Millisecond, func() { _ = holder.Process.Kill() })
	must(t, eager(path).Edit(to("new")))
	wantText(t, path, "new")
	wantFolder(t, filepath.Dir(path), "users")
}

func TestTurnIsWaitedFor(t *testing.T) {
	path := newFile(t, "old")
	f := eager(path)
	f.wait = 100 * time.Millisecond
	err := f.Edit(func([]byte) ([]byte, error) {
		if err := f.Edit(to("inner")); !errors.Is(err, ErrBusy) {
			t.Errorf("error %v, want ErrBusy", err)
		}
		return []byte("outer"), nil
	})
	must(t, err)
	wantText(t, path, "outer")
}

// Who waited for the lock of a file that was then replaced edits the new one.
func TestLockIsOnTheFileThatHasTheName(t *testing.T) {
	path := newFile(t, "old")
	holding(t, path)
	must(t, os.WriteFile(path+".new", []byte("newer"), 0o600))
	time.AfterFunc(100*time.Millisecond, func() { _ = os.Rename(path+".new", path) })
	must(t, eager(path).Edit(func(old []byte) ([]byte, error) { return append([]byte("edited "), old...), nil }))
	wantText(t, path, "edited newer")
}
