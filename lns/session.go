package lns

import (
	"adit/internal/circuit"
	"adit/internal/engine"
	"adit/lns/aaa"
	"adit/lns/subscriber"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// session is the AAA layer's session of a call, as the engine knows it.
type session struct {
	*aaa.Session
	role *Role
}

var _ engine.Session = (*session)(nil)

// Established is engine.Session's.
func (s *session) Established(c *engine.Call) {
	line := lineOf(c)
	s.Session.Established(&line, &liveCall{call: c, bridge: c.Bridge()}, c.Log())
}

// Ended is engine.Session's.
func (s *session) Ended(cause tunnel.Cause, exit *circuit.Exit) {
	s.Session.Ended(cause, exit)
	if c := s.role.parts.companion; c != nil {
		c.Forget(s.ID())
	}
}

// liveCall is a call that is up, as the AAA layer sees it.
type liveCall struct {
	call   *engine.Call
	bridge circuit.Bridge
}

// Close is aaa.Call's.
func (c *liveCall) Close(message string) {
	c.call.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: message}})
}

// Stats is aaa.Call's.
func (c *liveCall) Stats() circuit.Stats { return c.bridge.Stats() }

// lineOf is what is known of a call that is up.
func lineOf(c *engine.Call) subscriber.Line {
	p := &c.Params
	line := tunnelLine(c.Tunnel())
	line.Session, line.PeerSession, line.LNS = c.ID, c.PeerID, c.LNS
	line.CallingNumber, line.CalledNumber, line.SubAddress = p.CallingNumber, p.CalledNumber, p.SubAddress
	line.CallSerial, line.TxSpeed, line.RxSpeed = p.CallSerial, p.TxConnectSpeed, p.RxConnectSpeed
	line.PhysicalChannel, line.PrivateGroupID = p.PhysicalChannelID, string(p.PrivateGroupID)
	line.Async = p.FramingType&l2tp.FramingAsync != 0
	line.Access = p.Access
	line.Profile, line.Engine = c.Spec().Profile, c.Bridge().Kind().String()
	return line
}

// tunnelLine is what is known of a tunnel that is up.
func tunnelLine(t *engine.Tunnel) subscriber.Line {
	return subscriber.Line{
		Version: t.Version(), Tunnel: t.ID(), PeerTunnel: t.PeerID(), Local: t.Local(), Peer: t.Peer(),
		HostName: t.HostName(), PeerHostName: t.PeerHostName(), PeerName: t.Name(), LNS: true,
	}
}

// View is what people are shown of an engine's session; nil: nobody was let in.
func View(s engine.Session) *aaa.View {
	if ours, ok := s.(*session); ok {
		return ours.View()
	}
	return nil
}
