package caddymodule

import "testing"

func TestUSR1_NamesThatLookAlikeAreAlike(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"alice", "Alice", true},
		{"alice", "аlice", true}, // the first letter is Cyrillic
		{"alice", "a1ice", true},
		{"alice", "aIice", true},
		{"alice", "ａｌｉｃｅ", true},
		{"alice", "al\u200bice", true},
		{"bob", "b0b", true},
		{"bob", "ВОВ", true}, // all Cyrillic
		{"morgan", "rnorgan", true},
		{"will", "vvill", true},
		{"alice", "alicia", false},
		{"alice", "ALICE", true},
		{"al.ice", "alice", false},
		{"ian", "Ian", true},
		{"ian", "lan", true}, // in capitals nobody tells
		{"bob", "rob", false},
	} {
		if got := likeness(c.a) == likeness(c.b); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
