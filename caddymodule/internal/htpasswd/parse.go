package htpasswd

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	rand2 "math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine = 8 << 10
	maxName = 255
	// maxKinds bounds the work of a verdict: the 11 costs of bcrypt and a few more.
	maxKinds = 16
	// minEntry is the length in bytes of the shortest line that can be used, rounded down: a name of one letter, a
	// colon and {SHA} with its digest.
	minEntry = 32

	byteOrderMark = "\xef\xbb\xbf"
	// lockMark in front of a hash locks the entry, as in /etc/shadow.
	lockMark = "!"
)

// The reasons of a [Problem], beside those that classify gives.
const (
	reasonNameEmpty   = "no user name"
	reasonNameLong    = "user name over 255 bytes"
	reasonNameUTF8    = "user name is not UTF-8"
	reasonNameControl = "control character in user name"
	reasonDuplicate   = "an earlier line has the same user name"
	reasonNoColon     = "no colon"
	reasonLineLong    = "line over 8 KiB"
	reasonKinds       = "too many different hash costs in this file"
)

// Parse reads a users file. It never fails as a whole: what cannot be used is reported line by line, in order.
// Hashes are looked at and not computed, so loading is quick whatever they cost.
func Parse(data []byte) (*Table, []Problem) {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	return parse(data, seed)
}

// parse is Parse with dummy hashes made from seed.
func parse(data []byte, seed [32]byte) (*Table, []Problem) {
	r := newReader(data, seed)
	for number, line := range lines(data) {
		if reason := r.line(line); reason != "" {
			r.problems = append(r.problems, Problem{number, reason})
		}
	}
	if len(r.table.work) == 0 {
		r.add(kind{scheme: schemeBcrypt, cost: defaultBcryptCost})
	}
	return &r.table, r.problems
}

// lines are the lines of a users file without their line feeds, counted from 1.
func lines(data []byte) iter.Seq2[int, string] {
	// One copy for the whole file; names and hashes point into it.
	text := strings.TrimPrefix(string(data), byteOrderMark)
	return func(yield func(int, string) bool) {
		for number := 1; text != ""; number++ {
			var line string
			line, text, _ = strings.Cut(text, "\n")
			if !yield(number, line) {
				return
			}
		}
	}
}

// reader fills a table line by line.
type reader struct {
	table    Table
	problems []Problem
	random   *rand2.ChaCha8
	buffer   []byte
}

func newReader(data []byte, seed [32]byte) reader {
	// The number of entries, were there no duplicates, for a map that need not grow.
	expect := min(bytes.Count(data, []byte{'\n'})+1, len(data)/minEntry+1)
	return reader{
		table:  Table{entries: make(map[string]entry, expect)},
		random: rand2.NewChaCha8(seed),
	}
}

// line takes in one line and returns what is wrong with it.
func (r *reader) line(line string) (reason string) {
	line = strings.TrimRight(line, "\r")
	if saysNothing(line) {
		return ""
	}
	name, rest, colon := strings.Cut(line, ":")
	if reason := checkName(name); reason != "" {
		return reason
	}
	if _, duplicate := r.table.entries[name]; duplicate {
		return reasonDuplicate
	}
	hash, _, _ := strings.Cut(rest, ":")
	k, reason := classify(hash)
	switch {
	case !colon:
		reason = reasonNoColon
	case len(line) > maxLine:
		reason = reasonLineLong
	case strings.HasPrefix(hash, lockMark):
		r.table.entries[name] = entry{work: unusable, locked: true}
		r.table.locked++
		return ""
	}
	if reason == "" {
		work := r.add(k)
		if work != unusable {
			r.table.entries[name] = entry{hash: hash, fingerprint: r.fingerprint(name, hash), work: work}
			r.table.usable++
			if k.weak() {
				r.table.weak++
			}
			return ""
		}
		reason = reasonKinds
	}
	// The name is taken and closed, so that no later line opens it.
	r.table.entries[name] = entry{work: unusable}
	return reason
}

// saysNothing reports whether a line without its end is blank or a comment.
func saysNothing(line string) bool {
	start := strings.TrimLeft(line, " \t")
	return start == "" || start[0] == '#'
}

// add returns the index of a kind among the table's, adding it while there is room.
func (r *reader) add(k kind) int {
	if i := slices.IndexFunc(r.table.work, func(w workload) bool { return w.kind == k }); i >= 0 {
		return i
	}
	if len(r.table.work) == maxKinds {
		return unusable
	}
	r.table.work = append(r.table.work, workload{kind: k, dummy: k.dummy(r.random)})
	return len(r.table.work) - 1
}

// fingerprint is the start of the SHA-256 of name and hash, each after its length.
func (r *reader) fingerprint(name, hash string) [16]byte {
	r.buffer = r.buffer[:0]
	for _, field := range []string{name, hash} {
		r.buffer = binary.BigEndian.AppendUint32(r.buffer, uint32(len(field)))
		r.buffer = append(r.buffer, field...)
	}
	sum := sha256.Sum256(r.buffer)
	return [16]byte(sum[:16])
}

func checkName(name string) (reason string) {
	switch {
	case name == "":
		return reasonNameEmpty
	case len(name) > maxName:
		return reasonNameLong
	case !utf8.ValidString(name):
		return reasonNameUTF8
	case strings.ContainsFunc(name, unicode.IsControl):
		return reasonNameControl
	}
	return ""
}
