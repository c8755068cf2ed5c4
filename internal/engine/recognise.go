package engine

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// nestedWithin is how far into a packet the headers of messages in messages are looked
// for, in octets: those of some five.
const nestedWithin = 512

// Recognise is circuit.Recogniser: a session knows its messages by the peer's address and
// port, and by the peer's Session ID, in version 2 with its Tunnel ID. It knows one within
// messages of other sessions too: where one session's peer is reached through another, and
// that one's peer through the first, a packet goes round in both, a header longer each
// time. Fragments but the first have no Session ID, and are not recognised; on their next
// way round they are whole, within a message.
func (d *dataSession) Recognise(packet []byte) bool {
	if len(packet) == 0 {
		return false
	}
	to, protocol, payload := destination(packet)
	if !isData(protocol, payload) {
		return false
	}
	path := d.slot.path.Load()
	peer := netip.AddrPortFrom(path.Peer.Addr().WithZone(""), path.Peer.Port())
	return to == peer.Addr() && d.isOwn(peer.Port(), protocol, payload) ||
		d.isWithin(peer, payload[:min(len(payload), nestedWithin)])
}

// destination is that of an IP packet, with its protocol and what follows the headers; of
// something else, or of a fragment that is not the first, no payload.
func destination(packet []byte) (to netip.Addr, protocol uint8, payload []byte) {
	switch packet[0] >> 4 {
	case 4:
		const header, offset = 20, 0x1fff
		n := int(packet[0]&0xf) * 4
		if n < header || len(packet) < n || binary.BigEndian.Uint16(packet[6:])&offset != 0 {
			return netip.Addr{}, 0, nil
		}
		return netip.AddrFrom4([4]byte(packet[16:])), packet[9], packet[n:]
	case 6:
		const header, fragment, offset = 40, 8, 0xfff8
		if len(packet) < header+fragment {
			return netip.Addr{}, 0, nil
		}
		to, protocol, payload = netip.AddrFrom16([16]byte(packet[24:])), packet[6], packet[header:]
		if protocol == unix.IPPROTO_FRAGMENT {
			if binary.BigEndian.Uint16(payload[2:])&offset != 0 {
				return netip.Addr{}, 0, nil
			}
			protocol, payload = payload[0], payload[fragment:]
		}
		return to, protocol, payload
	}
	return netip.Addr{}, 0, nil
}

// Octets of a UDP header, and of what a data message of version 3 over UDP has before its
// Session ID.
const udpHeader, beforeSessionID = 8, 4

// isData says whether what IP carries may be a data message: all of protocol 115, and
// datagrams that begin with the T bit clear and a version.
func isData(protocol uint8, payload []byte) bool {
	switch protocol {
	case unix.IPPROTO_L2TP:
		return len(payload) >= 4
	case unix.IPPROTO_UDP:
		const least = udpHeader + 6 // of version 2
		if len(payload) < least || payload[udpHeader]&0x80 != 0 {
			return false
		}
		version := payload[udpHeader+1]
		return version == l2tp.Version || version == l2tp.Version3 && len(payload) >= udpHeader+beforeSessionID+4
	}
	return false
}

// isOwn says of a data message to the peer's address whether it is of this session.
func (d *dataSession) isOwn(port uint16, protocol uint8, payload []byte) bool {
	if d.wire3.overIP {
		return protocol == unix.IPPROTO_L2TP && binary.BigEndian.Uint32(payload) == d.peerID
	}
	if protocol != unix.IPPROTO_UDP || binary.BigEndian.Uint16(payload[2:]) != port {
		return false
	}
	message := payload[udpHeader:]
	if d.wire3.on {
		return binary.BigEndian.Uint16(message) == uint16(l2tp.Version3) && binary.BigEndian.Uint32(message[beforeSessionID:]) == d.peerID
	}
	// What we send has no Length, with which the IDs would be elsewhere.
	const lengthAndVersion = 0x400f
	return binary.BigEndian.Uint16(message)&lengthAndVersion == uint16(l2tp.Version) &&
		uint32(binary.BigEndian.Uint16(message[2:])) == d.peerTunnel && uint32(binary.BigEndian.Uint16(message[4:])) == d.peerID
}

// isWithin looks for a message of this session in one of another session. What that one
// has before its frame is the business of its two ends, so the IP header is looked for by
// what is known of it: the peer's address, which is its end, and the Session ID behind it.
func (d *dataSession) isWithin(peer netip.AddrPort, octets []byte) bool {
	var room [16]byte
	address := room[:16]
	if peer.Addr().Is4() {
		four := peer.Addr().As4()
		address = room[:copy(room[:], four[:])]
	} else {
		room = peer.Addr().As16()
	}
	for {
		at := bytes.Index(octets, address)
		if at < 0 {
			return false
		}
		behind := octets[at+len(address):]
		protocol := uint8(unix.IPPROTO_UDP)
		if d.wire3.overIP {
			protocol = unix.IPPROTO_L2TP
		}
		if isData(protocol, behind) && d.isOwn(peer.Port(), protocol, behind) {
			return true
		}
		const fragment = 8
		if !peer.Addr().Is4() && len(behind) > fragment && behind[0] == protocol &&
			isData(protocol, behind[fragment:]) && d.isOwn(peer.Port(), protocol, behind[fragment:]) {
			return true
		}
		octets = octets[at+1:]
	}
}
