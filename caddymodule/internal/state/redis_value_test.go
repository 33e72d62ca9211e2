package state

import (
	"bytes"
	"testing"
	"time"
)

// Whatever stands under a key in Redis, only a live record of ours is read as one.
func FuzzUnpack(f *testing.F) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{
		"", " ", "r", "r ", "r1 x", "m1772366400000001 ", "c1772366400000001 3", "r1772366400000001 x", "r1772366400000000 x",
		"r-1772366400000001 x", "r+1772366400000001 x", "r99999999999999999999 x", "R1772366400000001 x", pack([]byte("a b"), noon.Add(time.Hour)),
	} {
		f.Add(s, []byte("value"), int64(1))
	}
	f.Fuzz(func(t *testing.T, packed string, value []byte, micro int64) {
		if got := unpack(packed, noon); got != nil && (packed[0] != 'r' || !bytes.HasSuffix([]byte(packed), append([]byte(" "), got...))) {
			t.Fatalf("%q is read as %q", packed, got)
		}
		until := time.UnixMicro(micro)
		got := unpack(pack(value, until), noon)
		if until.Year() < 2250 && (got != nil) != noon.Before(until) || got != nil && !bytes.Equal(got, value) {
			t.Fatalf("%q until %v became %q", value, until, got)
		}
	})
}
