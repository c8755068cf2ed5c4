package engine

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

const ourSession3, peerSession3 = 0x89abcdef, 0x01234567

// wish3 is what a data3Node's session is like.
type wish3 struct {
	overIP      bool
	kind        l2tp.PseudowireType
	local, peer tunnel.Wire
	timeout     time.Duration
}

// newDataNode3 is a dataNode whose session is of version 3.
func newDataNode3(t testing.TB, w wish3) *dataNode {
	d := newDataNode(t, sequence.Config{}, circuit.EthernetTAP)
	if w.overIP {
		d.slot.path.Store(&Path{via: d.wire, Local: portless(lnsAddr), Peer: portless(lacAddr)})
	}
	s := &dataSession{
		slot: d.slot, peerID: peerSession3, counters: &d.counters, bridge: d.bridge,
		wire3: newWire3(w.kind, w.overIP, peerSession3, &w.local, &w.peer),
		sequence: sequence.New(sequence.Config{
			Bits: sequence.Bits24, Required: w.local.Sequencing == l2tp.SequencingAll, Send: numbered(&w.peer),
			ReorderTimeout: w.timeout, Buffers: d.buffers,
		}),
	}
	s.deadline.Owner = s
	if !d.table.sessions.claim(ourSession3, d.slot) {
		t.Fatal("the ID is taken")
	}
	d.table.sessions.set(ourSession3, d.slot, s)
	d.session = s
	return d
}

func portless(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }

// in3 gives the port a data message of octets in hexadecimal and a frame.
func (d *dataNode) in3(now time.Time, from netip.AddrPort, header, frame string) {
	packet, err := hex.DecodeString(strings.ReplaceAll(header, " ", ""))
	if err != nil {
		panic(err)
	}
	packet = append(packet, frame...)
	if d.session.wire3.overIP {
		d.port.dispatchIP(now, packet, from.Addr(), lnsAddr.Addr())
		return
	}
	d.port.dispatch(now, packet, from, lnsAddr.Addr())
}

var cookie8 = []byte{1, 2, 3, 4, 5, 6, 7, 8}

// RFC 3931 section 4.5: "Any received data packets that contain invalid Session IDs or
// associated Cookie values MUST be dropped." Each is counted under its reason, and only
// what the peer can have sent puts off the next HELLO.
func TestData3Drops(t *testing.T) {
	now := time.Now()
	stranger := netip.MustParseAddrPort("203.0.113.1:1701")
	const udp, id, good = "00030000", "89abcdef", "0102030405060708"
	for _, test := range []struct {
		name, udp, header string
		from              netip.AddrPort
		want              Counter
	}{
		{"another address", udp, id + good, stranger, DropWrongPeer},
		{"unknown session", udp, "89abcdee" + good, lacAddr, DropUnknownSession},
		{"session without a bridge", udp, "00000005" + good, lacAddr, DropUnknownSession},
		{"no cookie", udp, id, lacAddr, DropShort},
		{"half a cookie", udp, id + "01020304", lacAddr, DropShort},
		{"first octet of the cookie", udp, id + "0002030405060708", lacAddr, DropCookie},
		{"last octet of the cookie", udp, id + "0102030405060709", lacAddr, DropCookie},
		{"the peer's cookie", udp, id + "1112131415161718", lacAddr, DropCookie},
		{"no Session ID", udp, "89abcd", lacAddr, DropShort},
	} {
		for _, overIP := range []bool{false, true} {
			d := newDataNode3(t, wish3{overIP: overIP, local: tunnel.Wire{Cookie: cookie8}, peer: tunnel.Wire{Cookie: []byte{0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}}})
			d.table.sessions.claim(5, &tunnelSlot{})
			header := test.header
			if !overIP {
				header = test.udp + header
			}
			d.in3(now, test.from, header, "")
			if got := d.counters[test.want].Load(); got != 1 || d.bridge.count != 0 || d.slot.lastData.Load() != 0 {
				t.Errorf("%s, over IP %v: %v is %d, %d frames were delivered, heard at %d", test.name, overIP, test.want, got, d.bridge.count, d.slot.lastData.Load())
			}
			if !overIP {
				header = udp + id + good
			} else {
				header = id + good
			}
			d.in3(now, lacAddr, header, "frame")
			if d.got() != "frame" || d.slot.lastData.Load() == 0 {
				t.Errorf("%s, over IP %v: then %q was delivered", test.name, overIP, d.got())
			}
		}
	}
	d := newDataNode3(t, wish3{})
	d.in3(now, netip.AddrPortFrom(lacAddr.Addr(), 9), udp+id, "x")
	if n := d.counters[DropWrongPeer].Load(); n != 1 {
		t.Errorf("another port of the peer: %v is %d", DropWrongPeer, n)
	}
	d.in3(now, lacAddr, "8003000c"+"00000009"+"00000000", "")
	if n := d.counters[DropUnknownTunnel].Load(); n != 1 {
		t.Errorf("a control message of no tunnel: %v is %d", DropUnknownTunnel, n)
	}
	// Of version 2 there is a session of these IDs; version 3 has no Tunnel ID.
	d.in3(now, lacAddr, udp+"12345678", "x")
	if n := d.counters[DropUnknownSession].Load(); n != 1 || d.bridge.count != 0 {
		t.Errorf("IDs of version 2: %v is %d", DropUnknownSession, n)
	}
}

// The kernel has no use for what comes out of a UDP socket of ours, but takes its own
// messages directly over IP, of which each raw socket gets a copy.
func TestDataOfTheKernels(t *testing.T) {
	for header, want := range map[string]uint64{"00030000" + "00000006": 1, "00000006": 0} {
		d := newDataNode3(t, wish3{overIP: want == 0})
		must(t, d.ReserveSessionID(6))
		d.in3(time.Now(), lacAddr, header, "frame")
		if n, unknown := d.counters[DropKernelPlane].Load(), d.counters[DropUnknownSession].Load(); n != want || unknown != 0 {
			t.Errorf("%s: %v is %d, %v is %d", header, DropKernelPlane, n, DropUnknownSession, unknown)
		}
	}
}

// A frame of MaxFrame octets goes whatever its header, and none that is longer.
func TestLongestFrame3(t *testing.T) {
	for _, overIP := range []bool{false, true} {
		d := newDataNode3(t, wish3{overIP: overIP, peer: tunnel.Wire{Cookie: cookie8, Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}})
		b := circuit.NewBurst(&d.sent)
		for _, n := range []int{circuit.MaxFrame, circuit.MaxFrame + 1} {
			want := n
			if n > circuit.MaxFrame {
				want = 0
			}
			if room := d.session.Room(b, n); len(room) != want {
				t.Errorf("over IP %v: %d octets of room for a frame of %d", overIP, len(room), n)
			}
		}
		if n := d.counters[DropTooLong].Load(); n != 1 {
			t.Errorf("%v is %d", DropTooLong, n)
		}
		if most := d.session.wire3.headLen + circuit.MaxFrame; most > kernel.MaxDatagram || most > circuit.MaxMessage {
			t.Errorf("a message of %d octets, and %d may be sent", most, kernel.MaxDatagram)
		}
	}
}

// TestIPControlDrops: what begins with 32 bits of zeros is a control message of version
// 3, or nothing.
func TestIPControlDrops(t *testing.T) {
	for header, want := range map[string]Counter{
		"000000":            DropShort,
		"00000000":          DropShort,
		"00000000" + "c803": DropShort,
		"00000000" + "c802000c" + "00000000" + "00000000": DropVersion,
		"00000000" + "0003000c" + "00000000" + "00000000": DropVersion,
		"00000000" + "c803000c" + "00000007" + "00000000": DropUnknownTunnel,
		"00000000" + "c803000c" + "00000000" + "00000000": DropNotSCCRQ,
	} {
		d := newDataNode3(t, wish3{overIP: true})
		d.in3(time.Now(), lacAddr, header, "")
		if n := d.counters[want].Load(); n != 1 {
			t.Errorf("%s: %v is %d", header, want, n)
		}
	}
}

// TestSentFrames3 compares with the figures of RFC 3931 sections 4.1.1.1, 4.1.2.1 and
// 4.6, written by hand.
func TestSentFrames3(t *testing.T) {
	for _, test := range []struct {
		name   string
		overIP bool
		peer   tunnel.Wire
		want   []string
	}{
		{"UDP", false, tunnel.Wire{}, []string{"00030000" + "01234567", "00030000" + "01234567"}},
		{"IP", true, tunnel.Wire{}, []string{"01234567", "01234567"}},
		{"cookie of 4", false, tunnel.Wire{Cookie: cookie8[:4]}, []string{"00030000" + "01234567" + "01020304"}},
		{"IP, cookie of 8", true, tunnel.Wire{Cookie: cookie8}, []string{"01234567" + "0102030405060708"}},
		{"sublayer", false, tunnel.Wire{Sublayer: l2tp.SublayerDefault}, []string{"00030000" + "01234567" + "00000000"}},
		{"all numbered", true, tunnel.Wire{Cookie: cookie8[:4], Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll},
			[]string{"01234567" + "01020304" + "40000000", "01234567" + "01020304" + "40000001"}},
		{"non-IP numbered", false, tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingNonIP},
			[]string{"00030000" + "01234567" + "40000000", "00030000" + "01234567" + "40000001"}},
		{"numbers, but nowhere to put them", false, tunnel.Wire{Sequencing: l2tp.SequencingAll}, []string{"00030000" + "01234567"}},
		{"the ATM sublayer is the frame's", false, tunnel.Wire{Sublayer: l2tp.SublayerATM}, []string{"00030000" + "01234567"}},
	} {
		d := newDataNode3(t, wish3{overIP: test.overIP, peer: test.peer})
		for i, want := range test.want {
			d.send([]byte{0xaa, 0xbb})
			if got := hex.EncodeToString(d.wire.data[i]); got != want+"aabb" {
				t.Errorf("%s: message %d is %s, want %saabb", test.name, i, got, want)
			}
		}
		d.port.holding.burst.Flush()
		if n, o := d.session.tx.Frames.Load(), d.session.tx.Octets.Load(); n != uint64(len(test.want)) || o != 2*n {
			t.Errorf("%s: counted %d frames, %d octets", test.name, n, o)
		}
	}
}

// RFC 3931 section 5.4.5: "all data traffic for that session MUST cease (or not begin)
// in the direction of the sender of the Circuit Status AVP until the circuit is
// advertised as Active."
func TestNothingIsSentToAnInactiveCircuit(t *testing.T) {
	d := newDataNode3(t, wish3{})
	d.session.peerDown.Store(true)
	if room := d.session.Room(d.port.holding.burst, 10); room != nil || d.counters[DropCircuitDown].Load() != 1 {
		t.Errorf("%d octets of room, %v is %d", len(room), DropCircuitDown, d.counters[DropCircuitDown].Load())
	}
	d.in3(time.Now(), lacAddr, "00030000 89abcdef", "from the peer") // its own may go on
	d.session.peerDown.Store(false)
	if room := d.session.Room(d.port.holding.burst, 10); len(room) != 10 || d.got() != "from the peer" {
		t.Errorf("%d octets of room, delivered %q", len(room), d.got())
	}
}

// ethernet is a frame of a type, with its tags.
func ethernet(types ...uint16) string {
	f := make([]byte, 12, 64)
	for i, ty := range types {
		f = append(f, byte(ty>>8), byte(ty))
		if i < len(types)-1 {
			f = append(f, 0, 7) // the tag
		}
	}
	return string(append(f, "payload"...))
}

// RFC 3931 section 5.4.4, the Data Sequencing AVP: "0 - No incoming data packets
// require sequencing. 1 - Only non-IP data packets require sequencing. 2 - All incoming
// data packets require sequencing."
func TestSequencingLevels(t *testing.T) {
	const number0, number1, none = "40000000", "40000001", "00abcdef"
	ip, other := ethernet(0x0800), ethernet(0x0806)
	for _, test := range []struct {
		name  string
		level l2tp.SequencingLevel
		kind  l2tp.PseudowireType
		in    []string // sublayer, frame, ...
		want  []string
		drop  uint64 // drop_unnumbered
	}{
		{"none: numbers are ignored", l2tp.SequencingNone, l2tp.PseudowireEthernet,
			[]string{number1, "a", number0, "b", number0, "c", none, "d"}, []string{"a", "b", "c", "d"}, 0},
		{"all", l2tp.SequencingAll, l2tp.PseudowireEthernet,
			[]string{number0, "a", none, ip, number0, "twice", number1, "b"}, []string{"a", "b"}, 0},
		{"non-IP, Ethernet", l2tp.SequencingNonIP, l2tp.PseudowireEthernet,
			[]string{none, ip, none, other, number1, other, number0, "late", none, ethernet(0x8100, 0x86dd), none, ethernet(0x88a8, 0x8100, 0x0800), none, ethernet(0x8100, 0x0806), none, "short"},
			[]string{ip, other, ethernet(0x8100, 0x86dd), ethernet(0x88a8, 0x8100, 0x0800)}, 3},
		{"non-IP, PPP", l2tp.SequencingNonIP, l2tp.PseudowirePPP,
			[]string{none, "\xff\x03\x00\x21IP", none, "\xff\x03\xc0\x21LCP", number0, "\xff\x03\xc0\x21LCP", none, "\x00\x57IPv6"},
			[]string{"\xff\x03\x00\x21IP", "\xff\x03\xc0\x21LCP", "\x00\x57IPv6"}, 1},
		{"non-IP, IP", l2tp.SequencingNonIP, l2tp.PseudowireIP, []string{none, "E"}, []string{"E"}, 0},
		{"non-IP, HDLC", l2tp.SequencingNonIP, l2tp.PseudowireHDLC, []string{none, "E", number0, "F"}, []string{"F"}, 1},
	} {
		d := newDataNode3(t, wish3{kind: test.kind, local: tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: test.level}})
		for f := range slices.Chunk(test.in, 2) {
			d.in3(time.Now(), lacAddr, "00030000 89abcdef"+f[0], f[1])
		}
		var got []string
		for _, f := range d.bridge.delivered {
			got = append(got, string(f))
		}
		if !slices.Equal(got, test.want) || d.counters[DropUnnumbered].Load() != test.drop {
			t.Errorf("%s: delivered %q, want %q; %v is %d, want %d", test.name, got, test.want, DropUnnumbered, d.counters[DropUnnumbered].Load(), test.drop)
		}
	}
}

// TestReorder3: numbers wrap at 2^24, and what was held is let go by the reader's tick.
func TestReorder3(t *testing.T) {
	d := newDataNode3(t, wish3{
		local: tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}, timeout: 100 * time.Millisecond,
	})
	now := time.Now()
	in := func(n uint32, text string) {
		d.in3(now, lacAddr, fmt.Sprintf("00030000 89abcdef 40%06x", n), text)
	}
	for _, n := range []uint32{0x7ffffe, 0xfffff6} { // gaps of half the numbers, given up
		in(n, "a")
		now = now.Add(100 * time.Millisecond)
		d.port.holding.Tick(now)
	}
	for i := uint32(0xfffff7); i < 1<<24; i++ {
		in(i, "")
	}
	in(1, "d")
	in(0, "c")
	in(3, "f")
	if got := d.got(); got != "aacd" {
		t.Fatalf("delivered %q", got)
	}
	d.port.holding.Tick(now.Add(100 * time.Millisecond))
	if got := d.got(); got != "aacdf" {
		t.Errorf("delivered %q", got)
	}
}

// TestMergedDatagrams3: those of one merged message may be of several sessions, of both
// versions, some with a wrong cookie.
func TestMergedDatagrams3(t *testing.T) {
	d := newDataNode3(t, wish3{local: tunnel.Wire{Cookie: cookie8[:4]}})
	second := &fakeBridge{keep: true}
	const otherSession = ourSession3 + 1
	other := &dataSession{
		slot: d.slot, peerID: 9, counters: &d.counters, bridge: second,
		wire3:    newWire3(0, false, 9, &tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}, &tunnel.Wire{}),
		sequence: sequence.New(sequence.Config{Bits: sequence.Bits24, Required: true, Buffers: d.buffers}),
	}
	other.deadline.Owner = other
	d.table.sessions.claim(otherSession, d.slot)
	d.table.sessions.set(otherSession, d.slot, other)
	mine := func(cookie, text string) string { return "\x00\x03\x00\x00\x89\xab\xcd\xef" + cookie + text }
	theirs := func(n byte, text string) string {
		return "\x00\x03\x00\x00\x89\xab\xcd\xf0\x40\x00\x00" + string(n) + text
	}
	const good, bad = "\x01\x02\x03\x04", "\x01\x02\x03\x05"
	merged := strings.Join([]string{
		mine(good, "aaaa"), mine(good, "bbbb"), mine(bad, "####"), mine(good, "cccc"), theirs(0, "dddd"), theirs(2, "late"), theirs(1, "####"),
		theirs(3, "eeee"), string(frame(ourTunnel, ourSession, -1, "version 2!")), mine(bad, "####"), mine(good, "ffff"), mine(good, "g"),
	}, "")
	d.port.dispatchMerged(time.Now(), []byte(merged), 16, lacAddr, lnsAddr.Addr())
	d.port.dispatchMerged(time.Now(), []byte(mine(good, "####")), 16, netip.MustParseAddrPort("203.0.113.1:1701"), lnsAddr.Addr())
	d.port.holding.burst.Flush()
	if got := d.got(); got != "aaaabbbbccccversion 2!ffffg" {
		t.Errorf("the first session got %q", got)
	}
	var got string
	for _, f := range second.delivered {
		got += string(f)
	}
	if got != "ddddlateeeee" {
		t.Errorf("the second session got %q", got)
	}
	for counter, want := range map[Counter]uint64{DataReceived: 13, DropCookie: 2, DropWrongPeer: 1} {
		if n := d.counters[counter].Load(); n != want {
			t.Errorf("%v is %d, want %d", counter, n, want)
		}
	}
	if a, b := d.session.rx.Frames.Load(), other.rx.Frames.Load(); a != 5 || b != 4 {
		t.Errorf("the first session counts %d frames, the second %d", a, b)
	}
}

// quiet3 has the ends of a node keep nothing, for counting allocations.
func quiet3(t testing.TB, w wish3) *dataNode {
	d := newDataNode3(t, w)
	d.bridge.keep = false
	s := &silent{}
	d.port.via = s
	old := d.slot.path.Load()
	d.slot.path.Store(&Path{via: s, Local: old.Local, Peer: old.Peer})
	return d
}

// wishes3 are the kinds of sessions that are measured.
var wishes3 = []struct {
	name string
	wish3
	header string
}{
	{"UDP", wish3{}, "0003000089abcdef"},
	{"UDP, cookie", wish3{local: tunnel.Wire{Cookie: cookie8}, peer: tunnel.Wire{Cookie: cookie8}}, "0003000089abcdef0102030405060708"},
	{"IP, cookie", wish3{overIP: true, local: tunnel.Wire{Cookie: cookie8}, peer: tunnel.Wire{Cookie: cookie8}}, "89abcdef0102030405060708"},
	{"IP, numbered", wish3{overIP: true,
		local: tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll},
		peer:  tunnel.Wire{Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}}, "89abcdef40000000"},
}

// TestDataPath3AllocatesNothing goes from the socket's dispatch through the table, the
// cookie and the sequence to the bridge, and back out.
func TestDataPath3AllocatesNothing(t *testing.T) {
	for _, w := range wishes3 {
		d := quiet3(t, w.wish3)
		header, err := hex.DecodeString(w.header)
		must(t, err)
		packet := append(header, make([]byte, 1000)...)
		merged := append(append([]byte(nil), packet...), packet...)
		from, buf, now, n := d.slot.path.Load().Peer, make([]byte, 1000), time.Now(), 0
		const runs = 2000
		allocs := testing.AllocsPerRun(runs, func() {
			now = now.Add(time.Microsecond)
			if w.overIP {
				if numbered(&w.local) {
					packet[5], packet[6], packet[7] = byte(n>>16), byte(n>>8), byte(n)
				}
				n++
				d.port.dispatchIP(now, packet, from.Addr(), lnsAddr.Addr())
			} else {
				d.port.dispatchMerged(now, merged, len(packet), from, lnsAddr.Addr())
			}
			d.send(buf)
		})
		if allocs != 0 && !raceDetector {
			t.Errorf("%s: %v allocations for a frame in and a frame out", w.name, allocs)
		}
		d.port.holding.burst.Flush()
		if d.bridge.count < runs || d.session.tx.Frames.Load() < runs {
			t.Errorf("%s: %d frames in, %d out", w.name, d.bridge.count, d.session.tx.Frames.Load())
		}
	}
}

func BenchmarkData3In(b *testing.B) {
	for _, w := range wishes3[:3] {
		b.Run(w.name, func(b *testing.B) {
			d := quiet3(b, w.wish3)
			header, _ := hex.DecodeString(w.header)
			packet := append(header, make([]byte, 1400)...)
			from, now := d.slot.path.Load().Peer, time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if w.overIP {
					d.port.dispatchIP(now, packet, from.Addr(), lnsAddr.Addr())
				} else {
					d.port.dispatch(now, packet, from, lnsAddr.Addr())
				}
			}
		})
	}
}

// BenchmarkData3InMerged is per datagram of a merged message of 40.
func BenchmarkData3InMerged(b *testing.B) {
	const count = 40
	w := wishes3[1]
	d := quiet3(b, w.wish3)
	header, _ := hex.DecodeString(w.header)
	packet := append(header, make([]byte, 1400)...)
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

func BenchmarkData3Out(b *testing.B) {
	for _, w := range wishes3 {
		b.Run(w.name, func(b *testing.B) {
			d := quiet3(b, w.wish3)
			buf := make([]byte, 1400)
			b.ReportAllocs()
			for b.Loop() {
				d.send(buf)
			}
		})
	}
}
