// Package numbers writes figures as the tables and charts of the reports show
// them.
package numbers

import "strconv"

// Short has about three digits that matter.
func Short(v float64) string {
	switch {
	case v < 0:
		return "-" + Short(-v)
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Thousands(v)
}

// Thousands is a whole number with a comma every three digits.
func Thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
