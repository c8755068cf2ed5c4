package pseudowire

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// kernelBridge is a session of the kernel's with its l2tpeth device. The kernel moves the
// frames.
//
// It knows but the pseudowire type Ethernet, whose frames are those of Ethernet VLAN
// too. The tag is the business of an 802.1Q interface on top of the l2tpeth device,
// which then is the circuit.
type kernelBridge struct {
	attachment
	// The worker's own.
	base    int  // the index of the l2tpeth device
	created bool // there is a session to be deleted
	holding bool // we keep the device down, because the peer's circuit is not active
	wasDown bool // somebody else had it down before

	statsMu sync.Mutex
	last    circuit.Stats // what was counted when it could last be read
}

func newKernelBridge(f *Factory, spec *Spec, onExit func(circuit.Exit)) *kernelBridge {
	k := &kernelBridge{}
	k.attachment = attachment{factory: f, spec: *spec, device: k, onExit: onExit}
	return k
}

// Kind is circuit.Bridge's.
func (k *kernelBridge) Kind() circuit.Kind { return circuit.EthernetKernel }

// Deliver is circuit.Bridge's: no frame comes this way.
func (k *kernelBridge) Deliver(*circuit.Burst, time.Time, []byte) {}

// build is device's.
func (k *kernelBridge) build(links *kernel.Links) (index int, err error) {
	s := *k.spec.Session
	s.Type = l2tp.PseudowireEthernet
	if s.Interface = k.spec.Interface; k.spec.VLAN != 0 {
		s.Interface = ""
	}
	made, err := k.factory.cfg.Sessions.CreateSession(s)
	if err != nil {
		return 0, err
	}
	k.created = true
	if k.base, err = links.Index(made.Interface); err != nil {
		return 0, err
	}
	if err = links.SetMTU(k.base, k.mtu()); err != nil {
		return 0, err
	}
	index = k.base
	k.setName(made.Interface)
	if k.spec.VLAN != 0 {
		if index, err = k.buildVLAN(links, made.Interface); err != nil {
			return 0, err
		}
	}
	return index, k.setUp(links, index)
}

// maxName is the octets of the longest name of an interface.
const maxName = 15

// buildVLAN makes the interface of the VLAN. What is below says nothing of its own.
func (k *kernelBridge) buildVLAN(links *kernel.Links, base string) (index int, err error) {
	if err = links.DisableIPv6AutoLinkLocal(k.base); err != nil && !errors.Is(err, kernel.ErrNotSupported) {
		return 0, err
	}
	if err = links.SetUp(k.base, 0); err != nil {
		return 0, err
	}
	name := k.spec.Interface
	if name == "" {
		if name = fmt.Sprintf("%s.%d", base, k.spec.VLAN); len(name) > maxName {
			name = "pw%d"
		}
	}
	if index, err = links.AddVLAN(k.base, k.spec.VLAN, name); err != nil {
		return 0, err
	}
	if name, err = links.Name(index); err == nil {
		k.setName(name)
	}
	return index, err
}

// setPeer is device's. An l2tpeth device has no carrier that could be taken away, so it
// is set down while the peer's circuit is not active.
func (k *kernelBridge) setPeer(links *kernel.Links, active bool) error {
	if !active {
		state, err := links.State(k.index)
		if err != nil {
			return err
		}
		k.holding, k.wasDown = true, !state.Up
		return links.SetDown(k.base)
	}
	if !k.holding {
		return nil
	}
	k.holding = false
	if k.wasDown {
		return nil
	}
	if err := links.SetUp(k.base, 0); err != nil {
		return err
	}
	if err := links.SetUp(k.index, 0); err != nil {
		return err
	}
	return k.addAddresses(links, k.index) // those of IPv6 went when it was set down
}

// detach is device's.
func (k *kernelBridge) detach() {}

// held is device's.
func (k *kernelBridge) held() bool { return k.holding }

// tearDown is device's. The devices go with the session.
func (k *kernelBridge) tearDown() {
	if !k.created {
		return
	}
	err := k.factory.cfg.Sessions.DeleteSession(k.spec.Session.Tunnel, k.spec.Session.ID)
	if err != nil && !errors.Is(err, kernel.ErrNoEntry) {
		k.spec.Log.WithError(err).Warn("the pseudowire's session in the kernel cannot be deleted")
	}
}

// Stats is circuit.Bridge's: a system call while the session is there.
func (k *kernelBridge) Stats() circuit.Stats {
	k.statsMu.Lock()
	defer k.statsMu.Unlock()
	if k.Name() == "" {
		return k.last
	}
	s, err := k.factory.cfg.Sessions.Session(k.spec.Session.Tunnel, k.spec.Session.ID)
	if err != nil {
		if errors.Is(err, kernel.ErrNoEntry) {
			k.look() // somebody has deleted it
		}
		k.last.Kernel = nil
		return k.last
	}
	c := s.Stats
	k.last = circuit.Stats{
		FramesIn: c.RxPackets, BytesIn: c.RxBytes, FramesOut: c.TxPackets, BytesOut: c.TxBytes,
		Kernel: &kernel.L2TPStats{
			TunnelID: s.Tunnel, SessionID: s.ID, UsingIPsec: s.UsingIPsec,
			TxPackets: c.TxPackets, TxBytes: c.TxBytes, TxErrors: c.TxErrors,
			RxPackets: c.RxPackets, RxBytes: c.RxBytes, RxErrors: c.RxErrors,
			RxSeqDiscards: c.RxSeqDiscards, RxOOSPackets: c.RxOOSPackets,
		},
	}
	return k.last
}
