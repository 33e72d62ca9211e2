package captcha

import (
	"embed"
	"encoding/binary"
	"fmt"
)

// voiceFiles are the digits of each language, spoken by two voices; their
// format is in voices/README.md.
//
//go:embed voices/*.clips
var voiceFiles embed.FS

// languageDecoys are the languages that have a file, and the digits that are no
// digits when spoken backward. The others are nearly the same both ways, such
// as nine.
var languageDecoys = []struct{ tag, decoys string }{
	{"en", "012345678"},
	{"ar", "012456789"},
	{"de", "01234678"},
	{"es", "0234579"},
	{"fr", "02345789"},
	{"hi", "012345678"},
	{"ja", "02345689"},
	{"pt", "0234579"},
	{"ru", "0123456789"},
	{"zh", "0234679"},
}

// Languages are the languages that sounds can be spoken in, as BCP 47 tags:
// English, then the others by the alphabet.
func Languages() []string {
	tags := make([]string, len(languageDecoys))
	for i, l := range languageDecoys {
		tags[i] = l.tag
	}
	return tags
}

const (
	voices = 2
	// The shortest and the longest clip, in samples. Eight of the longest still
	// fit into a sound.
	minClip, maxClip = 800, 7500
)

// language is one language's clips, by voice and digit, and the digits that
// are said backward between those that are to be typed.
type language struct {
	clips  [voices][10]clip
	decoys string
}

// clip is one digit. All clips are equally loud.
type clip []sample

// sample is a value, in 1/256 of an 8 bit one, and by how many 8 bit units the
// next one is higher: all that is needed to play what lies between the two.
type sample struct{ value, rise int16 }

func readLanguages() (map[string]*language, error) {
	languages := make(map[string]*language, len(languageDecoys))
	for _, l := range languageDecoys {
		file, err := voiceFiles.ReadFile("voices/" + l.tag + ".clips")
		if err != nil {
			return nil, fmt.Errorf("captcha: language %s: %w", l.tag, err)
		}
		clips, err := parseClips(file)
		if err != nil {
			return nil, fmt.Errorf("captcha: voices/%s.clips: %w", l.tag, err)
		}
		languages[l.tag] = &language{clips, l.decoys}
	}
	return languages, nil
}

// parseClips reads a file of clips.
func parseClips(file []byte) (clips [voices][10]clip, err error) {
	const header = voices * 10 * 2
	if len(file) < header {
		return clips, fmt.Errorf("%d bytes are too short for the lengths of the clips", len(file))
	}
	rest := file[header:]
	for i := range voices * 10 {
		n := int(binary.BigEndian.Uint16(file[2*i:]))
		if n < minClip || n > maxClip {
			return clips, fmt.Errorf("clip %d: length %d is not within %d and %d", i, n, minClip, maxClip)
		}
		if n > len(rest) {
			return clips, fmt.Errorf("clip %d: %d of its %d samples are missing", i, n-len(rest), n)
		}
		clips[i/10][i%10] = parseClip(rest[:n])
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return clips, fmt.Errorf("%d bytes follow the last clip", len(rest))
	}
	return clips, nil
}

// parseClip reads unsigned samples. The last has nothing to rise to.
func parseClip(samples []byte) clip {
	c := make(clip, len(samples))
	for i, s := range samples {
		c[i].value = (int16(s) - 128) << 8
		if i > 0 {
			c[i-1].rise = int16(s) - int16(samples[i-1])
		}
	}
	return c
}
