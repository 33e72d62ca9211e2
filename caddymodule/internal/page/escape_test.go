package page

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are texts that would leave their place in a page that does not escape.
var hostile = []string{
	`"><script>alert(1)</script>`, `' onfocus=alert(1) autofocus x='`, `</title><style>*{}</style>`,
	`javascript:alert(1)`, ` javascript:alert(1)`, `JaVaScRiPt:alert(1)`, `data:text/html,<script>alert(1)</script>`,
	`//evil.example/x`, `/\evil.example`, `\\evil.example`, `https://evil.example/`, `/path with space`, "/a\tb", "/\x00",
	`{{.Title}}`, `{env.HOME}`, `<!--`, `]]>`, "\xff\xfe", "\u202e\u2066", `&quot;&#34;`, strings.Repeat("A", 5000),
}

// skeleton is what a browser makes of a page: its elements and the names of
// their attributes.
func skeleton(t testing.TB, page string) (tags []string, attributes map[string]bool) {
	d := parse(t, page)
	attributes = map[string]bool{}
	for _, n := range d {
		for _, a := range n.Attr {
			attributes[n.Data+" "+a.Key] = true
		}
	}
	return d.tags(), attributes
}

// fieldsOfText are the settable strings of a view, by name.
func fieldsOfText(v *View) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for _, part := range []any{v, v.Captcha, &v.Sessions[1]} {
		part := reflect.ValueOf(part).Elem()
		for i := range part.NumField() {
			if f := part.Field(i); f.Kind() == reflect.String {
				fields[part.Type().Field(i).Name] = f
			}
		}
	}
	return fields
}

func TestWEB5_NothingHostileLeavesItsPlace(t *testing.T) {
	s := newSite(t, Options{Title: "Wiki"})
	// A notice takes the place of the sign-up form.
	full := func(name string) View {
		v := accountView()
		v.Code, v.UserName = "captcha_wrong", "alice"
		if name == "Notice" {
			v.Notice = "signed_up"
		}
		return v
	}
	sample := full("")
	for name := range fieldsOfText(&sample) {
		t.Run(name, func(t *testing.T) {
			for _, page := range pages {
				clean := full(name)
				if name == "AudioURL" {
					clean.Captcha.AudioURL = "/s.wav"
				}
				whole := render(t, s, page, clean)
				marked := full(name)
				fieldsOfText(&marked)[name].SetString("/marked")
				if render(t, s, page, marked) == whole {
					continue // the page does not show it
				}
				wantTags, allowed := skeleton(t, whole)
				for _, text := range hostile {
					v := full(name)
					fieldsOfText(&v)[name].SetString(text)
					out := render(t, s, page, v)
					tags, attributes := skeleton(t, out)
					// An address that is refused may take its element with it.
					isAddress := strings.HasSuffix(name, "URL") || name == "BasePath" || name == "Prefix"
					if !isAddress && !slices.Equal(tags, wantTags) {
						t.Errorf("%s: %q changes the elements to %v", page, text, tags)
					}
					for a := range attributes {
						if !allowed[a] && a != "p autofocus" && a != "input autofocus" && a != "img src" {
							t.Errorf("%s: %q makes an attribute <%s>", page, text, a)
						}
					}
					for _, n := range parse(t, out) {
						for _, a := range n.Attr {
							address := slices.Contains([]string{"href", "src", "action", "data-challenge", "data-address"}, a.Key)
							if address && a.Val != "" && local(a.Val) == "" {
								t.Errorf("%s: %q becomes <%s %s=%q>", page, text, n.Data, a.Key, a.Val)
							}
						}
					}
				}
			}
		})
	}
}

func TestWEB5_HostileErrorsAreTextAtMost(t *testing.T) {
	s := newSite(t, Options{})
	for _, page := range []string{"sign-up", "account", "second-step"} {
		v := accountView()
		v.Errors = map[string]string{"username": "username_taken", "new_password": "password_too_common"}
		want, _ := skeleton(t, render(t, s, page, v))
		for _, text := range hostile {
			v.Errors = map[string]string{"username": text, "new_password": text, text: text}
			if tags, _ := skeleton(t, render(t, s, page, v)); !slices.Equal(tags, want) {
				t.Errorf("%s: %q changes the elements to %v", page, text, tags)
			}
		}
	}
}

func TestRED3_OnlyPathsOnThisHostAreWritten(t *testing.T) {
	for address, want := range map[string]bool{
		"/": true, "/login?rd=%2Fa%3Fb": true, "/app/captcha-gate/challenge": true, "/é": true,
		"": false, "login": false, "//evil": false, "/\\evil": false, "\\evil": false, "https://evil": false,
		"javascript:alert(1)": false, "/a b": false, "/a\nb": false, "/\t/evil": false, "/\x7f": false, " /a": false,
	} {
		if got := local(address); (got == address && got != "") != want || (!want && got != "") {
			t.Errorf("local(%q) = %q, want it to pass: %v", address, got, want)
		}
	}
}

func TestTheOperatorsWordsAreEscaped(t *testing.T) {
	for _, text := range hostile {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			continue // no configuration holds it
		}
		s := newSite(t, Options{Title: text, Contact: text})
		page := render(t, s, "sign-in", signInView())
		for _, n := range parse(t, page) {
			if n.Data == "script" {
				wantAttr(t, n, "src", "/captcha-gate/assets/"+s.public["gate.js"])
			}
			if n.Data == "style" {
				t.Errorf("%q makes a style", text)
			}
			if href, _ := attr(n, "href"); n.Data == "a" && local(href) == "" && !strings.HasPrefix(href, "https://evil.example") {
				t.Errorf("%q makes a link to %q", text, href)
			}
		}
	}
}

func FuzzRenderSignIn(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, text)
	}
	f.Add("alice", "/wiki?a=b", "credentials_wrong")
	s := newSite(f, Options{Title: "Wiki"})
	wantTags, _ := skeleton(f, render(f, s, "sign-in", signInView()))
	f.Fuzz(func(t *testing.T, userName, returnTo, code string) {
		var out bytes.Buffer
		err := s.Render(&out, "sign-in", with(func(v *View) { v.UserName, v.ReturnTo, v.Code = userName, returnTo, code }))
		if err != nil {
			t.Fatal(err)
		}
		if tags, _ := skeleton(t, out.String()); !slices.Equal(tags, wantTags) {
			t.Fatalf("elements became %v", tags)
		}
	})
}

func FuzzRenderAccountPages(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, text, text)
	}
	f.Add("Firefox on Linux", "a•••@example.com", "/wiki?a=b", "username_taken")
	s := newSite(f, Options{Title: "Wiki"})
	names := []string{"sign-up", "account", "second-step"}
	want := map[string][]string{}
	for _, name := range names {
		want[name], _ = skeleton(f, render(f, s, name, accountView()))
	}
	f.Fuzz(func(t *testing.T, words, address, returnTo, code string) {
		v := accountView()
		v.UserName, v.SignedInAs, v.Destination, v.FormToken = words, words+"x", address, words+"x"
		v.Sessions[1].ID, v.Sessions[1].Browser, v.Sessions[1].Network = words, words, address+"x"
		v.Email, v.ReturnTo, v.Code = address+"x", returnTo+"x", code
		v.Errors = map[string]string{"username": code, "current_password": code, "code": code, words: address}
		for _, name := range names {
			var out bytes.Buffer
			if err := s.Render(&out, name, v); err != nil {
				t.Fatal(err)
			}
			if tags, _ := skeleton(t, out.String()); !slices.Equal(tags, want[name]) {
				t.Fatalf("%s: elements became %v", name, tags)
			}
		}
	})
}
