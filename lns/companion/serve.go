package companion

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"adit/lns/radattr"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// serve reads a socket until it is closed.
func (r *Responder) serve(c *net.UDPConn, handle func(p *radius.Packet, from netip.AddrPort)) {
	defer r.done.Done()
	// RFC 2865 section 3: "The minimum length is 20 and maximum length is 4096."
	buf := make([]byte, 4096)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an error of an answer sent before; the next read waits again
		}
		if p := r.parse(append([]byte(nil), buf[:n]...), from); p != nil {
			handle(p, from)
		}
	}
}

// parse returns a packet of one of our pppds, or nil.
func (r *Responder) parse(b []byte, from netip.AddrPort) *radius.Packet {
	p, err := radius.Parse(b, r.secret)
	if err != nil {
		r.count.malformed.Add(1)
		r.lines.Log(r.log, logrus.WarnLevel, "a packet to the RADIUS responder for pppd is malformed: some program of this machine sends it; it was dropped")
		return nil
	}
	id, _ := p.Lookup(rfc2865.NASIdentifier_Type) // none: nil
	signed := p.Code != radius.CodeAccountingRequest || radius.IsAuthenticRequest(b, r.secret)
	if !from.Addr().Unmap().IsLoopback() || !signed || subtle.ConstantTimeCompare(id, []byte(r.nasID)) != 1 {
		r.count.foreign.Add(1)
		r.lines.Log(r.log, logrus.WarnLevel, "a request to the RADIUS responder for pppd is of no pppd of this daemon: some program of this machine sends it; it was dropped")
		return nil
	}
	return p
}

// access takes an Access-Request to Ask, once for all copies of it.
func (r *Responder) access(p *radius.Packet, from netip.AddrPort) {
	if p.Code != radius.CodeAccessRequest {
		r.count.malformed.Add(1)
		return
	}
	q := &request{key: requestKey{from, p.Identifier, p.Authenticator}}
	now := time.Now()
	r.mu.Lock()
	r.pending.expire(now)
	known := r.pending.byKey[q.key]
	var reply []byte
	ok := true
	if known != nil {
		reply = known.reply
	} else {
		ok = r.pending.add(q, now)
	}
	r.mu.Unlock()
	switch {
	case known != nil:
		r.count.duplicates.Add(1)
		if reply != nil {
			r.send(reply, from)
		}
		return
	case !ok:
		// It comes again in a few seconds.
		r.count.overload.Add(1)
		r.lines.Log(r.log, logrus.WarnLevel, "too many pppds wait for an answer: see why users, RADIUS or addresses take so long; the request was dropped and will come again")
		return
	}
	r.count.access.Add(1)
	r.judge(q, p)
}

// judge asks, or refuses what need not be asked.
func (r *Responder) judge(q *request, p *radius.Packet) {
	token := rfc2865.CallingStationID_GetString(p)
	user, req, err := radattr.ParseAccess(p)
	q.what = &inquiry{p, req}
	switch {
	case err != nil:
		r.count.malformed.Add(1)
		r.lines.Log(r.log.WithError(err), logrus.WarnLevel, "what pppd's radius.so asks cannot be understood, so the user is refused: let the profile's auth be of pap, chap-md5 and mschapv2")
		r.answer(q, ppp.Verdict{}, nil)
	case !r.knows(token):
		r.count.unknown.Add(1)
		r.lines.Log(r.log.WithField("token", token), logrus.WarnLevel, "pppd asks about a session that is not there (any more), so the user is refused: if it goes on, see that no options file of pppd's sets remotenumber")
		r.answer(q, ppp.Verdict{}, nil)
	default:
		r.ask.Authenticate(token, user, req, func(v ppp.Verdict, s *subscriber.Service) { r.answer(q, v, s) })
	}
}

// answer sends the answer, once.
func (r *Responder) answer(q *request, v ppp.Verdict, s *subscriber.Service) {
	r.mu.Lock()
	what := q.what
	r.mu.Unlock()
	if what == nil {
		r.count.late.Add(1)
		return
	}
	reply, err := what.response(v, s)
	if err != nil {
		r.lines.Log(r.log.WithError(err), logrus.ErrorLevel, "the answer to pppd cannot be written, so the user is refused: correct what the user is given")
		v = ppp.Verdict{}
		if reply, err = what.response(v, nil); err != nil {
			return // it cannot be: an empty Access-Reject fits always
		}
	}
	r.mu.Lock()
	ok := !r.closed && r.pending.answer(q, reply, time.Now())
	r.mu.Unlock()
	switch {
	case !ok:
		r.count.late.Add(1)
		return
	case v.Accept:
		r.count.accept.Add(1)
	default:
		r.count.reject.Add(1)
	}
	r.send(reply, q.key.from)
}

// response makes the Access-Accept or Access-Reject. Neither Session-Timeout nor
// Acct-Interim-Interval is in it: the layer ends sessions itself, and knows what
// passed.
func (q *inquiry) response(v ppp.Verdict, s *subscriber.Service) ([]byte, error) {
	p := q.packet.Response(radius.CodeAccessReject)
	if err := radattr.Answer(p, q.asked, v, s); err != nil {
		return nil, err
	}
	if text, ok := failureText(q.asked, v); ok {
		if err := rfc2865.ReplyMessage_SetString(p, text); err != nil {
			return nil, err
		}
	}
	return p.Encode()
}

// failureText is what radius.so is to tell a peer that MS-CHAPv2 has refused. It
// knows no MS-CHAP-Error and makes the Message of the Failure packet of the
// Reply-Message, so the whole of the text has to be there. And it ends the link
// then, so the peer must not be told to try again.
//
// RFC 2759 section 6: "The Message field format is: "E=eeeeeeeeee R=r
// C=cccccccccccccccccccccccccccccccc V=vvvvvvvvvv M=<msg>""
func failureText(req ppp.AuthRequest, v ppp.Verdict) (string, bool) {
	if v.Accept || req.Method != ppp.MethodMSCHAPv2 {
		return "", false
	}
	f, ok := ppp.ParseMSCHAPFailure(v.Message)
	if !ok || len(f.Challenge) == 0 {
		return "", false
	}
	f.Retry = false
	text := f.String()
	return text[:min(len(text), maxReplyMessage)], true
}

// maxReplyMessage is what fits one attribute.
const maxReplyMessage = 253

// send sends a packet from the socket of authentication. What is lost is sent
// again with the next copy of its request.
func (r *Responder) send(b []byte, to netip.AddrPort) {
	if _, err := r.auth.WriteToUDPAddrPort(b, to); err != nil {
		r.count.unsent.Add(1)
	}
}

// accounting takes an Accounting-Request to Ask and acknowledges it.
func (r *Responder) accounting(p *radius.Packet, from netip.AddrPort) {
	if p.Code != radius.CodeAccountingRequest {
		r.count.malformed.Add(1)
		return
	}
	r.count.accounting.Add(1)
	kind := subscriber.RecordKind(rfc2866.AcctStatusType_Get(p))
	token := rfc2865.CallingStationID_GetString(p)
	switch kind {
	case subscriber.RecordStart, subscriber.RecordInterim, subscriber.RecordStop:
		if r.knows(token) {
			r.ask.Account(token, kind, counters(p))
		}
	default:
		// pppd has no other kinds.
	}
	// RFC 2866 section 2: "It is recommended that the client continue attempting to
	// send the Accounting-Request packet until it receives an acknowledgement". pppd
	// does nothing else meanwhile, so it gets one for everything.
	b, err := p.Response(radius.CodeAccountingResponse).Encode()
	if err == nil {
		_, err = r.acct.WriteToUDPAddrPort(b, from)
	}
	if err != nil {
		r.count.unsent.Add(1)
	}
}

// counters are what an Accounting-Request counts. In is from the peer, as pppd's
// Input is.
func counters(p *radius.Packet) subscriber.Counters {
	octets := func(low, high uint32) uint64 { return uint64(high)<<32 | uint64(low) }
	return subscriber.Counters{
		OctetsIn:   octets(uint32(rfc2866.AcctInputOctets_Get(p)), uint32(rfc2869.AcctInputGigawords_Get(p))),
		OctetsOut:  octets(uint32(rfc2866.AcctOutputOctets_Get(p)), uint32(rfc2869.AcctOutputGigawords_Get(p))),
		PacketsIn:  uint64(rfc2866.AcctInputPackets_Get(p)),
		PacketsOut: uint64(rfc2866.AcctOutputPackets_Get(p)),
	}
}
