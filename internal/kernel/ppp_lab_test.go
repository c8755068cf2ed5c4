package kernel

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// labPPP is one end of a call that speaks PPP over the kernel's L2TP.
type labPPP struct {
	socket  *PPPoX
	channel *PPPChannel
	unit    *PPPUnit
}

func (e *labPPP) close() {
	_ = e.unit.Close()
	_ = e.channel.Close()
	_ = e.socket.Close()
}

func openLabPPP(t *testing.T, tun labTunnel, localTunnel, peerTunnel, local, peer uint32) *labPPP {
	t.Helper()
	s, err := OpenSession(2, tun.udp, tun.peer, localTunnel, peerTunnel, local, peer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenChannel(s)
	if err != nil {
		t.Fatal(err)
	}
	u, err := OpenUnit(-1)
	if err != nil {
		t.Fatal(err)
	}
	e := &labPPP{s, c, u}
	t.Cleanup(e.close)
	for _, fd := range []int{c.FD(), u.FD()} {
		checkFlags(t, fd)
	}
	return e
}

type frameFile interface {
	FD() int
	Read([]byte) (int, error)
	Write([]byte) error
}

// passes writes a frame to one file and wants it out of the other.
func passes(t *testing.T, what string, from, to frameFile, frame []byte) {
	t.Helper()
	if err := from.Write(frame); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	wantFrame(t, what, to, frame)
}

func wantFrame(t *testing.T, what string, from frameFile, frame []byte) {
	t.Helper()
	if !waitReadable(from.FD(), 5000) {
		t.Fatalf("%s: the frame did not arrive", what)
	}
	buf := make([]byte, 2048)
	n, err := from.Read(buf)
	if err != nil || !bytes.Equal(buf[:n], frame) {
		t.Fatalf("%s: read %x, %v; want %x", what, buf[:n], err, frame)
	}
	if n, err := from.Read(buf); n != 0 || err != nil {
		t.Errorf("%s: then %x, %v", what, buf[:n], err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// The way of each frame, and of packets: LCP by the channel, IPCP by the channel
// as long as it is alone and by the unit afterwards, an unknown protocol by the
// unit, IP by the interface.
func TestLabPPPFrames(t *testing.T) {
	needLab(t)
	x, y := labTunnels(t, loopbacks[0].addr, loopbacks[0].addr, 500)
	before := descriptors(t)
	a := openLabPPP(t, x, 510, 520, 1, 2)
	b := openLabPPP(t, y, 520, 510, 2, 1)

	lcp := []byte{0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}
	ipcp := []byte{0x80, 0x21, 1, 1, 0, 10, 3, 6, 10, 0, 0, 1}
	unknown := []byte{0x00, 0x31, 1, 2, 3, 4} // Bridging, which the kernel's PPP does not have
	passes(t, "LCP before the unit", a.channel, b.channel, lcp)
	passes(t, "IPCP before the unit", a.channel, b.channel, ipcp)
	for _, e := range []*labPPP{a, b} {
		if err := e.channel.Connect(e.unit.Number()); err != nil {
			t.Fatal(err)
		}
		if err := e.channel.Connect(e.unit.Number()); !errors.Is(err, unix.EINVAL) {
			t.Errorf("connected twice: %v", err)
		}
	}
	passes(t, "LCP", a.channel, b.channel, lcp)
	passes(t, "LCP by the unit's way out", a.unit, b.channel, lcp)
	passes(t, "IPCP", b.unit, a.unit, ipcp)
	passes(t, "an unknown protocol", a.unit, b.unit, unknown)

	checkUnit(t, a)
	if err := a.channel.Disconnect(); err != nil {
		t.Error(err)
	}
	if err := a.channel.Disconnect(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("disconnected twice: %v", err)
	}
	if n, err := a.unit.Read(make([]byte, 100)); n != 0 || !errors.Is(err, ErrEnd) {
		t.Errorf("a unit without a channel: %d, %v", n, err)
	}
	passes(t, "IPCP without the unit", b.unit, a.channel, ipcp)

	// A session that is closed under its channel ends the channel.
	_ = b.socket.Close()
	if !waitReadableOrHangUp(b.channel.FD()) {
		t.Error("no hang-up")
	}
	if n, err := b.channel.Read(make([]byte, 100)); n != 0 || !errors.Is(err, ErrEnd) {
		t.Errorf("a channel without a session: %d, %v", n, err)
	}
	names := []string{a.unit.Name(), b.unit.Name()}
	a.close()
	b.close()
	for _, n := range names {
		if _, err := net.InterfaceByName(n); err == nil {
			t.Errorf("%s is left", n)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func waitReadableOrHangUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if n, err := unix.Poll(p, 1000); n == 1 && err == nil {
			return p[0].Revents&unix.POLLHUP != 0
		}
	}
	return false
}

// checkUnit reads back what can be set on a unit.
func checkUnit(t *testing.T, e *labPPP) {
	t.Helper()
	if err := e.unit.SetMRU(1492); err != nil {
		t.Error(err)
	}
	for _, m := range []NPMode{NPError, NPDrop, NPPass} {
		for _, protocol := range []uint16{0x21, 0x57} {
			if err := e.unit.SetNPMode(protocol, m); err != nil {
				t.Error(err)
			}
			if got, err := e.unit.NPMode(protocol); got != m || err != nil {
				t.Errorf("mode of %#x: %v, %v; set %v", protocol, got, err, m)
			}
		}
	}
	if err := e.unit.SetNPMode(0x1234, NPPass); err == nil {
		t.Error("a mode of a protocol that the kernel does not know")
	}
	if sent, received, err := e.unit.Idle(); sent < 0 || received < 0 || sent > time.Hour || err != nil {
		t.Errorf("idle %v, %v, %v", sent, received, err)
	}
	if u, err := OpenUnit(e.unit.Number()); u != nil || !errors.Is(err, ErrUnitInUse) {
		t.Errorf("the same unit again: %v, %v", u, err)
	}
}

// Network traffic between two interfaces with addresses given by Links, IPv4 and
// IPv6; what NPMODE_DROP stops, and the counters.
func TestLabPPPTraffic(t *testing.T) {
	needLab(t)
	l, err := OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, y := labTunnels(t, loopbacks[0].addr, loopbacks[0].addr, 600)
	a := openLabPPP(t, x, 610, 620, 1, 2)
	b := openLabPPP(t, y, 620, 610, 2, 1)
	for _, e := range []*labPPP{a, b} {
		if err := e.channel.Connect(e.unit.Number()); err != nil {
			t.Fatal(err)
		}
		if err := l.DisableIPv6AutoLinkLocal(e.unit.Index()); err != nil {
			t.Error(err)
		}
		if err := l.SetUp(e.unit.Index(), 1400); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := l.Name(a.unit.Index()); name != a.unit.Name() || err != nil {
		t.Errorf("named %q, %v; want %q", name, err, a.unit.Name())
	}
	v4a, v4b := netip.MustParseAddr("10.66.0.1"), netip.MustParseAddr("10.66.0.2")
	v6a, v6b := netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b")
	for _, c := range []struct {
		e           *labPPP
		local, peer netip.Addr
	}{{a, v4a, v4b}, {a, v6a, v6b}} {
		if err := l.AddAddress(c.e.unit.Index(), netip.PrefixFrom(c.local, c.local.BitLen()), c.peer); err != nil {
			t.Fatal(err)
		}
	}
	// Only one end has addresses here, for both are of one machine: what it
	// sends comes out of the other end's interface, which counts it.
	send := func(to netip.Addr) {
		c, err := net.ListenUDP("udp", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if to.Is6() {
			to = to.WithZone(a.unit.Name())
		}
		if _, err := c.WriteToUDPAddrPort(make([]byte, 500), netip.AddrPortFrom(to, 9)); err != nil {
			t.Errorf("send to %v: %v", to, err)
		}
	}
	received := func() uint64 {
		c, err := l.Counters(b.unit.Index())
		if err != nil {
			t.Fatal(err)
		}
		return c.ReceivedBytes
	}
	for _, to := range []netip.Addr{v4b, v6b} {
		before := received()
		send(to)
		waitFor(t, func() bool { return received() >= before+500 })
	}
	// At the sending end: the receiving one counts what it drops as received.
	if err := a.unit.SetNPMode(0x21, NPDrop); err != nil {
		t.Fatal(err)
	}
	before := received()
	send(v4b)
	send(v6b) // arrives after it, so the first has had its time
	waitFor(t, func() bool { return received() >= before+500 })
	if got := received(); got >= before+1000 {
		t.Errorf("a dropped protocol passes: %d octets", got-before)
	}
	if name, err := l.Rename(b.unit.Index(), "sub%d"); err == nil || errors.Is(err, unix.EBUSY) {
		t.Logf("renamed while up: %q, %v", name, err)
	} else {
		t.Errorf("rename: %v", err)
	}
}

// The pass filter of a unit: what it looks at is there where SourceFilter seeks
// it, it decides about what comes in and not about what goes out, and it can be
// replaced and taken away under way.
func TestLabPPPPassFilter(t *testing.T) {
	needLab(t)
	l, err := OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, y := labTunnels(t, loopbacks[0].addr, loopbacks[0].addr, 700)
	a := openLabPPP(t, x, 710, 720, 1, 2)
	b := openLabPPP(t, y, 720, 710, 2, 1)
	taps := map[*labPPP]int{}
	for _, e := range []*labPPP{a, b} {
		if err := e.channel.Connect(e.unit.Number()); err != nil {
			t.Fatal(err)
		}
		if err := l.DisableIPv6AutoLinkLocal(e.unit.Index()); err != nil {
			t.Error(err)
		}
		if err := l.SetUp(e.unit.Index(), 1400); err != nil {
			t.Fatal(err)
		}
		taps[e] = tapInterface(t, e.unit.Index())
	}
	set := func(sources ...string) {
		t.Helper()
		program, err := SourceFilter(prefixes(sources...))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.unit.SetPassFilter(program); err != nil {
			t.Fatal(err)
		}
	}
	// A frame written to a unit goes out as a packet of the interface does.
	send := func(from *labPPP, src string) []byte {
		t.Helper()
		protocol, packet := filterPacket(netip.MustParseAddr(src))
		if err := from.unit.Write(append([]byte{byte(protocol >> 8), byte(protocol)}, packet...)); err != nil {
			t.Fatal(err)
		}
		return packet
	}
	check := func(what string, from, to *labPPP, last string, passes, drops []string) {
		t.Helper()
		var want [][]byte
		for i := range max(len(passes), len(drops)) {
			if i < len(drops) {
				send(from, drops[i])
			}
			if i < len(passes) {
				want = append(want, send(from, passes[i]))
			}
		}
		want = append(want, send(from, last)) // what comes before it has had its time
		for _, w := range want {
			if got := readTap(t, taps[to]); !bytes.Equal(got, w) {
				t.Fatalf("%s: %x came, want %x", what, got, w)
			}
		}
	}

	own := []string{"10.66.0.2", "192.0.2.9", "fe80::2", "2001:db8:7:8::9"}
	others := []string{"10.66.0.3", "192.0.3.9", "fe80::3", "2001:db8:8::9", "::", "0.0.0.0"}
	check("without a filter", a, b, "10.66.0.2", slices.Concat(own, others), nil)
	set("10.66.0.2/32", "192.0.2.0/24", "fe80::2/128", "2001:db8:7::/48")
	before, err := l.Counters(b.unit.Index())
	if err != nil {
		t.Fatal(err)
	}
	check("the filter", a, b, "10.66.0.2", own, others)
	after, err := l.Counters(b.unit.Index())
	if err != nil {
		t.Fatal(err)
	}
	if n := after.ReceivedPackets - before.ReceivedPackets; n != uint64(len(own)+len(others)+1) {
		t.Errorf("the interface counts %d packets, of which %d are dropped", n, len(others))
	}
	check("the way out", b, a, "10.66.0.2", others, nil)
	set("10.66.0.3/32")
	check("another filter", a, b, "10.66.0.3", nil, own)
	if err := b.unit.SetPassFilter(nil); err != nil {
		t.Fatal(err)
	}
	check("the filter taken away", a, b, "10.66.0.2", slices.Concat(own, others), nil)

	var many []netip.Prefix
	for i := range 1021 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24))
	}
	program, err := SourceFilter(many)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.unit.SetPassFilter(program); err != nil {
		t.Errorf("%d instructions: %v", len(program), err)
	}
	check("a long filter", a, b, "10.3.252.7", []string{"10.0.0.1"}, []string{"10.3.253.1"})
	if err := b.unit.SetPassFilter([]unix.SockFilter{{Code: 0xffff}}); !errors.Is(err, unix.EINVAL) || errors.Is(err, ErrNotSupported) {
		t.Errorf("no program: %v", err)
	}
	check("the filter that was", a, b, "10.3.252.7", nil, []string{"10.3.253.1"})
}

// tapInterface sees the packets that an interface takes in.
func tapInterface(t *testing.T, index int) int {
	t.Helper()
	const all = uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// readTap is the next packet that the interface took in.
func readTap(t *testing.T, fd int) []byte {
	t.Helper()
	buf := make([]byte, 2048)
	for waitReadable(fd, 5000) {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			return buf[:n]
		}
	}
	t.Error("no packet comes")
	return nil
}
