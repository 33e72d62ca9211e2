package throttle

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldUser is the one canonicaliser of user names: names that a person would take for one give one result, whatever
// their case, width, Unicode form, surrounding space or invisible characters (THR-2, USR-1). Use it to count, to compare
// and to refuse look-alikes. Users are looked up by the exact name (CRD-1).
//
// It takes any bytes, never fails, and folding twice changes nothing. It does what the case-mapped user name profile of
// PRECIS (RFC 8265) does, and more: that profile refuses many names, and a second rule for those would leave a seam where
// two spellings of one name fall on different sides.
func FoldUser(name string) string {
	if isASCII(name) {
		return strings.ToLower(strings.TrimSpace(name))
	}
	name = strings.ToValidUTF8(name, string(unicode.ReplacementChar))
	// Each step may make work for the one before it; few names need a second round, none is known to need a third.
	for range maxFolds {
		folded := foldOnce(name)
		if folded == name {
			break
		}
		name = folded
	}
	return name
}

const maxFolds = 8

func foldOnce(name string) string {
	name = norm.NFKC.String(strings.Map(dropInvisible, name))
	name = cases.Fold().String(name)
	return strings.TrimSpace(norm.NFKC.String(name))
}

// dropInvisible drops, for strings.Map, what shows nothing by itself: soft hyphens, joiners, direction marks and the like.
func dropInvisible(r rune) rune {
	if unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
		return -1
	}
	return r
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
