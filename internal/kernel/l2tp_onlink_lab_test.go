package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"adit/proto/l2tp"
)

// Between link-local addresses the kernel cannot make a tunnel by itself, nor iproute2; we
// can, by a socket that is as the kernel's would be, and that ends with the tunnel.
func TestLabL2TPOnLink(t *testing.T) {
	needLab(t)
	local, peer := netip.MustParseAddr("fe80::a%lo"), netip.MustParseAddr("fe80::b%lo")
	for _, want := range []L2TPTunnel{
		{Encap: L2TPEncapUDP, Local: netip.AddrPortFrom(local, 5001), Peer: netip.AddrPortFrom(peer, 5002), ZeroChecksum6Tx: true},
		{Encap: L2TPEncapUDP, Local: netip.AddrPortFrom(local, 5001), Peer: netip.AddrPortFrom(peer, 5002), ZeroChecksum6Rx: true},
		{Encap: L2TPEncapIP, Local: netip.AddrPortFrom(local, 0), Peer: netip.AddrPortFrom(peer, 0)},
	} {
		want.ID, want.PeerID, want.Version, want.FD = labIDa, labIDb, l2tp.Version3, -1
		t.Run(fmt.Sprint(want.Encap, want.ZeroChecksum6Tx), func(t *testing.T) {
			t.Parallel()
			inNamespaces(t, func(enter func()) {
				enter()
				for _, a := range []netip.Addr{local, peer} {
					command(t, "ip", "address", "add", a.WithZone("").String()+"/64", "dev", "lo", "nodad")
				}
				labOnLink(t, want)
			})
		})
	}
}

func labOnLink(t *testing.T, want L2TPTunnel) {
	t.Helper()
	ports := ""
	if want.Encap == L2TPEncapUDP {
		ports = fmt.Sprintf("udp_sport %d udp_dport %d", want.Local.Port(), want.Peer.Port())
	}
	out := command(t, "sh", "-c", fmt.Sprintf("ip l2tp add tunnel tunnel_id %d peer_tunnel_id %d encap %v local %v remote %v %s 2>&1 || echo refused",
		want.ID, want.PeerID, want.Encap, want.Local.Addr().WithZone(""), want.Peer.Addr().WithZone(""), ports))
	contains(t, "ip l2tp", out, "Invalid argument", "refused")

	k := openLabL2TP(t)
	made := func(what string) {
		t.Helper()
		if err := k.CreateTunnel(want); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, err := k.Tunnel(want.ID)
		is := want
		is.Local, is.Peer = netip.AddrPortFrom(want.Local.Addr().WithZone(""), want.Local.Port()), netip.AddrPortFrom(want.Peer.Addr().WithZone(""), want.Peer.Port())
		if diff := cmp.Diff(withoutStats(is), withoutStats(got), sameAddr); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	gone := func() {
		t.Helper()
		waitFor(t, func() bool { _, err := k.Tunnel(want.ID); return errors.Is(err, ErrNoEntry) })
	}
	made("at first")
	other := openLabL2TP(t)
	second := want
	second.PeerID++
	if want.Encap == L2TPEncapUDP {
		second.ID++
	}
	if err := other.CreateTunnel(second); !errors.Is(err, ErrPortInUse) && !errors.Is(err, ErrExists) {
		t.Errorf("a second tunnel of the same port, or ID: %v", err)
	}
	if err := k.DeleteTunnel(want.ID); err != nil {
		t.Error(err)
	}
	gone()
	made("after it was deleted")
	command(t, "ip", "l2tp", "del", "tunnel", "tunnel_id", fmt.Sprint(want.ID))
	gone()
	made("after somebody else deleted it")
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	k = other
	gone()
}
