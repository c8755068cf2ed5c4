package autoconf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"adit/proto/ip"
)

// peerEnd is what a subscriber receives.
type peerEnd struct {
	mu      sync.Mutex
	packets [][]byte
	times   []time.Time
}

func (p *peerEnd) send(packet []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packets, p.times = append(p.packets, packet), append(p.times, time.Now())
}

// take returns what came since the last take.
func (p *peerEnd) take() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.packets
	p.packets, p.times = nil, nil
	return all
}

func newTestService(t *testing.T, cfg Config) *Service {
	t.Helper()
	cfg.DUID = testDUID
	s, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A link from its begin to its end.
func TestService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newTestService(t, Config{}), &peerEnd{}
		defer s.Close()
		want := func(what string, n int) [][]byte {
			t.Helper()
			synctest.Wait()
			got := p.take()
			if len(got) != n {
				t.Fatalf("%s: %d packets, want %d: %v", what, len(got), n, s.Counts())
			}
			return got
		}
		// First IPv4 alone.
		sub := testSubscriber()
		ipv4 := sub
		ipv4.LocalID = 0
		s.Attach("a", ipv4, "tun0", p.send)
		time.Sleep(time.Hour)
		want("no IPv6", 0)
		s.Packet("a", datagram4(addr("10.9.0.2"), broadcastIP, 68, 67, windowsInform()))
		want("DHCPINFORM", 1)
		s.Packet("a", solicitation(peer6))
		want("a solicitation without IPv6", 0)
		// Then IPv6 too.
		s.Attach("a", sub, "tun0", p.send)
		want("the first advertisement", 1)
		time.Sleep(33 * time.Second)
		want("the next ones", 2)
		s.Packet("a", solicitation(peer6))
		time.Sleep(maxDelay)
		want("solicited", 1)
		time.Sleep(MaxAdvertisementInterval)
		if n := len(p.take()); n < 1 || n > 3 {
			t.Errorf("%d advertisements in ten minutes", n)
		}
		// What changes nothing on the link is not advertised; what does is, at once.
		sub.PushRoutes = nil
		s.Update("a", sub)
		want("new IPv4 routes", 0)
		sub.Prefixes = prefixes("2001:db8:1:3::/64")
		s.Update("a", sub)
		time.Sleep(minDelayBetween)
		if m := want("a new prefix", 1)[0]; m[40+16+16+7] != 3 {
			t.Errorf("%x", m)
		}
		s.Detach("a")
		s.Packet("a", solicitation(peer6))
		s.Update("a", sub)
		time.Sleep(time.Hour)
		want("after the end", 0)
		if c := s.Counts(); c["autoconf_dropped_no_link"] != 1 || c["autoconf_dhcpinform_answered"] != 1 || c["autoconf_router_advertisements"]+1 != c["autoconf_packets_sent"] {
			t.Errorf("%v", c)
		}
		s.Close()
		s.Close()
		s.Attach("b", sub, "tun0", p.send)
		s.Packet("b", nil)
		want("after Close", 0)
	})
}

// A flood fills the queue and not the memory, and is counted.
// A subscriber whose session has an idle timeout is not kept awake: after the first
// few, advertisements are hours apart, and what they tell outlives three of them.
func TestServiceQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newTestService(t, Config{}), &peerEnd{}
		defer s.Close()
		sub := testSubscriber()
		sub.Quiet = true
		s.Attach("a", sub, "tun0", p.send)
		time.Sleep(time.Minute)
		synctest.Wait()
		first := p.take()
		if len(first) != maxInitial {
			t.Fatalf("%d advertisements in the first minute", len(first))
		}
		// RFC 4861 section 4.2: Router Lifetime is in octets 6 and 7 of the message.
		if life := time.Duration(binary.BigEndian.Uint16(first[0][40+6:])) * time.Second; life != 18*time.Hour {
			t.Errorf("the router lives for %v", life)
		}
		time.Sleep(time.Hour + 50*time.Minute)
		synctest.Wait()
		if n := len(p.take()); n != 0 {
			t.Errorf("%d advertisements in two hours", n)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if n := len(p.take()); n < 1 || n > 3 {
			t.Errorf("%d advertisements in the five hours after that", n)
		}
	})
}

func TestServiceQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestService(t, Config{Queue: 10})
		defer s.Close()
		block := make(chan bool)
		s.Attach("a", Subscriber{LocalID: 1}, "tun0", func([]byte) { <-block })
		synctest.Wait() // the goroutine is in its first send
		for range 100 {
			s.Packet("a", solicitation(peer6))
		}
		if n := s.Counts()["autoconf_dropped_queue_full"]; n != 90 {
			t.Errorf("%d dropped", n)
		}
		close(block)
		synctest.Wait()
		if c := s.Counts(); c["autoconf_router_solicitations"] != 10 || s.waiting.Load() != 0 {
			t.Errorf("%v, %d wait", c, s.waiting.Load())
		}
	})
}

// 100,000 links: one goroutine, one timer, and each link hears from us as often as
// it should.
func TestServiceManyLinks(t *testing.T) {
	n := 100_000
	if raceDetector || testing.Short() {
		n = 5_000
	}
	synctest.Test(t, func(t *testing.T) {
		// One of the runtime's own, or the end of another test's, may be counted too.
		goroutines, heap := runtime.NumGoroutine(), heapInUse()
		s := newTestService(t, Config{})
		var sent atomic.Int64
		count := func([]byte) { sent.Add(1) }
		sub := testSubscriber()
		for i := range n {
			mine := sub
			mine.LocalID = uint64(i + 1)
			mine.Peer = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			s.Attach(fmt.Sprintf("%08x", i), mine, "tun0", count)
		}
		synctest.Wait()
		if sent.Load() != int64(n) || runtime.NumGoroutine() > goroutines+10 {
			t.Errorf("%d advertisements, %d goroutines more", sent.Load(), runtime.NumGoroutine()-goroutines)
		}
		t.Logf("%d octets for a link", (heapInUse()-heap)/uint64(n))
		if each := (heapInUse() - heap) / uint64(n); each > 1024 {
			t.Errorf("%d octets for a link", each)
		}
		time.Sleep(32 * time.Second)
		synctest.Wait()
		if sent.Load() != 3*int64(n) {
			t.Errorf("%d advertisements in the first half minute", sent.Load())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := sent.Load() - 3*int64(n); got < int64(n) || got > 3*int64(n) {
			t.Errorf("%d advertisements in ten minutes more", got)
		}
		s.Close() // the bubble ends only if no goroutine is left in it
	})
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkAnswer is what a question costs.
func BenchmarkAnswer(b *testing.B) {
	for name, packet := range map[string][]byte{
		"inform":  datagram4(addr("10.9.0.2"), broadcastIP, 68, 67, windowsInform()),
		"solicit": datagram6(peer6, allDHCP, 546, 547, message(1, askNA(1), askPD(2)).ToBytes()),
	} {
		b.Run(name, func(b *testing.B) {
			c, l := newTestCore(b), &Link{Subscriber: testSubscriber()}
			b.ReportAllocs()
			for b.Loop() {
				l.asking = Link{}.asking
				if len(c.Answer(start, l, packet)) != 1 {
					b.Fatal("no answer")
				}
			}
		})
	}
}

// TestParse: what is no packet, or a wrong one, is seen as that.
func TestParse(t *testing.T) {
	good := datagram4(addr("10.9.0.2"), addr("10.9.0.1"), 68, 67, []byte("data"))
	for name, change := range map[string]func([]byte) []byte{
		"truncated":  func(p []byte) []byte { return p[:len(p)-1] },
		"empty":      func([]byte) []byte { return nil },
		"fragment":   func(p []byte) []byte { p[6] = 0x20; return p },
		"UDP length": func(p []byte) []byte { p[25] = 200; return p },
		"UDP short":  func(p []byte) []byte { p[25] = 7; return p },
		"checksum":   func(p []byte) []byte { p[26] ^= 1; return p },
		"data":       func(p []byte) []byte { p[30] ^= 1; return p },
	} {
		if _, _, ok := parse(change(append([]byte(nil), good...))); ok {
			t.Errorf("%s: it is taken", name)
		}
	}
	if h, u, ok := parse(append(good, 0, 0)); !ok || len(u) != 12 || h.Protocol != ip.ProtocolUDP {
		t.Errorf("padded: %x, %v", u, ok)
	}
	good[26], good[27] = 0, 0
	if _, _, ok := parse(good); !ok {
		t.Error("without a checksum: it is dropped")
	}
}
