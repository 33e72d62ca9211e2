package benchmarks

import (
	"bytes"
	"image"
	_ "image/jpeg"
	"image/png"
	"testing"
)

// BenchmarkPicture makes one whole picture an operation: a fresh answer, drawn
// and encoded. Ours includes issuing and opening the token.
func BenchmarkPicture(b *testing.B) { run(b, Pictures(), "bytes/picture") }

func run(b *testing.B, settings []Setting, unit string) {
	for _, setting := range settings {
		b.Run(setting.Library+"/"+setting.Name, func(b *testing.B) {
			g, err := setting.New()
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close()
			b.ReportAllocs()
			size, made := 0, 0
			for b.Loop() {
				sample, err := g.Next()
				if err != nil {
					b.Fatal(err)
				}
				size += sample.Size()
				made++
			}
			b.ReportMetric(float64(size)/float64(made), unit)
		})
	}
}

// twice makes two captchas of a setting and returns copies of them.
func twice(t *testing.T, setting Setting) [2]Sample {
	t.Helper()
	g, err := setting.New()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var made [2]Sample
	for i := range made {
		s, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		made[i] = Sample{s.Answer, bytes.Clone(s.File), bytes.Clone(s.Prompt)}
	}
	return made
}

func TestEverySettingDrawsFreshPicturesOfItsSize(t *testing.T) {
	sizes := map[string]image.Point{
		"normal-240x80-2x": {480, 160},
		"string-240x60":    {240, 60},
		"click-300x220":    {300, 220},
	}
	for _, setting := range Pictures() {
		t.Run(setting.Library+"/"+setting.Name, func(t *testing.T) {
			want, special := sizes[setting.Name]
			if !special {
				want = image.Pt(240, 80)
			}
			made := twice(t, setting)
			for _, s := range made {
				picture, _, err := image.Decode(bytes.NewReader(s.File))
				if err != nil {
					t.Fatal(err)
				}
				if got := picture.Bounds().Size(); got != want {
					t.Errorf("size %v, want %v", got, want)
				}
				if s.Answer == "" {
					t.Error("no answer")
				}
			}
			if bytes.Equal(made[0].File, made[1].File) {
				t.Error("two captchas are the same")
			}
		})
	}
}

func TestGoCaptchaShowsWhatToClick(t *testing.T) {
	for _, s := range twice(t, Setting{New: GoCaptcha}) {
		prompt, err := png.Decode(bytes.NewReader(s.Prompt))
		if err != nil {
			t.Fatal(err)
		}
		if got := prompt.Bounds().Size(); got != image.Pt(150, 40) {
			t.Errorf("size %v", got)
		}
		if len(s.Answer) < 2 || len(s.Answer) > 4 {
			t.Errorf("%q to click on", s.Answer)
		}
	}
}
