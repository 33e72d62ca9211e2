package main

import (
	"reflect"
	"testing"
)

func TestEachChangeIsTriedWithTheTestsThatComeBy(t *testing.T) {
	mutants, err := parseTarget("testdata/limit").run()
	if err != nil {
		t.Fatal(err)
	}
	fates := map[string]fate{}
	for _, m := range mutants {
		fates[m.function+" "+m.was+" -> "+m.now] = m.fate
	}
	want := map[string]fate{
		"admit n < 0 || d.guests+n > d.open -> (n < 0) && (d.guests+n > d.open)": killed,
		"admit n < 0 -> n >= 0":                             killed,
		"admit n < 0 -> n <= 0":                             lived, // the tests try no zero
		"admit d.guests+n > d.open -> d.guests+n <= d.open": killed,
		"admit d.guests+n > d.open -> d.guests+n >= d.open": killed,
		"admit d.guests+n -> d.guests":                      killed,
		"admit d.guests += n -> (nothing)":                  killed,
		"shut !d.named -> d.named":                          unreached,
		"shut d.open = 0 -> (nothing)":                      unreached,
		"drain d.guests > 0 -> d.guests <= 0":               killed,
		"drain d.guests > 0 -> d.guests >= 0":               killed,
		"drain d.guests-- -> (nothing)":                     stuck,
		"drain left++ -> (nothing)":                         killed,
	}
	if !reflect.DeepEqual(fates, want) {
		t.Errorf("%v\nwant %v", fates, want)
	}
}

func TestATargetNamesFilesAndTests(t *testing.T) {
	for text, want := range map[string]target{
		"captcha":               {"captcha", nil, "."},
		"captcha:a.go,b.go":     {"captcha", []string{"a.go", "b.go"}, "."},
		"captcha:a.go=^TestCAP": {"captcha", []string{"a.go"}, "^TestCAP"},
		"captcha=^TestCAP":      {"captcha", nil, "^TestCAP"},
	} {
		if got := parseTarget(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// What does not compile is no change: the tests have not noticed it.
func TestAChangeThatDoesNotCompileIsNotCounted(t *testing.T) {
	const text = "package p\n\nfunc f(a string, n int) string { return a + string(rune(n)) }\n\nfunc g(n int) bool { return 3+4 > n && n > 0 }\n"
	next := 0
	_, all, err := mutate("p.go", text, &next, map[string]bool{})
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	barred := map[string]bool{all[0].String(): true}
	next = 0
	if _, fewer, err := mutate("p.go", text, &next, barred); err != nil || len(fewer) != len(all)-1 || next != len(fewer) {
		t.Errorf("%d of %d, %v", len(fewer), len(all), err)
	}
}
