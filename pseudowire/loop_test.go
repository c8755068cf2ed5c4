package pseudowire

import (
	"encoding/binary"
	"net"
	"testing"

	"adit/internal/circuit"
	"adit/proto/ip"
)

// ownFrames is a session whose messages are datagrams to port 1701.
type ownFrames struct{ room }

func (*ownFrames) Recognise(packet []byte) bool {
	h, err := ip.Parse(packet)
	return err == nil && h.Protocol == ip.ProtocolUDP && binary.BigEndian.Uint16(packet[h.HeaderLen+2:]) == 1701
}

// A message to the peer that is routed into its own pseudowire would come out of the
// device again and again, and longer each time. It goes no further, and is counted.
func TestOwnMessages(t *testing.T) {
	for _, kind := range []circuit.Kind{circuit.EthernetTAP, circuit.IPTUN} {
		x := newEnd(t)
		b, err := x.factory.Open(Spec{Kind: kind, Addresses: prefixesOf("10.5.0.1/24")}, &ownFrames{}, func(circuit.Exit) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close("the test is over") })
		waitFor(t, "device", func() bool { return isReady(&session{Bridge: b}) })
		if kind == circuit.EthernetTAP {
			x.ns.ip(t, "neigh", "replace", "10.5.0.2", "lladdr", "02:00:00:00:00:02", "dev", b.Info().Interface)
		}
		x.ns.do(func() {
			for _, port := range []string{"1701", "1702", "1701"} {
				c, err := net.Dial("udp", "10.5.0.2:"+port)
				if err == nil {
					_, err = c.Write([]byte("message"))
					_ = c.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		waitFor(t, "datagram, of three", func() bool { s := b.Stats(); return s.DropLoop == 2 && s.FramesOut > 0 })
		if s := b.Stats(); s.DropMalformed != 0 || s.DropNotUp != 0 {
			t.Errorf("%v: %+v", kind, s)
		}
	}
}
