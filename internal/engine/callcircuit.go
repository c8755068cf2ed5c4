package engine

import (
	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// isPPP says whether the frames of the call are those of PPP. Of one that the peer wants
// and that was not accepted, the peer has said so.
func (c *Call) isPPP() bool {
	if c.spec != nil {
		return c.spec.Pseudowire == nil
	}
	return !c.tunnel.is3() || c.Params.Pseudowire == l2tp.PseudowirePPP
}

// complete adds to a call that we place or accept what version 3 wants and the spec
// says. Version 2 has no place for it.
//
// RFC 3931 section 5.4.4 of the Data Sequencing AVP: numbers are in the L2-Specific
// Sublayer, so that has to be there.
func (s *CallSpec) complete(c *tunnel.Call) {
	if w := &s.Wire; len(c.Local.Cookie) == 0 && c.Local.CookieLength == 0 {
		c.Local.Cookie, c.Local.CookieLength = w.Cookie, w.CookieLength
	}
	c.Local.Sublayer = max(c.Local.Sublayer, s.Wire.Sublayer)
	c.Local.Sequencing = max(c.Local.Sequencing, s.Wire.Sequencing)
	if s.SequencingRequired {
		c.Local.Sequencing = l2tp.SequencingAll
	}
	if c.Local.Sequencing != l2tp.SequencingNone && c.Local.Sublayer == l2tp.SublayerNone {
		c.Local.Sublayer = l2tp.SublayerDefault
	}
	if c.Pseudowire == 0 {
		c.Pseudowire = l2tp.PseudowirePPP
		if s.Pseudowire != nil {
			c.Pseudowire = s.Pseudowire.Type
		}
	}
	// RFC 3931 section 5.4.5: "the New bit SHOULD still be set the first time the L2TP
	// session is established after provisioning."
	if c.LocalStatus == 0 {
		c.LocalStatus = l2tp.CircuitNew
		if !s.CircuitDown {
			c.LocalStatus |= l2tp.CircuitActive
		}
	}
}

// SetCircuit tells the peer whether our circuit is active, by an SLI of version 3. It
// may be called from any goroutine.
func (c *Call) SetCircuit(active bool) {
	c.tunnel.shard.post(func() {
		var status l2tp.CircuitStatus
		if active {
			status = l2tp.CircuitActive
		}
		if c.state != CallUp || !c.tunnel.is3() || c.Params.LocalStatus&l2tp.CircuitActive == status {
			return
		}
		c.Params.LocalStatus = status
		c.log.WithField("circuit", status.String()).Info("our circuit has changed, and the peer is told")
		c.tunnel.step(tunnel.SetCircuitStatus{Session: c.ID, Status: status})
	})
}

// circuitStatus obeys the peer's.
func (c *Call) circuitStatus(status l2tp.CircuitStatus) {
	changed := (c.Params.PeerStatus^status)&l2tp.CircuitActive != 0
	c.Params.PeerStatus = status
	if !changed {
		return
	}
	c.tunnel.callers.Log(c.log.WithField("circuit", status.String()), logrus.InfoLevel, "the peer's circuit has changed")
	c.applyPeerStatus()
}

// applyPeerStatus tells the data path and the bridge.
func (c *Call) applyPeerStatus() {
	active := c.Params.PeerStatus&l2tp.CircuitActive != 0
	if c.data != nil {
		c.data.peerDown.Store(!active)
	}
	if r, ok := c.bridge.(circuit.StatusReporter); ok {
		r.SetPeerActive(active)
	}
}

// admitData has the data of the session come by the tunnel's socket.
func (c *Call) admitData() {
	if k, ok := c.tunnel.path.via.(ipTransport); ok {
		k.admitData()
		c.held = k
	}
}

// refuseData undoes it.
func (c *Call) refuseData() {
	if c.held != nil {
		c.held.refuseData()
		c.held = nil
	}
}
