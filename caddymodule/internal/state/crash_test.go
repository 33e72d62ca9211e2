package state

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// How often the crash test kills; see there.
const crashRounds = "STATE_TEST_CRASHES"

// With this variable set, the test binary is the process that the crash test kills.
const crashFile = "STATE_TEST_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		crashLoop(path)
	}
	os.Exit(m.Run())
}

// The entries of the crash test end long after any run of it.
var crashUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func crashKey(kind, id string) Key { return KeyOf("crash", kind, []byte(id)) }

// crashLoop works on the store until it is killed. It prints a line for each call that returned, and one before each
// Delete, for after that the record may be gone or not.
func crashLoop(path string) {
	l, err := OpenLocal(path, Options{flushEvery: 2 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				crashStep(l, fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i), i%3 == 0)
			}
		})
	}
	wg.Wait()
}

func crashStep(l *Local, id string, remove bool) {
	say := func(what string, err error) {
		if err != nil {
			what = "error"
		}
		os.Stdout.WriteString(what + " " + id + "\n") // one write, so that lines come whole
	}
	ctx := context.Background()
	session, spent := crashKey("session", id), crashKey("spent", id)
	say("put", l.Put(ctx, session, []byte(id), crashUntil))
	if first, err := l.Take(ctx, epochOf(l), spent, crashUntil); first {
		say("taken", err)
	} else {
		say("error", err)
	}
	refresh := func() { l.Refresh(ctx, session, []byte(id), crashUntil) }
	refresh()
	if remove {
		say("deleting", nil)
		var wg sync.WaitGroup
		wg.Go(refresh)
		err := l.Delete(ctx, session)
		say("deleted", err)
		refresh()
		wg.Wait()
	}
}

// After kill -9 at any moment the file opens and knows all that was acknowledged.
func TestAcknowledgedIsKeptOverKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	said := make(map[string]map[string]bool) // what was said of each id, in all rounds
	var epoch Epoch
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv(crashRounds)); err == nil {
		rounds = n
	}
	for round := range rounds {
		for _, line := range runUntilKilled(t, path, random.IntN(600)) {
			what, id, _ := strings.Cut(line, " ")
			if what == "error" {
				t.Fatalf("round %d: %s", round, line)
			}
			if said[id] == nil {
				said[id] = make(map[string]bool)
			}
			said[id][what] = true
		}
		l, err := OpenLocal(path, Options{flushEvery: time.Hour})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := l.Ready(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if e, err := l.Epoch(t.Context()); err != nil || round > 0 && e != epoch {
			t.Fatalf("round %d: epoch %x, %v; was %x", round, e, err, epoch)
		} else {
			epoch = e
		}
		for id, said := range said {
			checkCrashed(t, l, id, said)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(said) < 100 {
		t.Fatalf("only %d records were written in all", len(said))
	}
}

// runUntilKilled runs the child, kills it after so many lines, and returns all whole lines.
func runUntilKilled(t *testing.T, path string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			break // what is left is not whole
		}
		if lines = append(lines, strings.TrimSpace(line)); len(lines) == after+1 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait() // says that it was killed
	return lines
}

func checkCrashed(t *testing.T, l *Local, id string, said map[string]bool) {
	t.Helper()
	v, err := l.Get(t.Context(), crashKey("session", id))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case said["deleted"] && v != nil:
		t.Errorf("SES-3: %s was deleted and is back", id)
	case said["put"] && !said["deleting"] && string(v) != id:
		t.Errorf("%s was put and reads %q", id, v)
	}
	if !said["taken"] {
		return
	}
	if m, ok := l.live.Load().table.lookup(crashKey("spent", id)); !ok || m.kind != mark {
		t.Errorf("CAP-1: %s was taken and is free", id)
	}
}
