package engine

import (
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// startBridge opens what the call's frames go to and lets frames flow.
func (t *Tunnel) startBridge(c *Call, chosen plane) error {
	d := t.newDataSession(c)
	open := t.openPPP
	if !c.isPPP() {
		open = t.openPseudowire
	}
	bridge, l, err := open(c, d, chosen)
	if err != nil {
		return err
	}
	t.bridges++
	d.bridge, c.bridge, c.data = bridge, bridge, d
	d.kernel = c.bridge.Kind().KernelPlane()
	if !d.kernel {
		c.admitData()
	}
	if t.is3() {
		c.applyPeerStatus()
	}
	t.enter(c.ID, d)
	if c.spec.Session != nil {
		c.spec.Session.Established(c)
	}
	if s, ok := c.bridge.(pppbridge.Stepper); ok {
		c.link = l
		l.begin(s, !c.LNS)
		c.takeEarly(time.Now())
	}
	c.early = nil
	return nil
}

// newDataSession makes the session as the data path sees it, without its bridge.
func (t *Tunnel) newDataSession(c *Call) *dataSession {
	e := t.shard.engine
	cfg := c.sequencing()
	cfg.Buffers = e.buffers
	d := &dataSession{
		slot: t.slot, peerTunnel: t.core.Peer().TunnelID, peerID: c.PeerID, counters: &e.counters,
		required: cfg.Required, sequence: sequence.New(cfg),
	}
	if t.is3() {
		overIP := t.path.encapsulation() == config.EncapsulationIP
		d.wire3 = newWire3(c.Params.Pseudowire, overIP, c.PeerID, &c.Params.Local, &c.Params.Peer)
		d.peerDown.Store(c.Params.PeerStatus&l2tp.CircuitActive == 0)
	}
	d.deadline.Owner = d
	return d
}

// sequencing is what the numbers of data messages are like.
func (c *Call) sequencing() sequence.Config {
	cfg := sequence.Config{LNS: c.LNS, ReorderTimeout: c.spec.ReorderTimeout}
	if c.tunnel.is3() {
		// RFC 3931 section 4.6.1: "each LCCE is responsible for communicating to its
		// peer the level of sequencing support that it requires of data packets that
		// it receives." To number more than that is no fault: which frames are IP is
		// not known before they are written.
		local, peer := &c.Params.Local, &c.Params.Peer
		cfg.Bits = sequence.Bits24
		cfg.Required = numbered(local) && local.Sequencing == l2tp.SequencingAll
		cfg.Send = numbered(peer)
		return cfg
	}
	// RFC 2661 section 5.4 of the Sequencing Required AVP, whoever sent it: "If this AVP
	// is present during session setup, sequence numbers MUST be present at all times."
	cfg.Required = c.spec.SequencingRequired || c.Params.SequencingRequired
	cfg.Send = c.spec.SendSequence || cfg.Required
	return cfg
}

// numbered says whether an end wants numbers, in a sublayer that is ours to write.
func numbered(w *tunnel.Wire) bool {
	return w.Sequencing != l2tp.SequencingNone && w.Sublayer == l2tp.SublayerDefault
}

// openPPP opens what PPP frames go to.
func (t *Tunnel) openPPP(c *Call, d *dataSession, on plane) (circuit.Bridge, *link, error) {
	e := t.shard.engine
	cfg := c.sequencing()
	spec := c.spec.Bridge
	spec.Kind, spec.UDP = on.kind, on.fd
	spec.Log = c.log
	spec.LNS = c.LNS
	spec.Version = t.version
	spec.LocalTunnel, spec.PeerTunnel = t.id, t.core.Peer().TunnelID
	spec.LocalSession, spec.PeerSession = c.ID, c.PeerID
	spec.Peer = t.path.Peer
	spec.CallingNumber = c.Params.CallingNumber
	spec.ProxyLCP, spec.ProxyAuth = c.Params.ProxyLCP, c.Params.ProxyAuth
	spec.SendSequence, spec.RequireSequence, spec.ReorderTimeout = cfg.Send, cfg.Required, cfg.ReorderTimeout
	forget := func() {
		if on.kind.KernelPlane() && t.is3() {
			t.deleteSession(c)
		}
	}
	l := newLink(t.shard, c)
	spec.Owner = l
	bridge, err := e.bridges.Open(spec, d, func(exit circuit.Exit) {
		t.shard.post(func() {
			l.end()
			forget()
			c.bridgeEnded(exit)
		})
	})
	if err != nil {
		forget()
	}
	return bridge, l, err
}

// openPseudowire opens what frames of another kind go to.
func (t *Tunnel) openPseudowire(c *Call, d *dataSession, on plane) (circuit.Bridge, *link, error) {
	e := t.shard.engine
	spec := *c.spec.Pseudowire
	spec.Kind = on.kind
	spec.Log = c.log
	spec.CircuitChanged = c.SetCircuit
	if on.kind.KernelPlane() {
		// The kernel has no VLAN pseudowire: the device adds the tag.
		s := c.kernelSession(l2tp.PseudowireEthernet)
		s.Interface = spec.Interface
		spec.Session = &s
	}
	bridge, err := e.pseudowires.Open(spec, d, func(exit circuit.Exit) {
		t.shard.post(func() { c.bridgeEnded(exit) })
	})
	return bridge, nil, err
}

// kernelSession is the session of version 3 as the kernel is asked for it.
func (c *Call) kernelSession(kind l2tp.PseudowireType) kernel.L2TPSession {
	cfg := c.sequencing()
	local, peer := &c.Params.Local, &c.Params.Peer
	return kernel.L2TPSession{
		Tunnel: c.tunnel.id, PeerTunnel: c.tunnel.core.Peer().TunnelID, ID: c.ID, PeerID: c.PeerID, Type: kind,
		Cookie: local.Cookie, PeerCookie: peer.Cookie, Sublayer: local.Sublayer,
		SendSequence: cfg.Send, RequireSequence: cfg.Required, LNS: true, ReorderTimeout: cfg.ReorderTimeout,
	}
}
