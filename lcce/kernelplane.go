package lcce

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"adit/internal/config"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// ConflictError says that the kernel has a tunnel or session of our ID that is not what
// the configuration says, and that we have not made.
type ConflictError struct {
	What string // with its ID
	Why  string // what is different
	Do   string // the command that removes it
}

// Error says what to do.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("the kernel has %s already, with %s; remove it with %q, or change the configuration", e.What, e.Why, e.Do)
}

// reorderRounding is by how much the kernel may round a reorder time-out: it counts in
// ticks of at least 100 Hz.
const reorderRounding = 10 * time.Millisecond

// makeKernel makes the tunnel and its sessions in the kernel, as far as they are not
// there. One that is there and as we want it is taken as ours.
func (t *static) makeKernel(now time.Time) error {
	have := t.role.kernelNow()
	if have.err != nil {
		return have.err
	}
	want := t.wantTunnel()
	is, there := have.tunnels[want.ID]
	if !there {
		t.ours = false
		for _, s := range t.sessions {
			s.lost()
		}
		if err := t.role.world.l2tp.CreateTunnel(want); err != nil {
			return err
		}
		have.tunnels[want.ID] = want
		for key := range have.sessions {
			if key.tunnel == want.ID {
				delete(have.sessions, key) // of the one before
			}
		}
		if t.had {
			t.fixed(now, t.log, "the tunnel is made again in the kernel")
		}
	} else if why := tunnelDiffers(&want, &is, !t.ours); why != "" {
		t.ours = false
		for _, s := range t.sessions {
			s.lost()
		}
		return &ConflictError{fmt.Sprintf("a tunnel %d", want.ID), why, fmt.Sprintf("ip l2tp del tunnel tunnel_id %d", want.ID)}
	} else if !t.ours && !t.had {
		t.adopted = true
		t.log.Info("the kernel has the tunnel already, as it is configured: it goes on")
		t.strays(have)
	}
	t.ours, t.had = true, true
	var errs []error
	for _, s := range t.sessions {
		errs = append(errs, s.failed(s.makeKernel(now, have)))
	}
	return errors.Join(errs...)
}

// strays tells of sessions in an adopted tunnel that nobody has configured.
func (t *static) strays(have *kernelState) {
	configured := make(map[uint32]bool)
	for _, s := range t.sessions {
		configured[s.cfg.ID] = true
	}
	for key := range have.sessions {
		if key.tunnel == t.cfg.ID && !configured[key.id] {
			t.log.Warnf("the tunnel has a session %d that is not in the configuration; if it is of no use, remove it with \"ip l2tp del session tunnel_id %d session_id %d\"",
				key.id, key.tunnel, key.id)
		}
	}
}

// wantTunnel is the tunnel in the kernel's words.
func (t *static) wantTunnel() kernel.L2TPTunnel {
	c := t.cfg
	want := kernel.L2TPTunnel{
		ID: c.ID, PeerID: c.PeerID, Version: l2tp.Version3, FD: -1, Local: c.Local, Peer: c.Peer,
	}
	switch {
	case c.Encapsulation == config.EncapsulationIP:
		want.Encap = kernel.L2TPEncapIP
	case c.Local.Addr().Is4():
		want.Checksum = c.Checksum
	default:
		want.ZeroChecksum6Tx, want.ZeroChecksum6Rx = !c.Checksum, !c.Checksum
	}
	return want
}

// tunnelDiffers says what is different about a tunnel; empty: nothing that matters.
// Strictly: whether it sends checksums matters too.
func tunnelDiffers(want, is *kernel.L2TPTunnel, strictly bool) string {
	var all []string
	differs := func(what string, want, is any) {
		if want != is {
			all = append(all, fmt.Sprintf("%s %v instead of %v", what, is, want))
		}
	}
	differs("version", want.Version, is.Version)
	differs("peer_tunnel_id", want.PeerID, is.PeerID)
	differs("encapsulation", encapName(want.Encap), encapName(is.Encap))
	differs("local", plain(want.Local), plain(is.Local))
	differs("remote", plain(want.Peer), plain(is.Peer))
	if strictly && want.Encap == kernel.L2TPEncapUDP {
		differs("udp_checksum", want.Checksum, is.Checksum)
		differs("zero checksums", want.ZeroChecksum6Tx, is.ZeroChecksum6Tx)
	}
	return strings.Join(all, ", ")
}

func encapName(e kernel.L2TPEncap) string {
	if e == kernel.L2TPEncapIP {
		return "ip"
	}
	return "udp"
}

// plain is an address without a zone, which the kernel does not tell.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// lost notes that the session is not in the kernel any more.
func (s *session) lost() { s.ours, s.up = false, false }

// makeKernel makes the session in the kernel and sets its device up.
func (s *session) makeKernel(now time.Time, have *kernelState) error {
	if err := s.hold(); err != nil {
		return err
	}
	if !s.reserved {
		if err := s.tunnel.role.world.user.ReserveSessionID(s.cfg.ID); err != nil {
			return fmt.Errorf("session_id %d: %w", s.cfg.ID, err)
		}
		s.reserved = true
	}
	want := s.wantSession()
	key := sessionKey{want.Tunnel, want.ID}
	is, there := have.sessions[key]
	if there {
		if why := sessionDiffers(&want, &is); why != "" {
			s.lost()
			return &ConflictError{fmt.Sprintf("a session %d in tunnel %d", want.ID, want.Tunnel), why,
				fmt.Sprintf("ip l2tp del session tunnel_id %d session_id %d", want.Tunnel, want.ID)}
		}
	} else {
		s.lost()
		made, err := s.tunnel.role.world.l2tp.CreateSession(want)
		if err != nil {
			return err
		}
		have.sessions[key] = made
		is = made
		s.right = false
		if err = s.keepMAC(made.Interface); err != nil {
			return err
		}
		if s.had {
			s.tunnel.fixed(now, s.log, "the session is made again in the kernel")
		}
	}
	s.ours, s.had, s.up = true, true, true
	s.base, s.device = "", is.Interface
	if tag := s.cfg.Pseudowire.VLAN; tag != 0 {
		s.base, s.device = is.Interface, s.vlanName(is.Interface, tag)
	}
	err := s.keepDevice(now)
	if errors.Is(err, kernel.ErrNoLink) {
		// Renamed, or moved into another namespace: the kernel tells the old name. The
		// next check makes it anew.
		s.removeKernel()
		delete(have.sessions, key)
		return fmt.Errorf("its device %q is not there under this name; the session is made anew: %w", is.Interface, err)
	}
	return err
}

// vlanName is the name of the device whose frames have the tag on their way.
func (s *session) vlanName(base string, tag uint16) string {
	if name := s.cfg.Pseudowire.Interface; name != "" && !strings.Contains(name, "%") {
		return name
	}
	return fmt.Sprintf("%s.%d", base, tag)
}

// keepMAC gives a device that was made again the address that the first one had, so that
// it is the same to its neighbours.
func (s *session) keepMAC(name string) error {
	links := s.tunnel.role.world.devices
	index, err := links.Index(name)
	if err != nil {
		return err
	}
	if len(s.mac) == 0 {
		state, problem := links.State(index)
		s.mac = state.MAC
		return problem
	}
	return links.SetMAC(index, s.mac)
}

// wantSession is the session in the kernel's words. To the kernel, an Ethernet VLAN
// pseudowire is one of Ethernet: the frames are the same, and the tag is a device's on
// top of it.
func (s *session) wantSession() kernel.L2TPSession {
	c, p := s.cfg, s.cfg.Pseudowire
	want := kernel.L2TPSession{
		Tunnel: s.tunnel.cfg.ID, PeerTunnel: s.tunnel.cfg.PeerID, ID: c.ID, PeerID: c.PeerID,
		Type: l2tp.PseudowireEthernet, Cookie: c.Cookie, PeerCookie: c.PeerCookie, Sublayer: p.Sublayer,
		SendSequence: p.Sequencing != l2tp.SequencingNone, RequireSequence: p.Sequencing == l2tp.SequencingAll,
		// Otherwise the kernel follows the peer, and sends numbers or not as that does.
		LNS:            true,
		ReorderTimeout: p.ReorderTimeout, Interface: p.Interface,
	}
	if p.VLAN != 0 {
		want.Interface = ""
	}
	return want
}

// sessionDiffers says what is different about a session; empty: nothing that the kernel
// tells. It does not tell the sublayer.
func sessionDiffers(want, is *kernel.L2TPSession) string {
	var all []string
	differs := func(what string, same bool) {
		if !same {
			all = append(all, what)
		}
	}
	differs("another peer_session_id", want.PeerID == is.PeerID)
	differs("another type of pseudowire", want.Type == is.Type)
	differs("another cookie", bytes.Equal(want.Cookie, is.Cookie))
	differs("another peer_cookie", bytes.Equal(want.PeerCookie, is.PeerCookie))
	differs("other sequencing", want.SendSequence == is.SendSequence && want.RequireSequence == is.RequireSequence)
	differs("another reorder_timeout", (want.ReorderTimeout-is.ReorderTimeout).Abs() <= reorderRounding)
	fixed := want.Interface != "" && !strings.Contains(want.Interface, "%")
	differs("another interface", !fixed || is.Interface == "" || want.Interface == is.Interface)
	return strings.Join(all, " and ")
}

// removeKernel takes the session out of the kernel.
func (s *session) removeKernel() {
	if err := s.tunnel.role.world.l2tp.DeleteSession(s.tunnel.cfg.ID, s.cfg.ID); err != nil && !gone(err) {
		s.log.WithError(err).Warn("the session could not be removed from the kernel")
	}
	s.lost()
	s.forgetDevice()
}

// removeKernel takes the tunnel out of the kernel.
func (t *static) removeKernel() {
	if err := t.role.world.l2tp.DeleteTunnel(t.cfg.ID); err != nil && !gone(err) {
		t.log.WithError(err).Warn("the tunnel could not be removed from the kernel")
	}
}

// gone says that an error is that there is nothing to remove.
func gone(err error) bool {
	return errors.Is(err, kernel.ErrNoEntry)
}
