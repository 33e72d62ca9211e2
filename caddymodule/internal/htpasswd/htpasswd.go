// Package htpasswd reads the users file, checks passwords against it, notices when it changes and edits it.
//
// # What is read
//
// [Parse] reads like Apache's and nginx's servers do (CRD-5): lines of name, colon, hash. Blank lines and lines that
// begin with # are skipped, CRLF and a byte order mark at the start are tolerated, whatever follows a second colon is
// ignored, names are not trimmed, and of several lines with one name the first counts. A line that cannot be used is
// reported as a [Problem] and spoils no other line; if it names a user, that name exists, cannot sign in and still
// hides later lines of that name. A name is at most 255 bytes of UTF-8 without control characters, a line at most 8 KiB.
//
// A hash that begins with ! is locked, as in /etc/shadow: the name exists, cannot sign in and hides later lines, on
// purpose, so that this is no problem to report. Apache and nginx let nobody in by such a line either.
//
// These hashes are understood; everything else, plain text and DES crypt before all, cannot sign in (CRD-3):
//
//	bcrypt         $2a$ $2b$ $2y$   exactly 60 characters, cost 4 to 14
//	argon2id       $argon2id$v=19$  memory to 256 MiB, 16 passes, 16 lanes; memory times passes to 1 GiB
//	sha256-crypt   $5$              1,000 to 1,000,000 rounds
//	sha512-crypt   $6$              1,000 to 1,000,000 rounds
//	Apache's MD5   $apr1$
//	salted SHA-1   {SSHA}
//	SHA-1          {SHA}
//
// The limits keep a line from holding up sign-in (CRD-4). A hash must be written exactly as its makers write it: salts
// that are too long, zeros in front of a number or text after the end make an entry that cannot sign in.
//
// # What a password is
//
// The bytes as typed: nothing is trimmed, folded or normalised. Refused against every entry are passwords with a NUL
// byte and those over 512 bytes (where libcrypt stops too), and against bcrypt those over 72 bytes, of which bcrypt
// would silently ignore the rest (CRD-1). No verdict is remembered (CRD-7).
//
// # Equal work
//
// [Table.Verify] does the same work for every name (CRD-6). A table knows the kinds of hash in its file, a kind being
// an algorithm with its parameters. Each call computes exactly one hash of each kind, always in the same order: the
// user's own for the user's kind, for the others a dummy whose result is thrown away. Unknown names, entries that
// cannot sign in and refused passwords get dummies only. A table without any kind does one bcrypt of cost 10.
//
// So a verdict costs the sum of the kinds in the file; a file with bcrypt costs 10 and 12 makes everybody pay for
// both. That sum is bounded: the first 16 kinds count, which is every cost of bcrypt and five more, and an entry of
// yet another kind cannot sign in.
//
// # Changes
//
// [Open] reads the file once and then follows it by its content: it is read again every half second (files over 1 MiB:
// when size, time or identity changed, and at least every second), and at once when the folder reports something. A
// change counts when two readings half a second apart agree (USR-5), so it is in force within 2 s whether the file was
// edited in place, renamed over or swapped by a symlink (USR-6).
//
// When the file is missing, unreadable, without one usable line, suddenly empty, or never twice the same, the last good
// table stays for 10 s. After that sign-in is closed: an empty file is taken at its word and means nobody, and
// otherwise [File.Table] returns [ErrUnavailable]. A good file, or the last good content, opens it again.
//
// # Editing
//
// An [Editor] adds users, gives them another hash, unlocks and removes them. How the file is replaced, and what an edit
// waits for and refuses, is told in package atomicfile: a reader finds the whole old or the whole new file, whatever
// happens (USR-4). Mode, owner and links stay. Within the file every other line stays byte for byte: comments, blank and
// unknown lines, their order, line ends and the byte order mark. A new line comes last and ends as the last line does;
// where that has no end, it gets one first.
//
// Of several lines with one name the first is edited, because it is the one that counts; removing a user removes them
// all, so that no hidden line comes alive. An edit after which its user would not be what was asked for, or any other user
// could no longer sign in, is refused: that can only come about in a file with 16 kinds of hash or damaged lines.
//
// Edits by the Editor of a [File] are in force when they return. Those of others take the way above.
//
// The package logs counts, line numbers and fixed reasons, never text of a line (LOG-1).
package htpasswd

import (
	"fmt"
	"io"
	"strings"
)

// Table is the content of a users file. It is immutable and safe for concurrent use; make it with [Parse]. It prints as
// its number of users: hashes never reach a log through it.
type Table struct {
	entries map[string]entry
	work    []workload
	usable  int
	weak    int
	locked  int
	// observe, when set, hears of every hash that Verify computes, and of how many bytes. Only tests set it.
	observe func(k kind, bytes int)
}

// entry is one name.
type entry struct {
	hash        string
	fingerprint [16]byte
	// work is the index of the hash's kind, or unusable.
	work   int
	locked bool
}

const unusable = -1

// workload is one kind of hash in the file and a hash of that kind that nobody has a password for.
type workload struct {
	kind  kind
	dummy string
}

// Len is the number of users that can sign in.
func (t *Table) Len() int { return t.usable }

// Weak is the number of users whose hash gives way to guessing too easily once the file is lost: {SHA}, {SSHA}, $apr1$,
// sha256- and sha512-crypt of any rounds, bcrypt of a cost under 10, and argon2id with less than 7 MiB of memory or
// less than 35 MiB of memory times passes. They can sign in; the number is for a warning (CRD-12).
func (t *Table) Weak() int { return t.weak }

// Locked reports whether there is a user of that name who is locked. Others who cannot sign in are not locked.
func (t *Table) Locked(name string) bool { return t.entries[name].locked }

// LockedLen is the number of users that are locked. Len does not count them.
func (t *Table) LockedLen() int { return t.locked }

// Fingerprint identifies the entry of a user: it changes with the hash and differs between users, and tells neither
// (SES-5). It is false for a name that is unknown or cannot sign in. It does not allocate.
func (t *Table) Fingerprint(name string) (fp [16]byte, ok bool) {
	e, ok := t.entries[name]
	if !ok || e.work == unusable {
		return fp, false
	}
	return e.fingerprint, true
}

// IsWeak reports whether a user who can sign in is one of those that Weak counts.
func (t *Table) IsWeak(name string) bool {
	e, ok := t.entries[name]
	return ok && e.work != unusable && t.work[e.work].kind.weak()
}

// Verify reports whether password is the user's, and with it the entry's fingerprint. It is false for unknown names,
// entries that cannot sign in and passwords that are refused, and takes the same work for all of them (CRD-6): see the
// package comment. It blocks for as long as the hashes take; bounding how many run at a time is the caller's part.
func (t *Table) Verify(name, password string) (fp [16]byte, ok bool) {
	e, known := t.entries[name]
	own := unusable
	if known && e.work != unusable && t.work[e.work].kind.accepts(password) {
		own = e.work
	}
	// A refused password is hashed as well, cut to what a good one could be, so that refusing it takes no less time.
	password = password[:min(len(password), maxPassword)]
	for i, w := range t.work {
		hash := w.dummy
		if i == own {
			hash = e.hash
		}
		if t.observe != nil {
			t.observe(w.kind, len(password))
		}
		if w.kind.matches(hash, password) && i == own {
			ok = true
		}
	}
	if !ok {
		return fp, false
	}
	return e.fingerprint, true
}

// Format writes the number of users, whatever the verb.
func (t Table) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String())
}

// String says how many users there are, and nothing of them.
func (t Table) String() string { return fmt.Sprintf("users table with %d users", t.usable) }

// Problem is a line that cannot be used as it stands.
type Problem struct {
	// Line counts from 1.
	Line int
	// Reason is one of a fixed set of texts and holds nothing of the line.
	Reason string
}

// String is "line 3: unrecognised hash".
func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Reason) }

// shown is how many problems a message lists.
const shown = 5

// list joins the first problems for a message.
func list(problems []Problem) string {
	var b strings.Builder
	for i, p := range problems[:min(len(problems), shown)] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.String())
	}
	if more := len(problems) - shown; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}
