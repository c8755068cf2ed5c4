package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

// The layout of struct virtio_net_hdr, octet by octet, little-endian.
func TestVNetHeader(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the expected octets are those of a little-endian machine")
	}
	for _, c := range []struct {
		g    inet.GSO
		want [vnetHeaderLen]byte
	}{
		{inet.GSO{}, [10]byte{}},
		{inet.GSO{DataValid: true}, [10]byte{2}},
		{inet.GSO{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}, [10]byte{1, 0, 0, 0, 0, 0, 20, 0, 6, 0}},
		{inet.GSO{Type: inet.GSOUDP, SegmentSize: 1400, HeaderLen: 48, NeedsChecksum: true, ChecksumStart: 40, ChecksumOffset: 6},
			[10]byte{1, 5, 48, 0, 0x78, 5, 40, 0, 6, 0}},
		{inet.GSO{Type: inet.GSOTCPv4, SegmentSize: 258, HeaderLen: 40, ECN: true}, [10]byte{0, 0x81, 40, 0, 2, 1}},
		{inet.GSO{Type: inet.GSOTCPv6, SegmentSize: 1, HeaderLen: 60}, [10]byte{0, 4, 60, 0, 1}},
	} {
		var got [vnetHeaderLen]byte
		for i := range got {
			got[i] = 0xff // what was there before does not show
		}
		if !putVNet(&got, c.g) || got != c.want {
			t.Errorf("%+v: %x, want %x", c.g, got, c.want)
		}
		if back, ok := parseVNet(&got); !ok || back != c.g {
			t.Errorf("%x: %+v, want %+v", got, back, c.g)
		}
	}
	for kind := range 256 {
		b := [vnetHeaderLen]byte{1: byte(kind)}
		_, ok := parseVNet(&b)
		switch kind &^ vnetECN {
		case 0, 1, 4, 5:
			if !ok {
				t.Errorf("kind %d is refused", kind)
			}
		default:
			if ok {
				t.Errorf("kind %d is taken", kind)
			}
		}
	}
	var b [vnetHeaderLen]byte
	if putVNet(&b, inet.GSO{Type: 77}) {
		t.Error("a kind that does not exist is written")
	}
}

// onesSum is RFC 1071 in its plainest form.
func onesSum(b []byte) uint16 {
	sum := uint32(0)
	for i := range b {
		if i%2 == 0 {
			sum += uint32(b[i]) << 8
		} else {
			sum += uint32(b[i])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// pseudo is the pseudo-header of RFC 768, 9293 and 8200, for length octets.
func pseudo(src, dst netip.Addr, protocol byte, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return append(b, 0, 0, 0, protocol)
}

// superPacket is a packet of protocol (UDP or TCP) with payload, as one whose
// checksum is yet to be made and that is cut into pieces of segment octets.
func superPacket(src, dst netip.AddrPort, protocol byte, payload []byte, segment int) (inet.GSO, []byte) {
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, src.Port())
	l4 = binary.BigEndian.AppendUint16(l4, dst.Port())
	g := inet.GSO{Type: inet.GSOUDP, SegmentSize: uint16(segment), NeedsChecksum: true, ChecksumOffset: 6}
	if protocol == unix.IPPROTO_TCP {
		g.ChecksumOffset = 16
		l4 = binary.BigEndian.AppendUint32(l4, 1000) // sequence
		l4 = binary.BigEndian.AppendUint32(l4, 77)   // acknowledgment
		l4 = append(l4, 5<<4, 0x10, 16, 0, 0, 0, 0, 0)
	} else {
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(payload)))
		l4 = append(l4, 0, 0)
	}
	sum := onesSum(pseudo(src.Addr(), dst.Addr(), protocol, len(l4)+len(payload)))
	binary.BigEndian.PutUint16(l4[g.ChecksumOffset:], sum)
	var packet []byte
	if src.Addr().Is4() {
		packet = []byte{0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, protocol, 0, 0}
		binary.BigEndian.PutUint16(packet[2:], uint16(20+len(l4)+len(payload)))
		packet = append(append(packet, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(packet[10:], ^onesSum(packet))
		if protocol == unix.IPPROTO_TCP {
			g.Type = inet.GSOTCPv4
		}
	} else {
		packet = []byte{0x60, 0, 0, 0, 0, 0, protocol, 64}
		binary.BigEndian.PutUint16(packet[4:], uint16(len(l4)+len(payload)))
		packet = append(append(packet, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		if protocol == unix.IPPROTO_TCP {
			g.Type = inet.GSOTCPv6
		}
	}
	g.ChecksumStart = uint16(len(packet))
	packet = append(packet, l4...)
	g.HeaderLen = uint16(len(packet))
	return g, append(packet, payload...)
}

// numbered is n octets that tell where they are.
func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

var tunFamilies = []struct {
	name             string
	subnetA, subnetB string
	a, peerA, peerB  netip.Addr
}{
	{"IPv4", "10.77.1.1/24", "10.77.2.1/24", netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("10.77.1.9"), netip.MustParseAddr("10.77.2.9")},
	{"IPv6", "fd77:1::1/64", "fd77:2::1/64", netip.MustParseAddr("fd77:1::1"), netip.MustParseAddr("fd77:1::9"), netip.MustParseAddr("fd77:2::9")},
}

// readTUN waits for a packet between unicast addresses of the tests.
func readTUN(t testing.TB, q *TUNQueue, buf []byte) (int, inet.GSO) {
	t.Helper()
	for {
		if !waitReadable(q.FD(), 5000) {
			t.Fatal("no packet came")
		}
		n, g, err := q.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > 40 && (buf[0]>>4 == 4 && buf[16] == 10 || buf[0]>>4 == 6 && buf[24] == 0xfd) {
			return n, g
		}
	}
}

// A super packet that is written to a TUN comes out as segments: at a UDP socket
// of this machine, whether it takes them merged or one by one.
func TestTUNSuperPacketReachesSockets(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		tun := openTUNUp(t, TUNOptions{}, tunFamilies[0].subnetA, tunFamilies[1].subnetA)
		needUSO(t, tun)
		var w TUNWriter
		for _, f := range tunFamilies {
			for _, merging := range []int{0, 1} {
				fd, local := listen(t, f.a)
				if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, merging); err != nil {
					t.Fatal(err)
				}
				payload := numbered(3*500 + 77)
				g, packet := superPacket(netip.AddrPortFrom(f.peerA, 9), local, unix.IPPROTO_UDP, payload, 500)
				// In pieces, as a merger hands them over.
				if err := w.Write(tun.Queue(0), g, [][]byte{packet[:g.HeaderLen], packet[g.HeaderLen:900], packet[900:]}); err != nil {
					t.Fatal(err)
				}
				sizes, octets := collect(t, fd, 4)
				if want := []int{500, 500, 500, 77}; !equal(sizes, want) || !bytes.Equal(octets, payload) {
					t.Errorf("%s: datagrams of %d octets, want %d", f.name, sizes, want)
				}
			}
		}
	})
}

func needUSO(t testing.TB, tun *TUN) {
	t.Helper()
	if !tun.Offloads().USO {
		lacks(t, "needs Linux 6.2: the TUN offers %+v", tun.Offloads())
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// collect takes n datagrams, merged or not.
func collect(t testing.TB, fd, n int) (sizes []int, octets []byte) {
	t.Helper()
	b := NewRecvBatch(8)
	for len(sizes) < n {
		if !waitReadable(fd, 5000) {
			t.Fatalf("%d of %d datagrams came", len(sizes), n)
		}
		k, err := b.Receive(fd)
		if err != nil {
			t.Fatal(err)
		}
		for i := range k {
			data, segment, _, _ := b.Datagram(i)
			octets = append(octets, data...)
			for at := 0; at < len(data); at += segment {
				sizes = append(sizes, min(segment, len(data)-at))
			}
		}
	}
	return sizes, octets
}

// A super packet of each kind, forwarded to a TUN that takes none, arrives there
// as packets with right lengths, sequence numbers and checksums.
func TestTUNSuperPacketIsForwardedAsSegments(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		a := openTUNUp(t, TUNOptions{}, tunFamilies[0].subnetA, tunFamilies[1].subnetA)
		needUSO(t, a)
		b := openTUNUp(t, TUNOptions{offloads: []int{0}}, tunFamilies[0].subnetB, tunFamilies[1].subnetB)
		for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+path, []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}
		var w TUNWriter
		buf := make([]byte, MaxSuperPacket)
		for _, f := range tunFamilies {
			for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
				payload := numbered(1200*5 + 33)
				src, dst := netip.AddrPortFrom(f.peerA, 1111), netip.AddrPortFrom(f.peerB, 2222)
				g, packet := superPacket(src, dst, protocol, payload, 1200)
				if err := w.Write(a.Queue(0), g, [][]byte{packet}); err != nil {
					t.Fatalf("%s, %v: %v", f.name, g.Type, err)
				}
				var octets []byte
				for i := range 6 {
					n, got := readTUN(t, b.Queue(0), buf)
					if got.Type != inet.GSONone || got.NeedsChecksum {
						t.Fatalf("%s, %v: %+v came", f.name, g.Type, got)
					}
					octets = append(octets, checkSegment(t, buf[:n], protocol, g, uint32(1000+1200*i))...)
				}
				if !bytes.Equal(octets, payload) {
					t.Errorf("%s, %v: other octets came", f.name, g.Type)
				}
			}
		}
	})
}

// checkSegment checks the lengths, checksum and sequence number of a packet and
// returns its payload.
func checkSegment(t *testing.T, packet []byte, protocol byte, g inet.GSO, sequence uint32) []byte {
	t.Helper()
	start := int(g.ChecksumStart)
	length, src, dst := int(binary.BigEndian.Uint16(packet[2:])), packet[12:16], packet[16:20]
	if packet[0]>>4 == 6 {
		length, src, dst = 40+int(binary.BigEndian.Uint16(packet[4:])), packet[8:24], packet[24:40]
	} else if onesSum(packet[:20]) != 0xffff {
		t.Errorf("%v: the IPv4 header's checksum is wrong", g.Type)
	}
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	if length != len(packet) {
		t.Errorf("%v: length %d in a packet of %d octets", g.Type, length, len(packet))
	}
	if onesSum(append(pseudo(from, to, protocol, len(packet)-start), packet[start:]...)) != 0xffff {
		t.Errorf("%v: the checksum is wrong", g.Type)
	}
	if protocol == unix.IPPROTO_TCP && binary.BigEndian.Uint32(packet[start+4:]) != sequence {
		t.Errorf("%v: sequence number %d, want %d", g.Type, binary.BigEndian.Uint32(packet[start+4:]), sequence)
	}
	return packet[g.HeaderLen:]
}

// What a socket sends with UDP_SEGMENT is read as a super packet, or, where the
// TUN takes none, as single packets with their checksums.
func TestTUNReadsSuperPackets(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for _, sets := range [][]int{nil, {0}} {
			tun := openTUNUp(t, TUNOptions{offloads: sets}, tunFamilies[0].subnetA, tunFamilies[1].subnetA)
			buf := make([]byte, MaxSuperPacket)
			for _, f := range tunFamilies {
				fd, _ := listen(t, f.a)
				var counts SendCounts
				out, to := NewSendBatch(&counts), NewDestination(fd, f.a, netip.AddrPortFrom(f.peerA, 5000))
				payload := numbered(3*1000 + 400)
				for at := 0; at < len(payload); at += 1000 {
					put(t, out, to, payload[at:min(at+1000, len(payload))])
				}
				out.Flush()
				wantCounts(t, &counts, 4, 0, 0, 4)
				if sets == nil {
					needUSO(t, tun)
					n, g := readTUN(t, tun.Queue(0), buf)
					if g.Type != inet.GSOUDP || g.SegmentSize != 1000 || !g.NeedsChecksum || !bytes.Equal(buf[g.HeaderLen:n], payload) {
						t.Errorf("%s: %d octets, %+v", f.name, n, g)
					}
					continue
				}
				var octets []byte
				for range 4 {
					n, g := readTUN(t, tun.Queue(0), buf)
					if g.Type != inet.GSONone || g.NeedsChecksum {
						t.Errorf("%s: %+v without offloads", f.name, g)
					}
					start := 20
					if f.a.Is6() {
						start = 40
					}
					octets = append(octets, checkSegment(t, buf[:n], unix.IPPROTO_UDP,
						inet.GSO{ChecksumStart: uint16(start), HeaderLen: uint16(start + 8)}, 0)...)
				}
				if !bytes.Equal(octets, payload) {
					t.Errorf("%s: other octets came", f.name)
				}
			}
			tun.Close()
		}
	})
}

// pump moves packets from one TUN to the other until stop is set.
func pump(t *testing.T, from, to *TUNQueue, stop *atomic.Bool, seen *[4]atomic.Uint64) {
	buf := make([]byte, MaxSuperPacket)
	var w TUNWriter
	parts := make([][]byte, 1)
	for !stop.Load() {
		if !waitReadable(from.FD(), 20) {
			continue
		}
		n, g, err := from.Read(buf)
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		if n == 0 {
			continue
		}
		seen[g.Type].Add(1)
		parts[0] = buf[:n]
		if err := w.Write(to, g, parts); err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Errorf("write %+v: %v", g, err)
			return
		}
	}
}

// Two machines' TCP over two TUNs with our Read and Write between: the kernel
// makes super packets, takes them as we hand them on, and every octet arrives.
func TestTUNCarriesTCPSuperPackets(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		subnets := []string{"10.77.1.1/24", "fd77:1::1/64"}
		enter()
		server := openTUNUp(t, TUNOptions{Name: "there"}, subnets...)
		listener := map[string]net.Listener{}
		for _, a := range []string{"10.77.1.1:0", "[fd77:1::1]:0"} {
			l, err := net.Listen("tcp", a)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			listener[a] = l
		}
		enter()
		client := openTUNUp(t, TUNOptions{Name: "here"}, "10.77.1.2/24", "fd77:1::2/64")
		if o := client.Offloads(); !o.TSO4 || !o.TSO6 {
			lacks(t, "the TUN offers %+v", o)
		}
		var stop atomic.Bool
		var seen [4]atomic.Uint64
		var pumps sync.WaitGroup
		pumps.Go(func() { pump(t, client.Queue(0), server.Queue(0), &stop, &seen) })
		pumps.Go(func() { pump(t, server.Queue(0), client.Queue(0), &stop, &seen) })
		defer func() { stop.Store(true); pumps.Wait() }()
		want := make([]byte, 4<<20)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		for _, l := range listener {
			transfer(t, l, want)
		}
		if seen[inet.GSOTCPv4].Load() == 0 || seen[inet.GSOTCPv6].Load() == 0 {
			t.Errorf("super packets of TCP over IPv4: %d, over IPv6: %d", seen[inet.GSOTCPv4].Load(), seen[inet.GSOTCPv6].Load())
		}
	})
}

// transfer sends octets by TCP to a listener and checks them there.
func transfer(t *testing.T, l net.Listener, want []byte) {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, e := c.Write(want)
		sent <- errors.Join(e, c.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(s)
	if e := <-sent; err != nil || e != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d of %d octets, %v, %v", len(got), len(want), err, e)
	}
}

func TestTUNWriteErrors(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		tun := openTUNUp(t, TUNOptions{})
		var w TUNWriter
		q := tun.Queue(0)
		g, packet := superPacket(netip.MustParseAddrPort("10.77.1.9:1"), netip.MustParseAddrPort("10.77.1.1:2"), unix.IPPROTO_UDP, numbered(10), 10)
		single := inet.GSO{}
		for _, c := range []struct {
			name  string
			g     inet.GSO
			parts [][]byte
			want  error
		}{
			{"a kind that does not exist", inet.GSO{Type: 9}, [][]byte{packet}, ErrSuperPacket},
			{"too many parts", single, make([][]byte, maxParts+1), ErrSuperPacket},
			{"nothing", single, nil, unix.EINVAL},
			{"neither IPv4 nor IPv6", single, [][]byte{{0x15, 0, 0, 0}}, unix.EINVAL},
			{"segments of 0 octets", inet.GSO{Type: inet.GSOUDP}, [][]byte{packet}, unix.EINVAL},
			{"as many parts as may be", single, append([][]byte{packet}, make([][]byte, maxParts-1)...), nil},
			{"one packet", g, [][]byte{packet}, nil},
		} {
			if c.g.Type == inet.GSOUDP && c.want == nil && !tun.Offloads().USO {
				c.want = unix.EINVAL // before Linux 6.2
			}
			if err := w.Write(q, c.g, c.parts); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		command(t, "ip", "link", "set", tun.Name(), "down")
		if err := w.Write(q, single, [][]byte{packet}); !errors.Is(err, unix.EIO) {
			t.Errorf("to an interface that is down: %v, want EIO", err)
		}
	})
}

func TestTUNAllocatesNothing(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		f := tunFamilies[0]
		tun := openTUNUp(t, TUNOptions{}, f.subnetA)
		needUSO(t, tun)
		fd, local := listen(t, f.a)
		q, buf := tun.Queue(0), make([]byte, MaxSuperPacket)
		var w TUNWriter
		g, packet := superPacket(netip.AddrPortFrom(f.peerA, 9), local, unix.IPPROTO_UDP, numbered(4000), 1000)
		parts := [][]byte{packet[:28], packet[28:]}
		var counts SendCounts
		out, to := NewSendBatch(&counts), NewDestination(fd, f.a, netip.AddrPortFrom(f.peerA, 9))
		in := NewRecvBatch(4)
		read, came := 0, 0
		if n := testing.AllocsPerRun(200, func() {
			if err := w.Write(q, g, parts); err != nil {
				t.Error(err)
			}
			for range 2 {
				copy(out.Room(to, 1000), packet)
			}
			out.Flush()
			n, _, err := q.Read(buf)
			if err != nil {
				t.Error(err)
			}
			if n > 0 {
				read++
			}
			k, _ := in.Receive(fd)
			came += k
		}); n != 0 {
			t.Errorf("%v allocations for a super packet written and one read", n)
		}
		if read == 0 || came == 0 {
			t.Errorf("%d read, %d came", read, came)
		}
	})
}
