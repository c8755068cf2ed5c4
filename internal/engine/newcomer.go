package engine

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// receiveNewcomer takes a control message with Tunnel ID 0: an SCCRQ, or a
// StopCCN of a peer that never learned our ID. Nothing is kept for a packet
// that is not a valid SCCRQ of a peer whom the role lets in.
func (s *shard) receiveNewcomer(in inbound) {
	h, payload, err := l2tp.ParseHeader(in.packet)
	if err != nil {
		s.engine.counters.inc(DropShort)
		return
	}
	r, ok := readRequest(h.Version, payload)
	from := originOf(in.path.Peer, h.Version, payload)
	if t := s.origins[from]; t != nil {
		if !t.down || t.core.Began(payload) {
			t.step(tunnel.Receive{Header: h, Payload: payload, Packet: in.packet})
			return
		}
		// The peer has restarted and uses the ID again; its old tunnel is only
		// waiting to be forgotten.
		delete(s.origins, from)
	}
	if !ok {
		s.engine.counters.inc(DropNotSCCRQ)
		return
	}
	var outcome tie
	if !r.offers3 {
		outcome = s.resolveTie(&in.path, &r, nil)
		if !outcome.won && len(outcome.losers) == 0 {
			return // in version 2, the loser finds out by itself
		}
	}
	spec, refusal := s.engine.accept(&in.path, &r)
	if refusal != nil {
		s.refuse(&in.path, h, &r, refusal)
		return
	}
	if r.offers3 {
		outcome = s.resolveTie(&in.path, &r, spec.Tunnel.Secret)
	}
	s.acceptTunnel(in.path, from, spec, &r, outcome, tunnel.Receive{Header: h, Payload: payload, Packet: in.packet})
}

// request is what is read of an SCCRQ before anything is decided. The rest may
// be hidden under a secret that depends on who the peer is.
type request struct {
	version    uint8 // of the header
	hostName   string
	tunnelID   uint32 // 0: hidden, or not there
	routerID   uint32
	tieBreaker []byte
	offers3    bool // it can be answered in version 3
}

// tieRefused tells a peer whose SCCRQ has lost that it has.
var tieRefused = l2tp.ResultCode{Result: l2tp.StopCCNAlreadyExists, Message: "our own SCCRQ has won the tie"}

// readRequest skims an SCCRQ; false if the message is another one, or lacks
// what is needed to find its peer. tunnel.Accept reads it in full.
func readRequest(version uint8, payload []byte) (r request, ok bool) {
	r.version = version
	r.tunnelID = assignedTunnelID(version, payload)
	routerID := l2tp.FindAVP(payload, l2tp.AVPRouterID)
	if len(routerID) == 4 {
		r.routerID = binary.BigEndian.Uint32(routerID)
	}
	// RFC 3931 section 4.7.3: "an implementation may detect whether a peer is
	// L2TPv3-capable by sending a special SCCRQ that is properly formatted for both
	// L2TPv2 and L2TPv3."
	r.offers3 = version == l2tp.Version3 || len(routerID) == 4 &&
		len(l2tp.FindAVP(payload, l2tp.AVPAssignedControlConnectionID)) == 4 &&
		len(l2tp.FindAVP(payload, l2tp.AVPPseudowireCapabilities)) >= 2
	if tie := l2tp.FindAVP(payload, l2tp.AVPTieBreaker); len(tie) == 8 {
		r.tieBreaker = tie
	}
	r.hostName, ok = l2tp.PeekHostName(payload)
	kind, known := l2tp.PeekMessageType(payload)
	return r, ok && known && kind == l2tp.TypeSCCRQ
}

// asked is what the role is told of it.
func (r *request) asked(path *Path) *TunnelRequest {
	q := &TunnelRequest{
		From: path.Peer, Local: path.Local, Encapsulation: path.encapsulation(), HostName: r.hostName,
		V2: r.version == l2tp.Version, V3: r.offers3,
	}
	if q.V3 {
		q.RouterID = r.routerID
	}
	return q
}

// may says whether the request can be answered in a version.
func (r *request) may(version uint8) bool {
	return version == l2tp.Version3 && r.offers3 || version == l2tp.Version && r.version == l2tp.Version
}

// tie is what an SCCRQ means to the tunnels that we are dialling to its peer.
type tie struct {
	won    bool      // the SCCRQ may go on
	losers []*Tunnel // those of ours that lose against it
}

// resolveTie says whether the SCCRQ may go on when we are dialling the same
// peer, and which tunnels of ours lose against it. RFC 2661 section 4.4.3: "The
// recipient of a SCCRQ must check to see if a SCCRQ has been sent to the peer,
// and if so, must compare its Tie Breaker value with the received one."
//
// Several of ours may be on the way to one peer; it compares its SCCRQ with each
// of them, and so do we. The secret is the one that its digest is to be checked by.
func (s *shard) resolveTie(path *Path, r *request, secret []byte) tie {
	result := tie{won: true}
	for ours, breaker := range s.engine.rivals(path.Peer.Addr(), r, secret) {
		winner := tunnel.ResolveTie(breaker, r.tieBreaker)
		if winner == tunnel.Theirs || winner == tunnel.Neither {
			result.losers = append(result.losers, ours)
		}
		if winner == tunnel.Ours || winner == tunnel.Neither {
			result.won = false
		}
	}
	if !result.won {
		s.engine.counters.inc(TieWon)
	}
	return result
}

// lose discards tunnels of ours. It does not come to this if the winner was then
// refused for want of a configuration or a place, since no tunnel would be left, nor if
// its digest is wrong. RFC 3931 section 5.4.1: "This message authenticity and integrity
// checking MUST be performed before utilizing any information contained within the
// control message."
func (e *Engine) lose(losers []*Tunnel) {
	for _, t := range losers {
		e.counters.inc(TieLost)
		e.forget(t)
		t.lost.Store(true)
		t.shard.post(func() { t.step(tunnel.Lose{}) })
	}
}

// accept asks the limits and the role.
func (e *Engine) accept(path *Path, r *request) (*TunnelSpec, *Refusal) {
	if e.opt.Acceptor == nil {
		e.counters.inc(RefusedPeer)
		return nil, &Refusal{Why: "there is no [[lns.peers]] block", Result: l2tp.ResultCode{
			Result: l2tp.StopCCNNotAuthorized, Message: "no tunnels are accepted here"}}
	}
	switch err := e.enter(path.Peer.Addr(), true); {
	case errors.Is(err, ErrClosed):
		return nil, &Refusal{Why: err.Error(), Result: shuttingDown.Result}
	case err != nil:
		e.counters.inc(RefusedLimit)
		return nil, &Refusal{Why: "limits.tunnels, limits.half_open or limits.tunnels_per_peer is reached",
			Result: l2tp.ResultCode{Result: l2tp.StopCCNGeneralError,
				Error: l2tp.ErrorInsufficientResources, Message: "no more tunnels are accepted at present"}}
	}
	spec, refusal := e.opt.Acceptor.AcceptTunnel(r.asked(path))
	if refusal != nil {
		e.halfOpen.Add(-1)
		e.exit(path.Peer.Addr())
		if refusal.Result.Result == l2tp.StopCCNUnsupportedVersion {
			e.counters.inc(RefusedVersion)
		} else {
			e.counters.inc(RefusedPeer)
		}
	}
	return spec, refusal
}

// refuse answers an SCCRQ with a StopCCN and keeps nothing: if the StopCCN is
// lost, the peer sends its SCCRQ again and is refused again.
func (s *shard) refuse(path *Path, h l2tp.Header, r *request, refusal *Refusal) {
	fields := logrus.Fields{"peer": path.Peer.String(), "host_name": r.hostName}
	if refusal.Name != "" {
		fields["peer_name"] = refusal.Name
	}
	s.engine.strangers.Log(s.engine.log.WithFields(fields), logrus.WarnLevel, "tunnel refused: "+refusal.Why)
	s.turnAway(path, h, r, refusal.Result)
}

// turnAway answers an SCCRQ with a StopCCN, if it said whom to answer.
func (s *shard) turnAway(path *Path, h l2tp.Header, r *request, result l2tp.ResultCode) {
	if r.tunnelID != 0 {
		id := s.freeID(h.Version == l2tp.Version3)
		s.engine.sendControl(path, tunnel.Refuse(nil, h, &l2tp.SCCRQ{AssignedTunnelID: r.tunnelID}, result, id))
	}
}

// acceptTunnel makes the tunnel that an SCCRQ asked for, or breaks the tie with it.
func (s *shard) acceptTunnel(path Path, from origin, spec *TunnelSpec, r *request, tie tie, sccrq tunnel.Receive) {
	e := s.engine
	t, ok := s.newTunnel(path, spec)
	t.halfOpen = true
	if !ok {
		e.counters.inc(RefusedLimit)
		t.discard(noTunnelID)
		return
	}
	if !r.may(t.version) {
		e.counters.inc(RefusedVersion)
		no := wrongVersion
		no.Result.Error = l2tp.ErrorCode(t.version)
		s.turnAway(&path, sccrq.Header, r, no.Result)
		t.discard(no)
		return
	}
	if !tie.won {
		s.rejectLoser(t, tie, sccrq)
		return
	}
	core, actions, err := tunnel.AcceptPacket(time.Now(), s.config(t), sccrq)
	if core == nil {
		t.ignore(err)
		return
	}
	if core.State() != tunnel.Finished { // it is not turned down
		e.lose(tie.losers)
	}
	e.counters.inc(TunnelsAccepted)
	t.core = core
	t.origin = from
	s.origins[from] = t
	t.start(actions)
}

// rejectLoser answers an SCCRQ that has lost the tie: in version 2 with silence. RFC 3931
// section 5.4.3: "A StopCCN SHOULD be sent by the winner as an explicit rejection for the
// losing SCCRQ." It has the digest without which the peer would not believe it.
func (s *shard) rejectLoser(t *Tunnel, tie tie, sccrq tunnel.Receive) {
	actions, err := tunnel.RefusePacket(time.Now(), s.config(t), sccrq, tieRefused)
	if err != nil {
		t.ignore(err)
		return
	}
	for _, a := range actions {
		if send, ok := a.(tunnel.Send); ok && t.is3() {
			s.engine.sendControl(t.path, send.Packet)
		}
	}
	s.engine.lose(tie.losers)
	t.discard(tunnel.Cause{Result: tieRefused})
}

// ignore takes back the tunnel of an SCCRQ of which nothing is believed.
func (t *Tunnel) ignore(err error) {
	if errors.Is(err, tunnel.ErrDigest) {
		t.shard.engine.counters.inc(DropDigest)
	} else {
		t.shard.engine.counters.inc(RefusedParse)
	}
	t.log.WithError(err).Debug("SCCRQ ignored")
	t.discard(tunnel.Cause{Err: err})
}

// wrongVersion is why a tunnel is not begun that its peer has not offered in the version
// which the role wants, which goes into the Error Code: it "indicates highest version
// supported" (RFC 3931 section 5.4.2).
var wrongVersion = tunnel.Cause{Result: l2tp.ResultCode{
	Result: l2tp.StopCCNUnsupportedVersion, Message: "your version of L2TP is not spoken with you here"}}

// shuttingDown is why tunnels end, or do not begin, at the engine's end.
var shuttingDown = tunnel.Cause{Err: ErrClosed, Result: l2tp.ResultCode{
	Result: l2tp.StopCCNShuttingDown, Message: "adit is shutting down"}}

// dial makes a tunnel of our own.
func (s *shard) dial(path Path, spec *TunnelSpec) {
	e := s.engine
	t, ok := s.newTunnel(path, spec)
	if !ok {
		t.discard(noTunnelID)
		return
	}
	if e.closing.Load() {
		// Close may have had its look at the tunnels already.
		t.discard(shuttingDown)
		return
	}
	t.initiator = true
	core, actions := tunnel.Dial(time.Now(), s.config(t))
	t.core = core
	e.counters.inc(TunnelsDialled)
	tie, _ := core.TieBreaker()
	e.remember(t, tie)
	t.start(actions)
}

// newTunnel enters a tunnel under a fresh ID.
func (s *shard) newTunnel(path Path, spec *TunnelSpec) (*Tunnel, bool) {
	t := &Tunnel{
		shard: s, spec: spec, since: time.Now(), entered: path.Peer.Addr(),
		calls: make(map[uint32]*Call), placed: make(map[*Call]bool), reserved: make(map[uint32]bool),
		slot: &tunnelSlot{owner: s}, version: max(spec.Tunnel.Version, l2tp.Version),
	}
	t.deadline.Owner = t
	path.via.hold()
	t.log = s.engine.log.WithFields(logrus.Fields{"peer_name": spec.Name, "peer": path.Peer.String()})
	t.setPath(&path)
	for range 64 {
		if id := s.freeID(t.is3() && !spec.Tunnel.Fallback); id != 0 && t.claimID(id) {
			t.log = t.log.WithField("tunnel", id)
			s.tunnels[id] = t
			return t, true
		}
	}
	return t, false
}

var noTunnelID = tunnel.Cause{Result: l2tp.ResultCode{
	Result: l2tp.StopCCNGeneralError, Error: l2tp.ErrorInsufficientResources, Message: "no Tunnel ID is free"}}

// discard takes back a tunnel that never got a state machine.
func (t *Tunnel) discard(cause tunnel.Cause) {
	t.gone, t.down = true, true
	t.shard.engine.settled(t)
	t.shard.remove(t)
	t.spec.Handler.TunnelDown(t, cause)
}

// assignedTunnelID is the value of the AVP that says whom to answer, the Assigned
// Control Connection ID of version 3; 0 if it is hidden or not there.
func assignedTunnelID(version uint8, payload []byte) uint32 {
	if version == l2tp.Version3 {
		if id := l2tp.FindAVP(payload, l2tp.AVPAssignedControlConnectionID); len(id) == 4 {
			return binary.BigEndian.Uint32(id)
		}
		return 0
	}
	if id := l2tp.FindAVP(payload, l2tp.AVPAssignedTunnelID); len(id) == 2 {
		return uint32(binary.BigEndian.Uint16(id))
	}
	return 0
}

// originOf identifies an attempt to set up a tunnel.
func originOf(peer netip.AddrPort, version uint8, payload []byte) origin {
	from := origin{peer: peer, version: version, tunnelID: assignedTunnelID(version, payload)}
	if from.tunnelID == 0 {
		from.request = maphash.Bytes(hashSeed, payload)
	}
	return from
}

var hashSeed = maphash.MakeSeed()
