package captcha

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// readBack decodes what was encoded with the standard library, which checks all
// sums, and compares every pixel.
func readBack(t rapid.TB, encoded []byte, c *canvas, p *palette) {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := decoded.(*image.Paletted)
	if !ok || got.Rect != image.Rect(0, 0, c.width, c.height) {
		t.Fatalf("a %T of %v; want %dx%d", decoded, decoded.Bounds(), c.width, c.height)
	}
	for y := range c.height {
		for x := range c.width {
			want := c.row(y)[x/2] >> (4 * (1 - x%2)) & 15
			if got.ColorIndexAt(x, y) != want || got.At(x, y) != color.Color(p[want]) {
				t.Fatalf("colour %d at %d,%d; want %d", got.ColorIndexAt(x, y), x, y, want)
			}
		}
	}
}

// trained is an encoder whose code comes from one picture.
func trained(c *canvas) *encoder {
	e := newEncoder(c.width, c.height)
	(&deflater{encoder: e, adler: adler{a: 1}}).picture(c)
	e.train()
	return e
}

func testPalette() *palette {
	var p palette
	p.mix(rand.New(rand.NewChaCha8([32]byte{7})))
	for i := range p {
		p[i].A = 255
	}
	return &p
}

func TestAnyPictureIsReadBack(t *testing.T) {
	p := testPalette()
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 70).Draw(t, "width"), rapid.IntRange(1, 40).Draw(t, "height")
		c, trainer := newCanvas(width, height), newCanvas(width, height)
		// Runs of all lengths, across rows too, and noise.
		for i := 0; i < len(c.rows); {
			n := rapid.IntRange(1, 600).Draw(t, "run")
			b := rapid.Byte().Draw(t, "byte")
			for ; n > 0 && i < len(c.rows); i, n = i+1, n-1 {
				if i%c.stride != 0 {
					c.rows[i] = b
				}
			}
		}
		// The code was made from another picture: every symbol must have one.
		readBack(t, trained(trainer).encode(nil, c, p), c, p)
		readBack(t, trained(c).encode(nil, c, p), c, p)
	})
}

func TestAWhiteNoisePictureOfTheLargestSizeIsReadBack(t *testing.T) {
	c, blank := newCanvas(2*maxWidth, 2*maxHeight), newCanvas(2*maxWidth, 2*maxHeight)
	random := rand.New(rand.NewChaCha8([32]byte{}))
	for y := range c.height {
		for x := range c.row(y) {
			c.row(y)[x] = uint8(random.Uint32())
		}
	}
	readBack(t, trained(blank).encode(nil, c, testPalette()), c, testPalette())
	readBack(t, trained(c).encode(nil, blank, testPalette()), blank, testPalette())
}

// RFC 1951: a code is complete when the sum over all symbols of 2 to the power
// of minus its length is one.
func TestCodesAreCompleteAndShortEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]uint8{7, 15}).Draw(t, "limit")
		size := rapid.IntRange(2, 16).Draw(t, "size")
		if limit == 15 {
			size = symbols
		}
		counts := rapid.SliceOfN(rapid.IntRange(0, 1<<30), size, size).Draw(t, "counts")
		sum := 0
		for symbol, l := range codeLengths(counts, limit) {
			if l < 1 || l > limit {
				t.Fatalf("symbol %d has %d bits", symbol, l)
			}
			sum += 1 << (limit - l)
		}
		if sum != 1<<limit {
			t.Fatalf("the code fills %d of %d", sum, 1<<limit)
		}
	})
}

func TestLengthsHaveTheSymbolsOfRFC1951(t *testing.T) {
	for n, want := range map[int]length{
		3: {257, 0, 0}, 10: {264, 0, 0}, 11: {265, 0, 1}, 12: {265, 1, 1}, 13: {266, 0, 1}, 18: {268, 1, 1},
		19: {269, 0, 2}, 34: {272, 3, 2}, 35: {273, 0, 3}, 66: {276, 7, 3}, 67: {277, 0, 4}, 130: {280, 15, 4},
		131: {281, 0, 5}, 162: {281, 31, 5}, 163: {282, 0, 5}, 227: {284, 0, 5}, 257: {284, 30, 5}, 258: {285, 0, 0},
	} {
		if got := lengthSymbol(n); got != want {
			t.Errorf("%d: %+v; want %+v", n, got, want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add(uint8(3), []byte("some rows of pixels, and some more of them"))
	f.Add(uint8(40), bytes.Repeat([]byte{0x55}, 900))
	p := testPalette()
	f.Fuzz(func(t *testing.T, width uint8, pixels []byte) {
		c := newCanvas(int(width)+1, 1+len(pixels)/(1+(int(width)+2)/2))
		for y := range c.height {
			pixels = pixels[copy(c.row(y), pixels):]
		}
		e := trained(newCanvas(c.width, c.height))
		readBack(t, e.encode(nil, c, p), c, p)
	})
}

// benchCanvas is a picture as it is served.
func benchCanvas(b *testing.B) (*artist, *drawing) {
	b.Helper()
	a, err := newArtist(480, 160, nil)
	if err != nil {
		b.Fatal(err)
	}
	d := newDrawing(480, 160)
	if err := d.compose(a, [32]byte{1}, "ACD39", Normal); err != nil {
		b.Fatal(err)
	}
	return a, d
}

// BenchmarkEncode compares the writer with image/png at its fastest, which is
// lent its buffers, on the same picture.
func BenchmarkEncode(b *testing.B) {
	a, d := benchCanvas(b)
	b.Run("ours", func(b *testing.B) {
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			out = a.encoder.encode(out[:0], d.canvas, &d.palette)
		}
		b.ReportMetric(float64(len(out)), "bytes/picture")
	})
	b.Run("image-png", func(b *testing.B) {
		p := image.NewPaletted(image.Rect(0, 0, d.width, d.height), make(color.Palette, colours))
		for i, c := range d.palette {
			p.Palette[i] = c
		}
		copy(p.Pix, d.pixels())
		encoder := png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: new(encoderPool)}
		var out bytes.Buffer
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			if err := encoder.Encode(&out, p); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(out.Len()), "bytes/picture")
	})
}

// encoderPool lends image/png its buffers.
type encoderPool struct{ sync.Pool }

func (p *encoderPool) Get() *png.EncoderBuffer {
	b, _ := p.Pool.Get().(*png.EncoderBuffer)
	return b
}

func (p *encoderPool) Put(b *png.EncoderBuffer) { p.Pool.Put(b) }
