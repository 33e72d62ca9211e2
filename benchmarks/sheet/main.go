// Command sheet draws a contact sheet, PNG, of what each library makes.
//
//	sheet [-n 3] -o FILE.png
//
// It is drawn for screens with two pixels to a CSS pixel. Captcha Gate makes its
// pictures for those; of the others', each pixel becomes four, which is what a
// browser shows but for its smoothing.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg" // of go-captcha
	"image/png"
	"os"
	"strings"

	"github.com/captcha-gate/captcha-gate/benchmarks"
	"github.com/captcha-gate/captcha-gate/captcha"
	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sheet:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("sheet", flag.ContinueOnError)
	columns := flags.Int("n", 3, "how many of each, at most")
	file := flags.String("o", "", "PNG `file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *columns < 1 || *columns > 10:
		return fmt.Errorf("n: %d is not within 1 and 10", *columns)
	case *file == "":
		return errors.New("o: is missing")
	}
	picture, err := sheet(*columns)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, picture); err != nil {
		return err
	}
	return os.WriteFile(*file, out.Bytes(), 0o644) //nolint:gosec // public
}

// settings are ours at each level, then the others.
func settings() []benchmarks.Setting {
	var out []benchmarks.Setting
	for level := captcha.Easy; level <= captcha.Hard; level++ {
		setup := benchmarks.OurPictures(benchmarks.OurOptions{Level: level, Density: density, Length: 6})
		out = append(out, benchmarks.Setting{Library: benchmarks.Ours, Name: level.String(), New: setup})
	}
	for _, setting := range benchmarks.Pictures() {
		if setting.Library != benchmarks.Ours {
			out = append(out, setting)
		}
	}
	return out
}

// Measures in pixels.
const (
	density     = 2
	cell        = 240 * density // the width of a picture
	gap         = 12 * density
	captionSize = 15 * density
	captionRoom = 24 * density
)

// row is what one library made.
type row struct {
	caption  string
	pictures []image.Image // in pixels of the sheet
}

func (r row) height() int {
	tallest := 0
	for _, p := range r.pictures {
		tallest = max(tallest, p.Bounds().Dy())
	}
	return captionRoom + tallest + gap
}

// sheet makes up to columns captchas of each setting and lays them out.
func sheet(columns int) (image.Image, error) {
	parsed, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		return nil, err
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: captionSize, DPI: 72})
	if err != nil {
		return nil, err
	}
	width := gap + columns*(cell+gap)
	height := gap
	var rows []row
	for _, setting := range settings() {
		r, err := fill(setting, columns, width)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", setting.Library, setting.Name, err)
		}
		rows = append(rows, r)
		height += r.height()
	}
	page := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(page, page.Bounds(), image.White, image.Point{}, draw.Src)
	y := gap
	for _, r := range rows {
		text := font.Drawer{Dst: page, Src: image.NewUniform(color.Gray{Y: 0x30}), Face: face, Dot: fixed.P(gap, y+captionSize)}
		text.DrawString(r.caption)
		x := gap
		for _, p := range r.pictures {
			to := p.Bounds().Add(image.Pt(x, y+captionRoom))
			draw.Draw(page, to, p, image.Point{}, draw.Over) // on white, if it is transparent
			x += p.Bounds().Dx() + gap
		}
		y += r.height()
	}
	return page, nil
}

// fill makes as many captchas as there is room for.
func fill(setting benchmarks.Setting, columns, width int) (row, error) {
	r := row{caption: caption(setting)}
	g, err := setting.New()
	if err != nil {
		return row{}, err
	}
	defer g.Close()
	for x := gap; len(r.pictures) < columns; {
		sample, err := g.Next()
		if err != nil {
			return row{}, err
		}
		picture, err := show(sample, setting.Library == benchmarks.Ours)
		if err != nil {
			return row{}, err
		}
		x += picture.Bounds().Dx() + gap
		if x > width && len(r.pictures) > 0 {
			break
		}
		r.pictures = append(r.pictures, picture)
	}
	return r, nil
}

func caption(s benchmarks.Setting) string {
	title := cmp.Or(benchmarks.Libraries[s.Library].Title, s.Library)
	return title + ", " + strings.ReplaceAll(s.Name, "-", " ")
}

// show decodes a captcha and scales it to the sheet, a prompt above what it is
// for.
func show(s benchmarks.Sample, sharp bool) (image.Image, error) {
	file, _, err := image.Decode(bytes.NewReader(s.File))
	if err != nil {
		return nil, err
	}
	if sharp {
		return file, nil
	}
	file = scaled(file)
	if s.Prompt == nil {
		return file, nil
	}
	prompt, err := png.Decode(bytes.NewReader(s.Prompt))
	if err != nil {
		return nil, err
	}
	prompt = scaled(prompt)
	below := image.Pt(0, prompt.Bounds().Dy()+4*density)
	both := image.NewRGBA(prompt.Bounds().Union(file.Bounds().Add(below)))
	draw.Draw(both, prompt.Bounds(), prompt, image.Point{}, draw.Src)
	draw.Draw(both, file.Bounds().Add(below), file, image.Point{}, draw.Src)
	return both, nil
}

func scaled(p image.Image) image.Image {
	size := p.Bounds().Size().Mul(density)
	out := image.NewRGBA(image.Rectangle{Max: size})
	xdraw.NearestNeighbor.Scale(out, out.Bounds(), p, p.Bounds(), draw.Src, nil)
	return out
}
