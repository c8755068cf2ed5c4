package ppp

import "encoding/binary"

// optionInterfaceID is the Interface-Identifier of IPv6CP, RFC 5072 section 4.1.
const optionInterfaceID uint8 = 1

// universalBit is the "u" bit of an interface identifier.
const universalBit uint64 = 0x02 << 56

// ipv6cpLayer is IPv6CP, RFC 5072.
type ipv6cpLayer struct {
	automaton
	local, peer uint64
	suggested   uint64 // in our last Configure-Nak
	off         bool   // the peer rejected the option
	prompted    bool   // the peer was asked to tell its identifier
}

func (l *ipv6cpLayer) protocol() Protocol { return ProtocolIPv6CP }

// reset asks for our identifier. What was said to the peer's Configure-Request
// that made us negotiate anew stands.
func (l *ipv6cpLayer) reset(e *Endpoint) {
	l.off = false
	if l.local = e.granted.localID; l.local == 0 {
		l.local = e.newInterfaceID(e.granted.peerID)
	}
}

// newInterfaceID makes an interface identifier that is not other.
//
// RFC 5072 section 4.1: "it is recommended that a random number be generated. In
// this case, the "u" bit of the interface identifier MUST be set to zero (0)."
func (e *Endpoint) newInterfaceID(other uint64) uint64 {
	for range 4 {
		if v := binary.BigEndian.Uint64(e.random(8)) &^ universalBit; v != 0 && v != other {
			return v
		}
	}
	if other == 1 {
		return 2
	}
	return 1
}

// request appends our option.
func (l *ipv6cpLayer) request(_ *Endpoint, b []byte) []byte {
	if l.off {
		return b
	}
	return appendOption(b, optionInterfaceID, octets8(l.local)...)
}

// judge takes over what the peer asks for, and says what is wrong with it.
func (l *ipv6cpLayer) judge(e *Endpoint, list []byte, r *verdictOnOptions) {
	l.peer = 0
	told := false
	for len(list) > 0 {
		o, rest, _ := NextOption(list)
		raw := list[:len(list)-len(rest)]
		list = rest
		if o.Type != optionInterfaceID {
			r.rejectIt(raw) // IPv6-Compression-Protocol
			continue
		}
		told = true
		l.judgeID(e, o, raw, r)
	}
	if told {
		return
	}
	// RFC 5072 section 4.1: "the option SHOULD be appended to a Configure-Nak."
	// "If the next Configure-Request does not include this option, the peer MUST
	// NOT send another Configure-Nak with this option included."
	if !l.prompted {
		l.prompted = true
		r.prompt(optionInterfaceID, octets8(l.suggest(e)))
	}
	l.peer = e.granted.peerID
}

// judgeID looks at the identifier that the peer wants for itself.
//
// RFC 5072 section 4.1: "If the two interface identifiers are different but the
// received interface identifier is zero, a Configure-Nak is sent with a non-zero
// interface-identifier value suggested for use by the remote peer." "If the two
// interface identifiers are different and the received interface identifier is
// not zero, the interface identifier MUST be acknowledged". "If the two interface
// identifiers are equal and are not zero, Configure-Nak MUST be sent specifying a
// different non-zero interface-identifier value".
//
// Ours is never zero. A peer for which an identifier is configured is asked to
// take it, a few times; then it may have its own, as the RFC has it.
func (l *ipv6cpLayer) judgeID(e *Endpoint, o Option, raw []byte, r *verdictOnOptions) {
	if len(o.Data) != 8 {
		r.suggest(raw, optionInterfaceID, octets8(l.suggest(e)))
		return
	}
	v := binary.BigEndian.Uint64(o.Data)
	g := e.granted.peerID
	switch {
	case v == 0 || v == l.local:
		r.suggest(raw, optionInterfaceID, octets8(l.suggest(e)))
	case g != 0 && g != l.local && v != g && !r.convert:
		l.suggested = g
		r.suggest(raw, optionInterfaceID, octets8(g))
	default:
		l.peer = v
	}
}

// suggest chooses an identifier for the peer.
func (l *ipv6cpLayer) suggest(e *Endpoint) uint64 {
	if l.suggested = e.granted.peerID; l.suggested == 0 || l.suggested == l.local {
		l.suggested = e.newInterfaceID(l.local)
	}
	return l.suggested
}

// naked takes what the peer suggests.
//
// RFC 5072 section 4.1: "In this case, a new Configure-Request MUST be sent with
// the identifier value suggested in the last Configure-Nak from the peer. But if
// the received interface identifier is equal to the one sent in the last
// Configure-Nak, a new interface identifier MUST be chosen." So it is for one that
// the peer has for itself.
func (l *ipv6cpLayer) naked(e *Endpoint, o Option) {
	if o.Type != optionInterfaceID || len(o.Data) != 8 || l.off {
		return
	}
	if v := binary.BigEndian.Uint64(o.Data); v != 0 && v != l.suggested && v != l.peer {
		l.local = v
		return
	}
	l.local = e.newInterfaceID(l.peer)
}

// rejected drops the option.
//
// RFC 5072 section 4.1: "A new Configure-Request MUST NOT contain the
// interface-identifier option if a valid Interface-Identifier Configure-Reject is
// received."
func (l *ipv6cpLayer) rejected(_ *Endpoint, o Option) {
	if o.Type == optionInterfaceID {
		l.off = true
	}
}

// layerUp lets packets flow.
func (l *ipv6cpLayer) layerUp(e *Endpoint) {
	l.prompted, l.suggested = false, 0
	e.networkUp(IPv6)
}

func (l *ipv6cpLayer) layerDown(e *Endpoint)     { e.networkDown(IPv6) }
func (l *ipv6cpLayer) layerFinished(e *Endpoint) { e.checkNetworks() }
