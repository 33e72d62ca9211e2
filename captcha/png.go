package captcha

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// A PNG writer for the one kind of picture that is drawn here: sixteen colours,
// four bits a pixel, every row but the first as its difference from the one
// above (filter "up", PNG 9.2). What differs little from row to row becomes
// runs of zeros, so the deflate stream (RFC 1951) needs neither a search nor a
// window: a byte, or a run of the byte before. Its Huffman code is made once
// from drawn samples and the same in all pictures of one configuration.
//
// It exists because image/png takes several times as long for the same
// pictures; BenchmarkEncode shows both.

const (
	endOfBlock = 256
	symbols    = 286 // literals, end, lengths
	maxRun     = 258
	minRun     = 3
	maxBits    = 15
)

// code is how some symbols are written: bits, lowest first, and their number.
type code struct {
	bits  uint32
	count uint8
}

// encoder writes pictures of one size.
type encoder struct {
	head   []byte // signature and IHDR
	block  bitWriter
	bytes  [256]code
	runs   [maxRun + 1]code // length and distance 1
	end    code
	counts *[symbols]int // while samples are taken
}

const (
	filterNone = 0
	filterUp   = 2
	colours    = 16
)

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

func newEncoder(width, height int) *encoder {
	e := &encoder{counts: new([symbols]int)}
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	header = append(header, 4, 3, 0, 0, 0) // 4 bits, palette, deflate, filters, no interlace
	e.head = appendChunk(append([]byte(nil), pngSignature...), "IHDR", header)
	return e
}

// appendChunk appends a whole chunk.
func appendChunk(b []byte, kind string, data []byte) []byte {
	start := len(b) + 4
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// encode appends the picture to b.
func (e *encoder) encode(b []byte, c *canvas, p *palette) []byte {
	b = append(b, e.head...)
	var rgb [3 * colours]byte
	for i, colour := range p {
		rgb[3*i], rgb[3*i+1], rgb[3*i+2] = colour.R, colour.G, colour.B
	}
	b = appendChunk(b, "PLTE", rgb[:])

	start := len(b)
	b = append(b, "\x00\x00\x00\x00IDAT\x78\x01"...)
	b = append(b, e.block.out...)
	w := e.block
	w.out = b
	d := deflater{encoder: e, w: &w, adler: adler{a: 1}}
	d.picture(c)
	w.write(e.end)
	b = w.close()
	b = binary.BigEndian.AppendUint32(b, d.adler.sum())
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-8))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start+4:]))
	return appendChunk(b, "IEND", nil)
}

// deflater turns one picture into symbols.
type deflater struct {
	*encoder
	w     *bitWriter
	adler adler
	last  uint8 // the byte before
	run   int   // how often it came again since
}

func (d *deflater) picture(c *canvas) {
	d.literal(filterNone)
	for _, b := range c.row(0) {
		d.put(b)
	}
	for y := 1; y < c.height; y++ {
		d.put(filterUp)
		above, row := c.row(y-1), c.row(y)
		x := 0
		for ; x+8 <= len(row); x += 8 {
			// Most of a picture is like the row above, eight bytes at a time.
			difference := binary.LittleEndian.Uint64(row[x:]) ^ binary.LittleEndian.Uint64(above[x:])
			if difference == 0 {
				d.zeros(8)
				continue
			}
			from := bits.TrailingZeros64(difference) / 8
			to := 8 - bits.LeadingZeros64(difference)/8
			d.zeros(from)
			for i := from; i < to; i++ {
				d.put(row[x+i] - above[x+i])
			}
			d.zeros(8 - to)
		}
		for ; x < len(row); x++ {
			d.put(row[x] - above[x])
		}
	}
	d.flush()
}

// zeros puts n zeros.
func (d *deflater) zeros(n int) {
	if n > 0 && d.last != 0 {
		d.put(0)
		n--
	}
	d.run += n
}

func (d *deflater) put(b uint8) {
	if b == d.last {
		d.run++
		return
	}
	d.flush()
	d.literal(b)
}

func (d *deflater) literal(b uint8) {
	d.last = b
	d.adler.add(b, 1)
	d.emit(d.bytes[b], int(b))
}

// flush writes the run that is over.
func (d *deflater) flush() {
	if d.run == 0 {
		return
	}
	d.adler.add(d.last, d.run)
	for d.run >= minRun {
		n := min(d.run, maxRun)
		if left := d.run - n; left > 0 && left < minRun {
			n -= minRun // so that what is left is a run again
		}
		d.emit(d.runs[n], lengthSymbol(n).symbol)
		d.run -= n
	}
	for ; d.run > 0; d.run-- {
		d.emit(d.bytes[d.last], int(d.last))
	}
}

func (d *deflater) emit(c code, symbol int) {
	if d.counts != nil {
		d.counts[symbol]++
		return
	}
	d.w.write(c)
}

// adler is the checksum of zlib streams (RFC 1950). A run adds to it in one
// step.
type adler struct{ a, b uint64 }

const adlerBase = 65521

func (s *adler) add(v uint8, n int) {
	// b gains a after each byte; a itself grows by v each time.
	count := uint64(n)
	s.b += count*s.a + uint64(v)*(count*(count+1)/2)
	s.a += count * uint64(v)
	if s.b >= 1<<40 || s.a >= 1<<20 {
		s.a, s.b = s.a%adlerBase, s.b%adlerBase
	}
}

func (s *adler) sum() uint32 { return uint32(s.b%adlerBase)<<16 | uint32(s.a%adlerBase) }

// bitWriter packs codes into bytes, lowest bit first.
type bitWriter struct {
	out  []byte
	held uint64
	n    uint
}

func (w *bitWriter) write(c code) {
	w.held |= uint64(c.bits) << w.n
	w.n += uint(c.count)
	if w.n >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.held))
		w.held >>= 32
		w.n -= 32
	}
}

// close writes what is left.
func (w *bitWriter) close() []byte {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.out = append(w.out, uint8(w.held))
		w.held >>= 8
	}
	return w.out
}
