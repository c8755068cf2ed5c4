package sparing

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

func TestBucket(t *testing.T) {
	var b Bucket
	at := time.Unix(1, 0)
	count := func() (n int) {
		for b.Take(at, 200, 20) {
			n++
		}
		return n
	}
	for i, c := range []struct {
		after time.Duration
		want  int
	}{
		{0, 200}, // full at first
		{0, 0},
		{49 * time.Millisecond, 0},
		{2 * time.Millisecond, 1},
		{time.Second, 20},
		{9 * time.Second, 180},
		{time.Hour, 200}, // and never fuller
	} {
		at = at.Add(c.after)
		if got := count(); got != c.want {
			t.Errorf("step %d, after %v: %d, want %d", i, c.after, got, c.want)
		}
	}
}

func TestLines(t *testing.T) {
	var l Lines
	at := time.Unix(1, 0)
	take := func(wantLeft int, wantOK bool) {
		t.Helper()
		if left, ok := l.take(at); left != wantLeft || ok != wantOK {
			t.Errorf("at %v: %d left out, %v; want %d, %v", at.Sub(time.Unix(1, 0)), left, ok, wantLeft, wantOK)
		}
	}
	for range Burst {
		take(0, true)
	}
	take(0, false)
	at = at.Add(900 * time.Millisecond)
	take(0, false)
	at = at.Add(100 * time.Millisecond)
	take(2, true)
	take(0, false)
	at = at.Add(time.Hour)
	take(1, true)
	for range Burst - 1 {
		take(0, true)
	}
	take(0, false)
}

// Many goroutines together get one burst, and the next line says how many lines
// are missing.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logrus.New()
		log.SetOutput(&out)
		log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
		entry := log.WithField("peer", "192.0.2.1")
		var l Lines
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 10 {
					l.Log(entry, logrus.WarnLevel, "refused")
				}
			})
		}
		all.Wait()
		want := strings.Repeat("level=warning msg=refused peer=192.0.2.1\n", Burst)
		if out.String() != want {
			t.Errorf("log %s", &out)
		}
		out.Reset()
		time.Sleep(time.Second)
		l.Log(entry, logrus.InfoLevel, "refused")
		l.Log(entry, logrus.InfoLevel, "refused")
		if got := out.String(); got != "level=info msg=refused left_out=80 peer=192.0.2.1\n" {
			t.Errorf("log %s", got)
		}
	})
}
