package captcha_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/captcha"
)

func TestNewRefusesOptionsByName(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*captcha.Options)
		want   string
	}{
		"no secret":       {func(o *captcha.Options) { o.Secrets = nil }, "secrets: no secret"},
		"short secret":    {func(o *captcha.Options) { o.Secrets[0] = o.Secrets[0][:31] }, "secrets: secret 1 has 31 bytes"},
		"length 3":        {func(o *captcha.Options) { o.Length = 3 }, "length: 3 is not within 4 and 8"},
		"length 9":        {func(o *captcha.Options) { o.Length = 9 }, "length: 9"},
		"length -1":       {func(o *captcha.Options) { o.Length = -1 }, "length: -1"},
		"lifetime -1":     {func(o *captcha.Options) { o.Lifetime = -1 }, "lifetime: -1ns is not within 1s and 1h0m0s"},
		"lifetime 999ms":  {func(o *captcha.Options) { o.Lifetime = 999 * time.Millisecond }, "lifetime: 999ms"},
		"lifetime 1h1ns":  {func(o *captcha.Options) { o.Lifetime = time.Hour + 1 }, "lifetime: 1h0m0.000000001s"},
		"width 119":       {func(o *captcha.Options) { o.Width = 119 }, "width: 119 is not within 120 and 600"},
		"width 601":       {func(o *captcha.Options) { o.Width = 601 }, "width: 601"},
		"width for 8":     {func(o *captcha.Options) { o.Width, o.Length = 191, 8 }, "width: 191 is too narrow for 8 characters; they need 192"},
		"height 39":       {func(o *captcha.Options) { o.Height = 39 }, "height: 39 is not within 40 and 240"},
		"height 241":      {func(o *captcha.Options) { o.Height = 241 }, "height: 241"},
		"lines -1":        {func(o *captcha.Options) { o.Noise = &captcha.Noise{Lines: -1} }, "noise lines: -1"},
		"lines 51":        {func(o *captcha.Options) { o.Noise = &captcha.Noise{Lines: 51} }, "noise lines: 51 is not within 0 and 50"},
		"dots 501":        {func(o *captcha.Options) { o.Noise = &captcha.Noise{Dots: 501} }, "noise dots: 501"},
		"arcs 51":         {func(o *captcha.Options) { o.Noise = &captcha.Noise{Arcs: 51} }, "noise arcs: 51"},
		"cache -1":        {func(o *captcha.Options) { o.CacheBytes = -1 }, "cache bytes: must not be negative"},
		"space":           {func(o *captcha.Options) { o.Alphabet = "ACDEF HJKLM" }, "alphabet: ' ' is no letter or digit of ASCII"},
		"umlaut":          {func(o *captcha.Options) { o.Alphabet = "ACDEFÄHJKLM" }, "alphabet: 'Ä' is no letter"},
		"long s":          {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKLMſ" }, "alphabet: 'ſ' is no letter"},
		"bad UTF-8":       {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKLM\xff" }, "alphabet: '\uFFFD' is no letter"},
		"twice":           {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKLMA" }, "alphabet: 'A' stands there twice"},
		"twice by case":   {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKLMa" }, "alphabet: 'A' stands there twice"},
		"0 and O":         {func(o *captcha.Options) { o.Alphabet = "ACEFHJKLM0O" }, "alphabet: '0' and 'O' look alike"},
		"q and D by case": {func(o *captcha.Options) { o.Alphabet = "qACEFHJKLMd" }, "alphabet: 'Q' and 'D' look alike"},
		"1 and i":         {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKM1i" }, "alphabet: '1' and 'I' look alike"},
		"2 and Z":         {func(o *captcha.Options) { o.Alphabet = "ACDEFHJKLMZ2" }, "alphabet: '2' and 'Z' look alike"},
		"few answers":     {func(o *captcha.Options) { o.Length, o.Alphabet = 4, "ACDEFHJKLMPRTUWXY" }, "alphabet: 17 characters and length 4 leave 83521 answers; at least 100000 are needed"},
		"one character":   {func(o *captcha.Options) { o.Length, o.Alphabet = 8, "A" }, "leave 1 answers"},
	} {
		t.Run(name, func(t *testing.T) {
			o := captcha.Options{Secrets: [][]byte{secret('s')}}
			c.change(&o)
			m, err := captcha.New(o)
			if m != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("maker %v, error %v; want %q", m, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "sss") {
				t.Error("the error shows the secret")
			}
		})
	}
}

func TestNewAcceptsTheBounds(t *testing.T) {
	for name, change := range map[string]func(*captcha.Options){
		"defaults":  func(*captcha.Options) {},
		"smallest":  func(o *captcha.Options) { o.Width, o.Height, o.Length, o.Lifetime = 120, 40, 4, time.Second },
		"largest":   func(o *captcha.Options) { o.Width, o.Height, o.Length, o.Lifetime = 600, 240, 8, time.Hour },
		"no noise":  func(o *captcha.Options) { o.Noise = &captcha.Noise{} },
		"all noise": func(o *captcha.Options) { o.Noise = &captcha.Noise{Lines: 50, Dots: 500, Arcs: 50} },
		"digits":    func(o *captcha.Options) { o.Alphabet = "0123456789" }, // exactly 100,000 answers
		"lowercase": func(o *captcha.Options) { o.Alphabet = "acdefhjklmprtuwxy39" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t, change)
			token, answer := solved(t, m)
			mustRender(t, m, token)
			if answer != strings.ToUpper(answer) {
				t.Errorf("answer %q", answer)
			}
			if err := m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, new(spentOnce).spend); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIssueTellsWhatItMade(t *testing.T) {
	now := noon.Add(123456789 * time.Nanosecond)
	m := newMaker(t, at(&now), func(o *captcha.Options) { o.Length, o.Lifetime = 6, 10*time.Minute })
	challenge := mustIssue(t, m)
	if challenge.Kind != captcha.Image {
		t.Errorf("kind %v", challenge.Kind)
	}
	if want := noon.Add(10*time.Minute + 123*time.Millisecond); !challenge.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v; want %v", challenge.ExpiresAt, want)
	}
	claims := mustUnpack(t, m, challenge.Token)
	if claims.Kind != captcha.Image || claims.Purpose != loginScope.Purpose || claims.Epoch != loginScope.Epoch {
		t.Errorf("claims %v, epoch %x", claims, claims.Epoch)
	}
	if !claims.ExpiresAt.Equal(challenge.ExpiresAt) {
		t.Errorf("the challenge expires at %v, its token says %v", challenge.ExpiresAt, claims.ExpiresAt)
	}
	if len(claims.Answer) != 6 || strings.Trim(claims.Answer, captcha.DefaultAlphabet) != "" {
		t.Errorf("answer %q", claims.Answer)
	}
	if left := strings.Trim(challenge.Token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"); left != "" {
		t.Errorf("%q does not belong into a URL", left)
	}
}

func TestIssueRefusesWhatItCannotMake(t *testing.T) {
	m := newMaker(t)
	for want, spec := range map[string]captcha.Spec{
		"cannot make kind 0":     {},
		"cannot make kind 4":     {Kind: 4},
		"cannot make level 4":    {Kind: captcha.Image, Level: 4},
		`language "tlh": one of`: {Kind: captcha.Audio, Language: "tlh"},
		"a puzzle alone":         {Kind: captcha.Work},
		"work: 99ms":             {Kind: captcha.Image, Work: 99 * time.Millisecond},
		"work: 2m0.001s":         {Kind: captcha.Work, Work: 2*time.Minute + time.Millisecond},
		"work: -1s":              {Kind: captcha.Work, Work: -time.Second},
	} {
		challenge, err := m.Issue(spec, loginScope)
		if err == nil || !strings.Contains(err.Error(), want) || challenge.Token != "" {
			t.Errorf("%+v: challenge %v, error %v; want %q", spec, challenge, err, want)
		}
	}
	s := loginScope
	s.Purpose = strings.Repeat("p", 255)
	if _, err := m.Issue(captcha.Spec{Kind: captcha.Image}, s); err != nil {
		t.Errorf("a purpose of 255 bytes: %v", err)
	}
	s.Purpose += "p"
	if challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, s); err == nil || challenge.Token != "" {
		t.Errorf("a purpose of 256 bytes: challenge %v, error %v", challenge, err)
	}
}

func TestKindsAndLevelsHaveNames(t *testing.T) {
	for k, want := range map[captcha.Kind]string{captcha.Image: "image", captcha.Audio: "audio", captcha.Work: "work"} {
		if back, err := captcha.ParseKind(want); k.String() != want || back != k || err != nil {
			t.Errorf("%v: read back as %v, %v", k, back, err)
		}
	}
	for l, want := range map[captcha.Level]string{captcha.Easy: "easy", captcha.Normal: "normal", captcha.Hard: "hard"} {
		if back, err := captcha.ParseLevel(want); l.String() != want || back != l || err != nil {
			t.Errorf("%v: read back as %v, %v", l, back, err)
		}
	}
	if captcha.Kind(7).String() != "kind 7" || captcha.Level(0).String() != "level 0" {
		t.Errorf("%v, %v", captcha.Kind(7), captcha.Level(0))
	}
	for _, name := range []string{"", "Image", "video", "medium"} {
		if k, err := captcha.ParseKind(name); err == nil {
			t.Errorf("%q is %v", name, k)
		}
		if l, err := captcha.ParseLevel(name); err == nil {
			t.Errorf("%q is %v", name, l)
		}
	}
}

// checkCase is one way to come back with a challenge, and what must come of it.
type checkCase struct {
	token, answer func(string) string
	scope         func(*captcha.Scope)
	later         time.Duration
	want          error
	spent         int
}

func TestCheck(t *testing.T) {
	same := func(s string) string { return s }
	for name, c := range map[string]checkCase{
		"right":           {spent: 1},
		"right, at last":  {later: 5*time.Minute - time.Millisecond, spent: 1},
		"lower case":      {answer: strings.ToLower, spent: 1},
		"wrong":           {answer: func(string) string { return "ZZZZZ" }, want: captcha.ErrWrong, spent: 1},
		"CAP-2 empty":     {answer: func(string) string { return "" }, want: captcha.ErrIncomplete},
		"CAP-2 spaces":    {answer: func(string) string { return "  \t " }, want: captcha.ErrWrong, spent: 1},
		"too short":       {answer: func(s string) string { return s[:4] }, want: captcha.ErrWrong, spent: 1},
		"too long":        {answer: func(s string) string { return s + s[:1] }, want: captcha.ErrWrong, spent: 1},
		"very long":       {answer: func(s string) string { return s + strings.Repeat(" ", 1<<20) }, want: captcha.ErrWrong, spent: 1},
		"CAP-2 no token":  {token: func(string) string { return "" }, want: captcha.ErrInvalid},
		"garbage":         {token: func(string) string { return "garbage" }, want: captcha.ErrInvalid},
		"cut":             {token: func(s string) string { return s[:len(s)-1] }, want: captcha.ErrInvalid},
		"CAP-6 purpose":   {scope: func(s *captcha.Scope) { s.Purpose = "sign_up" }, want: captcha.ErrInvalid},
		"CAP-6 no purp.":  {scope: func(s *captcha.Scope) { s.Purpose = "" }, want: captcha.ErrInvalid},
		"epoch":           {scope: func(s *captcha.Scope) { s.Epoch[15]++ }, want: captcha.ErrExpired},
		"CAP-6 browser":   {scope: func(s *captcha.Scope) { s.Binding.Browser[15]++ }, want: captcha.ErrMoved},
		"CAP-6 network":   {scope: func(s *captcha.Scope) { s.Binding.Network = "198.51.100.0/24" }, want: captcha.ErrMoved},
		"CAP-6 no netw.":  {scope: func(s *captcha.Scope) { s.Binding.Network = "" }, want: captcha.ErrMoved},
		"CAP-7 expired":   {later: 5 * time.Minute, want: captcha.ErrExpired},
		"CAP-7 long past": {later: 1000 * time.Hour, want: captcha.ErrExpired},
		"clock back":      {later: -55*time.Minute - 59*time.Second, spent: 1},
		"clock far back":  {later: -56*time.Minute - time.Millisecond, want: captcha.ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			m := newMaker(t, at(&now))
			token, answer := solved(t, m)
			scope := loginScope
			if c.token == nil {
				c.token = same
			}
			if c.answer == nil {
				c.answer = same
			}
			if c.scope != nil {
				c.scope(&scope)
			}
			now = now.Add(c.later)
			var store spentOnce
			if err := m.Check(captcha.Response{Token: c.token(token), Answer: c.answer(answer)}, scope, store.spend); err != c.want {
				t.Errorf("%v; want %v", err, c.want)
			}
			if store.calls != c.spent {
				t.Errorf("spent %d times; want %d", store.calls, c.spent)
			}
			// What was not spent is still good for its owner.
			if c.spent == 0 {
				now = noon
				if err := m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, store.spend); err != nil {
					t.Errorf("afterwards, by its owner: %v", err)
				}
			}
		})
	}
}

func TestCAP1_OneOfManyPostsIsJudged(t *testing.T) {
	for _, right := range []bool{true, false} {
		t.Run(fmt.Sprintf("right=%v", right), func(t *testing.T) {
			m := newMaker(t)
			token, answer := solved(t, m)
			want := error(nil)
			if !right {
				answer, want = "ZZZZZ", captcha.ErrWrong
			}
			var mu sync.Mutex
			var store spentOnce
			spend := func(id [24]byte, until time.Time) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				return store.spend(id, until)
			}
			const posts = 100
			results := make(chan error, posts)
			start := make(chan struct{})
			for range posts {
				go func() {
					<-start
					results <- m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, spend)
				}()
			}
			close(start)
			judged, spent := 0, 0
			for range posts {
				switch err := <-results; err {
				case want:
					judged++
				case captcha.ErrSpent:
					spent++
				default:
					t.Errorf("%v", err)
				}
			}
			if judged != 1 || spent != posts-1 || store.calls != posts {
				t.Errorf("%d judged, %d spent before, %d calls", judged, spent, store.calls)
			}
		})
	}
}

func TestCAP1_AWrongAnswerSpends(t *testing.T) {
	m := newMaker(t)
	token, answer := solved(t, m)
	var store spentOnce
	for i, c := range []struct {
		answer string
		want   error
	}{{"ZZZZZ", captcha.ErrWrong}, {answer, captcha.ErrSpent}, {"ZZZZZ", captcha.ErrSpent}} {
		if err := m.Check(captcha.Response{Token: token, Answer: c.answer}, loginScope, store.spend); err != c.want {
			t.Errorf("try %d: %v; want %v", i+1, err, c.want)
		}
	}
}

func TestCAP1_SpendIsToldWhatAndForHowLong(t *testing.T) {
	m := newMaker(t)
	token, answer := solved(t, m)
	claims := mustUnpack(t, m, token)
	var store spentOnce
	if err := m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, store.spend); err != nil {
		t.Fatal(err)
	}
	if until, ok := store.ids[claims.ID]; !ok || !until.Equal(claims.ExpiresAt) {
		t.Errorf("%x until %v; want %x until %v", store.ids, until, claims.ID, claims.ExpiresAt)
	}
}

func TestCAP1_AStoreThatFailsJudgesNothing(t *testing.T) {
	m := newMaker(t)
	token, answer := solved(t, m)
	away := errors.New("store away")
	for _, first := range []bool{true, false} {
		var texts []string
		for _, typed := range []string{answer, "ZZZZZ"} {
			err := m.Check(captcha.Response{Token: token, Answer: typed}, loginScope, func([24]byte, time.Time) (bool, error) { return first, away })
			if !errors.Is(err, away) {
				t.Fatalf("%v; want the store's error", err)
			}
			for _, verdict := range []error{captcha.ErrInvalid, captcha.ErrExpired, captcha.ErrMoved, captcha.ErrSpent, captcha.ErrWrong} {
				if errors.Is(err, verdict) {
					t.Errorf("%v counts as %v", err, verdict)
				}
			}
			texts = append(texts, err.Error())
		}
		if texts[0] != texts[1] {
			t.Errorf("the errors tell right from wrong: %q", texts)
		}
	}
}

func TestAChallengeIsGoodForItsScopeAlone(t *testing.T) {
	m := newMaker(t)
	id := rapid.Custom(func(t *rapid.T) [16]byte {
		return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
	scopes := rapid.Custom(func(t *rapid.T) captcha.Scope {
		return captcha.Scope{
			Purpose: rapid.StringN(-1, -1, 255).Draw(t, "purpose"), Epoch: id.Draw(t, "epoch"),
			Binding: captcha.Binding{Browser: id.Draw(t, "browser"), Network: rapid.String().Draw(t, "network")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		made := scopes.Draw(t, "scope")
		challenge, err := m.Issue(captcha.Spec{Kind: captcha.Image}, made)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := m.Unpack(challenge.Token)
		if err != nil {
			t.Fatal(err)
		}
		shown, other := made, scopes.Draw(t, "other")
		if rapid.Bool().Draw(t, "another purpose") {
			shown.Purpose = other.Purpose
		}
		if rapid.Bool().Draw(t, "another epoch") {
			shown.Epoch = other.Epoch
		}
		if rapid.Bool().Draw(t, "another browser") {
			shown.Binding.Browser = other.Binding.Browser
		}
		if rapid.Bool().Draw(t, "another network") {
			shown.Binding.Network = other.Binding.Network
		}
		var want error
		switch {
		case shown.Purpose != made.Purpose:
			want = captcha.ErrInvalid
		case shown.Epoch != made.Epoch:
			want = captcha.ErrExpired
		case shown.Binding != made.Binding:
			want = captcha.ErrMoved
		}
		var store spentOnce
		if err := m.Check(captcha.Response{Token: challenge.Token, Answer: claims.Answer}, shown, store.spend); err != want {
			t.Errorf("%v; want %v", err, want)
		}
		if spent := store.calls == 1; spent != (want == nil) {
			t.Errorf("spent %d times with %v", store.calls, want)
		}
	})
}

func TestCloseIsSafeAtAnyTime(t *testing.T) {
	m := newMaker(t)
	claims := mustUnpack(t, m, mustIssue(t, m).Token)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 4 {
				if _, err := m.Render(claims); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(m.Close)
	}
	group.Wait()
	m.Close()
	token, answer := solved(t, m)
	if err := m.Check(captcha.Response{Token: token, Answer: answer}, loginScope, new(spentOnce).spend); err != nil {
		t.Errorf("after Close: %v", err)
	}
}
