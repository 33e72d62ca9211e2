// Package contacts knows where users can be reached: it reads a file of e-mail addresses and phone numbers, follows it
// and edits it. They are not in the users file because the tools of that would drop them (USR-10).
//
// # What is read
//
// One JSON object, in UTF-8, with an object for each user; both members are optional, and there are no others:
//
//	{
//	  "alice": {"email": "alice@example.com", "phone": "+15551234567"},
//	  "bob": {"email": "bob@example.org"}
//	}
//
// A phone number is written as in E.164: a plus, then 7 to 15 digits of which the first is not 0. [Options] may name the
// countries that numbers must belong to. An e-mail address is the bare address, at most 254 bytes of ASCII, without a
// name, a comment or quotes. Users have the names they have in the users file, of up to 255 bytes.
//
// Nothing is guessed at: a file with an unknown member, a user or member that comes twice, a value of another type, a bad
// value, a byte order mark or text after the object is refused as a whole. The error names file, line, user and member, and
// never shows the value.
//
// # Changes
//
// The file is read every half second. New content counts when two readings in a row agree; so it is in force within
// 1.5 s, however it was edited. A file that is missing or refused is an error to [Open]. Later it is logged, once for each
// such content, and the last good one stays in force.
//
// # Editing
//
// [File.Set] and [File.Remove] replace the file as told in package atomicfile, and are in force when they return. They
// change the text of the one entry and leave all else byte for byte. A new entry comes last, on a line of its own with
// the indentation of the one before it where that has a line of its own.
//
// The package logs names of users and of the file, and nothing of a contact (LOG-1).
package contacts

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
)

// Contact is where a user can be reached. What is unknown is empty.
type Contact struct {
	Email string
	Phone string
}

// Options are all optional.
type Options struct {
	// Logger hears of reloads and trouble. Default: silence.
	Logger *zap.Logger
	// Countries are beginnings of phone numbers, such as "+49", of which every number must have one. Default: any number.
	Countries []string
	// Poll is the time between two looks at the file. Default 500 ms.
	Poll time.Duration
}

// File is a contacts file that is being followed. It is safe for concurrent use.
type File struct {
	path    string
	logger  *zap.Logger
	rules   rules
	poll    time.Duration
	file    *atomicfile.File
	current atomic.Pointer[map[string]Contact]

	stop    chan struct{}
	stopped sync.Once
	done    sync.WaitGroup
	// edits brings the content of our own edits to the goroutine that follows the file.
	edits chan edit

	// What follows belongs to that goroutine: the content in force, that of the last reading, the one that was complained
	// of, and whether there was any.
	inUse, seen, bad content
	troubled         bool
}

// edit is new content that is in the file already. in is closed when it is in force.
type edit struct {
	data []byte
	in   chan struct{}
}

// content tells one state of the file from another. All failures to read are one state.
type content struct {
	failed bool
	sum    [sha256.Size]byte
}

func contentOf(data []byte, err error) content {
	if err != nil {
		return content{failed: true}
	}
	return content{sum: sha256.Sum256(data)}
}

// Open reads the file and begins to follow it; Close ends that. Errors name the file.
func Open(path string, o Options) (*File, error) {
	f := &File{
		path:   path,
		logger: o.Logger,
		rules:  rules{countries: o.Countries},
		poll:   cmp.Or(o.Poll, 500*time.Millisecond),
		stop:   make(chan struct{}),
		edits:  make(chan edit),
	}
	if f.logger == nil {
		f.logger = zap.NewNop()
	}
	f.file = atomicfile.New(path, f.adopt)
	data, err := atomicfile.Read(path)
	if err != nil {
		return nil, f.named(err)
	}
	d, err := f.rules.parse(data)
	if err != nil {
		return nil, f.named(err)
	}
	f.accept(d)
	f.done.Go(f.follow)
	return f, nil
}

// named names the file in an error.
func (f *File) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("contacts file %q: %w", f.path, err)
}

// Get returns what is known of a user, and whether the file has an entry for the user at all. It takes no lock.
func (f *File) Get(user string) (Contact, bool) {
	c, ok := (*f.current.Load())[user]
	return c, ok
}

// Len is the number of users with an entry.
func (f *File) Len() int { return len(*f.current.Load()) }

// Set gives a user this contact in place of any other. It is in force when Set returns. The contact is held to the rules
// of the file; an error names the member, and never shows its value.
func (f *File) Set(user string, c Contact) error {
	if err := f.rules.user(user); err != nil {
		return err
	}
	if err := f.rules.contact(c); err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	return f.edit(func(d *document) []byte { return d.set(user, c) })
}

// Remove removes a user's entry. It is no error when there is none.
func (f *File) Remove(user string) error {
	return f.edit(func(d *document) []byte { return d.remove(user) })
}

// Writable tells why an edit could not work now, or nil, and changes nothing. Not every obstacle can be seen beforehand.
func (f *File) Writable() error { return f.named(f.file.Writable()) }

// edit makes a change, and makes sure that the result is good.
func (f *File) edit(change func(*document) []byte) error {
	return f.named(f.file.Edit(func(old []byte) ([]byte, error) {
		d, err := f.rules.parse(old)
		if err != nil {
			return nil, err
		}
		text := change(d)
		if _, err := f.rules.parse(text); err != nil {
			return nil, fmt.Errorf("after the edit: %w", err)
		}
		return text, nil
	}))
}

// Close stops following the file and waits for that. The last contacts stay. It may be called more than once.
func (f *File) Close() {
	f.stopped.Do(func() { close(f.stop) })
	f.done.Wait()
}

// adopt puts our own content into force and waits for that. It is called before anybody else can edit, so that contents
// come in the order in which they were written.
func (f *File) adopt(data []byte) {
	e := edit{data: data, in: make(chan struct{})}
	select {
	case f.edits <- e:
		<-e.in
	case <-f.stop:
	}
}

// follow looks at the file again and again until Close.
func (f *File) follow() {
	ticker := time.NewTicker(f.poll)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case e := <-f.edits:
			if d, err := f.rules.parse(e.data); err == nil { // edit has made sure
				f.accept(d)
			}
			close(e.in)
		case <-ticker.C:
			f.observe(atomicfile.Read(f.path))
		}
	}
}

// observe takes in a reading.
func (f *File) observe(data []byte, err error) {
	id := contentOf(data, err)
	agreed := id == f.seen
	f.seen = id
	switch {
	case id == f.inUse:
		if f.troubled {
			f.troubled = false
			f.logReload()
		}
		return
	case !agreed, f.troubled && id == f.bad:
		return
	}
	var d *document
	if err == nil {
		d, err = f.rules.parse(data)
	}
	if err != nil {
		f.troubled, f.bad = true, id
		f.logger.Error("contacts file cannot be used; keeping the last good one", zap.String("file", f.path), zap.Error(err))
		return
	}
	f.accept(d)
	f.logReload()
}

// accept puts content into force.
func (f *File) accept(d *document) {
	users := d.contacts()
	f.inUse = contentOf(d.data, nil)
	f.seen, f.troubled = f.inUse, false
	f.current.Store(&users)
}

func (f *File) logReload() {
	f.logger.Info("contacts reloaded", zap.String("file", f.path), zap.Int("users", f.Len()))
}
