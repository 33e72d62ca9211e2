package captcha

import "encoding/binary"

// waveHeader is the length of what stands before the samples in a WAV file.
const waveHeader = 44

// noiseGain is how loud the noise is: of a random signed byte, in 1/65536. It
// has an effective value of 2 of 128.
const noiseGain = 1800

// wave writes what was mixed as a WAV file, with a little noise.
func (w *speech) wave() []byte {
	file := make([]byte, waveHeader+len(w.mixed))
	copy(file, "RIFF????WAVEfmt ????????????????????data")
	little := binary.LittleEndian
	little.PutUint32(file[4:], uint32(len(file)-8))
	little.PutUint32(file[16:], 16)         // bytes of the format
	little.PutUint16(file[20:], 1)          // PCM
	little.PutUint16(file[22:], 1)          // channel
	little.PutUint32(file[24:], sampleRate) // samples a second
	little.PutUint32(file[28:], sampleRate) // bytes a second
	little.PutUint16(file[32:], 1)          // bytes a sample
	little.PutUint16(file[34:], 8)          // bits a sample
	little.PutUint32(file[40:], uint32(len(w.mixed)))

	samples := file[waveHeader:]
	_, _ = w.source.Read(samples) // never fails
	for i, value := range w.mixed {
		value += int32(int8(samples[i])) * noiseGain
		samples[i] = byte(min(max((value+unit/2)>>16, -128), 127) + 128)
	}
	return file
}
