// Package pseudowire is where the frames of L2TPv3 sessions go that are not PPP: into a
// TAP or TUN of ours, into an l2tpeth device of the kernel's, or on to another session.
//
// Goroutines: TAPs and TUNs are read by the poller that the Factory was given; a
// bounded few workers make devices and set them up. No session has a goroutine.
package pseudowire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// Spec is all that a pseudowire's bridge needs to know. The role fills in what the
// configuration says, the engine what the tunnel and the session say.
type Spec struct {
	Kind circuit.Kind // EthernetTAP, EthernetKernel, IPTUN or Relay
	Type l2tp.PseudowireType

	// Of the device.
	Interface string // with %d for a free number; empty: the kernel's choice
	MTU       int    // octets; 0: 1500
	Bridge    string // that it is a member of; empty: none
	// MAC is its address, so that a device which is made again is the same to its
	// neighbours; empty: the kernel draws one. Not of IPTUN.
	MAC       net.HardwareAddr
	Addresses []netip.Prefix // that it has
	// VLAN is the 802.1Q tag that is pushed onto frames to the peer, and popped off
	// those from it, 1 to 4094; 0: none. A frame from the peer without it, or with
	// another, is dropped and counted.
	VLAN uint16

	// Relay is this session's end of a pair; Kind Relay needs it.
	Relay *circuit.RelayEnd

	// Session is what Kind EthernetKernel asks the kernel for; the tunnel is there
	// already. The engine fills it in.
	Session *kernel.L2TPSession

	// CircuitChanged is told when the circuit of ours goes down or up: somebody has the
	// device set down, or the other side of a relay is not there. It counts as active
	// before the first call. It is called from any goroutine, must not wait, and may be
	// nil. RFC 3931 section 5.4.5: the peer is told by a Circuit Status AVP.
	CircuitChanged func(active bool)

	Log *logrus.Entry // with the session's fields; nil: no log
}

// maxVLAN is the last VLAN of 802.1Q that may be used.
const maxVLAN = 4094

// check says what is wrong with what the role and the engine have asked for.
func (s *Spec) check() error {
	switch {
	case s.VLAN > maxVLAN:
		return fmt.Errorf("open a pseudowire: a VLAN is 1 to %d, not %d", maxVLAN, s.VLAN)
	case s.Kind == circuit.IPTUN && (s.VLAN != 0 || s.Bridge != ""):
		return errors.New("open a pseudowire: one of IP packets has no VLAN, and cannot be a member of a bridge")
	case s.Kind == circuit.EthernetKernel && s.Session == nil:
		return errors.New("open a pseudowire: the kernel plane needs a session")
	}
	return nil
}
