package contacts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// document is the text of a contacts file, and where in it the entries are.
type document struct {
	data    []byte
	entries []entry
	// open is where the inside of the whole object begins, and end where it ends, as offsets.
	open, end int
}

// entry is one user. Offsets: of the quote that begins the name, of the brace that begins the contact, and of what
// follows its last brace.
type entry struct {
	user             string
	contact          Contact
	start, mid, stop int
}

// contacts are the entries by user.
func (d *document) contacts() map[string]Contact {
	users := make(map[string]Contact, len(d.entries))
	for _, e := range d.entries {
		users[e.user] = e.contact
	}
	return users
}

var (
	errMark     = errors.New("byte order mark; save the file as UTF-8 without it")
	errUTF8     = errors.New("not UTF-8")
	errJSON     = errors.New("not JSON")
	errTop      = errors.New("not an object of users")
	errEntry    = errors.New("not an object")
	errText     = errors.New("not a string")
	errMember   = errors.New("unknown member; there are email and phone")
	errRepeated = errors.New("comes twice")
)

// parse reads a whole file. Its errors begin with the line.
func (r rules) parse(data []byte) (*document, error) {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, at(data, 0, errMark)
	}
	if !utf8.Valid(data) {
		return nil, at(data, badUTF8(data), errUTF8)
	}
	// First the syntax, of the whole file, text after the end included. The decoder's own words are left out, because they
	// show characters of the file.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		offset := len(data)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			offset = int(syntax.Offset) - 1
		}
		return nil, at(data, offset, errJSON)
	}
	p := parser{rules: r, data: data, tokens: json.NewDecoder(bytes.NewReader(data)), known: make(map[string]bool)}
	d := &document{data: data}
	if err := p.document(d); err != nil {
		return nil, at(data, p.offset, err)
	}
	return d, nil
}

// at names the line of an error.
func at(data []byte, offset int, err error) error {
	offset = max(0, min(offset, len(data)))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
}

func badUTF8(data []byte) int {
	for offset := 0; offset < len(data); {
		r, size := utf8.DecodeRune(data[offset:])
		if r == utf8.RuneError && size == 1 {
			return offset
		}
		offset += size
	}
	return len(data)
}

// parser reads text whose syntax is known to be good.
type parser struct {
	rules  rules
	data   []byte
	tokens *json.Decoder
	known  map[string]bool
	// offset is where the last token begins.
	offset int
}

// next returns the next token. The syntax is known to be good, so it is there.
func (p *parser) next() json.Token {
	p.offset = int(p.tokens.InputOffset())
	for p.offset < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[p.offset]) >= 0 {
		p.offset++
	}
	token, _ := p.tokens.Token()
	return token
}

func (p *parser) document(d *document) error {
	if p.next() != json.Delim('{') {
		return errTop
	}
	d.open = p.offset + 1
	for p.tokens.More() {
		e, err := p.entry()
		if err != nil {
			return err
		}
		d.entries = append(d.entries, e)
	}
	p.next()
	d.end = p.offset
	return nil
}

func (p *parser) entry() (e entry, err error) {
	e.user, _ = p.next().(string)
	e.start = p.offset
	if err := p.rules.user(e.user); err != nil {
		return e, err
	}
	if p.known[e.user] {
		return e, fmt.Errorf("user %q: %w", e.user, errRepeated)
	}
	p.known[e.user] = true
	if p.next() != json.Delim('{') {
		return e, fmt.Errorf("user %q: %w", e.user, errEntry)
	}
	e.mid = p.offset
	var had []string
	for p.tokens.More() {
		name, _ := p.next().(string)
		if err := p.member(&e.contact, name, slices.Contains(had, name)); err != nil {
			return e, fmt.Errorf("user %q: %w", e.user, err)
		}
		had = append(had, name)
	}
	p.next()
	e.stop = p.offset + 1
	return e, nil
}

// member reads the value of a member of an entry.
func (p *parser) member(c *Contact, name string, repeated bool) error {
	for _, m := range members {
		if m.name != name {
			continue
		}
		if repeated {
			return fmt.Errorf("%s: %w", name, errRepeated)
		}
		value, ok := p.next().(string)
		if !ok {
			return fmt.Errorf("%s: %w", name, errText)
		}
		*m.of(c) = value
		if err := m.check(p.rules, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return errMember
}
