package pool

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkTakeGive is one Take and one Give of a user who comes back, with the
// file.
func BenchmarkTakeGive(b *testing.B) {
	p := four("10.0.0.1", "10.1.134.160") // 100,000
	s := opened(b, b.TempDir(), only(p), epoch)
	users := make([]string, 50_000)
	for i := range users {
		users[i] = fmt.Sprintf("user%d@example.net", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		now := epoch.Add(time.Duration(i))
		got, err := s.Take(p, users[i%len(users)], now)
		if err != nil {
			b.Fatal(err)
		}
		s.Give(got, now)
		i++
	}
}

// BenchmarkMillion is a million holders: the memory of what they had, with their
// names, the longest call, and the time of a restart.
func BenchmarkMillion(b *testing.B) {
	p := four("10.0.0.0", "10.15.255.255")
	for b.Loop() {
		dir := b.TempDir()
		s, err := open(dir, only(p), nil, epoch)
		if err != nil {
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var longest time.Duration
		for i := range 1_000_000 {
			name := fmt.Sprintf("user%d@example.net", i)
			start := time.Now()
			if _, err := s.Take(p, name, epoch.Add(time.Duration(i))); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(start))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "octets/inuse")
		b.ReportMetric(float64(longest.Microseconds()), "us-longest")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if s, err = open(dir, only(p), nil, epoch.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s-restart")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "octets/resting")
		runtime.KeepAlive(s)
	}
}
