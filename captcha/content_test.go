package captcha

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var contents = []content{
	{},
	{kind: Image, level: Hard, epoch: [16]byte{1}, expires: time.UnixMilli(1780315500123), binding: [16]byte{2}, purpose: "login", answer: "ACD39"},
	{kind: Audio, level: Easy, threshold: 1 << 31, purpose: "login", answer: "123456", language: "en"},
	{kind: 255, purpose: strings.Repeat("p", 255), answer: strings.Repeat("A", 255), language: strings.Repeat("l", 255), expires: time.UnixMilli(-1)},
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	for _, c := range contents {
		if c.expires.IsZero() {
			c.expires = time.UnixMilli(0)
		}
		got, ok := decode(encode(c))
		if !ok || got != c {
			t.Errorf("%+v, %v; want %+v", got, ok, c)
		}
	}
}

func TestCAP5_CharactersDoNotMoveBetweenFields(t *testing.T) {
	seen := map[string]content{}
	for _, c := range []content{
		{purpose: "login", answer: "ACD39"},
		{purpose: "loginA", answer: "CD39"},
		{purpose: "logi", answer: "nACD39"},
		{purpose: "loginACD39"},
		{answer: "loginACD39"},
		{language: "loginACD39"},
		{purpose: "login", answer: "ACD3", language: "9"},
	} {
		b := string(encode(c))
		if other, twice := seen[b]; twice {
			t.Errorf("%+v and %+v are the same", other, c)
		}
		seen[b] = c
	}
}

func TestCAP5_BindingsOfDifferentFieldsDiffer(t *testing.T) {
	seen := map[[digestLength]byte]Binding{}
	for _, b := range []Binding{
		{}, {Network: "1"}, {Network: "11"}, {Network: "\x00"}, {Browser: [16]byte{15: '1'}}, {Browser: [16]byte{15: '1'}, Network: "1"},
		{Browser: [16]byte{1}}, {Browser: [16]byte{15: 1}},
	} {
		if other, twice := seen[b.digest()]; twice {
			t.Errorf("%q and %q are bound alike", other, b)
		}
		seen[b.digest()] = b
	}
}

func TestDecodeRefusesCutAndGrownContent(t *testing.T) {
	for _, c := range contents {
		b := encode(c)
		for n := range b {
			if got, ok := decode(b[:n]); ok {
				t.Errorf("cut to %d of %d bytes: %+v", n, len(b), got)
			}
		}
		if got, ok := decode(append(b, 0)); ok {
			t.Errorf("a byte too many: %+v", got)
		}
	}
}

// FuzzDecode: every content has one encoding. The seal keeps strangers from
// getting here; this is for the day when it does not.
func FuzzDecode(f *testing.F) {
	for _, c := range contents {
		f.Add(encode(c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := decode(b)
		if ok && !bytes.Equal(encode(c), b) {
			t.Errorf("%x is read as %+v, which is written as %x", b, c, encode(c))
		}
	})
}
