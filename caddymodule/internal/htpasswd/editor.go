package htpasswd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/atomicfile"
)

// What an edit may be refused for by the users themselves. Every other error is of the file or of the arguments.
var (
	// ErrExists: the name, or one that folds to the same, is taken (USR-1).
	ErrExists = errors.New("user exists")
	// ErrFull: there are as many users as there may be (USR-2).
	ErrFull = errors.New("no more users are allowed")
	// ErrUnknown: there is no such user.
	ErrUnknown = errors.New("no such user")
	// ErrChanged: the entry is not what the caller believes any more.
	ErrChanged = errors.New("user was changed in the meantime")
	// ErrNotLocked: there is nothing to approve.
	ErrNotLocked = errors.New("user is not locked")
	// ErrNoEffect is the refusal of an edit that the rest of the line, or of the file, would make pointless.
	ErrNoEffect = errors.New("the entry could not be used after that: its line is damaged or too long, " +
		"or the file has too many different hash costs")
	// ErrOthers is the refusal of an edit that would keep somebody else out.
	ErrOthers = errors.New("another user could not sign in after that: the file has too many different hash costs")
)

var errHash = errors.New("hash cannot be used")

// Editor changes a users file. It is safe for concurrent use, also by several processes: of two edits, one sees the
// other's result (USR-9). All its methods wait for up to some seconds for others who edit, and their errors name the file.
type Editor struct {
	path string
	file *atomicfile.File
	// rewrite is the file's Edit. Fuzzing replaces it.
	rewrite func(change func(old []byte) ([]byte, error)) error
}

// NewEditor remembers the path and opens nothing. Where the file is being followed, use [File.Editor].
func NewEditor(path string) *Editor { return newEditor(path, nil) }

// newEditor makes an editor that hands new content to written, which may be nil.
func newEditor(path string, written func(data []byte)) *Editor {
	file := atomicfile.New(path, written)
	return &Editor{path: path, file: file, rewrite: file.Edit}
}

// AddOptions are all optional.
type AddOptions struct {
	// MaxUsers is how many names the file may have in the end, locked ones and those that cannot sign in included. 0 is
	// no limit.
	MaxUsers int
	// Locked adds a user who cannot sign in before Approve.
	Locked bool
	// Fold gives the same result for names that are too alike to be of two users. Default: only equal names are.
	Fold func(name string) string
}

// Add appends a user. Errors wrap [ErrExists] or [ErrFull], in this order, where these apply. The name has to pass
// [ValidName].
func (e *Editor) Add(name, hash string, o AddOptions) error {
	if err := ValidName(name); err != nil {
		return err
	}
	if err := validHash(hash); err != nil {
		return err
	}
	return e.edit(name, func(d *document, before *Table) error {
		if before.Has(name, o.Fold) {
			return ErrExists
		}
		if o.MaxUsers > 0 && len(before.entries) >= o.MaxUsers {
			return ErrFull
		}
		if o.Locked {
			d.add(name, lockMark+hash)
		} else {
			d.add(name, hash)
		}
		return nil
	}, func(after *Table) bool { return after.Locked(name) == o.Locked && (o.Locked || after.signsIn(name)) })
}

// Has reports whether there is a user of that name or one that folds to the same.
func (t *Table) Has(name string, fold func(string) string) bool {
	if _, taken := t.entries[name]; taken || fold == nil {
		return taken
	}
	name = fold(name)
	for other := range t.entries {
		if fold(other) == name {
			return true
		}
	}
	return false
}

// signsIn reports whether the user of that name can sign in.
func (t *Table) signsIn(name string) bool {
	_, ok := t.Fingerprint(name)
	return ok
}

// SetHash gives a user another hash and keeps the rest of the line. old is the fingerprint from which the caller knows
// the user; the error wraps [ErrChanged] when it is no longer right, also because the user was locked, and [ErrUnknown]
// when the user is gone (USR-3).
func (e *Editor) SetHash(name string, old [16]byte, hash string) error {
	if err := validHash(hash); err != nil {
		return err
	}
	return e.edit(name, func(d *document, before *Table) error {
		if _, known := before.entries[name]; !known {
			return ErrUnknown
		}
		if fp, ok := before.Fingerprint(name); !ok || fp != old {
			return ErrChanged
		}
		d.setHash(d.find(name), hash)
		return nil
	}, func(after *Table) bool { return after.signsIn(name) })
}

// PutHash gives a user another hash, whatever it was before, or adds the user. It unlocks, and mends an entry that could
// not sign in. A name that is new has to pass [ValidName].
func (e *Editor) PutHash(name, hash string) error {
	if err := validHash(hash); err != nil {
		return err
	}
	return e.edit(name, func(d *document, before *Table) error {
		if _, known := before.entries[name]; known {
			d.setHash(d.find(name), hash)
			return nil
		}
		if err := ValidName(name); err != nil {
			return err
		}
		d.add(name, hash)
		return nil
	}, func(after *Table) bool { return after.signsIn(name) })
}

// ReplaceHash gives a user another hash, whatever it was before. A user who is locked stays so; an entry that could not
// sign in is mended. The error wraps [ErrUnknown] when there is no such user.
func (e *Editor) ReplaceHash(name, hash string) error {
	if err := validHash(hash); err != nil {
		return err
	}
	locked := false
	return e.edit(name, func(d *document, before *Table) error {
		if _, known := before.entries[name]; !known {
			return ErrUnknown
		}
		if locked = before.Locked(name); locked {
			d.setHash(d.find(name), lockMark+hash)
		} else {
			d.setHash(d.find(name), hash)
		}
		return nil
	}, func(after *Table) bool { return after.Locked(name) == locked && (locked || after.signsIn(name)) })
}

// Remove removes all lines of a user. The error wraps [ErrUnknown] when there are none.
func (e *Editor) Remove(name string) error {
	return e.edit(name, func(d *document, before *Table) error {
		if _, known := before.entries[name]; !known {
			return ErrUnknown
		}
		d.remove(name)
		return nil
	}, func(after *Table) bool { return !after.Has(name, nil) })
}

// Approve unlocks a user. The error wraps [ErrUnknown] or [ErrNotLocked].
func (e *Editor) Approve(name string) error {
	return e.edit(name, func(d *document, before *Table) error {
		if _, known := before.entries[name]; !known {
			return ErrUnknown
		}
		if !before.Locked(name) {
			return ErrNotLocked
		}
		i := d.find(name)
		// Some tools lock twice.
		d.setHash(i, strings.TrimLeft(d.hash(i), lockMark))
		return nil
	}, func(after *Table) bool { return after.signsIn(name) })
}

// Writable tells why an edit could not work now, or nil, and changes nothing. Not every obstacle can be seen beforehand.
func (e *Editor) Writable() error { return e.named(e.file.Writable()) }

// named names the file in an error.
func (e *Editor) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("users file %q: %w", e.path, err)
}

// edit makes a change that concerns one name, and makes sure that the result reads as it should.
func (e *Editor) edit(name string, change func(*document, *Table) error, done func(after *Table) bool) error {
	return e.named(e.rewrite(func(old []byte) ([]byte, error) { return edited(old, name, change, done) }))
}

// edited is edit without a file.
func edited(old []byte, name string, change func(*document, *Table) error, done func(after *Table) bool) ([]byte, error) {
	before, _ := parse(old, [32]byte{})
	d := newDocument(old)
	if err := change(&d, before); err != nil {
		return nil, err
	}
	text := d.bytes()
	after, _ := parse(text, [32]byte{})
	if !done(after) {
		return nil, ErrNoEffect
	}
	for other, entry := range before.entries {
		if other == name || entry.work == unusable {
			continue
		}
		if now := after.entries[other]; now.work == unusable || now.fingerprint != entry.fingerprint {
			return nil, ErrOthers
		}
	}
	return text, nil
}
