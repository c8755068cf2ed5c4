package pool

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"adit/internal/config"
)

var epoch = time.Unix(1_800_000_000, 0)

func four(first, last string) *config.Pool {
	return &config.Pool{Name: "p", Ranges: []config.Range{{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}}
}

func only(p *config.Pool) map[string]*config.Pool { return map[string]*config.Pool{p.Name: p} }

func take(t testing.TB, s *Set, p *config.Pool, holder string, now time.Time) netip.Prefix {
	t.Helper()
	got, err := s.Take(p, holder, now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A /40 in /56s is 2^16 prefixes, each given once; a /32 in /64s is 2^32, a /32
// in /128s more than can be counted, and neither costs anything before it is used.
func TestHugePools(t *testing.T) {
	for _, test := range []struct {
		prefix string
		length int
		size   uint64
	}{
		{"2001:db8::/40", 56, 1 << 16}, {"2001:db8::/32", 64, 1 << 32}, {"2001:db8::/32", 128, maxSize}, {"::/0", 128, maxSize}, {"2001:db8::1/128", 128, 1},
	} {
		p := &config.Pool{Name: "p", IPv6: []netip.Prefix{netip.MustParsePrefix(test.prefix)}, Length: test.length}
		s := opened(t, t.TempDir(), only(p), epoch)
		if got := s.Stats()["p"].Size; got != test.size {
			t.Errorf("%s in /%d: size %d, want %d", test.prefix, test.length, got, test.size)
		}
		n := int(min(test.size, 1<<16))
		seen := make(map[netip.Prefix]bool, n)
		for range n {
			got := take(t, s, p, "", epoch)
			if seen[got] || got.Bits() != test.length || !p.IPv6[0].Contains(got.Addr()) || got != got.Masked() {
				t.Fatalf("%s in /%d: %v", test.prefix, test.length, got)
			}
			seen[got] = true
		}
		if _, err := s.Take(p, "", epoch); errors.Is(err, ErrExhausted) != (test.size == uint64(n)) {
			t.Errorf("%s in /%d after %d: %v", test.prefix, test.length, n, err)
		}
	}
}

// Claims and the end of the address spaces.
func TestEdges(t *testing.T) {
	p := four("255.255.255.254", "255.255.255.255")
	six := &config.Pool{Name: "six", IPv6: []netip.Prefix{netip.MustParsePrefix("ffff:ffff:ffff:ffff:8000::/65")}, Length: 66}
	s := opened(t, t.TempDir(), map[string]*config.Pool{"p": p, "six": six}, epoch)
	for _, pool := range []*config.Pool{p, six} {
		a, b := take(t, s, pool, "", epoch), take(t, s, pool, "", epoch)
		if a == b {
			t.Errorf("%v twice", a)
		}
		if _, err := s.Take(pool, "", epoch); !errors.Is(err, ErrExhausted) {
			t.Errorf("pool %s: %v", pool.Name, err)
		}
	}
	for _, all := range []string{"0.0.0.0/0", "::/0", "::ffff:255.255.255.255/128"} {
		if err := s.Claim(netip.MustParsePrefix(all), "x", epoch); !errors.Is(err, ErrTaken) {
			t.Errorf("claim of %s: %v", all, err)
		}
	}
	if err := s.Claim(netip.Prefix{}, "x", epoch); !errors.Is(err, ErrInvalid) {
		t.Errorf("claim of nothing: %v", err)
	}
	s.Give(netip.Prefix{}, epoch)
	if _, err := s.Take(&config.Pool{Name: "other"}, "x", epoch); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown pool: %v", err)
	}
	if _, err := s.Take(nil, "x", epoch); !errors.Is(err, ErrUnknown) {
		t.Errorf("no pool: %v", err)
	}
	if c := s.Counts(); c["pool_exhausted"] != 2 || c["pool_claims_refused"] != 3 || c["pool_taken"] != 4 {
		t.Errorf("%v", c)
	}
	overlap := map[string]*config.Pool{"a": four("10.0.0.1", "10.0.0.9"), "b": four("10.0.0.9", "10.0.0.9")}
	if _, err := Open(t.TempDir(), overlap, nil); err == nil || !strings.Contains(err.Error(), "overlap at 10.0.0.9") {
		t.Errorf("overlapping pools: %v", err)
	}
}

// Nobody but its holder gets an address of the killed daemon while the quarantine
// lasts, though the pool has no other; then it is as any other.
func TestQuarantine(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.2")
	s := opened(t, dir, only(p), epoch)
	a, b := take(t, s, p, "a", epoch), take(t, s, p, "b", epoch)
	now := epoch.Add(time.Hour)
	s = opened(t, dir, only(p), now)
	now = now.Add(Quarantine - 1)
	if got, err := s.Take(p, "c", now); !errors.Is(err, ErrExhausted) {
		t.Errorf("in quarantine: %v, %v", got, err)
	}
	if st := s.Stats()["p"]; st != (Stats{Size: 2, Resting: 2, Quarantined: 2}) {
		t.Errorf("%+v", st)
	}
	if got := take(t, s, p, "b", now); got != b {
		t.Errorf("b has %v, had %v", got, b)
	}
	if got := take(t, s, p, "c", now.Add(1)); got != a {
		t.Errorf("after the quarantine: %v, want %v", got, a)
	}
}

// What cannot be read is left, the rest counts, and the daemon starts.
func TestCorruptFile(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.3")
	s := opened(t, dir, only(p), epoch)
	a, b := take(t, s, p, "a", epoch), take(t, s, p, "b", epoch.Add(1))
	path := filepath.Join(dir, fileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	flipped := strings.Replace(lines[0], "10.0.0.1", "10.0.0.3", 1)
	for name, test := range map[string]struct {
		file string
		bad  uint64
		a, b bool // is remembered
	}{
		"whole":         {string(whole), 0, true, true},
		"empty":         {"", 0, false, false},
		"torn":          {string(whole[:len(whole)-3]), 1, true, false},
		"flipped":       {flipped + lines[1], 1, false, true},
		"zeros between": {lines[0] + strings.Repeat("\x00", 100_000) + "\n" + lines[1], 1, true, true},
		"noise":         {"\n \nx\n" + lines[1] + strings.Repeat("z", 5000) + "\n" + lines[0], 4, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, fileName), []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			s := opened(t, dir, only(p), epoch)
			if got := s.Counts()["pool_records_unreadable"]; got != test.bad {
				t.Errorf("%d unreadable, want %d", got, test.bad)
			}
			for prefix, want := range map[netip.Prefix]bool{a: test.a, b: test.b} {
				if got := s.pools["p"].leases[uint64(prefix.Addr().As4()[3])-1] != nil; got != want {
					t.Errorf("%v is remembered: %v", prefix, got)
				}
			}
			// It is written anew, without what was bad.
			if again := opened(t, dir, only(p), epoch); again.Counts()["pool_records_unreadable"] != 0 {
				t.Error("it is still unreadable")
			}
		})
	}
}

// FuzzRecord: no line panics, and what is written is read.
func FuzzRecord(f *testing.F) {
	f.Add("c9e50d2a + 10.0.0.7/32 1795377600000000000 \"alice\"", "a\n\"b")
	f.Add("00000000 - ::/0 -1", "")
	f.Fuzz(func(t *testing.T, line, holder string) {
		_, _ = parseRecord([]byte(line))
		l := &lease{claim: &claim{prefix: netip.MustParsePrefix("2001:db8::/56")}, holder: holder, since: 7}
		written := string(appendRecord(nil, lineTaken, l))
		if strings.Count(written, "\n") != 1 {
			t.Fatalf("%q has several lines", written)
		}
		r, err := parseRecord([]byte(written[:len(written)-1]))
		if err != nil || r.prefix != l.claim.prefix || r.since != 7 || r.kind != lineTaken || strings.ToValidUTF8(r.holder, "?") != strings.ToValidUTF8(holder, "?") {
			t.Fatalf("%q is %+v, %v", written, r, err)
		}
	})
}

// A pool that became smaller forgets what it lost, and one with another name
// keeps what its addresses were.
func TestChangedPools(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.4")
	s := opened(t, dir, only(p), epoch)
	var all []netip.Prefix
	for i := range 4 {
		all = append(all, take(t, s, p, string(rune('a'+i)), epoch.Add(time.Duration(i))))
	}
	small := four("10.0.0.3", "10.0.0.9")
	small.Name = "small"
	s = opened(t, dir, only(small), epoch)
	if c := s.Counts()["pool_records_outside"]; c != 2 {
		t.Errorf("%d outside", c)
	}
	if got := take(t, s, small, "c", epoch); got != all[2] {
		t.Errorf("c has %v, had %v", got, all[2])
	}
	if got := take(t, s, small, "a", epoch); got == all[3] {
		t.Errorf("a got %v, which d had", got)
	}
}

// A directory that cannot be written to is said at the start; a disk that fails
// later keeps nobody out, and all is written when it is well again.
func TestFailingDisk(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.9")
	if _, err := Open(filepath.Join(dir, "none", "\x00"), only(p), nil); err == nil {
		t.Error("a directory that cannot be was opened")
	}
	s := opened(t, dir, only(p), epoch)
	a := take(t, s, p, "a", epoch)
	_ = s.journal.file.Close() // each write fails from now on
	b := take(t, s, p, "b", epoch)
	c := take(t, s, p, "c", epoch.Add(retryAfter-1))
	if n := s.Counts()["pool_write_errors"]; n != 1 {
		t.Errorf("%d errors", n)
	}
	s.Give(c, epoch.Add(retryAfter))
	s.Give(netip.MustParsePrefix("10.0.0.8/32"), epoch) // not in use
	_ = take(t, s, p, "d", epoch.Add(retryAfter))
	s = opened(t, dir, only(p), epoch.Add(time.Minute))
	for holder, want := range map[string]netip.Prefix{"a": a, "b": b, "c": c} {
		if got := take(t, s, p, holder, epoch.Add(time.Minute)); got != want {
			t.Errorf("%s has %v, had %v", holder, got, want)
		}
	}
}

// Many goroutines never get one address twice.
func TestManyAtOnce(t *testing.T) {
	p := four("10.0.0.1", "10.0.3.232")
	s := opened(t, t.TempDir(), only(p), epoch)
	var mu sync.Mutex
	held := map[netip.Prefix]bool{}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				now := epoch.Add(time.Duration(i) * time.Millisecond)
				got, err := s.Take(p, fmt.Sprint(g, i%50), now)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if held[got] {
					t.Errorf("%v is given twice", got)
				}
				held[got] = true
				mu.Unlock()
				if i%3 > 0 || i > 300 {
					mu.Lock()
					delete(held, got)
					mu.Unlock()
					s.Give(got, now)
				}
			}
		})
	}
	all.Wait()
	if n := s.Stats()["p"].InUse; n != len(held) {
		t.Errorf("%d in use, %d held", n, len(held))
	}
}

// The file does not grow with the number of calls, and says what is so after
// having been written anew many times.
func TestCompaction(t *testing.T) {
	dir, p := t.TempDir(), four("10.0.0.1", "10.0.0.200")
	idle := four("10.1.0.1", "10.1.3.232")
	idle.Name = "idle" // taken once, and no word of them since
	pools := map[string]*config.Pool{"p": p, "idle": idle}
	s := opened(t, dir, pools, epoch)
	for i := range 1000 {
		take(t, s, idle, fmt.Sprint(i), epoch)
	}
	var last netip.Prefix
	for i := range 20_000 {
		now := epoch.Add(time.Duration(i))
		last = take(t, s, p, fmt.Sprint(i%300), now)
		if i < 19_999 {
			s.Give(last, now)
		}
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Size() > (2*1200+2*slackLines)*80 {
		t.Errorf("%d octets, %v", info.Size(), err)
	}
	if n := s.Counts()["pool_compactions"]; n < 4 {
		t.Errorf("%d compactions", n)
	}
	s = opened(t, dir, pools, epoch.Add(time.Hour))
	if st := s.Stats()["p"]; st != (Stats{Size: 200, Resting: 200, Quarantined: 1}) {
		t.Errorf("%+v", st)
	}
	if st := s.Stats()["idle"]; st != (Stats{Size: 1000, Resting: 1000, Quarantined: 1000}) {
		t.Errorf("what nobody spoke of: %+v", st)
	}
	if got := take(t, s, p, fmt.Sprint(19_999%300), epoch.Add(time.Hour)); got != last {
		t.Errorf("%v, want %v", got, last)
	}
}

// No call goes through what is taken, however it lies: claims in a row before the
// next address cost no more than others.
func TestRunsAreSkipped(t *testing.T) {
	f := fresh{size: math.MaxUint32}
	for i := uint64(100_000); i > 0; i-- {
		f.touch(i)
	}
	f.touch(0)
	if next, ok := f.peek(); !ok || next.first != 100_001 || len(f.lastOf) != 0 || len(f.firstOf) != 0 {
		t.Errorf("next %v, %d runs", next, len(f.lastOf))
	}
}
