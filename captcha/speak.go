package captcha

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// The shape of a sound. Digits are understood over the telephone too, so 8000
// samples a second are enough.
const (
	sampleRate = 8000 // one byte each

	minDigits, maxDigits = 4, 8

	// Samples before the first digit, after the last one, and for each digit
	// with what stands between it and the next.
	leadIn, leadOut, perDigit = 4000, 1000, 10_500
	// minGap are the samples between two digits at least.
	minGap = 1600
	// breath are the samples between two words at least.
	breath = 240
	// babblers are how many speak backward under everything.
	babblers = 2

	// Clips are played by up to 12 % slower and lower or faster and higher: how
	// far to move in a clip for each sample, in 1/unit of a sample.
	unit             = 1 << 16
	slowest, fastest = unit * 88 / 100, unit * 112 / 100
)

// volume is a range of factors for the samples of clips, in 1/256.
type volume struct{ low, high int32 }

// mixture is how loud the parts of a sound are.
type mixture struct {
	digit  volume // what is to be typed
	decoy  volume // backward words between the digits
	babble volume // each of the babblers
}

// mixtures are tuned so that at Normal the decoys are nearly as loud as the
// digits, while what sounds together with a digit is 8 dB below it: the first
// misleads who cuts a sound where it is loud, the second is what people need.
var mixtures = [...]mixture{
	Easy:   {digit: volume{170, 230}, decoy: volume{60, 120}, babble: volume{20, 50}},
	Normal: {digit: volume{150, 230}, decoy: volume{125, 230}, babble: volume{40, 70}},
	Hard:   {digit: volume{150, 220}, decoy: volume{150, 230}, babble: volume{60, 100}},
}

// speaker makes the sounds. Nothing changes once it is made, so any number of
// goroutines may use one.
type speaker struct {
	languages map[string]*language
	pool      sync.Pool // of *speech
}

// speech is the memory for one sound in the making.
type speech struct {
	source rand.ChaCha8
	random *rand.Rand // reads source
	mixed  []int32    // the sum of all clips, in 1/65536 of an 8 bit sample
}

// newSpeaker reads the embedded voices. An error names the file that is not
// as voices/README.md says.
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

// speak says 4 to 8 digits in one of Languages, with a voice that speaks
// backward between them and more such voices under everything. It returns a WAV
// file: PCM, 8000 Hz, mono, 8 bit. The same arguments give the same bytes, on
// every machine (CAP-8): there are only integers in here.
func (s *speaker) speak(seed [32]byte, digits, language string, level Level) ([]byte, error) {
	spoken, ok := s.languages[language]
	if !ok {
		return nil, fmt.Errorf("captcha: language %q: no voice speaks it", language)
	}
	if !level.valid() {
		return nil, fmt.Errorf("captcha: level: there is no %v", level)
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
	w.mix(seed, digits, spoken, mixtures[level])
	return w.wave(), nil
}

// mix fills the memory with a sound.
func (w *speech) mix(seed [32]byte, digits string, l *language, m mixture) {
	w.source.Seed(seed)
	w.mixed = w.mixed[:soundLength(len(digits))]
	clear(w.mixed)
	w.sayAll(digits, l, m)
	for range babblers {
		w.babble(l, m.babble)
	}
}

// sayAll says the digits with one of the voices, with gaps of random length
// before, between and after them, and lets the other voice fill the gaps.
func (w *speech) sayAll(digits string, l *language, m mixture) {
	voice := w.random.Uint32N(voices)
	says := new([maxDigits]say)[:len(digits)]
	free := len(w.mixed) - leadIn - leadOut
	for i := range says {
		says[i] = w.forward(l.clips[voice][digits[i]-'0'], m.digit)
		free -= says[i].length + minGap
	}
	shares := new([maxDigits + 1]int)[:len(digits)+1] // of what is free, for each gap
	total := 0
	for i := range shares {
		shares[i] = int(w.between(1, 8))
		total += shares[i]
	}
	position, gap := leadIn, breath
	for i := range says {
		position += free * shares[i] / total
		w.fill(gap, position, l, 1-voice, m.decoy)
		w.add(says[i], position)
		gap = position + says[i].length
		position = gap + minGap
	}
	w.fill(gap, len(w.mixed), l, 1-voice, m.decoy)
}

// fill says backward words from one sample to another, as many as fit.
func (w *speech) fill(from, to int, l *language, voice uint32, v volume) {
	for {
		digit := l.decoys[w.random.Uint32N(uint32(len(l.decoys)))] - '0'
		s := w.backward(l.clips[voice][digit], v)
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
		s := w.backward(l.clips[w.random.Uint32N(voices)][w.random.Uint32N(10)], v)
		w.addRough(s, from)
		from += s.length + int(w.between(0, breath))
	}
}
