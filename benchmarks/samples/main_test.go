package main

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// made runs the command and returns the files it wrote, by their names.
func made(t *testing.T, args ...string) map[string][]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new")
	if err := run(append(args, "-dir", dir)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestEveryLibraryWritesLabelledPictures(t *testing.T) {
	for library, name := range map[string]string{
		"ours":                      `^[A-Z0-9]{6}_[0-2]\.png$`,
		"dchest":                    `^[0-9]{6}_[0-2]\.png$`,
		"base64captcha-digit":       `^[0-9]{5}_[0-2]\.png$`,
		"base64captcha-string":      `^[a-z0-9]{6}_[0-2]\.png$`,
		"base64captcha-string-demo": `^[a-z0-9]{6}_[0-2]\.png$`,
		"base64captcha-all-noise":   `^[a-z0-9]{6}_[0-2]\.png$`,
		"steambap":                  `^[A-Za-z0-9]{6}_[0-2]\.png$`,
		"afocus":                    `^[A-Za-z0-9]{6}_[0-2]\.png$`,
	} {
		t.Run(library, func(t *testing.T) {
			files := made(t, "-library", library, "-count", "3")
			if len(files) != 3 {
				t.Errorf("%d files, want 3", len(files))
			}
			for got, picture := range files {
				if !regexp.MustCompile(name).MatchString(got) {
					t.Errorf("%s does not match %s", got, name)
				}
				if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
					t.Errorf("%s: %v", got, err)
				}
			}
		})
	}
}

func TestLibrariesThatSpeakWriteLabelledSounds(t *testing.T) {
	for _, library := range []string{"ours", "dchest", "base64captcha-digit"} {
		t.Run(library, func(t *testing.T) {
			files := made(t, "-library", library, "-kind", "audio", "-count", "2")
			if len(files) != 2 {
				t.Errorf("%d files, want 2", len(files))
			}
			for name, sound := range files {
				if !regexp.MustCompile(`^[0-9]{6}_[01]\.wav$`).MatchString(name) {
					t.Errorf("name %s", name)
				}
				if !bytes.HasPrefix(sound, []byte("RIFF")) {
					t.Errorf("%s is not a WAV file", name)
				}
			}
		})
	}
}

func TestOursHasLevelDensityAndLength(t *testing.T) {
	for _, level := range []string{"easy", "normal", "hard"} {
		for name, picture := range made(t, "-level", level, "-density", "1", "-length", "5", "-count", "1") {
			if !regexp.MustCompile(`^[A-Z0-9]{5}_0\.png$`).MatchString(name) {
				t.Errorf("%s: name %s", level, name)
			}
			config, err := png.DecodeConfig(bytes.NewReader(picture))
			if err != nil {
				t.Fatal(err)
			}
			if config.Width != 240 || config.Height != 80 {
				t.Errorf("%s: %dx%d", level, config.Width, config.Height)
			}
		}
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "ABC_0.png"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-dir", "x", "-library", "other"}, `library "other"`},
		{[]string{"-dir", "x", "-library", "steambap", "-kind", "audio"}, `library "steambap"`},
		{[]string{"-dir", "x", "-kind", "video"}, `kind "video"`},
		{[]string{"-dir", "x", "-level", "extreme"}, `level "extreme"`},
		{[]string{"-dir", "x", "-count", "0"}, "count"},
		{nil, "dir"},
		{[]string{"-dir", full}, "not empty"},
	} {
		if err := run(c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
