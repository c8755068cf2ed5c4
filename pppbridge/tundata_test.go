package pppbridge

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
	"adit/proto/ppp"
)

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
