package ppp

import (
	"encoding/binary"
	"time"
)

// magicLen is the Magic-Number field of Echo-Request and its like.
const magicLen = 4

// echoRate is how many Echo-Requests are answered in a second.
const echoRate = 10

// maxLoops is how often in a row our own Magic-Number may come back before the
// line is taken to be looped back: by chance it happens once in 2^32 links.
const maxLoops = 5

// limiter allows a number of things in each second. It is in every endpoint, and
// so it has eight octets where a token bucket has five times as many.
type limiter struct {
	second uint32 // the second that n is of
	n      uint8
}

func (l *limiter) allow(now time.Duration, most uint8) bool {
	if s := uint32(now / time.Second); s != l.second {
		l.second, l.n = s, 0
	}
	if l.n >= most {
		return false
	}
	l.n++
	return true
}

// magic returns what goes into the Magic-Number field of our packets.
//
// RFC 1661 section 5.8: "Until the Magic-Number Configuration Option has been
// successfully negotiated, the Magic-Number MUST be transmitted as zero."
func (e *Endpoint) magic() uint32 {
	if e.lcp.offer&offerMagic == 0 {
		return 0
	}
	return e.lcp.ours.Magic
}

// recvEcho takes an Echo-Request, Echo-Reply or Discard-Request.
//
// RFC 1661 section 5.8: "Upon reception of an Echo-Request in the LCP Opened
// state, an Echo-Reply MUST be transmitted." "Echo-Request and Echo-Reply packets
// received in any state other than the LCP Opened state SHOULD be silently
// discarded." Of a flood a few are answered.
func (e *Endpoint) recvEcho(p Packet) {
	if len(p.Data) < magicLen {
		e.malformed()
		return
	}
	if e.lcp.state != stateOpened {
		e.count.Discarded++
		return
	}
	// RFC 1661 section 6.4: "Reception of a Magic-Number field equal to the
	// negotiated local Magic-Number indicates a looped-back link."
	if m := binary.BigEndian.Uint32(p.Data); m != 0 && m == e.magic() {
		e.looped()
		return
	}
	var reply []byte
	switch {
	case p.Code == EchoReply:
		e.pending, e.loops = 0, 0
	case p.Code == EchoRequest:
		if !e.echoes.allow(e.now, echoRate) {
			e.count.EchoesSuppressed++
			return
		}
		e.count.EchoesAnswered++
		data := append(octets4(e.magic()), e.fit(p.Data[magicLen:], packetHeaderLen+magicLen)...)
		reply = makePacket(EchoReply, p.Identifier, data)
	}
	e.runPacket(&e.lcp, evEcho, p.Identifier, reply)
}

// looped notes that our own Magic-Number came back.
func (e *Endpoint) looped() {
	e.count.Loops++
	if e.loops++; e.loops >= maxLoops {
		e.fail(e.time(), CauseLoop, CauseLoop.String())
	}
}

// echo asks whether the peer is there.
func (e *Endpoint) echo() {
	if e.echoAt == 0 || e.now < e.echoAt {
		return
	}
	if n := e.cfg.EchoFailures; n > 0 && int(e.pending) >= min(n, 255) {
		e.fail(e.time(), CauseEchoTimeout, CauseEchoTimeout.String())
		return
	}
	e.pending = saturate(e.pending)
	e.echoAt = e.now + e.cfg.EchoInterval
	e.id++
	e.send(ProtocolLCP, makePacket(EchoRequest, e.id, octets4(e.magic())))
}
