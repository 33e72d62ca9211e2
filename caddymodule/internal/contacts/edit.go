package contacts

import (
	"bytes"
	"encoding/json"
	"slices"
)

// set returns the text with this contact of a user.
func (d *document) set(user string, c Contact) []byte {
	i := d.find(user)
	switch {
	case i < 0:
		return d.add(user, c)
	case d.entries[i].contact == c:
		return d.data
	}
	return d.with(d.entries[i].mid, d.entries[i].stop, encode(c))
}

// add returns the text with a new entry at the end.
func (d *document) add(user string, c Contact) []byte {
	text := quote(user) + ": " + encode(c)
	n := len(d.entries)
	if n == 0 {
		newline := "\n"
		if bytes.Contains(d.data, []byte("\r\n")) {
			newline = "\r\n"
		}
		return d.with(d.open, d.end, newline+"  "+text+newline)
	}
	// What is between the last entry and what comes before it goes before the new one as well.
	before := d.open
	if n > 1 {
		before = d.entries[n-2].stop
		before += bytes.IndexByte(d.data[before:], ',') + 1
	}
	gap := string(d.data[before:d.entries[n-1].start])
	if n == 1 && gap == "" {
		gap = " "
	}
	return d.with(d.entries[n-1].stop, d.entries[n-1].stop, ","+gap+text)
}

// remove returns the text without a user.
func (d *document) remove(user string) []byte {
	i := d.find(user)
	switch {
	case i < 0:
		return d.data
	case len(d.entries) == 1:
		return d.with(d.open, d.end, "")
	case i == 0:
		return d.with(d.entries[0].start, d.entries[1].start, "")
	}
	return d.with(d.entries[i-1].stop, d.entries[i].stop, "")
}

func (d *document) find(user string) int {
	return slices.IndexFunc(d.entries, func(e entry) bool { return e.user == user })
}

// with returns the text with a part of it replaced.
func (d *document) with(from, to int, text string) []byte {
	return slices.Concat(d.data[:from], []byte(text), d.data[to:])
}

// encode writes what is known of a contact, on one line.
func encode(c Contact) string {
	text := ""
	for _, m := range members {
		if value := *m.of(&c); value != "" {
			if text != "" {
				text += ", "
			}
			text += quote(m.name) + ": " + quote(value)
		}
	}
	return "{" + text + "}"
}

// quote writes a string as JSON, and leaves & and the like readable.
func quote(s string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always has a form
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
