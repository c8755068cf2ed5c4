package ip

import (
	"strconv"
	"testing"
)

// rate reports packets a second.
func rate(b *testing.B, packets int) {
	b.ReportMetric(float64(packets)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpps")
}

var sink uint64

func BenchmarkSum1400(b *testing.B) {
	p := octets(1400, 1)
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		sink += Sum(p, 0)
	}
	rate(b, 1)
}

func BenchmarkParse(b *testing.B) {
	for _, version := range []int{4, 6} {
		p := flowOf(version, ProtocolUDP).next(octets(1372, 1))
		b.Run("IPv"+strconv.Itoa(version), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, err := Parse(p)
				if err != nil {
					b.Fatal(err)
				}
				sink += uint64(h.Length)
			}
			rate(b, 1)
		})
	}
}

// kinds are the flows of the benchmarks and of the allocation test.
var kinds = []struct {
	name     string
	version  int
	protocol uint8
}{
	{"UDPv4", 4, ProtocolUDP}, {"UDPv6", 6, ProtocolUDP}, {"TCPv4", 4, ProtocolTCP}, {"TCPv6", 6, ProtocolTCP},
}

// train returns n packets of length octets of one flow.
func train(version int, protocol uint8, n, length int) [][]byte {
	f := flowOf(version, protocol)
	size := length - len(f.next(nil))
	f = flowOf(version, protocol)
	var all [][]byte
	for i := range n {
		all = append(all, f.next(octets(size, i)))
	}
	return all
}

// BenchmarkMerge1400: Parse, MSS clamp, Start or Add, Finish.
func BenchmarkMerge1400(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			packets := train(k.version, k.protocol, 40, 1400)
			var s Super
			b.SetBytes(40 * 1400)
			b.ReportAllocs()
			for b.Loop() {
				mergeAll(b, &s, packets)
			}
			rate(b, 40)
		})
	}
}

// mergeAll does what a reader does with packets of one flow.
func mergeAll(tb testing.TB, s *Super, packets [][]byte) {
	for i, p := range packets {
		h, err := Parse(p)
		if err != nil {
			tb.Fatal(err)
		}
		ClampMSS(p, h, 1400)
		if i == 0 {
			if !s.Start(p, &h, everything) {
				tb.Fatal("not started")
			}
		} else if !s.Add(p, &h) {
			tb.Fatalf("packet %d is not added", i)
		}
	}
	if _, parts := s.Finish(); len(parts) != len(packets)+1 {
		tb.Fatalf("%d parts", len(parts))
	}
}

func BenchmarkSplit1400(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			var m Super
			mergeAll(b, &m, train(k.version, k.protocol, 40, 1400))
			g, parts := m.Finish()
			packet := joined(parts)
			dst := make([]byte, 1500)
			var s Splitter
			b.SetBytes(40 * 1400)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Begin(g, packet); err != nil {
					b.Fatal(err)
				}
				for n := s.Next(); n > 0; n = s.Next() {
					s.Put(dst)
				}
			}
			rate(b, 40)
		})
	}
}

// BenchmarkClampMSS: a packet that is not a SYN.
func BenchmarkClampMSS(b *testing.B) {
	p := flowOf(4, ProtocolTCP).next(octets(1360, 1))
	h := *mustParse(p)
	b.ReportAllocs()
	for b.Loop() {
		if ClampMSS(p, h, 1400) {
			b.Fatal("clamped")
		}
	}
}
