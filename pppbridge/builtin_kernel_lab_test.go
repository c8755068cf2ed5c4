package pppbridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

// labKernelLinks opens both ends of a session on the loopback as kernelLinks.
func labKernelLinks(t *testing.T, p *kernelPlane) (a, b *kernelLink, ao, bo *testOwner) {
	t.Helper()
	x, y := netip.MustParseAddrPort("127.0.0.1:1901"), netip.MustParseAddrPort("127.0.0.1:1902")
	open := func(local, peer netip.AddrPort, id, peerID uint32, pattern string) (*kernelLink, *testOwner) {
		udp, err := kernel.ConnectedUDP(local, peer)
		if err != nil {
			t.Fatal(err)
		}
		m, err := kernel.OpenManagement(2, udp, peer, id, peerID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(); _ = unix.Close(udp) })
		o := newTestOwner(t)
		return o.open(t, p, &Spec{
			Kind: circuit.BuiltinKernel, LNS: id < peerID, Peer: peer, UDP: udp, Interface: pattern, MTU: 1400, MRU: 1400,
			LocalTunnel: id, PeerTunnel: peerID, LocalSession: id, PeerSession: peerID,
			SendSequence: true, RequireSequence: true, ReorderTimeout: 100 * time.Millisecond,
		}), o
	}
	a, ao = open(x, y, 41, 42, "sub%d")
	b, bo = open(y, x, 42, 41, "")
	return a, b, ao, bo
}

func labPlane(t *testing.T) *kernelPlane {
	t.Helper()
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newKernelPlane(poller, new(addressTable))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- poller.Run() }()
	t.Cleanup(func() {
		poller.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		poller.Close()
		p.Close()
	})
	return p
}

// Two sessions back to back: LCP and IPCP frames before and after there are
// interfaces, a real ping each way in both families, and nothing left.
func TestLabKernelLink(t *testing.T) {
	needLab(t)
	p := labPlane(t)
	before := openDescriptors(t)
	a, b, ao, bo := labKernelLinks(t, p)
	const lcp, ipcp = "\xc0\x21\x01\x01\x00\x04", "\x80\x21\x01\x01\x00\x04"
	cross := func(what string, from, to *testOwner, l *kernelLink, frame string) {
		t.Helper()
		from.on(func() { l.SendControl([]byte("\xff\x03" + frame)) })
		to.wantFrame(t, what, frame)
	}
	cross("LCP", ao, bo, a, lcp)
	cross("LCP back", bo, ao, b, lcp)
	cross("IPCP", ao, bo, a, ipcp)

	link := ppp.Link{PeerMRU: 1460}
	network := ppp.Network{
		LocalIPv4: netip.MustParseAddr("10.78.0.1"), PeerIPv4: netip.MustParseAddr("10.78.0.2"), LocalID: 0xa, PeerID: 0xb,
		Routes: []netip.Prefix{netip.MustParsePrefix("10.79.0.0/24"), netip.MustParsePrefix("2001:db8:79::/48")},
	}
	ao.on(func() { a.LCPUp(link); a.Up(ppp.IPv4, network); a.Up(ppp.IPv6, network) })
	network = ppp.Network{LocalIPv4: network.PeerIPv4, PeerIPv4: network.LocalIPv4, LocalID: 0xb, PeerID: 0xa}
	bo.on(func() { b.LCPUp(link); b.Up(ppp.IPv4, network); b.Up(ppp.IPv6, network) })
	waitFor(t, 60*time.Second, "both interfaces", func() bool {
		for _, o := range []*testOwner{ao, bo} {
			if len(o.failed) > 0 {
				t.Fatal(<-o.failed)
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		return a.unit != nil && b.unit != nil && !a.queued && !b.queued
	})
	if !strings.HasPrefix(a.Name(), "sub") || !strings.HasPrefix(b.Name(), "ppp") {
		t.Errorf("named %q and %q", a.Name(), b.Name())
	}
	cross("LCP under a unit", bo, ao, b, lcp)
	cross("IPCP under a unit", ao, bo, a, ipcp)
	checkLabInterface(t, a.Name())
	labPing(t, a, b, network)

	if s := a.Stats(); s.Kernel == nil || s.FramesIn < 6 || s.FramesOut < 6 || s.Kernel.RxErrors != 0 {
		t.Errorf("%+v, kernel %+v", s, s.Kernel)
	}
	if d, ok := a.Idle(time.Now()); !ok || d > time.Minute {
		t.Errorf("idle %v, %v", d, ok)
	}
	name := a.Name()
	ao.on(func() { a.Down(ppp.IPv6) })
	waitFor(t, 20*time.Second, "IPv6 to go", func() bool {
		out, err := exec.Command("ip", "-6", "addr", "show", "dev", name).Output()
		return err == nil && !strings.Contains(string(out), "fe80::a")
	})
	ao.close(t, a)
	bo.close(t, b)
	if _, err := net.InterfaceByName(name); err == nil {
		t.Errorf("%s is left", name)
	}
	// The two sockets of the tunnels are the test's.
	if after := openDescriptors(t); after != before+4 {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if n := p.poller.Watched(); n != 0 {
		t.Errorf("%d descriptors are watched", n)
	}
	if s := a.Stats(); s.Kernel != nil || s.FramesIn < 6 {
		t.Errorf("after the end: %+v", s)
	}
}

// checkLabInterface looks at an interface by iproute2.
func checkLabInterface(t *testing.T, name string) {
	t.Helper()
	for args, want := range map[string][]string{
		"link show dev %s":     {"mtu 1400", "UP"},
		"addr show dev %s":     {"inet 10.78.0.1 peer 10.78.0.2/32", "inet6 fe80::a/64 scope link"},
		"-4 route show dev %s": {"10.78.0.2 ", "10.79.0.0/24 "},
		"-6 route show dev %s": {"fe80::/64 ", "2001:db8:79::/48 "},
	} {
		out, err := exec.Command("ip", strings.Fields(fmt.Sprintf(args, name))...).CombinedOutput()
		for _, w := range want {
			if err != nil || !strings.Contains(string(out), w) {
				t.Errorf(args+" lacks %q: %v\n%s", name, w, err, out)
			}
		}
	}
}

// labPing moves the far end's interface into a namespace, so that packets have
// to pass the session, and pings the near end from there in both families.
func labPing(t *testing.T, near, far *kernelLink, n ppp.Network) {
	t.Helper()
	ns := fmt.Sprintf("aditlink%d", os.Getpid())
	script := fmt.Sprintf(`set -e
ip netns add %[1]s
ip link set %[2]s netns %[1]s
ip -n %[1]s addr add %[3]s peer %[4]s dev %[2]s
ip -n %[1]s link set %[2]s up
ip -n %[1]s addr add fe80::b/64 dev %[2]s nodad
ip netns exec %[1]s ping -c 3 -i 0.2 -W 10 -s 1300 %[4]s
ip netns exec %[1]s ping -c 3 -i 0.2 -W 10 -s 1300 fe80::a%%%[2]s
`, ns, far.Name(), n.LocalIPv4, n.PeerIPv4)
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	back := exec.Command("sh", "-c", fmt.Sprintf("ip -n %s link set %s netns 1; ip netns del %s", ns, far.Name(), ns))
	if out, err := back.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A session that the kernel does not know is an error of Open, and leaves
// nothing.
func TestLabKernelLinkErrors(t *testing.T) {
	needLab(t)
	p := labPlane(t)
	before := openDescriptors(t)
	l, err := p.Open(&Spec{LocalTunnel: 4999, PeerTunnel: 1, LocalSession: 1, PeerSession: 1, Peer: netip.MustParseAddrPort("127.0.0.1:1")}, nil, testEvents{})
	if l != nil || err == nil || errors.Is(err, kernel.ErrNotSupported) {
		t.Errorf("%v, %v", l, err)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// All planes of a Factory write down who has which address in one table.
func TestLabKernelPlaneTable(t *testing.T) {
	needLab(t)
	f := newTestFactory(t, Config{})
	defer f.Close()
	p, err := f.kernelPlane()
	if err != nil {
		t.Fatal(err)
	}
	if p.table != &f.tun.table {
		t.Error("the kernel plane has a table of its own")
	}
}
