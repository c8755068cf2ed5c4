package radius

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"
)

func quiet() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(&logLines{})
	return logrus.NewEntry(log)
}

// fileOf makes the octets of a file with a Start of three sessions, of which the
// first was taken.
func fileOf(t testing.TB) (all []byte, ends []int) {
	t.Helper()
	for i, id := range []string{"a", "b", "c"} {
		r := record(1, id, 0)
		p := &radius.Packet{}
		encodeForTest(p, &r)
		attributes, err := encodeAttributes(p)
		if err != nil {
			t.Fatal(err)
		}
		c := content{group: "group", id: id, kind: 1, time: time.Unix(1000, 5), attributes: attributes}
		octets, err := c.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		all = appendFrame(all, frameRecord, uint64(i+1), octets)
		ends = append(ends, len(all))
	}
	all = appendFrame(all, frameTaken, 1, nil)
	return all, append(ends, len(all))
}

func openOctets(t testing.TB, octets []byte) *store {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(7)), octets, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openStore(dir, DefaultLimit, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// kill -9 leaves any part of the last write.
func TestTorn(t *testing.T) {
	all, ends := fileOf(t)
	for n := range len(all) + 1 {
		whole := 0
		for _, end := range ends[:3] {
			if n >= end {
				whole++
			}
		}
		s := openOctets(t, all[:n])
		if len(s.found) != whole {
			t.Fatalf("cut at %d: %d records, want %d", n, len(s.found), whole)
		}
		for i, e := range s.found {
			c, err := s.content(e)
			if err != nil || c.id != string(rune('a'+i)) || c.group != "group" || c.time.UnixNano() != 1000e9+5 || e.taken != (i == 0 && n == len(all)) {
				t.Fatalf("cut at %d: record %d is %+v, %v", n, i, c, err)
			}
		}
		if clean := n == 0 || n == ends[0] || n == ends[1] || n == ends[2] || n == ends[3]; clean != (s.damaged == 0) {
			t.Errorf("cut at %d: %d octets damaged", n, s.damaged)
		}
	}
}

// Damage in the middle costs the record that it is in.
func TestDamaged(t *testing.T) {
	all, ends := fileOf(t)
	for i := ends[0]; i < ends[1]; i++ {
		broken := append([]byte(nil), all...)
		broken[i] ^= 0x55
		s := openOctets(t, broken)
		if len(s.found) != 2 || s.found[0].id != "a" || s.found[1].id != "c" || s.damaged != uint64(ends[1]-ends[0]) {
			t.Fatalf("octet %d: %d records, %d octets damaged", i, len(s.found), s.damaged)
		}
	}
}

// Whatever the files hold: no panic, and a Client starts.
func FuzzFiles(f *testing.F) {
	all, ends := fileOf(f)
	f.Add(all)
	f.Add(all[ends[0]:])
	f.Add(appendFrame(nil, frameOpen, 1<<63, []byte("\x01........\x05group\x01a\x28\x06\x00\x00\x00\x01")))
	f.Fuzz(func(t *testing.T, octets []byte) {
		// As they are, and as a frame that is whole.
		octets = append(append([]byte(nil), octets...), appendFrame(nil, frameRecord, 3, octets[:min(len(octets), maxContent)])...)
		s := openOctets(t, octets)
		cfg, _ := testConfig("only")
		b := newBooks(cfg, s, newTransport((&memoryNet{}).dial, quiet()), quiet())
		b.recover(s.found)
		for _, a := range b.accounts {
			for _, c := range a.chains {
				for _, e := range c.queue {
					if what, err := s.content(e); err != nil || what.group != a.name {
						t.Fatalf("%+v, %v", what, err)
					}
				}
				if c.last != nil {
					t.Fatal("a session is open still")
				}
			}
		}
	})
}
