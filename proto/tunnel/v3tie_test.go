package tunnel

import (
	"encoding/binary"
	"testing"

	"adit/proto/l2tp"
)

// RFC 3931 section 5.4.4: "The LCCE with the lower value "wins" and MUST send a CDN with
// result code set to 13 (as defined in Section 5.4.2) in response to the losing ICRQ or
// OCRQ. In the case in which a tie is detected, tie breakers are sent by both sides, and
// the tie breaker values are equal, both sides MUST discard their sessions". "If a tie is
// detected but only one side sends a Session Tie Breaker AVP, the session initiator that
// included the Session Tie Breaker AVP "wins". If neither side issues a tie breaker, then
// both sides MUST tear down the session." And the rows "wait-reply | Receive ICRQ, lose
// tie breaker" and "win tie breaker" of section 7.3.1, and of 7.4.1 for OCRQ.
func TestSessionTie(t *testing.T) {
	for name, c := range map[string]struct {
		ours   bool
		theirs func(ours uint64) *uint64
		want   Winner
	}{
		"lower":     {true, func(n uint64) *uint64 { n++; return &n }, Ours},
		"higher":    {true, func(n uint64) *uint64 { n--; return &n }, Theirs},
		"equal":     {true, func(n uint64) *uint64 { return &n }, Neither},
		"only ours": {true, func(uint64) *uint64 { return nil }, Ours},
		"only they": {false, func(n uint64) *uint64 { return &n }, Theirs},
		"none":      {false, func(uint64) *uint64 { return nil }, Both},
	} {
		for _, placed := range []Direction{Incoming, Outgoing} {
			for _, asked := range []Direction{Incoming, Outgoing} {
				cfg := testConfig3()
				cfg.TieBreaker = c.ours
				p := dialled(t, cfg)
				p.step(PlaceCall{Ref: "ours", Call: ethernet(Call{Direction: placed})})
				ours := find[CallPlaced](p).Session
				s := p.tunnel.sessions[ours]
				if (s.tie != nil) != c.ours {
					t.Fatalf("%s: tie breaker %x", name, s.tie)
				}
				var value uint64 = 77
				if c.ours {
					value = binary.BigEndian.Uint64(s.tie)
				}
				p.send(0, tieRequest(asked, "circuit 7", c.theirs(value)))
				checkTie(t, name, p, ours, c.want)
			}
		}
	}
}

func tieRequest(d Direction, end string, tie *uint64) l2tp.Message {
	if d == Outgoing {
		m := ocrq(600)
		m.RemoteEndID, m.PseudowireType, m.SessionTie = []byte(end), l2tp.PseudowireEthernet, tie
		return m
	}
	m := icrq(600)
	m.RemoteEndID, m.PseudowireType, m.SessionTie = []byte(end), l2tp.PseudowireEthernet, tie
	return m
}

func checkTie(t *testing.T, name string, p *peer, ours uint32, want Winner) {
	t.Helper()
	if ended := count[CallDown](p) == 1; ended != (want != Ours) {
		t.Errorf("%s: %v", name, p.actions)
	} else if ended {
		down := find[CallDown](p)
		if down.Ref != "ours" || down.Session != ours || down.Cause.Err != ErrSessionTie || down.Cause.Result.Result != 13 {
			t.Errorf("%s: %v", name, describe(down))
		}
	}
	if (count[CallRequested](p) == 1) != (want == Theirs) {
		t.Errorf("%s: %v", name, p.actions)
	}
	if want != Theirs {
		cdn, _ := sentOf[*l2tp.CDN](p)
		if cdn.ResultCode.Result != 13 || cdn.RemoteSessionID != 600 || len(p.sentTypes()) != 1 {
			t.Errorf("%s: sent %v", name, p.sent)
		}
	} else if len(p.sentTypes()) != 0 {
		t.Errorf("%s: sent %v", name, p.sent)
	}
	if want != Ours {
		// The winner's CDN for our request finds nothing; an answer to it, of a peer
		// that saw no tie, is told so.
		p.send(ours, &l2tp.CDN{AssignedSessionID: 601, ResultCode: l2tp.ResultCode{Result: 13}})
		if find[Drop](p).Reason != ErrUnknownSession || len(p.sentTypes()) != 0 {
			t.Errorf("%s: %v", name, p.actions)
		}
		p.ack()
		p.send(ours, &l2tp.ICRP{AssignedSessionID: 602})
		if cdn, _ := sentOf[*l2tp.CDN](p); cdn.RemoteSessionID != 602 {
			t.Errorf("%s: %v", name, p.sent)
		}
		return
	}
	p.send(ours, &l2tp.CDN{AssignedSessionID: 603, ResultCode: l2tp.ResultCode{Result: l2tp.CDNAdministrative}})
	if find[CallDown](p).Session != ours || len(p.tunnel.byEnd) != 0 {
		t.Errorf("%s: %v", name, p.actions)
	}
}

// Two requests for one Remote End ID mean two circuits if their Application IDs differ, and
// may mean the same one if an end has said none: RFC 3931 section 5.4.4 has "an End ID AVP
// whose value matches that which was just sent".
func TestTieOfApplicationIDs(t *testing.T) {
	one, other, zero := new(uint16(1)), new(uint16(2)), new(uint16(0))
	for _, c := range []struct {
		ours   []*uint16
		theirs *uint16
		loser  int // which of ours; -1: none
	}{
		{[]*uint16{one}, one, 0},
		{[]*uint16{one}, other, -1},
		{[]*uint16{zero}, nil, 0},
		{[]*uint16{nil}, zero, 0},
		{[]*uint16{zero}, one, -1},
		{[]*uint16{one, other}, one, 0},
		{[]*uint16{one, other}, other, 1},
		{[]*uint16{one, other}, zero, -1},
		{[]*uint16{one, other}, nil, 1},
		{[]*uint16{nil, one}, nil, 0},
		{[]*uint16{nil, one}, other, 0},
		{[]*uint16{one, nil}, one, 0},
	} {
		p := dialled(t, testConfig3()) // without tie breakers, so ours goes
		var placed []uint32
		for _, id := range c.ours {
			p.step(PlaceCall{Call: ethernet(Call{ApplicationID: id})})
			placed = append(placed, find[CallPlaced](p).Session)
		}
		m := tieRequest(Incoming, "circuit 7", nil).(*l2tp.ICRQ)
		m.ApplicationID = c.theirs
		p.send(0, m)
		switch lost := count[CallDown](p) == 1; {
		case lost != (c.loser >= 0) || lost == (count[CallRequested](p) == 1):
			t.Errorf("%s: %v", describe(c), p.actions)
		case lost && find[CallDown](p).Session != placed[c.loser]:
			t.Errorf("%s: %v ended", describe(c), find[CallDown](p).Session)
		}
		for i, id := range placed {
			if i != c.loser {
				p.send(id, &l2tp.ICRP{AssignedSessionID: 700 + uint32(i)})
				find[CallUp](p)
			}
		}
		if len(p.tunnel.byEnd) != 0 {
			t.Errorf("%s: %d circuits still wait", describe(c), len(p.tunnel.byEnd))
		}
	}
}

// There is no tie with another circuit, with none, with a call that is up, and in
// version 2.
func TestNoSessionTie(t *testing.T) {
	cfg := testConfig3()
	cfg.TieBreaker = true
	p := dialled(t, cfg)
	p.step(PlaceCall{Call: ethernet(Call{})})
	id := find[CallPlaced](p).Session
	p.send(0, tieRequest(Incoming, "circuit 8", nil))
	find[CallRequested](p)
	p.send(id, &l2tp.ICRP{AssignedSessionID: 700})
	find[CallUp](p)
	m := tieRequest(Incoming, "circuit 7", nil).(*l2tp.ICRQ)
	m.AssignedSessionID = 701
	p.send(0, m)
	find[CallRequested](p)
	if p.tunnel.Len() != 3 {
		t.Error(p.tunnel.Len())
	}
	p = dialled(t, cfg)
	p.step(PlaceCall{})
	if s := p.tunnel.sessions[find[CallPlaced](p).Session]; s.tie != nil {
		t.Error("a tie breaker for no circuit")
	}
	p.send(0, tieRequest(Incoming, "", nil))
	find[CallRequested](p)
}

// Both ends place at once over a perfect wire: one session comes up.
func TestSessionTieOfTwoEnds(t *testing.T) {
	n := byte(0)
	link := newPair(t, func(c *Config) {
		n++
		*c = testConfig3()
		c.LocalID, c.TieBreaker, c.Rand = uint32(n), true, &counter{next: 17 * n}
	})
	link.step(link.a, PlaceCall{Ref: "a", Call: ethernet(Call{})})
	link.step(link.b, PlaceCall{Ref: "b", Call: ethernet(Call{})})
	link.settle()
	asked, lost, down := 0, 0, 0
	for _, action := range link.actions {
		switch action := action.(type) {
		case CallRequested:
			asked++
			for _, end := range []*Tunnel{link.a, link.b} {
				if _, ok := end.Session(action.Session); ok {
					link.step(end, AcceptCall{Session: action.Session})
				}
			}
		case CallDown:
			down++
			if action.Cause.Err == ErrSessionTie {
				lost++
			}
		}
	}
	link.settle()
	if asked != 1 || lost != 1 || down != 1 || link.a.Len() != 1 || link.b.Len() != 1 {
		t.Errorf("asked %d, lost %d, ended %d; %d and %d sessions", asked, lost, down, link.a.Len(), link.b.Len())
	}
	for _, end := range []*Tunnel{link.a, link.b} {
		for s := range end.Sessions() {
			if s.State != CallEstablished {
				t.Error(s)
			}
		}
	}
}
