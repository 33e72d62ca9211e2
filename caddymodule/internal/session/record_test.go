package session

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/captcha-gate/captcha-gate/caddymodule/internal/state"
)

var (
	testKey   = state.KeyOf("default", "session", []byte("0123456789abcdef0123456789abcdef"))
	otherKey  = state.KeyOf("default", "session", []byte("another"))
	testStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func testRecord() Record {
	return Record{
		User: "alice", Fingerprint: [16]byte{1, 2, 3, 15: 16}, Level: Password, Remember: true,
		Network: "203.0.113.0/24", Browser: "Firefox on Linux",
		Created: testStart, Seen: testStart.Add(time.Minute), Expires: testStart.Add(time.Hour),
	}
}

// same compares records whose times may carry different locations.
func same(a, b Record) bool {
	if !a.Created.Equal(b.Created) || !a.Seen.Equal(b.Seen) || !a.Expires.Equal(b.Expires) {
		return false
	}
	a.Created, a.Seen, a.Expires = b.Created, b.Seen, b.Expires
	return a == b
}

func TestRecordsSurviveTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) time.Time {
			return time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, label))
		}
		realm := rapid.StringN(0, 64, 300).Draw(t, "realm")
		r := Record{
			User: rapid.StringN(0, 255, 1000).Draw(t, "user"), Level: rapid.SampledFrom([]Level{Human, Password, SecondStep}).Draw(t, "level"),
			Remember: rapid.Bool().Draw(t, "remember"), Created: at("created"), Seen: at("seen"), Expires: at("expires"),
		}
		copy(r.Fingerprint[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "fingerprint"))
		got, err := decode(encode(testKey, realm, r), testKey, realm)
		if err != nil || !same(got, r) {
			t.Fatalf("got %+v, %v, want %+v", got, err, r)
		}
	})
}

func TestSES13_RecordsOfAnotherPlaceAreRefused(t *testing.T) {
	good := encode(testKey, "default", testRecord())
	if _, err := decode(good, testKey, "default"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		key   state.Key
		realm string
		value []byte
	}{
		{"another key", otherKey, "default", good},
		{"another realm", testKey, "other", good},
		{"a longer realm", testKey, "default2", good},
		{"a shorter realm", testKey, "defaul", good},
		{"no realm", testKey, "", good},
		{"the realm moved into the user", testKey, "defaultalice", good},
		{"a trailing byte", testKey, "default", append(slices.Clone(good), 0)},
		{"a second record", testKey, "default", append(slices.Clone(good), good...)},
		{"nothing", testKey, "default", nil},
		{"empty", testKey, "default", []byte{}},
		{"zeros", testKey, "default", make([]byte, len(good))},
	} {
		if r, err := decode(c.value, c.key, c.realm); err == nil || r != (Record{}) {
			t.Errorf("%s: %+v, %v", c.what, r, err)
		}
	}
	for n := range good {
		if _, err := decode(good[:n:n], testKey, "default"); err == nil {
			t.Errorf("cut to %d bytes of %d: accepted", n, len(good))
		}
	}
}

// TestSES13_ChangedBytesAreRefused changes each byte that has one right value in
// a record to every other.
func TestSES13_ChangedBytesAreRefused(t *testing.T) {
	good := encode(testKey, "default", testRecord())
	offsets := []struct {
		what     string
		from, to int
		allowed  string
	}{
		{"format", 0, 1, ""},
		{"type", 1, 2, "s"},
		{"key", 2, 34, ""},
		{"level", 50, 51, "\x01\x02\x03"},
		{"remember", 51, 52, "\x00\x01"},
		{"realm", 76, 85, ""},
		{"length of the user", 85, 87, ""},
	}
	for _, o := range offsets {
		for i := o.from; i < o.to; i++ {
			for v := range 256 {
				b := slices.Clone(good)
				b[i] = byte(v)
				want := b[i] == good[i] || strings.IndexByte(o.allowed, b[i]) >= 0
				if _, err := decode(b, testKey, "default"); (err == nil) != want {
					t.Errorf("%s: byte %d = %d: %v", o.what, i, v, err)
				}
			}
		}
	}
}

func TestSES1_RecordsHoldNothingOfTheToken(t *testing.T) {
	raw := []byte("0123456789abcdefGHIJKLMNOPQRSTUV")
	b := encode(state.KeyOf("default", "session", raw), "default", testRecord())
	for i := range len(raw) - 4 {
		if bytes.Contains(b, raw[i:i+4]) {
			t.Errorf("the record holds %q", raw[i:i+4])
		}
	}
}

// TestOverlongNamesAreNotConfused: a length that does not fit its field must
// spoil the record, not shift its borders.
func TestOverlongNamesAreNotConfused(t *testing.T) {
	r := testRecord()
	for _, n := range []int{math.MaxUint16 + 1, math.MaxUint16 + 6, 2*math.MaxUint16 + 2} {
		r.User = strings.Repeat("a", n)
		if got, err := decode(encode(testKey, "default", r), testKey, "default"); err == nil {
			t.Errorf("a user of %d bytes became one of %d", n, len(got.User))
		}
	}
	r.User = "alice"
	long := strings.Repeat("a", math.MaxUint16+8)
	if _, err := decode(encode(testKey, long, r), testKey, long[:7]); err == nil {
		t.Error("an overlong realm became another")
	}
}

// FuzzRecord: what is read as a record is byte for byte what encode writes for it.
func FuzzRecord(f *testing.F) {
	f.Add(encode(testKey, "default", testRecord()))
	f.Add(encode(testKey, "default", Record{Level: Human}))
	f.Add(encode(testKey, "other", testRecord()))
	f.Add(encode(otherKey, "default", testRecord()))
	early := encode(testKey, "default", testRecord())
	binary.BigEndian.PutUint64(early[52:], 1<<63)
	f.Add(early)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b, testKey, "default")
		if err != nil {
			if r != (Record{}) {
				t.Errorf("refused, yet %+v", r)
			}
			return
		}
		if again := encode(testKey, "default", r); !bytes.Equal(again, b) {
			t.Errorf("%x is read as %+v, which is %x", b, r, again)
		}
		if _, err := decode(b, otherKey, "default"); err == nil {
			t.Error("read under another key")
		}
		if _, err := decode(b, testKey, "other"); err == nil {
			t.Error("read in another realm")
		}
	})
}
