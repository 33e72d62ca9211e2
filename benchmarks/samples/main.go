// Command samples writes labelled captchas, to try readers on.
//
//	samples -library NAME -count N -dir D [-kind image|audio]
//	        [-level easy|normal|hard] [-density 1|2] [-length N]
//
// D, which must be empty or not exist, gets the files ANSWER_n.png or
// ANSWER_n.wav, n from 0 on. Level, density and length are those of Captcha
// Gate, whose name is "ours"; the other libraries have one setting each. All
// captchas of a run are of one site: they have the same secret.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks"
	"github.com/captcha-gate/captcha-gate/captcha"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "samples:", err)
		os.Exit(1)
	}
}

// setup makes a generator.
type setup = func() (benchmarks.Generator, error)

// pictures and sounds of the other libraries by their names here.
var (
	pictures = map[string]setup{
		"dchest":                    benchmarks.Dchest,
		"base64captcha-digit":       benchmarks.Base64Digits,
		"base64captcha-string":      benchmarks.Base64String(240, 80, false),
		"base64captcha-string-demo": benchmarks.Base64String(240, 60, false),
		"base64captcha-all-noise":   benchmarks.Base64String(240, 80, true),
		"steambap":                  benchmarks.Steambap,
		"afocus":                    benchmarks.Afocus,
	}
	sounds = map[string]setup{
		"dchest":              benchmarks.DchestSound,
		"base64captcha-digit": benchmarks.Base64Sound,
	}
)

func run(args []string) error {
	flags := flag.NewFlagSet("samples", flag.ContinueOnError)
	library := flags.String("library", benchmarks.Ours, "`name`: ours, "+names(pictures))
	kind := flags.String("kind", "image", "image or audio")
	level := flags.String("level", "normal", "easy, normal or hard")
	density := flags.Int("density", 2, "pixels to a CSS pixel, 1 or 2")
	length := flags.Int("length", 6, "characters of a picture's answer")
	count := flags.Int("count", 100, "how many")
	dir := flags.String("dir", "", "`folder` to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *count < 1 {
		return fmt.Errorf("count: %d is not positive", *count)
	}
	hardness, err := captcha.ParseLevel(*level)
	if err != nil {
		return err
	}
	var known map[string]setup
	var ours setup
	var extension string
	switch *kind {
	case "image":
		known, extension = pictures, ".png"
		ours = benchmarks.OurPictures(benchmarks.OurOptions{Level: hardness, Density: *density, Length: *length})
	case "audio":
		known, extension = sounds, ".wav"
		ours = benchmarks.OurSounds(hardness)
	default:
		return fmt.Errorf("kind %q: one of image, audio", *kind)
	}
	chosen := known[*library]
	if *library == benchmarks.Ours {
		chosen = ours
	}
	if chosen == nil {
		return fmt.Errorf("library %q: one of ours, %s", *library, names(known))
	}
	return write(chosen, *dir, extension, *count)
}

func names(of map[string]setup) string {
	return strings.Join(slices.Sorted(maps.Keys(of)), ", ")
}

// write refuses a folder that has something in it: captchas of two runs would
// be taken for one set.
func write(library setup, dir, extension string, count int) error {
	if dir == "" {
		return errors.New("dir: is missing")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // public
		return fmt.Errorf("dir: %w", err)
	}
	switch there, err := os.ReadDir(dir); {
	case err != nil:
		return fmt.Errorf("dir: %w", err)
	case len(there) > 0:
		return fmt.Errorf("dir: %s is not empty", dir)
	}
	g, err := library()
	if err != nil {
		return err
	}
	defer g.Close()
	for n := range count {
		sample, err := g.Next()
		if err != nil {
			return err
		}
		name := filepath.Join(dir, fmt.Sprintf("%s_%d%s", sample.Answer, n, extension))
		if err := os.WriteFile(name, sample.File, 0o644); err != nil { //nolint:gosec // public
			return fmt.Errorf("dir: %w", err)
		}
	}
	return nil
}
