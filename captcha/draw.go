package captcha

import (
	"bytes"
	"image"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"sync"

	"golang.org/x/image/vector"
)

// Noise counts the shapes drawn over and under the characters. All of them are
// as thick as strokes and have the characters' own colours; thin straight lines
// and specks would only be decoration.
type Noise struct {
	Lines int // curved lines across the picture, 0 to 50
	Dots  int // 0 to 500
	Arcs  int // pieces of ellipses, 0 to 50
}

// DefaultNoise is what people read easily in the default size.
var DefaultNoise = Noise{Lines: 4, Dots: 40, Arcs: 3}

// scale is how many pixels there are to a CSS pixel, so that pictures are sharp
// on high-density screens.
const scale = 2

// artist draws the pictures of one configuration. It is immutable but for its
// pools, and safe for concurrent use.
type artist struct {
	faces         []face
	width, height int // in pixels
	noise         Noise
	encoder       png.Encoder
}

func newArtist(characters string, width, height int, noise Noise) (*artist, error) {
	faces, err := loadFaces(characters)
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
	random := rand.New(rand.NewChaCha8(seed))
	c := &canvas{
		Paletted: image.NewPaletted(image.Rect(0, 0, a.width, a.height), newPalette(random)),
		random:   random,
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
}

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
	em := min(height*0.92, width/float64(len(answer))*1.5)
	glyphs := make([]glyph, len(answer))
	total := 0.0
	for i := range len(answer) {
		outline := faces[c.random.IntN(len(faces))][answer[i]]
		size := em * c.between(0.82, 1)
		sin, cos := math.Sincos(c.between(-0.38, 0.38))
		shear := c.between(-0.2, 0.2)
		glyphs[i] = outline.apply(func(p point) point {
			x, y := (p.x+shear*p.y)*size, p.y*size
			return point{x*cos - y*sin, x*sin + y*cos}
		})
		low, high := glyphs[i].bounds()
		total += high.x - low.x
	}
	gap := min((width*0.9-total)/float64(len(answer)), em*0.12)
	x := (width - total - gap*float64(len(answer)-1)) * c.between(0.3, 0.7)
	raster := vector.NewRasterizer(c.Rect.Dx(), c.Rect.Dy())
	mask := image.NewAlpha(c.Rect)
	inks := c.random.Perm(inks)
	for i, g := range glyphs {
		low, high := g.bounds()
		room := max(0, (height-(high.y-low.y))/2-scale)
		y := height/2 - (low.y+high.y)/2 + c.between(-room, room)*0.8
		left := x - low.x
		raster.Reset(c.Rect.Dx(), c.Rect.Dy())
		raster.DrawOp = draw.Src
		c.bend(g, left, y).trace(raster)
		raster.Draw(mask, c.Rect, image.Opaque, image.Point{})
		c.stamp(mask, inks[i%len(inks)])
		x += high.x - low.x + gap
	}
}

// bend moves an outline to its place and warps it a little, so that no two
// pictures of a character in one face have the same strokes.
func (c *canvas) bend(g glyph, dx, dy float64) glyph {
	_, height := c.size()
	strength := height * 0.018
	turn, shift := 2*math.Pi/(height*c.between(0.5, 0.9)), c.between(0, 2*math.Pi)
	return g.apply(func(p point) point {
		x, y := p.x+dx, p.y+dy
		return point{x + strength*math.Sin(y*turn+shift), y + strength*math.Sin(x*turn+shift)}
	})
}

// stamp inks what a mask covers: fully where it covers more than half of a
// pixel, with the ink's lighter shade at the edges.
func (c *canvas) stamp(mask *image.Alpha, ink int) {
	for i, cover := range mask.Pix {
		switch {
		case cover >= 160:
			c.Pix[i] = inkIndex(ink)
		case cover >= 64:
			c.Pix[i] = edgeIndex(ink)
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
		c.disc(point{c.between(0, width), c.between(0, height)}, c.between(0.8, 2)*scale, c.random.IntN(inks))
	}
}

// stroke draws a curve, given for 0 to 1, in a random ink.
func (c *canvas) stroke(curve func(t float64) point) {
	radius := c.between(0.7, 1.2) * scale
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
