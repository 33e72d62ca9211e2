package captcha

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func mustSpeaker(t testing.TB) *speaker {
	t.Helper()
	s, err := newSpeaker()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSpeak(t testing.TB, s *speaker, seed byte, digits, language string, level Level) []byte {
	t.Helper()
	sound, err := s.speak([32]byte{seed}, digits, language, level)
	if err != nil {
		t.Fatal(err)
	}
	return sound
}

var allLevels = []Level{Easy, Normal, Hard}

func TestSoundIsAWaveFileOf8000BytesASecond(t *testing.T) {
	sound := mustSpeak(t, mustSpeaker(t), 1, "314159", "en", Normal)
	const samples = 4000 + 1000 + 6*10_500
	want := "RIFF" + "\xc4\x09\x01\x00" + "WAVE" + // 36 + samples
		"fmt " + "\x10\x00\x00\x00" + "\x01\x00" + "\x01\x00" + // PCM, mono
		"\x40\x1f\x00\x00" + "\x40\x1f\x00\x00" + "\x01\x00" + "\x08\x00" +
		"data" + "\xa0\x09\x01\x00"
	got := string(sound[:44])
	if len(sound) != 44+samples {
		t.Errorf("%d bytes, want %d", len(sound), 44+samples)
	}
	if n := int(binary.LittleEndian.Uint32(sound[4:])); n != len(sound)-8 {
		t.Errorf("RIFF says %d bytes of %d", n, len(sound)-8)
	}
	if n := int(binary.LittleEndian.Uint32(sound[40:])); n != len(sound)-44 {
		t.Errorf("data says %d bytes of %d", n, len(sound)-44)
	}
	if got != want {
		t.Errorf("header %x, want %x", got, want)
	}
}

// CAP-8: the hash was made on one machine and holds on all.
func TestSameArgumentsSpeakTheSameBytes(t *testing.T) {
	for range 2 {
		s := mustSpeaker(t)
		mustSpeak(t, s, 2, "00000000", "ar", Hard) // what the memory held before does not matter
		sum := sha256.Sum256(mustSpeak(t, s, 1, "314159", "en", Normal))
		if got, want := hex.EncodeToString(sum[:8]), "927ac0a2a917af91"; got != want {
			t.Errorf("sound %s, want %s", got, want)
		}
	}
}

func TestEveryArgumentChangesTheSound(t *testing.T) {
	s := mustSpeaker(t)
	first := mustSpeak(t, s, 1, "314159", "en", Normal)
	for name, other := range map[string][]byte{
		"seed":     mustSpeak(t, s, 2, "314159", "en", Normal),
		"digits":   mustSpeak(t, s, 1, "314158", "en", Normal),
		"language": mustSpeak(t, s, 1, "314159", "de", Normal),
		"level":    mustSpeak(t, s, 1, "314159", "en", Hard),
	} {
		if bytes.Equal(first, other) {
			t.Errorf("another %s has the same sound", name)
		}
		if len(first) != len(other) {
			t.Errorf("another %s has %d bytes instead of %d", name, len(other), len(first))
		}
	}
}

func TestEveryLanguageSpeaksEveryDigitWithinTheBudget(t *testing.T) {
	s := mustSpeaker(t)
	for _, language := range Languages() {
		for digit := range 10 {
			for _, n := range []int{4, 6, 8} {
				sound := mustSpeak(t, s, byte(digit), strings.Repeat(strconv.Itoa(digit), n), language, Normal)
				if len(sound) != waveHeader+soundLength(n) || len(sound) > 100<<10 {
					t.Errorf("%s, %d times %d: %d bytes", language, n, digit, len(sound))
				}
			}
		}
	}
}

func TestSoundsAreNotCutOff(t *testing.T) {
	s := mustSpeaker(t)
	cut, all := 0, 0
	for seed := range byte(8) {
		for _, language := range Languages() {
			sound := mustSpeak(t, s, seed, "0123456789"[seed%4:seed%4+6], language, Hard)[waveHeader:]
			cut += bytes.Count(sound, []byte{0}) + bytes.Count(sound, []byte{255})
			all += len(sound)
		}
	}
	if cut*10_000 > all {
		t.Errorf("%d of %d samples are at the limit", cut, all)
	}
}

// The least differences are for people: see voices/README.md for the means.
func TestDigitsStandOutOfWhatSoundsTogetherWithThem(t *testing.T) {
	s := mustSpeaker(t)
	var digits, rest speech
	for _, w := range []*speech{&digits, &rest} {
		*w = *s.pool.New().(*speech)
	}
	for level, least := range map[Level]float64{Easy: 10, Normal: 7, Hard: 3.5} {
		for tag, language := range s.languages {
			var loud, quiet float64
			for seed := range byte(5) {
				m := mixtures[level]
				spoken := "0123456789"[seed%5 : seed%5+6]
				digits.mix([32]byte{seed}, spoken, language, mixture{digit: m.digit})
				rest.mix([32]byte{seed}, spoken, language, mixture{decoy: m.decoy, babble: m.babble})
				a, b := powers(digits.mixed, rest.mixed)
				loud, quiet = loud+a, quiet+b
			}
			if db := 10 * math.Log10(loud/quiet); db < least {
				t.Errorf("%v, %s: %.1f dB, want %.1f", level, tag, db, least)
			}
		}
	}
}

// powers adds up the squares of both, in those 20 ms in which the digits are
// heard.
func powers(digits, rest []int32) (loud, quiet float64) {
	const frame = sampleRate / 50
	for from := 0; from+frame <= len(digits); from += frame {
		var a, b float64
		for i := from; i < from+frame; i++ {
			a += math.Pow(float64(digits[i])/unit, 2)
			b += math.Pow(float64(rest[i])/unit, 2)
		}
		if a > 16*frame {
			loud, quiet = loud+a, quiet+b
		}
	}
	return loud, quiet
}

func TestWhatCannotBeSpokenIsAnError(t *testing.T) {
	s := mustSpeaker(t)
	for name, c := range map[string]struct {
		digits, language string
		level            Level
		want             string
	}{
		"unknown language": {"123456", "tlh", Normal, `language "tlh"`},
		"no language":      {"123456", "", Normal, `language ""`},
		"region":           {"123456", "en-GB", Normal, `language "en-GB"`},
		"letter":           {"12345a", "en", Normal, "digits: byte 5"},
		"other digit":      {"12345\u0663", "en", Normal, "digits: byte 5"},
		"too few":          {"123", "en", Normal, "digits: 3"},
		"too many":         {"123456789", "en", Normal, "digits: 9"},
		"none":             {"", "en", Normal, "digits: 0"},
		"level":            {"123456", "en", 4, "level 4"},
		"no level":         {"123456", "en", 0, "level 0"},
	} {
		sound, err := s.speak([32]byte{}, c.digits, c.language, c.level)
		if sound != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes, error %v, want one with %q", name, len(sound), err, c.want)
		}
	}
}

func TestMalformedClipsAreAnError(t *testing.T) {
	good, err := voiceFiles.ReadFile("voices/en.clips")
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b byte) []byte {
		file := bytes.Clone(good)
		file[at] = b
		return file
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":         {nil, "0 bytes are too short"},
		"only lengths":  {good[:40], "clip 0"},
		"short":         {good[:len(good)-1], "clip 19: 1 of"},
		"long":          {append(bytes.Clone(good), 0), "1 bytes follow"},
		"short clip":    {change(2, 0), "clip 1: length"},
		"long clip":     {change(38, 0xff), "clip 19: length"},
		"other lengths": {change(4, good[4]+1), "clip 19: 256 of"},
	} {
		if _, err := parseClips(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestVoicesAreSmallAndEachHasAName(t *testing.T) {
	size, files := 0, map[string]bool{}
	entries, err := fs.ReadDir(voiceFiles, "voices")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
		files[e.Name()] = true
	}
	if size > 3<<19 {
		t.Errorf("%d bytes of voices, at most 1.5 MiB", size)
	}
	tags := Languages()
	if len(tags) != len(files) || tags[0] != "en" {
		t.Errorf("languages %v for %d files", tags, len(files))
	}
	for _, tag := range tags {
		if !files[tag+".clips"] {
			t.Errorf("%s has no file", tag)
		}
	}
	tags[0] = "changed"
	if Languages()[0] != "en" {
		t.Error("a caller changed the languages")
	}
}

func TestOneSpeakerServesManyAtOnce(t *testing.T) {
	s := mustSpeaker(t)
	var group sync.WaitGroup
	for i := range byte(8) {
		language := Languages()[i]
		want := mustSpeak(t, s, i, "271828", language, Normal)
		group.Go(func() {
			for range 10 {
				if got, err := s.speak([32]byte{i}, "271828", language, Normal); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: another sound, error %v", language, err)
				}
			}
		})
	}
	group.Wait()
}

func TestSoundTakesFewAllocations(t *testing.T) {
	s := mustSpeaker(t)
	if n := testing.AllocsPerRun(20, func() { mustSpeak(t, s, 1, "314159", "en", Normal) }); n > 6 {
		t.Errorf("%v allocations, at most 6", n)
	}
}

func BenchmarkSpeak(b *testing.B) {
	s := mustSpeaker(b)
	for _, level := range allLevels {
		b.Run(level.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustSpeak(b, s, 1, "314159", "en", level)
			}
		})
	}
}
