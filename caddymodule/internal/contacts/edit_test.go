package contacts

import (
	"strings"
	"testing"
)

func TestUSR4_EditsLeaveEverythingElseAsItIs(t *testing.T) {
	bob := Contact{Email: "b@x.de", Phone: "+4930123456"}
	const put = `"bob": {"email": "b@x.de", "phone": "+4930123456"}`
	set := func(d *document) []byte { return d.set("bob", bob) }
	remove := func(d *document) []byte { return d.remove("bob") }
	for _, test := range []struct {
		name       string
		do         func(*document) []byte
		text, want string
	}{
		{"add to nothing", set, `{}`, "{\n  " + put + "\n}"},
		{"add to nothing, spread out", set, "\n{\n\n}\n", "\n{\n  " + put + "\n}\n"},
		{"add to nothing, CRLF", set, "{\r\n}\r\n", "{\r\n  " + put + "\r\n}\r\n"},
		{"add to one", set, `{"a":{}}`, `{"a":{}, ` + put + `}`},
		{"add to one, with spaces", set, `{ "a": {} }`, `{ "a": {}, ` + put + ` }`},
		{"add to two", set, `{"a":{},"b":{}}`, `{"a":{},"b":{},` + put + `}`},
		{"add to lines", set, "{\n\t\"a\": {},\n\t\"b\": {}\n}\n", "{\n\t\"a\": {},\n\t\"b\": {},\n\t" + put + "\n}\n"},
		{"add to a line, CRLF", set, "{\r\n  \"a\": {}\r\n}", "{\r\n  \"a\": {},\r\n  " + put + "\r\n}"},
		{"add after a comma on a line of its own", set, "{\n \"a\":{}\n ,\n \"b\":{}\n}", "{\n \"a\":{}\n ,\n \"b\":{},\n " + put + "\n}"},
		{"change", set, "{\n\"bob\" : {\n \"phone\":\"+4930999999\" } ,\"a\":{}}", "{\n\"bob\" : " + strings.TrimPrefix(put, `"bob": `) + " ,\"a\":{}}"},
		{"change the last", set, `{"a":{},"bob":{}}`, `{"a":{},"bob":` + strings.TrimPrefix(put, `"bob": `) + `}`},
		{"change nothing", set, "{\"bob\": {\"phone\":\"+4930123456\", \"email\":\"b@x.d\\u0065\"}}", "{\"bob\": {\"phone\":\"+4930123456\", \"email\":\"b@x.d\\u0065\"}}"},
		{"change by an escaped name", set, `{"b\u006fb":{}}`, `{"b\u006fb":` + strings.TrimPrefix(put, `"bob": `) + `}`},
		{"remove the only one", remove, "{\n  " + put + "\n}\n", "{}\n"},
		{"remove the first", remove, "{\n  " + put + ",\n  \"a\": {}\n}", "{\n  \"a\": {}\n}"},
		{"remove the second", remove, "{\n  \"a\": {},\n  " + put + ",\n  \"c\": {}\n}", "{\n  \"a\": {},\n  \"c\": {}\n}"},
		{"remove the last", remove, "{\n  \"a\": {},\n  " + put + "\n}\n", "{\n  \"a\": {}\n}\n"},
		{"remove who is not there", remove, `{"a":{} }`, `{"a":{} }`},
		{"remove from nothing", remove, ` { } `, ` { } `},
	} {
		d, err := rules{}.parse([]byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		got := test.do(d)
		if string(got) != test.want {
			t.Errorf("%s:\n%s\ngives\n%s\nwant\n%s", test.name, test.text, got, test.want)
		}
		after, err := rules{}.parse(got)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if again := test.do(after); string(again) != string(got) {
			t.Errorf("%s twice gives\n%s", test.name, again)
		}
	}
}

func TestContactsAreWrittenWithWhatIsKnown(t *testing.T) {
	for want, c := range map[string]Contact{
		`{}`:                       {},
		`{"email": "a&b@x.de"}`:    {Email: "a&b@x.de"},
		`{"phone": "+4930123456"}`: {Phone: "+4930123456"},
	} {
		if got := encode(c); got != want {
			t.Errorf("%+v is written as %s, want %s", c, got, want)
		}
	}
}
