package engine

import "net/netip"

// transport puts packets on the wire. It never blocks: what the kernel does not
// take at once is lost, as a packet may be.
type transport interface {
	// send puts a control message on the wire; shards call it.
	send(packet []byte, path *Path) error
	// sendData gathers a data message, flush sends what was gathered; only the
	// goroutine of the bridges calls them.
	sendData(packet []byte, path *Path)
	flush()
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
}
