package figures

import (
	"fmt"
	"strconv"
)

// number has about three digits that matter.
func number(v float64) string {
	switch {
	case v < 0:
		return "-" + number(-v)
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return thousands(v)
}

// thousands is a whole number with a comma every three digits.
func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// unknown stands where a run has measured nothing.
const unknown = "–"

// times is a ratio with its range; three digits after the point, as the reaches
// are about hundredths.
func (r Range) times() string {
	switch r.Count {
	case 0:
		return unknown
	case 1:
		return fmt.Sprintf("%.3f", r.Median)
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", r.Median, r.Least, r.Most)
}

// plain is a median with its range.
func (r Range) plain() string {
	switch r.Count {
	case 0:
		return unknown
	case 1:
		return number(r.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(r.Median), number(r.Least), number(r.Most))
}

// middle is the median alone.
func (r Range) middle() string {
	if r.Count == 0 {
		return unknown
	}
	return number(r.Median)
}
