package htpasswd

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

var (
	// ErrPassword is wrapped when no hash can be made of a password.
	ErrPassword = errors.New("password cannot be used")
	// ErrTooLong is wrapped, beside [ErrPassword] or [ErrName], when length is what is wrong.
	ErrTooLong = errors.New("it is too long")
)

// HashPassword makes a hash for the users file that Apache and nginx read as well: bcrypt of cost 10, written as $2y$
// (CRD-12). It refuses the empty password, one with a NUL byte, and one over 72 bytes, of which bcrypt would ignore the
// rest (CRD-1). It takes some 50 ms of work; bounding how many run at a time is the caller's part.
func HashPassword(password string) (string, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > maxBcryptPassword:
		return "", fmt.Errorf("%w: %w: over %d bytes", ErrPassword, ErrTooLong, maxBcryptPassword)
	case strings.Contains(password, "\x00"):
		return "", fmt.Errorf("%w: it has a NUL byte", ErrPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), goodBcryptCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	// The same algorithm under the name that other programs know.
	return "$2y$" + strings.TrimPrefix(string(hash), "$2a$"), nil
}

// maxNewName is in bytes. The parser accepts longer names in files that people have.
const maxNewName = 64

// ErrName is wrapped when a name cannot be given to a new user.
var ErrName = errors.New("user name cannot be used")

// ValidName says what is wrong with a name for a new user, or nil (USR-1). Good names are 1 to 64 bytes of UTF-8 that
// shows: no colon, no control or invisible character, no line break of any kind, no # in front and no space around.
// Whether the name is taken, reserved or in the alphabet that sign-up allows is the caller's part.
func ValidName(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case len(name) > maxNewName:
		return fmt.Errorf("%w: %w: over %d bytes", ErrName, ErrTooLong, maxNewName)
	case !utf8.ValidString(name):
		why = "it is not UTF-8"
	case strings.Contains(name, ":"):
		why = "it has a colon"
	case name[0] == '#':
		why = "it begins with #"
	case strings.TrimSpace(name) != name:
		why = "it begins or ends with a space"
	case strings.ContainsFunc(name, hidden):
		why = "it has a character that does not show"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrName, why)
}

// hidden reports whether a character shows nothing by itself: controls, line breaks, direction marks, joiners, what is
// not assigned. Spaces show.
func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// validHash makes sure that a hash to be written will be read.
func validHash(hash string) error {
	if strings.Contains(hash, ":") {
		return fmt.Errorf("%w: colon", errHash)
	}
	if _, reason := classify(hash); reason != "" {
		return fmt.Errorf("%w: %s", errHash, reason)
	}
	return nil
}
