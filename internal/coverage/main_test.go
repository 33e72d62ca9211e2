package main

import (
	"slices"
	"strings"
	"testing"
)

func TestStatementsCountOnceHoweverManyProgramsHoldThem(t *testing.T) {
	files, err := read(strings.NewReader(strings.ReplaceAll(`mode: atomic
MODULEcaptcha/draw.go:1.2,3.4 3 0
MODULEcaptcha/draw.go:5.2,6.4 1 7
MODULEcaptcha/draw.go:1.2,3.4 3 2
MODULEcaptcha/draw.go:5.2,6.4 1 0
MODULEcaptcha/draw.go:8.2,9.4 4 0
MODULEcaptcha/png.go:1.2,3.4 2 0
MODULEcmd/caddy/main.go:1.2,3.4 9 0
MODULEcaddymodule/internal/state/statetest/model.go:1.2,3.4 9 0
`, "MODULE", module)))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || *files["captcha/draw.go"] != (tally{4, 8}) || *files["captcha/png.go"] != (tally{0, 2}) {
		t.Errorf("%v", files)
	}
}

func TestAProfileWithoutFiguresIsRefused(t *testing.T) {
	for name, profile := range map[string]string{
		"empty":        "mode: atomic\n",
		"not a number": module + "captcha/draw.go:1.2,3.4 x 0\n",
		"only helpers": module + "cmd/caddy/main.go:1.2,3.4 9 1\n",
	} {
		if _, err := read(strings.NewReader(profile)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatIsBelowItsFloorIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]*tally
		low   []string
		says  string
	}{
		"all well":          {map[string]*tally{"captcha/a.go": {95, 100}, "senders/b.go": {90, 100}}, nil, "  92.5 %    200  all"},
		"a dear package":    {map[string]*tally{"captcha/a.go": {94, 100}, "senders/b.go": {100, 100}}, []string{"captcha"}, "  94.0 %    100      a.go"},
		"together too few":  {map[string]*tally{"senders/b.go": {89, 100}}, []string{"all"}, "  89.0 %    100  senders"},
		"a file, no matter": {map[string]*tally{"captcha/a.go": {1, 2}, "captcha/b.go": {100, 100}}, nil, "  50.0 %      2      a.go"},
	} {
		var out strings.Builder
		if low := report(&out, c.files); !slices.Equal(low, c.low) {
			t.Errorf("%s: below the floor %v", name, low)
		}
		if !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: no %q in\n%s", name, c.says, &out)
		}
	}
}
