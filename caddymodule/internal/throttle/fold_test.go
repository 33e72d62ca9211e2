package throttle_test

import (
	"testing"
	"unicode/utf8"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

func TestTHR2_FoldUser(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", ""},
		{"   ", ""},
		{"bob", "bob"},
		{"Bob", "bob"},
		{"\tBOB \r\n", "bob"},
		{"bob smith", "bob smith"},
		{"ｂｏｂ", "bob"},                           // full width
		{"\u00a0bob\u3000", "bob"},               // no-break and ideographic space
		{"bo\u00adb", "bob"},                     // soft hyphen
		{"bo\u200db\ufeff\u202e", "bob"},         // joiner, byte order mark, direction
		{"b\ufe0fob", "bob"},                     // variation selector
		{"\u212Aate", "kate"},                    // Kelvin sign
		{"ﬁona", "fiona"},                        // ligature
		{"Zo\u00eb", "zo\u00eb"},                 // composed
		{"zoe\u0308", "zo\u00eb"},                // decomposed
		{"STRASSE", "strasse"},                   //
		{"straße", "strasse"},                    //
		{"STRAẞE", "strasse"},                    //
		{"ΣΊΣΥΦΟΣ", "σίσυφοσ"},                   // final sigma folds too
		{"σίσυφος", "σίσυφοσ"},                   //
		{"İ", "i\u0307"},                         // the same in every locale
		{"bob\xff\xfe", "bob\ufffd"},             // invalid UTF-8
		{"a\u00adlice!", "alice!"},               // what PRECIS refuses
		{"user@example.com", "user@example.com"}, //
		{"UⓈer", "user"},                         // circled
		{"\u00ad \u00ad", ""},                    // nothing to see
		{" \u00ad bob \u00ad ", "bob"},           // space behind the invisible
		{"\u0345\u0301", "\u0301\u03b9"},         // a mark that folds to a letter, after it was put in order
		{"日本", "日本"},                             //
		{"alice\x00bob", "alice\x00bob"},         // not ours to refuse
		{"Ǆ", "dž"},                              // three cases
		{"\u1e9b\u0323", "\u1e69"},               // reorders
		{"\u0130\u200bI", "i\u0307i"},            //
		{"\U0001d5d4lice", "alice"},              // mathematical
		{"\u1d2c", "a"},                          // a capital appears only after NFKC
		{"\u3372", "da"},                         // and in a ligature, lower
		{"\u33c2", "a.m."},                       //
		{"\u2100", "a/c"},                        //
		{"\u3000", ""},                           //
		{"\u00e9\u0327", "\u0229\u0301"},         //
		{"\u0390", "\u0390"},                     // folding takes it apart, NFKC puts it together
		{"\u03b1\u0345", "\u03b1\u03b9"},         // subscript iota
		{"\ufb00\u0131", "ff\u0131"},             // dotless i is another letter
		{"\u1fb7", "\u1fb6\u03b9"},               //
	} {
		if got := throttle.FoldUser(c.name); got != c.want {
			t.Errorf("FoldUser(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzFoldUser(f *testing.F) {
	for _, s := range []string{"Bob ", "ﬁ", "\u0345\u0301", "İ", "\xff", "\u00ad \u00ad", "ẞ", "\u1fb7", "a\u0300\u0345B", "ΣΊΣΥΦΟΣ", "\u3372 \u33c2", "\u3164x\uffa0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folded := throttle.FoldUser(name)
		if again := throttle.FoldUser(folded); again != folded {
			t.Fatalf("%q folds to %q and then to %q", name, folded, again)
		}
		if !utf8.ValidString(folded) {
			t.Fatalf("%q folds to invalid UTF-8 %q", name, folded)
		}
		if got := throttle.FoldUser(" " + name + " "); utf8.ValidString(name) && got != folded {
			t.Fatalf("%q folds to %q, with spaces around to %q", name, folded, got)
		}
	})
}
