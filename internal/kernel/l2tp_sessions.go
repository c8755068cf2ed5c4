package kernel

import (
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// CreateSession makes a session of a tunnel of the kernel's and returns it as the
// kernel has it, with the name of its interface. An Ethernet's interface is there at
// once, and down; a PPP session waits for a socket of OpenSession.
func (k *L2TP) CreateSession(s L2TPSession) (L2TPSession, error) {
	op := fmt.Sprintf("make session %d of tunnel %d in the kernel", s.ID, s.Tunnel)
	if advice := checkL2TPSession(&s); advice != "" {
		return L2TPSession{}, &Error{Op: op, Err: unix.EINVAL, Advice: advice}
	}
	attrs, err := encodeL2TPSession(&s)
	if err != nil {
		return L2TPSession{}, &Error{Op: op, Err: err}
	}
	if _, err := k.request(op, l2tpCmdSessionCreate, netlink.Acknowledge, attrs); err != nil {
		return L2TPSession{}, sessionError(s.Type, err)
	}
	return k.Session(s.Tunnel, s.ID)
}

// checkL2TPSession says what of s the kernel would refuse with less of a reason, or
// take and get wrong; empty: nothing.
func checkL2TPSession(s *L2TPSession) string {
	switch {
	case s.Tunnel == 0 || s.ID == 0 || s.PeerID == 0:
		return "an ID of 0 stands for no session"
	case !l2tp.CookieLengthOK(len(s.Cookie)) || !l2tp.CookieLengthOK(len(s.PeerCookie)):
		return "a cookie has 0, 4 or 8 octets"
	case s.Sublayer != l2tp.SublayerNone && s.Sublayer != l2tp.SublayerDefault:
		return fmt.Sprintf("the kernel does not have the L2-Specific Sublayer %q; use dataplane = \"userspace\"", s.Sublayer)
	case len(s.Interface) >= unix.IFNAMSIZ:
		return fmt.Sprintf("the interface name %q has more than %d octets", s.Interface, unix.IFNAMSIZ-1)
	case s.ReorderTimeout < 0 || s.ReorderTimeout >= time.Hour:
		return "the reorder timeout has to be less than an hour"
	}
	return ""
}

// ModifySession changes SendSequence, RequireSequence, LNS and ReorderTimeout of the
// session with s.Tunnel and s.ID to what s says, while it runs. The rest of s is not
// looked at.
func (k *L2TP) ModifySession(s L2TPSession) error {
	op := fmt.Sprintf("modify session %d of tunnel %d of the kernel", s.ID, s.Tunnel)
	e := sessionAttributes(s.Tunnel, s.ID)
	encodeL2TPSequencing(e, &s)
	_, err := k.sessions(op, l2tpCmdSessionModify, netlink.Acknowledge, e)
	return err
}

// DeleteSession ends a session, and its Ethernet interface with it.
func (k *L2TP) DeleteSession(tunnel, id uint32) error {
	op := fmt.Sprintf("delete session %d of tunnel %d of the kernel", id, tunnel)
	_, err := k.sessions(op, l2tpCmdSessionDelete, netlink.Acknowledge, sessionAttributes(tunnel, id))
	return err
}

// Session returns a session with its statistics.
func (k *L2TP) Session(tunnel, id uint32) (L2TPSession, error) {
	op := fmt.Sprintf("read session %d of tunnel %d of the kernel", id, tunnel)
	all, err := k.sessions(op, l2tpCmdSessionGet, 0, sessionAttributes(tunnel, id))
	if err != nil {
		return L2TPSession{}, err
	}
	return all[0], nil
}

// Sessions returns all sessions of the namespace, those of other programs too. One
// that comes or goes meanwhile may be missing.
func (k *L2TP) Sessions() ([]L2TPSession, error) {
	return k.sessions("list the kernel's sessions", l2tpCmdSessionGet, netlink.Dump, netlink.NewAttributeEncoder())
}

func sessionAttributes(tunnel, id uint32) *netlink.AttributeEncoder {
	e := netlink.NewAttributeEncoder()
	e.Uint32(l2tpAttrConnID, tunnel)
	e.Uint32(l2tpAttrSessionID, id)
	return e
}

// sessions is tunnels for sessions.
func (k *L2TP) sessions(op string, command uint8, flags netlink.HeaderFlags, e *netlink.AttributeEncoder) ([]L2TPSession, error) {
	return listL2TP(k, op, command, flags, e, decodeL2TPSession)
}
