package htpasswd

import (
	"fmt"
	"strings"
)

// The states of a [Line].
const (
	Active   = "active"
	Locked   = "locked"
	Unusable = "unusable"
)

// Line is what one line of a users file means.
type Line struct {
	// Number counts from 1.
	Number int
	// Name is as it stands there, and may be anything: who shows it takes care of what does not show.
	Name string
	// State is Active, Locked or Unusable.
	State string
	// Reason is why the line is unusable: one of a fixed set of texts that holds nothing of the line.
	Reason string
	// Hash is the kind of hash with its cost, "" where it is none that is understood.
	Hash string
	// Weak reports a hash that [Table.Weak] counts, or would count if its user were not locked.
	Weak bool
}

// List tells of every line that is not blank or a comment, in order.
func List(data []byte) []Line {
	r := newReader(data, [32]byte{})
	var list []Line
	for number, text := range lines(data) {
		if saysNothing(strings.TrimRight(text, "\r")) {
			continue
		}
		line := Line{Number: number, State: Active, Reason: r.line(text)}
		name, rest, _ := strings.Cut(strings.TrimRight(text, "\r"), ":")
		hash, _, _ := strings.Cut(rest, ":")
		line.Name = name
		switch {
		case line.Reason != "":
			line.State = Unusable
		case r.table.Locked(name):
			line.State = Locked
		}
		if k, reason := classify(strings.TrimLeft(hash, lockMark)); reason == "" {
			line.Hash, line.Weak = k.String(), k.weak()
		}
		list = append(list, line)
	}
	return list
}

// Foreign returns the number of the first line that has no colon and is not blank or a comment, and 0 if there is none.
// Apache's htpasswd takes a file with such a line for something else than a users file, and edits none of it.
func Foreign(data []byte) int {
	for number, line := range lines(data) {
		if line = strings.TrimRight(line, "\r"); !saysNothing(line) && !strings.Contains(line, ":") {
			return number
		}
	}
	return 0
}

// String names the algorithm and what it costs.
func (k kind) String() string {
	switch k.scheme {
	case schemeBcrypt:
		return fmt.Sprintf("bcrypt cost %d", k.cost)
	case schemeArgon2id:
		return fmt.Sprintf("argon2id %d MiB x %d", k.memory>>10, k.cost)
	case schemeSHA256Crypt:
		return fmt.Sprintf("sha256-crypt %d rounds", k.cost)
	case schemeSHA512Crypt:
		return fmt.Sprintf("sha512-crypt %d rounds", k.cost)
	case schemeAPR1:
		return "apr1"
	case schemeSSHA:
		return "SSHA"
	case schemeSHA:
		return "SHA"
	}
	return ""
}
