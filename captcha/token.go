package captcha

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

const (
	digestLength = 16
	fixedLength  = 1 + 1 + 4 + 16 + 8 + digestLength
	maxText      = 255
)

// content is what a token holds, beside what the seal authenticates.
type content struct {
	kind      Kind
	level     Level
	threshold uint32 // of the puzzle; 0 if there is none
	epoch     [16]byte
	expires   time.Time
	binding   [digestLength]byte
	purpose   string
	answer    string
	language  string
}

// encode lays the fields out: kind, level, threshold, epoch, end in Unix
// milliseconds, binding, then the texts, each after its length (CAP-5).
func encode(c content) []byte {
	b := make([]byte, 0, fixedLength+3+len(c.purpose)+len(c.answer)+len(c.language))
	b = append(b, byte(c.kind), byte(c.level))
	b = binary.BigEndian.AppendUint32(b, c.threshold)
	b = append(b, c.epoch[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.expires.UnixMilli()))
	b = append(b, c.binding[:]...)
	for _, text := range []string{c.purpose, c.answer, c.language} {
		b = append(b, byte(len(text)))
		b = append(b, text...)
	}
	return b
}

// decode reads what encode wrote and nothing else.
func decode(b []byte) (c content, ok bool) {
	if len(b) < fixedLength {
		return content{}, false
	}
	c.kind, c.level = Kind(b[0]), Level(b[1])
	c.threshold = binary.BigEndian.Uint32(b[2:])
	c.epoch = [16]byte(b[6:])
	c.expires = time.UnixMilli(int64(binary.BigEndian.Uint64(b[22:])))
	c.binding = [digestLength]byte(b[30:])
	rest := b[fixedLength:]
	for _, to := range []*string{&c.purpose, &c.answer, &c.language} {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return content{}, false
		}
		n := 1 + int(rest[0])
		*to, rest = string(rest[1:n]), rest[n:]
	}
	return c, len(rest) == 0
}

// digest is the start of a hash over the fields of the binding. The browser id
// has a fixed length, so the network cannot run into it.
func (b Binding) digest() [digestLength]byte {
	text := make([]byte, 0, 64)
	text = append(text, "captcha-gate/1/binding"...)
	text = append(text, b.Browser[:]...)
	text = append(text, b.Network...)
	sum := sha256.Sum256(text)
	return [digestLength]byte(sum[:])
}
