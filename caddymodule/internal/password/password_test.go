package password_test

import (
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/password"
)

func TestCRD11_WhatIsWrongWithAPasswordIsSaid(t *testing.T) {
	for _, c := range []struct {
		password string
		least    int
		want     password.Code
	}{
		{"", 8, password.TooShort},
		{"kx7 pqz", 8, password.TooShort},
		{"密码密码密码密", 8, password.TooShort},
		{"kx7 pqzvw w", 12, password.TooShort},
		{"kx7 pqz", 1, password.TooShort}, // never below 8 (CRD-2)
		{"kx7 pqzv", 8, ""},
		{"password123", 8, password.TooCommon},
		{"12345678", 8, password.TooCommon},
		{"qwertyuiop12", 8, password.TooCommon},
		{"aaaaaaaaaaaa", 8, password.TooCommon},
		{"Winter2026!", 8, password.TooCommon},
		{"P@ssw0rd", 8, password.TooCommon},
		{"alice-2024", 8, password.LikeName},
		{"ALICEalice", 8, password.LikeName},
		{"the wiki!", 8, password.LikeName},
		{"alice likes her cold tea", 8, ""},
		{"correct horse battery staple", 8, ""},
		{"my dog ate it", 8, ""},
		{strings.Repeat("kx7 pqzv", 9), 8, ""},
		{strings.Repeat("kx7 pqzv", 9) + "x", 8, password.TooLong},
		{strings.Repeat("密", 25), 8, password.TooLong},
	} {
		got := password.Judge(c.password, c.least, "alice", "The Wiki", "it")
		if got.Code != c.want {
			t.Errorf("%q, at least %d: %q (score %d), want %q", c.password, c.least, got.Code, got.Score, c.want)
		}
		if got.Score < 0 || got.Score > 4 || got.Code != "" && got.Score > 1 {
			t.Errorf("%q: score %d with %q", c.password, got.Score, got.Code)
		}
	}
}

func TestCRD11_FrequentPasswordsAreRefusedWithAndWithoutTrimmings(t *testing.T) {
	for _, frequent := range []string{"password", "sunshine", "princess", "football", "iloveyou", "superman", "trustno1", "baseball", "whatever", "michelle"} {
		for _, p := range []string{frequent, strings.ToUpper(frequent), frequent + "1", frequent + "99", "1" + frequent, frequent + "!"} {
			if got := password.Judge(p, 8); got.Code != password.TooCommon {
				t.Errorf("%q: %+v", p, got)
			}
		}
	}
}

func TestJudgingIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := password.Judge("alice-2024", 8, "alice"); got.Code != password.LikeName {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzJudge(f *testing.F) {
	f.Add("password123", "alice")
	f.Add("密码密码密码密码", "密码")
	f.Add("\xff\xfe aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\xff")
	f.Add("4lic3 qwerty 1.1.1999 zzz", "@LICE")
	f.Fuzz(func(t *testing.T, p, word string) {
		got := password.Judge(p, 8, word)
		switch {
		case got.Score < 0 || got.Score > 4:
			t.Errorf("score %d", got.Score)
		case got.Code == "" && (utf8.RuneCountInString(p) < 8 || len(p) > 72):
			t.Errorf("%q is accepted", p)
		case got.Code == "" && len(word) >= 8 && strings.EqualFold(p, word):
			t.Errorf("%q is accepted as the password of %q", p, word)
		}
	})
}

func BenchmarkJudgeLongest(b *testing.B) {
	p := strings.Repeat("abcdE1", 12)
	for b.Loop() {
		password.Judge(p, 8, "alice")
	}
}

// Anybody may ask how strong a password is. The estimate tries every combination
// of the letters that such characters may stand for.
func TestCRD8_NoPasswordTakesLongToJudge(t *testing.T) {
	for _, nasty := range []string{"4@8({[<369#&!1|0$5+7%24@8({[<369#&!1|0$5", "17|!([{<4@69$5+0%83x17|!([{<4@69$5+0%83x"} {
		if n := testing.AllocsPerRun(1, func() { password.Judge(nasty, 8, "anna") }); n > 30_000 {
			t.Errorf("%s: %.0f allocations", nasty, n)
		}
	}
	if v := password.Judge("p@$$w0rd!1", 8); v.Code != password.TooCommon {
		t.Errorf("%+v", v)
	}
}
