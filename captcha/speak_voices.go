package captcha

import (
	"embed"
	"encoding/binary"
	"fmt"
	"slices"
)

// voiceFiles are the digits of each language, spoken by two voices; their
// format is in voices/README.md.
//
//go:embed voices/*.clips
var voiceFiles embed.FS

// languageTags are the languages that have a file.
var languageTags = []string{"en", "ar", "de", "es", "fr", "hi", "ja", "pt", "ru", "zh"}

// Languages are the languages that sounds can be spoken in, as BCP 47 tags,
// English first and the others by the alphabet.
func Languages() []string { return slices.Clone(languageTags) }

const (
	voices = 2
	// The shortest and the longest clip, in samples.
	minClip, maxClip = 800, 8000
)

// language is one language's clips, by voice and digit.
type language [voices][10]clip

// clip is one digit, forward and backward: signed samples of equal loudness,
// one more than are played.
type clip struct{ forward, backward []int8 }

func readLanguages() (map[string]*language, error) {
	languages := make(map[string]*language, len(languageTags))
	for _, tag := range languageTags {
		file, err := voiceFiles.ReadFile("voices/" + tag + ".clips")
		if err != nil {
			return nil, fmt.Errorf("captcha: language %s: %w", tag, err)
		}
		if languages[tag], err = parseLanguage(file); err != nil {
			return nil, fmt.Errorf("captcha: voices/%s.clips: %w", tag, err)
		}
	}
	return languages, nil
}

// parseLanguage reads a file of clips.
func parseLanguage(file []byte) (*language, error) {
	const header = voices * 10 * 2
	if len(file) < header {
		return nil, fmt.Errorf("%d bytes are too short for the lengths of the clips", len(file))
	}
	var l language
	rest := file[header:]
	for i := range voices * 10 {
		n := int(binary.BigEndian.Uint16(file[2*i:]))
		if n < minClip || n > maxClip {
			return nil, fmt.Errorf("clip %d: length %d is not within %d and %d", i, n, minClip, maxClip)
		}
		if n > len(rest) {
			return nil, fmt.Errorf("clip %d: %d of its %d samples are missing", i, n-len(rest), n)
		}
		l[i/10][i%10] = parseClip(rest[:n])
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last clip", len(rest))
	}
	return &l, nil
}

// parseClip reads unsigned samples, and puts a silent one behind them for what
// lies between the last and the next.
func parseClip(samples []byte) clip {
	c := clip{forward: make([]int8, len(samples)+1), backward: make([]int8, len(samples)+1)}
	for i, sample := range samples {
		c.forward[i] = int8(int(sample) - 128)
		c.backward[len(samples)-1-i] = c.forward[i]
	}
	return c
}
