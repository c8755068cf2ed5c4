package pseudowire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/ip"
	"adit/proto/l2tp"
)

// judge is a station behind a bridge: a TAP that the test reads and writes.
type judge struct {
	*kernel.TUN
	writer kernel.TUNWriter
}

// newBridge makes a bridge with a judge on it.
func newBridge(t *testing.T, ns *namespace) *judge {
	t.Helper()
	if out, err := ns.try("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"); err != nil {
		need.Lack(t, "its kernel has no bridges: %s", out)
	}
	j := &judge{}
	var err error
	ns.do(func() {
		// The machines say nothing of their own, and a firewall that looks into bridges
		// does not judge what is in the frames.
		for path, value := range map[string]string{"ipv6/conf/default/disable_ipv6": "1", "bridge/bridge-nf-call-iptables": "0", "bridge/bridge-nf-call-ip6tables": "0"} {
			if e := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = e
			}
		}
		if err == nil {
			j.TUN, err = kernel.OpenTAP(kernel.TAPOptions{Name: "judge", MTU: 9000})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	ns.ip(t, "link", "set", "judge", "master", "br0", "up")
	ns.ip(t, "link", "set", "br0", "up", "addrgenmode", "none")
	return j
}

// frames reads until n frames have come that begin with the prefix.
func (j *judge) frames(t *testing.T, n int, prefix []byte) [][]byte {
	t.Helper()
	var all [][]byte
	var split ip.Splitter
	buf := make([]byte, kernel.MaxSuperFrame)
	for deadline := time.Now().Add(20 * time.Second); len(all) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames of %d came", len(all), n)
		}
		if ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(j.Queue(0).FD()), Events: unix.POLLIN}}, 100); ready <= 0 {
			continue
		}
		size, g, err := j.Queue(0).Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if size == 0 || !bytes.HasPrefix(buf[:size], prefix) {
			continue
		}
		at, _ := packetOf(buf[:size])
		if err := split.BeginFrame(g, buf[:size], at); err != nil {
			t.Fatal(err)
		}
		for size := split.Next(); size > 0; size = split.Next() {
			f := make([]byte, size)
			split.Put(f)
			all = append(all, f)
		}
	}
	return all
}

// stream makes frames of all kinds between two stations, in runs.
func stream(rnd *rand.Rand, n int) [][]byte {
	var all [][]byte
	number := uint16(0)
	for len(all) < n {
		header := frameOf([]string{"", "\x81\x00\x20\x07", "\x88\xa8\x00\x09\x81\x00\x00\x07"}[rnd.IntN(3)])
		size := rnd.IntN(1400)
		kind := rnd.IntN(4)
		for range 1 + rnd.IntN(12) {
			f := bytes.Clone(header)
			number++
			switch kind {
			case 0:
				f = append(f, "\x88\xb5"...) // an experiment's, of any length
				f = append(f, make([]byte, size)...)
			case 1:
				f = append(f, "\x08\x00"...)
				f = append(f, "E no packet of IP at all"...)
			default:
				f = append(f, "\x08\x00"...)
				f = append(f, udp4(number, size)...)
				if size < 20 {
					f = append(f, make([]byte, 20)...) // padding
				}
			}
			all = append(all, f)
		}
	}
	return all[:n]
}

// udp4 is a datagram with its checksums.
func udp4(id uint16, size int) []byte {
	p := make([]byte, 28+size)
	copy(p, "\x45\x00")
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], id)
	copy(p[8:], "\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02")
	binary.BigEndian.PutUint16(p[10:], ip.Checksum(p[:20], 0))
	copy(p[20:], "\x10\x00\x20\x00")
	binary.BigEndian.PutUint16(p[24:], uint16(8+size))
	for i := range size {
		p[28+i] = byte(int(id) + i)
	}
	sum := ip.PseudoHeader(netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:])), ip.ProtocolUDP, 8+size)
	binary.BigEndian.PutUint16(p[26:], ip.Checksum(p[20:], sum))
	return p
}

// RFC 4719 section 1.4: "The PW termination point receives untagged (also referred to
// as 'raw') or tagged Ethernet frames and delivers them unaltered to the PW termination
// point on the remote LCCE."
//
// From a station behind one bridge to one behind the other: every frame as it was, in
// order. What the kernel cut off its end, and it cuts nothing else, is padding of IP.
func TestBridge(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	from, to := newBridge(t, x.ns), newBridge(t, y.ns)
	spec := Spec{Kind: circuit.EthernetTAP, Type: l2tp.PseudowireEthernet, Bridge: "br0", MTU: 9000}
	a, b := pair(t, x, y, spec, spec)
	for _, e := range []*end{x, y} {
		waitFor(t, "forwarding port", func() bool {
			return strings.Count(e.ns.run(t, "bridge", "link"), "state forwarding") == 2
		})
	}
	want := stream(rand.New(rand.NewPCG(1, 2)), 400)
	var got [][]byte
	for sent := 0; sent < len(want); sent += 40 { // as much as a queue holds
		for _, f := range want[sent : sent+40] {
			if err := from.writer.Write(from.Queue(0), ip.GSO{}, [][]byte{f}); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, to.frames(t, 40, want[0][:12])...)
	}
	compare(t, got, want)
	if s := a.Stats(); s.FramesOut < 400 || s.DropMalformed != 0 {
		t.Errorf("%+v", s)
	}
	// The same in one burst, so that it is merged on the way in.
	shortest := frameOf("\x88\xb5")
	a.wire.bring(append([][]byte{shortest}, want[:300]...)...)
	got = to.frames(t, 301, want[0][:12])
	compare(t, got[:1], [][]byte{shortest})
	compare(t, got[1:], want[:300])
	if s := b.Stats(); s.FramesIn < 701 || s.DropMalformed+s.DropQueueFull+s.DropClosed != 0 {
		t.Errorf("%+v", s)
	}
}

func compare(t *testing.T, got, want [][]byte) {
	t.Helper()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d of %d:\ngot  %x\nwant %x", i, len(want), got[i], want[i])
		}
	}
}

// What comes in one burst goes into the device in few pieces, tags or not.
func TestMerges(t *testing.T) {
	x := newEnd(t)
	to := newBridge(t, x.ns)
	if !to.Offloads().USO {
		need.Lack(t, "its kernel cannot merge datagrams (Linux 6.2)")
	}
	a := x.open(t, Spec{Kind: circuit.EthernetTAP, Bridge: "br0"})
	a.up(t)
	waitFor(t, "forwarding port", func() bool {
		return strings.Count(x.ns.run(t, "bridge", "link"), "state forwarding") == 2
	})
	burst := circuit.NewBurst(new(kernel.SendCounts))
	buf := make([]byte, kernel.MaxSuperFrame)
	for _, tags := range []string{"", "\x81\x00\x20\x07"} {
		header := frameOf(tags, "\x08\x00")
		var want [][]byte
		for i := range 40 {
			want = append(want, append(bytes.Clone(header), udp4(uint16(i), 1000)...))
			a.Deliver(burst, time.Now(), bytes.Clone(want[i]))
		}
		burst.Flush()
		var n int
		var g ip.GSO
		waitFor(t, "super packet", func() (come bool) {
			var err error
			n, g, err = to.Queue(0).Read(buf)
			return err == nil && n > 0 && bytes.HasPrefix(buf[:n], header)
		})
		if g.Type != ip.GSOUDP || n != len(header)+28+40*1000 {
			t.Errorf("tags %x: %+v, %d octets", tags, g, n)
			continue
		}
		var split ip.Splitter
		if err := split.BeginFrame(g, buf[:n], len(header)); err != nil {
			t.Fatal(err)
		}
		var got [][]byte
		for n := split.Next(); n > 0; n = split.Next() {
			f := make([]byte, n)
			split.Put(f)
			got = append(got, f)
		}
		compare(t, got, want)
	}
}

// A bridge that is not there, or is none, ends the session with a sentence that says
// what to do, and nothing is left.
func TestNoBridge(t *testing.T) {
	x := newEnd(t)
	a := x.open(t, Spec{Kind: circuit.EthernetTAP, Interface: "pw0", Bridge: "br7"})
	e := a.wait(t)
	if !errors.Is(e.Err, kernel.ErrNoBridge) || !strings.Contains(e.Text, "ip link add br7 type bridge") || e.Result.Result != l2tp.CDNNoFacilitiesPermanent {
		t.Errorf("%+v", e)
	}
	a = x.open(t, Spec{Kind: circuit.EthernetTAP, Interface: "pw0", Bridge: "lo"})
	if e = a.wait(t); !errors.Is(e.Err, kernel.ErrNoBridge) || !strings.Contains(e.Text, "lo is there but is no bridge") {
		t.Errorf("%+v", e)
	}
	if out := x.ns.ip(t, "-o", "link"); strings.Contains(out, "pw0") {
		t.Errorf("left: %s", out)
	}
}

// A bridge that somebody deletes does not end the session; once there is one of that name
// again, the device is its member again.
func TestBridgeComesBack(t *testing.T) {
	x := newEnd(t)
	newBridge(t, x.ns)
	a := x.open(t, Spec{Kind: circuit.EthernetTAP, Interface: "pw0", Bridge: "br0"})
	a.up(t)
	member := func() bool { return strings.Contains(x.ns.ip(t, "-o", "link", "show", "pw0"), " master br0 ") }
	if !member() {
		t.Fatal("it is not a member at first")
	}
	for range 2 {
		x.ns.ip(t, "link", "del", "br0")
		if member() {
			t.Fatal("it is a member of what is gone")
		}
		// What else comes and goes is not taken for it.
		x.ns.ip(t, "link", "add", "name", "br1", "type", "bridge")
		x.ns.ip(t, "link", "del", "br1")
		x.ns.ip(t, "link", "add", "name", "br0", "type", "bridge")
		waitFor(t, "bridge", member)
	}
	// Somebody takes it out, and there is no news of the bridge.
	x.ns.ip(t, "link", "set", "pw0", "nomaster")
	waitFor(t, "bridge, after it was taken out", member)
}
