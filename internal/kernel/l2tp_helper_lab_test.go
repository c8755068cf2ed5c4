package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

// labCarrier is one way in which a tunnel travels.
type labCarrier struct {
	encap L2TPEncap
	v6    bool
	ours  bool // the sockets are ours, and not the kernel's
	// Number tells apart, by their IDs, tunnels of several namespaces at one time.
	number uint32
}

// labCarriers are all ways.
func labCarriers() (all []labCarrier) {
	for _, encap := range []L2TPEncap{L2TPEncapUDP, L2TPEncapIP} {
		for _, v6 := range []bool{false, true} {
			for _, ours := range []bool{false, true} {
				all = append(all, labCarrier{encap: encap, v6: v6, ours: ours, number: uint32(len(all))})
			}
		}
	}
	return all
}

func (c labCarrier) String() string {
	words := []string{c.encap.String(), "IPv4", "kernel's socket"}
	if c.v6 {
		words[1] = "IPv6"
	}
	if c.ours {
		words[2] = "our socket"
	}
	return strings.Join(words, ", ")
}

// ends are the addresses of both ends, as rawNamespace makes them.
func (c labCarrier) ends() (a, b netip.AddrPort) {
	f := rawFamilies[0]
	if c.v6 {
		f = rawFamilies[1]
	}
	if c.encap == L2TPEncapIP {
		return netip.AddrPortFrom(f.a, 0), netip.AddrPortFrom(f.b, 0)
	}
	return netip.AddrPortFrom(f.a, 5001), netip.AddrPortFrom(f.b, 5002)
}

// The IDs of both ends, of carrier 0: more than 16 bits.
const (
	labIDa uint32 = 0x80000001
	labIDb uint32 = 0x00020002
)

// ids are the IDs of both ends.
func (c labCarrier) ids() (a, b uint32) { return labIDa + c.number<<4, labIDb + c.number<<4 }

// tunnels are both ends of a tunnel, not made yet but for our sockets.
func (c labCarrier) tunnels(t *testing.T) (a, b L2TPTunnel) {
	t.Helper()
	local, peer := c.ends()
	x, y := c.ids()
	a = L2TPTunnel{ID: x, PeerID: y, Version: l2tp.Version3, Encap: c.encap, FD: -1, Local: local, Peer: peer}
	b = L2TPTunnel{ID: y, PeerID: x, Version: l2tp.Version3, Encap: c.encap, FD: -1, Local: peer, Peer: local}
	for _, x := range []*L2TPTunnel{&a, &b} {
		if c.encap == L2TPEncapUDP {
			x.Checksum = !c.v6
		}
		if !c.ours {
			continue
		}
		if c.encap == L2TPEncapUDP {
			x.FD = connected(t, x.Local, x.Peer)
			continue
		}
		fd, err := L2TPIPSocket(x.Local.Addr(), x.Peer.Addr(), x.ID, x.PeerID)
		if err != nil {
			t.Fatal(err)
		}
		checkFlags(t, fd)
		t.Cleanup(func() { _ = unix.Close(fd) })
		x.FD = fd
	}
	return a, b
}

// open makes both ends.
func (c labCarrier) open(t *testing.T, k *L2TP) (a, b L2TPTunnel) {
	t.Helper()
	a, b = c.tunnels(t)
	for _, x := range []L2TPTunnel{a, b} {
		if err := k.CreateTunnel(x); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func openLabL2TP(t *testing.T) *L2TP {
	t.Helper()
	k, err := OpenL2TP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// labEvents gathers events.
type labEvents struct {
	t  *testing.T
	ch chan L2TPEvent
}

// listenLab listens to what becomes of the carrier's tunnels. Events come from all
// namespaces, and so from those of other tests.
func listenLab(t *testing.T, c labCarrier) *labEvents {
	t.Helper()
	e := &labEvents{t, make(chan L2TPEvent, 1000)}
	a, b := c.ids()
	w, err := ListenL2TP(func(x L2TPEvent) {
		if id := max(x.Tunnel.ID, x.Session.Tunnel); id == a || id == b || id == 0 {
			e.ch <- x
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return e
}

// want waits for the next event and returns it; others than of this kind, tunnel and
// session (0: of the tunnel itself) are an error.
func (e *labEvents) want(kind L2TPEventKind, tunnel, session uint32) L2TPEvent {
	e.t.Helper()
	select {
	case x := <-e.ch:
		if x.Kind != kind || max(x.Tunnel.ID, x.Session.Tunnel) != tunnel || x.Session.ID != session {
			e.t.Fatalf("%v of %d/%d instead of %v of %d/%d", x.Kind, max(x.Tunnel.ID, x.Session.Tunnel), x.Session.ID, kind, tunnel, session)
		}
		return x
	case <-time.After(20 * time.Second):
		e.t.Fatalf("no event: %v of %d/%d", kind, tunnel, session)
	}
	return L2TPEvent{}
}

// none says that nothing is left to be told. What another request causes is told after
// what was told before it.
func (e *labEvents) none() {
	e.t.Helper()
	select {
	case x := <-e.ch:
		e.t.Errorf("one event too many: %+v", x)
	default:
	}
}

// labEtherType is one that no other program uses.
const labEtherType = 0x88b5

// labPacketSocket opens a packet socket for frames of labEtherType on an interface, and
// sets that up.
func labPacketSocket(t *testing.T, ifc string) int {
	t.Helper()
	command(t, "ip", "link", "set", ifc, "addrgenmode", "none") // few frames of the kernel's own
	command(t, "ip", "link", "set", ifc, "up")
	link := linkByName(t, ifc)
	const network = labEtherType>>8 | labEtherType&0xff<<8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: link}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// linkByName is the index of an interface of the thread's namespace.
func linkByName(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return int(ifr.Uint32())
}

// labFrame is an Ethernet frame with a text.
func labFrame(text string) []byte {
	f := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, labEtherType >> 8, labEtherType & 0xff}, []byte(text))
	return append(f, make([]byte, max(60-len(f), 0))...)
}

// wantEthernet has text go in at the socket from and come out at to.
func wantEthernet(t *testing.T, from, to int, text string) {
	t.Helper()
	frame := labFrame(text)
	if _, err := unix.Write(from, frame); err != nil {
		t.Fatal(err)
	}
	if !waitReadable(to, 10000) {
		t.Fatalf("%q did not arrive", text)
	}
	buf := make([]byte, 2000)
	n, err := unix.Read(to, buf)
	if err != nil || string(buf[:max(n, 0)]) != string(frame) {
		t.Fatalf("read %x, %v", buf[:max(n, 0)], err)
	}
}
