package contacts

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse reads whole files, compares with the standard library's reading, and edits what is good.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "{}", alice, phone(1), "{\n\t\"a\": {},\n\t\"b\": {\"email\":\"a@b.c\"}\n}\n", `{"a":{},"a":{}}`,
		`{"a":{"phone":"+4930123456","phone":"+4930123456"}}`, `{"\ud800":{}}`, `[{}]`, `{"a":{"x":[{}]}}`, "{}{}", "{ } x", "\ufeff{}",
		"{\"a\"\r\n:\t{ \"email\" : \"a\\u0040b\" } , \"\\u00e4\" :{}}", `{"a":null}`, `{"a":{"email":1e999}}`} {
		f.Add([]byte(text), "a", "x@example.com")
		f.Add([]byte(text), "zoë", "")
	}
	f.Fuzz(func(t *testing.T, data []byte, user, email string) {
		d, err := rules{}.parse(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") || !utf8.ValidString(err.Error()) {
				t.Fatalf("error %q", err)
			}
			return
		}
		users := d.contacts()
		var want map[string]map[string]string
		if err := json.Unmarshal(data, &want); err != nil || len(want) != len(users) || len(d.entries) != len(users) {
			t.Fatalf("%d users, the standard library has %d: %v", len(users), len(want), err)
		}
		for name, c := range users {
			if w := want[name]; w["email"] != c.Email || w["phone"] != c.Phone {
				t.Fatalf("%q: %+v, want %v", name, c, w)
			}
			if err := (rules{}).contact(c); err != nil {
				t.Fatal(err)
			}
		}

		contact := Contact{Email: email}
		if (rules{}).user(user) != nil || (rules{}).contact(contact) != nil {
			return
		}
		with, without := maps.Clone(users), maps.Clone(users)
		with[user] = contact
		delete(without, user)
		set, remove := d.set(user, contact), d.remove(user)
		check(t, set, with)
		check(t, remove, without)
		// In turn, and twice.
		check(t, reread(t, set).remove(user), without)
		check(t, reread(t, remove).set(user, contact), with)
		if again := reread(t, set).set(user, contact); string(again) != string(set) {
			t.Fatalf("twice gives %q, not %q", again, set)
		}
	})
}

func reread(t *testing.T, text []byte) *document {
	t.Helper()
	d, err := rules{}.parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

func check(t *testing.T, text []byte, want map[string]Contact) {
	t.Helper()
	if got := reread(t, text).contacts(); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q holds %v, want %v", text, got, want)
	}
}
