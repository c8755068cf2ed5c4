package engine

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/sequence"
)

// dataNode is an engine with one live session and no control connection: what
// the data path needs, without a bubble.
type dataNode struct {
	*Engine
	port    *port
	wire    *wire
	session *dataSession
	bridge  *fakeBridge
	slot    *tunnelSlot
}

const (
	ourTunnel, ourSession   = 0x1234, 0x5678
	peerTunnel, peerSession = 0x9abc, 0xdef0
)

func newDataNode(t testing.TB, cfg sequence.Config, kind circuit.Kind) *dataNode {
	t.Helper()
	e, err := newEngine(Options{Limits: lavish, Rand: newChance(1)})
	must(t, err)
	w := &wire{net: newNetwork(), local: lnsAddr}
	d := &dataNode{Engine: e, wire: w, bridge: &fakeBridge{kind: kind, keep: true}}
	d.port = &port{engine: e, via: w, local: lnsAddr, holding: &holding{burst: circuit.NewBurst(&e.sent)}}
	d.slot = &tunnelSlot{owner: e.shards[0]}
	d.slot.path.Store(&Path{via: w, Local: lnsAddr, Peer: lacAddr})
	if !e.table.claim(ourTunnel, d.slot) {
		t.Fatal("the ID is taken")
	}
	cfg.Buffers = e.buffers
	d.session = &dataSession{
		slot: d.slot, peerTunnel: peerTunnel, peerID: peerSession, counters: &e.counters,
		sequence: sequence.New(cfg), bridge: d.bridge, required: cfg.Required, kernel: kind.KernelPlane(),
	}
	d.session.deadline.Owner = d.session
	d.slot.set(ourSession, d.session)
	return d
}

// frame makes a data message with a number, or without if ns is negative.
func frame(tunnelID, sessionID uint32, ns int, text string) []byte {
	h := l2tp.Header{TunnelID: tunnelID, SessionID: sessionID, HasSequence: ns >= 0, Ns: uint16(ns)}
	b := append(make([]byte, l2tp.DataHeaderLen(&h)), text...)
	l2tp.PutDataHeader(b, &h)
	return b
}

func (d *dataNode) in(now time.Time, ns int, text string) {
	d.port.dispatch(now, frame(ourTunnel, ourSession, ns, text), lacAddr, lnsAddr.Addr())
}

func (d *dataNode) got() string {
	s := ""
	for _, f := range d.bridge.delivered {
		s += string(f)
	}
	return s
}

// TestDataDrops: each packet that comes to nothing is counted under its reason.
func TestDataDrops(t *testing.T) {
	now := time.Now()
	stranger := netip.MustParseAddrPort("203.0.113.1:1701")
	for _, test := range []struct {
		name   string
		packet []byte
		from   netip.AddrPort
		want   Counter
	}{
		{"another address", frame(ourTunnel, ourSession, -1, "x"), stranger, DropWrongPeer},
		{"another port of the peer", frame(ourTunnel, ourSession, -1, "x"), netip.AddrPortFrom(lacAddr.Addr(), 9), DropWrongPeer},
		{"unknown session", frame(ourTunnel, ourSession+1, -1, "x"), lacAddr, DropUnknownSession},
		{"session on no page", frame(ourTunnel, 1, -1, "x"), lacAddr, DropUnknownSession},
		{"unknown tunnel", frame(ourTunnel+1, ourSession, -1, "x"), lacAddr, DropUnknownTunnel},
		{"one octet", []byte{0}, lacAddr, DropShort},
		{"no Session ID", []byte{0, 2, 0x12, 0x34, 0x56}, lacAddr, DropShort},
		{"no Ns", []byte{0x08, 2, 0x12, 0x34, 0x56, 0x78, 0}, lacAddr, DropShort},
		{"L2F", []byte{0x00, 1, 0, 0, 0, 0, 0, 0}, lacAddr, DropVersion},
		{"no version", []byte{0x00, 4, 0, 0, 0, 0, 0, 0}, lacAddr, DropVersion},
		{"control message of no tunnel", []byte{0xc8, 2, 0, 12, 0, 9, 0, 0, 0, 0, 0, 0}, lacAddr, DropUnknownTunnel},
	} {
		d := newDataNode(t, sequence.Config{}, circuit.PPPDAsync)
		d.port.dispatch(now, test.packet, test.from, lnsAddr.Addr())
		if got := d.counters[test.want].Load(); got != 1 || d.bridge.count != 0 {
			t.Errorf("%s: %v is %d, %d frames were delivered", test.name, test.want, got, d.bridge.count)
		}
	}
	d := newDataNode(t, sequence.Config{}, circuit.PPPDKernel)
	d.in(now, -1, "x")
	if got := d.counters[DropKernelPlane].Load(); got != 1 || d.bridge.count != 0 {
		t.Errorf("kernel plane: %v is %d", DropKernelPlane, got)
	}
	other := &port{engine: d.Engine, via: &wire{}, local: lnsAddr, holding: d.port.holding}
	other.dispatch(now, frame(ourTunnel, ourSession, -1, "x"), lacAddr, lnsAddr.Addr())
	if got := d.counters[DropWrongPeer].Load(); got != 1 {
		t.Errorf("another socket of ours: %v is %d", DropWrongPeer, got)
	}
}

// TestMergedDatagramsAreTakenApart: the datagrams of one merged message may be of
// several sessions, with and without numbers, and control messages; each goes
// where it would have gone alone.
func TestMergedDatagramsAreTakenApart(t *testing.T) {
	d := newDataNode(t, sequence.Config{}, circuit.PPPDAsync)
	const otherSession = ourSession + 1
	other := &fakeBridge{keep: true}
	second := &dataSession{
		slot: d.slot, peerTunnel: peerTunnel, peerID: peerSession + 1, counters: &d.counters,
		sequence: sequence.New(sequence.Config{Buffers: d.buffers}), bridge: other,
	}
	second.deadline.Owner = second
	d.slot.set(otherSession, second)

	control := []byte{0xc8, 2, 0, 12, 0, 9, 0, 0, 0, 0, 0, 0} // of no tunnel
	datagrams := [][]byte{
		frame(ourTunnel, ourSession, -1, "aaaaaa"), frame(ourTunnel, ourSession, -1, "bbbbbb"),
		frame(ourTunnel, otherSession, -1, "cccccc"), control, frame(ourTunnel, otherSession, 7, "dd"),
		frame(ourTunnel, otherSession, -1, "eeeeee"), frame(ourTunnel, otherSession, -1, "ffffff"),
		frame(ourTunnel, ourSession+2, -1, "gggggg"), frame(ourTunnel, ourSession, -1, "hhhhhh"),
		frame(ourTunnel, ourSession, -1, "i"), // the last may be shorter
	}
	var merged []byte
	for _, p := range datagrams {
		merged = append(merged, p...)
	}
	d.port.dispatchMerged(time.Now(), merged, 12, lacAddr, lnsAddr.Addr())
	// A stranger's message with the same header is not taken for the session's.
	d.port.dispatchMerged(time.Now(), datagrams[0], 12, netip.MustParseAddrPort("203.0.113.1:1701"), lnsAddr.Addr())
	d.port.holding.burst.Flush()
	if got := d.got(); got != "aaaaaabbbbbbhhhhhhi" {
		t.Errorf("the first session got %q", got)
	}
	got := ""
	for _, f := range other.delivered {
		got += string(f)
	}
	if got != "ccccccddeeeeeeffffff" {
		t.Errorf("the second session got %q", got)
	}
	for counter, want := range map[Counter]uint64{DataReceived: 10, ControlReceived: 1, DropUnknownTunnel: 1, DropUnknownSession: 1, DropWrongPeer: 1} {
		if n := d.counters[counter].Load(); n != want {
			t.Errorf("%v is %d, want %d", counter, n, want)
		}
	}
	if a, b := d.session.rx.Frames.Load(), second.rx.Octets.Load(); a != 4 || b != 20 {
		t.Errorf("the first session counts %d frames, the second %d octets", a, b)
	}
}

// send makes a data message of a frame, as a bridge does.
func (d *dataNode) send(frame []byte) { copy(d.session.Room(d.port.holding.burst, len(frame)), frame) }

// TestSentFrames compares with RFC 2661 section 3.1's header, written by hand.
func TestSentFrames(t *testing.T) {
	d := newDataNode(t, sequence.Config{LNS: true}, circuit.PPPDAsync)
	buf := []byte{0xff, 0x03, 0xc0, 0x21}
	d.send(buf)
	d.session.sequence.Sender.SetActive(true)
	d.send(buf)
	d.send(buf)
	for i, want := range []string{
		"0002" + "9abc" + "def0" + "ff03c021",
		"0802" + "9abc" + "def0" + "0000" + "0000" + "ff03c021",
		"0802" + "9abc" + "def0" + "0001" + "0000" + "ff03c021",
	} {
		if got := hex.EncodeToString(d.wire.data[i]); got != want {
			t.Errorf("frame %d is %s, want %s", i, got, want)
		}
	}
	if room := d.session.Room(d.port.holding.burst, pppbridge.MaxFrame+1); room != nil || d.counters[DropTooLong].Load() != 1 {
		t.Errorf("a frame that is too long got %d octets of room, %v is %d", len(room), DropTooLong, d.counters[DropTooLong].Load())
	}
	d.port.holding.burst.Flush()
	if p, b := d.session.tx.Frames.Load(), d.session.tx.Octets.Load(); p != 3 || b != 12 {
		t.Errorf("counted %d frames, %d octets", p, b)
	}
}

func TestReorderReleasedByTheReadersTick(t *testing.T) {
	d := newDataNode(t, sequence.Config{LNS: true, Send: true, ReorderTimeout: 100 * time.Millisecond}, circuit.PPPDAsync)
	now := time.Now()
	d.in(now, 0, "a")
	d.in(now, 2, "c")
	d.in(now, 3, "d")
	if got := d.got(); got != "a" {
		t.Fatalf("delivered %q", got)
	}
	if at := d.port.holding.Deadline(); !at.Equal(now.Add(100 * time.Millisecond)) {
		t.Fatalf("the reader's deadline is %v after the frame", at.Sub(now))
	}
	d.port.holding.Tick(now.Add(99 * time.Millisecond))
	if got := d.got(); got != "a" {
		t.Fatalf("delivered %q too early", got)
	}
	d.port.holding.Tick(now.Add(100 * time.Millisecond))
	if got := d.got(); got != "acd" || !d.port.holding.Deadline().IsZero() {
		t.Fatalf("delivered %q, next deadline %v", got, d.port.holding.Deadline())
	}
	d.in(now, 1, "b") // late
	d.in(now, 5, "f")
	d.in(now, 4, "e") // fills the gap: the deadline goes
	if got := d.got(); got != "acdef" || !d.port.holding.Deadline().IsZero() {
		t.Errorf("delivered %q, next deadline %v", got, d.port.holding.Deadline())
	}
	if c := d.session.sequence.Receiver.Counters(); c.Late != 1 {
		t.Errorf("%+v", c)
	}
}

// TestHeldFrameSurvivesTheReadersBuffer: the batch's memory is used again while
// a frame waits.
func TestHeldFrameSurvivesTheReadersBuffer(t *testing.T) {
	d := newDataNode(t, sequence.Config{LNS: true, Send: true, ReorderTimeout: time.Second}, circuit.PPPDAsync)
	now := time.Now()
	buf := make([]byte, 0, 64)
	for _, f := range []struct {
		ns   int
		text string
	}{{2, "two "}, {1, "one "}, {3, "three "}, {0, "zero "}} {
		buf = append(buf[:0], frame(ourTunnel, ourSession, f.ns, f.text)...)
		d.port.dispatch(now, buf, lacAddr, lnsAddr.Addr())
		for i := range buf {
			buf[i] = '!'
		}
	}
	if got := d.got(); got != "zero one two three " {
		t.Errorf("delivered %q", got)
	}
}

// RFC 2661 section 5.4: "If this AVP is present during session setup, sequence numbers
// MUST be present at all times."
func TestRequiredSequencing(t *testing.T) {
	d := newDataNode(t, sequence.Config{Required: true}, circuit.PPPDAsync)
	now := time.Now()
	d.in(now, -1, "unnumbered")
	d.in(now, 0, "numbered")
	if got := d.got(); got != "numbered" {
		t.Errorf("delivered %q", got)
	}
	if c := d.session.sequence.Receiver.Counters(); c.MissingNs != 1 {
		t.Errorf("%+v", c)
	}
	d.send(make([]byte, 4))
	if h, _, _ := l2tp.ParseHeader(d.wire.data[0]); !h.HasSequence {
		t.Error("we send without a number")
	}
}

// silent is a transport that keeps nothing.
type silent struct {
	wire
	buf [2048]byte
}

func (s *silent) room(_ *circuit.Burst, _ *Path, n int) []byte { return s.buf[:n] }

// quietNode is a dataNode whose ends keep nothing, for counting allocations.
func quietNode(t testing.TB, sequenced bool) *dataNode {
	d := newDataNode(t, sequence.Config{LNS: true, Send: sequenced, ReorderTimeout: time.Millisecond}, circuit.PPPDAsync)
	d.bridge.keep = false
	s := &silent{}
	d.port.via = s
	d.slot.path.Store(&Path{via: s, Local: lnsAddr, Peer: lacAddr})
	return d
}

// TestDataPathAllocatesNothing goes from the socket's dispatch through the table
// and the sequence to the bridge, and back out.
func TestDataPathAllocatesNothing(t *testing.T) {
	for _, sequenced := range []bool{false, true} {
		d := quietNode(t, sequenced)
		now, ns := time.Now(), 0
		buf := make([]byte, 1000)
		packets := [][]byte{frame(ourTunnel, ourSession, -1, "frame")}
		if sequenced {
			packets = packets[:0]
			for i := range 4096 {
				packets = append(packets, frame(ourTunnel, ourSession, i, "frame"))
			}
			// Pairs out of order, so that the reorder queue is used.
			for i := 0; i < len(packets); i += 4 {
				packets[i+1], packets[i+2] = packets[i+2], packets[i+1]
			}
			d.in(now, 1, "grow") // the first buffer is made when it is needed
			d.in(now, 0, "grow")
			packets = packets[4:]
			d.in(now, 2, "")
			d.in(now, 3, "")
		}
		allocs := testing.AllocsPerRun(2000, func() {
			now = now.Add(time.Microsecond)
			d.port.dispatch(now, packets[ns%len(packets)], lacAddr, lnsAddr.Addr())
			ns++
			d.send(buf)
		})
		if allocs != 0 && !raceDetector {
			t.Errorf("sequenced %v: %v allocations for a frame in and a frame out", sequenced, allocs)
		}
		d.port.holding.burst.Flush()
		if d.bridge.count < 1999 || d.session.tx.Frames.Load() < 2000 {
			t.Errorf("sequenced %v: %d frames in, %d out", sequenced, d.bridge.count, d.session.tx.Frames.Load())
		}
	}
}

func TestTable(t *testing.T) {
	tb := new(table)
	slot := &tunnelSlot{}
	if tb.claim(0, slot) {
		t.Error("ID 0 was given out")
	}
	if !tb.claim(7, slot) || tb.claim(7, &tunnelSlot{}) || tb.tunnel(7) != slot {
		t.Error("claim")
	}
	tb.release(7)
	if tb.tunnel(7) != nil {
		t.Error("release")
	}
	d := &dataSession{}
	slot.set(0xfffe, nil) // no page for it, and none is made
	if slot.pages[0xff].Load() != nil {
		t.Error("a page was made for nothing")
	}
	slot.set(0xffff, d)
	if slot.session(0xffff) != d || slot.session(0xfffe) != nil || slot.session(1) != nil {
		t.Error("session")
	}
	slot.set(0xffff, nil)
	if slot.session(0xffff) != nil {
		t.Error("the session is still there")
	}
}

func BenchmarkDataIn(b *testing.B) {
	for _, sequenced := range []bool{false, true} {
		b.Run(fmt.Sprintf("sequenced=%v", sequenced), func(b *testing.B) {
			d := quietNode(b, sequenced)
			ns := -1
			if sequenced {
				ns = 0
			}
			packet := frame(ourTunnel, ourSession, ns, string(make([]byte, 1400)))
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				d.port.dispatch(now, packet, lacAddr, lnsAddr.Addr())
				if sequenced { // the next Ns
					ns++
					packet[6], packet[7] = byte(ns>>8), byte(ns)
				}
			}
		})
	}
}

// BenchmarkDataInMerged is per datagram of a merged message of 40.
func BenchmarkDataInMerged(b *testing.B) {
	const count = 40
	d := quietNode(b, false)
	packet := frame(ourTunnel, ourSession, -1, string(make([]byte, 1400)))
	var merged []byte
	for range count {
		merged = append(merged, packet...)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.port.dispatchMerged(now, merged, len(packet), lacAddr, lnsAddr.Addr())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/datagram")
}

func BenchmarkDataOut(b *testing.B) {
	for _, sequenced := range []bool{false, true} {
		b.Run(fmt.Sprintf("sequenced=%v", sequenced), func(b *testing.B) {
			d := quietNode(b, sequenced)
			buf := make([]byte, 1400)
			b.ReportAllocs()
			for b.Loop() {
				d.send(buf)
			}
		})
	}
}
