package page

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var keptNoon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newKeptSite(t testing.TB, o Options) *Site {
	t.Helper()
	o.Now = func() time.Time { return keptNoon }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.kept.pages = nil // those of the samples
	return s
}

// fresh is what somebody sees who comes for the first time.
func fresh(token string) View {
	return View{
		Lang: "en", BasePath: "/captcha-gate", LoginPath: "/login", LogoutPath: "/logout", RememberOffered: true,
		RefreshURL: "/login", ListenURL: "/login?kind=audio",
		Voices: []Voice{{Tag: "en", Name: "English"}}, VoiceTag: "en",
		Captcha: &Captcha{
			Token: token, ImageURL: "/captcha-gate/challenge/" + token + ".png", Width: 240, Height: 80,
			ExpiresAt: keptNoon.Add(5 * time.Minute),
		},
	}
}

func rendered(t testing.TB, s *Site, v View) string {
	t.Helper()
	var page bytes.Buffer
	if err := s.Render(&page, "sign-in", v); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// executed is the page as the template alone makes it.
func executed(t testing.TB, s *Site, v View) string {
	t.Helper()
	v.Lang = s.known(v.Lang)
	var page bytes.Buffer
	if err := s.templates.ExecuteTemplate(&page, "sign-in.html", s.newData("sign-in", v)); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

const firstToken, secondToken = "first_token-AAAA0123456789", "second-token_ZZZZ9876543210"

// Whatever two visitors differ in, each gets the page that the template makes for
// that one, also where a page for the other was kept.
func TestAKeptPageIsThatOfTheTemplate(t *testing.T) {
	s := newKeptSite(t, Options{Title: "Shop"})
	changes := map[string]func(*View){"nothing": func(*View) {}}
	fields := reflect.TypeFor[View]()
	for i := range fields.NumField() {
		changes[fields.Field(i).Name] = func(v *View) { another(reflect.ValueOf(v).Elem().Field(i)) }
	}
	challenge := reflect.TypeFor[Captcha]()
	for i := range challenge.NumField() {
		changes["Captcha."+challenge.Field(i).Name] = func(v *View) { another(reflect.ValueOf(v.Captcha).Elem().Field(i)) }
	}
	changes["a return target that ends an attribute"] = func(v *View) { v.ReturnTo = `/"><script>alert(1)</script>` }
	changes["a token that ends an attribute"] = func(v *View) { v.Captcha.Token = `"><script>alert(1)</script>` }
	changes["the stand-in"] = func(v *View) { v.ReturnTo = "/" + s.standIn[:20] }
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			for range 2 { // kept by the first, taken by the second
				for _, token := range []string{firstToken, secondToken} {
					plain, changed := fresh(token), fresh(token)
					change(&changed)
					for _, v := range []View{plain, changed, plain} {
						if got, want := rendered(t, s, v), executed(t, s, v); got != want {
							t.Fatalf("got\n%s\nwant\n%s", got, want)
						}
					}
				}
			}
		})
	}
}

// another sets a field to something that it was not.
func another(field reflect.Value) {
	switch field.Kind() {
	case reflect.String:
		field.SetString("/another")
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Int:
		field.SetInt(field.Int() + 7)
	case reflect.Map:
		field.Set(reflect.ValueOf(map[string]string{"password": "password_missing"}))
	case reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), 2, 2))
	default:
		field.SetZero()
	}
}

func TestAKeptPageHoldsNoTokenAndNothingThatWasTyped(t *testing.T) {
	s := newKeptSite(t, Options{})
	tried := fresh(firstToken)
	tried.UserName, tried.Code = "alice@example.com", "credentials_wrong"
	for _, v := range []View{fresh(firstToken), tried} {
		rendered(t, s, v)
	}
	if len(s.kept.pages) != 1 {
		t.Fatalf("%d pages are kept", len(s.kept.pages))
	}
	for _, p := range s.kept.pages {
		for _, piece := range p.pieces {
			if bytes.Contains(piece, []byte(firstToken)) || bytes.Contains(piece, []byte("alice")) {
				t.Errorf("kept:\n%s", piece)
			}
		}
		if p.view.Captcha.Token == firstToken || strings.Contains(p.view.Captcha.ImageURL, firstToken) {
			t.Error("the token is kept")
		}
	}
}

func TestKeptPagesAreBounded(t *testing.T) {
	s := newKeptSite(t, Options{})
	for i := range 3 * maxKept {
		v := fresh(firstToken)
		v.ReturnTo = "/" + strings.Repeat("a", i)
		rendered(t, s, v)
		if len(s.kept.pages) > maxKept {
			t.Fatalf("%d pages are kept", len(s.kept.pages))
		}
	}
	s.kept.pages = nil
	v := fresh(firstToken)
	v.ReturnTo = "/" + strings.Repeat("a", maxKeptAddress)
	if rendered(t, s, v); len(s.kept.pages) != 0 {
		t.Error("a page with a long address is kept")
	}
}

func TestPagesOfOnesOwnTemplatesAreNotKept(t *testing.T) {
	file := write(t, "eye.html", "<i></i>")
	s := newKeptSite(t, Options{Templates: filepath.Dir(file)})
	if rendered(t, s, fresh(firstToken)); len(s.kept.pages) != 0 {
		t.Error("kept")
	}
}
