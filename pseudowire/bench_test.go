package pseudowire

import (
	"bytes"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
)

// BenchmarkIn is frames of the peer on their way into a TAP, 32 in a burst, of one flow.
func BenchmarkIn(b *testing.B) {
	for _, vlan := range []uint16{0, 7} {
		b.Run(map[uint16]string{0: "plain", 7: "VLAN"}[vlan], func(b *testing.B) {
			x := newEnd(b)
			bridge, err := x.factory.Open(Spec{Kind: circuit.EthernetTAP, VLAN: vlan}, &room{}, func(circuit.Exit) {})
			if err != nil {
				b.Fatal(err)
			}
			defer bridge.Close("")
			(&session{Bridge: bridge}).up(b)
			header := frameOf("\x08\x00")
			if vlan != 0 {
				header = frameOf("\x81\x00\x00\x07", "\x08\x00")
			}
			var frames [][]byte
			for i := range 32 {
				frames = append(frames, append(bytes.Clone(header), udp4(uint16(i), 1372)...))
			}
			scratch := make([][2048]byte, len(frames))
			burst, now := circuit.NewBurst(new(kernel.SendCounts)), time.Now()
			b.SetBytes(int64(len(frames[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				bridge.Deliver(burst, now, scratch[i][:copy(scratch[i][:], frames[i])])
				if i++; i == len(frames) {
					burst.Flush()
					i = 0
				}
			}
		})
	}
}

// BenchmarkOut is a super packet out of a TAP on its way into messages; one operation is
// one frame of 40.
func BenchmarkOut(b *testing.B) {
	for _, vlan := range []uint16{0, 7} {
		b.Run(map[uint16]string{0: "plain", 7: "VLAN"}[vlan], func(b *testing.B) {
			x := newEnd(b)
			tap := newTAPBridge(x.factory, &Spec{Kind: circuit.EthernetTAP, VLAN: vlan}, &room{}, nil)
			super := append(frameOf("\x08\x00"), udp4(0, 40*1372)...)
			g := ip.GSO{Type: ip.GSOUDP, SegmentSize: 1372, HeaderLen: 42, NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 6}
			r := &reader{burst: circuit.NewBurst(new(kernel.SendCounts))}
			b.SetBytes(1400 + 14)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i%40 == 0 {
					tap.send(r, g, super)
				}
				i++
			}
		})
	}
}
