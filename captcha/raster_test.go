package captcha

import (
	"image"
	"testing"

	"golang.org/x/image/vector"
	"pgregory.net/rapid"
)

func TestSpanPaintsItsPixelsAlone(t *testing.T) {
	const width = 13
	for from := range width + 1 {
		for to := range width + 1 {
			c := newCanvas(width, 1)
			span(c.row(0), from, to, 9)
			for x := range width {
				got := c.row(0)[x/2] >> (4 * (1 - x%2)) & 15
				want := uint8(0)
				if from <= x && x < to {
					want = 9
				}
				if got != want {
					t.Fatalf("%d to %d: pixel %d is %d; want %d", from, to, x, got, want)
				}
			}
		}
	}
}

// The filler agrees with golang.org/x/image/vector, which knows how much of a
// pixel is covered, wherever that is nearly all or nearly nothing.
func TestFillAgreesWithAnotherRasteriser(t *testing.T) {
	faces, err := loadFaces()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := newTestDrawing(rapid.Byte().Draw(t, "seed"), Hard)
		var g placed
		d.turn(&g, true, faces[rapid.IntRange(0, len(faces)-1).Draw(t, "face")][rapid.SampledFrom([]byte(possible)).Draw(t, "character")])
		// Also over the edges of the picture.
		g.shift(rapid.Float64Range(-100, 580).Draw(t, "x"), rapid.Float64Range(-80, 80).Draw(t, "y"))
		d.fill(g.shape, oneInk(0))
		mask := covered(d, g.shape)
		for y := range d.height {
			for x := range d.width {
				inked := d.row(y)[x/2]>>(4*(1-x%2))&15 != 0
				if cover := mask.AlphaAt(x, y).A; inked && cover < 16 || !inked && cover > 240 {
					t.Fatalf("%d,%d: inked %v, %d of 255 covered", x, y, inked, cover)
				}
			}
		}
	})
}

func covered(d *drawing, s shape) *image.Alpha {
	raster := vector.NewRasterizer(d.width, d.height)
	start := 0
	for _, end := range s.ends {
		for i, p := range s.points[start:end] {
			if i == 0 {
				raster.MoveTo(float32(p.x), float32(p.y))
			} else {
				raster.LineTo(float32(p.x), float32(p.y))
			}
		}
		raster.ClosePath()
		start = end
	}
	mask := image.NewAlpha(image.Rect(0, 0, d.width, d.height))
	raster.Draw(mask, mask.Rect, image.Opaque, image.Point{})
	return mask
}

// Colour borders run across characters: what colour a pixel has follows from
// its place alone.
func TestBandsCoverEveryRowWithColoursOfTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newTestDrawing(rapid.Byte().Draw(t, "seed"), Normal)
		p := d.bands(inks, tints, 0.15, 0.4)
		for y := range d.height {
			p.span(d.row(y), y, 0, d.width)
		}
		for i := 1; i < len(p.colours); i++ {
			if p.colours[i] == p.colours[i-1] {
				t.Fatalf("bands %d and %d have the same colour", i-1, i)
			}
		}
		for y := range d.height {
			for x := range d.width {
				if c := d.row(y)[x/2] >> (4 * (1 - x%2)) & 15; c < tints || c >= tints+inks {
					t.Fatalf("colour %d at %d,%d", c, x, y)
				}
			}
		}
	})
}
