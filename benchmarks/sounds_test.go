package benchmarks

import (
	"bytes"
	"regexp"
	"testing"
)

// BenchmarkSound makes one whole WAV file an operation. Ours includes issuing
// and opening the token.
func BenchmarkSound(b *testing.B) { run(b, Sounds(), "bytes/sound") }

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func TestEverySettingSpeaksSixFreshDigits(t *testing.T) {
	for _, setting := range Sounds() {
		t.Run(setting.Library+"/"+setting.Name, func(t *testing.T) {
			made := twice(t, setting)
			for _, s := range made {
				if len(s.File) < 44 || string(s.File[:4]) != "RIFF" || string(s.File[8:12]) != "WAVE" {
					t.Errorf("not a WAV file: % x", s.File[:min(len(s.File), 12)])
				}
				if !sixDigits.MatchString(s.Answer) {
					t.Errorf("answer %q", s.Answer)
				}
			}
			if bytes.Equal(made[0].File, made[1].File) {
				t.Error("two captchas are the same")
			}
		})
	}
}
