package engine

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// Recognise is circuit.Recogniser: a session of version 3 knows its messages by the
// peer's address and port, and by the peer's Session ID. Fragments but the first have
// no Session ID, and are not recognised.
func (d *dataSession) Recognise(packet []byte) bool {
	if !d.wire3.on || len(packet) == 0 {
		return false
	}
	var to netip.Addr
	var protocol uint8
	switch packet[0] >> 4 {
	case 4:
		const header, offset = 20, 0x1fff
		n := int(packet[0]&0xf) * 4
		if n < header || len(packet) < n || binary.BigEndian.Uint16(packet[6:])&offset != 0 {
			return false
		}
		to, protocol, packet = netip.AddrFrom4([4]byte(packet[16:])), packet[9], packet[n:]
	case 6:
		const header, fragment, offset = 40, 8, 0xfff8
		if len(packet) < header+fragment {
			return false
		}
		to, protocol, packet = netip.AddrFrom16([16]byte(packet[24:])), packet[6], packet[header:]
		if protocol == unix.IPPROTO_FRAGMENT {
			if binary.BigEndian.Uint16(packet[2:])&offset != 0 {
				return false
			}
			protocol, packet = packet[0], packet[fragment:]
		}
	default:
		return false
	}
	peer := d.slot.path.Load().Peer
	if to != peer.Addr().WithZone("") {
		return false
	}
	if d.wire3.overIP {
		return protocol == unix.IPPROTO_L2TP && len(packet) >= 4 && binary.BigEndian.Uint32(packet) == d.peerID
	}
	const udp, start = 8, 8
	return protocol == unix.IPPROTO_UDP && len(packet) >= udp+start &&
		binary.BigEndian.Uint16(packet[2:]) == peer.Port() &&
		binary.BigEndian.Uint16(packet[udp:]) == uint16(l2tp.Version3) &&
		binary.BigEndian.Uint32(packet[udp+4:]) == d.peerID
}
