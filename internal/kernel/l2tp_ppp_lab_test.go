package kernel

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// wantPPP has a frame go in at one PPPoX socket and come out at another.
func wantPPP(t *testing.T, from, to *PPPoX) {
	t.Helper()
	frame := []byte{0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}
	if _, err := unix.Write(from.FD(), frame); err != nil {
		t.Fatal(err)
	}
	if !waitReadable(to.FD(), 10000) {
		t.Fatal("the frame did not arrive")
	}
	buf := make([]byte, 100)
	n, err := unix.Read(to.FD(), buf)
	if err != nil || string(buf[max(n-len(frame), 0):max(n, 0)]) != string(frame) {
		t.Fatalf("read %x, %v", buf[:max(n, 0)], err)
	}
}

// A PPP session of L2TPv3 over each carrier, made by its PPPoX socket, or before that by
// netlink with cookies.
func TestLabL2TPv3PPP(t *testing.T) {
	needLab(t)
	for _, c := range labCarriers() {
		for _, made := range []bool{false, true} {
			name := c.String()
			if made {
				name += ", made by netlink"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inNamespaces(t, func(enter func()) {
					enter()
					rawNamespace(t)
					k := openLabL2TP(t)
					a, b := c.open(t, k)
					x, y := labSessions(a, b)
					open := func(n L2TPTunnel, s L2TPSession) *PPPoX {
						if made {
							s.Type, s.Interface = l2tp.PseudowirePPP, ""
							if _, err := k.CreateSession(s); err != nil {
								t.Fatal(err)
							}
						}
						p, err := OpenSession(l2tp.Version3, n.FD, n.Peer, n.ID, n.PeerID, s.ID, s.PeerID)
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = p.Close() })
						return p
					}
					from, to := open(a, x), open(b, y)
					wantPPP(t, from, to)
					wantPPP(t, to, from)
					stats, err := to.Stats()
					if err != nil || stats.RxPackets != 1 || stats.TxPackets != 1 || stats.TunnelID != b.ID || stats.SessionID != y.ID {
						t.Errorf("%+v, %v", stats, err)
					}
					// Netlink sees it too.
					s, err := k.Session(b.ID, y.ID)
					if err != nil || s.Type != l2tp.PseudowirePPP || s.Stats.RxPackets != 1 || len(s.Cookie) != len(y.Cookie)*boolInt(made) {
						t.Errorf("%+v, %v", s, err)
					}
				})
			})
		}
	}
}

// Without netlink: a management socket makes a tunnel of version 3 over UDP.
func TestLabL2TPv3Management(t *testing.T) {
	needLab(t)
	for _, v6 := range []bool{false, true} {
		c := labCarrier{encap: L2TPEncapUDP, v6: v6, ours: true}
		t.Run(c.String(), func(t *testing.T) {
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				a, b := c.tunnels(t)
				var ends [2]*PPPoX
				for i, n := range []L2TPTunnel{a, b} {
					m, err := OpenManagement(l2tp.Version3, n.FD, n.Peer, n.ID, n.PeerID)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = m.Close() })
					ends[i], err = OpenSession(l2tp.Version3, n.FD, n.Peer, n.ID, n.PeerID, uint32(1<<20+i), uint32(1<<20+1-i))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = ends[i].Close() })
					if i == 1 {
						wantPPP(t, ends[0], ends[1])
						if s, err := m.Stats(); err != nil || s.RxPackets != 1 || s.TunnelID != n.ID || s.SessionID != 0 {
							t.Errorf("the tunnel: %+v, %v", s, err)
						}
					}
				}
			})
		})
	}
}

// Over IP, control messages come by the raw socket and by it alone, and what the kernel
// takes does not come there while it is not wanted.
func TestLabControlBesideTheKernelsTunnel(t *testing.T) {
	needLab(t)
	for _, v6 := range []bool{false, true} {
		c := labCarrier{encap: L2TPEncapIP, v6: v6, ours: true}
		t.Run(c.String(), func(t *testing.T) {
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				local, peer := c.ends()
				raw, sender := listenRaw(t, peer.Addr()), listenRaw(t, local.Addr())
				if err := SetControlOnly(raw, true); err != nil {
					t.Fatal(err)
				}
				k := openLabL2TP(t)
				a, b := c.open(t, k)
				x, y := labSessions(a, b)
				y.Interface = "labB"
				for _, s := range []L2TPSession{x, y} {
					if _, err := k.CreateSession(s); err != nil {
						t.Fatal(err)
					}
				}
				in, out := labPacketSocket(t, x.Interface), labPacketSocket(t, y.Interface)
				wantEthernet(t, in, out, "data")
				control := "\x00\x00\x00\x00\xc8\x03\x00\x14\x00\x02\x00\x02\x00\x00\x00\x00\x80\x08\x00\x00\x00\x00\x00\x06"
				if err := SendFrom(sender, []byte(control), local.Addr(), peer); err != nil {
					t.Fatal(err)
				}
				if !waitReadable(raw, 10000) {
					t.Fatal("the control message did not come")
				}
				got, _, _ := rawPackets(t, raw, NewRecvBatch(4), 1)
				wantPackets(t, "control only", got, control)
				if waitReadable(b.FD, 0) {
					t.Error("a copy waits at the tunnel's own socket")
				}
				if err := SetControlOnly(raw, false); err != nil {
					t.Fatal(err)
				}
				wantEthernet(t, in, out, "more data")
				if got, _, _ := rawPackets(t, raw, NewRecvBatch(4), 1); len(got) == 0 || strings.HasPrefix(string(got[0]), "\x00\x00\x00\x00") {
					t.Errorf("no copy of the data without the filter: %x", got)
				}
			})
		})
	}
}
