package numbers

import "testing"

func TestShortHasAboutThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0.5: "0.50", 9.876: "9.88", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567", -2.5: "-2.50",
	} {
		if got := Short(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
