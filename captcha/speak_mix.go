package captcha

// say is one clip to be played: which, from where in it, how far to move in it
// for each sample, how loud, and for how long.
type say struct {
	clip   clip
	at     uint32 // in 1/unit of a sample
	step   int32  // likewise, below 0 for backward
	gain   int32  // in 1/256
	length int    // samples
}

// forward is the clip at a random speed and volume.
func (w *speech) forward(c clip, v volume) say {
	step := w.between(slowest, fastest)
	return say{clip: c, step: step, gain: w.between(v.low, v.high), length: (len(c) - 1) * unit / int(step)}
}

// backward is the clip from its end to its beginning.
func (w *speech) backward(c clip, v volume) say {
	s := w.forward(c, v)
	s.at, s.step = uint32(len(c)-1)*unit, -s.step
	return s
}

// between is a random number from low to high. All random numbers come from
// here or from Uint32N: IntN gives others where an int has 32 bits.
func (w *speech) between(low, high int32) int32 {
	return low + int32(w.random.Uint32N(uint32(high-low+1)))
}

// add plays a clip from the position on, as far as there is room.
func (w *speech) add(s say, position int) {
	mixed := w.mixed[position:min(position+s.length, len(w.mixed))]
	clip, at, step, gain := s.clip, s.at, uint32(s.step), s.gain
	for i := range mixed {
		p := clip[at/unit]
		mixed[i] += (int32(p.value) + int32(p.rise)*int32(at%unit>>8)) * gain
		at += step
	}
}

// addRough does the same without looking between the samples, in two thirds of
// the time. The noise that makes is far below the words in front.
func (w *speech) addRough(s say, position int) {
	mixed := w.mixed[position:min(position+s.length, len(w.mixed))]
	clip, at, step, gain := s.clip, s.at, uint32(s.step), s.gain
	for i := range mixed {
		mixed[i] += int32(clip[at/unit].value) * gain
		at += step
	}
}
