package htpasswd

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// manyUsers is a file of n users, most of them with bcrypt.
func manyUsers(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		hash := hashBcrypt10
		if i%10 == 9 {
			hash = hashAPR1
		}
		fmt.Fprintf(&b, "user%06d:%s%06d\n", i, hash[:len(hash)-6], i)
	}
	return b.Bytes()
}

func BenchmarkParse100k(b *testing.B) {
	data := manyUsers(100_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var table *Table
	for b.Loop() {
		table, _ = Parse(data)
	}
	if table.Len() != 100_000 {
		b.Fatal(table)
	}
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	runtime.KeepAlive(table)
	table = nil
	runtime.GC()
	runtime.ReadMemStats(&without)
	b.ReportMetric(float64(with.HeapAlloc-without.HeapAlloc), "held-B")
}

func BenchmarkFingerprint(b *testing.B) {
	table, _ := Parse(manyUsers(100_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Fingerprint("user054321"); !ok {
			b.Fatal("unknown")
		}
	}
}

// CRD-6: the two of each pair must not differ.
func BenchmarkVerify(b *testing.B) {
	for _, file := range []struct{ name, text string }{
		{"bcrypt10", "ann:" + hashBcrypt10},
		{"mixed", mixedFile},
	} {
		table, _ := Parse([]byte(file.text))
		for _, user := range []struct{ name, user string }{{"known", "ann"}, {"unknown", "zoe"}} {
			b.Run(file.name+"/"+user.name, func(b *testing.B) {
				for b.Loop() {
					table.Verify(user.user, "wrong password")
				}
			})
		}
	}
}
