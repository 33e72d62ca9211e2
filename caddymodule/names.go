package caddymodule

import (
	"regexp"
	"strings"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/throttle"
)

// signUpName is what a visitor may call himself or herself (contract, section 6).
var signUpName = regexp.MustCompile(`^[A-Za-z0-9._-]{3,25}$`)

// alike are characters that people take for others. New names are ASCII, but
// names that operators put into the file need not be.
var alike = strings.NewReplacer(
	"i", "l", "1", "l", "|", "l", "0", "o", "rn", "m", "vv", "w",
	"а", "a", "в", "b", "с", "c", "ԁ", "d", "е", "e", "һ", "h", "і", "l", "ј", "j", "к", "k", "ӏ", "l", "м", "m", "н", "h",
	"о", "o", "р", "p", "ԛ", "q", "ѕ", "s", "т", "t", "у", "y", "ѵ", "v", "ԝ", "w", "х", "x",
	"α", "a", "β", "b", "ε", "e", "ζ", "z", "η", "h", "ι", "l", "κ", "k", "μ", "m", "ν", "v", "ο", "o", "ρ", "p", "τ", "t",
	"υ", "y", "χ", "x", "ɡ", "g", "ı", "l",
)

// likeness is the same for names that look alike (USR-1): by FoldUser, which
// knows spellings, and by characters of other scripts that look like Latin ones.
func likeness(name string) string {
	return alike.Replace(throttle.FoldUser(name))
}
