package main

import (
	"encoding/binary"
	"net/netip"

	"adit/proto/ip"
)

// headerLen is the octets before the IP packet in a data message: an L2TP header
// without Length (RFC 2661 section 3.1), and PPP's Address, Control and Protocol
// fields uncompressed.
const headerLen = 10

// udpHeaders is the octets of the IPv4 and the UDP header of every packet.
const udpHeaders = 28

// sink is where the packets of subscribers go: behind the server is a route
// that swallows them.
var (
	sink      = netip.MustParseAddrPort("198.18.0.1:9")
	sinkRoute = "198.18.0.0/24"
)

// call is a session as a peer of the server knows it.
type call struct {
	tunnel, session uint16 // in messages to the server
	addr            netip.Addr
	mac             []byte // of the server's device, of an Ethernet pseudowire; else nil
}

// headerLen is the octets of a message to the server before its packet.
func (c call) headerLen() int {
	if c.mac != nil {
		return ethernetHeaderLen
	}
	return headerLen
}

// appendMessage appends a data message of the call to its server: an IPv4 packet
// of size octets to the sink, UDP with its checksum.
func (c call) appendMessage(b []byte, size int) []byte {
	be := binary.BigEndian
	if c.mac != nil {
		b = c.appendEthernet(b)
	} else {
		b = be.AppendUint16(b, 0x0002) // data, version 2, nothing optional
		b = be.AppendUint16(b, c.tunnel)
		b = be.AppendUint16(b, c.session)
		b = be.AppendUint32(b, 0xff030021)
	}
	start := len(b)
	b = append(b, make([]byte, size)...)
	p := b[start:]
	p[0] = 0x45
	be.PutUint16(p[2:], uint16(size))
	be.PutUint16(p[6:], 0x4000) // DF
	p[8], p[9] = 64, ip.ProtocolUDP
	src, dst := c.addr.As4(), sink.Addr().As4()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	be.PutUint16(p[10:], ip.Checksum(p[:20], 0))
	u := p[20:]
	be.PutUint16(u, 5000)
	be.PutUint16(u[2:], sink.Port())
	be.PutUint16(u[4:], uint16(len(u)))
	for i := range u[8:] {
		u[8+i] = byte(i)
	}
	sum := ip.Checksum(u, ip.PseudoHeader(c.addr, sink.Addr(), ip.ProtocolUDP, len(u)))
	if sum == 0 {
		sum = 0xffff // RFC 768
	}
	be.PutUint16(u[6:], sum)
	return b
}
