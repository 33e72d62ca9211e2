package captcha

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// The shape of a sound: 16 kHz would cost twice the bytes, and digits are
// understood over the telephone too.
const (
	sampleRate = 8000 // a second, one byte each

	minDigits, maxDigits = 4, 8

	// Samples before the first digit, after the last one, and for each digit
	// with what stands between it and the next.
	leadIn, leadOut, perDigit = 4000, 1000, 10_500
	// minGap are the samples between two digits at least.
	minGap = 1600
	// breath are the samples between two words at least.
	breath = 240

	// A clip is played by up to 12 % slower and lower or faster and higher:
	// how far to move in it for each sample, in 1/65536 of a sample.
	unit                   = 1 << 16
	slowest, fastest       = unit * 88 / 100, unit * 112 / 100
	layers                 = 2
	maxSoundBytes          = waveHeader + leadIn + leadOut + maxDigits*perDigit
	noiseGain        int32 = 1800 // of a random byte, in 1/65536
)

// volume is a range of factors for the samples of clips, in 1/256.
type volume struct{ low, high int32 }

// mixture is how loud the parts of a sound are. All clips are equally loud.
type mixture struct {
	digit  volume // what is to be typed
	decoy  volume // backward words between the digits
	babble volume // each layer of backward words under everything
}

var mixtures = [...]mixture{
	Easy:   {digit: volume{190, 230}, decoy: volume{60, 110}, babble: volume{20, 60}},
	Normal: {digit: volume{150, 230}, decoy: volume{110, 220}, babble: volume{40, 70}},
	Hard:   {digit: volume{150, 210}, decoy: volume{120, 200}, babble: volume{60, 110}},
}

// speaker makes the sounds. It does not change once it is made, so any number
// of goroutines may use one.
type speaker struct {
	languages map[string]*language
	pool      sync.Pool // of *speech
}

// speech is the memory for one sound in the making.
type speech struct {
	source rand.ChaCha8
	random *rand.Rand // reads source
	voice  uint32
	mixed  []int32 // the sum of all clips, in 1/65536 of an 8 bit sample
}

// newSpeaker reads the embedded voices. An error names the file that is not
// what voices/README.md says.
func newSpeaker() (*speaker, error) {
	languages, err := readLanguages()
	if err != nil {
		return nil, err
	}
	s := &speaker{languages: languages}
	s.pool.New = func() any {
		w := &speech{mixed: make([]int32, soundLength(maxDigits))}
		w.random = rand.New(&w.source)
		return w
	}
	return s, nil
}

// soundLength is how many samples a sound of n digits has. It depends on
// nothing else, so the size of a sound does not tell the digits.
func soundLength(n int) int { return leadIn + leadOut + n*perDigit }

// speak says 4 to 8 digits in a language of Languages, and mixes in backward
// words, which are no digits but sound like speech. It returns a WAV file: PCM,
// 8000 Hz, mono, 8 bit. The same arguments give the same bytes, on every
// machine (CAP-8): there are only integers in here.
func (s *speaker) speak(seed [32]byte, digits, language string, level Level) ([]byte, error) {
	spoken, ok := s.languages[language]
	if !ok {
		return nil, fmt.Errorf("captcha: language %q: no voice speaks it", language)
	}
	if !level.valid() {
		return nil, fmt.Errorf("captcha: level %d is none", level)
	}
	if len(digits) < minDigits || len(digits) > maxDigits {
		return nil, fmt.Errorf("captcha: digits: %d of them, not %d to %d", len(digits), minDigits, maxDigits)
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return nil, fmt.Errorf("captcha: digits: byte %d is none", i)
		}
	}
	w := s.pool.Get().(*speech)
	defer s.pool.Put(w)
	w.source.Seed(seed)
	w.mixed = w.mixed[:soundLength(len(digits))]
	clear(w.mixed)
	w.sayAll(digits, spoken, mixtures[level])
	for range layers {
		w.babble(spoken, mixtures[level].babble)
	}
	return w.wave(), nil
}

// say is one clip to be played: which, how fast, how loud, and for how long.
type say struct {
	clip   []int8
	step   int32 // in 1/65536 of a sample
	gain   int32 // in 1/256
	length int   // samples
}

// pick plays the clip at a random speed and volume.
func (w *speech) pick(clip []int8, v volume) say {
	step := w.between(slowest, fastest)
	return say{
		clip: clip, step: step, gain: w.between(v.low, v.high),
		length: (len(clip) - 2) * unit / int(step),
	}
}

// backward picks any digit of any voice, backward.
func (w *speech) backward(l *language, v volume) say {
	return w.pick(l[w.random.Uint32N(voices)][w.random.Uint32N(10)].backward, v)
}

// between is a random number from low to high. All random numbers come from
// here or from Uint32N: IntN gives others where an int has 32 bits.
func (w *speech) between(low, high int32) int32 {
	return low + int32(w.random.Uint32N(uint32(high-low+1)))
}

// sayAll says the digits, with gaps of random length before, between and after
// them, and backward words in the gaps: who cuts the sound where it is loud
// finds those too.
func (w *speech) sayAll(digits string, l *language, m mixture) {
	var says [maxDigits]say
	free := len(w.mixed) - leadIn - leadOut
	w.voice = w.random.Uint32N(voices)
	for i := range len(digits) {
		says[i] = w.pick(l[w.voice][digits[i]-'0'].forward, m.digit)
		free -= says[i].length + minGap
	}
	var shares [maxDigits + 1]int
	total := 0
	for i := range len(digits) + 1 {
		shares[i] = int(w.between(1, 8))
		total += shares[i]
	}
	position, gapStart := leadIn, breath
	for i := range len(digits) {
		position += free * shares[i] / total
		w.fill(gapStart, position, l, m.decoy)
		w.add(says[i], position)
		position += says[i].length
		gapStart = position
		position += minGap
	}
	w.fill(gapStart, len(w.mixed), l, m.decoy)
}

// fill says backward words from one sample to another, as many as fit.
func (w *speech) fill(from, to int, l *language, v volume) {
	for {
		s := w.pick(l[1-w.voice][w.random.Uint32N(10)].backward, v)
		from += int(w.between(breath, 4*breath))
		if from+s.length+breath > to {
			return
		}
		w.add(s, from)
		from += s.length
	}
}

// babble says backward words one after the other, over the whole sound.
func (w *speech) babble(l *language, v volume) {
	for from := int(w.between(0, leadIn/2)); from < len(w.mixed); {
		s := w.backward(l, v)
		w.add(s, from)
		from += s.length + int(w.between(0, breath))
	}
}

// add plays a clip from the position on, as far as there is room.
func (w *speech) add(s say, position int) {
	clip, at := s.clip, int32(0)
	for i := range w.mixed[position:min(position+s.length, len(w.mixed))] {
		pair := clip[at>>16:]
		before, after := int32(pair[0]), int32(pair[1])
		w.mixed[position+i] += (before<<8 + (after-before)*(at>>8&0xff)) * s.gain
		at += s.step
	}
}
