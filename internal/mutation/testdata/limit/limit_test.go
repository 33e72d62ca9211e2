package limit

import "testing"

func TestAdmit(t *testing.T) {
	d := door{open: 2}
	if !d.admit(2) || d.admit(1) || d.admit(-1) {
		t.Error(d)
	}
}

func TestDrain(t *testing.T) {
	d := door{guests: 2}
	if d.drain() != 2 {
		t.Error(d)
	}
}
