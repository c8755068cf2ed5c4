package lcce

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net"
	"sync"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/proto/l2tp"
	"adit/pseudowire"
)

// Circuits gives the pseudowires of the configuration to sessions, each to one at a
// time. Pseudowires go by their names, so a reload may bring others of the same name.
// It is safe for any goroutine.
type Circuits struct {
	kernel error // why the kernel's L2TP cannot be used; nil: it can

	mu    sync.Mutex
	held  map[string]string // by the pseudowire's name: who has it
	pairs map[string]*pair  // by the name of either pseudowire, until its relay has ended

	seed maphash.Seed // of mac
}

// pair is two pseudowires that are switched, as long as none of the two sessions has
// ended: the end of one is the end of the relay, and so of both.
type pair struct {
	ends map[string]*circuit.RelayEnd // by the pseudowire's name
	used map[string]bool
}

// NewCircuits makes a Circuits that has given away nothing. The error is why the
// kernel's L2TP cannot be used, as Probe told; nil: it can.
func NewCircuits(kernel error) *Circuits {
	return &Circuits{kernel: kernel, held: make(map[string]string), pairs: make(map[string]*pair), seed: maphash.MakeSeed()}
}

// BusyError says that another session has the pseudowire.
type BusyError struct {
	Pseudowire string
	Holder     string
}

// Error says who has it.
func (e *BusyError) Error() string {
	return fmt.Sprintf("pseudowire %q is up already, for %s; it carries one session at a time, so end that one or configure a second pseudowire",
		e.Pseudowire, e.Holder)
}

// Circuit is a pseudowire that is held for one session.
type Circuit struct {
	circuits *Circuits
	name     string
	pair     *pair // nil: it is not switched
	// Spec is for the bridge of the session.
	Spec pseudowire.Spec
	// Userspace is what may serve the session where Spec.Kind is of the kernel plane and
	// the kernel refuses; nil: nothing may.
	Userspace *circuit.Kind
}

// Take holds a pseudowire for a session; who is what others are told of it. The error
// is a *BusyError, or says that no data plane can carry the pseudowire.
func (c *Circuits) Take(p *config.Pseudowire, who string) (*Circuit, error) {
	kind, userspace, err := c.choose(p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if holder, taken := c.held[p.Name]; taken {
		return nil, &BusyError{p.Name, holder}
	}
	t := &Circuit{circuits: c, name: p.Name, Userspace: userspace, Spec: pseudowire.Spec{
		Kind: kind, Type: p.Type, Interface: p.Interface, MTU: p.MTU, Bridge: p.Bridge, Addresses: p.Addresses, VLAN: p.VLAN,
	}}
	if kind == circuit.EthernetTAP || kind == circuit.EthernetKernel {
		t.Spec.MAC = c.mac(p.Name)
	}
	if kind == circuit.Relay {
		t.pair = c.relay(p)
		t.Spec.Relay = t.pair.ends[p.Name]
	}
	c.held[p.Name] = who
	return t, nil
}

// mac is the address of the device of a pseudowire. As long as we live it is the same for
// the same name, so the next session's device is the same to its neighbours, whose ARP and
// IPv6 neighbour entries stay good.
func (c *Circuits) mac(name string) net.HardwareAddr {
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], maphash.String(c.seed, name))
	mac := net.HardwareAddr(octets[:6])
	mac[0] = mac[0]&^1 | 2 // of one station, and administered locally
	return mac
}

// choose decides what carries a pseudowire.
func (c *Circuits) choose(p *config.Pseudowire) (circuit.Kind, *circuit.Kind, error) {
	switch {
	case p.Switch != nil:
		return circuit.Relay, nil, nil
	case p.Type == l2tp.PseudowireIP:
		return circuit.IPTUN, nil, nil
	case p.Type != l2tp.PseudowireEthernet && p.Type != l2tp.PseudowireEthernetVLAN:
		return 0, nil, fmt.Errorf("pseudowire %q: frames of type %v are only switched; name the other pseudowire with switch", p.Name, p.Type)
	}
	tap := circuit.EthernetTAP
	switch {
	case p.DataPlane == config.DataPlaneUserspace, p.DataPlane == config.DataPlaneAuto && c.kernel != nil:
		return tap, nil, nil
	case p.DataPlane == config.DataPlaneAuto:
		return circuit.EthernetKernel, &tap, nil
	case c.kernel != nil:
		return 0, nil, fmt.Errorf("pseudowire %q: the kernel data plane cannot be used: %w", p.Name, c.kernel)
	}
	return circuit.EthernetKernel, nil, nil
}

// relay is the pair of a switched pseudowire, with an end that was not open before. It
// is called under mu.
func (c *Circuits) relay(p *config.Pseudowire) *pair {
	now := c.pairs[p.Name]
	if now == nil || now.used[p.Name] || now.ends[p.Switch.Name] == nil {
		a, b := circuit.NewRelayPair()
		now = &pair{ends: map[string]*circuit.RelayEnd{p.Name: a, p.Switch.Name: b}, used: make(map[string]bool)}
		c.pairs[p.Name], c.pairs[p.Switch.Name] = now, now
	}
	now.used[p.Name] = true
	return now
}

// Release gives the pseudowire back. Opened says that there was a bridge, which has
// ended. Releasing twice does nothing.
func (t *Circuit) Release(opened bool) {
	c := t.circuits
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.circuits = nil
	delete(c.held, t.name)
	if t.pair != nil {
		c.part(t, opened)
	}
}

// part ends the pair of a pseudowire that is given back: with its relay, or, if that has
// not begun, when no side waits for the other any more. It is called under mu.
func (c *Circuits) part(t *Circuit, opened bool) {
	if delete(t.pair.used, t.name); !opened && len(t.pair.used) > 0 {
		return
	}
	for name := range t.pair.ends {
		if c.pairs[name] == t.pair { // the other side may have begun another one
			delete(c.pairs, name)
		}
	}
}

// Holder says who has the pseudowire of that name; empty: nobody.
func (c *Circuits) Holder(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[name]
}

// Find is the pseudowire that a request means to a peer who may ask for those among;
// nil: none. One with the Application ID of the request comes before one that has none,
// which takes any.
//
// RFC 3931 section 5.4.4: "The Remote End ID AVP ... contains an identifier used to
// bind L2TP sessions to a given circuit, interface, or bridging instance." "Other AVPs MAY
// be used for LCCE or circuit identification".
func Find(among []*config.Pseudowire, remoteEndID []byte, applicationID *uint16) (found *config.Pseudowire) {
	for _, p := range among {
		switch {
		case !bytes.Equal(p.RemoteEndID, remoteEndID):
		case p.ApplicationID == nil:
			found = p
		case applicationID != nil && *p.ApplicationID == *applicationID:
			return p
		}
	}
	return found
}
