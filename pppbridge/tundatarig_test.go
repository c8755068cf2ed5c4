package pppbridge

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

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
