package htpasswd

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
)

// ErrUnavailable is returned while the users file cannot be used and the settle time is over. Nobody can sign in then,
// and the fault is not the visitor's.
var ErrUnavailable = errors.New("users file cannot be used")

// Options are all optional.
type Options struct {
	// Logger hears of reloads and trouble. Default: silence.
	Logger *zap.Logger
	// Observe, if not nil, hears of each turn in the life of the file: "reloaded" when content is in force, new or again,
	// "kept" when the file is of no use and the last good content stays, "closed" when nobody can sign in any more.
	Observe func(outcome string)
	// Poll is the time between two looks at the file. Default 500 ms.
	Poll time.Duration
	// Agree is how far apart two equal readings must be for a change to count (USR-5). Default 500 ms.
	Agree time.Duration
	// Settle is how long the last good table outlives its file. Default 10 s.
	Settle time.Duration
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Rand gives 32 bytes, once, for the dummy hashes. Default [rand.Reader].
	Rand io.Reader
}

// Outcomes for Options.Observe.
const (
	observeReloaded = "reloaded"
	observeKept     = "kept"
	observeClosed   = "closed"
)

// Outcomes are all that Options.Observe can hear.
var Outcomes = []string{observeReloaded, observeKept, observeClosed}

// maxCheap is the size in bytes up to which a file is read at every look. A larger one that looks untouched is read at
// every second poll.
const maxCheap = 1 << 20

// File is a users file that is being followed. It is safe for concurrent use.
type File struct {
	path    string
	logger  *zap.Logger
	observe func(outcome string)
	poll    time.Duration
	now     func() time.Time
	current atomic.Pointer[state]

	stop    chan struct{}
	stopped sync.Once
	done    sync.WaitGroup
	// edits brings the content of our own edits to the goroutine that follows the file.
	edits chan edit
	late  sync.Mutex // of edits after Close

	// What follows belongs to the goroutine that follows the file, and afterwards to who has the mutex.
	judge  judge
	weak   int
	last   fs.FileInfo
	readAt time.Time
}

// edit is new content that is in the file already. in is closed when it is in force.
type edit struct {
	data []byte
	in   chan struct{}
}

// state is what Table returns.
type state struct {
	table *Table
	err   error
}

// Open reads the users file and begins to follow it; Close ends that. A file that is missing, unreadable, not a regular
// file or over 16 MiB is an error, and so is one that has lines of which none can be used. An empty file is not, and
// means that nobody can sign in (USR-7). Errors name the file and, where they are about lines, the numbers of the first.
func Open(path string, o Options) (*File, error) {
	f, err := load(path, o)
	if err != nil {
		return nil, fmt.Errorf("users file %q: %w", path, err)
	}
	// The notification is a hint and may fail: the polling finds every change.
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(filepath.Dir(path)); err != nil {
			_ = watcher.Close()
		}
	}
	if err != nil {
		f.logger.Debug("users file is polled only", zap.String("file", path), zap.Error(err))
		watcher = nil
	}
	f.follow(watcher)
	return f, nil
}

// load reads the file for the first time.
func load(path string, o Options) (*File, error) {
	f := &File{
		path:    path,
		logger:  o.Logger,
		observe: o.Observe,
		poll:    cmp.Or(o.Poll, 500*time.Millisecond),
		now:     o.Now,
		stop:    make(chan struct{}),
		edits:   make(chan edit),
	}
	if f.observe == nil {
		f.observe = func(string) {}
	}
	f.judge.agree = cmp.Or(o.Agree, 500*time.Millisecond)
	f.judge.settle = cmp.Or(o.Settle, 10*time.Second)
	if f.logger == nil {
		f.logger = zap.NewNop()
	}
	if f.now == nil {
		f.now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if _, err := io.ReadFull(o.Rand, f.judge.seed[:]); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	data, err := atomicfile.Read(f.path)
	if err != nil {
		return nil, err
	}
	first := newReading(data, f.judge.seed)
	if first.err != nil {
		return nil, fmt.Errorf("%w (%s)", first.err, list(first.problems))
	}
	f.judge.good, f.judge.inUse = first, contentOf(data, nil)
	f.current.Store(&state{table: first.table})
	switch locked := first.table.LockedLen(); {
	case first.table.Len() > 0:
	case locked > 0:
		f.logger.Warn("all users are locked; nobody can sign in", zap.String("file", path), zap.Int("users", locked))
	default:
		f.logger.Warn("users file is empty; nobody can sign in", zap.String("file", path))
	}
	f.warn(first.table, first.problems)
	return f, nil
}

// Table returns the table in force, or [ErrUnavailable]. It is one atomic load: ask again for every request.
func (f *File) Table() (*Table, error) {
	s := f.current.Load()
	return s.table, s.err
}

// Editor returns an editor of this file whose edits are in force when they return, also after Close; those of everybody else
// need two readings that agree.
func (f *File) Editor() *Editor { return newEditor(f.path, f.adopt) }

// adopt puts our own content into force and waits for that. The editor calls it before anybody else can edit, so that
// contents come in the order in which they were written.
func (f *File) adopt(data []byte) {
	e := edit{data: data, in: make(chan struct{})}
	select {
	case f.edits <- e:
		<-e.in
	case <-f.stop:
		f.done.Wait()
		f.late.Lock()
		defer f.late.Unlock()
		f.act(f.judge.adopt(data))
	}
}

// Close stops following the file and waits for that. The last answer of Table stays, but for edits of our own, which
// requests may make that a reload has overtaken. It may be called more than once.
func (f *File) Close() {
	f.stopped.Do(func() { close(f.stop) })
	f.done.Wait()
}

// follow looks at the file again and again until Close. The watcher may be nil.
func (f *File) follow(watcher *fsnotify.Watcher) {
	var hints <-chan fsnotify.Event
	var faults <-chan error
	if watcher != nil {
		hints, faults = watcher.Events, watcher.Errors
	}
	f.done.Go(func() {
		if watcher != nil {
			defer watcher.Close()
		}
		timer := time.NewTimer(f.poll)
		defer timer.Stop()
		hinted := false
		for {
			select {
			case <-f.stop:
				return
			case e := <-f.edits:
				f.act(f.judge.adopt(e.data))
				close(e.in)
				continue
			case _, open := <-hints:
				if !open {
					hints = nil
					continue
				}
			case _, open := <-faults: // events were lost: as good as a hint
				if !open {
					faults = nil
					continue
				}
			case <-timer.C:
				timer.Reset(f.look())
				hinted = false
				continue
			}
			// The first hint brings the next look forward; more of them cannot put it off.
			if !hinted {
				hinted = true
				timer.Reset(min(f.poll/10, 50*time.Millisecond))
			}
		}
	})
}

// look reads the file where needed, does what the judge says and returns the time until the next look.
func (f *File) look() time.Duration {
	now := f.now()
	if f.looksUntouched() && f.judge.bad.IsZero() && now.Sub(f.readAt) < f.poll*3/2 {
		return f.poll
	}
	f.readAt = now
	data, err := atomicfile.Read(f.path)
	v := f.judge.observe(now, data, err)
	f.act(v)
	if v.wait > 0 {
		return min(v.wait, f.poll)
	}
	return f.poll
}

// looksUntouched reports whether a large file has the size, time and identity of the last look. That spares readings
// and proves nothing (USR-6).
func (f *File) looksUntouched() bool {
	last := f.last
	info, err := os.Stat(f.path)
	if err != nil {
		f.last = nil
		return false
	}
	f.last = info
	return last != nil && info.Size() > maxCheap && last.Size() == info.Size() &&
		last.ModTime().Equal(info.ModTime()) && os.SameFile(last, info)
}

// act puts a verdict into force and into the log.
func (f *File) act(v verdict) {
	file := zap.String("file", f.path)
	switch v.event {
	case eventNone:
		return
	case eventReloaded, eventRecovered:
		f.current.Store(&state{table: v.table})
		f.observe(observeReloaded)
		f.logger.Info("users reloaded", file, zap.Int("users", v.table.Len()), zap.Int("weak", v.table.Weak()),
			zap.Int("problems", len(v.problems)))
		f.warn(v.table, v.problems)
	case eventKeeping:
		f.observe(observeKept)
		f.logger.Error("users file cannot be used; keeping the last good one", f.trouble(v)...)
	case eventEmptied:
		f.observe(observeClosed)
		f.current.Store(&state{table: v.table})
		f.logger.Error("users file unusable; sign-in is closed", f.trouble(v)...)
	case eventClosed:
		f.observe(observeClosed)
		f.current.Store(&state{err: ErrUnavailable})
		f.logger.Error("users file unusable; sign-in is closed", f.trouble(v)...)
	}
}

func (f *File) trouble(v verdict) []zap.Field {
	fields := []zap.Field{zap.String("file", f.path), zap.Error(v.err)}
	if len(v.problems) > 0 {
		fields = append(fields, zap.Int("problems", len(v.problems)), zap.String("first", list(v.problems)))
	}
	return fields
}

// warn tells of lines that cannot be used, and of weak hashes once for every number of them (CRD-12).
func (f *File) warn(t *Table, problems []Problem) {
	if len(problems) > 0 {
		f.logger.Warn("users file has lines that cannot be used", zap.String("file", f.path),
			zap.Int("problems", len(problems)), zap.String("first", list(problems)))
	}
	if weak := t.Weak(); weak != f.weak {
		f.weak = weak
		if weak > 0 {
			f.logger.Warn("weak password hashes", zap.String("file", f.path), zap.Int("users", weak))
		}
	}
}
