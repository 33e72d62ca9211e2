// Package limit is changed by the test of mutation.
package limit

type door struct {
	open, guests int
	named        bool
}

func (d *door) admit(n int) bool {
	if n < 0 || d.guests+n > d.open {
		return false
	}
	d.guests += n
	return true
}

func (d *door) shut() {
	if !d.named {
		d.open = 0
	}
}

func (d *door) drain() int {
	left := 0
	for d.guests > 0 {
		d.guests--
		left++
	}
	return left
}
