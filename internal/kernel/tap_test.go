package kernel

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

func openTAP(t *testing.T, o TAPOptions) *TUN {
	t.Helper()
	tap, err := OpenTAP(o)
	if errors.Is(err, ErrNotSupported) || errors.Is(err, ErrPermission) {
		lacks(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}

func TestOpenTAP(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		mac := net.HardwareAddr{2, 0, 0, 0, 0xad, 1}
		tap := openTAP(t, TAPOptions{Name: "pw%d", MTU: MaxTAPMTU, MAC: mac})
		ifc, err := net.InterfaceByName("pw0")
		if err != nil {
			t.Fatal(err)
		}
		if tap.Name() != "pw0" || tap.Index() != ifc.Index || ifc.MTU != MaxTAPMTU || !bytes.Equal(ifc.HardwareAddr, mac) || tap.Queues() != 1 {
			t.Errorf("%s, index %d; the kernel has %+v", tap.Name(), tap.Index(), ifc)
		}
		tun := openTUNUp(t, TUNOptions{})
		if tap.Offloads() != tun.Offloads() {
			t.Errorf("%+v, a TUN has %+v", tap.Offloads(), tun.Offloads())
		}
		checkFlags(t, tap.Queue(0).FD())
		tap.Close()
		if _, err := net.InterfaceByName("pw0"); err == nil {
			t.Error("the interface is there after Close")
		}
		for name, c := range map[string]struct {
			o    TAPOptions
			kind error
			text string
		}{
			"MTU":        {TAPOptions{MTU: MaxTAPMTU + 1}, unix.EINVAL, "an MTU of 68 to 65521 octets"},
			"group":      {TAPOptions{MAC: net.HardwareAddr{1, 0, 0, 0, 0, 1}}, unix.EADDRNOTAVAIL, "the address of one station"},
			"octets":     {TAPOptions{MAC: net.HardwareAddr{2, 0}}, unix.EINVAL, "has 6 octets, not 2"},
			"name":       {TAPOptions{Name: strings.Repeat("x", 16)}, unix.EINVAL, "at most 15 octets"},
			"TUN's name": {TAPOptions{Name: tun.Name()}, ErrNameTaken, "choose another name"},
			"other's":    {TAPOptions{Name: "lo"}, ErrNameTaken, "choose another name"},
		} {
			if tap, err := OpenTAP(c.o); tap != nil && err == nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A frame is read and written with its header and without a frame check sequence; the
// kernel cuts a super packet whose description counts the header of Ethernet.
func TestTAPFrames(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		a := openTAP(t, TAPOptions{Name: "a"})
		noRouterSolicitations(t)
		command(t, "ip", "address", "add", "10.8.0.1/24", "dev", "a")
		command(t, "ip", "link", "set", "dev", "a", "up")
		command(t, "ip", "neighbour", "add", "10.8.0.2", "lladdr", "02:00:00:00:00:02", "dev", "a")
		station, err := net.InterfaceByName("a")
		if err != nil {
			t.Fatal(err)
		}
		header := append(append(bytes.Clone(station.HardwareAddr), 2, 0, 0, 0, 0, 2), 8, 0)
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 8, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
		var w TUNWriter
		var super inet.Super
		var frames [][]byte
		for i := range 5 {
			frames = append(frames, append(bytes.Clone(header), udpPacket(netip.MustParseAddrPort("10.8.0.2:99"), netip.AddrPortFrom(netip.MustParseAddr("10.8.0.1"), port), uint16(i), bytes.Repeat([]byte{byte(i)}, 700))...))
			h, err := inet.Parse(frames[i][14:])
			if err != nil {
				t.Fatal(err)
			}
			if super.AddFrame(frames[i], 14, &h) {
				continue
			}
			if i > 0 && a.Offloads().USO {
				t.Fatalf("frame %d does not join", i)
			}
			writeSuper(t, &w, a, &super) // one by one before Linux 6.2
			super.StartFrame(frames[i], 14, &h, a.Offloads())
		}
		writeSuper(t, &w, a, &super)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 2000)
		for i := range frames {
			n, err := c.Read(b)
			if err != nil || n != 700 || b[0] != byte(i) {
				t.Fatalf("datagram %d: %d octets, %v", i, n, err)
			}
		}
		// And out: two datagrams that the kernel gives as one.
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 500) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo(make([]byte, 900), &net.UDPAddr{IP: net.IPv4(10, 8, 0, 2), Port: 99}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, MaxSuperFrame)
		for deadline := time.Now().Add(5 * time.Second); ; {
			n, g, err := a.Queue(0).Read(buf)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("nothing comes: %v", err)
			}
			if n < 14 || buf[12] != 8 || buf[13] != 0 {
				continue
			}
			want := inet.GSO{Type: inet.GSOUDP, SegmentSize: 500}
			octets := 14 + 28 + 900
			if !a.Offloads().USO {
				want, octets = inet.GSO{}, 14+28+500
			}
			if n != octets || g.Type != want.Type || g.SegmentSize != want.SegmentSize || g.NeedsChecksum && g.ChecksumStart != 34 || !bytes.Equal(buf[:6], []byte{2, 0, 0, 0, 0, 2}) {
				t.Errorf("%d octets, %+v", n, g)
			}
			break
		}
	})
}

func writeSuper(t *testing.T, w *TUNWriter, to *TUN, s *inet.Super) {
	t.Helper()
	g, parts := s.Finish()
	if len(parts) == 0 {
		return
	}
	if err := w.Write(to.Queue(0), g, parts); err != nil {
		t.Fatal(err)
	}
	s.Reset()
}

// udpPacket is a packet of UDP over IPv4 with its checksums.
func udpPacket(from, to netip.AddrPort, id uint16, payload []byte) []byte {
	p := make([]byte, 28, 28+len(payload))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	p[2], p[3] = byte((28+len(payload))>>8), byte(28+len(payload))
	p[4], p[5] = byte(id>>8), byte(id)
	copy(p[12:], from.Addr().AsSlice())
	copy(p[16:], to.Addr().AsSlice())
	sum := inet.Checksum(p[:20], 0)
	p[10], p[11] = byte(sum>>8), byte(sum)
	p[20], p[21], p[22], p[23] = byte(from.Port()>>8), byte(from.Port()), byte(to.Port()>>8), byte(to.Port())
	p[24], p[25] = byte((8+len(payload))>>8), byte(8+len(payload))
	p = append(p, payload...)
	sum = inet.Checksum(p[20:], inet.PseudoHeader(from.Addr(), to.Addr(), unix.IPPROTO_UDP, 8+len(payload)))
	p[26], p[27] = byte(sum>>8), byte(sum)
	return p
}

func TestTAPCarrier(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		tap := openTAP(t, TAPOptions{Name: "a"})
		command(t, "ip", "link", "set", "dev", "a", "up")
		for _, on := range []bool{false, true} {
			if err := tap.SetCarrier(on); errors.Is(err, ErrNotSupported) {
				lacks(t, "%v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			if out := command(t, "ip", "-o", "link", "show", "a"); strings.Contains(out, "LOWER_UP") != on {
				t.Errorf("carrier %v: %s", on, out)
			}
		}
	})
}

func TestLinkBridge(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		links, err := OpenLinks()
		if err != nil {
			t.Fatal(err)
		}
		defer links.Close()
		tap, tun := openTAP(t, TAPOptions{Name: "a"}), openTUNUp(t, TUNOptions{Name: "u"})
		if err := links.SetBridge(tap.Index(), "br0"); !errors.Is(err, ErrNoBridge) || !strings.Contains(err.Error(), "ip link add br0 type bridge") {
			t.Error(err)
		}
		if err := links.SetBridge(tap.Index(), "u"); !errors.Is(err, ErrNoBridge) || !strings.Contains(err.Error(), "is no bridge") {
			t.Error(err)
		}
		if out, err := exec.Command("ip", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
			lacks(t, "its kernel has no bridges: %s", out)
		}
		bridge, err := links.Index("br0")
		if err != nil {
			t.Fatal(err)
		}
		if err := links.SetBridge(tap.Index(), "br0"); err != nil {
			t.Fatal(err)
		}
		s, err := links.State(tap.Index())
		if err != nil || len(s.MAC) != 6 || s.Name != "a" || s.MTU != 1500 || s.Up || s.Master != bridge {
			t.Errorf("%+v, %v", s, err)
		}
		if err := links.SetBridge(tap.Index(), ""); err != nil {
			t.Error(err)
		}
		if s, err := links.State(tap.Index()); err != nil || s.Master != 0 {
			t.Errorf("%+v, %v", s, err)
		}
		if err := links.SetBridge(tun.Index(), "br0"); err == nil || !strings.Contains(err.Error(), "cannot be a member of a bridge") {
			t.Error(err)
		}
		if err := links.Delete(bridge); err != nil {
			t.Error(err)
		}
		if _, err := links.State(bridge); !errors.Is(err, ErrNoLink) {
			t.Error(err)
		}
	})
}

func TestLinkVLAN(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		links, err := OpenLinks()
		if err != nil {
			t.Fatal(err)
		}
		defer links.Close()
		tap := openTAP(t, TAPOptions{Name: "a"})
		index, err := links.AddVLAN(tap.Index(), 7, "v%d")
		if errors.Is(err, ErrNotSupported) {
			if !strings.Contains(err.Error(), "load the module 8021q") {
				t.Error(err)
			}
			if !inLab() {
				t.Skip("this kernel has no VLANs; the lab's has, and runs this test")
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, err := links.State(index); err != nil || s.Name != "v0" {
			t.Errorf("%+v, %v", s, err)
		}
		if out := command(t, "ip", "-d", "link", "show", "v0"); !strings.Contains(out, "v0@a") || !strings.Contains(out, "vlan protocol 802.1Q id 7") {
			t.Error(out)
		}
		if _, err := links.AddVLAN(tap.Index(), 7, "w"); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	})
}

func TestLANAddress(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		links, err := OpenLinks()
		if err != nil {
			t.Fatal(err)
		}
		defer links.Close()
		tap := openTAP(t, TAPOptions{Name: "a"})
		if err := links.SetUp(tap.Index(), 0); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"10.8.0.1/24", "fd08::1/64"} {
			if err := links.AddLANAddress(tap.Index(), netip.MustParsePrefix(p)); err != nil {
				t.Fatal(err)
			}
			if err := links.AddLANAddress(tap.Index(), netip.MustParsePrefix(p)); !errors.Is(err, ErrExists) {
				t.Errorf("%s twice: %v", p, err)
			}
		}
		out := command(t, "ip", "address", "show", "dev", "a")
		for _, want := range []string{"10.8.0.1/24 brd 10.8.0.255", "fd08::1/64"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s: %s", want, out)
			}
		}
		if strings.Contains(out, "nodad") {
			t.Errorf("no Duplicate Address Detection: %s", out)
		}
	})
}

func TestLinkWatch(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		w, err := OpenLinkWatch()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		heard := func(index int) bool {
			t.Helper()
			for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
				if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(w.FD()), Events: unix.POLLIN}}, 100); n <= 0 {
					continue
				}
				found := false
				if w.Read(func(i int) { found = found || i == index }) {
					t.Error("said to have lost something")
				}
				if found {
					return true
				}
			}
			return false
		}
		tap := openTAP(t, TAPOptions{Name: "a"})
		if !heard(tap.Index()) {
			t.Error("nothing of a new interface")
		}
		command(t, "ip", "link", "set", "dev", "a", "up")
		if !heard(tap.Index()) {
			t.Error("nothing of an interface set up")
		}
		tap.Close()
		if !heard(tap.Index()) {
			t.Error("nothing of a deleted interface")
		}
		// More than the socket holds.
		if err := unix.SetsockoptInt(w.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			openTAP(t, TAPOptions{Name: "flood"}).Close()
		}
		if !w.Read(func(int) {}) {
			t.Error("nothing is said of what was lost")
		}
		w.Close()
		w.Close()
		if w.Read(func(int) { t.Error("heard of something after the end") }) {
			t.Error("lost something after the end")
		}
	})
}

// What a kernel would never send does not upset it.
func TestReadLinks(t *testing.T) {
	message := make([]byte, 32)
	message[0], message[4], message[20] = 32, unix.RTM_NEWLINK, 9
	port := bytes.Clone(message)
	port[16] = unix.AF_BRIDGE
	for n := range 65 {
		var got []int
		whole := append(append(bytes.Clone(message), port...), message...)
		readLinks(whole[:min(n, len(whole))], func(i int) { got = append(got, i) })
		if want := n / 32; len(got) != min(want, 1) {
			t.Errorf("%d octets: %v", n, got)
		}
	}
	for _, size := range []byte{0, 1, 15, 33, 255} {
		bad := bytes.Clone(message)
		bad[0] = size
		readLinks(bad, func(i int) { t.Errorf("length %d: %d", size, i) })
	}
	short := bytes.Clone(message)
	short[0] = 20
	readLinks(short, func(i int) { t.Errorf("no ifinfomsg: %d", i) })
}
