package captcha

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"testing"

	"pgregory.net/rapid"
)

// plainArtist draws without noise.
func plainArtist(t rapid.TB, width, height int) *artist {
	t.Helper()
	a, err := newArtist(width, height, Noise{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// drawn draws an answer and reads the picture back.
func drawn(t rapid.TB, a *artist, seed [32]byte, answer string) *image.Paletted {
	t.Helper()
	encoded, err := a.draw(seed, answer)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*image.Paletted)
}

// inksOf counts the pixels of each ink.
func inksOf(p *image.Paletted) map[int]int {
	counts := map[int]int{}
	for ink := range inks {
		if n := bytes.Count(p.Pix, []byte{inkIndex(ink)}); n > 0 {
			counts[ink] = n
		}
	}
	return counts
}

// Also those that the default alphabet has not: other alphabets are legal.
func TestEveryPossibleCharacterIsDrawnInEverySize(t *testing.T) {
	for _, size := range []image.Point{{minWidth, minHeight}, {maxWidth, maxHeight}, {minWidth, maxHeight}, {maxWidth, minHeight}} {
		for length := minLength; length <= maxLength; length++ {
			width := max(size.X, minCell*length)
			t.Run(fmt.Sprintf("%dx%d length %d", width, size.Y, length), func(t *testing.T) {
				a := plainArtist(t, width, size.Y)
				for i := 0; i < len(possible); i += length {
					answer := (possible + possible)[i : i+length]
					p := drawn(t, a, [32]byte{byte(i), byte(length)}, answer)
					if want := image.Pt(width*scale, size.Y*scale); p.Rect.Size() != want {
						t.Fatalf("%v; want %v", p.Rect.Size(), want)
					}
					if got := len(inksOf(p)); got != length {
						t.Errorf("%s is drawn in %d inks", answer, got)
					}
				}
			})
		}
	}
}

func TestAnyAnswerIsDrawnInAnySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answer := rapid.StringOfN(rapid.SampledFrom([]rune(possible)), minLength, maxLength, -1).Draw(t, "answer")
		width := rapid.IntRange(max(minWidth, minCell*len(answer)), maxWidth).Draw(t, "width")
		height := rapid.IntRange(minHeight, maxHeight).Draw(t, "height")
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		p := drawn(t, plainArtist(t, width, height), seed, answer)
		counts := inksOf(p)
		if len(counts) != len(answer) {
			t.Errorf("%s is drawn in %d inks", answer, len(counts))
		}
		// Characters may overlap a little, but none may go under. The smallest
		// stroke, that of an I, is about a tenth of an em wide and 0.6 high.
		em := min(float64(height)*0.92, float64(width)/float64(len(answer))*1.5) * scale
		for ink, pixels := range counts {
			if float64(pixels) < em*em*0.01 {
				t.Errorf("%s: ink %d has %d pixels at %.0f pixels an em", answer, ink, pixels, em)
			}
		}
	})
}

func TestTheBackgroundHasNoInk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Byte().Draw(t, "seed")
		c := newTestCanvas(seed)
		c.background()
		used := map[uint8]bool{}
		for _, index := range c.Pix {
			if index >= tints {
				t.Fatalf("colour %d", index)
			}
			used[index] = true
		}
		if len(used) != tints {
			t.Errorf("%d tints", len(used))
		}
	})
}

// Without noise, ink is only where the outline of a character reaches.
func TestWithoutNoiseThereIsNoInkOutsideTheCharacters(t *testing.T) {
	a := plainArtist(t, maxWidth, minHeight)
	for _, answer := range []string{"IIII", "LLLLL", "11111"} {
		for seed := range byte(10) {
			p := drawn(t, a, [32]byte{seed}, answer)
			// Five narrow characters 40 high cannot fill a picture 600 wide: they
			// stand in its middle and leave a third of it blank on each side.
			for y := range p.Rect.Dy() {
				row := p.Pix[y*p.Stride : y*p.Stride+p.Rect.Dx()]
				for _, side := range [][]uint8{row[:len(row)/5], row[len(row)*4/5:]} {
					for _, index := range side {
						if index >= tints {
							t.Fatalf("%s, seed %d: ink in row %d at the side", answer, seed, y)
						}
					}
				}
			}
		}
	}
}

// Wide characters become smaller before they hide one another.
func TestWideCharactersHardlyOverlap(t *testing.T) {
	faces, err := loadFaces()
	if err != nil {
		t.Fatal(err)
	}
	const slack = 1e-6
	shrunk := 0
	for seed := range byte(50) {
		c := newTestCanvas(seed)
		width, _ := c.size()
		glyphs := make([]glyph, maxLength)
		c.em = width / float64(len(glyphs)) * 1.5
		before := 0.0
		for i := range glyphs {
			glyphs[i] = c.turn(faces[int(seed)%len(faces)]['W'])
			low, high := glyphs[i].bounds()
			before += high.x - low.x
		}
		total, gap := c.fit(glyphs)
		if gap < -0.08*c.em-slack {
			t.Errorf("seed %d: %.2f of an em overlap", seed, -gap/c.em)
		}
		if total > 0.92*width+slack {
			t.Errorf("seed %d: %.0f of %.0f pixels", seed, total, width)
		}
		after := 0.0
		for _, g := range glyphs {
			low, high := g.bounds()
			after += high.x - low.x
		}
		if after < before-slack {
			shrunk++
		}
		if whole := after + gap*float64(len(glyphs)-1); whole < total-slack || whole > total+slack {
			t.Errorf("seed %d: %.2f pixels are said to be %.2f", seed, whole, total)
		}
	}
	if shrunk == 0 {
		t.Error("none was so wide that it had to shrink")
	}
}
