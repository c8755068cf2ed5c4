package ppp

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// maxText bounds what is kept of a peer's words, and what we say to it of ours,
// in octets.
const maxText = 64

// rejectRate is how many Protocol-Rejects and Code-Rejects are sent in a second.
const rejectRate = 10

// receive takes a frame of the peer.
func (e *Endpoint) receive(now time.Time, frame []byte) {
	p, info, err := Split(frame)
	switch {
	case errors.Is(err, ErrProtocolField):
		// RFC 1661 section 2: such frames "MUST be treated as having an
		// unrecognized Protocol."
		e.count.FramesIn++
		e.unknownProtocol(p, info)
		return
	case err != nil:
		e.malformed()
		return
	case !p.IsControl():
		e.count.NetworkFrames++
		e.networkFrame(p, info)
		return
	}
	e.count.FramesIn++
	if e.tooMany(info) {
		return
	}
	switch {
	case p == ProtocolLCP:
		e.receiveLCP(info)
	case e.lcp.state != stateOpened:
		// RFC 1661 section 3.4: "Any non-LCP packets received during this phase
		// MUST be silently discarded."
		e.count.Discarded++
	case p == ProtocolPAP || p == ProtocolCHAP || p == ProtocolEAP:
		e.receiveAuth(now, p, info)
	case p == ProtocolIPCP && e.cfg.IPv4:
		e.receiveNCP(now, &e.ipcp, info)
	case p == ProtocolIPv6CP && e.cfg.IPv6:
		e.receiveNCP(now, &e.ipv6cp, info)
	default:
		e.unknownProtocol(p, info)
	}
}

// tooMany counts the frames by which a link comes up, and ends one that takes
// too many. Once a network is up only packets that negotiate count, and what was
// long ago does not.
func (e *Endpoint) tooMany(info []byte) bool {
	if e.has(flagClosing) {
		return false
	}
	if e.anyUp() {
		if len(info) == 0 || Code(info[0]) > CodeReject {
			return false
		}
		if e.now-e.partsAt > e.cfg.setupTimeout() {
			e.parts, e.partsAt = 0, e.now
		}
	}
	if e.parts++; int(e.parts) <= min(cmp.Or(e.cfg.MaxSetupParts, maxSetupParts), 1<<16-2) {
		return false
	}
	c := e.causeOfDelay()
	e.fail(e.time(), c, fmt.Sprintf("%s in %d frames", c, e.parts-1))
	return true
}

// causeOfDelay says what a link failed in that did not come up.
func (e *Endpoint) causeOfDelay() Cause {
	switch e.phase {
	case PhaseAuthenticate:
		return CauseAuthTimeout
	case PhaseNetwork:
		return CauseNoNetwork
	case PhaseDead, PhaseEstablish, PhaseTerminate:
	}
	if e.lcp.theirAuthOff {
		return CauseOurAuthRefused
	}
	return CauseLCPFailed
}

// receiveLCP takes a packet of LCP.
func (e *Endpoint) receiveLCP(info []byte) {
	p, err := ParsePacket(info)
	if err != nil {
		e.malformed()
		return
	}
	switch p.Code {
	case TerminateRequest:
		e.peerTerminates(p)
	case ProtocolReject:
		e.recvProtocolReject(p)
	case EchoRequest, EchoReply, DiscardRequest:
		e.recvEcho(p)
	case Identification:
		e.recvIdentification(p)
	case TimeRemaining:
		e.count.Discarded++
	default:
		if !e.negotiate(&e.lcp, p) {
			e.unknownCode(&e.lcp, info)
		}
	}
}

// peerTerminates takes a Terminate-Request of LCP. In the Opened state it ends
// the link, after one Restart time; while LCP negotiates the automaton has it
// that we go on, but if the peer does not by the next timeout, that is the end.
func (e *Endpoint) peerTerminates(p Packet) {
	text := CausePeerTerminated.String()
	if words := printable(p.Data); words != "" {
		text += fmt.Sprintf(": it said %q", words)
	}
	switch s := e.lcp.state; {
	case e.has(flagClosing):
	case s == stateOpened:
		e.setCause(e.hungUp(text))
		e.ending()
	case s.negotiating():
		e.lcp.last, e.text = true, text
	}
	e.negotiate(&e.lcp, p)
}

// receiveAuth takes a packet of an authentication protocol.
func (e *Endpoint) receiveAuth(now time.Time, p Protocol, info []byte) {
	if e.auth != nil {
		e.auth.receive(now, p, info)
	}
	if e.answer != nil {
		e.answer.receive(now, p, info)
	}
}

// receiveNCP takes a packet of a network control protocol.
//
// RFC 1661 section 3.5: "Only Link Control Protocol, authentication protocol, and
// link quality monitoring packets are allowed during this phase. All other
// packets received during this phase MUST be silently discarded."
func (e *Endpoint) receiveNCP(now time.Time, l layer, info []byte) {
	if e.phase == PhaseAuthenticate && e.answer != nil {
		e.answer.network(now)
	}
	if e.phase != PhaseNetwork {
		e.count.Discarded++
		return
	}
	p, err := ParsePacket(info)
	if err != nil {
		e.malformed()
		return
	}
	if !e.negotiate(l, p) {
		e.unknownCode(l, info)
	}
}

// networkFrame takes a frame of a network protocol.
//
// RFC 1661 section 3.6: "Any supported network-layer protocol packets received
// when the corresponding NCP is not in the Opened state MUST be silently
// discarded."
func (e *Endpoint) networkFrame(p Protocol, info []byte) {
	if p == ProtocolIPv4 && e.cfg.IPv4 || p == ProtocolIPv6 && e.cfg.IPv6 {
		return
	}
	e.unknownProtocol(p, info)
}

// unknownProtocol answers a frame of a protocol that we do not have.
//
// RFC 1661 section 5.7: "If the LCP automaton is in the Opened state, then this
// MUST be reported back to the peer by transmitting a Protocol-Reject." "The
// Identifier field MUST be changed for each Protocol-Reject sent." "The
// Rejected-Information MUST be truncated to comply with the peer's established
// MRU."
func (e *Endpoint) unknownProtocol(p Protocol, info []byte) {
	if e.lcp.state != stateOpened || e.phase != PhaseNetwork {
		e.count.Discarded++
		return
	}
	if !e.rejects.allow(e.now, rejectRate) {
		e.count.RejectsSuppressed++
		return
	}
	e.count.ProtocolRejectsOut++
	e.id++
	data := append(octets2(uint16(p)), e.fit(info, packetHeaderLen+2)...)
	e.send(ProtocolLCP, makePacket(ProtocolReject, e.id, data))
}

// recvProtocolReject takes a Protocol-Reject.
//
// RFC 1661 section 5.7: "Upon reception of a Protocol-Reject, the implementation
// MUST stop sending packets of the indicated protocol at the earliest
// opportunity." "Protocol-Reject packets received in any state other than the LCP
// Opened state SHOULD be silently discarded."
func (e *Endpoint) recvProtocolReject(p Packet) {
	if e.lcp.state != stateOpened {
		e.count.Discarded++
		return
	}
	if len(p.Data) < 2 {
		e.malformed()
		return
	}
	e.count.ProtocolRejectsIn++
	switch proto := Protocol(binary.BigEndian.Uint16(p.Data)); proto {
	case ProtocolLCP:
		e.rejectedForGood(&e.lcp, "peer rejects LCP")
	case ProtocolPAP, ProtocolCHAP, ProtocolEAP:
		switch {
		case e.auth != nil && !e.has(flagAuthenticated) && e.auth.method.protocol() == proto:
			e.fail(e.time(), CauseAuthRefused, "peer rejects "+proto.String())
		case e.answer != nil && !e.has(flagAnswered) && e.answer.method.protocol() == proto:
			e.fail(e.time(), CauseOurAuthFailed, "peer rejects "+proto.String())
		}
	case ProtocolIPCP:
		e.ncpRejected(&e.ipcp)
	case ProtocolIPv6CP:
		e.ncpRejected(&e.ipv6cp)
	case ProtocolIPv4:
		e.ncpClose(&e.ipcp)
	case ProtocolIPv6:
		e.ncpClose(&e.ipv6cp)
	default: // nothing that we send
	}
}

// ncpRejected ends a network protocol that the peer does not have: nothing more
// is sent of it.
func (e *Endpoint) ncpRejected(l layer) {
	e.ncpGone(l)
	if l.automat().state == stateStarting {
		e.run(l, evClose)
	}
}

// ncpClose ends a network protocol whose packets the peer rejects.
func (e *Endpoint) ncpClose(l layer) {
	if l.automat().state >= stateClosed {
		e.run(l, evClose)
	}
}

// recvIdentification keeps what the peer calls itself, RFC 1570 section 2.1.
func (e *Endpoint) recvIdentification(p Packet) {
	if len(p.Data) < magicLen {
		e.malformed()
		return
	}
	e.ident = printable(p.Data[magicLen:])
}

// printable returns the start of b as text for a log.
func printable(b []byte) string {
	out := make([]byte, min(len(b), maxText))
	for i := range out {
		if out[i] = b[i]; b[i] < ' ' || b[i] > '~' {
			out[i] = '.'
		}
	}
	return string(out)
}
