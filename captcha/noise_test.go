package captcha

import (
	"bytes"
	"math"
	"testing"
)

// newTestDrawing is an empty picture of 480x160 pixels.
func newTestDrawing(seed byte, level Level) *drawing {
	d := newDrawing(480, 160)
	d.source.Seed([32]byte{seed})
	d.style, d.em = styles[level], 144
	d.palette.mix(d.random)
	return d
}

// pixels is the colour of each pixel.
func (d *drawing) pixels() []uint8 {
	var all []uint8
	for y := range d.height {
		for _, pair := range d.row(y) {
			all = append(all, pair>>4, pair&15)
		}
	}
	return all
}

func (d *drawing) inked() int { return len(d.pixels()) - bytes.Count(d.pixels(), []byte{0}) }

// join and cut are shown alone, in a picture whose paper is one tint that
// nothing else has.
func TestNoiseLiesUnderAndOverTheCharacters(t *testing.T) {
	for name, c := range map[string]struct {
		noise      Noise
		ink, paper bool // over the characters
	}{
		"lines": {Noise{Lines: 8}, false, true}, "a line": {Noise{Lines: 1}, false, false},
		"arcs": {Noise{Arcs: 8}, false, true}, "an arc": {Noise{Arcs: 1}, false, false},
		"dots": {Noise{Dots: 80}, true, false}, "a dot": {Noise{Dots: 1}, false, false},
	} {
		for _, c.noise.OneColour = range []bool{false, true} {
			under, overInk, overPaper := 0, 0, 0
			for seed := range byte(20) {
				d := newTestDrawing(seed, Normal)
				d.style.noise, d.paints[0] = c.noise, paint{colours: []uint8{3}}
				d.join(oneInk(0))
				under += d.inked()
				d = newTestDrawing(seed, Normal)
				d.style.noise, d.paints[0] = c.noise, paint{colours: []uint8{3}}
				d.cut(oneInk(0))
				cuts := bytes.Count(d.pixels(), []byte{3})
				overInk, overPaper = overInk+d.inked()-cuts, overPaper+cuts
			}
			if under == 0 || overInk > 0 != c.ink || overPaper > 0 != c.paper {
				t.Errorf("%s: %d pixels under, over them %d of ink and %d of paper", name, under, overInk, overPaper)
			}
		}
	}
}

// Lines are as thick as they should be, whatever their direction, so that they
// cannot be told from strokes by their width.
func TestLinesAreEquallyThickInAllDirections(t *testing.T) {
	for seed := range byte(40) {
		d := newTestDrawing(seed, Normal)
		from, to := point{40, d.between(20, 140)}, point{440, d.between(20, 140)}
		var middle [steps + 1]point
		for i := range middle {
			f := float64(i) / steps
			middle[i] = point{from.x + (to.x-from.x)*f, from.y + (to.y-from.y)*f}
		}
		dx, dy := to.x-from.x, to.y-from.y
		d.stroke(middle[:], oneInk(0), 4)
		// The area of a straight stroke is length times thickness.
		thick := float64(d.inked()) / math.Hypot(dx, dy)
		if thick < 7.8 || thick > 8.2 {
			t.Errorf("seed %d: %.2f pixels; want 8", seed, thick)
		}
	}
}
