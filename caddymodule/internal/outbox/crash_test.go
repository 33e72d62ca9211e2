package outbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

// How often the crash test kills; see there.
const crashRounds = "OUTBOX_TEST_CRASHES"

// With these set, the test binary is the process that the crash test kills, or one that only sends what is left.
const (
	crashFile  = "OUTBOX_TEST_CRASH_FILE"
	crashDrain = "OUTBOX_TEST_CRASH_DRAIN"
)

// crashTiming is quicker than real, so that many rounds fit into a test; what it is measured against is alike.
var crashTiming = timing{
	first: time.Millisecond, every: 5 * time.Millisecond, ahead: 20 * time.Millisecond, send: 300 * time.Millisecond,
	lease: 400 * time.Millisecond, spare: 50 * time.Millisecond, orphan: 100 * time.Millisecond, drain: time.Second,
	retry: 5 * time.Millisecond, poll: time.Millisecond,
}

// say prints a line in one write, so that lines come whole.
func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// tellingStore says which messages have their outcome written.
type tellingStore struct{ state.Store }

func (s tellingStore) Swap(ctx context.Context, k state.Key, old, value []byte, until time.Time) (bool, []byte, error) {
	swapped, current, err := s.Store.Swap(ctx, k, old, value, until)
	if r, bad := decode(value, k, testRealm); bad == nil && r.phase == sent && swapped && err == nil {
		say("written", fmt.Sprintf("%x", k))
	}
	return swapped, current, err
}

// tellingSender says what it hands over. Like any sender it takes nothing once its time is over, and what a busy
// machine adds between the outbox's last look at the clock and this one does not make a message late.
type tellingSender struct{}

func (tellingSender) Send(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if time.Since(m.Expires) > 200*time.Millisecond {
		say("late", m.ID)
	}
	say("begun", m.ID)
	time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond) // whatever ctx says, so that a busy machine is no failure
	say("taken", m.ID)
	return nil
}

// crashChild posts until it is killed, or sends what is left until nothing is.
func crashChild(path string) {
	s, err := state.OpenLocal(path, state.Options{})
	keys, keyErr := newTestKeys('a')
	if err != nil || keyErr != nil {
		say("error", err, keyErr)
		os.Exit(1)
	}
	o := New(Options{
		Store: tellingStore{s}, Realm: testRealm, Keys: keys, Senders: map[string]Sender{"sms": tellingSender{}}, timing: crashTiming,
	})
	o.Start()
	for os.Getenv(crashDrain) == "" {
		m := message(time.Minute)
		kind := "posted"
		if rand.IntN(4) == 0 {
			kind, m.Expires = "brief", time.Now().Add(30*time.Millisecond)
		}
		id, err := o.Post(context.Background(), m)
		if errors.Is(err, ErrFull) { // rounds are short, and what is left of them piles up
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			say("error", err)
			os.Exit(1)
		}
		say(kind, id)
	}
	for {
		_, entries, err := o.index(context.Background())
		pending := 0
		for _, e := range entries {
			if time.Now().Add(grace).Before(e.end) { // what has ended stays listed a little longer
				pending++
			}
		}
		if err == nil && pending == 0 {
			o.Close()
			_ = s.Close()
			os.Exit(0)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// After kill -9 at any moment nothing is lost that was acknowledged, and only what was being handed over comes twice.
func TestAcknowledgedIsSentOverKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv(crashRounds)); err == nil {
		rounds = n
	}
	posted, written, taken := make(map[string]bool), make(map[string]bool), make(map[string]int)
	again := 0
	for round := range rounds + 1 {
		after := random.IntN(150)
		if round == rounds {
			after = -1 // nobody kills the last one
		}
		here := make(map[string]bool)
		for _, line := range runUntilKilled(t, path, after) {
			what, id, _ := strings.Cut(line, " ")
			switch what {
			case "posted":
				posted[id] = true
			case "written":
				written[id] = true
			case "taken":
				own, _ := parseID(id)
				key := fmt.Sprintf("%x", state.KeyOf(testRealm, "outbox message", own[:]))
				if here[id] || written[key] {
					t.Errorf("round %d: %s was handed over again, though the first time was written or in this round", round, id)
				}
				if taken[id] > 0 {
					again++
				}
				here[id] = true
				taken[id]++
			case "error", "late":
				t.Fatalf("round %d: %s", round, line)
			}
		}
	}
	for id := range posted {
		if taken[id] == 0 {
			t.Errorf("%s was acknowledged and never handed over", id)
		}
	}
	if len(posted) < rounds {
		t.Errorf("only %d messages were posted", len(posted))
	}
	if again > rounds*workers {
		t.Errorf("%d messages came again after %d kills in the middle of at most %d tries each", again, rounds, workers)
	}
	t.Logf("%d messages, %d kills, %d messages came again", len(posted), rounds, again)
}

// runUntilKilled runs the child, kills it after so many lines, or lets it end where that is less than none, and returns
// all whole lines.
func runUntilKilled(t *testing.T, path string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	if after < 0 {
		cmd.Env = append(cmd.Env, crashDrain+"=yes")
	}
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
