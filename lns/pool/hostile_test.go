package pool

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"
)

// stepped is the same moment on a clock that was put by d meanwhile: the wall
// clock of a time differs, and its monotonic reading does not.
func stepped(at time.Time, d time.Duration) time.Time {
	const secondsAt = 30 // of the wall word, package time
	*(*uint64)(unsafe.Pointer(&at)) += uint64(int64(d/time.Second) << secondsAt)
	return at
}

// A clock that is put back after the start, by years where NTP finds out about a
// battery that was empty, makes no quarantine longer; one that is put forward makes
// none shorter.
func TestQuarantineClock(t *testing.T) {
	const years = 3 * 365 * 24 * time.Hour
	begin := time.Now()
	if back := stepped(begin, -years); back.Year() == begin.Year() || back.Sub(begin) != 0 {
		t.Fatalf("the clock cannot be put back here: %v", back)
	}
	for _, step := range []time.Duration{-years, years} {
		dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.2")
		s := opened(t, dir, only(p), begin)
		_ = take(t, s, p, "a", begin)
		claim := netip.MustParsePrefix("10.0.0.2/31") // larger than what the pool gives
		if err := s.Claim(claim, "b", begin); err != nil {
			t.Fatal(err)
		}
		s = opened(t, dir, only(p), begin)
		if got, err := s.Take(p, "c", stepped(begin.Add(Quarantine-time.Second), step)); !errors.Is(err, ErrExhausted) {
			t.Errorf("clock put by %v: in quarantine: %v, %v", step, got, err)
		}
		after := stepped(begin.Add(Quarantine), step)
		for range 2 {
			if _, err := s.Take(p, "c", after); err != nil {
				t.Errorf("clock put by %v: after the quarantine: %v", step, err)
			}
		}
	}
}

// A file that cannot be read keeps nobody out, and is not thrown away.
func TestUnreadableFile(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.2")
	file := filepath.Join(dir, fileName)
	if err := os.MkdirAll(filepath.Join(file, "kept"), 0o700); err != nil { // reading it fails
		t.Fatal(err)
	}
	s := opened(t, dir, only(p), epoch)
	a := take(t, s, p, "a", epoch)
	if _, err := os.Stat(filepath.Join(file+damagedSuffix, "kept")); err != nil {
		t.Error(err)
	}
	s = opened(t, dir, only(p), epoch.Add(time.Hour))
	if got := take(t, s, p, "a", epoch.Add(time.Hour)); got != a {
		t.Errorf("a has %v, had %v", got, a)
	}
}
