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
)

// point is in units of the em box (glyphs) or in pixels (the picture); y grows
// downwards.
type point struct{ x, y float64 }

// shape is closed outlines of straight edges. Those of a character run around
// its own middle, one em high.
type shape struct {
	points []point
	ends   []int // of each outline, in points
}

// glyph is a character. Moved by its inward vector times a length, every point
// of the outlines lies that much further inside: strokes become thinner.
type glyph struct {
	shape
	inward []point
}

// face is all possible characters in one typeface.
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
		return glyph{}, err
	}
	const em = 1024
	segments, err := font.LoadGlyph(buffer, index, fixed.I(em), nil)
	if err != nil {
		return glyph{}, err
	}
	var s shape
	var last point
	for _, segment := range segments {
		var p [3]point
		for i, at := range segment.Args {
			p[i] = point{float64(at.X) / 64 / em, float64(at.Y) / 64 / em}
		}
		switch segment.Op {
		case sfnt.SegmentOpMoveTo:
			s.close()
			s.points = append(s.points, p[0])
			last = p[0]
		case sfnt.SegmentOpLineTo:
			s.line(last, p[0])
			last = p[0]
		case sfnt.SegmentOpQuadTo:
			s.curve(last, p[0], p[1])
			last = p[1]
		default:
			return glyph{}, fmt.Errorf("outline with an operation of kind %d", segment.Op)
		}
	}
	s.close()
	low, high := s.bounds()
	middle := point{(low.x + high.x) / 2, (low.y + high.y) / 2}
	for i, p := range s.points {
		s.points[i] = point{p.x - middle.x, p.y - middle.y}
	}
	return glyph{s, s.inward()}, nil
}

// inward finds the vectors of a glyph: across the two edges at a point, to the
// side that fonts fill, and longer where they meet at an angle.
func (s *shape) inward() []point {
	const longest = 2 // at sharp angles; what is cut off there does not show
	vectors := make([]point, len(s.points))
	start := 0
	for _, end := range s.ends {
		for i := start; i < end; i++ {
			a := s.across(start, end, i, -1)
			b := s.across(start, end, i, 1)
			x, y := a.x+b.x, a.y+b.y
			scale := min(2/max(1e-6, x*x+y*y), longest)
			vectors[i] = point{x * scale, y * scale}
		}
		start = end
	}
	return vectors
}

// across is the direction across the edge at a point of the outline from start
// to end, before the point (step -1) or after it (1).
func (s *shape) across(start, end, i, step int) point {
	n := end - start
	for j := 1; j < n; j++ {
		other := s.points[start+((i-start+j*step)%n+n)%n]
		dx, dy := (other.x-s.points[i].x)*float64(step), (other.y-s.points[i].y)*float64(step)
		if length := math.Hypot(dx, dy); length > 1e-9 {
			return point{-dy / length, dx / length}
		}
	}
	return point{}
}

// close ends an outline.
func (s *shape) close() {
	if n := len(s.points); n > 0 {
		s.ends = append(s.ends, n)
	}
}

// longest is how long an edge may be, in em, so that it can be bent.
const longest = 0.16

func (s *shape) line(from, to point) {
	pieces := int(math.Hypot(to.x-from.x, to.y-from.y)/longest) + 1
	for i := 1; i <= pieces; i++ {
		t := float64(i) / float64(pieces)
		s.points = append(s.points, point{from.x + (to.x-from.x)*t, from.y + (to.y-from.y)*t})
	}
}

// curve adds a quadratic curve as edges that leave it by less than 1/500 em.
func (s *shape) curve(from, by, to point) {
	sag := math.Hypot(from.x-2*by.x+to.x, from.y-2*by.y+to.y) / 4
	pieces := max(1, int(math.Ceil(math.Sqrt(sag*500))))
	for i := 1; i <= pieces; i++ {
		t := float64(i) / float64(pieces)
		a, b, c := (1-t)*(1-t), 2*t*(1-t), t*t
		s.points = append(s.points, point{a*from.x + b*by.x + c*to.x, a*from.y + b*by.y + c*to.y})
	}
}

// bounds is the box around the outlines.
func (s shape) bounds() (low, high point) {
	low, high = point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, p := range s.points {
		low = point{min(low.x, p.x), min(low.y, p.y)}
		high = point{max(high.x, p.x), max(high.y, p.y)}
	}
	return low, high
}
