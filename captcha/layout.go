package captcha

import "math"

// strips is into how many strips of the height a character's sides are measured.
const strips = 24

// placed is a character on its way onto the picture.
type placed struct {
	shape
	inner       []point // outlines of the hole, if it is hollow
	hollow      bool
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
	up := d.random.IntN(2) == 0
	for i := range glyphs {
		// Now and then two follow each other on one level.
		up = up != (d.random.IntN(8) > 0)
		d.turn(&glyphs[i], up, faces[d.random.IntN(len(faces))][answer[i]])
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
		wave.bend(glyphs[i].points, shift)
		wave.bend(glyphs[i].inner, shift)
		own := text
		if d.style.noise.OneColour {
			own = oneInk(first + 3*i) // neighbours far apart on the colour wheel
		}
		if glyphs[i].hollow {
			d.fill(glyphs[i].shape, own)
			d.fill(shape{glyphs[i].inner, glyphs[i].ends}, d.paints[0])
		} else {
			d.fill(glyphs[i].shape, d.striped(own))
		}
	}
	d.cut(noise)
}

// turn gives a character its weight, size, slant, angle and height.
func (d *drawing) turn(g *placed, up bool, outline glyph) {
	s := d.style
	size := d.em * d.between(s.smallest, s.largest)
	sin, cos := math.Sincos(d.between(-s.turn, s.turn))
	shear := d.between(-s.shear, s.shear)
	wide := math.Exp(d.between(-s.aspect, s.aspect))
	place := func(p point) point {
		x, y := (p.x+shear*p.y)*size*wide, p.y*size/wide
		return point{x*cos - y*sin, x*sin + y*cos}
	}
	thin := d.between(-s.bolder, 0.4*s.bolder)
	hole := thin + d.between(0.043, 0.055)
	g.hollow = d.random.Float64() < s.hollow
	g.points, g.inner, g.ends = g.points[:0], g.inner[:0], outline.ends
	for i, p := range outline.points {
		in := outline.inward[i]
		g.points = append(g.points, place(point{p.x + in.x*thin, p.y + in.y*thin}))
		if g.hollow {
			g.inner = append(g.inner, place(point{p.x + in.x*hole, p.y + in.y*hole}))
		}
	}
	g.low, g.high = g.bounds()
	room := float64(d.height) - 2*d.margin()
	if tall := g.high.y - g.low.y; tall > room {
		g.scale(room / tall)
	}
	free := (room - (g.high.y - g.low.y)) / 2
	y := d.between(-free, free) * (1 - s.stagger)
	if up {
		y -= free * s.stagger
	} else {
		y += free * s.stagger
	}
	g.shift(0, float64(d.height)/2-(g.low.y+g.high.y)/2+y)
}

// striped leaves rows of some characters blank, fewer than the bar of an E is
// thick. People see the shape all the same; networks, which rather look for textures, have more to learn.
func (d *drawing) striped(p paint) paint {
	if d.random.Float64() < d.style.striped {
		p.period = max(2, int(d.between(0.035, 0.06)*d.em))
		p.blank = max(1, int(float64(p.period)*d.between(0.3, 0.45)))
	}
	return p
}

// margin is kept free around the characters, for the wave.
func (d *drawing) margin() float64 { return d.em*d.style.warp + 2 }

func (g *placed) shift(x, y float64) {
	for _, points := range [][]point{g.points, g.inner} {
		for i, p := range points {
			points[i] = point{p.x + x, p.y + y}
		}
	}
	g.low.x, g.high.x, g.low.y, g.high.y = g.low.x+x, g.high.x+x, g.low.y+y, g.high.y+y
}

// scale makes a character smaller around its own middle.
func (g *placed) scale(by float64) {
	x, y := (g.low.x+g.high.x)/2, (g.low.y+g.high.y)/2
	for _, points := range [][]point{g.points, g.inner} {
		for i, p := range points {
			points[i] = point{x + (p.x-x)*by, y + (p.y-y)*by}
		}
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
	narrow := min(before.high.x-before.low.x, g.high.x-g.low.x)
	return max(x, before.high.x-narrow*d.style.share-g.low.x)
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

// bend shifts points to the right and bends them.
func (w wave) bend(points []point, shift float64) {
	for i, p := range points {
		x := p.x + shift
		points[i] = point{
			x + w.strength*math.Sin(p.y*w.turnX+w.shiftX),
			p.y + w.strength*math.Sin(x*w.turnY+w.shiftY),
		}
	}
}
