package captcha

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
)

// artist draws the pictures of one configuration. It is immutable but for its
// pool, and safe for concurrent use.
type artist struct {
	faces   []face
	noise   *Noise // nil: that of the level
	encoder *encoder
	pool    sync.Pool // of *drawing
}

// newArtist prepares for pictures of so many pixels.
func newArtist(width, height int, noise *Noise) (*artist, error) {
	faces, err := sharedFaces()
	if err != nil {
		return nil, err
	}
	a := &artist{faces: faces, noise: noise, encoder: newEncoder(width, height)}
	a.pool.New = func() any { return newDrawing(width, height) }
	return a, a.train()
}

// train draws samples, from whose symbols the code of all pictures is made.
func (a *artist) train() error {
	for i := range 12 {
		d := a.pool.Get().(*drawing)
		sample := DefaultAlphabet[i : i+5]
		if err := d.compose(a, [32]byte{byte(i)}, sample, Level(i%3)+Easy); err != nil {
			return err
		}
		(&deflater{encoder: a.encoder, adler: adler{a: 1}}).picture(d.canvas)
		a.pool.Put(d)
	}
	a.encoder.train()
	return nil
}

// draw makes the picture of an answer as PNG. The same arguments make the same
// bytes.
func (a *artist) draw(seed [32]byte, answer string, level Level) ([]byte, error) {
	d := a.pool.Get().(*drawing)
	defer a.pool.Put(d)
	if err := d.compose(a, seed, answer, level); err != nil {
		return nil, err
	}
	d.out = a.encoder.encode(d.out[:0], d.canvas, &d.palette)
	return append([]byte(nil), d.out...), nil
}

// drawing is what one picture needs while it is drawn. It is used again for
// others.
type drawing struct {
	*canvas
	palette palette
	source  rand.ChaCha8
	random  *rand.Rand
	em      float64 // the size of a large character, in pixels
	style   style
	scratch shape
	glyphs  []placed
	paints  [3]paint // of the paper and of the ink
	painted int
	out     []byte
}

func newDrawing(width, height int) *drawing {
	d := &drawing{canvas: newCanvas(width, height)}
	d.random = rand.New(&d.source)
	return d
}

func (d *drawing) compose(a *artist, seed [32]byte, answer string, level Level) error {
	switch {
	case answer == "" || len(answer) > maxLength || strings.Trim(answer, possible) != "":
		return errors.New("the answer is empty, too long, or has characters that no alphabet has")
	case !level.valid():
		return errors.New("no such level")
	}
	d.source.Seed(seed)
	d.style = styles[level]
	if a.noise != nil {
		d.style.noise = *a.noise
	}
	d.em = min(float64(d.height)*0.92, float64(d.width)/float64(len(answer))*1.6)
	d.painted = 0
	d.palette.mix(d.random)
	d.background()
	d.write(a.faces, answer)
	return nil
}

// between is a random number from low to high.
func (d *drawing) between(low, high float64) float64 { return low + (high-low)*d.random.Float64() }

// background lays a few tints beside each other, aslant, so that no single
// brightness parts ink from paper.
func (d *drawing) background() {
	p := d.bands(tints, 0, 0.4, 0.9)
	for y := range d.height {
		p.span(d.row(y), y, 0, (d.width+1)&^1)
	}
}
