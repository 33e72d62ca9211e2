package captcha

// canvas is a picture while it is drawn: rows of four bits a pixel, each after
// the byte that names its PNG filter, just as they are compressed.
type canvas struct {
	width, height int // pixels
	stride        int // bytes from one row to the next
	rows          []byte
	lines         []crossings // one for each row of pixels; empty between shapes
}

// crossings are the places where the outline of one shape crosses the middle of
// a row of pixels, from left to right: the pixel, doubled, plus one where the
// outline goes up.
type crossings struct {
	count int
	at    [maxCrossings]int32
}

// maxCrossings is more than any character or stroke has; what were more is left
// out.
const maxCrossings = 30

func newCanvas(width, height int) *canvas {
	stride := 1 + (width+1)/2
	return &canvas{
		width: width, height: height, stride: stride,
		rows:  make([]byte, stride*height),
		lines: make([]crossings, height),
	}
}

// row is the pixels of a row, two a byte, the left one in the higher bits.
func (c *canvas) row(y int) []byte { return c.rows[y*c.stride+1 : (y+1)*c.stride] }

// span paints the pixels from one column up to, not with, another. Both lie
// within the row.
func span(row []byte, from, to int, colour uint8) {
	if from >= to {
		return
	}
	if from&1 == 1 {
		row[from>>1] = row[from>>1]&0xf0 | colour
		from++
	}
	if to&1 == 1 {
		to--
		row[to>>1] = row[to>>1]&0x0f | colour<<4
	}
	if from < to {
		pair := colour<<4 | colour
		inner := row[from>>1 : to>>1]
		for i := range inner {
			inner[i] = pair
		}
	}
}

// fill paints the inside of closed outlines, by the rule of non-zero winding:
// the pixels whose middle is inside. There are no softer edges: screens of
// ordinary density shrink the picture to half, which softens them, and on finer
// ones they do not show.
func (c *canvas) fill(s shape, p paint) {
	top, bottom := c.height, 0
	start := 0
	for _, end := range s.ends {
		contour := s.points[start:end]
		start = end
		last := contour[len(contour)-1]
		for _, next := range contour {
			from, to := c.edge(last, next)
			top, bottom = min(top, from), max(bottom, to)
			last = next
		}
	}
	for y := top; y < bottom; y++ {
		line := &c.lines[y]
		if p.period > 0 && (y+p.period)%p.period < p.blank {
			line.count = 0
			continue
		}
		row, winding, from := c.row(y), 0, 0
		for _, at := range line.at[:line.count] {
			x := int(at >> 1)
			if winding == 0 {
				from = x
			}
			winding += int(at&1)<<1 - 1
			if winding == 0 {
				p.span(row, y, max(from, 0), min(x, c.width))
			}
		}
		line.count = 0
	}
}

// edge notes where the edge from a to b crosses the middles of rows, and
// returns from which row to which.
func (c *canvas) edge(a, b point) (from, to int) {
	up := int32(0)
	if a.y > b.y {
		a, b, up = b, a, 1
	}
	from, to = max(0, ceil(a.y-0.5)), min(c.height, ceil(b.y-0.5))
	if from >= to {
		return c.height, 0
	}
	// 16 bits after the point: a picture has at most 1,200 columns, and what
	// lies outside is cut off first.
	slope := (b.x - a.x) / (b.y - a.y)
	x := a.x + slope*(float64(from)+0.5-a.y)
	for y := from; y < to; y++ {
		line := &c.lines[y]
		if line.count < maxCrossings {
			at := int32(ceil(min(max(x, -1), float64(c.width)+1)-0.5))<<1 | up
			i := line.count
			for ; i > 0 && line.at[i-1]>>1 > at>>1; i-- {
				line.at[i] = line.at[i-1]
			}
			line.at[i] = at
			line.count++
		}
		x += slope
	}
	return from, to
}

// ceil is the next whole number. math.Ceil is three times slower where it is no
// instruction.
func ceil(x float64) int {
	i := int(x)
	if float64(i) < x {
		i++
	}
	return i
}

// paint decides the colour of a pixel by its place. Bands of ink run across the
// picture aslant, and their borders have nothing to do with the characters, so
// colour does not tell where one character ends.
type paint struct {
	colours []uint8 // of the bands, from left to right
	borders []int32 // between them, in 1/65536 pixel, in the top row
	slope   int32   // how far a border moves to the right with each row
	// Of every period of rows so many stay blank, which leaves stripes; 0 is
	// none.
	period, blank int
}

// span paints part of a row.
func (p *paint) span(row []byte, y, from, to int) {
	shift := p.slope * int32(y)
	for i, border := range p.borders {
		if from >= to {
			return
		}
		if end := int((border + shift) >> 16); end > from {
			end = min(end, to)
			span(row, from, end, p.colours[i])
			from = end
		}
	}
	span(row, from, to, p.colours[len(p.borders)])
}
