package caddymodule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block reads the words of one pair of braces. Every word is known, stands
// there once, and takes exactly its arguments; anything else is an error with
// file and line.
type block struct {
	*caddyfile.Dispenser
	words map[string]func() error
	// repeated are the words that may stand there more than once.
	repeated []string
}

// nested reads the block of a word that takes no arguments of its own.
func (b block) nested() error {
	name := b.Val()
	if b.NextArg() {
		return b.Errf("%s takes a block, as in %[1]s { ... } with a setting on each line; %q cannot stand behind it", name, b.Val())
	}
	words, err := b.read()
	if err == nil && words == 0 {
		return b.Errf("%s needs a block with at least one setting, as in %[1]s { ... } with each on a line of its own", name)
	}
	return err
}

// read reads the block and returns how many words it held.
func (b block) read() (words int, err error) {
	seen := map[string]bool{}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		word := b.Val()
		parse, known := b.words[word]
		if !known {
			return 0, b.Errf("unrecognized subdirective %q", word)
		}
		if seen[word] && !slices.Contains(b.repeated, word) {
			return 0, b.Errf("%s is given twice", word)
		}
		seen[word] = true
		if err := parse(); err != nil {
			return 0, err
		}
	}
	return len(seen), nil
}

// noBlock refuses a block after a word that takes none.
func (b block) noBlock(name string) error {
	nesting := b.Nesting()
	if b.NextBlock(nesting) {
		return b.Errf("%s takes no block", name)
	}
	return nil
}

func (b block) none() error {
	name := b.Val()
	if b.NextArg() {
		return b.ArgErr()
	}
	return b.noBlock(name)
}

func (b block) text(to *string) error {
	name := b.Val()
	if !b.AllArgs(to) {
		return b.ArgErr()
	}
	if *to == "" {
		return b.Errf("%s must not be empty", name)
	}
	return b.noBlock(name)
}

func someTexts[T ~string](b block, to *[]T) error {
	name := b.Val()
	args := b.RemainingArgs()
	if len(args) == 0 {
		return b.ArgErr()
	}
	for _, arg := range args {
		if arg == "" {
			return b.Errf("%s must not be empty", name)
		}
		*to = append(*to, T(arg))
	}
	return b.noBlock(name)
}

func (b block) oneOf(to *string, choices ...string) error {
	name := b.Val()
	if err := b.word(to, choices...); err != nil {
		return err
	}
	return b.noBlock(name)
}

// word reads a choice after which a block may follow.
func (b block) word(to *string, choices ...string) error {
	name := b.Val()
	if !b.AllArgs(to) {
		return b.ArgErr()
	}
	if !slices.Contains(choices, *to) {
		return b.Errf("%s %q: one of %s", name, *to, strings.Join(choices, ", "))
	}
	return nil
}

func (b block) number(to *int) error { return b.numbers(to) }

// numbers reads whole numbers of at least 1; what 0 would mean is always said
// by leaving the word out.
func (b block) numbers(to ...*int) error {
	name := b.Val()
	args := b.RemainingArgs()
	if len(args) != len(to) {
		return b.ArgErr()
	}
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return b.Errf("%s: %q is not a whole number of at least 1", name, arg)
		}
		*to[i] = n
	}
	return b.noBlock(name)
}

func (b block) duration(to *caddy.Duration) error {
	name := b.Val()
	var arg string
	if !b.AllArgs(&arg) {
		return b.ArgErr()
	}
	value, err := caddy.ParseDuration(arg)
	if err != nil || value < 0 {
		return b.Errf("%s: %q is not a duration such as 90s, 12h or 30d", name, arg)
	}
	*to = caddy.Duration(value)
	return b.noBlock(name)
}

// durationOrOff reads a duration, or "off" for none.
func (b block) durationOrOff(to *caddy.Duration) error {
	name := b.Val()
	var arg string
	if !b.AllArgs(&arg) {
		return b.ArgErr()
	}
	value, err := caddy.ParseDuration(arg)
	switch {
	case arg == "off":
		value = 0
	case err != nil || value <= 0:
		return b.Errf("%s: %q is neither off nor a duration such as 2s", name, arg)
	}
	*to = caddy.Duration(value)
	return b.noBlock(name)
}

// onOff reads a switch.
func (b block) onOff(to **bool) error {
	var word string
	if err := b.oneOf(&word, "on", "off"); err != nil {
		return err
	}
	on := word == "on"
	*to = &on
	return nil
}

func (b block) isOn(to *bool) error {
	var on *bool
	err := b.onOff(&on)
	*to = err == nil && *on
	return err
}

func (b block) positive(to *caddy.Duration) error {
	name := b.Val()
	if err := b.duration(to); err != nil {
		return err
	}
	if time.Duration(*to) < time.Second {
		return b.Errf("%s: must be at least 1s", name)
	}
	return nil
}

func (b block) limit(to *LimitConfig) error {
	name := b.Val()
	var events, window string
	if !b.AllArgs(&events, &window) {
		return b.ArgErr()
	}
	n, err := strconv.Atoi(events)
	if err != nil || n < 1 {
		return b.Errf("%s: %q is not a whole number of at least 1", name, events)
	}
	w, err := caddy.ParseDuration(window)
	if err != nil || w < time.Second {
		return b.Errf("%s: %q is not a window of at least 1s, such as 10m", name, window)
	}
	to.Events, to.Window = n, caddy.Duration(w)
	return b.noBlock(name)
}
