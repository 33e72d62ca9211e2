package captcha

import (
	"fmt"
	"math"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// point is in units of the em box (glyphs) or in pixels (the picture); y grows
// downwards.
type point struct{ x, y float64 }

// segment is one piece of an outline: a move, a line, or a quadratic or cubic
// curve with 1, 1, 2 or 3 points.
type segment struct {
	op     sfnt.SegmentOp
	points [3]point
}

// glyph is the outline of a character around its own middle, one em high.
type glyph []segment

// face is the outlines of all possible characters in one typeface.
type face map[byte]glyph

// typefaces differ in weight and slant. The one with slab serifs is left out: its
// F reads as an E once it is turned. They are the Go fonts, whose
// licence lets them be shipped with any program.
var typefaces = [][]byte{gobold.TTF, gomedium.TTF, goregular.TTF, gomediumitalic.TTF, gobolditalic.TTF}

// loadFaces reads the outlines once, so that drawing parses no font. It reads
// those outside the alphabet too: a challenge from before a change of the
// configuration must still be drawn as it was.
func loadFaces() ([]face, error) {
	var faces []face
	for i, ttf := range typefaces {
		font, err := sfnt.Parse(ttf)
		if err != nil {
			return nil, fmt.Errorf("typeface %d: %w", i, err)
		}
		f := face{}
		var buffer sfnt.Buffer
		for j := range len(possible) {
			c := possible[j]
			if f[c], err = loadGlyph(font, &buffer, rune(c)); err != nil {
				return nil, fmt.Errorf("typeface %d, %q: %w", i, c, err)
			}
		}
		faces = append(faces, f)
	}
	return faces, nil
}

func loadGlyph(font *sfnt.Font, buffer *sfnt.Buffer, c rune) (glyph, error) {
	index, err := font.GlyphIndex(buffer, c)
	if err != nil {
		return nil, err
	}
	const em = 1024
	segments, err := font.LoadGlyph(buffer, index, fixed.I(em), nil)
	if err != nil {
		return nil, err
	}
	var g glyph
	for _, s := range segments {
		piece := segment{op: s.Op}
		for i, p := range s.Args {
			piece.points[i] = point{float64(p.X) / 64 / em, float64(p.Y) / 64 / em}
		}
		g = append(g, piece)
	}
	low, high := g.bounds()
	middle := point{(low.x + high.x) / 2, (low.y + high.y) / 2}
	return g.apply(func(p point) point { return point{p.x - middle.x, p.y - middle.y} }), nil
}

// size is how many points a segment has.
func (s segment) size() int {
	switch s.op {
	case sfnt.SegmentOpQuadTo:
		return 2
	case sfnt.SegmentOpCubeTo:
		return 3
	default:
		return 1
	}
}

// apply returns the outline with every point moved.
func (g glyph) apply(move func(point) point) glyph {
	moved := make(glyph, len(g))
	for i, s := range g {
		for j := range s.size() {
			s.points[j] = move(s.points[j])
		}
		moved[i] = s
	}
	return moved
}

// bounds is the box around all points, a little larger than the ink where
// curves bend inwards.
func (g glyph) bounds() (low, high point) {
	low, high = point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, s := range g {
		for _, p := range s.points[:s.size()] {
			low = point{min(low.x, p.x), min(low.y, p.y)}
			high = point{max(high.x, p.x), max(high.y, p.y)}
		}
	}
	return low, high
}

// trace draws the outline into a rasteriser.
func (g glyph) trace(r *vector.Rasterizer) {
	f := func(p point) (x, y float32) { return float32(p.x), float32(p.y) }
	for _, s := range g {
		ax, ay := f(s.points[0])
		bx, by := f(s.points[1])
		cx, cy := f(s.points[2])
		switch s.op {
		case sfnt.SegmentOpMoveTo:
			r.MoveTo(ax, ay)
		case sfnt.SegmentOpLineTo:
			r.LineTo(ax, ay)
		case sfnt.SegmentOpQuadTo:
			r.QuadTo(ax, ay, bx, by)
		case sfnt.SegmentOpCubeTo:
			r.CubeTo(ax, ay, bx, by, cx, cy)
		}
	}
	r.ClosePath()
}
