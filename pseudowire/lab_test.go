package pseudowire

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("ADIT_LAB") == "" {
		t.Skip("needs root and a kernel with L2TPv3: set ADIT_LAB=1 where both are")
	}
}

// labEnds are two ends in namespaces that a veth joins, with a tunnel of the kernel's
// between them.
func labEnds(t *testing.T) (x, y *end) {
	t.Helper()
	nx, ny := newNamespace(t), newNamespace(t)
	nx.ip(t, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	nx.moveLink(t, "v1", ny)
	end := func(ns *namespace, link, local, peer string, id, peerID uint32) *end {
		ns.ip(t, "address", "add", local+"/24", "dev", link)
		ns.ip(t, "link", "set", link, "up")
		var l2 *kernel.L2TP
		var err error
		ns.do(func() {
			if l2, err = kernel.OpenL2TP(); err == nil {
				err = l2.CreateTunnel(kernel.L2TPTunnel{
					ID: id, PeerID: peerID, Version: l2tp.Version3, Encap: kernel.L2TPEncapUDP, FD: -1, Checksum: true,
					Local: netip.AddrPortFrom(netip.MustParseAddr(local), 1701), Peer: netip.AddrPortFrom(netip.MustParseAddr(peer), 1701),
				})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l2.Close() })
		return newEndIn(t, ns, l2)
	}
	return end(nx, "v0", "10.90.0.1", "10.90.0.2", 1, 2), end(ny, "v1", "10.90.0.2", "10.90.0.1", 2, 1)
}

func labSpec(tunnel, peer uint32, last string, vlan uint16) Spec {
	return Spec{
		Kind: circuit.EthernetKernel, Type: l2tp.PseudowireEthernetVLAN, Interface: "pw%d", MTU: 1400, VLAN: vlan,
		Addresses: prefixesOf("10.6.0."+last+"/24", "fd06::"+last+"/64"),
		Session: &kernel.L2TPSession{
			Tunnel: tunnel, PeerTunnel: peer, ID: 10 * tunnel, PeerID: 10 * peer, Type: l2tp.PseudowireEthernetVLAN,
			Cookie: []byte(fmt.Sprintf("ck%02d", tunnel)), PeerCookie: []byte(fmt.Sprintf("ck%02d", peer)), Sublayer: l2tp.SublayerDefault,
		},
	}
}

// Sessions of the kernel's, with and without a tag: they carry frames, count them, show
// the peer's circuit, say what becomes of ours, and end when others delete them.
func TestLabKernelSession(t *testing.T) {
	needLab(t)
	for _, vlan := range []uint16{0, 7} {
		t.Run(fmt.Sprint("VLAN ", vlan), func(t *testing.T) {
			t.Parallel()
			x, y := labEnds(t)
			a, b := x.open(t, labSpec(1, 2, "1", vlan)), y.open(t, labSpec(2, 1, "2", vlan))
			if n := a.up(t); n != "pw0" {
				t.Errorf("the interface is called %q", n)
			}
			b.up(t)
			x.ns.ping(t, "10.6.0.2")
			x.ns.ping(t, "fd06::2")
			x.ns.ping(t, "-s", "1372", "-M", "do", "10.6.0.2")
			if s := a.Stats(); s.FramesIn < 9 || s.FramesOut < 9 || s.Kernel == nil || s.Kernel.SessionID != 10 {
				t.Errorf("%+v", s)
			}
			if out := x.ns.ip(t, "-d", "link", "show", "dev", "pw0"); strings.Contains(out, "802.1Q id 7") != (vlan != 0) {
				t.Error(out)
			}
			x.ns.ip(t, "link", "set", "pw0", "down")
			a.changed(t, false)
			x.ns.ip(t, "link", "set", "pw0", "up")
			a.changed(t, true)
			reporter := a.Bridge.(circuit.StatusReporter)
			reporter.SetPeerActive(false)
			waitFor(t, "device down", func() bool { return !strings.Contains(x.ns.ip(t, "link", "show", "dev", "pw0"), ",UP") })
			reporter.SetPeerActive(true)
			x.ns.ping(t, "fd06::2")
			select {
			case active := <-a.status:
				t.Errorf("our own circuit is said to be active: %v", active)
			default:
			}
			y.ns.ip(t, "l2tp", "del", "session", "tunnel_id", "2", "session_id", "20")
			if e := b.wait(t); e.Closed || !errors.Is(e.Err, kernel.ErrNoLink) || e.Result.Result != l2tp.CDNLossOfCarrier {
				t.Errorf("%+v", e)
			}
			a.Close("done")
			if e := a.wait(t); !e.Closed || e.Stats.FramesIn < 9 {
				t.Errorf("%+v", e)
			}
			for _, ns := range []*namespace{x.ns, y.ns} {
				if out := ns.ip(t, "-o", "link"); strings.Contains(out, "pw0") || strings.Contains(out, "l2tpeth") {
					t.Errorf("left: %s", out)
				}
			}
		})
	}
}

// The kernel has no pseudowire type Ethernet VLAN: a session of it is refused, which is
// why ours are of the type Ethernet.
func TestLabNoVLANType(t *testing.T) {
	needLab(t)
	x, _ := labEnds(t)
	if _, err := x.factory.cfg.Sessions.CreateSession(*labSpec(1, 2, "1", 0).Session); err == nil {
		t.Error("the kernel makes sessions of the type Ethernet VLAN: EthernetKernel need not change it any more")
	}
}
