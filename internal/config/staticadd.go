package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"
)

// rawAdded is the schema of what may be added to a running daemon.
type rawAdded struct {
	L2TPv3 rawAddedL2TPv3 `toml:"l2tpv3"`
}

type rawAddedL2TPv3 struct {
	Static []rawStatic `toml:"static"`
}

// Added are static tunnels that a command brings to a running configuration.
type Added struct {
	Static   []*StaticTunnel
	Warnings Errors
}

// ParseStatic reads [[l2tpv3.static]] blocks that are to be added to a running
// configuration, which stays as it is. The sessions describe their pseudowires
// themselves. The document is that of file, which names it in errors and is where
// relative paths begin. The error is of type Errors and holds everything that is wrong
// with them, also what they have in common with the running configuration and must not.
func ParseStatic(running *Config, file, document string) (*Added, error) {
	return ParseStaticFrom(Host(), running, file, document)
}

// ParseStaticFrom is ParseStatic on another machine than this one.
func ParseStaticFrom(sys System, running *Config, file, document string) (*Added, error) {
	var tables map[string]any
	if _, err := toml.Decode(document, &tables); err != nil {
		return nil, Errors{syntaxError(file, err)}
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, Errors{{File: file, Text: "cannot find the current directory; give the file's absolute path", Err: err}}
	}
	c := newChecker(sys, file, absolute, document, 0o600)
	c.names = map[string]string{}
	c.cfg.TUN.Name = running.TUN.Name
	var raw rawAdded
	c.bind("", tables, reflect.ValueOf(&raw).Elem())
	if len(raw.L2TPv3.Static) == 0 {
		c.add("", "there is no static tunnel in it; write [[l2tpv3.static]]")
	}
	c.inlineOnly(raw.L2TPv3.Static)
	c.checkStatics(raw.L2TPv3.Static)
	c.checkWires()
	for i, t := range c.cfg.L2TPv3.Static {
		at := joinIndex("l2tpv3.static", i)
		if t.Keep {
			c.add(joinKey(at, "keep"), "is true, but a tunnel that is added by command ends with the daemon; take it away, or write the tunnel into the configuration")
		}
		for _, x := range running.clashes(t) {
			c.add(at+"."+x.key, "%s", x.text)
		}
	}
	if all := c.allErrors(); len(all) > 0 {
		return nil, all
	}
	return &Added{c.cfg.L2TPv3.Static, c.allWarnings()}, nil
}

// inlineOnly refuses names of pseudowires: a reload may take those away.
func (c *checker) inlineOnly(raw []rawStatic) {
	for i := range raw {
		for j := range raw[i].Sessions {
			s := &raw[i].Sessions[j]
			if s.Pseudowire == nil {
				continue
			}
			c.add(joinKey(joinIndex(joinKey(joinIndex("l2tpv3.static", i), "sessions"), j), "pseudowire"),
				"names a [[pseudowires]] block of the configuration, which a tunnel that is added by command cannot have; write the keys of the pseudowire here")
			s.Pseudowire = nil
		}
	}
}

// WithStatic is the configuration with these besides. Both share all else.
func (c *Config) WithStatic(added *Added) *Config {
	other := *c
	other.L2TPv3.Static = slices.Concat(c.L2TPv3.Static, added.Static)
	return &other
}

// FitStatic says what static tunnels that were added by command have in common with a
// configuration and must not. The error is of type Errors.
func (c *Config) FitStatic(added *Added) error {
	var errs Errors
	for _, t := range added.Static {
		for _, x := range c.clashes(t) {
			errs = append(errs, &Error{File: c.Path, Text: fmt.Sprintf(
				"the static tunnel %q, which was added by command, does not go with it: its %s %s; or remove the tunnel with \"adit static remove %s\"",
				t.Name, x.key, x.text, t.Name)})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// clash is something that two of a kind must not have in common. The key is relative to
// that of the tunnel; the text follows it.
type clash struct{ key, text string }

// clashes are those of a static tunnel with a configuration that it is not part of.
func (c *Config) clashes(t *StaticTunnel) []clash {
	all := c.nameClashes(t)
	add := func(key, format string, args ...any) { all = append(all, clash{key, fmt.Sprintf(format, args...)}) }
	for _, o := range c.L2TPv3.Static {
		if o.ID == t.ID {
			add("tunnel_id", "%d is that of static tunnel %q already; choose another, and the same as peer_tunnel_id at the other end", t.ID, o.Name)
		}
		if t.Encapsulation == EncapsulationUDP && o.Encapsulation == EncapsulationUDP && o.Local == t.Local {
			switch {
			case o.Peer == t.Peer:
				add("local", "%v to %v is the way of static tunnel %q already; write another port at one end", t.Local, t.Peer, o.Name)
			case o.DataPlane != DataPlaneUserspace || t.DataPlane != DataPlaneUserspace:
				add("local", "%v is that of static tunnel %q already, and the kernel wants a port for each of its tunnels; write another one, or %s in both", t.Local, o.Name, userspaceWord)
			}
		}
		for i, s := range t.Sessions {
			at := joinIndex("sessions", i)
			for _, other := range o.Sessions {
				if other.ID == s.ID {
					add(within(at, "session_id"), "%d is that of session %q of static tunnel %q already, and data messages tell sessions of all tunnels apart by it alone; choose another", s.ID, other.Name, o.Name)
				}
				if other.PeerID == s.PeerID && o.Peer == t.Peer {
					add(within(at, "peer_session_id"), "%d is that of session %q of static tunnel %q already, to the same peer; write the one that this session has there", s.PeerID, other.Name, o.Name)
				}
			}
		}
	}
	if t.Encapsulation == EncapsulationUDP && t.DataPlane != DataPlaneUserspace {
		for _, l := range c.Listen {
			if l.Address == t.Local || covers(l.Address, t.Local) {
				add("local", "%v is listened on by %v of [[listen]], and the kernel shares it with nobody; write another port, or %s", t.Local, l.Address, userspaceWord)
				break
			}
		}
	}
	return all
}

// within is the key of something in a session.
func within(session, key string) string { return session + "." + key }

// nameClashes are those of names: of the tunnel, its pseudowires and their devices.
func (c *Config) nameClashes(t *StaticTunnel) (all []clash) {
	taken := map[string]string{}
	for _, p := range c.LNS.Peers {
		taken[p.Name] = "an [[lns.peers]] block"
	}
	for _, o := range c.LAC.Tunnels {
		taken[o.Name] = "a [[lac.tunnels]] block"
	}
	for _, o := range c.L2TPv3.Static {
		taken[o.Name] = "a static tunnel"
	}
	who, sameName := taken[t.Name]
	if sameName {
		all = append(all, clash{"name", fmt.Sprintf("%q is the name of %s already; choose another", t.Name, who)})
	}
	others := c.wiresInUse()
	for i, s := range t.Sessions {
		p := s.Pseudowire
		if p == nil {
			continue // a wrong one was reported
		}
		at := joinIndex("sessions", i)
		for _, o := range others {
			if o.Name == p.Name && !sameName {
				all = append(all, clash{within(at, "name"), fmt.Sprintf("makes a pseudowire %q, which there is already; choose another", p.Name)})
			}
			if o.Interface == p.Interface && namesDevice(p.Interface) {
				all = append(all, clash{within(at, "interface"), fmt.Sprintf("%q is the interface of pseudowire %q already; choose another", p.Interface, o.Name)})
			}
		}
	}
	return all
}

// wiresInUse are the pseudowires of blocks, and those of the static tunnels that there
// are now: after a reload these can be others than the file began with.
func (c *Config) wiresInUse() (all []*Pseudowire) {
	for _, p := range c.Pseudowires {
		if len(p.RemoteEndID) > 0 { // it has a block
			all = append(all, p)
		}
	}
	for _, t := range c.L2TPv3.Static {
		for _, s := range t.Sessions {
			if len(s.Pseudowire.RemoteEndID) == 0 {
				all = append(all, s.Pseudowire)
			}
		}
	}
	return all
}
