package captcha_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/captcha-gate/captcha-gate/captcha"
)

// quick is a puzzle that a test can solve.
const quick = 100 * time.Millisecond

func mustSolve(t testing.TB, p *captcha.Puzzle) string {
	t.Helper()
	if p == nil {
		t.Fatal("no puzzle")
		return ""
	}
	solution, err := p.Solve()
	if err != nil {
		t.Fatal(err)
	}
	return solution
}

func issueSpec(t testing.TB, m *captcha.Maker, spec captcha.Spec) (captcha.Challenge, captcha.Claims) {
	t.Helper()
	challenge, err := m.Issue(spec, loginScope)
	if err != nil {
		t.Fatal(err)
	}
	return challenge, mustUnpack(t, m, challenge.Token)
}

func TestEveryKindIsJudged(t *testing.T) {
	other := strings.Repeat("A", 342)
	for name, c := range map[string]struct {
		spec          captcha.Spec
		answer, solve bool   // rightly
		wrongAnswer   string // otherwise
		wrongWork     string
		want          error
		spent         int
	}{
		"picture":                    {spec: captcha.Spec{Kind: captcha.Image}, answer: true, spent: 1},
		"sound":                      {spec: captcha.Spec{Kind: captcha.Audio}, answer: true, spent: 1},
		"sound, wrong":               {spec: captcha.Spec{Kind: captcha.Audio}, wrongAnswer: "12345", want: captcha.ErrWrong, spent: 1},
		"sound, unanswered":          {spec: captcha.Spec{Kind: captcha.Audio}, want: captcha.ErrIncomplete},
		"puzzle":                     {spec: captcha.Spec{Kind: captcha.Work, Work: quick}, solve: true, spent: 1},
		"puzzle and an answer":       {spec: captcha.Spec{Kind: captcha.Work, Work: quick}, solve: true, wrongAnswer: "ACD39", spent: 1},
		"puzzle, unsolved":           {spec: captcha.Spec{Kind: captcha.Work, Work: quick}, wrongAnswer: "ACD39", want: captcha.ErrIncomplete},
		"puzzle, wrong":              {spec: captcha.Spec{Kind: captcha.Work, Work: quick}, wrongWork: other, want: captcha.ErrWrong, spent: 1},
		"picture and puzzle":         {spec: captcha.Spec{Kind: captcha.Image, Work: quick}, answer: true, solve: true, spent: 1},
		"sound and puzzle":           {spec: captcha.Spec{Kind: captcha.Audio, Work: quick}, answer: true, solve: true, spent: 1},
		"picture without its puzzle": {spec: captcha.Spec{Kind: captcha.Image, Work: quick}, answer: true, want: captcha.ErrIncomplete},
		"picture, puzzle wrong":      {spec: captcha.Spec{Kind: captcha.Image, Work: quick}, answer: true, wrongWork: other, want: captcha.ErrWrong, spent: 1},
		"puzzle, picture wrong":      {spec: captcha.Spec{Kind: captcha.Image, Work: quick}, solve: true, wrongAnswer: "ZZZZZ", want: captcha.ErrWrong, spent: 1},
		"puzzle for a picture":       {spec: captcha.Spec{Kind: captcha.Image, Work: quick}, solve: true, want: captcha.ErrIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			challenge, claims := issueSpec(t, m, c.spec)
			r := captcha.Response{Token: challenge.Token, Answer: c.wrongAnswer, Work: c.wrongWork}
			if c.answer {
				r.Answer = claims.Answer
			}
			if c.solve {
				r.Work = mustSolve(t, challenge.Puzzle)
			}
			var store spentOnce
			if err := m.Check(r, loginScope, store.spend); err != c.want || store.calls != c.spent {
				t.Errorf("%v, spent %d times; want %v and %d", err, store.calls, c.want, c.spent)
			}
		})
	}
}

// The solution of one challenge is worth nothing for another, and the pieces of
// a puzzle not for each other.
func TestCAP5_SolutionsDoNotMove(t *testing.T) {
	m := newMaker(t)
	spec := captcha.Spec{Kind: captcha.Work, Work: quick}
	first, _ := issueSpec(t, m, spec)
	second, _ := issueSpec(t, m, spec)
	good := mustSolve(t, first.Puzzle)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	turned := append(append([]byte(nil), raw[4:]...), raw[:4]...)
	once := []byte(strings.Repeat(string(raw[:4]), len(raw)/4))
	encode := base64.RawURLEncoding.EncodeToString
	for name, r := range map[string]captcha.Response{
		"another challenge's": {Token: second.Token, Work: good},
		"pieces moved on":     {Token: first.Token, Work: encode(turned)},
		"one piece for all":   {Token: first.Token, Work: encode(once)},
		"cut":                 {Token: first.Token, Work: encode(raw[:len(raw)-4])},
		"a piece too many":    {Token: first.Token, Work: encode(append(raw, 0, 0, 0, 0))},
		"padded":              {Token: first.Token, Work: base64.URLEncoding.EncodeToString(raw)},
		"a line end within":   {Token: first.Token, Work: good[:100] + "\n" + good[101:]},
		"no base64":           {Token: first.Token, Work: strings.Repeat("!", len(good))},
		"very long":           {Token: first.Token, Work: strings.Repeat(good, 100)},
	} {
		if err := m.Check(r, loginScope, new(spentOnce).spend); err != captcha.ErrWrong {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Check(captcha.Response{Token: first.Token, Work: good}, loginScope, new(spentOnce).spend); err != nil {
		t.Errorf("the solution itself: %v", err)
	}
}

func TestPuzzlesGrowWithTheTimeAsked(t *testing.T) {
	m := newMaker(t)
	tries := func(work time.Duration) float64 {
		challenge, _ := issueSpec(t, m, captcha.Spec{Kind: captcha.Work, Work: work})
		return float64(challenge.Puzzle.Count) * math.MaxUint32 / float64(challenge.Puzzle.Threshold)
	}
	base := tries(quick)
	for _, factor := range []time.Duration{2, 10, 150, 1200} {
		if got := tries(quick*factor) / base; math.Abs(got/float64(factor)-1) > 0.001 {
			t.Errorf("%v asks %.2f times as many tries as %v", quick*factor, got, quick)
		}
	}
	if first, _ := issueSpec(t, m, captcha.Spec{Kind: captcha.Image}); first.Puzzle != nil {
		t.Error("a picture has a puzzle that nobody asked for")
	}
}

// What the page's script reads.
func TestPuzzlesAreWrittenAsJSON(t *testing.T) {
	b, err := json.Marshal(captcha.Puzzle{Algorithm: "sha-256", Seed: "00ff", Count: 64, Threshold: 7})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"algorithm":"sha-256","seed":"00ff","count":64,"threshold":7}`; string(b) != want {
		t.Errorf("%s; want %s", b, want)
	}
}

func TestMalformedPuzzlesAreNotSolved(t *testing.T) {
	good := captcha.Puzzle{Seed: strings.Repeat("0", 32), Count: 1, Threshold: math.MaxUint32}
	if _, err := good.Solve(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*captcha.Puzzle){
		"no threshold": func(p *captcha.Puzzle) { p.Threshold = 0 },
		"short seed":   func(p *captcha.Puzzle) { p.Seed = p.Seed[2:] },
		"no hex":       func(p *captcha.Puzzle) { p.Seed = strings.Repeat("x", 32) },
		"negative":     func(p *captcha.Puzzle) { p.Count = -1 },
		"endless":      func(p *captcha.Puzzle) { p.Count = 1 << 20 },
	} {
		p := good
		change(&p)
		if solution, err := p.Solve(); err == nil {
			t.Errorf("%s: %q", name, solution)
		}
	}
}

func TestResponsesAreNeverShown(t *testing.T) {
	m := newMaker(t)
	token, answer := solved(t, m)
	r := captcha.Response{Token: token, Answer: answer, Work: "nonces"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, text := range []string{fmt.Sprintf(verb, r), fmt.Sprintf(verb, &r)} {
			for _, secret := range []string{token, answer, "nonces"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s shows %q: %s", verb, secret, text)
				}
			}
		}
	}
}

// A speech is another challenge than a picture, with an answer of its own.
func TestCAP11_SoundsSpeakDigits(t *testing.T) {
	m := newMaker(t)
	for _, language := range append(captcha.Languages(), "") {
		challenge, claims := issueSpec(t, m, captcha.Spec{Kind: captcha.Audio, Language: language})
		if len(claims.Answer) != 6 || strings.Trim(claims.Answer, "0123456789") != "" {
			t.Errorf("%q: answer %q", language, claims.Answer)
		}
		if want := language; claims.Language != want && (want != "" || claims.Language != "en") {
			t.Errorf("%q: spoken in %q", language, claims.Language)
		}
		if challenge.Kind != captcha.Audio || claims.Kind != captcha.Audio {
			t.Errorf("%q: kind %v, %v", language, challenge.Kind, claims.Kind)
		}
		sound := mustRender(t, m, challenge.Token)
		if string(sound[:4]) != "RIFF" || len(sound) > 100<<10 {
			t.Errorf("%q: %d bytes that begin with %q", language, len(sound), sound[:4])
		}
	}
}

// CAP-3: what a token is, nothing else decides.
func TestCAP3_LevelAndKindAreSealed(t *testing.T) {
	m := newMaker(t, func(o *captcha.Options) { o.Level = captcha.Easy })
	for _, level := range []captcha.Level{0, captcha.Easy, captcha.Normal, captcha.Hard} {
		challenge, claims := issueSpec(t, m, captcha.Spec{Kind: captcha.Image, Level: level})
		want := level
		if level == 0 {
			want = captcha.Easy
		}
		if challenge.Level != want || claims.Level != want {
			t.Errorf("%v: issued %v, claims %v", level, challenge.Level, claims.Level)
		}
	}
}
