package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

// never is a flush interval for tests in which only Close flushes.
const never = 24 * time.Hour

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type testClock struct{ offset atomic.Int64 }

func (c *testClock) now() time.Time          { return noon.Add(time.Duration(c.offset.Load())) }
func (c *testClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func mustOpen(t testing.TB, path string, o Options) *Local {
	t.Helper()
	l, err := OpenLocal(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantValue(t testing.TB, s Store, k Key, want string) {
	t.Helper()
	v, err := s.Get(t.Context(), k)
	must(t, err)
	if string(v) != want {
		t.Fatalf("value %q, want %q", v, want)
	}
}

// settled waits until all that was noted is in the file.
func settled(t *testing.T, l *Local) {
	t.Helper()
	c := l.live.Load()
	waiting := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.noted)
	}
	for {
		for waiting() > 0 {
			runtime.Gosched()
		}
		must(t, l.Delete(t.Context(), KeyOf("test", "barrier"))) // its commit comes after the flush under way
		if waiting() == 0 {                                      // else that flush failed and noted its keys again
			return
		}
	}
}

// entriesIn reads the file of a closed store.
func entriesIn(t *testing.T, path string) map[Key]entry {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	found := make(map[Key]entry)
	must(t, db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(entriesBucket)).ForEach(func(k, v []byte) error {
			e, err := decode(k, v)
			found[Key(k)] = e
			return err
		})
	}))
	return found
}

func TestLocalMakesFolderAndFileForItsUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "state.db")
	l := mustOpen(t, path, Options{})
	must(t, l.Ready())
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

func TestLocalKeepsItsEpochAndANewFileHasAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var epochs []Epoch
	for range 2 {
		l := mustOpen(t, path, Options{})
		e, err := l.Epoch(t.Context())
		must(t, err)
		epochs = append(epochs, e)
		must(t, l.Close())
	}
	must(t, os.Remove(path))
	e, err := mustOpen(t, path, Options{}).Epoch(t.Context())
	must(t, err)
	if epochs[0] != epochs[1] || e == epochs[0] {
		t.Fatalf("epochs %x, then %x", epochs, e)
	}
}

func TestLocalWritesRefreshAndCountersByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	l := mustOpen(t, path, Options{Now: clock.now, flushEvery: time.Millisecond})
	session, failures := KeyOf("r", "session"), KeyOf("r", "failures")
	must(t, l.Put(t.Context(), session, []byte("a"), noon.Add(time.Hour)))
	must(t, l.Refresh(t.Context(), session, []byte("b"), noon.Add(2*time.Hour)))
	_, err := l.Add(t.Context(), failures, 7, time.Hour)
	must(t, err)
	settled(t, l)

	// What the file has now is what a crash would leave: take it as it is, without Close.
	image, err := os.ReadFile(path)
	must(t, err)
	left := filepath.Join(t.TempDir(), "left.db")
	must(t, os.WriteFile(left, image, 0o600))
	found := entriesIn(t, left)
	if e := found[session]; string(e.value) != "b" || e.until != nanos(noon.Add(2*time.Hour)) {
		t.Errorf("session %+v", e)
	}
	if e := found[failures]; e.count != 7 || e.until != nanos(noon.Add(time.Hour)) {
		t.Errorf("THR-6: counter %+v", e)
	}
}

func TestLocalClearsExpiredEntriesFromTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	l := mustOpen(t, path, Options{Now: clock.now, flushEvery: never})
	const n = 3*flushBatch + 1 // more than one transaction's worth
	for i := range n {
		_, err := l.Add(t.Context(), KeyOf("r", "failures", fmt.Append(nil, i)), 1, time.Minute)
		must(t, err)
	}
	must(t, l.Put(t.Context(), KeyOf("r", "session"), []byte("stays"), noon.Add(time.Hour)))
	must(t, l.Close())
	if got := len(entriesIn(t, path)); got != n+1 {
		t.Fatalf("%d entries in the file, want %d", got, n+1)
	}

	// Half of the work is the sweeper's, half is what open finds.
	l = mustOpen(t, path, Options{Now: clock.now, flushEvery: time.Millisecond})
	clock.advance(time.Minute)
	for l.live.Load().table.size() > 1 {
		runtime.Gosched()
	}
	settled(t, l)
	must(t, l.Close())
	if got := len(entriesIn(t, path)); got != 1 {
		t.Fatalf("%d entries left in the file, want 1", got)
	}

	clock.advance(time.Hour)
	l = mustOpen(t, path, Options{Now: clock.now, flushEvery: never})
	wantValue(t, l, KeyOf("r", "session"), "")
	must(t, l.Close())
	if got := len(entriesIn(t, path)); got != 0 {
		t.Fatalf("%d entries left in the file, want 0", got)
	}
}

func TestLocalWaitsForALockedFileOnDemand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	holder := mustOpen(t, path, Options{})
	k := KeyOf("r", "session")
	must(t, holder.Put(t.Context(), k, []byte("a"), noon.Add(time.Hour)))

	l := mustOpen(t, path, Options{Now: clock.now})
	calls := map[string]func() error{
		"Ready": l.Ready,
		"Epoch": func() error { _, err := l.Epoch(t.Context()); return err },
		"Take": func() error {
			_, err := l.Take(t.Context(), epochOf(l), KeyOf("r", "spent"), noon.Add(time.Hour))
			return err
		},
		"Put":     func() error { return l.Put(t.Context(), k, []byte("b"), noon.Add(time.Hour)) },
		"Get":     func() error { _, err := l.Get(t.Context(), k); return err },
		"Refresh": func() error { return l.Refresh(t.Context(), k, []byte("b"), noon.Add(time.Hour)) },
		"Delete":  func() error { return l.Delete(t.Context(), k) },
		"Add":     func() error { _, err := l.Add(t.Context(), k, 1, time.Hour); return err },
	}
	for range 2 {
		for name, call := range calls {
			if err := call(); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		clock.advance(time.Second) // the second time one of them really tries
	}
	must(t, holder.Close())
	clock.advance(lockRetry - 1)
	clock.advance(-time.Hour) // a clock put back does not keep the store shut
	must(t, l.Ready())
	wantValue(t, l, k, "a")
}

func TestLocalIsTriedOnceASecondAtMostAndByOneCallOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	clock := new(testClock)
	holder := mustOpen(t, path, Options{})
	l := mustOpen(t, path, Options{Now: clock.now})
	must(t, holder.Close())
	clock.advance(lockRetry - 1)
	if err := l.Ready(); !errors.Is(err, ErrLocked) {
		t.Fatalf("tried too early: %v", err)
	}
	clock.advance(1)
	l.mu.Lock() // as if another call were at it
	if err := l.Ready(); !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v", err)
	}
	l.mu.Unlock()
	must(t, l.Ready())
}

func TestLocalThatNeverOpenedCloses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	mustOpen(t, path, Options{})
	l := mustOpen(t, path, Options{})
	must(t, l.Close())
	if err := l.Ready(); !errors.Is(err, ErrClosed) {
		t.Fatalf("error %v", err)
	}
}

func TestLocalClosesWhatItStarted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 3 {
		must(t, mustOpen(t, filepath.Join(t.TempDir(), "state.db"), Options{}).Close())
		must(t, NewMemory(Options{}).Close())
	}
}

func TestEpochNeedsRandomness(t *testing.T) {
	broken := errors.New("no randomness")
	m := NewMemory(Options{Rand: iotest.ErrReader(broken)})
	defer m.Close()
	if _, err := m.Epoch(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("memory: error %v", err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if _, err := OpenLocal(path, Options{Rand: iotest.ErrReader(broken)}); !errors.Is(err, broken) {
		t.Fatalf("local: error %v", err)
	}
	must(t, mustOpen(t, path, Options{}).Ready()) // what the failure left behind is a new file still, and free
}

func TestWriteAfterCloseUndoesTheMark(t *testing.T) {
	l := mustOpen(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	c := l.live.Load()
	must(t, l.Close())
	k, m := KeyOf("r", "spent"), entry{kind: mark, until: nanos(noon)}
	if !c.table.take(k, m, nanos(noon)-1) {
		t.Fatal("not first")
	}
	if err := c.write(take, k, m); !errors.Is(err, ErrClosed) {
		t.Fatalf("error %v", err)
	}
	if _, ok := c.table.lookup(k); ok {
		t.Fatal("the mark stayed")
	}
}

func TestCloseAnswersThoseWhoWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l := mustOpen(t, path, Options{flushEvery: never})
	o := &op{do: put, key: KeyOf("r", "session"), entry: newRecord([]byte("a"), noon), done: make(chan error, 1)}
	if !l.live.Load().enqueue(o) { // and nobody wakes the committer
		t.Fatal("closed")
	}
	must(t, l.Close())
	must(t, <-o.done)
	if found := entriesIn(t, path); string(found[o.key].value) != "a" {
		t.Fatalf("in the file: %v", found)
	}
}

func TestSingleUseIsLostToOthersWhileItIsWritten(t *testing.T) {
	l := mustOpen(t, filepath.Join(t.TempDir(), "state.db"), Options{flushEvery: never})
	c := l.live.Load()
	k, until := KeyOf("r", "spent"), time.Now().Add(time.Hour)
	// The file is held up in the middle of a transaction, and with it the winner.
	held, release := make(chan struct{}), make(chan struct{})
	go c.file.db.Update(func(*bolt.Tx) error { close(held); <-release; return nil })
	<-held
	won := make(chan bool)
	go func() {
		first, err := l.Take(context.Background(), epochOf(l), k, until)
		won <- first && err == nil
	}()
	for {
		if _, ok := c.table.lookup(k); ok {
			break
		}
		runtime.Gosched()
	}
	if first, err := l.Take(t.Context(), epochOf(l), k, until); first || err != nil {
		t.Fatalf("CAP-1: second take: %t, %v", first, err)
	}
	close(release)
	if !<-won {
		t.Fatal("the first caller did not win")
	}
}

func TestDecodeRefusesWhatEncodeNeverWrites(t *testing.T) {
	k := KeyOf("r", "x")
	for name, e := range map[string]entry{"kind 0": {}, "kind 9": {kind: 9}} {
		if _, err := decode(k[:], encode(k, e)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	good := encode(k, entry{kind: counter, count: 3, until: 5})
	if e, err := decode(k[:], good); err != nil || e.count != 3 || e.until != 5 {
		t.Fatalf("%+v, %v", e, err)
	}
	other := KeyOf("r", "y")
	if _, err := decode(other[:], good); err == nil {
		t.Error("SES-13: an entry moved to another key was accepted")
	}
	for n := range good {
		if _, err := decode(k[:], good[:n]); err == nil {
			t.Errorf("an entry cut to %d bytes was accepted", n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	k := KeyOf("r", "x")
	for _, e := range []entry{newRecord([]byte("value"), noon), {kind: mark, until: 1}, {kind: counter, count: 2}} {
		f.Add(k[:], encode(k, e))
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, name, b []byte) {
		e, err := decode(name, b)
		if err != nil {
			return
		}
		if again := encode(Key(name), e); !bytes.Equal(again, b) {
			t.Fatalf("%x reads as %+v, which writes as %x", b, e, again)
		}
	})
}
