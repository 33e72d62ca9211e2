package captcha

import (
	"math"
	"testing"

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

// A pixel is inked where the outline winds round its middle, counted for each
// middle by itself.
func TestFillInksThePixelsWhoseMiddleTheOutlineWindsRound(t *testing.T) {
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
		for y := range d.height {
			row := passings(g.shape, float64(y)+0.5)
			for x := range d.width {
				inked := d.row(y)[x/2]>>(4*(1-x%2))&15 != 0
				if turns, sure := winding(row, float64(x)+0.5); sure && inked != (turns != 0) {
					t.Fatalf("%d,%d: inked %v, wound round %d times", x, y, inked, turns)
				}
			}
		}
	})
}

// passing is where an edge of a shape passes a row, and whether it goes down there.
type passing struct {
	x    float64
	down bool
}

// passings are those of the middle of a row.
func passings(s shape, y float64) []passing {
	var found []passing
	start := 0
	for _, end := range s.ends {
		contour := s.points[start:end]
		start = end
		for i, a := range contour {
			b := contour[(i+1)%len(contour)]
			if (a.y <= y) != (b.y <= y) {
				found = append(found, passing{a.x + (y-a.y)/(b.y-a.y)*(b.x-a.x), a.y <= y})
			}
		}
	}
	return found
}

// winding counts how often a shape winds round a place, by the edges that pass
// right of it. It is not sure where an edge passes through the place, as near as
// rounding may move it.
func winding(row []passing, x float64) (turns int, sure bool) {
	sure = true
	for _, c := range row {
		sure = sure && math.Abs(c.x-x) > 1e-6
		switch {
		case c.x <= x:
		case c.down:
			turns++
		default:
			turns--
		}
	}
	return turns, sure
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
