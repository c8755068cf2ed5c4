package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// packetTo is an IP packet with the payload, which begins with a UDP header for UDP.
func packetTo(to netip.Addr, protocol uint8, payload []byte) []byte {
	if to.Is4() {
		h := make([]byte, 20)
		h[0], h[9] = 0x45, protocol
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		copy(h[16:], to.AsSlice())
		return append(h, payload...)
	}
	h := make([]byte, 40)
	h[0], h[6] = 0x60, protocol
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	copy(h[24:], to.AsSlice())
	return append(h, payload...)
}

func datagramTo(port uint16, data []byte) []byte {
	h := make([]byte, 8)
	binary.BigEndian.PutUint16(h[2:], port)
	return append(h, data...)
}

// messageTo is a message of version 3 to a peer, and the session that has sent it.
func messageTo(t *testing.T, peer netip.AddrPort, overIP bool) (*dataNode, []byte) {
	t.Helper()
	d := newDataNode3(t, wish3{overIP: overIP, peer: tunnel.Wire{Cookie: cookie8, Sublayer: l2tp.SublayerDefault}})
	path := *d.slot.path.Load()
	if path.Peer = peer; overIP {
		path.Peer = portless(peer)
	}
	d.slot.path.Store(&path)
	d.send([]byte("frame"))
	return d, d.wire.data[0]
}

// A session knows what it has sent itself, and takes nothing else for it.
func TestRecognise(t *testing.T) {
	for _, peer := range []netip.AddrPort{lacAddr, netip.MustParseAddrPort("[2001:db8::7]:1701")} {
		for _, overIP := range []bool{false, true} {
			d, message := messageTo(t, peer, overIP)
			wrap := func(to netip.Addr, port uint16, message []byte) []byte {
				if overIP {
					return packetTo(to, 115, message)
				}
				return packetTo(to, 17, datagramTo(port, message))
			}
			own := wrap(peer.Addr(), peer.Port(), message)
			if !d.session.Recognise(own) {
				t.Errorf("%v, over IP %v: its own message is a stranger's", peer, overIP)
			}
			for n := range len(own) {
				_ = d.session.Recognise(own[:n]) // which must not panic
			}
			other := slices.Clone(message)
			other[len(other)-len("frame")-4-8-1]++ // the last octet of the Session ID
			foreign := map[string][]byte{
				"another address":    wrap(peer.Addr().Next(), peer.Port(), message),
				"another session":    wrap(peer.Addr(), peer.Port(), other),
				"another protocol":   packetTo(peer.Addr(), 47, own[len(own)-len(message)-8:]),
				"neither IP version": append([]byte{0x50}, own[1:]...),
				"no packet":          nil,
			}
			if !overIP {
				foreign["another port"] = wrap(peer.Addr(), 1702, message)
				foreign["version 2"] = wrap(peer.Addr(), peer.Port(), append([]byte{0, 2}, message[2:]...))
			}
			if peer.Addr().Is4() {
				late := slices.Clone(own)
				late[7] = 1 // a fragment that is not the first
				foreign["the rest of a packet"] = late
			} else {
				protocol := own[6]
				first := append([]byte{protocol, 0, 0, 1, 0, 0, 0, 0}, own[40:]...)
				if !d.session.Recognise(packetTo(peer.Addr(), 44, first)) {
					t.Errorf("%v, over IP %v: the first fragment is a stranger's", peer, overIP)
				}
				first[3] = 9
				foreign["the rest of a packet"] = packetTo(peer.Addr(), 44, first)
			}
			for name, packet := range foreign {
				if d.session.Recognise(packet) {
					t.Errorf("%v, over IP %v: %s was taken for its own", peer, overIP, name)
				}
			}
			if n := testing.AllocsPerRun(100, func() { d.session.Recognise(own) }); n != 0 && !raceDetector {
				t.Errorf("%v allocations", n)
			}
		}
	}
}

// Two sessions whose peers are reached through each other: what comes out of the device
// of one is a message of the other one, with a message of the first in it. That one is
// known again, however deep it lies, and nothing else is taken for it.
func TestRecogniseWithinOthers(t *testing.T) {
	const other = 0x0badf00d
	for _, peer := range []netip.AddrPort{lacAddr, netip.MustParseAddrPort("[2001:db8::7]:1701")} {
		for _, overIP := range []bool{false, true} {
			d, message := messageTo(t, peer, overIP)
			wrap := func(to netip.Addr, message []byte) []byte {
				if overIP {
					return packetTo(to, 115, message)
				}
				return packetTo(to, 17, datagramTo(peer.Port(), message))
			}
			// around puts an Ethernet frame of a packet into a message of another session.
			around := func(overIP bool, cookie int, packet []byte) []byte {
				frame := append(make([]byte, 12), 8, 0)
				if packet[0]>>4 == 6 {
					frame[12], frame[13] = 0x86, 0xdd
				}
				head := binary.BigEndian.AppendUint32(nil, other)
				head = append(append(head, make([]byte, cookie)...), append(frame, packet...)...)
				if overIP {
					return packetTo(peer.Addr().Next(), 115, head)
				}
				return packetTo(peer.Addr().Next(), 17, datagramTo(1701, append([]byte{0, 3, 0, 0}, head...)))
			}
			own := wrap(peer.Addr(), message)
			nested := map[string][]byte{
				"UDP":                      around(false, 0, own),
				"IP":                       around(true, 4, own),
				"UDP in IP in UDP":         around(false, 8, around(true, 12, around(false, 4, own))),
				"version 2":                packetTo(peer.Addr().Next(), 17, datagramTo(1701, append([]byte{0, 2, 0, 7, 0, 9, 0xff, 3, 0, 0x21}, own...))),
				"the address twice before": around(false, 0, append(packetTo(peer.Addr(), 17, datagramTo(53, nil)), own...)),
			}
			if peer.Addr().Is6() {
				first := append([]byte{own[6], 0, 0, 1, 0, 0, 0, 0}, own[40:]...)
				nested["a first fragment"] = around(true, 8, packetTo(peer.Addr(), 44, first))
			}
			for name, packet := range nested {
				if !d.session.Recognise(packet) {
					t.Errorf("%v, over IP %v: its own message in another one, %s, is a stranger's", peer, overIP, name)
				}
				if n := testing.AllocsPerRun(100, func() { d.session.Recognise(packet) }); n != 0 && !raceDetector {
					t.Errorf("%v allocations", n)
				}
			}
			for n := range len(nested["UDP"]) {
				_ = d.session.Recognise(nested["UDP"][:n]) // which must not panic
			}
			foreign := slices.Clone(message)
			foreign[len(foreign)-len("frame")-4-8-1]++ // the last octet of the Session ID
			for name, packet := range map[string][]byte{
				"of another session":             around(false, 8, wrap(peer.Addr(), foreign)),
				"to another address":             around(false, 8, wrap(peer.Addr().Prev(), message)),
				"in what is not L2TP":            packetTo(peer.Addr().Next(), 17, datagramTo(53, own)),
				"in a control message":           packetTo(peer.Addr().Next(), 17, datagramTo(1701, append([]byte{0xc8, 3, 0, 12, 0, 0, 0, 9}, own...))),
				"in what has no version of ours": packetTo(peer.Addr().Next(), 17, datagramTo(1701, append([]byte{0, 4, 0, 0, 0, 0, 0, 9}, own...))),
				"beyond what a loop can lead to": around(false, 8, append(make([]byte, 600), own...)),
			} {
				if d.session.Recognise(packet) {
					t.Errorf("%v, over IP %v: a message %s was taken for its own", peer, overIP, name)
				}
			}
		}
	}
}

// A session of version 2 knows its messages, numbered or not, by the Tunnel ID too.
func TestRecognise2(t *testing.T) {
	for _, numbers := range []bool{false, true} {
		d := newDataNode(t, sequence.Config{Send: numbers}, circuit.Builtin)
		d.send([]byte("frame"))
		message := d.wire.data[0]
		wrap := func(to netip.Addr, port uint16, message []byte) []byte {
			return packetTo(to, 17, datagramTo(port, message))
		}
		own := wrap(lacAddr.Addr(), lacAddr.Port(), message)
		within := packetTo(lacAddr.Addr().Next(), 17, datagramTo(1701, append([]byte{0, 3, 0, 0, 1, 2, 3, 4}, own...)))
		for name, packet := range map[string][]byte{"its own message": own, "its own in another": within} {
			if !d.session.Recognise(packet) {
				t.Errorf("numbers %v: %s is a stranger's", numbers, name)
			}
			for n := range len(packet) {
				_ = d.session.Recognise(packet[:n]) // which must not panic
			}
			if n := testing.AllocsPerRun(100, func() { d.session.Recognise(packet) }); n != 0 && !raceDetector {
				t.Errorf("%v allocations", n)
			}
		}
		changed := func(at int, to byte) []byte {
			b := slices.Clone(message)
			b[at] ^= to
			return wrap(lacAddr.Addr(), lacAddr.Port(), b)
		}
		for name, packet := range map[string][]byte{
			"to another address":   wrap(lacAddr.Addr().Next(), lacAddr.Port(), message),
			"to another port":      wrap(lacAddr.Addr(), lacAddr.Port()+1, message),
			"of control":           changed(0, 0x80),
			"of version 3":         changed(1, 1),
			"of another tunnel":    changed(3, 1),
			"of another session":   changed(5, 1),
			"with a Length before": changed(0, 0x40),
		} {
			if d.session.Recognise(packet) {
				t.Errorf("numbers %v: a message %s was taken for its own", numbers, name)
			}
		}
	}
}
