package lcce

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// Refusal is why a peer does not get the session that it wants.
type Refusal struct {
	Why   string // for our log, with what the operator can do about it
	Cause tunnel.Cause
}

// refusal makes one whose Result Code is of a CDN.
func refusal(result uint16, message, why string) *Refusal {
	return &Refusal{Why: why, Cause: tunnel.Cause{Result: l2tp.ResultCode{Result: result, Message: message}}}
}

// Call is what we say of a session for a pseudowire when we ask the peer for it. The
// wishes for data messages to us come from the CallSpec.
func Call(p *config.Pseudowire, direction tunnel.Direction) tunnel.Call {
	return tunnel.Call{Direction: direction, Pseudowire: p.Type, RemoteEndID: p.RemoteEndID, ApplicationID: p.ApplicationID}
}

// CallSpec holds a pseudowire for a call, until the call has ended; who is what others
// are told of it. The errors are those of Take.
func (c *Circuits) CallSpec(p *config.Pseudowire, who string) (*engine.CallSpec, error) {
	t, err := c.Take(p, who)
	if err != nil {
		return nil, err
	}
	return &engine.CallSpec{
		Name:       p.Name,
		Pseudowire: &t.Spec,
		Userspace:  t.Userspace,
		Wire:       tunnel.Wire{CookieLength: p.CookieLength, Sublayer: p.Sublayer, Sequencing: p.Sequencing},
		Session:    (*heldCircuit)(t),

		ReorderTimeout: p.ReorderTimeout,
	}, nil
}

// heldCircuit gives the pseudowire back when its call has ended.
type heldCircuit Circuit

// Established is engine.Session's.
func (h *heldCircuit) Established(*engine.Call) {}

// Ended is engine.Session's.
func (h *heldCircuit) Ended(_ tunnel.Cause, exit *circuit.Exit) { (*Circuit)(h).Release(exit != nil) }

// Answer decides on a session that a peer asks for, who may have the pseudowires among:
// it holds the one that is meant, or says why not.
func (c *Circuits) Answer(among []*config.Pseudowire, call *tunnel.Call, who string) (*engine.CallSpec, *Refusal) {
	p := Find(among, call.RemoteEndID, call.ApplicationID)
	switch {
	case p == nil && hasEnd(among, call.RemoteEndID):
		return nil, refusal(l2tp.CDNNoFacilitiesPermanent, "no circuit of this Remote End ID and Application ID is provisioned for you",
			fmt.Sprintf("the peer asks for the pseudowire with the Remote End ID %q (hex %x) %s, and here %s: make application_id of both ends agree",
				call.RemoteEndID, call.RemoteEndID, withApplication(call.ApplicationID), applicationsOf(among, call.RemoteEndID)))
	case p == nil:
		// RFC 4349 section 3.1: "If LCCE B had not been provisioned for the interface
		// identified in the ICRQ, a CDN would have been immediately returned indicating
		// that the associated link was not provisioned or available at this LCCE."
		return nil, refusal(l2tp.CDNNoFacilitiesPermanent, "no circuit of this Remote End ID is provisioned for you",
			fmt.Sprintf("the peer asks for the pseudowire with the Remote End ID %q (hex %x), which it may not have: correct it there, or name the pseudowire in the peer's block here",
				call.RemoteEndID, call.RemoteEndID))
	case p.Type != call.Pseudowire:
		// RFC 3931 section 5.4.2: "14 - Session not established due to unsupported PW
		// type."
		return nil, refusal(l2tp.CDNUnsupportedPW, fmt.Sprintf("the circuit is of the type %v", p.Type),
			fmt.Sprintf("the peer asks for pseudowire %q as type %v, but it is of type %v: make the types of both ends agree", p.Name, call.Pseudowire, p.Type))
	}
	spec, err := c.CallSpec(p, who)
	var busy *BusyError
	switch {
	case errors.As(err, &busy):
		return nil, refusal(l2tp.CDNNoFacilitiesTemporary, "the circuit has a session already", err.Error())
	case err != nil:
		return nil, refusal(l2tp.CDNNoFacilitiesPermanent, "the circuit cannot be served: see the log of the other end", err.Error())
	}
	return spec, nil
}

// hasEnd says whether any pseudowire has a Remote End ID.
func hasEnd(among []*config.Pseudowire, remoteEndID []byte) bool {
	return slices.ContainsFunc(among, func(p *config.Pseudowire) bool { return bytes.Equal(p.RemoteEndID, remoteEndID) })
}

// withApplication is an Application ID in a sentence.
func withApplication(id *uint16) string {
	if id == nil {
		return "and no Application ID"
	}
	return fmt.Sprintf("and the Application ID %d", *id)
}

// applicationsOf says which pseudowires of a Remote End ID want which Application IDs. It
// is called where all of them want one.
func applicationsOf(among []*config.Pseudowire, remoteEndID []byte) string {
	var all []string
	for _, p := range among {
		if bytes.Equal(p.RemoteEndID, remoteEndID) {
			all = append(all, fmt.Sprintf("%q wants %d", p.Name, *p.ApplicationID))
		}
	}
	return strings.Join(all, ", ")
}

// NotPPP refuses a PPP session of version 3 to a peer that may not have one.
//
// RFC 3931 section 5.4.4: "Attempts to do so MUST result in the call being rejected via
// a CDN with the Result Code set to 14".
func NotPPP() *Refusal {
	return refusal(l2tp.CDNUnsupportedPW, "no PPP sessions are offered to you",
		"the peer asks for a PPP session, which its block does not allow: say ppp = true there, or take the session away at the peer")
}

// KernelPlane says whether a pseudowire's sessions are on the kernel plane.
func (c *Circuits) KernelPlane(p *config.Pseudowire) bool {
	kind, _, err := c.choose(p)
	return err == nil && kind.KernelPlane()
}

// TunnelConfig adds to the configuration of a control connection what version 3 has: what
// peer says and what the daemon is.
func TunnelConfig(c *tunnel.Config, cfg *config.L2TPv3, peer *config.PeerV3) {
	c.Version = l2tp.Version3
	c.RouterID = cfg.RouterID
	c.Digests, c.OtherSecret = peer.Digests, peer.OtherSecret
	c.Pseudowires = Capabilities(peer.Pseudowires, peer.AllowPPP)
}

// Capabilities is the Pseudowire Capabilities List for a peer that may have these
// pseudowires, each type once.
func Capabilities(all []*config.Pseudowire, ppp bool) (types []l2tp.PseudowireType) {
	seen := make(map[l2tp.PseudowireType]bool)
	for _, p := range all {
		if !seen[p.Type] {
			seen[p.Type] = true
			types = append(types, p.Type)
		}
	}
	if ppp {
		types = append(types, l2tp.PseudowirePPP)
	}
	return types
}
