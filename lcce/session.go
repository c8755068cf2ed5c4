package lcce

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// session is a session of a static tunnel. It belongs to the Role's loop.
type session struct {
	tunnel  *static
	cfg     *config.StaticSession
	log     *logrus.Entry
	circuit *Circuit // held; nil: not yet
	up      bool
	had     bool   // it was up before
	problem string // of the session alone; empty: nothing is wrong

	device string // name of the network device; empty: none, or not known yet
	base   string // what a VLAN device of the kernel plane passes its frames through
	right  bool   // the device was as the configuration says
	// The indices of both; 0: not known.
	index, baseIndex int

	// Of the kernel plane. Reserved: no session of the engine's gets the Session ID.
	ours, reserved bool
	mac            net.HardwareAddr // of the first device; empty: none was made as yet
	// Of the userspace plane.
	user      userSession
	opened    time.Time
	exits     int       // ends in a row that came soon after the beginning
	taken     bool      // somebody had deleted the device of the one before
	notBefore time.Time // it may be opened again
	removed   bool
}

func (t *static) newSession(cfg *config.StaticSession) *session {
	return &session{tunnel: t, cfg: cfg, log: t.log.WithFields(logrus.Fields{"session_name": cfg.Name, "session": cfg.ID})}
}

// who is what others are told of the session that holds a pseudowire.
func (s *session) who() string {
	return fmt.Sprintf("session %q of static tunnel %q", s.cfg.Name, s.tunnel.cfg.Name)
}

// hold takes the pseudowire, if it is not held already.
func (s *session) hold() error {
	if s.circuit != nil {
		return nil
	}
	c, err := s.tunnel.role.circuits.Take(s.cfg.Pseudowire, s.who())
	if err != nil {
		return err
	}
	if !s.tunnel.kernelPlane() && c.Spec.Kind == circuit.EthernetKernel {
		c.Spec.Kind = circuit.EthernetTAP
	}
	s.circuit = c
	return nil
}

// release gives back the pseudowire, and the Session ID.
func (s *session) release() {
	if s.reserved {
		s.tunnel.role.world.user.FreeSessionID(s.cfg.ID)
		s.reserved = false
	}
	if s.circuit != nil {
		s.circuit.Release(s.had)
		s.circuit = nil
	}
}

// failed notes and returns what is wrong with the session; nil: nothing is.
func (s *session) failed(err error) error {
	s.problem = ""
	if err != nil {
		s.problem = err.Error()
		return fmt.Errorf("session %q: %w", s.cfg.Name, err)
	}
	return nil
}

// remove takes the session out of the world.
func (s *session) remove() {
	s.removed, s.up = true, false
	switch {
	case s.user != nil:
		s.tunnel.role.closing++
		s.user.Close("the static session is removed") // ended follows
		return
	case s.ours:
		s.removeKernel()
	}
	s.release()
}

// makeUser opens the session on the userspace plane, if it is not open.
func (s *session) makeUser(now time.Time) error {
	if s.user != nil {
		return s.keepUser(now)
	}
	if s.notBefore.After(now) {
		return nil // what was wrong is in the log
	}
	if err := s.hold(); err != nil {
		return s.failed(err)
	}
	u, err := s.tunnel.role.world.user.open(s.staticSpec())
	if err != nil {
		s.circuit.Release(false)
		s.circuit = nil
		return s.failed(err)
	}
	s.user, s.opened, s.had = u, now, true
	if s.taken {
		s.tunnel.fixed(now, s.log, "the session is opened again")
	}
	s.forgetDevice()
	if s.tunnel.linkIsDown() {
		u.SetPeerActive(false)
	}
	// The device is still being made. Where that has failed before, the session is up
	// when it is there, and what was wrong holds until then.
	s.up = s.exits == 0 || s.taken || s.circuit.Spec.Kind == circuit.Relay
	if !s.up {
		s.notBefore = now.Add(retryMin)
		return nil
	}
	return s.failed(nil)
}

// keepUser looks after an open session of the userspace plane.
func (s *session) keepUser(now time.Time) error {
	if err := s.keepDevice(now); err != nil {
		return s.failed(err)
	}
	if !s.up && s.device == "" {
		s.notBefore = now.Add(retryMin) // it is looked at again then
		return nil
	}
	s.up = true
	return s.failed(nil)
}

// staticSpec is the session in the engine's words.
//
// RFC 3931 section 4.6.1: sequencing is asked for by the receiver; here the two ends
// are configured alike, so we send what we want to receive.
func (s *session) staticSpec() engine.StaticSpec {
	t, p := s.tunnel.cfg, s.cfg.Pseudowire
	spec := engine.StaticSpec{
		Name: t.Name, Encapsulation: t.Encapsulation, Local: t.Local, Peer: t.Peer, ZeroChecksum: !t.Checksum,
		ID: s.cfg.ID, PeerID: s.cfg.PeerID, Cookie: s.cfg.Cookie, PeerCookie: s.cfg.PeerCookie,
		Sublayer:     p.Sublayer,
		SendSequence: p.Sequencing != l2tp.SequencingNone, RequireSequence: p.Sequencing == l2tp.SequencingAll,
		ReorderTimeout: p.ReorderTimeout,
		Bridge:         s.circuit.Spec,
	}
	spec.Bridge.Log = s.log
	spec.Ended = func(e circuit.Exit) {
		s.tunnel.role.mail.Put(func() { s.ended(time.Now(), e) })
	}
	return spec
}

// ended is told that the bridge is no more, because we closed it or for another reason.
func (s *session) ended(now time.Time, e circuit.Exit) {
	t := s.tunnel
	s.user, s.up = nil, false
	s.forgetDevice()
	s.release()
	if s.removed {
		t.role.closing--
		t.role.retry(now)
		return
	}
	if now.Sub(s.opened) >= retryMax {
		s.exits = 0
	}
	s.exits++
	s.taken = errors.Is(e.Err, kernel.ErrNoLink)
	s.notBefore = now.Add(engine.Backoff(s.exits, retryMin, retryMax))
	s.problem = e.Text
	if s.problem == "" && e.Err != nil {
		s.problem = e.Err.Error()
	}
	s.log.WithField("error", s.problem).Warn("a static session has ended; it will be opened again")
	if s.notBefore.Before(t.checkAt) {
		t.checkAt = s.notBefore
	}
	t.setState(now)
	t.arm()
}

// retry has those checked that may have waited for the end of a session.
func (r *Role) retry(now time.Time) {
	for _, t := range r.tunnels {
		if t.failures > 0 {
			t.check(now)
			t.arm()
		}
	}
}

// info is the session now.
func (s *session) info(now *kernelState) StaticSessionInfo {
	p := s.cfg.Pseudowire
	i := StaticSessionInfo{
		Name: s.cfg.Name, Pseudowire: p.Name, Type: p.Type, ID: s.cfg.ID, PeerID: s.cfg.PeerID,
		Cookie: len(s.cfg.Cookie), PeerCookie: len(s.cfg.PeerCookie), Up: s.up, Problem: s.problem,
		Interface: s.device, Sublayer: p.Sublayer, Sequencing: p.Sequencing,
	}
	if s.tunnel.kernelPlane() {
		i.Kind = circuit.EthernetKernel
		c := now.sessions[sessionKey{s.tunnel.cfg.ID, s.cfg.ID}].Stats
		i.RxPackets, i.RxBytes, i.TxPackets, i.TxBytes = c.RxPackets, c.RxBytes, c.TxPackets, c.TxBytes
		i.RxDropped, i.RxOutOfOrder, i.TxDropped = c.RxSeqDiscards+c.RxCookieDiscards+c.RxInvalid, c.RxOOSPackets, c.TxErrors
		return i
	}
	if s.user != nil {
		u := s.user.Info()
		i.Kind, i.Interface = u.Kind, u.Bridge.Interface
		i.RxPackets, i.RxBytes, i.TxPackets, i.TxBytes = u.Rx.Packets, u.Rx.Bytes, u.Tx.Packets, u.Tx.Bytes
		n := &u.Sequence
		i.RxDropped, i.RxOutOfOrder = n.Late+n.Duplicate+n.MissingNs+u.Stats.DropVLAN+u.Stats.DropMalformed, n.Late
		i.TxDropped = u.Stats.DropLoop + u.Stats.DropTooLong
	}
	return i
}
