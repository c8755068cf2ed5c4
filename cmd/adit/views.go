package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/control"
	"adit/internal/engine"
	"adit/lcce"
	"adit/lns"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// daemon answers the control interface from the engine.
type daemon struct {
	cfg      *config.Config
	engine   *engine.Engine
	planes   *engine.Planes
	circuits *lcce.Circuits
	lns      *lns.Role
	lcce     *lcce.Role                        // nil in some tests
	choices  map[*config.Profile]engine.Choice // of the profiles in use
	started  time.Time
	*reloader
}

// Status is control.Daemon.
func (d *daemon) Status(ctx context.Context) (control.Status, error) {
	snap, err := d.engine.Snapshot(ctx)
	if err != nil {
		return control.Status{}, err
	}
	s := control.Status{
		Version: thisBuild().Version, HostName: d.cfg.HostName,
		Started: d.started.Round(0), UptimeSeconds: int64(time.Since(d.started).Seconds()),
		Counters: snap.Counters,
		Tunnels:  control.Counts{Limit: d.cfg.Limits.Tunnels},
		Sessions: control.Counts{Limit: d.cfg.Limits.Sessions},
	}
	maps.Copy(s.Counters, d.lns.Counts())
	if d.lcce != nil {
		maps.Copy(s.Counters, d.lcce.Counts())
		s.Static = staticCounts(d.statics())
	}
	d.subscribers(&s)
	for _, l := range d.engine.Listeners() {
		s.Listeners = append(s.Listeners, l.String())
	}
	for _, l := range d.engine.ListenersIP() {
		s.Listeners = append(s.Listeners, l.String()+" (protocol 115)")
	}
	for _, t := range snap.Tunnels {
		switch t.State {
		case tunnel.Established:
			s.Tunnels.Up++
		case tunnel.WaitCtlReply, tunnel.WaitCtlConn:
			s.Tunnels.SettingUp++
		case tunnel.Dead, tunnel.Finished:
			s.Tunnels.Closing++
		}
	}
	for _, c := range snap.Calls {
		switch c.State {
		case engine.CallUp:
			s.Sessions.Up++
		case engine.CallPending:
			s.Sessions.SettingUp++
		case engine.CallClosing, engine.CallEnded:
			s.Sessions.Closing++
		}
	}
	for _, p := range usedProfiles(d.cfg) {
		s.Planes = append(s.Planes, plane(p, d.choices[p]))
	}
	return s, nil
}

// Tunnels is control.Daemon.
func (d *daemon) Tunnels(ctx context.Context) ([]control.Tunnel, error) {
	snap, err := d.engine.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]control.Tunnel, 0, len(snap.Tunnels))
	for _, t := range snap.Tunnels {
		all = append(all, tunnelView(t))
	}
	return all, nil
}

func tunnelView(t engine.TunnelInfo) control.Tunnel {
	v := control.Tunnel{
		ID: t.ID, PeerID: t.Peer.TunnelID, Peer: t.Name,
		PeerAddress: t.Path.Peer, LocalAddress: t.Path.Local,
		PeerHostName: t.Peer.HostName, PeerVendor: t.Peer.VendorName,
		Role: control.RoleAcceptor, State: t.State.String(), Since: t.Since.Round(0),
		Sessions: t.Calls, DataPlane: "userspace", Version: int(t.Version), Encapsulation: t.Encapsulation.String(),
		ControlChannel: control.ControlChannel{
			Sent: t.Stats.Sent, Received: t.Stats.Received, Retransmitted: t.Stats.Retransmitted,
			Duplicates: t.Stats.Duplicates, OutOfOrder: t.Stats.OutOfOrder, SendQueue: t.Stats.SendQueue,
			Window: t.Stats.Window, PeerWindow: int(t.Peer.ReceiveWindow), LastReceived: t.Stats.LastReceived.Round(0),
		},
	}
	if t.Initiator {
		v.Role = control.RoleInitiator
	}
	if t.KernelPlane {
		v.DataPlane = "kernel"
	}
	return v
}

// Sessions is control.Daemon.
func (d *daemon) Sessions(ctx context.Context) ([]control.Session, error) {
	snap, err := d.engine.Snapshot(ctx)
	if err == nil {
		err = snap.ReadStats(ctx)
	}
	if err != nil {
		return nil, err
	}
	all := make([]control.Session, 0, len(snap.Calls))
	for _, c := range snap.Calls {
		v := sessionView(c)
		admitted(&v, lns.View(c.Session))
		all = append(all, v)
	}
	return all, nil
}

func sessionView(c engine.CallInfo) control.Session {
	v := control.Session{
		ID: c.ID, PeerID: c.PeerID, Tunnel: c.Tunnel, TunnelPeer: c.TunnelName,
		Name: c.Name, Profile: c.Profile, Direction: c.Params.Direction.String(), Role: "lac",
		State: c.State.String(), Since: c.Since.Round(0),
		CalledNumber: c.Params.CalledNumber, CallingNumber: c.Params.CallingNumber,
		Traffic: control.Traffic{
			RxPackets: c.Rx.Packets, RxBytes: c.Rx.Bytes, TxPackets: c.Tx.Packets, TxBytes: c.Tx.Bytes,
		},
		Sequencing: control.Sequencing{
			Send: c.SendSequence, Required: c.SequenceRequired,
			Reordered: c.Sequence.Reordered, Late: c.Sequence.Late, Duplicate: c.Sequence.Duplicate,
			Lost: c.Sequence.Lost, Overflow: c.Sequence.Overflow, Missing: c.Sequence.MissingNs,
			Held: held(c.Sequence),
		},
		Version: int(c.Version),
	}
	version3View(&v, &c)
	if c.LNS {
		v.Role = "lns"
	}
	if !c.Served {
		return v
	}
	v.Bridge = c.Kind.String()
	v.Interface, v.PPPDPID = c.Bridge.Interface, c.Bridge.PID
	v.LocalAddress, v.RemoteAddress = c.Bridge.LocalIP, c.Bridge.PeerIP
	v.User, v.Phase, v.Routes = c.Bridge.User, c.Bridge.Phase, c.Bridge.Routes
	v.LocalIPv6, v.RemoteIPv6 = c.Bridge.LocalIPv6, c.Bridge.PeerIPv6
	s := c.Stats
	v.Drops = drops(s)
	v.Traffic.RxErrors = s.DropQueueFull + s.DropTooLong + s.DropClosed + s.DropSource + s.DropNotUp + s.DropVLAN
	v.Traffic.TxErrors = s.DropBadFCS + s.DropTooBig + s.DropLoop
	if c.Kind == circuit.Builtin {
		v.Traffic.RxErrors += s.DropMalformed // of the peer; a pppd's otherwise
	} else {
		v.Traffic.TxErrors += s.DropMalformed
	}
	if k := s.Kernel; k != nil {
		v.Traffic = control.Traffic{
			RxPackets: k.RxPackets, RxBytes: k.RxBytes, RxErrors: k.RxErrors,
			TxPackets: k.TxPackets, TxBytes: k.TxBytes, TxErrors: k.TxErrors,
		}
		v.Sequencing.Late, v.Sequencing.Reordered = k.RxSeqDiscards, k.RxOOSPackets
	}
	return v
}

// version3View adds what only version 3 has.
func version3View(v *control.Session, c *engine.CallInfo) {
	if c.Version != l2tp.Version3 {
		return
	}
	v.Pseudowire, v.RemoteEndID = c.Pseudowire.String(), endID(c.Params.RemoteEndID)
	v.ApplicationID = c.Params.ApplicationID
	v.CookieLength, v.PeerCookieLength = c.CookieLength, c.PeerCookieLength
	v.Sublayer, v.PeerSublayer = c.Sublayer.String(), c.PeerSublayer.String()
	v.CircuitStatus, v.PeerCircuitStatus = c.LocalStatus.String(), c.PeerStatus.String()
}

// endID is a Remote End ID in text: RFC 3931 section 5.4.4 leaves its octets to whoever
// gives it out.
func endID(octets []byte) string {
	s := string(octets)
	if utf8.ValidString(s) && clean(s) == s && !strings.HasPrefix(s, "0x") {
		return s
	}
	return fmt.Sprintf("0x%x", octets)
}

// held is how many frames are in the reorder queue: what came into it and has not
// left it. The counts are not of one instant.
func held(c sequence.Counters) int {
	return max(0, int(c.Held-c.Reordered-c.Released-c.Discarded))
}

// drops names what a bridge threw away, and why; nil if it was nothing.
func drops(s circuit.Stats) map[string]uint64 {
	var all map[string]uint64
	for name, n := range map[string]uint64{
		"queue_full": s.DropQueueFull,
		"too_long":   s.DropTooLong,
		"closed":     s.DropClosed,
		"bad_fcs":    s.DropBadFCS,
		"source":     s.DropSource,
		"not_up":     s.DropNotUp,
		"malformed":  s.DropMalformed,
		"too_big":    s.DropTooBig,
		"vlan":       s.DropVLAN,
		"loop":       s.DropLoop,
	} {
		if n == 0 {
			continue
		}
		if all == nil {
			all = make(map[string]uint64)
		}
		all[name] = n
	}
	return all
}

// Disconnect is control.Daemon.
func (d *daemon) Disconnect(ctx context.Context, sel control.Selector) (control.Disconnected, error) {
	message := disconnectMessage(sel.Reason)
	if sel.Session != 0 {
		found, err := d.engine.CloseCall(ctx, sel.Tunnel, sel.Session, administrative(message))
		if err == nil && !found {
			err = notFound(sel, d.statics())
		}
		return control.Disconnected{Sessions: 1}, err
	}
	if sel.User != "" {
		return d.disconnectUser(ctx, sel)
	}
	tunnels, calls, err := d.engine.StopTunnels(ctx, func(t engine.TunnelInfo) bool {
		return sel.All || sel.Peer != "" && t.Name == sel.Peer || sel.Tunnel != 0 && t.ID == sel.Tunnel
	}, tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.StopCCNGeneral, Message: message}})
	if err == nil && tunnels == 0 && !sel.All {
		err = notFound(sel, d.statics())
	}
	return control.Disconnected{Tunnels: tunnels, Sessions: calls}, err
}
