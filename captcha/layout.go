package captcha

import "math"

// strips is into how many strips of the height a character's sides are measured.
const strips = 24

// placed is a character on its way onto the picture.
type placed struct {
	shape
	left, right [strips]float64 // its ink's ends in each strip of the picture's height
	low, high   point
}

// write draws the characters, each in its own face, size, angle and height,
// so close that neighbours touch where the style wants it.
func (d *drawing) write(faces []face, answer string) {
	for len(d.glyphs) < len(answer) {
		d.glyphs = append(d.glyphs, placed{})
	}
	glyphs := d.glyphs[:len(answer)]
	wave := d.newWave()
	for i := range glyphs {
		d.turn(&glyphs[i], faces[d.random.IntN(len(faces))][answer[i]])
	}
	room, total := float64(d.width)-2*d.margin(), d.line(glyphs)
	for total > room { // once, or twice where overlaps shrink less than the rest
		for i := range glyphs {
			glyphs[i].scale(0.999 * room / total)
		}
		total = d.line(glyphs)
	}
	shift := d.margin() + (room-total)*d.between(0, 1)
	text, noise := d.bands(inks, tints, 0.15, 0.4), d.bands(inks, tints, 0.3, 0.9)
	d.join(noise)
	first := d.random.IntN(inks)
	for i := range glyphs {
		for j, at := range glyphs[i].points {
			glyphs[i].points[j] = wave.move(point{at.x + shift, at.y})
		}
		own := text
		if d.style.noise.OneColour {
			own = oneInk(first + 3*i) // neighbours far apart on the colour wheel
		}
		d.fill(glyphs[i].shape, own)
	}
	d.cut(noise)
}

// turn gives an outline its size, slant, angle and height.
func (d *drawing) turn(g *placed, outline shape) {
	s := d.style
	size := d.em * d.between(s.smallest, s.largest)
	sin, cos := math.Sincos(d.between(-s.turn, s.turn))
	shear := d.between(-s.shear, s.shear)
	g.points, g.ends = g.points[:0], outline.ends
	for _, p := range outline.points {
		x, y := (p.x+shear*p.y)*size, p.y*size
		g.points = append(g.points, point{x*cos - y*sin, x*sin + y*cos})
	}
	g.low, g.high = g.bounds()
	room := float64(d.height) - 2*d.margin()
	if tall := g.high.y - g.low.y; tall > room {
		g.scale(room / tall)
	}
	play := (room - (g.high.y - g.low.y)) / 2 * s.play
	g.shift(0, float64(d.height)/2-(g.low.y+g.high.y)/2+d.between(-play, play))
}

// margin is kept free around the characters, for the wave.
func (d *drawing) margin() float64 { return d.em*d.style.warp + 2 }

func (g *placed) shift(x, y float64) {
	for i, p := range g.points {
		g.points[i] = point{p.x + x, p.y + y}
	}
	g.low.x, g.high.x, g.low.y, g.high.y = g.low.x+x, g.high.x+x, g.low.y+y, g.high.y+y
}

// scale makes a character smaller around its own middle.
func (g *placed) scale(by float64) {
	x, y := (g.low.x+g.high.x)/2, (g.low.y+g.high.y)/2
	for i, p := range g.points {
		g.points[i] = point{x + (p.x-x)*by, y + (p.y-y)*by}
	}
	g.low, g.high = g.bounds()
}

// line puts the characters side by side, from 0, and returns how wide they are.
func (d *drawing) line(glyphs []placed) float64 {
	right := 0.0
	for i := range glyphs {
		g := &glyphs[i]
		g.measure(float64(d.height))
		x := -g.low.x
		if i > 0 {
			x = d.beside(&glyphs[i-1], g)
		}
		g.shift(x, 0)
		for j := range strips {
			g.left[j] += x
			g.right[j] += x
		}
		right = max(right, g.high.x)
	}
	return right
}

// beside is how far a character must move to stand to the right of another.
func (d *drawing) beside(before, g *placed) float64 {
	x := math.Inf(-1)
	for j := range strips {
		x = max(x, before.right[j]-g.left[j])
	}
	x += d.style.gap * d.em
	// However well they fit into each other, they do not share a column for
	// more than a third of the narrower one.
	narrow := min(before.high.x-before.low.x, g.high.x-g.low.x)
	return max(x, before.high.x-narrow*0.34-g.low.x)
}

// measure finds the ends of the ink in each strip.
func (g *placed) measure(height float64) {
	for j := range strips {
		g.left[j], g.right[j] = math.Inf(1), math.Inf(-1)
	}
	start := 0
	for _, end := range g.ends {
		last := g.points[end-1]
		for _, p := range g.points[start:end] {
			from := strip(min(last.y, p.y), height)
			to := strip(max(last.y, p.y), height)
			for j := from; j <= to; j++ {
				g.left[j] = min(g.left[j], last.x, p.x)
				g.right[j] = max(g.right[j], last.x, p.x)
			}
			last = p
		}
		start = end
	}
}

func strip(y, height float64) int {
	return max(0, min(strips-1, int(y/height*strips)))
}

// wave bends everything that is written, so that no two pictures of a character
// in one face have the same strokes.
type wave struct{ strength, turnX, turnY, shiftX, shiftY float64 }

func (d *drawing) newWave() wave {
	return wave{
		strength: d.em * d.style.warp,
		turnX:    2 * math.Pi / (d.em * d.between(0.5, 1)), shiftX: d.between(0, 2*math.Pi),
		turnY: 2 * math.Pi / (d.em * d.between(0.5, 1)), shiftY: d.between(0, 2*math.Pi),
	}
}

func (w wave) move(p point) point {
	return point{
		p.x + w.strength*math.Sin(p.y*w.turnX+w.shiftX),
		p.y + w.strength*math.Sin(p.x*w.turnY+w.shiftY),
	}
}
