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
	a, err := newArtist(width, height, &Noise{OneColour: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// drawn draws an answer and reads the picture back.
func drawn(t rapid.TB, a *artist, seed [32]byte, answer string) *image.Paletted {
	t.Helper()
	encoded, err := a.draw(seed, answer, Normal)
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
				a := plainArtist(t, 2*width, 2*size.Y)
				for i := 0; i < len(possible); i += length {
					answer := (possible + possible)[i : i+length]
					p := drawn(t, a, [32]byte{byte(i), byte(length)}, answer)
					if want := image.Pt(2*width, 2*size.Y); p.Rect.Size() != want {
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
		p := drawn(t, plainArtist(t, 2*width, 2*height), seed, answer)
		counts := inksOf(p)
		if len(counts) != len(answer) {
			t.Errorf("%s is drawn in %d inks", answer, len(counts))
		}
		// Characters may overlap a little, but none may go under. The smallest
		// stroke, that of an I, is about a tenth of an em wide and 0.6 high.
		em := min(float64(height)*0.92, float64(width)/float64(len(answer))*1.6) * 2
		for ink, pixels := range counts {
			if float64(pixels) < em*em*0.002 {
				t.Errorf("%s: ink %d has %d pixels at %.0f pixels an em", answer, ink, pixels, em)
			}
		}
	})
}

func TestTheBackgroundHasNoInk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newTestDrawing(rapid.Byte().Draw(t, "seed"), Normal)
		d.background()
		used := map[uint8]bool{}
		for _, index := range d.pixels() {
			if index >= tints {
				t.Fatalf("colour %d", index)
			}
			used[index] = true
		}
		if len(used) < 2 {
			t.Errorf("%d tints", len(used))
		}
	})
}

// Without noise, ink is only where the outline of a character reaches.
func TestWithoutNoiseThereIsNoInkOutsideTheCharacters(t *testing.T) {
	a := plainArtist(t, 2*maxWidth, 2*minHeight)
	for _, answer := range []string{"IIII", "LLLLL", "11111"} {
		for seed := range byte(10) {
			p := drawn(t, a, [32]byte{seed}, answer)
			// Five narrow characters 40 high do not fill half of a picture 600 wide.
			first, last := p.Rect.Dx(), 0
			for i, index := range p.Pix {
				if index >= tints {
					first, last = min(first, i%p.Stride), max(last, i%p.Stride)
				}
			}
			if last-first > p.Rect.Dx()/2 || last < first {
				t.Errorf("%s, seed %d: ink from column %d to %d", answer, seed, first, last)
			}
		}
	}
}

// However wide the characters are, they stand side by side: no ink of one lies
// further inside another than the style lets them overlap.
func TestCharactersHardlyOverlap(t *testing.T) {
	for level := Easy; level <= Hard; level++ {
		a := plainArtist(t, 480, 160)
		for seed := range byte(40) {
			d := newTestDrawing(seed, level)
			glyphs := make([]placed, maxLength)
			for i := range glyphs {
				d.turn(&glyphs[i], i%2 == 0, a.faces[int(seed)%len(a.faces)]['W'])
			}
			total := d.line(glyphs)
			for i := 1; i < len(glyphs); i++ {
				left, right := &glyphs[i-1], &glyphs[i]
				for j := range strips {
					if overlap := left.right[j] - right.left[j]; overlap > -d.style.gap*d.em+1e-6 {
						t.Fatalf("%v, seed %d: %.1f pixels overlap", level, seed, overlap)
					}
				}
				if shared := left.high.x - right.low.x; shared > 0.4*(right.high.x-right.low.x) && shared > 0.4*(left.high.x-left.low.x) {
					t.Errorf("%v, seed %d: two characters share %.0f columns", level, seed, shared)
				}
			}
			if last := glyphs[len(glyphs)-1].high.x; total < last-1e-6 {
				t.Errorf("%v, seed %d: %.1f pixels are said to be %.1f", level, seed, last, total)
			}
		}
	}
}
