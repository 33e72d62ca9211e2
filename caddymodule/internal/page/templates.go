package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// parseTemplates parses the embedded templates, and those of a directory in
// place of the ones of the same name.
func parseTemplates(dir string) (*template.Template, error) {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	replaced, err := readTemplates(dir, names)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	set := template.New("page")
	for _, name := range names {
		text, ok := replaced[name]
		if !ok {
			own, err := templateFiles.ReadFile("templates/" + name)
			if err != nil {
				return nil, err
			}
			text = string(own)
		}
		if _, err := set.New(name).Parse(text); err != nil {
			return nil, fmt.Errorf("templates: %s: %w", filepath.Join(dir, name), err)
		}
	}
	return set, nil
}

// readTemplates reads the operator's templates. A name that is not known would
// never be used, so it is a mistake. Names with a dot in front are not: editors
// and Kubernetes put such files beside those they manage.
func readTemplates(dir string, known []string) (map[string]string, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s: unknown name; a template is one of %s", filepath.Join(dir, name), strings.Join(known, ", "))
		}
		text, err := readBounded(filepath.Join(dir, name), maxText)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, fmt.Errorf("%s: empty", filepath.Join(dir, name))
		}
		texts[name] = string(text)
	}
	return texts, nil
}

// try executes every page on sample data of every kind, so that what can go
// wrong with a template goes wrong now. The first execution also lets
// html/template work out the escaping, once and for all.
func (s *Site) try() error {
	for _, name := range pages {
		for _, lang := range s.tags {
			for _, v := range samples(s.now()) {
				v.Lang = lang
				if err := s.Render(io.Discard, name, v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// samples has a view for each branch of a page.
func samples(now time.Time) []View {
	picture := &Captcha{Token: "token", ImageURL: "/gate/challenge/token.png", Width: 240, Height: 80, ExpiresAt: now, Length: 5}
	sound := &Captcha{Token: "token", AudioURL: "/gate/challenge/token.wav", Width: 240, Height: 80, ExpiresAt: now}
	var views []View
	for _, captcha := range []*Captcha{nil, picture, sound} {
		for _, humanOnly := range []bool{false, true} {
			for _, code := range []string{"", "captcha_wrong", "credentials_wrong", "throttled"} {
				v := View{
					BasePath: "/gate", LoginPath: "/login", LogoutPath: "/logout", RefreshURL: "/login",
					HumanOnly: humanOnly, Captcha: captcha, Code: code,
				}
				if code != "" {
					v.Prefix, v.ListenURL, v.RetryAfter, v.RememberOffered, v.Remember = "/app", "/login?kind=audio", 30, true, true
					v.ReturnTo, v.UserName, v.SignedInAs = "/wiki", "alice", "alice"
				}
				views = append(views, v)
			}
		}
	}
	return views
}
