package captcha

// Noise counts the shapes drawn under and over the characters. They are curved
// and grow with the characters; hair-thin straight lines and specks would only
// be decoration. Half of the lines and arcs, the larger one, has the characters'
// own colours and joins them; the other has those of the paper and cuts them.
type Noise struct {
	Lines int // across the picture, 0 to 50
	Dots  int // 0 to 500
	Arcs  int // pieces of ellipses, 0 to 50
	// OneColour gives each character and each shape one colour of its own. It
	// is the look that people expect, and it shows programs where one
	// character ends; by default colours change across characters.
	OneColour bool
}

// style is how a level is drawn. Lengths are in em, the size of the largest
// character that fits; angles in radians.
type style struct {
	noise             Noise
	turn              float64 // characters are turned by up to so much, both ways
	shear             float64
	aspect            float64 // how much wider or narrower than drawn, as a logarithm
	bolder            float64 // how far outlines move outwards at most
	hollow, striped   float64 // how many of the characters are outlines, or have stripes
	smallest, largest float64 // size of the characters
	gap               float64 // between the inks of neighbours; less than 0 overlaps
	warp              float64 // how far waves move a point
	// Characters step up and down in turn, so that neighbours share columns:
	// how much of the free height is a step and not chance, and which part of
	// its width a character may share. People go on reading; programs that read
	// a line from column to column do not.
	stagger, share float64
	thickness, cut float64 // of lines and arcs in ink, and of those that cut
}

// styles were found by measurement: see docs/captcha.md for what readers and
// programs made of them.
var styles = [...]style{
	Easy: {
		noise: Noise{Lines: 1, Dots: 12, Arcs: 1}, turn: 0.28, shear: 0.12, aspect: 0.1, bolder: 0.015, hollow: 0.3,
		striped: 0.25, smallest: 0.66, largest: 0.82, gap: 0.02, warp: 0.028, stagger: 0.5, share: 0.32,
		thickness: 0.024, cut: 0.009,
	},
	Normal: {
		noise: Noise{Lines: 2, Dots: 20, Arcs: 1}, turn: 0.36, shear: 0.14, aspect: 0.18, bolder: 0.02, hollow: 0.4,
		striped: 0.6, smallest: 0.58, largest: 0.74, gap: 0.009, warp: 0.033, stagger: 0.68, share: 0.36,
		thickness: 0.024, cut: 0.009,
	},
	Hard: {
		noise: Noise{Lines: 2, Dots: 24, Arcs: 1}, turn: 0.42, shear: 0.16, aspect: 0.22, bolder: 0.02, hollow: 0.42,
		striped: 0.65, smallest: 0.55, largest: 0.72, gap: 0.003, warp: 0.039, stagger: 0.7, share: 0.4,
		thickness: 0.025, cut: 0.008,
	},
}

// DefaultNoise is the noise of a level.
func DefaultNoise(level Level) Noise {
	if !level.valid() {
		level = Normal
	}
	return styles[level].noise
}
