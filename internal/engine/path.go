package engine

import (
	"net/netip"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
)

// transport puts packets on the wire. It never blocks: what the kernel does not
// take at once is lost, as a packet may be.
type transport interface {
	// send puts a control message on the wire; shards call it.
	send(packet []byte, path *Path) error
	// room is where a data message of n octets to the peer is written, in the
	// burst of the calling goroutine; nil: it cannot go, which is counted.
	room(b *circuit.Burst, path *Path, n int) []byte
	// prepare fills in what room needs of a path; the shard calls it, once for
	// each path that a tunnel takes.
	prepare(path *Path)
	// hold keeps the transport open until release. Who was given it by somebody who
	// holds it may, and has to, if it keeps it.
	hold()
	release()
}

// Path is the way between us and one peer: the socket, our address that the
// peer sends to, and the peer's.
//
// RFC 2661 section 8.1: "Once the source and destination ports and addresses
// are established, they MUST remain static for the life of the tunnel."
type Path struct {
	via   transport
	Local netip.AddrPort
	Peer  netip.AddrPort
	// destination is the way of data messages, ready made for the kernel; nil
	// before prepare.
	destination *kernel.Destination
}

// encapsulation is how packets travel on the path.
func (p *Path) encapsulation() config.Encapsulation {
	if _, ip := p.via.(ipTransport); ip {
		return config.EncapsulationIP
	}
	return config.EncapsulationUDP
}

// ipTransport is a transport directly over IP, which wants to know while data of sessions
// comes by it.
type ipTransport interface {
	admitData()
	refuseData()
}

// same says whether packets of both paths come and go the same way.
func (p *Path) same(q *Path) bool { return p.via == q.via && p.Peer == q.Peer && p.Local == q.Local }
