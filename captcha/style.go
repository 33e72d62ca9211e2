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

// style is how a level is drawn. Lengths are in em, the size of a large
// character; angles in radians.
type style struct {
	noise             Noise
	turn              float64 // characters are turned by up to so much, both ways
	shear             float64
	smallest, largest float64 // size of the characters
	gap               float64 // between the inks of neighbours; less than 0 overlaps
	warp              float64 // how far waves move a point
	play              float64 // the part of the free height that characters use
	thickness, cut    float64 // of lines and arcs in ink, and of those that cut
}

// styles were found by measurement: see docs/captcha.md for what readers and
// programs made of them.
var styles = [...]style{
	Easy: {
		noise: Noise{Lines: 1, Dots: 12, Arcs: 1}, turn: 0.4, shear: 0.15, smallest: 0.8, largest: 0.95,
		gap: 0.02, warp: 0.03, play: 0.9, thickness: 0.028, cut: 0.014,
	},
	Normal: {
		noise: Noise{Lines: 2, Dots: 20, Arcs: 1}, turn: 0.68, shear: 0.2, smallest: 0.7, largest: 0.95,
		gap: -0.025, warp: 0.046, play: 1, thickness: 0.028, cut: 0.014,
	},
	Hard: {
		noise: Noise{Lines: 3, Dots: 24, Arcs: 1}, turn: 0.74, shear: 0.2, smallest: 0.67, largest: 0.95,
		gap: -0.035, warp: 0.054, play: 1, thickness: 0.03, cut: 0.016,
	},
}

// DefaultNoise is the noise of a level.
func DefaultNoise(level Level) Noise {
	if !level.valid() {
		level = Normal
	}
	return styles[level].noise
}
