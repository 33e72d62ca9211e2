package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSheetHasARowForEverySetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sheet.png")
	if err := run([]string{"-n", "2", "-o", file}); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	picture, err := png.Decode(in)
	if err != nil {
		t.Fatal(err)
	}
	const pictures, low, click = 11, 60 * density, (40 + 4 + 220) * density
	height := gap + pictures*(captionRoom+gap) + (pictures-2)*80*density + low + click
	if got := picture.Bounds().Size(); got.X != gap+2*(cell+gap) || got.Y != height {
		t.Errorf("size %v, want %dx%d", got, gap+2*(cell+gap), height)
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{"n:": {"-n", "0", "-o", "x"}, "o:": nil} {
		if err := run(args); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
