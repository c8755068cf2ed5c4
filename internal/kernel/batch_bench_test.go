package kernel

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

// benchmarkBurst is how many datagrams are on their way at once: ten merged
// messages of 1,400 octets each.
const benchmarkBurst = 460

// BenchmarkUDP sends and receives datagrams of 1,400 octets over the loopback,
// one by one and merged. The time of sending has what the loopback does in the
// receiver's name.
func BenchmarkUDP(b *testing.B) {
	for _, c := range []struct {
		name            string
		merging, single bool
	}{
		{"calls one by one", false, true},
		{"calls batched", false, false},
		{"merged", true, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			from, _ := listen(b, loopbacks[0].addr)
			to, peer := listen(b, loopbacks[0].addr)
			var counts SendCounts
			out, in := NewSendBatch(&counts), NewRecvBatch(64)
			d := NewDestination(from, netip.Addr{}, peer)
			if c.single {
				in = NewRecvBatch(1)
			}
			if !c.merging {
				d.refuse(0, neverMerge)
				if err := unix.SetsockoptInt(to, unix.SOL_UDP, unix.UDP_GRO, 0); err != nil {
					b.Fatal(err)
				}
			}
			packet := make([]byte, 1400)
			var sending, receiving time.Duration
			came := 0
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				for range benchmarkBurst {
					copy(out.Room(d, len(packet)), packet)
					if c.single {
						out.Flush()
					}
				}
				out.Flush()
				sent := time.Now()
				sending += sent.Sub(start)
				for {
					n, err := in.Receive(to)
					if err != nil {
						b.Fatal(err)
					}
					if n == 0 {
						break
					}
					for i := range n {
						data, segment, _, _ := in.Datagram(i)
						came += (len(data) + segment - 1) / segment
					}
				}
				receiving += time.Since(sent)
			}
			if want := uint64(came); counts.Sent.Load() != want || counts.Failed.Load() != 0 {
				b.Errorf("%d sent, %d failed, %d came", counts.Sent.Load(), counts.Failed.Load(), came)
			}
			b.ReportMetric(float64(came)/sending.Seconds()/1e6, "Mpps-sent")
			b.ReportMetric(float64(came)/receiving.Seconds()/1e6, "Mpps-received")
		})
	}
}

// BenchmarkTUN writes and reads UDP packets with 1,400 octets of payload, one by
// one and as super packets of 46. What is written reaches a socket and is
// dropped there; what is read was sent with UDP_SEGMENT, which is not timed.
func BenchmarkTUN(b *testing.B) {
	for _, c := range []struct {
		name     string
		segments int
		sets     []int
	}{{"one by one", 1, []int{0}}, {"merged", 46, nil}} {
		b.Run(c.name, func(b *testing.B) {
			inNamespaces(b, func(enter func()) {
				enter()
				f := tunFamilies[0]
				tun := openTUNUp(b, TUNOptions{offloads: c.sets}, f.subnetA)
				fd, local := listen(b, f.a)
				q, buf := tun.Queue(0), make([]byte, MaxSuperPacket)
				if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0); err != nil {
					b.Fatal(err)
				}
				var w TUNWriter
				g, packet := superPacket(netip.AddrPortFrom(f.peerA, 9), local, unix.IPPROTO_UDP, numbered(1400*c.segments), 1400)
				if c.segments == 1 {
					g.Type, g.SegmentSize = inet.GSONone, 0
				}
				parts := [][]byte{packet}
				var counts SendCounts
				out, to := NewSendBatch(&counts), NewDestination(fd, f.a, netip.AddrPortFrom(f.peerA, 9))
				var writing, reading time.Duration
				written, read := 0, 0
				b.ReportAllocs()
				for b.Loop() {
					for range benchmarkBurst / 2 {
						copy(out.Room(to, 1400), packet)
					}
					out.Flush()
					start := time.Now()
					for range benchmarkBurst / 2 / c.segments {
						if err := w.Write(q, g, parts); err != nil {
							b.Fatal(err)
						}
						written += c.segments
					}
					wrote := time.Now()
					writing += wrote.Sub(start)
					for {
						n, _, err := q.Read(buf)
						if err != nil {
							b.Fatal(err)
						}
						if n == 0 {
							break
						}
						read += max(n/1400, 1)
					}
					reading += time.Since(wrote)
				}
				if read == 0 || written == 0 {
					b.Errorf("%d read, %d written", read, written)
				}
				b.ReportMetric(float64(written)/writing.Seconds()/1e6, "Mpps-written")
				b.ReportMetric(float64(read)/reading.Seconds()/1e6, "Mpps-read")
			})
		})
	}
}
