package config

import (
	"strings"

	"adit/proto/l2tp"
)

// checkWires looks at the pseudowires as a whole, when all are known.
func (c *checker) checkWires() {
	for i, w := range c.wires {
		if w.raw.Switch != nil {
			c.checkSwitch(i, w)
		}
	}
	devices := map[string]string{}
	if c.cfg.TUN.Name != "" {
		devices[c.cfg.TUN.Name] = "tun"
	}
	for _, w := range c.wires {
		c.checkWireKind(w)
		c.checkWireNumbers(w)
		c.checkWireDevice(w, devices)
	}
	for i, t := range c.cfg.L2TPv3.Static {
		c.checkStaticPlane(joinIndex("l2tpv3.static", i), t)
	}
	for _, w := range c.wires {
		c.checkWireUse(w)
	}
	c.checkStaticPorts()
}

// checkSwitch joins a pseudowire with the one that it names. It is enough that one of
// the two says it.
func (c *checker) checkSwitch(i int, w *wire) {
	key := joinKey(w.at, "switch")
	other := c.wireNamed(key, *w.raw.Switch)
	switch {
	case other == nil:
	case other == w:
		c.add(key, "%q is this pseudowire itself; name another one", w.Name)
	case other.raw.Switch != nil && *other.raw.Switch != w.Name:
		c.add(key, "%q is switched with %q; each has one other, so make the two agree", other.Name, *other.raw.Switch)
	case other.Switch != nil && other.Switch != w.Pseudowire:
		c.add(key, "%q is switched with %q already; each has one other, so name another", other.Name, other.Switch.Name)
	case other.Type != w.Type:
		if w.Switch == nil { // else said at the other one
			c.add(key, "%q is of type %v, and this one of type %v; frames pass as they are, so make the types the same", other.Name, other.Type, w.Type)
		}
		w.Switch, other.Switch = other.Pseudowire, w.Pseudowire
	default:
		w.Switch, other.Switch = other.Pseudowire, w.Pseudowire
	}
}

// checkWireKind holds a pseudowire to what its type has.
func (c *checker) checkWireKind(w *wire) {
	key := func(k string) string { return joinKey(w.at, k) }
	switched := w.Switch != nil || w.raw.Switch != nil // a wrong one was reported
	if switched {
		other := ""
		if w.raw.Switch != nil {
			other = *w.raw.Switch
		} else {
			other = w.Switch.Name
		}
		for _, k := range []string{"interface", "mtu", "bridge", "addresses", "vlan"} {
			if w.given(k) {
				c.add(key(k), "does nothing, because frames are switched to %q as they are; take it away, or take switch away", other)
			}
		}
	}
	switch w.Type {
	case l2tp.PseudowireEthernet, l2tp.PseudowirePPP:
	case l2tp.PseudowireEthernetVLAN:
		if !switched && w.raw.VLAN == nil {
			c.missing(key("vlan"), `is missing; write the 802.1Q tag, 1 to 4094, or type = "ethernet" to let all tags through as they are`)
		}
	case l2tp.PseudowireIP:
		for _, k := range []string{"bridge", "vlan"} {
			if w.given(k) && !switched {
				c.add(key(k), `is for Ethernet, and type = "ip" has packets without it; take it away, or write type = "ethernet"`)
			}
		}
	default:
		if !switched {
			c.missing(key("switch"), "is missing; adit has no device for type %v, so name another pseudowire that its frames are passed on to", w.Type)
		}
	}
	if reason := onlyUserspace(w.Pseudowire); reason != "" {
		if w.DataPlane == DataPlaneKernel {
			c.add(key("dataplane"), `is "kernel", but %s; write "userspace" or "auto"`, reason)
		}
		w.DataPlane = DataPlaneUserspace
	}
}

// onlyUserspace says why the kernel cannot have a pseudowire; empty: it can.
func onlyUserspace(p *Pseudowire) string {
	switch {
	case p.Switch != nil:
		return "frames are switched by adit itself"
	case p.Type == l2tp.PseudowireIP:
		return "the kernel has no IP pseudowire"
	case p.Sequencing == l2tp.SequencingNonIP:
		return "the kernel drops all frames without a number where it wants any to have one"
	}
	return ""
}

// checkWireNumbers looks at the sublayer and what is in it. RFC 3931 section 4.6:
// "a pseudowire may use [it] for features such as sequencing support"; RFC 4454 section
// 4: "The ATM-Specific Sublayer is REQUIRED for AAL5 SDU Mode", and section 4.2: "ATMPWs
// over L2TPv3 MUST request the presence of the ATM-Specific Sublayer when sequencing is
// enabled".
func (c *checker) checkWireNumbers(w *wire) {
	key := func(k string) string { return joinKey(w.at, k) }
	numbered := w.Sequencing != l2tp.SequencingNone
	switch {
	case w.Sublayer == l2tp.SublayerATM && !isATM(w.Type):
		c.add(key("sublayer"), `is "atm", which type %v does not have; write "default" or "none"`, w.Type)
	case w.Sublayer != l2tp.SublayerATM && w.Type == l2tp.PseudowireATMAAL5:
		c.add(key("sublayer"), `is %q, but type atm-aal5 cannot do without its own; write "atm"`, w.Sublayer)
	case w.Sublayer != l2tp.SublayerATM && isATM(w.Type) && numbered:
		c.add(key("sublayer"), `is %q, but ATM has its sequence numbers in its own; write "atm", or sequencing = "none"`, w.Sublayer)
	case w.Sublayer == l2tp.SublayerNone && numbered:
		c.add(key("sequencing"), `is %q, but the numbers stand in the sublayer, and there is none; write sublayer = "default", or sequencing = "none"`, w.Sequencing)
	case w.Sublayer == l2tp.SublayerNone && w.ReorderTimeout > 0:
		c.warn(key("reorder_timeout"), `does nothing with sublayer = "none", which has no numbers to order frames by; take it away`)
	}
}

// checkWireDevice looks at the network device.
func (c *checker) checkWireDevice(w *wire, devices map[string]string) {
	key := func(k string) string { return joinKey(w.at, k) }
	if name := w.Interface; namesDevice(name) {
		if first, taken := devices[name]; taken {
			c.add(key("interface"), "%q is the interface of %s already; choose another", name, first)
		} else {
			devices[name] = w.at
		}
	}
	if w.Bridge != "" && w.Bridge == w.Interface {
		c.add(key("bridge"), "%q is the interface itself; name a bridge that there is", w.Bridge)
	}
	if w.Bridge != "" && len(w.Addresses) > 0 {
		c.warn(key("addresses"), "of a member of a bridge are not reached from the bridge; give them to the bridge itself")
	}
	for _, a := range w.Addresses {
		if a.Addr().Is6() && w.MTU != 0 && w.MTU < minIPv6MTU {
			c.add(key("mtu"), "is %d, and the device has IPv6 addresses, which want %d at least; raise it", w.MTU, minIPv6MTU)
			break
		}
	}
}

// namesDevice says whether an interface name is that of one device.
func namesDevice(name string) bool { return name != "" && !strings.Contains(name, "%d") }

// checkWireUse looks at the pseudowire when its data plane and its user are known.
func (c *checker) checkWireUse(w *wire) {
	if w.MTU > maxUserspaceMTU && w.DataPlane != DataPlaneKernel {
		c.add(joinKey(w.at, "mtu"), `is %d, and the userspace data plane takes %d at most; make it less, or write dataplane = "kernel"`, w.MTU, maxUserspaceMTU)
	}
	if w.static && w.cookieKey != "" {
		c.warn(w.cookieKey, "does nothing, because a static session has its cookies in its own block; take it away")
	}
	if w.static && w.applicationKey != "" {
		c.warn(w.applicationKey, "does nothing, because nobody asks for a static session; take it away")
	}
	if w.usedBy == "" && w.offeredTo == "" {
		c.warn(w.at, "nobody has the pseudowire %q; name it in a session or in pseudowires of a peer, or take it away", w.Name)
	}
}

// given says whether a key is in the file.
func (w *wire) given(key string) bool {
	for _, k := range givenKeys(w.raw) {
		if k == key {
			return true
		}
	}
	return false
}
