package htpasswd

import (
	"slices"
	"strings"
)

// document is the text of a users file, in pieces that put together give it back byte for byte.
type document struct {
	// mark is the byte order mark, if there is one.
	mark string
	// lines have their ends; the last one may lack it.
	lines []string
}

func newDocument(data []byte) document {
	text := string(data)
	rest := strings.TrimPrefix(text, byteOrderMark)
	d := document{mark: text[:len(text)-len(rest)]}
	if rest != "" {
		d.lines = strings.SplitAfter(rest, "\n")
	}
	if n := len(d.lines); n > 0 && d.lines[n-1] == "" {
		d.lines = d.lines[:n-1]
	}
	return d
}

func (d *document) bytes() []byte { return []byte(d.mark + strings.Join(d.lines, "")) }

// is reports whether a line makes an entry of that name, as the parser sees it.
func is(line, name string) bool {
	line = body(line)
	if saysNothing(line) {
		return false
	}
	is, _, _ := strings.Cut(line, ":")
	return is == name
}

// body is a line without its end.
func body(line string) string { return strings.TrimRight(line, "\r\n") }

// find returns the first line of a name, the one that counts. There is one if the parser knows the name.
func (d *document) find(name string) int {
	return slices.IndexFunc(d.lines, func(line string) bool { return is(line, name) })
}

// hash is the second field of a line.
func (d *document) hash(i int) string {
	_, rest, _ := strings.Cut(body(d.lines[i]), ":")
	hash, _, _ := strings.Cut(rest, ":")
	return hash
}

// setHash replaces the second field of a line, or adds it.
func (d *document) setHash(i int, hash string) {
	line := body(d.lines[i])
	end := d.lines[i][len(line):]
	name, rest, _ := strings.Cut(line, ":")
	if _, more, found := strings.Cut(rest, ":"); found {
		hash += ":" + more
	}
	d.lines[i] = name + ":" + hash + end
}

// add appends a line.
func (d *document) add(name, hash string) {
	end := d.lineEnd()
	if n := len(d.lines); n > 0 && !strings.HasSuffix(d.lines[n-1], "\n") {
		d.lines[n-1] += end
	}
	d.lines = append(d.lines, name+":"+hash+end)
}

// lineEnd is how the last line ends that does.
func (d *document) lineEnd() string {
	for _, line := range slices.Backward(d.lines) {
		switch {
		case strings.HasSuffix(line, "\r\n"):
			return "\r\n"
		case strings.HasSuffix(line, "\n"):
			return "\n"
		}
	}
	return "\n"
}

// remove removes all lines of a name.
func (d *document) remove(name string) {
	end := d.lineEnd()
	d.lines = slices.DeleteFunc(d.lines, func(line string) bool { return is(line, name) })
	// A mark further down is part of a name. It stays one if the file does not begin with it.
	if d.mark == "" && len(d.lines) > 0 && strings.HasPrefix(d.lines[0], byteOrderMark) {
		d.lines = slices.Insert(d.lines, 0, end)
	}
}
