package htpasswd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	rushProcesses = 4
	rushEach      = 50
)

// rushIn adds one user many times at once and prints how often that worked.
func rushIn(path string) {
	files := []*Editor{NewEditor(path), NewEditor(path)}
	won := make(chan bool, rushEach)
	var wg sync.WaitGroup
	for i := range rushEach {
		wg.Go(func() {
			err := files[i%2].Add([]string{"zoe", "Zoe", "ZOE"}[i%3], hashSHA, AddOptions{Fold: strings.ToLower})
			if err != nil && !errors.Is(err, ErrExists) {
				fmt.Print(err)
			}
			won <- err == nil
		})
	}
	wg.Wait()
	wins := 0
	for range rushEach {
		if <-won {
			wins++
		}
	}
	fmt.Print(wins)
}

func TestUSR9_OneOfManyWhoAddANameWins(t *testing.T) {
	path := rested(t, two)
	said := make([]string, rushProcesses)
	var wg sync.WaitGroup
	for i := range said {
		wg.Go(func() {
			out, err := process("rush", path).Output()
			if said[i] = string(out); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(said)
	if got := strings.Join(said, " "); got != "0 0 0 1" {
		t.Errorf("wins: %s", got)
	}
	text := read(t, path)
	if rest, ok := strings.CutPrefix(strings.ToLower(text), strings.ToLower(two)); !ok || rest != strings.ToLower("zoe:"+hashSHA+"\n") {
		t.Errorf("file holds\n%s", text)
	}
}

// crashRounds says how often the crash test kills.
const crashRounds = "HTPASSWD_TEST_CRASHES"

var crashSteps = []func(e *Editor, ann [16]byte) error{
	func(e *Editor, _ [16]byte) error { return e.Add("dan", hashSHA, AddOptions{}) },
	func(e *Editor, _ [16]byte) error { return e.Add("eve", hashSHA, AddOptions{Locked: true}) },
	func(e *Editor, ann [16]byte) error { return e.SetHash("ann", ann, hashAPR1) },
	func(e *Editor, _ [16]byte) error { return e.Approve("eve") },
	func(e *Editor, _ [16]byte) error { return e.PutHash("dan", hashBcrypt4) },
	func(e *Editor, _ [16]byte) error { return e.Remove("dan") },
	func(e *Editor, ann [16]byte) error { return e.SetHash("ann", ann, hashSHA) },
	func(e *Editor, _ [16]byte) error { return e.Remove("eve") },
}

// crashTexts is what the file holds before each step; the last step comes back to the first. It is long enough for
// writing it to take a moment.
func crashTexts() []string {
	const (
		head = "\ufeff# users\r\n\r\nann:"
		dan  = "dan:" + hashSHA + "\r\n"
		eve  = "eve:" + hashSHA + "\r\n"
	)
	rest := ":Ann:x\r\nbob\r\ngarbage \xff\r\nann:" + hashSHA + "\r\n" + strings.Repeat("  # more\r\n", 3_000)
	return []string{
		head + hashSHA + rest,
		head + hashSHA + rest + dan,
		head + hashSHA + rest + dan + "eve:!" + hashSHA + "\r\n",
		head + hashAPR1 + rest + dan + "eve:!" + hashSHA + "\r\n",
		head + hashAPR1 + rest + dan + eve,
		head + hashAPR1 + rest + "dan:" + hashBcrypt4 + "\r\n" + eve,
		head + hashAPR1 + rest + eve,
		head + hashSHA + rest + eve,
	}
}

// crashLoop takes step after step until it is killed, and prints after each which text the file holds now.
func crashLoop(path string) {
	texts := crashTexts()
	e := NewEditor(path)
	for {
		data, err := os.ReadFile(path)
		step := slices.Index(texts, string(data))
		if err != nil || step < 0 {
			fmt.Println("error", err, len(data))
			return
		}
		table, _ := Parse(data)
		ann, _ := table.Fingerprint("ann")
		if err := crashSteps[step](e, ann); err != nil {
			fmt.Println("error", err)
			return
		}
		os.Stdout.WriteString(strconv.Itoa((step+1)%len(texts)) + "\n")
	}
}

func TestUSR4_FileIsTheOldOrTheNewTextAfterKill9(t *testing.T) {
	rounds := 40
	if n, err := strconv.Atoi(os.Getenv(crashRounds)); err == nil {
		rounds = n
	}
	folder := t.TempDir()
	must(t, os.Mkdir(filepath.Join(folder, "real"), 0o700))
	path, link := filepath.Join(folder, "real", "users"), filepath.Join(folder, "users")
	texts := crashTexts()
	write(t, path, texts[0])
	must(t, os.Chmod(path, 0o640))
	must(t, os.Symlink("real/users", link))
	stop := sync.OnceFunc(watch(t, link, texts))
	defer stop()
	random := rand.New(rand.NewPCG(1, 2))
	steps, between, step := 0, 0, 0
	for round := range rounds {
		after := 1 + random.IntN(20)
		said := crash(t, link, after, time.Duration(random.IntN(4000))*time.Microsecond)
		steps += len(said)
		if len(said) > 0 {
			step = said[len(said)-1]
		}
		got := slices.Index(texts, read(t, path))
		switch got {
		case step:
		case (step + 1) % len(texts): // killed before it could say so
			between++
			step = got
		default:
			t.Fatalf("round %d: the file is neither text %d nor the next, but %d: %.300q", round, step, got, read(t, path))
		}
		info, err := os.Stat(path)
		must(t, err)
		if target, err := os.Readlink(link); info.Mode() != 0o640 || err != nil || target != "real/users" {
			t.Fatalf("round %d: mode %v, link to %s, %v", round, info.Mode(), target, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, "real", ".users.captcha-gate-*"))
	must(t, err)
	t.Logf("%d kills after %d edits; %d came after the rename and %d left a file behind", rounds, steps, between, len(left))
	if steps < rounds {
		t.Errorf("only %d edits in %d rounds", steps, rounds)
	}
	// What is left behind goes when it is old.
	long := time.Now().Add(-time.Hour)
	for _, name := range left {
		must(t, os.Chtimes(name, long, long))
	}
	stop()
	must(t, NewEditor(link).PutHash("zoe", hashSHA))
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

// watch reads the file over and over until the returned function is called: it must always be one of the texts.
func watch(t *testing.T, path string, texts []string) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			if data, err := os.ReadFile(path); err != nil || !slices.Contains(texts, string(data)) {
				t.Errorf("somebody reads %d bytes that are no whole file, %v", len(data), err)
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	return func() { close(end); wg.Wait() }
}

// crash runs the loop, kills it some time after so many steps, and returns the numbers of all it took.
func crash(t *testing.T, path string, after int, delay time.Duration) (steps []int) {
	t.Helper()
	cmd := process("crash", path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait() // says that it was killed
	defer cmd.Process.Kill()
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return steps
		}
		step, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err != nil {
			t.Fatalf("%s", line)
		}
		if steps = append(steps, step); len(steps) == after {
			time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		}
	}
}
