package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func TestSamplesAreNamedByTheirAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		options sampleOptions
		want    string
		begins  string
	}{
		"pictures": {sampleOptions{kind: "image", level: "hard", length: 6, size: "300x100", density: 1, language: "en"}, `^[A-Z0-9]{6}_\d+\.png$`, "\x89PNG"},
		"sounds":   {sampleOptions{kind: "audio", level: "easy", length: 5, size: "240x80", density: 2, language: "ja"}, `^\d{6}_\d+\.wav$`, "RIFF"},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.dir, c.options.count = filepath.Join(t.TempDir(), "new", "samples"), 7
			if err := c.options.write(); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(c.options.dir)
			if err != nil || len(files) != 7 {
				t.Fatalf("%d files, error %v", len(files), err)
			}
			for _, file := range files {
				body, err := os.ReadFile(filepath.Join(c.options.dir, file.Name()))
				if err != nil || !strings.HasPrefix(string(body), c.begins) || !regexp.MustCompile(c.want).MatchString(file.Name()) {
					t.Errorf("%s: %.4q, error %v", file.Name(), body, err)
				}
			}
		})
	}
}

func TestWrongSampleOptionsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*sampleOptions){
		"--dir":             func(o *sampleOptions) { o.dir = "" },
		"--count 0":         func(o *sampleOptions) { o.count = 0 },
		`--kind "work"`:     func(o *sampleOptions) { o.kind = "work" },
		`--kind "film"`:     func(o *sampleOptions) { o.kind = "film" },
		`level "medium"`:    func(o *sampleOptions) { o.level = "medium" },
		"length: 9":         func(o *sampleOptions) { o.length = 9 },
		`--size "big"`:      func(o *sampleOptions) { o.size = "big" },
		`--size "240x80x2"`: func(o *sampleOptions) { o.size = "240x80x2" },
		"width: 9000":       func(o *sampleOptions) { o.size = "9000x80" },
		"density: 3":        func(o *sampleOptions) { o.density = 3 },
		`language "tlh"`:    func(o *sampleOptions) { o.kind, o.language = "audio", "tlh" },
	} {
		o := sampleOptions{dir: t.TempDir(), count: 1, kind: "image", level: "normal", length: 5, size: "240x80", density: 2, language: "en"}
		change(&o)
		if err := o.write(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func TestTheAnswerIsToldToWhoHasTheSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("secret", gateSecret+"\n")
	maker, err := captcha.New(captcha.Options{Secrets: [][]byte{[]byte(gateSecret)}, Realm: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	tokenOf := func(spec captcha.Spec) string {
		challenge, err := maker.Issue(spec, captcha.Scope{Purpose: "login"})
		if err != nil {
			t.Fatal(err)
		}
		return challenge.Token
	}
	for _, kind := range []captcha.Kind{captcha.Image, captcha.Audio} {
		token := tokenOf(captcha.Spec{Kind: kind})
		claims, err := maker.Unpack(token)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := answerOf(good, "shop", token); err != nil || answer != claims.Answer {
			t.Errorf("%v: %q, error %v", kind, answer, err)
		}
	}
	picture := tokenOf(captcha.Spec{Kind: captcha.Image})
	for name, c := range map[string]struct{ file, realm, token, want string }{
		"no file":        {"", "shop", picture, "--secret-file"},
		"missing file":   {filepath.Join(dir, "none"), "shop", picture, "none"},
		"short secret":   {file("short", "hunter2"), "shop", picture, "32"},
		"another secret": {file("other", strings.Repeat("x", 40)), "shop", picture, "not made with this secret"},
		"another realm":  {good, "blog", picture, "realm"},
		"no token":       {good, "shop", "", "not made"},
		"a puzzle":       {good, "shop", tokenOf(captcha.Spec{Kind: captcha.Work, Work: captcha.MinWork}), "puzzle"},
	} {
		if answer, err := answerOf(c.file, c.realm, c.token); err == nil || !strings.Contains(err.Error(), c.want) || answer != "" {
			t.Errorf("%s: %q, error %v; want %s", name, answer, err, c.want)
		}
	}
}
