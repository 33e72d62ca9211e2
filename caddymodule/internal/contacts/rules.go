package contacts

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxUser  = 255
	maxEmail = 254

	minDigits, maxDigits = 7, 15
)

var (
	errEmail   = errors.New("not a bare e-mail address of up to 254 ASCII characters, such as alice@example.com")
	errPhone   = errors.New("not a phone number in the form of E.164, such as +15551234567")
	errCountry = errors.New("not a phone number of the countries that are allowed")
)

// rules say what a contact may be.
type rules struct {
	countries []string
}

// user checks a name. It allows what the users file does.
func (rules) user(name string) error {
	switch {
	case name == "":
		return errors.New("user name is empty")
	case len(name) > maxUser:
		return fmt.Errorf("user name has over %d bytes", maxUser)
	case !utf8.ValidString(name), strings.ContainsRune(name, utf8.RuneError): // the latter is what a bad \u becomes
		return errors.New("user name is not UTF-8")
	case strings.Contains(name, ":"), strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("user %q: no user can have such a name", name)
	}
	return nil
}

// contact checks what is there of a contact.
func (r rules) contact(c Contact) error {
	for _, member := range members {
		value := *member.of(&c)
		if value == "" {
			continue
		}
		if err := member.check(r, value); err != nil {
			return fmt.Errorf("%s: %w", member.name, err)
		}
	}
	return nil
}

// members are what an entry may have, in the order in which they are written.
var members = []struct {
	name  string
	of    func(*Contact) *string
	check func(rules, string) error
}{
	{"email", func(c *Contact) *string { return &c.Email }, rules.email},
	{"phone", func(c *Contact) *string { return &c.Phone }, rules.phone},
}

// emailPattern is what browsers take for an e-mail address: no quotes, no comments, ASCII. It can stand in a header and in a
// command to a mail server as it is.
var emailPattern = regexp.MustCompile("^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@" +
	`[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

func (rules) email(s string) error { return CheckEmail(s) }

// CheckEmail says why a text is no address that the file may hold and a sender takes; nil if it is one.
func CheckEmail(s string) error {
	if len(s) > maxEmail || !emailPattern.MatchString(s) {
		return errEmail
	}
	// The pattern lets dots stand where they may not.
	if address, err := mail.ParseAddress(s); err != nil || address.Address != s {
		return errEmail
	}
	return nil
}

func (r rules) phone(s string) error {
	digits, plus := strings.CutPrefix(s, "+")
	if !plus || len(digits) < minDigits || len(digits) > maxDigits || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return errPhone
	}
	for _, country := range r.countries {
		if strings.HasPrefix(s, country) {
			return nil
		}
	}
	if len(r.countries) > 0 {
		return errCountry
	}
	return nil
}
