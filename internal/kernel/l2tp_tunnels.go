package kernel

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// CreateTunnel makes a tunnel of the kernel's: of the socket t.FD, or of one that the
// kernel makes for t.Local and t.Peer.
//
// A socket of ours is of ConnectedUDP or L2TPIPSocket. It may serve one tunnel in
// its life, and the tunnel ends when its last descriptor is closed. The kernel takes
// the data messages out of it; what else comes, over UDP, is for us to read.
//
// Netlink cannot say to which link a link-local address belongs. With FD -1, a tunnel
// whose addresses have a zone gets a socket that is k's, and ends with DeleteTunnel or
// Close. What comes there and is no data is dropped.
func (k *L2TP) CreateTunnel(t L2TPTunnel) error {
	op := fmt.Sprintf("make tunnel %d in the kernel", t.ID)
	if advice := checkL2TPTunnel(&t); advice != "" {
		return &Error{Op: op, Err: unix.EINVAL, Advice: advice}
	}
	if t.FD < 0 && t.Local.Addr().Zone() != "" {
		return k.createOnLink(op, t)
	}
	return k.createTunnel(op, &t)
}

func (k *L2TP) createTunnel(op string, t *L2TPTunnel) error {
	attrs, err := encodeL2TPTunnel(t)
	if err != nil {
		return &Error{Op: op, Err: err}
	}
	_, err = k.request(op, l2tpCmdTunnelCreate, netlink.Acknowledge, attrs)
	return tunnelError(op, t.Encap, err)
}

// checkL2TPTunnel says what of t the kernel would refuse with less of a reason, or
// take and get wrong; empty: nothing.
func checkL2TPTunnel(t *L2TPTunnel) string {
	local, peer := t.Local.Addr().Unmap(), t.Peer.Addr().Unmap()
	switch {
	case t.ID == 0 || t.PeerID == 0:
		return "a tunnel ID of 0 stands for no tunnel"
	case t.Version != l2tp.Version && t.Version != l2tp.Version3:
		return fmt.Sprintf("there is no version %d of L2TP", t.Version)
	case t.Version == l2tp.Version && (t.ID > 0xffff || t.PeerID > 0xffff):
		return "tunnel IDs of L2TPv2 have 16 bits"
	case t.Encap != L2TPEncapUDP && t.Encap != L2TPEncapIP:
		return fmt.Sprintf("the kernel has no %v", t.Encap)
	case t.Version == l2tp.Version && t.Encap == L2TPEncapIP:
		return "only L2TPv3 goes over IP without UDP"
	case t.FD >= 0:
		return ""
	case !local.IsValid() || !peer.IsValid() || local.Is4() != peer.Is4():
		return "both addresses have to be known, and be of one family"
	case local.IsLinkLocalUnicast() && local.Is6() && local.Zone() == "":
		return "a link-local address means nothing without its link, as in fe80::1%eth0"
	case WithNumericZone(local).Zone() != WithNumericZone(peer).Zone():
		return "both addresses have to be of one link"
	case t.Encap == L2TPEncapUDP && (t.Local.Port() == 0 || t.Peer.Port() == 0):
		return "both UDP ports have to be known"
	}
	return ""
}

// ModifyTunnel is netlink's TUNNEL_MODIFY. All it ever changed is the mask of debug
// messages, which Linux since 5.12 forgets: what is left is that the kernel looks the
// tunnel up and tells its listeners.
func (k *L2TP) ModifyTunnel(id uint32) error {
	_, err := k.tunnelRequest("modify", l2tpCmdTunnelModify, netlink.Acknowledge, id)
	return err
}

// DeleteTunnel ends a tunnel with its sessions, whoever made it. The kernel does it
// after it has replied: for a moment the tunnel is still there, and its ID is taken.
func (k *L2TP) DeleteTunnel(id uint32) error {
	_, err := k.tunnelRequest("delete", l2tpCmdTunnelDelete, netlink.Acknowledge, id)
	k.closeLinkSocket(id)
	return err
}

// Tunnel returns a tunnel with its statistics.
func (k *L2TP) Tunnel(id uint32) (L2TPTunnel, error) {
	all, err := k.tunnelRequest("read", l2tpCmdTunnelGet, 0, id)
	if err != nil {
		return L2TPTunnel{FD: -1}, err
	}
	return all[0], nil
}

func (k *L2TP) tunnelRequest(verb string, command uint8, flags netlink.HeaderFlags, id uint32) ([]L2TPTunnel, error) {
	op := fmt.Sprintf("%s tunnel %d of the kernel", verb, id)
	e := netlink.NewAttributeEncoder()
	e.Uint32(l2tpAttrConnID, id)
	return k.tunnels(op, command, flags, e)
}

// Tunnels returns all tunnels of the namespace, those of other programs too. One that
// comes or goes meanwhile may be missing.
func (k *L2TP) Tunnels() ([]L2TPTunnel, error) {
	return k.tunnels("list the kernel's tunnels", l2tpCmdTunnelGet, netlink.Dump, netlink.NewAttributeEncoder())
}

// tunnels makes a request and reads the tunnels of the reply.
func (k *L2TP) tunnels(op string, command uint8, flags netlink.HeaderFlags, e *netlink.AttributeEncoder) ([]L2TPTunnel, error) {
	return listL2TP(k, op, command, flags, e, decodeL2TPTunnel)
}

// listL2TP makes a request and reads what is in the reply: at least one, unless it is an
// acknowledgement or a dump.
func listL2TP[T any](k *L2TP, op string, command uint8, flags netlink.HeaderFlags, e *netlink.AttributeEncoder, decode func([]byte) (T, error)) ([]T, error) {
	attrs, err := e.Encode()
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	reply, err := k.request(op, command, flags, attrs)
	if err != nil || flags&netlink.Acknowledge != 0 && flags&netlink.Dump != netlink.Dump {
		return nil, err
	}
	all := make([]T, 0, len(reply))
	for _, m := range reply {
		one, err := decode(m.Data)
		if err != nil {
			return nil, &Error{Op: op, Err: err}
		}
		all = append(all, one)
	}
	if len(all) == 0 && flags&netlink.Dump == 0 {
		return nil, l2tpError(op, unix.ENODEV)
	}
	return all, nil
}
