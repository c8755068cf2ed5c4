package ppp

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"time"
)

// The values of RFC 1661 section 4.6 where Config has none.
const (
	restartTimer = 3 * time.Second
	maxConfigure = 10
	maxTerminate = 2
	maxFailure   = 5
)

// automaton is the option negotiation automaton of RFC 1661 section 4 with its
// timer and counters. LCP and each NCP have one.
type automaton struct {
	due      time.Duration // of the Restart timer; 0: stopped
	restart  uint8         // Restart counter
	failures uint8         // Configure-Naks sent without a Configure-Ack
	naks     uint8         // Configure-Naks and -Rejects received in this negotiation
	id       uint8         // of the last Configure- or Terminate-Request
	state    state
	replied  bool // our last Configure-Request has had its reply
	last     bool // no more requests: at the next timeout the layer is given up
}

func (a *automaton) automat() *automaton { return a }

// layer is a protocol that negotiates options by the automaton.
type layer interface {
	automat() *automaton
	protocol() Protocol
	// reset sets what we ask for to what is configured.
	reset(e *Endpoint)
	// request appends the options of our Configure-Request. It appends the same
	// until reset, naked or rejected change it.
	request(e *Endpoint, dst []byte) []byte
	// judge looks at the options of the peer's Configure-Request.
	judge(e *Endpoint, options []byte, r *verdictOnOptions)
	// naked and rejected take the options of a Configure-Nak or -Reject.
	naked(e *Endpoint, o Option)
	rejected(e *Endpoint, o Option)
	// layerUp, layerDown and layerFinished are the actions of RFC 1661 section
	// 4.4.
	layerUp(e *Endpoint)
	layerDown(e *Endpoint)
	layerFinished(e *Endpoint)
}

// run has an event without a packet happen.
func (e *Endpoint) run(l layer, ev happening) { e.runPacket(l, ev, 0, nil) }

// runPacket has an event happen. id is the Identifier of the packet that was
// received; reply is what sca, scn, scj and ser send.
func (e *Endpoint) runPacket(l layer, ev happening, id uint8, reply []byte) {
	a := l.automat()
	c := transitions[ev][a.state]
	if c.do&illegal != 0 {
		// RFC 1661 section 4.4: "No transition is taken, and the implementation
		// SHOULD NOT reset or freeze."
		e.count.Discarded++
		return
	}
	from := a.state
	a.state = c.next
	if !a.state.timed() {
		a.due = 0
	}
	// A handler below may cause further events of this automaton; tld comes
	// first and causes none, tlu and tlf come last.
	if c.do&tld != 0 {
		l.layerDown(e)
	}
	e.setRestart(a, c.do)
	if c.do&scr != 0 {
		e.sendRequest(l, from, ev)
	}
	if c.do&(sca|scn) != 0 {
		if c.do&sca != 0 {
			a.failures = 0
		} else if reply[0] == byte(ConfigureNak) {
			a.failures = saturate(a.failures)
		}
		e.send(l.protocol(), reply)
	}
	if c.do&(scj|ser) != 0 && reply != nil {
		e.send(l.protocol(), reply)
	}
	if c.do&str != 0 {
		e.sendTerminate(l, ev)
	}
	if c.do&sta != 0 {
		e.send(l.protocol(), makePacket(TerminateAck, id, nil))
	}
	switch {
	case c.do&tlu != 0:
		l.layerUp(e)
	case c.do&tlf != 0:
		l.layerFinished(e)
	}
}

// setRestart does irc and zrc.
//
// RFC 1661 section 4.4: "This action sets the Restart counter to the appropriate
// value (Max-Terminate or Max-Configure)." "In addition to zeroing the Restart
// counter, the implementation MUST set the timeout period to an appropriate
// value."
func (e *Endpoint) setRestart(a *automaton, do deeds) {
	switch {
	case do&irc != 0 && do&str != 0:
		a.restart = small(cmp.Or(e.cfg.MaxTerminate, maxTerminate))
	case do&irc != 0:
		a.restart = small(cmp.Or(e.cfg.MaxConfigure, maxConfigure))
	case do&zrc != 0:
		// RFC 1661 section 3.7: "The receiver of a Terminate-Request SHOULD wait
		// for the peer to disconnect, and MUST NOT disconnect until at least one
		// Restart time has passed after sending a Terminate-Ack."
		a.restart, a.due = 0, e.now+e.cfg.restartTimer()
	}
}

// sendRequest sends a Configure-Request and starts the Restart timer.
//
// RFC 1661 section 5.1: "The Identifier field MUST be changed whenever the
// contents of the Options field changes, and whenever a valid reply has been
// received for a previous request. For retransmissions, the Identifier MAY
// remain unchanged."
func (e *Endpoint) sendRequest(l layer, from state, ev happening) {
	a := l.automat()
	if !from.negotiating() {
		a.failures, a.naks, a.last = 0, 0, false
		l.reset(e)
	}
	if ev != evTimeout || a.replied {
		a.id++
	}
	a.replied = false
	a.restart -= min(a.restart, 1)
	a.due = e.now + e.cfg.restartTimer()
	e.send(l.protocol(), makePacket(ConfigureRequest, a.id, l.request(e, nil)))
}

// sendTerminate sends a Terminate-Request and starts the Restart timer. That of
// LCP says why, as pppd's does.
func (e *Endpoint) sendTerminate(l layer, ev happening) {
	a := l.automat()
	if ev != evTimeout {
		a.id++
	}
	a.restart -= min(a.restart, 1)
	a.due = e.now + e.cfg.restartTimer()
	var text []byte
	if l.protocol() == ProtocolLCP {
		text = []byte(cut(e.text, maxText))
	}
	e.send(l.protocol(), makePacket(TerminateRequest, a.id, text))
}

// timeout has the Restart timer go off if it is time.
//
// RFC 1661 section 4.3: "The TO+ event indicates that the Restart counter
// continues to be greater than zero".
func (e *Endpoint) timeout(l layer) {
	a := l.automat()
	if a.due == 0 || e.now < a.due {
		return
	}
	a.due = 0
	if a.restart > 0 && !a.last {
		e.run(l, evTimeout)
	} else {
		e.run(l, evTimeoutEnd)
	}
}

// negotiate takes a packet of codes 1 to 7, which all layers have. It says
// false if the code is another.
func (e *Endpoint) negotiate(l layer, p Packet) bool {
	switch p.Code {
	case ConfigureRequest:
		e.recvRequest(l, p)
	case ConfigureAck, ConfigureNak, ConfigureReject:
		e.recvReply(l, p)
	case TerminateRequest:
		e.runPacket(l, evTermRequest, p.Identifier, nil)
	case TerminateAck:
		e.runPacket(l, evTermAck, p.Identifier, nil)
	case CodeReject:
		e.recvCodeReject(l, p)
	default:
		return false
	}
	return true
}

// recvRequest takes a Configure-Request.
//
// RFC 1661 section 6: "When the Data field is indicated by the Length to extend
// beyond the end of the Information field, the entire packet is silently
// discarded without affecting the automaton."
func (e *Endpoint) recvRequest(l layer, p Packet) {
	a := l.automat()
	if !optionsOK(p.Data) {
		e.malformed()
		return
	}
	a.last = false
	r := verdictOnOptions{
		convert:  int(a.failures) >= cmp.Or(e.cfg.MaxFailure, maxFailure),
		failures: a.failures,
	}
	if a.state >= stateStopped && a.state != stateClosing && a.state != stateStopping {
		l.judge(e, p.Data, &r)
	}
	code, options := r.result(p.Data)
	ev := evRequestOK
	if code != ConfigureAck {
		ev = evRequestBad
	}
	// If judge gave the link up, the automaton is in Closing by now, where a
	// Configure-Request does nothing.
	e.runPacket(l, ev, p.Identifier, makePacket(code, p.Identifier, options))
}

// recvReply takes a Configure-Ack, -Nak or -Reject.
//
// RFC 1661 section 5.2: "On reception of a Configure-Ack, the Identifier field
// MUST match that of the last transmitted Configure-Request. Additionally, the
// Configuration Options in a Configure-Ack MUST exactly match those of the last
// transmitted Configure-Request. Invalid packets are silently discarded."
//
// A second reply to a request is out of sequence, so it is invalid too: what a
// network duplicated must not take an open link down.
func (e *Endpoint) recvReply(l layer, p Packet) {
	a := l.automat()
	switch {
	case a.state < stateClosed:
		e.count.Discarded++
		return
	case a.state <= stateStopping:
		e.runPacket(l, evAck, p.Identifier, nil) // RCA and RCN are alike there
		return
	case !optionsOK(p.Data):
		e.malformed()
		return
	case a.replied || p.Identifier != a.id || !e.matches(l, p):
		e.count.Discarded++
		return
	}
	a.replied = true
	if p.Code == ConfigureAck {
		e.runPacket(l, evAck, p.Identifier, nil)
		return
	}
	if a.naks = saturate(a.naks); int(a.naks) > cmp.Or(e.cfg.MaxConfigure, maxConfigure) {
		e.giveUp(l, "peer refuses whatever we ask for")
		return
	}
	for list := p.Data; len(list) > 0; {
		o, rest, _ := NextOption(list)
		if p.Code == ConfigureNak {
			l.naked(e, o)
		} else {
			l.rejected(e, o)
		}
		list = rest
	}
	if a.state.negotiating() || a.state == stateOpened {
		e.runPacket(l, evNak, p.Identifier, nil)
	}
}

// matches says whether the options of a reply can be one to our last
// Configure-Request.
//
// RFC 1661 section 5.4: "the Configuration Options in a Configure-Reject MUST be
// a proper subset of those in the last transmitted Configure-Request." One that
// rejects all of them is taken too, as by all others.
func (e *Endpoint) matches(l layer, p Packet) bool {
	ours := l.request(e, nil)
	if p.Code == ConfigureAck {
		return bytes.Equal(ours, p.Data)
	}
	return p.Code == ConfigureNak || isPartOf(ours, p.Data)
}

// isPartOf says whether the options of some are among those of all, in the same
// order and with the same values. Both can be taken apart.
func isPartOf(all, some []byte) bool {
	for len(some) > 0 {
		_, rest, _ := NextOption(some)
		wanted := some[:len(some)-len(rest)]
		for found := false; !found; {
			if len(all) == 0 {
				return false
			}
			_, more, _ := NextOption(all)
			found = bytes.Equal(wanted, all[:len(all)-len(more)])
			all = more
		}
		some = rest
	}
	return true
}

// recvCodeReject takes a Code-Reject.
//
// RFC 1661 section 4.3: "The RXJ+ event arises when the rejected value is
// acceptable, such as a Code-Reject of an extended code". "The RXJ- event arises
// when the rejected value is catastrophic, such as a Code-Reject of
// Configure-Request".
func (e *Endpoint) recvCodeReject(l layer, p Packet) {
	if len(p.Data) < packetHeaderLen {
		e.malformed()
		return
	}
	switch c := Code(p.Data[0]); {
	case c >= ConfigureRequest && c <= CodeReject:
		e.rejectedForGood(l, "peer rejects "+c.String()+" of "+l.protocol().String())
	default:
		if l.protocol() == ProtocolLCP && (c == EchoRequest || c == EchoReply) {
			e.flags |= flagNoEcho
			e.echoAt = 0
		}
		e.run(l, evRejectOK)
	}
}

// rejectedForGood is RXJ-.
func (e *Endpoint) rejectedForGood(l layer, text string) {
	if l.protocol() == ProtocolLCP && l.automat().state >= stateReqSent {
		e.setCause(CauseLCPFailed, text)
		e.ending()
	}
	e.run(l, evRejectFatal)
}

// unknownCode answers a packet of a code that the layer does not have.
//
// RFC 1661 section 5.6: "The Rejected-Packet MUST be truncated to comply with the
// peer's established MRU."
func (e *Endpoint) unknownCode(l layer, info []byte) {
	if !e.rejects.allow(e.now, rejectRate) {
		e.count.RejectsSuppressed++
		e.run(l, evUnknownCode)
		return
	}
	if s := l.automat().state; s >= stateClosed {
		e.count.CodeRejectsOut++
	}
	e.id++
	e.runPacket(l, evUnknownCode, 0, makePacket(CodeReject, e.id, e.fit(info, packetHeaderLen)))
}

// fit cuts b so that with n octets before it it is no longer than the peer's
// MRU.
func (e *Endpoint) fit(b []byte, n int) []byte {
	return b[:min(len(b), int(e.lcp.peerMRU())-n)]
}

// makePacket makes a packet: Code, Identifier, Length and Data.
func makePacket(c Code, id uint8, data []byte) []byte {
	n := packetHeaderLen + len(data)
	b := append(make([]byte, 0, n), byte(c), id)
	return append(binary.BigEndian.AppendUint16(b, uint16(n)), data...)
}

func (c *Config) restartTimer() time.Duration { return cmp.Or(c.RestartTimer, restartTimer) }

// small makes a counter's start value of a number of the configuration.
func small(n int) uint8 { return uint8(min(max(n, 1), 255)) }

// saturate counts one more, up to the most.
func saturate(n uint8) uint8 {
	if n < 255 {
		n++
	}
	return n
}
