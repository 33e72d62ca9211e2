package contacts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const alice = `{"alice": {"email": "alice@example.com", "phone": "+15551234567"}}`

// summary lists contacts in a fixed order.
func summary(users map[string]Contact) string {
	var parts []string
	for _, user := range slices.Sorted(maps.Keys(users)) {
		parts = append(parts, fmt.Sprintf("%s %s %s", user, users[user].Email, users[user].Phone))
	}
	return strings.Join(parts, "; ")
}

func TestGoodFilesAreRead(t *testing.T) {
	long := strings.Repeat("u", 255)
	for text, want := range map[string]string{
		`{}`:        "",
		" {\r\n}\n": "",
		alice:       "alice alice@example.com +15551234567",
		`{"bob":{"phone":"+4930123456"},"alice":{"email":"a@b.c"}}`: "alice a@b.c ; bob  +4930123456",
		"{\"zoë\" :\t{ } }":                      "zoë  ",
		`{"zo\u00eb":{"em\u0061il":"a\u0040b"}}`: "zoë a@b ",
		`{"` + long + `":{}}`:                    long + "  ",
		`{"\ud83d\ude00":{}}`:                    "😀  ",
	} {
		d, err := rules{}.parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := summary(d.contacts()); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestBadFilesAreRefusedWithLineUserAndField(t *testing.T) {
	for _, test := range []struct {
		text, want string
	}{
		{"", "line 1: not JSON"},
		{" \n", "line 1: not JSON"},
		{"\ufeff" + alice, "line 1: byte order mark"},
		{"{\n\"a\xff\": {}}", "line 2: not UTF-8"},
		{"{\n\"alice\": {\"email\": \"\xff\"}}", "line 2: not UTF-8"},
		{alice + "\n{}", "line 2: not JSON"},
		{alice + "\n\nx", "line 3: not JSON"},
		{"{\n\"alice\": {},\n}", "line 3: not JSON"},
		{"{\"alice\": {},, \"bob\": {}}", "line 1: not JSON"},
		{"{\n\"alice\" {}}", "line 2: not JSON"},
		{"{\n\"alice\": {\"phone\": +15551234567}}", "line 2: not JSON"},
		{"{\n\"alice\": {}", "line 2: not JSON"},
		{"// x\n{}", "line 1: not JSON"},
		{strings.Repeat(`{"a":`, 20000), "line 1: not JSON"},
		{"[]", "line 1: not an object of users"},
		{"null", "line 1: not an object of users"},
		{`"x"`, "line 1: not an object of users"},
		{"{\n\"alice\": null}", `line 2: user "alice": not an object`},
		{"{\n\"alice\":\n\"secret@example.com\"}", `line 3: user "alice": not an object`},
		{"{\"alice\": []}", `line 1: user "alice": not an object`},
		{"{\"alice\": {},\n\"alice\": {}}", `line 2: user "alice": comes twice`},
		{"{\"alice\": {},\n\"\\u0061lice\": {}}", `line 2: user "alice": comes twice`},
		{"{\"alice\": {\n\"mail\": \"secret@example.com\"}}", `line 2: user "alice": unknown member`},
		{"{\"alice\": {\n\"Email\": \"secret@example.com\"}}", `line 2: user "alice": unknown member`},
		{"{\"alice\": {\"email\": \"a@b.c\",\n\"email\": \"secret@example.com\"}}", `line 2: user "alice": email: comes twice`},
		{"{\"alice\": {\"email\":\n5}}", `line 2: user "alice": email: not a string`},
		{"{\"alice\": {\"email\": null}}", `line 1: user "alice": email: not a string`},
		{"{\"alice\": {\"phone\": 15551234567}}", `line 1: user "alice": phone: not a string`},
		{"{\"alice\": {\"phone\": {}}}", `line 1: user "alice": phone: not a string`},
		{"{\"alice\": {\"email\":\n\"secret\"}}", `line 2: user "alice": email: not a bare e-mail address`},
		{"{\"alice\": {\"email\": \"\"}}", `line 1: user "alice": email: not a bare e-mail address`},
		{"{\"alice\": {\"phone\": \"\"}}", `line 1: user "alice": phone: not a phone number`},
		{"{\n\n\"bob\": {\"phone\": \"5551234567\"}}", `line 3: user "bob": phone: not a phone number in the form of E.164`},
		{"{\"\": {}}", "line 1: user name is empty"},
		{"{\"a:b\": {}}", `line 1: user "a:b": no user can have such a name`},
		{"{\"a\\nb\": {}}", `line 1: user "a\nb": no user can have such a name`},
		{"{\"\\ud800\": {}}", "line 1: user name is not UTF-8"},
		{`{"` + strings.Repeat("u", 256) + `": {}}`, "line 1: user name has over 255 bytes"},
	} {
		_, err := rules{}.parse([]byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.80q: %v, want %s", test.text, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "555123456") && !strings.Contains(err.Error(), "such as")) {
			t.Errorf("LOG-1: %v shows a contact", err)
		}
	}
}

func TestPhoneNumbersAreE164(t *testing.T) {
	german := rules{countries: []string{"+49", "+43"}}
	for phone, want := range map[string]error{
		"+1234567": nil, "+123456789012345": nil, "+4930123456": nil, "+436601234567": nil,
		"+123456": errPhone, "+1234567890123456": errPhone, "+0123456789": errPhone, "15551234567": errPhone,
		"0015551234567": errPhone, "+1 555 1234567": errPhone, "+1-5551234567": errPhone, "+1(555)1234567": errPhone,
		"+15551234567 ": errPhone, " +15551234567": errPhone, "+15551234567\n": errPhone, "++15551234567": errPhone,
		"+": errPhone, "+١٢٣٤٥٦٧٨": errPhone, "+1555123456x": errPhone, "tel:+15551234567": errPhone, "＋15551234567": errPhone,
	} {
		if err := (rules{}).phone(phone); err != want {
			t.Errorf("%q: %v, want %v", phone, err, want)
		}
		if want == nil && !strings.HasPrefix(phone, "+4") {
			want = errCountry
		}
		if err := german.phone(phone); err != want {
			t.Errorf("%q in Germany or Austria: %v, want %v", phone, err, want)
		}
	}
}

func TestEmailAddressesAreBare(t *testing.T) {
	longest := strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 61)+".", 3) + "bb"
	for _, email := range []string{"alice@example.com", "a@b", "first.last+tag@mail.example.org", "o'hara@example.com",
		"a&b@example.com", "x@xn--bcher-kva.example", longest + "b"} {
		if err := (rules{}).email(email); err != nil {
			t.Errorf("%q: %v", email, err)
		}
	}
	for _, email := range []string{"", "alice", "@example.com", "alice@", "a@b@c", "alice@example.com ", " alice@example.com",
		"Alice <alice@example.com>", "<alice@example.com>", "alice@example.com (Alice)", "alice@example.com, bob@example.com",
		"\"alice\"@example.com", "\"a b\"@example.com", "alice@example.com\nBcc: bob@example.com", "alice@example.com\r\n",
		"alice\x00@example.com", "alice@exa\tmple.com", "älice@example.com", "alice@bücher.example", "alice@example..com",
		".alice@example.com", "alice@ example.com", "=?utf-8?q?alice?=@example.com>", longest + "bb"} {
		if err := (rules{}).email(email); err != errEmail {
			t.Errorf("%q: %v", email, err)
		}
	}
}
