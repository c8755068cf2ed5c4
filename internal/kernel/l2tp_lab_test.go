package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

func contains(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", what, w, text)
		}
	}
}

// withoutStats is a tunnel as it is to be read: without a descriptor and counters.
func withoutStats(x L2TPTunnel) L2TPTunnel {
	x.FD, x.Stats = -1, L2TPCounters{}
	return x
}

// A tunnel and a session of every kind live, are told and changed, move a frame, and
// end, for us and for iproute2.
func TestLabL2TPLife(t *testing.T) {
	needLab(t)
	for _, c := range labCarriers() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				k, events := openLabL2TP(t), listenLab(t, c)
				a, b := labTunnelLife(t, c, k, events)
				labSessionLife(t, a, b, k, events)

				// iproute2 deletes the one, we the other.
				command(t, "ip", "l2tp", "del", "tunnel", "tunnel_id", fmt.Sprint(a.ID))
				events.want(L2TPTunnelDeleted, a.ID, 0)
				if err := k.DeleteTunnel(b.ID); err != nil {
					t.Fatal(err)
				}
				events.want(L2TPTunnelDeleted, b.ID, 0)
				waitFor(t, func() bool {
					all, err := k.Tunnels()
					return err == nil && len(all) == 0
				})
				_, err := k.Tunnel(a.ID)
				if !errors.Is(err, ErrNoEntry) {
					t.Errorf("a deleted tunnel: %v", err)
				}
				events.none()
			})
		})
	}
}

func labTunnelLife(t *testing.T, c labCarrier, k *L2TP, events *labEvents) (a, b L2TPTunnel) {
	t.Helper()
	a, b = c.open(t, k)
	for _, x := range []L2TPTunnel{a, b} {
		made := events.want(L2TPTunnelCreated, x.ID, 0)
		read, err := k.Tunnel(x.ID)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]L2TPTunnel{"event": made.Tunnel, "tunnel": read} {
			if diff := cmp.Diff(withoutStats(x), withoutStats(got), sameAddr); diff != "" {
				t.Errorf("%s:\n%s", what, diff)
			}
		}
		words := []string{fmt.Sprintf("Tunnel %d, encap %s", x.ID, strings.ToUpper(c.encap.String())),
			fmt.Sprintf("From %v to %v", x.Local.Addr(), x.Peer.Addr()), fmt.Sprintf("Peer tunnel %d", x.PeerID)}
		if c.encap == L2TPEncapUDP {
			words = append(words, fmt.Sprintf("UDP source / dest ports: %d/%d", x.Local.Port(), x.Peer.Port()))
		}
		contains(t, "ip l2tp", command(t, "ip", "l2tp", "show", "tunnel", "tunnel_id", fmt.Sprint(x.ID)), words...)
	}
	all, err := k.Tunnels()
	if len(all) != 2 || err != nil {
		t.Errorf("tunnels: %+v, %v", all, err)
	}
	if err := k.ModifyTunnel(a.ID); err != nil {
		t.Error(err)
	}
	events.want(L2TPTunnelModified, a.ID, 0)
	return a, b
}

// labSessions are both ends of a session with all that can be asked for.
func labSessions(a, b L2TPTunnel) (x, y L2TPSession) {
	x = L2TPSession{Tunnel: a.ID, PeerTunnel: a.PeerID, ID: 0x10000001, PeerID: 0x20000002, Type: l2tp.PseudowireEthernet,
		Cookie: []byte{1, 2, 3, 4}, PeerCookie: []byte{5, 6, 7, 8, 9, 10, 11, 12}, Sublayer: l2tp.SublayerDefault,
		SendSequence: true, RequireSequence: true, LNS: true, ReorderTimeout: 100 * time.Millisecond, Interface: "labA"}
	y = x
	y.Tunnel, y.PeerTunnel, y.ID, y.PeerID = b.ID, b.PeerID, x.PeerID, x.ID
	y.Cookie, y.PeerCookie, y.Interface = x.PeerCookie, x.Cookie, ""
	return x, y
}

// readable is a session as it is to be read.
func readable(s L2TPSession) L2TPSession {
	s.Sublayer, s.Stats = l2tp.SublayerNone, L2TPCounters{}
	return s
}

func labSessionLife(t *testing.T, a, b L2TPTunnel, k *L2TP, events *labEvents) {
	t.Helper()
	x, y := labSessions(a, b)
	for _, s := range []*L2TPSession{&x, &y} {
		made, err := k.CreateSession(*s)
		if err != nil {
			t.Fatal(err)
		}
		if s.Interface == "" {
			if !strings.HasPrefix(made.Interface, "l2tpeth") {
				t.Errorf("the kernel's choice of a name: %q", made.Interface)
			}
			s.Interface = made.Interface
		}
		read, err := k.Session(s.Tunnel, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]L2TPSession{"made": made, "read": read, "event": events.want(L2TPSessionCreated, s.Tunnel, s.ID).Session} {
			if diff := cmp.Diff(readable(*s), readable(got)); diff != "" {
				t.Errorf("%s:\n%s", what, diff)
			}
		}
		contains(t, "ip l2tp", command(t, "ip", "l2tp", "show", "session", "tid", fmt.Sprint(s.Tunnel), "sid", fmt.Sprint(s.ID)),
			fmt.Sprintf("Session %d in tunnel %d", s.ID, s.Tunnel), fmt.Sprintf("Peer session %d, tunnel %d", s.PeerID, s.PeerTunnel),
			"interface name: "+s.Interface, fmt.Sprintf("  cookie %x", s.PeerCookie), fmt.Sprintf("  peer cookie %x", s.Cookie), "reorder timeout: 100", "sequence numbering: send recv")
	}
	if all, err := k.Sessions(); len(all) != 2 || err != nil {
		t.Errorf("sessions: %+v, %v", all, err)
	}
	in, out := labPacketSocket(t, x.Interface), labPacketSocket(t, y.Interface)
	wantEthernet(t, in, out, "numbered, with a cookie of 4")
	wantEthernet(t, out, in, "numbered, with a cookie of 8")

	// Sequencing changes while the session runs, at both ends.
	for _, s := range []*L2TPSession{&x, &y} {
		s.SendSequence, s.RequireSequence, s.ReorderTimeout = false, false, 200*time.Millisecond
		if err := k.ModifySession(L2TPSession{Tunnel: s.Tunnel, ID: s.ID, LNS: true, ReorderTimeout: s.ReorderTimeout}); err != nil {
			t.Fatal(err)
		}
		read, err := k.Session(s.Tunnel, s.ID)
		if diff := cmp.Diff(readable(*s), readable(read)); diff != "" || err != nil {
			t.Errorf("modified: %v\n%s", err, diff)
		}
		events.want(L2TPSessionModified, s.Tunnel, s.ID)
	}
	wantEthernet(t, in, out, "without numbers")
	labCounters(t, k, x, y)

	command(t, "ip", "l2tp", "del", "session", "tunnel_id", fmt.Sprint(x.Tunnel), "session_id", fmt.Sprint(x.ID))
	events.want(L2TPSessionDeleted, x.Tunnel, x.ID)
	if err := k.DeleteSession(y.Tunnel, y.ID); err != nil {
		t.Fatal(err)
	}
	events.want(L2TPSessionDeleted, y.Tunnel, y.ID)
	waitFor(t, func() bool {
		_, err := k.Session(x.Tunnel, x.ID)
		all, e := k.Sessions()
		return errors.Is(err, ErrNoEntry) && e == nil && len(all) == 0
	})
}

// labCounters compares the counters of both ends after the frames of labSessionLife. The
// kernel sends some of its own when an interface comes up.
func labCounters(t *testing.T, k *L2TP, x, y L2TPSession) {
	t.Helper()
	from, err := k.Session(x.Tunnel, x.ID)
	if err != nil {
		t.Fatal(err)
	}
	to, err := k.Session(y.Tunnel, y.ID)
	if err != nil {
		t.Fatal(err)
	}
	if from.Stats.TxPackets < 2 || from.Stats.TxBytes < 120 || from.Stats.RxPackets < 1 || to.Stats.RxPackets < 2 || to.Stats.RxBytes < 120 {
		t.Errorf("counters: %+v, %+v", from.Stats, to.Stats)
	}
	// Between the changes of the two ends, a frame of the kernel's may have had no number.
	if to.Stats.RxErrors != to.Stats.RxSeqDiscards || to.Stats.RxCookieDiscards != 0 || to.Stats.RxInvalid != 0 {
		t.Errorf("errors: %+v", to.Stats)
	}
	tunnel, err := k.Tunnel(x.Tunnel)
	if err != nil || tunnel.Stats.TxPackets < from.Stats.TxPackets {
		t.Errorf("the tunnel sent %d packets, its session %d, %v", tunnel.Stats.TxPackets, from.Stats.TxPackets, err)
	}
}

// A peer with another cookie is not heard, and the counter says why.
func TestLabL2TPWrongCookie(t *testing.T) {
	needLab(t)
	inNamespaces(t, func(enter func()) {
		enter()
		rawNamespace(t)
		k := openLabL2TP(t)
		a, b := labCarrier{encap: L2TPEncapUDP}.open(t, k)
		x, y := labSessions(a, b)
		y.Cookie = []byte{5, 6, 7, 8, 9, 10, 11, 13}
		for _, s := range []*L2TPSession{&x, &y} {
			made, err := k.CreateSession(*s)
			if err != nil {
				t.Fatal(err)
			}
			s.Interface = made.Interface
		}
		in, out := labPacketSocket(t, x.Interface), labPacketSocket(t, y.Interface)
		if _, err := unix.Write(in, labFrame("to nobody")); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			s, err := k.Session(y.Tunnel, y.ID)
			return err == nil && s.Stats.RxCookieDiscards > 0 && s.Stats.RxPackets == 0
		})
		if waitReadable(out, 0) {
			t.Error("the frame came through")
		}
	})
}

// What L2TPSession says of the kernel's rules: with LNS, one that sends numbers drops
// frames without; without, it follows the peer.
func TestLabL2TPSequencingIsOfVersion2(t *testing.T) {
	needLab(t)
	inNamespaces(t, func(enter func()) {
		enter()
		rawNamespace(t)
		k := openLabL2TP(t)
		a, b := labCarrier{encap: L2TPEncapUDP}.open(t, k)
		x, y := labSessions(a, b)
		x.SendSequence, y.RequireSequence, y.Interface = false, false, "labB"
		for _, s := range []L2TPSession{x, y} {
			if _, err := k.CreateSession(s); err != nil {
				t.Fatal(err)
			}
		}
		in, out := labPacketSocket(t, x.Interface), labPacketSocket(t, y.Interface)
		if _, err := unix.Write(in, labFrame("without a number")); err != nil {
			t.Fatal(err)
		}
		read := func(s L2TPSession) L2TPSession {
			t.Helper()
			s, err := k.Session(s.Tunnel, s.ID)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		waitFor(t, func() bool { return read(y).Stats.RxSeqDiscards > 0 })
		if waitReadable(out, 0) || !read(y).SendSequence {
			t.Error("with LNS, the end that sends numbers took a frame without, or stopped")
		}
		// x numbers, and y follows it.
		y.SendSequence, y.LNS, x.SendSequence = false, false, true
		for _, s := range []L2TPSession{y, x} {
			if err := k.ModifySession(s); err != nil {
				t.Fatal(err)
			}
		}
		wantEthernet(t, in, out, "with a number")
		if s := read(y); !s.SendSequence || s.LNS {
			t.Errorf("without LNS, numbers from the peer made none of ours: %+v", s)
		}
	})
}

// Of a socket that the kernel makes, the checksums are as asked for.
func TestLabL2TPChecksums(t *testing.T) {
	needLab(t)
	inNamespaces(t, func(enter func()) {
		enter()
		rawNamespace(t)
		k := openLabL2TP(t)
		for i, set := range []func(*L2TPTunnel){
			func(x *L2TPTunnel) { x.Checksum = true },
			func(x *L2TPTunnel) { x.Checksum = false },
			func(x *L2TPTunnel) { x.ZeroChecksum6Tx = true },
			func(x *L2TPTunnel) { x.ZeroChecksum6Rx = true },
		} {
			x, _ := labCarrier{encap: L2TPEncapUDP, v6: i > 1}.tunnels(t)
			x.ID += uint32(i)
			x.Local = netip.AddrPortFrom(x.Local.Addr(), x.Local.Port()+uint16(10*i))
			set(&x)
			if err := k.CreateTunnel(x); err != nil {
				t.Fatal(err)
			}
			got, err := k.Tunnel(x.ID)
			if diff := cmp.Diff(withoutStats(x), withoutStats(got), sameAddr); diff != "" || err != nil {
				t.Errorf("case %d: %v\n%s", i, err, diff)
			}
		}
	})
}

func TestLabL2TPErrors(t *testing.T) {
	needLab(t)
	inNamespaces(t, func(enter func()) {
		enter()
		rawNamespace(t)
		k := openLabL2TP(t)
		c := labCarrier{encap: L2TPEncapUDP, ours: true}
		a, b := c.open(t, k)
		x, _ := labSessions(a, b)
		if _, err := k.CreateSession(x); err != nil {
			t.Fatal(err)
		}
		want := func(what string, err error, kind error, errnos ...unix.Errno) {
			t.Helper()
			if err == nil || kind != nil && !errors.Is(err, kind) {
				t.Errorf("%s: %v, want %v", what, err, kind)
			}
			for _, e := range errnos {
				if !errors.Is(err, e) {
					t.Errorf("%s: %v, want %v", what, err, e)
				}
			}
		}
		session := func(change func(*L2TPSession)) error {
			s := x
			s.ID, s.Interface = x.ID+1, ""
			change(&s)
			_, err := k.CreateSession(s)
			return err
		}
		tunnel := func(change func(*L2TPTunnel)) error {
			n, _ := labCarrier{encap: L2TPEncapUDP}.tunnels(t)
			n.ID, n.Local = 77, netip.AddrPortFrom(n.Local.Addr(), 7777)
			change(&n)
			return k.CreateTunnel(n)
		}
		want("a tunnel's ID", tunnel(func(n *L2TPTunnel) { n.ID = a.ID }), ErrExists)
		want("a tunnel's socket", tunnel(func(n *L2TPTunnel) { n.FD = a.FD }), nil, unix.EBUSY)
		want("no socket", tunnel(func(n *L2TPTunnel) { n.FD = 9999 }), nil, unix.EBADF)
		want("a port", tunnel(func(n *L2TPTunnel) { n.Local = a.Local }), ErrPortInUse)
		want("an address", tunnel(func(n *L2TPTunnel) { n.Local = netip.MustParseAddrPort("192.0.2.99:1") }), ErrNoAddress)
		want("a session's ID", session(func(s *L2TPSession) { s.ID = x.ID }), ErrExists)
		want("an interface's name", session(func(s *L2TPSession) { s.Interface = x.Interface }), ErrExists)
		want("no tunnel", session(func(s *L2TPSession) { s.Tunnel = 4711 }), ErrNoEntry)
		for _, kind := range []l2tp.PseudowireType{l2tp.PseudowireEthernetVLAN, l2tp.PseudowireHDLC, l2tp.PseudowireIP} {
			want(kind.String(), session(func(s *L2TPSession) { s.Type = kind }), ErrNotSupported)
		}
		_, err := k.Tunnel(4711)
		want("read a tunnel", err, ErrNoEntry)
		want("delete a tunnel", k.DeleteTunnel(4711), ErrNoEntry)
		want("modify a tunnel", k.ModifyTunnel(4711), ErrNoEntry)
		_, err = k.Session(a.ID, 4711)
		want("read a session", err, ErrNoEntry)
		want("delete a session", k.DeleteSession(a.ID, 4711), ErrNoEntry)
		want("modify a session", k.ModifySession(L2TPSession{Tunnel: a.ID, ID: 4711}), ErrNoEntry)

		f := rawFamilies[0]
		fd, err := L2TPIPSocket(f.a, f.b, 5, 6)
		if err != nil {
			t.Fatal(err)
		}
		_, err = L2TPIPSocket(f.a, f.b, 5, 7)
		want("an ID over IP", err, ErrExists)
		_ = unix.Close(fd)
		_, err = L2TPIPSocket(netip.MustParseAddr("192.0.2.99"), f.b, 5, 6)
		want("an address over IP", err, ErrNoAddress)

		_ = k.Close()
		_ = k.Close()
		_, err = k.Tunnels()
		want("closed", err, ErrClosed)
		dropCapabilities(t)
		_, err = OpenL2TP()
		want("without rights", err, ErrPermission)
	})
}

// The tunnel ends with our socket.
func TestLabL2TPEndsWithItsSocket(t *testing.T) {
	needLab(t)
	for _, c := range labCarriers() {
		if !c.ours {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				k := openLabL2TP(t)
				a, b := c.tunnels(t)
				var err error
				// A copy of its own, so that the one of the cleanup is not the last.
				fd := a.FD
				if a.FD, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
					t.Fatal(err)
				}
				if err := k.CreateTunnel(a); err != nil {
					t.Fatal(err)
				}
				x, _ := labSessions(a, b)
				if _, err := k.CreateSession(x); err != nil {
					t.Fatal(err)
				}
				_ = unix.Close(a.FD)
				if _, err := k.Tunnel(a.ID); err != nil {
					t.Errorf("with one copy of the socket closed: %v", err)
				}
				// Closed in place: the cleanup closes what is there then.
				null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
					t.Fatal(err)
				}
				_ = unix.Close(null)
				waitFor(t, func() bool {
					_, err := k.Tunnel(a.ID)
					all, e := k.Sessions()
					return errors.Is(err, ErrNoEntry) && e == nil && len(all) == 0
				})
			})
		})
	}
}

// Requests go to the namespace that the socket was opened in, also after it had to be
// opened anew; events come from all.
func TestLabL2TPNamespaces(t *testing.T) {
	needLab(t)
	inNamespaces(t, func(enter func()) {
		enter()
		rawNamespace(t)
		k := openLabL2TP(t)
		enter()
		rawNamespace(t)
		c := labCarrier{encap: L2TPEncapUDP}
		other, events := openLabL2TP(t), listenLab(t, c)
		a, _ := c.tunnels(t)
		if err := k.CreateTunnel(a); err != nil {
			t.Fatal(err)
		}
		events.want(L2TPTunnelCreated, a.ID, 0)
		for range 2 {
			if _, err := k.Tunnel(a.ID); err != nil {
				t.Errorf("in its namespace: %v", err)
			}
			if _, err := other.Tunnel(a.ID); !errors.Is(err, ErrNoEntry) {
				t.Errorf("in the other: %v", err)
			}
			for _, x := range []*L2TP{k, other} {
				if err := x.conn.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := x.Tunnels(); err == nil || x.conn != nil {
					t.Errorf("with a socket that is closed: %v", err)
				}
			}
		}
	})
}
