package hooks

import (
	"context"
	"fmt"
	"testing"
	"time"

	"adit/internal/config"
)

// How many programs are run a second: /bin/true, eight at one time.
func BenchmarkRunner(b *testing.B) {
	r := New(config.Hooks{Up: "/bin/true", Concurrency: 8, MaxWaiting: 1 << 30}, nil)
	env := Environment(testFacts())
	begin, i := time.Now(), 0
	for b.Loop() {
		r.Run(SessionUp, fmt.Sprint(i), env)
		i++
	}
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	if c := r.Counts(); c["hooks_started"] != uint64(i) || c["hooks_failed"] != 0 {
		b.Fatal(c)
	}
	b.ReportMetric(float64(i)/time.Since(begin).Seconds(), "programs/s")
}

func BenchmarkEnvironment(b *testing.B) {
	f := testFacts()
	b.ReportAllocs()
	for b.Loop() {
		Environment(f)
	}
}
