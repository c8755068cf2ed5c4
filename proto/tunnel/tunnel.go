// Package tunnel is the control connection and session state machine of L2TPv2,
// RFC 2661 sections 5 and 7, and of L2TPv3, RFC 3931 sections 3 to 7, for LAC and
// LNS alike and for calls in both directions. It is pure: Step takes the time and an
// event and returns actions.
//
// The tables of the two versions are the same but for names. What only version 3 has
// is in the files whose names begin with v3: Control Message Authentication, the
// choice of the version, and what the messages of a session say in it. There, the
// tunnel of RFC 2661 is called control connection, and its Assigned Tunnel ID
// Assigned Control Connection ID; here both have the older name.
//
// A Tunnel belongs to one goroutine at a time. It sends nothing and keeps no
// timer: the owner performs the actions, puts Send on the wire, and calls Step
// with Tick once Deadline has passed.
package tunnel

import (
	"errors"
	"iter"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// Tunnel is one control connection with its calls.
type Tunnel struct {
	cfg       Config
	ch        *reliable.Channel
	state     State
	initiator bool

	// version is that of our messages. undecided says that we sent an SCCRQ that both
	// versions understand, and have no answer: it is 2 until then.
	version   uint8
	undecided bool
	auth      authentication // version 3 only

	peer PeerInfo
	// challenge is what we sent and want a response to; nil: nothing.
	challenge []byte
	tie       []byte
	// request is a hash of the SCCRQ that began an accepted tunnel.
	request uint64

	ids      idSpace // of version 2
	wideIDs  wideIDs // of version 3
	sessions map[uint32]*session
	// byPeer finds a session by the Assigned Session ID of the peer.
	byPeer map[uint32]*session
	// byEnd finds the sessions of version 3 in CallWaitReply by their Remote End ID,
	// which several have only if their Application IDs differ; the latest is the last.
	byEnd map[string][]*session
	// unsent are the calls in CallWaitTunnel, in the order they were placed.
	unsent sessionList
	// pending are the calls that wait with a deadline, the earliest first: each
	// wait takes CallTimeout, so appending keeps the order.
	pending sessionList

	setupBy  time.Time // zero: no bound, or established
	deadBy   time.Time // when Dead turns into Finished
	lastData time.Time
	stats    Stats
	serial   uint32
	stopped  l2tp.ResultCode // of our StopCCN

	actions []Action
	packets []byte // backs the Send actions of this step
	payload []byte // scratch of send
}

// Dial begins a tunnel to a peer: the actions hold the SCCRQ to be sent, or
// TunnelDown and Gone if cfg makes a tunnel impossible.
//
// RFC 2661 section 7.2.1: "idle | Local Open request | Send SCCRQ |
// wait-ctl-reply".
func Dial(now time.Time, cfg Config) (*Tunnel, []Action) {
	t := newTunnel(now, cfg)
	t.initiator = true
	t.state = WaitCtlReply
	if t.undecided = t.cfg.Fallback && t.version == l2tp.Version3; t.undecided {
		t.version = l2tp.Version
		t.ch.SetVersion(l2tp.Version, t.auth.sealer(), nil)
	}
	t.sendSCCRQ(now)
	return t, t.finish(now)
}

// Accept is AcceptPacket for an SCCRQ whose digest need not be looked at, as in
// version 2 there is none.
func Accept(now time.Time, cfg Config, h l2tp.Header, payload []byte) (*Tunnel, []Action, error) {
	return AcceptPacket(now, cfg, Receive{Header: h, Payload: payload})
}

// AcceptPacket begins a tunnel that a peer asks for with the SCCRQ in ev, once
// the owner's policy said yes. The actions answer it: with SCCRP, or with a
// StopCCN if the tunnel cannot be (protocol version, authentication). In the
// latter case they end with TunnelDown and Gone: no state is kept for a request
// that was turned down, as a lost StopCCN is sent again when the peer repeats
// its SCCRQ.
//
// The version of the tunnel is cfg.Version. An SCCRQ of version 2 that offers version
// 3 besides will do for both, RFC 3931 section 4.7.3; another of the other version is
// turned down.
//
// An error (ErrNotFirst, *l2tp.Error) means that ev is no SCCRQ, or one that does not
// say whom to answer, or that its digest is wrong (ErrDigest); there is no tunnel and
// there are no actions then.
//
// RFC 2661 section 7.2.1: "idle | Receive SCCRQ, acceptable | Send SCCRP |
// wait-ctl-conn" and "not acceptable | Send StopCCN, Clean up | idle".
func AcceptPacket(now time.Time, cfg Config, ev Receive) (*Tunnel, []Action, error) {
	return begin(now, cfg, ev, nil)
}

// RefusePacket turns down the SCCRQ in ev as AcceptPacket would one that cannot be
// accepted, for a reason of the owner's: the actions hold the StopCCN, in the version of
// cfg and with the digest that a peer with the same secret wants to see in it. The errors
// are those of AcceptPacket: the SCCRQ is not what the peer has sent, and nothing may
// follow from it.
func RefusePacket(now time.Time, cfg Config, ev Receive, result l2tp.ResultCode) ([]Action, error) {
	_, actions, err := begin(now, cfg, ev, &result)
	return actions, err
}

// begin is AcceptPacket, or RefusePacket if there is a reason to refuse.
func begin(now time.Time, cfg Config, ev Receive, refuse *l2tp.ResultCode) (*Tunnel, []Action, error) {
	h, payload := ev.Header, ev.Payload
	// Section 5.8: "The message sequence number, Ns, begins at 0."
	if kind, ok := l2tp.PeekMessageType(payload); !h.Control || h.Ns != 0 || ok && kind != l2tp.TypeSCCRQ {
		return nil, nil, ErrNotFirst
	}
	t := newTunnel(now, cfg)
	if t.version == l2tp.Version3 && !t.auth.verifySCCRQ(ev) {
		return nil, nil, ErrDigest
	}
	m, err := l2tp.ParseMessage(versionOf(h), payload, t.secret())
	var bad *l2tp.Error
	if errors.As(err, &bad) && !answerable(bad) {
		return nil, nil, err
	}
	sccrq, ok := m.(*l2tp.SCCRQ)
	if !ok && bad == nil {
		return nil, nil, ErrNotFirst
	}
	t.state = WaitCtlConn
	t.request = hashPayload(payload)
	if err := t.ch.Receive(now, h, payload); err != nil {
		return nil, nil, err
	}
	t.ch.NextMessage() // it is the SCCRQ that was parsed above
	if bad != nil {
		t.setVersion(versionOf(h))
		t.ch.SetPeer(bad.AssignedTunnelID, 0)
		t.turnDown(now, bad.Result, bad)
	} else {
		t.recvFirstSCCRQ(now, versionOf(h), sccrq, refuse)
	}
	return t, t.finish(now), nil
}

// answerable says whether a StopCCN can answer an SCCRQ that could not be read.
func answerable(bad *l2tp.Error) bool {
	return bad.Message == l2tp.TypeSCCRQ && bad.Scope == l2tp.ScopeTunnel && bad.AssignedTunnelID != 0
}

func newTunnel(now time.Time, cfg Config) *Tunnel {
	cfg = cfg.withDefaults()
	t := &Tunnel{
		cfg:      cfg,
		ch:       reliable.New(cfg.Reliable),
		version:  cfg.Version,
		sessions: make(map[uint32]*session),
		byPeer:   make(map[uint32]*session),
		lastData: now,
	}
	if t.version == l2tp.Version3 {
		t.auth = newAuthentication(&cfg)
		t.byEnd = make(map[string][]*session)
		t.setVersion(t.version)
	}
	if cfg.SetupTimeout > 0 {
		t.setupBy = now.Add(cfg.SetupTimeout)
	}
	return t
}

// Refuse appends to dst a whole StopCCN packet that turns down an SCCRQ, in the
// version that its header h has, and keeps no state: it has Ns 0 and acknowledges the
// SCCRQ. localID is put in the Assigned Tunnel ID AVP; as the tunnel never was, any
// will do, 0 as well. dst is returned as it was if the SCCRQ cannot be answered.
//
// There is no digest in it, so that a peer of version 3 which has a secret ignores
// it; to whom that matters calls RefusePacket.
//
// RFC 2661 section 7.2.1: "idle | Receive SCCRQ, not acceptable | Send StopCCN,
// Clean up | idle".
func Refuse(dst []byte, h l2tp.Header, sccrq *l2tp.SCCRQ, result l2tp.ResultCode, localID uint32) []byte {
	if sccrq == nil || sccrq.AssignedTunnelID == 0 {
		return dst
	}
	m := &l2tp.StopCCN{AssignedTunnelID: localID, ResultCode: result}
	version := versionOf(h)
	payload, err := l2tp.AppendMessage(nil, m, l2tp.AppendOptions{Version: version})
	if err != nil {
		return dst
	}
	answer := l2tp.Header{
		Control: true, Version: version, Length: uint16(l2tp.ControlHeaderLen + len(payload)),
		TunnelID: sccrq.AssignedTunnelID, Nr: h.Ns + 1,
	}
	return append(answer.Append(dst), payload...)
}

// Began says whether payload is that of the SCCRQ which this tunnel was accepted
// from. Another SCCRQ with the same Assigned Tunnel ID comes from a peer that has
// restarted; the owner of a dead tunnel may accept it as a new one.
func (t *Tunnel) Began(payload []byte) bool {
	return !t.initiator && hashPayload(payload) == t.request
}

// State is the state of the control connection.
func (t *Tunnel) State() State { return t.state }

// Established says whether calls can be made.
func (t *Tunnel) Established() bool { return t.state == Established }

// Initiator says whether we sent the SCCRQ.
func (t *Tunnel) Initiator() bool { return t.initiator }

// LocalID is our Assigned Tunnel ID.
func (t *Tunnel) LocalID() uint32 { return t.cfg.LocalID }

// Peer is what the peer told about itself; zero before SCCRP.
func (t *Tunnel) Peer() PeerInfo { return t.peer }

// TieBreaker is the Tie Breaker value of our SCCRQ, for ResolveTie; false if
// there was none. It says so only as long as the SCCRQ is unanswered.
func (t *Tunnel) TieBreaker() ([]byte, bool) {
	if t.state != WaitCtlReply || t.tie == nil {
		return nil, false
	}
	return t.tie, true
}

// Acknowledged says that the peer has acknowledged all that we sent, so that a
// dead tunnel's owner who is in a hurry need not wait for Gone.
func (t *Tunnel) Acknowledged() bool { return t.state == Finished || t.ch.Idle() }

// DataReceived tells that a data message came from the peer at that time, which
// puts off the next HELLO. It needs no Step, and may be called as seldom as the
// owner likes: once before a Tick is enough.
func (t *Tunnel) DataReceived(at time.Time) {
	if at.After(t.lastData) {
		t.lastData = at
	}
}

// Len is the number of calls in any state.
func (t *Tunnel) Len() int { return len(t.sessions) }

// Session tells about one call, by our Session ID.
func (t *Tunnel) Session(id uint32) (SessionInfo, bool) {
	s, ok := t.sessions[id]
	if !ok {
		return SessionInfo{}, false
	}
	return s.info(), true
}

// Sessions goes through all calls, in no certain order. Step must not be called
// within.
func (t *Tunnel) Sessions() iter.Seq[SessionInfo] {
	return func(yield func(SessionInfo) bool) {
		for _, s := range t.sessions {
			if !yield(s.info()) {
				return
			}
		}
	}
}
