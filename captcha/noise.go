package captcha

import "math"

// bands draws a paint of up to as many colours, the first with the index given.
// Bands are from narrow to wide heights of the picture wide.
func (d *drawing) bands(colours int, first uint8, narrow, wide float64) paint {
	slope := d.between(-1.2, 1.2)
	height := float64(d.height)
	lean := slope * height
	x, end := min(0, -lean), float64(d.width)+max(0, -lean)
	p := &d.paints[d.painted]
	d.painted++
	p.colours, p.borders = p.colours[:0], p.borders[:0]
	p.slope = int32(slope * 65536)
	colour := d.random.IntN(colours)
	for {
		p.colours = append(p.colours, first+uint8(colour))
		x += d.between(narrow, wide) * height
		if x >= end {
			return *p
		}
		p.borders = append(p.borders, int32(x*65536))
		colour = (colour + 1 + d.random.IntN(colours-1)) % colours
	}
}

// join draws what lies under the characters: half of the lines, arcs and dots, in
// ink. They join characters and are thinner than those, so that whole characters
// stay for people.
func (d *drawing) join(p paint) {
	n := d.style.noise
	d.scatter(Noise{Lines: n.Lines - n.Lines/2, Arcs: n.Arcs - n.Arcs/2, Dots: n.Dots - n.Dots/2}, p, d.style.thickness)
}

// cut draws what lies over the characters: the other lines and arcs, in the
// colours of the paper, so that they cut characters apart. People hardly notice
// thin cuts; programs that look for connected strokes do.
func (d *drawing) cut(p paint) {
	n := d.style.noise
	d.scatter(Noise{Dots: n.Dots / 2}, p, d.style.thickness)
	n = Noise{Lines: n.Lines / 2, Arcs: n.Arcs / 2}
	d.scatter(n, d.paints[0], d.style.cut)
}

func (d *drawing) scatter(n Noise, p paint, thickness float64) {
	one := d.style.noise.OneColour && p.colours[0] >= tints
	for _, kind := range []struct {
		count int
		draw  func(paint, float64)
	}{{n.Lines, d.curve}, {n.Arcs, d.arc}, {n.Dots, d.dot}} {
		for range kind.count {
			own := p
			if one {
				own = oneInk(d.random.IntN(inks))
			}
			kind.draw(own, d.between(0.7, 1.3)*thickness*d.em/2)
		}
	}
}

// oneInk is a paint of one colour.
func oneInk(ink int) paint {
	i := ink % inks
	return paint{colours: inkIndexes[i : i+1]}
}

// steps is of how many straight pieces a line or arc consists.
const steps = 20

// curve draws a line across the picture that sags.
func (d *drawing) curve(p paint, radius float64) {
	width, height := float64(d.width), float64(d.height)
	from, to := d.between(-0.05, 0.35)*width, d.between(0.65, 1.05)*width
	a, b := d.between(0.1, 0.9)*height, d.between(0.1, 0.9)*height
	sag, turns, shift := d.between(-0.3, 0.3)*height, d.between(0.5, 1.5)*math.Pi, d.between(0, math.Pi)
	var middle [steps + 1]point
	for i := range middle {
		t := float64(i) / steps
		middle[i] = point{from + (to-from)*t, a + (b-a)*t + sag*math.Sin(turns*t+shift)}
	}
	d.stroke(middle[:], p, radius)
}

// arc draws a piece of an ellipse, larger than a character, so that it is not
// taken for one.
func (d *drawing) arc(p paint, radius float64) {
	width, height := float64(d.width), float64(d.height)
	x, y := d.between(0, 1)*width, d.between(0.1, 0.9)*height
	rx, ry := d.between(0.4, 1)*height, d.between(0.4, 1)*height
	from, sweep := d.between(0, 2*math.Pi), d.between(0.4, 0.8)*math.Pi
	var middle [steps + 1]point
	for i := range middle {
		sin, cos := math.Sincos(from + sweep*float64(i)/steps)
		middle[i] = point{x + rx*cos, y + ry*sin}
	}
	d.stroke(middle[:], p, radius)
}

// stroke draws along a line, twice the radius thick.
func (d *drawing) stroke(middle []point, p paint, radius float64) {
	n := len(middle)
	if cap(d.scratch.points) < 2*n {
		d.scratch.points = make([]point, 2*n)
	}
	outline := d.scratch.points[:2*n]
	for i, at := range middle {
		before, after := middle[max(0, i-1)], middle[min(n-1, i+1)]
		dx, dy := after.x-before.x, after.y-before.y
		scale := radius / max(1e-6, math.Hypot(dx, dy))
		outline[i] = point{at.x - dy*scale, at.y + dx*scale}
		outline[2*n-1-i] = point{at.x + dy*scale, at.y - dx*scale}
	}
	d.scratch = shape{outline, append(d.scratch.ends[:0], 2*n)}
	d.fill(d.scratch, p)
}

// dot draws a small round spot.
func (d *drawing) dot(p paint, radius float64) {
	const corners = 8
	x, y := d.between(0, 1)*float64(d.width), d.between(0, 1)*float64(d.height)
	if cap(d.scratch.points) < corners {
		d.scratch.points = make([]point, 2*(steps+1))
	}
	outline := d.scratch.points[:corners]
	for i := range outline {
		outline[i] = point{x + octagon[i].x*radius, y + octagon[i].y*radius}
	}
	d.scratch = shape{outline, append(d.scratch.ends[:0], corners)}
	d.fill(d.scratch, p)
}

// octagon is the corners of a spot of radius 1.
var octagon = func() (corners [8]point) {
	for i := range corners {
		corners[i].y, corners[i].x = math.Sincos(math.Pi / 4 * float64(i))
	}
	return corners
}()
