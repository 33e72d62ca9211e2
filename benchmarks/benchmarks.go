// Package benchmarks runs Captcha Gate's captcha and the Go libraries of the
// same kind side by side. It is a module of its own, so that users of Captcha
// Gate never download those libraries; their versions are in go.mod.
//
//	go test -run '^$' -bench . -cpu 1 -count 1 .   one captcha per operation
//	go run ./report                                a table and a chart of the results
//	go run ./samples                               labelled captchas, to try readers on
//	go run ./sheet                                 a sheet that shows what each one draws
//
// The whole gate beside other gates is another matter: gate.
//
// Repeat the whole run rather than raise -count, which repeats one benchmark at
// once: what else the machine does then meets all libraries alike. With -cpu 1
// a library pays for its own garbage. report takes the runs one after the other.
//
// Everything goes through Pictures and Sounds: what is measured is also what is
// sampled and shown.
package benchmarks

// Sample is one captcha.
type Sample struct {
	// Answer is what the visitor should type; of go-captcha, what to click on.
	Answer string
	// File is a PNG, a JPEG (of go-captcha) or a WAV. It is good until the next
	// captcha is made.
	File []byte
	// Prompt is a second picture, PNG, that says what to do in the first one;
	// of go-captcha only.
	Prompt []byte
}

// Size in bytes of everything that a browser loads.
func (s Sample) Size() int { return len(s.File) + len(s.Prompt) }

// Generator makes captchas of one setting. It is for one goroutine.
type Generator struct {
	// Next draws a fresh answer, makes its captcha and encodes it.
	Next func() (Sample, error)
	// Close frees what the generator holds.
	Close func()
}

// Setting is a library, set up in one way.
type Setting struct {
	// Library and Name are its name in the benchmarks' names. A name does not
	// end in "-" and digits, which is how the testing package adds the number
	// of processors.
	Library, Name string
	// New sets the library up; what it does is not measured.
	New func() (Generator, error)
}

// Library is what people know a library as.
type Library struct {
	// Title of tables and charts.
	Title string
	// Module is the path of the Go module.
	Module string
}

// Ours is the key in Libraries that the others are compared with.
const Ours = "ours"

// Libraries by their names in the benchmarks' names.
var Libraries = map[string]Library{
	Ours:            {"Captcha Gate", "github.com/captcha-gate/captcha-gate"},
	"dchest":        {"dchest/captcha", "github.com/dchest/captcha"},
	"base64Captcha": {"mojocn/base64Captcha", "github.com/mojocn/base64Captcha"},
	"steambap":      {"steambap/captcha", "github.com/steambap/captcha"},
	"afocus":        {"afocus/captcha", "github.com/afocus/captcha"},
	"go-captcha":    {"wenlng/go-captcha", "github.com/wenlng/go-captcha/v2"},
}

// The size of pictures in CSS pixels and the length of answers, wherever a
// library lets us choose.
const (
	width, height = 240, 80
	length        = 6
)

// Pictures returns the settings that make pictures, ours first.
func Pictures() []Setting {
	return []Setting{
		{Ours, "normal-240x80-1x", OurPictures(OurOptions{Level: normal, Density: 1, Length: length})},
		{Ours, "normal-240x80-2x", OurPictures(OurOptions{Level: normal, Density: 2, Length: length})},
		{"dchest", "6-digits-240x80", Dchest},
		{"base64Captcha", "5-digits-240x80", Base64Digits},
		{"base64Captcha", "string-240x60", Base64String(240, 60, false)},
		{"base64Captcha", "string-240x80", Base64String(width, height, false)},
		{"base64Captcha", "string-all-noise-240x80", Base64String(width, height, true)},
		{"steambap", "6-characters-240x80", Steambap},
		{"afocus", "6-characters-240x80", Afocus},
		{"go-captcha", "click-300x220", GoCaptcha},
	}
}

// Sounds returns the settings that make sounds, all of six English digits, ours
// first.
func Sounds() []Setting {
	return []Setting{
		{Ours, "normal-en", OurSounds(normal)},
		{"dchest", "en", DchestSound},
		{"base64Captcha", "en", Base64Sound},
	}
}
