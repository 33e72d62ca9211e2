package captcha

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"testing"
)

func newTestCanvas(seed byte) *canvas {
	random := rand.New(rand.NewChaCha8([32]byte{seed}))
	return &canvas{Paletted: image.NewPaletted(image.Rect(0, 0, 480, 160), newPalette(random)), random: random, em: 144}
}

func TestHalfOfTheNoiseIsOverTheCharacters(t *testing.T) {
	for name, noise := range map[string]Noise{"lines": {Lines: 8}, "dots": {Dots: 80}, "arcs": {Arcs: 8}} {
		pixels := map[bool]int{}
		for _, over := range []bool{false, true} {
			for seed := range byte(20) {
				c := newTestCanvas(seed)
				c.scatter(noise, over)
				pixels[over] += len(c.Pix) - bytes.Count(c.Pix, []byte{0})
			}
		}
		if pixels[true] == 0 || pixels[true] != pixels[false] {
			t.Errorf("%s: %d pixels under, %d over", name, pixels[false], pixels[true])
		}
	}
}

func TestAnOddShapeIsUnderTheCharacters(t *testing.T) {
	blank := func(c *canvas) bool { return bytes.Count(c.Pix, []byte{0}) == len(c.Pix) }
	for name, noise := range map[string]Noise{"line": {Lines: 1}, "dot": {Dots: 1}, "arc": {Arcs: 1}} {
		drawn := false
		for seed := range byte(20) {
			under, over := newTestCanvas(seed), newTestCanvas(seed)
			under.scatter(noise, false)
			over.scatter(noise, true)
			drawn = drawn || !blank(under) // an arc may lie outside of some pictures
			if !blank(over) {
				t.Errorf("a single %s is over the characters", name)
			}
		}
		if !drawn {
			t.Errorf("a single %s is not drawn", name)
		}
	}
	plain, one := newTestArtist(t, Noise{}), newTestArtist(t, Noise{Dots: 1})
	if bytes.Equal(newTestPicture(t, plain, 1), newTestPicture(t, one, 1)) {
		t.Error("a single dot is not in the picture")
	}
}

func newTestArtist(t *testing.T, noise Noise) *artist {
	t.Helper()
	a, err := newArtist(240, 80, noise)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newTestPicture(t *testing.T, a *artist, seed byte) []byte {
	t.Helper()
	picture, err := a.draw([32]byte{seed}, "MMMMM")
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// One line goes under the characters. A second one goes over them and changes
// nothing else, so what differs between the pictures is that line.
func TestNoiseLiesOnTheCharactersToo(t *testing.T) {
	hidden := 0
	for seed := range byte(10) {
		var pictures [2]*image.Paletted
		for i := range pictures {
			encoded := newTestPicture(t, newTestArtist(t, Noise{Lines: 1 + i}), seed)
			decoded, err := png.Decode(bytes.NewReader(encoded))
			if err != nil {
				t.Fatal(err)
			}
			pictures[i] = decoded.(*image.Paletted)
		}
		for i, before := range pictures[0].Pix {
			if before >= tints && pictures[1].Pix[i] != before {
				hidden++
			}
		}
	}
	if hidden < 100 {
		t.Errorf("ten lines hide %d pixels of characters", hidden)
	}
}
