package captcha

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/image/vector"
)

// Noise counts the shapes drawn over and under the characters. All of them have
// the characters' own colours and grow with the characters; hair-thin straight
// lines and specks would only be decoration.
type Noise struct {
	Lines int // curved lines across the picture, 0 to 50
	Dots  int // 0 to 500
	Arcs  int // pieces of ellipses, 0 to 50
}

// DefaultNoise leaves pictures easy to read.
var DefaultNoise = Noise{Lines: 4, Dots: 40, Arcs: 3}

// scale is how many pixels there are to a CSS pixel, so that pictures are sharp
// on high-density screens. In sixteen colours that costs about 6 kB a picture.
const scale = 2

// artist draws the pictures of one configuration. It is immutable but for its
// pools, and safe for concurrent use.
type artist struct {
	faces         []face
	width, height int // in pixels
	noise         Noise
	encoder       png.Encoder
}

func newArtist(width, height int, noise Noise) (*artist, error) {
	faces, err := loadFaces()
	if err != nil {
		return nil, err
	}
	return &artist{
		faces: faces, width: width * scale, height: height * scale, noise: noise,
		// The time is in deflate, and the level hardly changes the size of a
		// picture of sixteen colours.
		encoder: png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: new(encoderPool)},
	}, nil
}

// encoderPool lends image/png its buffers, most of which is the compressor's
// state.
type encoderPool struct{ sync.Pool }

func (p *encoderPool) Get() *png.EncoderBuffer {
	b, _ := p.Pool.Get().(*png.EncoderBuffer)
	return b
}

func (p *encoderPool) Put(b *png.EncoderBuffer) { p.Pool.Put(b) }

// draw makes the picture of an answer as PNG. The same seed and answer make the
// same bytes.
func (a *artist) draw(seed [32]byte, answer string) ([]byte, error) {
	if answer == "" || strings.Trim(answer, possible) != "" {
		return nil, errors.New("the answer is empty or has characters that no alphabet has")
	}
	random := rand.New(rand.NewChaCha8(seed))
	c := &canvas{
		Paletted: image.NewPaletted(image.Rect(0, 0, a.width, a.height), newPalette(random)),
		random:   random,
		em:       min(float64(a.height)*0.92, float64(a.width)/float64(len(answer))*1.5),
	}
	c.background()
	c.scatter(a.noise, false)
	c.write(a.faces, answer)
	c.scatter(a.noise, true)
	var b bytes.Buffer
	if err := a.encoder.Encode(&b, c.Paletted); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// canvas is a picture while it is drawn.
type canvas struct {
	*image.Paletted
	random *rand.Rand
	em     float64 // the size of a large character, in pixels
}

// thin is the measure of noise: 2 pixels in the default size. It grows with the
// characters, so that noise is equally strong in every size.
func (c *canvas) thin() float64 { return c.em / 72 }

// between is a random number from low to high.
func (c *canvas) between(low, high float64) float64 { return low + (high-low)*c.random.Float64() }

func (c *canvas) size() (width, height float64) {
	return float64(c.Rect.Dx()), float64(c.Rect.Dy())
}

// background lays slow waves of a few tints, so that no single brightness
// parts ink from paper.
func (c *canvas) background() {
	width, height := c.size()
	turn := c.between(0, 2*math.Pi)
	dx, dy := math.Cos(turn)*c.between(1, 2)/width, math.Sin(turn)*c.between(1, 2)/height
	shift := c.random.Float64()
	for y := range c.Rect.Dy() {
		row := c.Pix[y*c.Stride:]
		for x := range c.Rect.Dx() {
			wave := float64(x)*dx + float64(y)*dy + shift
			wave -= math.Floor(wave)
			row[x] = min(tints-1, uint8(math.Abs(wave*2-1)*tints))
		}
	}
}

// write draws the characters, each in its own face, ink, size, angle and
// height, close enough to touch here and there.
func (c *canvas) write(faces []face, answer string) {
	width, height := c.size()
	glyphs := make([]glyph, len(answer))
	for i := range len(answer) {
		glyphs[i] = c.turn(faces[c.random.IntN(len(faces))][answer[i]])
	}
	total, gap := c.fit(glyphs)
	x := (width - total) * c.between(0.3, 0.7)
	p := pen{canvas: c, raster: vector.NewRasterizer(0, 0), mask: image.NewAlpha(c.Rect)}
	order := c.random.Perm(inks)
	for i, g := range glyphs {
		low, high := g.bounds()
		play := max(0, min((height-(high.y-low.y))/2-c.thin(), c.em*0.4)) * 0.8
		y := height/2 - (low.y+high.y)/2 + c.between(-play, play)
		p.fill(c.bend(g, x-low.x, y), order[i%len(order)])
		x += high.x - low.x + gap
	}
}

// turn gives an outline its size, slant and angle.
func (c *canvas) turn(outline glyph) glyph {
	size := c.em * c.between(0.82, 1)
	sin, cos := math.Sincos(c.between(-0.38, 0.38))
	shear := c.between(-0.2, 0.2)
	return outline.apply(func(p point) point {
		x, y := (p.x+shear*p.y)*size, p.y*size
		return point{x*cos - y*sin, x*sin + y*cos}
	})
}

// fit finds the gap between the boxes of the characters and the width of them
// all. Where wide ones would overlap so much that people could not part them,
// they become smaller.
func (c *canvas) fit(glyphs []glyph) (total, gap float64) {
	width, _ := c.size()
	sum := 0.0
	for _, g := range glyphs {
		low, high := g.bounds()
		sum += high.x - low.x
	}
	gaps := float64(len(glyphs) - 1)
	room, overlap := width*0.92, c.em*0.08
	if widest := room + overlap*gaps; sum > widest {
		shrink := widest / sum
		for i, g := range glyphs {
			glyphs[i] = g.apply(func(p point) point { return point{p.x * shrink, p.y * shrink} })
		}
		sum = widest
	}
	gap = min((room-sum)/max(1, gaps), c.em*0.12)
	return sum + gap*gaps, gap
}

// bend moves an outline to its place and warps it a little, so that no two
// pictures of a character in one face have the same strokes.
func (c *canvas) bend(g glyph, dx, dy float64) glyph {
	strength := c.em * 0.02
	turn, shift := 2*math.Pi/(c.em*c.between(0.55, 1)), c.between(0, 2*math.Pi)
	return g.apply(func(p point) point {
		x, y := p.x+dx, p.y+dy
		return point{x + strength*math.Sin(y*turn+shift), y + strength*math.Sin(x*turn+shift)}
	})
}

// pen fills outlines. It keeps what is needed for one after the other.
type pen struct {
	*canvas
	raster *vector.Rasterizer
	mask   *image.Alpha
}

// fill inks the pixels of which an outline covers more than half. There are no
// softer edges: screens of ordinary density shrink the picture to half, which
// softens them, and on finer ones they do not show.
func (p *pen) fill(g glyph, ink int) {
	low, high := g.bounds()
	box := image.Rect(int(low.x)-1, int(low.y)-1, int(high.x)+2, int(high.y)+2).Intersect(p.Rect)
	if box.Empty() {
		return
	}
	p.raster.Reset(box.Dx(), box.Dy())
	p.raster.DrawOp = draw.Src
	left, top := float64(box.Min.X), float64(box.Min.Y)
	g.apply(func(at point) point { return point{at.x - left, at.y - top} }).trace(p.raster)
	p.raster.Draw(p.mask, box, image.Opaque, image.Point{})
	for y := box.Min.Y; y < box.Max.Y; y++ {
		from, to := p.PixOffset(box.Min.X, y), p.PixOffset(box.Max.X, y)
		row := p.Pix[from:to]
		for i, cover := range p.mask.Pix[from:to] {
			if cover >= 128 {
				row[i] = inkIndex(ink)
			}
		}
	}
}

// scatter draws half of the noise: before the characters, or over them.
func (c *canvas) scatter(n Noise, over bool) {
	width, height := c.size()
	half := func(count int) int {
		if over {
			return count / 2
		}
		return count - count/2
	}
	for range half(n.Lines) {
		from, to := c.between(0, width*0.4), c.between(width*0.6, width)
		a, b := c.between(0, height), c.between(0, height)
		sag := c.between(-height*0.4, height*0.4)
		c.stroke(func(t float64) point {
			return point{from + (to-from)*t, a + (b-a)*t + sag*math.Sin(math.Pi*t)}
		})
	}
	for range half(n.Arcs) {
		x, y := c.between(0, width), c.between(0, height)
		rx, ry := c.between(height*0.15, height*0.45), c.between(height*0.15, height*0.45)
		from, sweep := c.between(0, 2*math.Pi), c.between(math.Pi/2, math.Pi*1.2)
		c.stroke(func(t float64) point {
			sin, cos := math.Sincos(from + sweep*t)
			return point{x + rx*cos, y + ry*sin}
		})
	}
	for range half(n.Dots) {
		c.disc(point{c.between(0, width), c.between(0, height)}, c.between(0.8, 2)*c.thin(), c.random.IntN(inks))
	}
}

// stroke draws a curve, given for 0 to 1, in a random ink.
func (c *canvas) stroke(curve func(t float64) point) {
	radius := c.between(0.7, 1.2) * c.thin()
	ink := c.random.IntN(inks)
	length := 0.0
	for i, last := 1, curve(0); i <= 32; i++ {
		next := curve(float64(i) / 32)
		length += math.Hypot(next.x-last.x, next.y-last.y)
		last = next
	}
	steps := int(length/radius) + 1
	for i := range steps + 1 {
		c.disc(curve(float64(i)/float64(steps)), radius, ink)
	}
}

func (c *canvas) disc(at point, radius float64, ink int) {
	for y := int(math.Floor(at.y - radius)); y <= int(at.y+radius)+1; y++ {
		for x := int(math.Floor(at.x - radius)); x <= int(at.x+radius)+1; x++ {
			dx, dy := float64(x)-at.x, float64(y)-at.y
			if dx*dx+dy*dy <= radius*radius && image.Pt(x, y).In(c.Rect) {
				c.Pix[y*c.Stride+x] = inkIndex(ink)
			}
		}
	}
}
