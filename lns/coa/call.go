package coa

import (
	"net/netip"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"
)

// call is a request that is being carried out.
type call struct {
	server   *Server
	packet   *radius.Packet // it does not change
	from     netip.AddrPort
	at       destination
	key      requestKey
	log      *logrus.Entry
	finished atomic.Bool
}

// finish answers a request, and keeps the answer. It is what a Handler's done is;
// any goroutine may call it.
func (c *call) finish(r Result) {
	if c.finished.Swap(true) {
		return
	}
	s := c.server
	packet := c.answer(r)
	s.mu.Lock()
	kept := s.answers.m[c.key]
	late := s.closed || kept == nil || kept.packet != nil
	if !late {
		kept.packet = packet
	}
	s.mu.Unlock()
	if late {
		s.count.late.Add(1)
		return
	}
	s.send(packet, c.from, c.at)
}

// sendOnce answers a request and keeps nothing: a copy of it may fare better.
func (c *call) sendOnce(r Result) { c.server.send(c.answer(r), c.from, c.at) }

// answer makes the answer, and says in the log what became of the request.
func (c *call) answer(r Result) []byte {
	if r.Cause == CauseNone && r.Sessions == 0 {
		r.Cause = SessionContextNotFound
	}
	// RFC 5176 section 3.5: "It MUST NOT be sent within a CoA-ACK, CoA-NAK, or
	// Disconnect-ACK, only within a Disconnect-NAK."
	if r.Cause == SessionContextNotRemovable && c.packet.Code != radius.CodeDisconnectRequest {
		r.Cause = ResourcesUnavailable
	}
	s, log := c.server, c.log.WithField("request", c.packet.Code.String())
	if r.Cause == CauseNone {
		s.count.ack.Add(1)
		log.WithField("sessions", r.Sessions).Info("a request of RFC 5176 is carried out")
	} else {
		s.count.nak(r.Cause)
		s.refused.Log(log.WithField("cause", r.Cause.String()), logrus.InfoLevel, "a request of RFC 5176 is refused")
	}
	return reply(c.packet, r.Cause)
}
