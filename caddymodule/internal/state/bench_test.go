package state

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func eachStore(b *testing.B, run func(b *testing.B, s Store)) {
	b.Run("memory", func(b *testing.B) {
		m := NewMemory(Options{})
		defer m.Close()
		run(b, m)
	})
	b.Run("local", func(b *testing.B) {
		run(b, mustOpen(b, filepath.Join(b.TempDir(), "state.db"), Options{}))
	})
}

func BenchmarkGet(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		const n = 1024
		var keys [n]Key
		for i := range keys {
			keys[i] = KeyOf("r", "session", fmt.Append(nil, i))
			must(b, s.Put(b.Context(), keys[i], make([]byte, 130), time.Now().Add(time.Hour)))
		}
		ctx := b.Context()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if v, err := s.Get(ctx, keys[i%n]); v == nil || err != nil {
				b.Fatal(v, err)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		until := time.Now().Add(time.Hour)
		for i := 0; b.Loop(); i++ {
			if first, err := s.Take(b.Context(), epochOf(s), KeyOf("r", "spent", fmt.Append(nil, i)), until); !first || err != nil {
				b.Fatal(first, err)
			}
		}
	})
}

// Many at a time, as in a rush of sign-ins: they share syncs.
func BenchmarkTakeParallel(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		until := time.Now().Add(time.Hour)
		var i atomic.Int64
		b.SetParallelism(100)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if first, err := s.Take(b.Context(), epochOf(s), KeyOf("r", "spent", fmt.Append(nil, i.Add(1))), until); !first || err != nil {
					b.Error(first, err)
				}
			}
		})
	})
}

func BenchmarkPut(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		value, until := make([]byte, 130), time.Now().Add(time.Hour)
		for i := 0; b.Loop(); i++ {
			must(b, s.Put(b.Context(), KeyOf("r", "session", fmt.Append(nil, i)), value, until))
		}
	})
}

// heap is what is in use, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC() // the second frees what the first found in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// A start with a million live sessions.
func BenchmarkOpenLocalMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state.db")
	l := mustOpen(b, path, Options{flushEvery: never})
	value := newRecord(make([]byte, 130), time.Now().Add(time.Hour))
	for range 20 {
		must(b, l.live.Load().file.update(func(bucket *bolt.Bucket) error {
			for range 50_000 {
				var k Key
				rand.Read(k[:])
				if err := bucket.Put(k[:], encode(k, value)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	must(b, l.Close())
	before := heap()
	for b.Loop() {
		l := mustOpen(b, path, Options{flushEvery: never})
		b.StopTimer()
		if n := l.live.Load().table.size(); n != 1_000_000 {
			b.Fatalf("%d entries", n)
		}
		b.ReportMetric((heap()-before)/1_000_000, "B/session")
		must(b, l.Close())
		b.StartTimer()
	}
}
