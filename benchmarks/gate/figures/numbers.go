package figures

import (
	"fmt"

	"github.com/captcha-gate/captcha-gate/benchmarks/numbers"
)

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
		return numbers.Short(r.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", numbers.Short(r.Median), numbers.Short(r.Least), numbers.Short(r.Most))
}

// middle is the median alone.
func (r Range) middle() string {
	if r.Count == 0 {
		return unknown
	}
	return numbers.Short(r.Median)
}
