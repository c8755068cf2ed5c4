package engine

import (
	"context"
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// TunnelInfo is a tunnel at one instant.
type TunnelInfo struct {
	ID          uint32
	Name        string
	Peer        tunnel.PeerInfo
	Path        Path
	Initiator   bool
	State       tunnel.State
	Since       time.Time // in State, as far as the engine knows it
	Calls       int
	KernelPlane bool
	Stats       tunnel.Stats
	// Version of the control connection, and how it travels.
	Version       uint8
	Encapsulation config.Encapsulation
}

// CallInfo is a session at one instant.
type CallInfo struct {
	ID, PeerID       uint32
	Tunnel           uint32
	TunnelName       string
	Name, Profile    string
	LNS              bool
	State            CallState
	Since            time.Time
	Params           tunnel.Call
	Kind             circuit.Kind
	Served           bool // it has a bridge, so Bridge and Stats mean something
	Bridge           circuit.Info
	Session          Session       // of its CallSpec; nil: none
	Stats            circuit.Stats // zero until Snapshot.ReadStats
	Rx, Tx           Traffic
	SendSequence     bool
	SequenceRequired bool
	Sequence         sequence.Counters

	// What only version 3 has.
	Version                        uint8
	Pseudowire                     l2tp.PseudowireType // PPP too
	CookieLength, PeerCookieLength int                 // octets
	Sublayer, PeerSublayer         l2tp.SublayerType   // of what we receive and send
	LocalStatus, PeerStatus        l2tp.CircuitStatus

	bridge circuit.Bridge // of ReadStats
}

// Traffic counts data messages of the userspace plane and the octets of the
// PPP frames in them. On the kernel plane, Stats.Kernel has the numbers.
type Traffic struct{ Packets, Bytes uint64 }

// Snapshot is the state of the whole engine. Each shard is read at an instant
// of its own.
type Snapshot struct {
	Tunnels  []TunnelInfo
	Calls    []CallInfo
	Counters map[string]uint64
}

// Snapshot asks every shard what it has.
func (e *Engine) Snapshot(ctx context.Context) (*Snapshot, error) {
	all := &Snapshot{Counters: e.counts()}
	err := e.ask(ctx, func(s *shard) {
		for _, t := range s.tunnels {
			all.Tunnels = append(all.Tunnels, t.info())
			for _, c := range t.calls {
				all.Calls = append(all.Calls, c.info())
			}
			for c := range t.placed {
				all.Calls = append(all.Calls, c.info())
			}
		}
	})
	if err != nil {
		return nil, err // a shard may still be writing to it
	}
	return all, nil
}

// ReadStats reads the Stats of the calls. On the kernel plane that is a request to the
// kernel for each of them, which waits while the kernel makes devices: it is done here, in
// the goroutine that wants to know, and not in a shard's loop. The error is that of ctx.
func (s *Snapshot) ReadStats(ctx context.Context) error {
	for i := range s.Calls {
		c := &s.Calls[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.bridge != nil {
			c.Stats = c.bridge.Stats()
		}
	}
	return nil
}

func (t *Tunnel) info() TunnelInfo {
	return TunnelInfo{
		ID: t.id, Name: t.spec.Name, Peer: t.core.Peer(), Path: *t.path, Initiator: t.initiator,
		State: t.core.State(), Since: t.since, Calls: len(t.calls), KernelPlane: t.kernel != nil,
		Stats: t.core.Stats(), Version: t.version, Encapsulation: t.path.encapsulation(),
	}
}

func (c *Call) info() CallInfo {
	i := CallInfo{
		ID: c.ID, PeerID: c.PeerID, Tunnel: c.tunnel.id, TunnelName: c.tunnel.spec.Name,
		LNS: c.LNS, State: c.state, Since: c.since, Params: c.Params,
	}
	i.Version = c.tunnel.version
	if c.tunnel.is3() {
		p := &c.Params
		i.Pseudowire, i.LocalStatus, i.PeerStatus = p.Pseudowire, p.LocalStatus, p.PeerStatus
		i.CookieLength, i.PeerCookieLength = len(p.Local.Cookie), len(p.Peer.Cookie)
		i.Sublayer, i.PeerSublayer = p.Local.Sublayer, p.Peer.Sublayer
	}
	if c.state == CallPending {
		// Who asks for an incoming call is its LAC, for an outgoing one its LNS.
		i.LNS = c.placed == (c.Params.Direction == tunnel.Outgoing)
	}
	if c.spec != nil {
		i.Name, i.Profile, i.Kind, i.Session = c.spec.Name, c.spec.Profile, c.spec.kind(), c.spec.Session
	}
	if c.bridge != nil {
		i.Served, i.Kind = true, c.bridge.Kind()
		i.Bridge, i.bridge = c.bridge.Info(), c.bridge
	}
	if d := c.data; d != nil {
		i.Rx, i.Tx = traffic(&d.rx), traffic(&d.tx)
		i.SendSequence = d.sequence.Sender.Active()
		i.SequenceRequired = d.required
		i.Sequence = d.sequence.Receiver.Counters()
	}
	return i
}

// StopTunnels ends the tunnels that match and returns how many there were and
// how many calls they had.
func (e *Engine) StopTunnels(ctx context.Context, match func(TunnelInfo) bool, cause tunnel.Cause) (tunnels, calls int, err error) {
	var stopped, cleared atomic.Int64
	err = e.ask(ctx, func(s *shard) {
		for _, t := range s.tunnels {
			if !t.down && match(t.info()) {
				stopped.Add(1)
				cleared.Add(int64(len(t.calls)))
				t.step(tunnel.Stop{Cause: cause})
			}
		}
	})
	return int(stopped.Load()), int(cleared.Load()), err
}

// CloseCall ends one call; false if there is none of these IDs.
func (e *Engine) CloseCall(ctx context.Context, tunnelID, sessionID uint32, cause tunnel.Cause) (bool, error) {
	var found atomic.Bool
	err := e.ask(ctx, func(s *shard) {
		t := s.tunnels[tunnelID]
		if t == nil {
			return
		}
		if c := t.calls[sessionID]; c != nil && c.state < CallClosing {
			found.Store(true)
			c.close(cause)
		}
	})
	return found.Load(), err
}
