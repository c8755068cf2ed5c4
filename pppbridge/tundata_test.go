package pppbridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/ip"
	"adit/proto/ppp"
)

// keeper is a session that keeps what is sent to the peer.
type keeper struct {
	room   [MaxFrame]byte
	frames [][]byte
	keep   bool
	count  int
	own    []byte // a packet that is a message of the session; nil: none
}

// Recognise is circuit.Recogniser's.
func (k *keeper) Recognise(packet []byte) bool { return k.own != nil && bytes.Equal(packet, k.own) }

// Room is Frames'.
func (k *keeper) Room(_ *circuit.Burst, n int) []byte {
	k.count++
	if !k.keep {
		return k.room[:n]
	}
	k.frames = append(k.frames, make([]byte, n))
	return k.frames[len(k.frames)-1]
}

// dataPath is one LNS session that is up, on a TUN in a namespace, without PPP.
type dataPath struct {
	ns       *namespace
	f        *Factory
	link     *tunLink
	out      *keeper
	loop     *testLoop
	failed   chan error
	closed   chan bool
	asked    chan []byte
	attached [2]Attachment
	burst    *circuit.Burst
	reader   *tunReader
	queue    *queueHandler
}

func newDataPath(t testing.TB, s Spec) *dataPath {
	t.Helper()
	d := &dataPath{ns: newNamespace(t), out: &keeper{}, loop: newTestLoop(), failed: make(chan error, 1), closed: make(chan bool, 1), asked: make(chan []byte, 1000)}
	p, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	d.f = NewFactory(Config{Poller: p})
	ended := make(chan error, 1)
	s.LNS, s.Owner, s.Log, s.LocalTunnel, s.LocalSession = true, d.loop, discardLog(), 4, 5
	d.ns.do(func() {
		err = d.f.OpenTUN(TUNConfig{Name: "dp0", MTU: 1500, Aggregates: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("2001:db8:2::/48")}})
	})
	if err != nil {
		need.Lack(t, "%s", err.Error())
	}
	l, err := d.f.tun.Open(&s, d.out, testEvents{
		up: func(f ppp.Family, a Attachment) { d.attached[f] = a }, packet: func(b []byte) { d.asked <- b },
		failed: func(err error) { d.failed <- err }, closed: func() { d.closed <- true },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.link = l.(*tunLink)
	d.link.LCPUp(ppp.Link{PeerMRU: 1400, LocalMRU: 1400})
	d.link.Up(ppp.IPv4, ppp.Network{LocalIPv4: netip.MustParseAddr("10.9.0.1"), PeerIPv4: netip.MustParseAddr("10.9.0.2")})
	d.link.Up(ppp.IPv6, ppp.Network{LocalID: 1, PeerID: 2, Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8:2::/48")}})
	d.burst = circuit.NewBurst(new(kernel.SendCounts))
	d.reader = newTUNReader(d.f.tun, d.burst)
	d.reader.buf, d.reader.segment, d.reader.icmp = make([]byte, kernel.MaxSuperPacket), make([]byte, kernel.MaxSuperPacket), make([]byte, 0, 1536)
	// The test itself is what reads the TUN; the poller runs for the end only.
	d.f.tun.first.unwatch()
	d.queue = &queueHandler{reader: d.reader, device: d.f.tun.shared.Load(), queue: d.f.tun.shared.Load().TUN.Queue(0)}
	go func() { ended <- p.Run() }()
	waitFor2(t, "our address", func() bool { return d.ns.sourceTo("10.9.0.2") == "10.9.0.1" })
	t.Cleanup(func() {
		d.link.Close()
		<-d.closed
		d.f.Close()
		p.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.Close()
	})
	return d
}

// waitFor2 is waitFor for benchmarks too.
func waitFor2(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// datagram4 is a packet of UDP over IPv4 with right checksums.
func datagram4(src, dst string, sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 28+len(payload))
	be := binary.BigEndian
	b[0], b[6], b[8], b[9] = 0x45, 0x40, 64, 17
	be.PutUint16(b[2:], uint16(len(b)))
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	be.PutUint16(b[10:], ip.Checksum(b[:20], 0))
	be.PutUint16(b[20:], sport)
	be.PutUint16(b[22:], dport)
	be.PutUint16(b[24:], uint16(8+len(payload)))
	copy(b[28:], payload)
	sum := ip.Sum(b[12:20], 0) + 17 + uint64(8+len(payload))
	be.PutUint16(b[26:], ip.Checksum(b[20:], sum))
	return b
}

// packet6 is a packet of IPv6 of the protocol.
func packet6(src, dst string, protocol uint8, payload []byte) []byte {
	b := make([]byte, 40+len(payload))
	b[0], b[6], b[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	copy(b[40:], payload)
	return b
}

func echo6(src, dst string) []byte {
	b := packet6(src, dst, 58, []byte{128, 0, 0, 0, 0, 9, 0, 1, 'h', 'i'})
	sum := ip.Sum(b[8:40], 0) + 58 + 10
	binary.BigEndian.PutUint16(b[42:], ip.Checksum(b[40:], sum))
	return b
}

func frameOf(protocol ppp.Protocol, packet []byte) []byte {
	return append(ppp.AppendHeader(nil, protocol), packet...)
}

// Whatever order packets came in for a session, they leave in that order: the
// flows are interleaved by chance, and a raw socket sees them after the merging.
func TestUpKeepsOrder(t *testing.T) {
	d := newDataPath(t, Spec{})
	var raw *net.IPConn
	var err error
	d.ns.do(func() { raw, err = net.ListenIP("ip4:udp", &net.IPAddr{IP: net.ParseIP("10.9.0.1")}) })
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetReadBuffer(8 << 20)
	const size = 100
	rng := rand.New(rand.NewPCG(1, 2))
	sent, merged, got := uint32(0), false, uint32(0)
	for range 60 {
		for range 1 + rng.IntN(90) {
			flow := uint16(rng.IntN(5))
			for range 1 + rng.IntN(4) {
				payload := make([]byte, size)
				binary.BigEndian.PutUint32(payload, sent)
				sent++
				d.link.Deliver(d.burst, time.Now(), frameOf(ppp.ProtocolIPv4, datagram4("10.9.0.2", "10.9.0.1", 1000+flow, 9, payload)))
			}
		}
		d.burst.Flush()
		buf := make([]byte, 65536)
		_ = raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		for got < sent {
			n, _, err := raw.ReadFrom(buf)
			if err != nil {
				t.Fatalf("after %d of %d: %v", got, sent, err)
			}
			merged = merged || n > 8+size
			for at := 8; at < n; at += size {
				if k := binary.BigEndian.Uint32(buf[at:]); k != got {
					t.Fatalf("packet %d came where %d was due", k, got)
				}
				got++
			}
		}
	}
	if uso := d.link.device.Load().TUN.Offloads().USO; merged != uso {
		t.Errorf("merged is %v, and that the kernel takes merged datagrams (Linux 6.2) %v", merged, uso)
	}
	if st := d.link.Stats(); st.FramesIn != uint64(sent) {
		t.Errorf("%d packets sent, %+v", sent, st)
	}
}

// The other way: packets of many sockets, and super packets, leave in the order
// in which they were sent.
func TestDownKeepsOrder(t *testing.T) {
	d := newDataPath(t, Spec{})
	d.out.keep = true
	var conns []*net.UDPConn
	d.ns.do(func() {
		for range 5 {
			c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP("10.9.0.2"), Port: 9})
			if err != nil {
				t.Error(err)
				return
			}
			raw, _ := c.SyscallConn()
			_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 100) })
			conns = append(conns, c)
		}
	})
	rng := rand.New(rand.NewPCG(3, 4))
	sent := uint32(0)
	for range 40 {
		payload := make([]byte, 100*(1+rng.IntN(8)))
		for at := 0; at < len(payload); at += 100 {
			binary.BigEndian.PutUint32(payload[at:], sent)
			sent++
		}
		if _, err := conns[rng.IntN(len(conns))].Write(payload); err != nil {
			t.Fatal(err)
		}
		d.queue.Ready(time.Now(), kernel.Readable)
	}
	if len(d.out.frames) != int(sent) {
		t.Fatalf("%d frames of %d", len(d.out.frames), sent)
	}
	for i, f := range d.out.frames {
		protocol, packet, err := ppp.Split(f)
		if err != nil || protocol != ppp.ProtocolIPv4 || len(packet) != 128 || binary.BigEndian.Uint32(packet[28:]) != uint32(i) {
			t.Fatalf("frame %d: %x", i, f)
		}
		sum := ip.Sum(packet[12:20], 0) + 17 + uint64(len(packet)-20)
		if ip.Fold(ip.Sum(packet[:20], 0)) != 0xffff || ip.Fold(ip.Sum(packet[20:], sum)) != 0xffff {
			t.Fatalf("frame %d has a bad checksum: %x", i, f)
		}
	}
	if st := d.link.Stats(); st.FramesOut != uint64(sent) || st.BytesOut != uint64(sent)*132 {
		t.Errorf("%+v", st)
	}
}

// What must not go into the TUN is dropped, and counted as what it is.
func TestUpDrops(t *testing.T) {
	d := newDataPath(t, Spec{})
	good := datagram4("10.9.0.2", "10.9.0.1", 1, 9, make([]byte, 64))
	wrongLength := append([]byte(nil), good...)
	binary.BigEndian.PutUint16(wrongLength[2:], 500)
	global := packet6("2001:db8:2::5", "2001:db8::1", 17, make([]byte, 20))
	for _, c := range []struct {
		name  string
		frame []byte
		want  circuit.Stats
	}{
		{"good", frameOf(ppp.ProtocolIPv4, good), circuit.Stats{FramesIn: 1, BytesIn: 96}},
		{"without address and control", frameOf(ppp.ProtocolIPv4, good)[2:], circuit.Stats{FramesIn: 1, BytesIn: 96}},
		{"with a compressed protocol", append([]byte{0x21}, good...), circuit.Stats{FramesIn: 1, BytesIn: 96}},
		{"padded", append(frameOf(ppp.ProtocolIPv4, good), 1, 2, 3), circuit.Stats{FramesIn: 1, BytesIn: 96}},
		{"empty", nil, circuit.Stats{DropMalformed: 1}},
		{"only a header", frameOf(ppp.ProtocolIPv4, nil), circuit.Stats{DropMalformed: 1}},
		{"truncated", frameOf(ppp.ProtocolIPv4, good[:30]), circuit.Stats{DropMalformed: 1}},
		{"longer than it is", frameOf(ppp.ProtocolIPv4, wrongLength), circuit.Stats{DropMalformed: 1}},
		{"IPv6 as IPv4", frameOf(ppp.ProtocolIPv4, global), circuit.Stats{DropMalformed: 1}},
		{"IPv4 as IPv6", frameOf(ppp.ProtocolIPv6, good), circuit.Stats{DropMalformed: 1}},
		{"another's source", frameOf(ppp.ProtocolIPv4, datagram4("10.9.0.3", "10.9.0.1", 1, 9, nil)), circuit.Stats{DropSource: 1}},
		{"no source", frameOf(ppp.ProtocolIPv4, datagram4("0.0.0.0", "10.9.0.1", 1, 9, nil)), circuit.Stats{DropSource: 1}},
		{"delegated prefix", frameOf(ppp.ProtocolIPv6, global), circuit.Stats{FramesIn: 1, BytesIn: 64}},
		{"another prefix", frameOf(ppp.ProtocolIPv6, packet6("2001:db8:3::5", "2001:db8::1", 17, nil)), circuit.Stats{DropSource: 1}},
		{"false link-local source", frameOf(ppp.ProtocolIPv6, packet6("fe80::3", "2001:db8::1", 17, nil)), circuit.Stats{DropSource: 1}},
		{"link-local source to the world", frameOf(ppp.ProtocolIPv6, packet6("fe80::2", "2001:db8::1", 17, nil)), circuit.Stats{DropNotUp: 1}},
		{"multicast on the link", frameOf(ppp.ProtocolIPv6, packet6("fe80::2", "ff02::2", 58, make([]byte, 8))), circuit.Stats{DropNotUp: 1}},
		{"ping of our link-local address", frameOf(ppp.ProtocolIPv6, echo6("fe80::2", "fe80::1")), circuit.Stats{FramesIn: 1, BytesIn: 54, FramesOut: 1, BytesOut: 54}},
		{"ping of another's link-local address", frameOf(ppp.ProtocolIPv6, echo6("fe80::2", "fe80::7")), circuit.Stats{DropNotUp: 1}},
	} {
		before := d.link.Stats()
		d.link.Deliver(d.burst, time.Now(), c.frame)
		d.burst.Flush()
		if got := difference(d.link.Stats(), before); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	// What is no packet of IP is the endpoint's to answer.
	for _, p := range []ppp.Protocol{ppp.ProtocolLCP, ppp.ProtocolCCP, ppp.ProtocolIPX, ppp.ProtocolCompressed} {
		before := len(d.loop.jobs)
		d.link.Deliver(d.burst, time.Now(), frameOf(p, []byte{1, 2, 0, 4}))
		if len(d.loop.jobs) != before+1 {
			t.Errorf("%v did not come to the owner", p)
		}
	}
	d.link.Down(ppp.IPv4)
	before := d.link.Stats()
	d.link.Deliver(d.burst, time.Now(), frameOf(ppp.ProtocolIPv4, good))
	if got := difference(d.link.Stats(), before); got != (circuit.Stats{DropNotUp: 1}) {
		t.Errorf("IPv4 is down: %+v", got)
	}
}

func difference(a, b circuit.Stats) circuit.Stats {
	return circuit.Stats{
		FramesIn: a.FramesIn - b.FramesIn, BytesIn: a.BytesIn - b.BytesIn, FramesOut: a.FramesOut - b.FramesOut, BytesOut: a.BytesOut - b.BytesOut,
		DropSource: a.DropSource - b.DropSource, DropNotUp: a.DropNotUp - b.DropNotUp, DropMalformed: a.DropMalformed - b.DropMalformed,
		DropTooBig: a.DropTooBig - b.DropTooBig, DropQueueFull: a.DropQueueFull - b.DropQueueFull, DropClosed: a.DropClosed - b.DropClosed,
	}
}

// A packet longer than the peer takes: its sender is told, or, where that is
// allowed, it goes in fragments. Nobody's address: the sender is told too.
func TestDownTooBigAndUnreachable(t *testing.T) {
	d := newDataPath(t, Spec{})
	d.out.keep = true
	var c, df, nobody *net.UDPConn
	dial := func(to string) *net.UDPConn {
		c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(to), Port: 9})
		if err != nil {
			t.Error(err)
		}
		return c
	}
	d.ns.do(func() { c, df, nobody = dial("10.9.0.2"), dial("10.9.0.2"), dial("10.9.0.77") })
	discover := func(c *net.UDPConn, how int) {
		raw, _ := c.SyscallConn()
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, how) })
	}
	discover(c, unix.IP_PMTUDISC_DONT)
	discover(df, unix.IP_PMTUDISC_DO)
	raw, _ := nobody.SyscallConn()
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) })
	if _, err := c.Write(make([]byte, 1450)); err != nil {
		t.Fatal(err)
	}
	d.queue.Ready(time.Now(), kernel.Readable)
	total := 0
	for i, f := range d.out.frames {
		h, err := ip.Parse(f[pppHeader:])
		if err != nil || !h.Fragment || len(f) > 1400+pppHeader || ip.Fold(ip.Sum(f[4:24], 0)) != 0xffff {
			t.Errorf("fragment %d: %+v %v", i, h, err)
		}
		total += h.Length - h.HeaderLen
	}
	if len(d.out.frames) != 2 || total != 1458 {
		t.Errorf("%d fragments, %d octets", len(d.out.frames), total)
	}
	if _, err := df.Write(make([]byte, 1450)); err != nil {
		t.Fatal(err)
	}
	d.queue.Ready(time.Now(), kernel.Readable)
	if st := d.link.Stats(); st.DropTooBig != 1 || len(d.out.frames) != 2 {
		t.Errorf("%+v", st)
	}
	// The kernel has learned it from our ICMP error.
	waitFor(t, 5*time.Second, "EMSGSIZE", func() bool {
		_, err := df.Write(make([]byte, 1450))
		return err != nil
	})
	if _, err := nobody.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	d.queue.Ready(time.Now(), kernel.Readable)
	waitFor(t, 5*time.Second, "host unreachable", func() bool {
		var code int
		_ = raw.Control(func(fd uintptr) { code, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR) })
		return code == int(unix.EHOSTUNREACH)
	})
	if n := d.f.PlaneCounts(); n.NoSession.Load() != 1 || n.ICMP.Load() != 2 {
		t.Errorf("no session %d, ICMP %d", n.NoSession.Load(), n.ICMP.Load())
	}
}

// Neither way allocates for a packet.
func TestTUNDataPathAllocatesNothing(t *testing.T) {
	d := newDataPath(t, Spec{ClampMSS: true})
	frames, super, g := benchPackets()
	now := time.Now()
	if n := testing.AllocsPerRun(200, func() { d.up(now, frames) }); n != 0 {
		t.Errorf("up: %v allocations", n)
	}
	if n := testing.AllocsPerRun(200, func() { d.down(now, super, g) }); n != 0 {
		t.Errorf("down: %v allocations", n)
	}
	tooBig := datagram4("10.9.0.1", "10.9.0.2", 1, 9, make([]byte, 1450))
	nobody := datagram4("10.9.0.1", "10.9.0.77", 1, 9, nil)
	ping := frameOf(ppp.ProtocolIPv6, echo6("fe80::2", "fe80::1"))
	if n := testing.AllocsPerRun(200, func() {
		now = now.Add(time.Second)
		d.reader.packet(now, d.queue, ip.GSO{}, tooBig)
		d.reader.packet(now, d.queue, ip.GSO{}, nobody)
		d.link.Deliver(d.burst, now, ping)
		d.burst.Flush()
	}); n != 0 {
		t.Errorf("answers: %v allocations", n)
	}
	st := d.link.Stats()
	if st.FramesIn < 200*64 || st.FramesOut < 200*40 || st.DropTooBig < 200 {
		t.Errorf("%+v", st)
	}
}

// benchPackets are 64 frames of one flow from the peer, and a super packet of 40
// segments to it.
func benchPackets() (frames [][]byte, super []byte, g ip.GSO) {
	for range 64 {
		frames = append(frames, frameOf(ppp.ProtocolIPv4, datagram4("10.9.0.2", "10.9.0.1", 1000, 9, make([]byte, 1372))))
	}
	super = datagram4("10.9.0.1", "10.9.0.2", 9, 1000, make([]byte, 40*1372))
	return frames, super, ip.GSO{Type: ip.GSOUDP, SegmentSize: 1372, HeaderLen: 28, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}
}

func (d *dataPath) up(now time.Time, frames [][]byte) {
	for _, f := range frames {
		d.link.Deliver(d.burst, now, f)
	}
	d.burst.Flush()
}

func (d *dataPath) down(now time.Time, super []byte, g ip.GSO) {
	d.reader.packet(now, d.queue, g, super)
	d.burst.Flush()
}

// BenchmarkUp1400 is from Deliver to a socket of the kernel's that nobody reads.
func BenchmarkUp1400(b *testing.B) {
	d := newDataPath(b, Spec{ClampMSS: true})
	var sink *net.UDPConn
	d.ns.do(func() { sink, _ = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("10.9.0.1"), Port: 9}) })
	defer sink.Close()
	raw, _ := sink.SyscallConn() // or the kernel cuts the super packets for it
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) })
	frames, _, _ := benchPackets()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.up(now, frames)
	}
	b.ReportMetric(float64(b.N*len(frames))/b.Elapsed().Seconds()/1e6, "Mpps")
	if st := d.link.Stats(); st.FramesIn != uint64(b.N*len(frames)) {
		b.Errorf("%+v", st)
	}
}

// BenchmarkDown1400 is from a super packet to messages to the peer, sent to a
// socket on the loopback that nobody reads.
func BenchmarkDown1400(b *testing.B) {
	d := newDataPath(b, Spec{ClampMSS: true})
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer peer.Close()
	fd, err := kernel.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	raw, _ := peer.SyscallConn() // or the kernel cuts the merged messages for it
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) })
	to := peer.LocalAddr().(*net.UDPAddr).AddrPort()
	d.link.frames = wireFrames{&wire{dest: kernel.NewDestination(fd, netip.Addr{}, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))}, 5}
	_, super, g := benchPackets()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.down(now, super, g)
	}
	b.ReportMetric(float64(b.N*40)/b.Elapsed().Seconds()/1e6, "Mpps")
	if st := d.link.Stats(); st.FramesOut != uint64(b.N*40) {
		b.Errorf("%+v", st)
	}
}

// Nothing that a peer or the kernel may send makes either way fail.
func FuzzTUNDataPath(f *testing.F) {
	d := newDataPath(f, Spec{ClampMSS: true})
	for _, packet := range [][]byte{
		datagram4("10.9.0.2", "10.9.0.1", 1, 9, make([]byte, 30)), datagram4("10.9.0.1", "10.9.0.2", 1, 9, make([]byte, 1450)),
		echo6("fe80::2", "fe80::1"), packet6("2001:db8:2::5", "2001:db8::1", 6, make([]byte, 40)), packet6("2001:db8::1", "2001:db8:2::5", 44, make([]byte, 40)),
	} {
		f.Add(uint8(0), uint16(100), frameOf(ppp.ProtocolIPv4, packet))
		f.Add(uint8(3), uint16(8), frameOf(ppp.ProtocolIPv6, packet))
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, kind uint8, segment uint16, frame []byte) {
		for len(d.loop.jobs) > 0 {
			<-d.loop.jobs
		}
		d.link.Deliver(d.burst, now, frame)
		d.burst.Flush()
		if len(frame) > pppHeader {
			g := ip.GSO{Type: ip.GSOType(kind % 5), SegmentSize: segment, NeedsChecksum: kind&8 != 0, ChecksumStart: segment & 63, ChecksumOffset: 6}
			now = now.Add(time.Second)
			d.reader.packet(now, d.queue, g, append([]byte(nil), frame[pppHeader:]...))
			d.burst.Flush()
		}
	})
}

// A built-in session on the shared TUN has to be small: these, the endpoint, and
// two closures are all that it has here.
func TestTUNSessionIsSmall(t *testing.T) {
	sizes := map[string]uintptr{
		"builtin": unsafe.Sizeof(builtin{}), "subject": unsafe.Sizeof(subject{}), "known": unsafe.Sizeof(known{}),
		"tunLink": unsafe.Sizeof(tunLink{}), "linkNetwork": unsafe.Sizeof(linkNetwork{}),
	}
	total := uintptr(0)
	for name, n := range sizes {
		t.Logf("%s: %d octets", name, n)
		total += n
	}
	t.Logf("in all %d octets; ppp.Endpoint %d, Spec %d, Burst's packets %d", total,
		unsafe.Sizeof(ppp.Endpoint{}), unsafe.Sizeof(Spec{}), unsafe.Sizeof(circuit.Packets{}))
	if total >= 600 {
		t.Errorf("%d octets", total)
	}
}

// An interface for each session, with its addresses and routes, and nothing of
// it left at the end. It is made by a worker, so the whole process has to be in
// the namespace.
func TestTUNOwnInterface(t *testing.T) {
	self := wholeNamespace(t)
	if self == nil {
		return
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	r := &rig{lnsNS: self, clientNS: newNamespace(t), lns: newTestFactory(t, Config{}), client: newTestFactory(t, Config{})}
	r.lnsW, r.clientW = newWires(t)
	r.openTUN(t, r.clientNS, r.client, TUNConfig{Name: "cli0", MTU: 1400})
	var ends [2][2]*session
	var accesses [2]tellingAccess
	for i := range ends {
		accesses[i].password = "secret"
		id := uint32(i + 1)
		grant := grantOf(byte(10 + i))
		ends[i][0] = openEnd(t, r.lns, r.lnsW, id, Spec{
			LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: &accesses[i], Interface: "sub%d", MTU: 1380,
		})
		ends[i][1] = openEnd(t, r.client, r.clientW, id, Spec{Endpoint: clientConfig(fmt.Sprint("user", i), "secret")})
	}
	for i, e := range ends {
		waitFor(t, 10*time.Second, "PPP", func() bool { return e[0].Info().PeerIP.IsValid() && e[0].Info().PeerIPv6.IsValid() }, e[0].log, e[1].log)
		waitFor(t, 10*time.Second, "the interface", func() bool { return e[0].Info().Interface != "" && e[1].Info().LocalIP.IsValid() }, e[0].log)
		waitFor(t, 5*time.Second, "the addresses", func() bool {
			return self.hasAddress("10.9.0.1") && r.clientNS.hasAddress(fmt.Sprintf("10.9.0.%d", 10+i))
		})
		ping(t, self, fmt.Sprintf("10.9.0.%d", 10+i), e[0], e[1])
		// The client's link-local address is answered by its endpoint.
		ping(t, self, e[0].Info().PeerIPv6.String()+"%"+e[0].Info().Interface, e[0], e[1])
		waitFor(t, 5*time.Second, "Access to be told", func() bool { return len(accesses[i].told()) == 2 }, e[0].log)
		if at := accesses[i].attached; at[0].Interface != e[0].Info().Interface || at[1].Interface != at[0].Interface || at[0].Send != nil || at[1].Send != nil {
			t.Errorf("attached by %+v", at)
		}
		iface, err := net.InterfaceByName(e[0].Info().Interface)
		if err != nil || iface.MTU != 1380 {
			t.Errorf("%+v %v", iface, err)
		}
	}
	a, b := ends[0][0].Info().Interface, ends[1][0].Info().Interface
	if a == b || a[:3] != "sub" {
		t.Errorf("interfaces %q and %q", a, b)
	}
	for _, e := range ends {
		e[0].end(t)
		e[1].wait(t)
	}
	for _, name := range []string{a, b} {
		if _, err := links.Index(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

// A message to the peer that a route leads into its own session is dropped and counted;
// what is like it and is none goes on.
func TestOwnMessagesIntoTheTUN(t *testing.T) {
	d := newDataPath(t, Spec{})
	own := datagram4("192.0.2.1", "10.9.0.2", 1701, 1701, []byte("a message"))
	d.out.own = bytes.Clone(own)
	other := datagram4("192.0.2.1", "10.9.0.2", 1701, 1701, []byte("another one"))
	for _, packet := range [][]byte{own, other, own} {
		d.reader.packet(time.Now(), d.queue, ip.GSO{}, packet)
	}
	if st := d.link.Stats(); st.DropLoop != 2 || st.FramesOut != 1 || d.out.count != 1 {
		t.Errorf("%+v, %d messages", st, d.out.count)
	}
}
