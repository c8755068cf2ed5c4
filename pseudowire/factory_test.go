package pseudowire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
	"adit/proto/l2tp"
)

func TestOpenErrors(t *testing.T) {
	x := newEnd(t)
	for want, s := range map[string]Spec{
		"is not a kind of bridge for it":   {Kind: circuit.Builtin},
		"a VLAN is 1 to 4094, not 4095":    {Kind: circuit.EthernetTAP, VLAN: 4095},
		"has no VLAN":                      {Kind: circuit.IPTUN, VLAN: 1},
		"cannot be a member of a bridge":   {Kind: circuit.IPTUN, Bridge: "br0"},
		"the kernel plane needs a session": {Kind: circuit.EthernetKernel},
		"load the module l2tp_eth":         {Kind: circuit.EthernetKernel, Session: &kernel.L2TPSession{}},
		"the session was given no end":     {Kind: circuit.Relay},
	} {
		if b, err := x.factory.Open(s, nil, nil); b != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v", s, b, err)
		}
	}
	if n := x.factory.Running(); n != 0 {
		t.Errorf("%d bridges are open", n)
	}
	x.factory.Close()
	if _, err := x.factory.Open(Spec{Kind: circuit.EthernetTAP}, nil, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A relay of two pseudowires ends without a word of PPP, and tells each of the other.
func TestRelay(t *testing.T) {
	x := newEnd(t)
	endA, endB := circuit.NewRelayPair()
	spec := Spec{Kind: circuit.Relay, Type: l2tp.PseudowireHDLC, Relay: endA}
	a := x.open(t, spec)
	a.changed(t, false)
	spec.Relay = endB
	b := x.open(t, spec)
	a.changed(t, true)
	frame := []byte("\x0f\x00\x08\x00 a frame of HDLC")
	a.Deliver(nil, time.Now(), frame)
	if len(b.wire.queue) != 1 || !bytes.Equal(b.wire.queue[0], frame) {
		t.Errorf("%q", b.wire.queue)
	}
	b.Bridge.(circuit.StatusReporter).SetPeerActive(false)
	a.changed(t, false)
	a.Deliver(nil, time.Now(), frame)
	if s := a.Stats(); len(b.wire.queue) != 1 || s.DropNotUp != 1 {
		t.Errorf("%d frames, %+v", len(b.wire.queue), s)
	}
	b.Bridge.(circuit.StatusReporter).SetPeerActive(true)
	a.changed(t, true)
	b.Deliver(nil, time.Now(), make([]byte, circuit.MaxFrame))
	b.Deliver(nil, time.Now(), make([]byte, circuit.MaxFrame+1))
	if s := b.Stats(); len(a.wire.queue) != 1 || s.DropTooLong != 1 {
		t.Errorf("%d frames, %+v", len(a.wire.queue), s)
	}
	a.Close("line down")
	if e := a.wait(t); !e.Closed || e.PPP != nil {
		t.Errorf("%+v", e)
	}
	if e := b.wait(t); e.Closed || e.PPP != nil || e.Result.Result != l2tp.CDNLossOfCarrier {
		t.Errorf("%+v", e)
	}
	select {
	case active := <-b.status:
		t.Errorf("the second end was told of its circuit: %v", active)
	default:
	}
}

// Many sessions opened and closed at once, some before their device is there: nothing
// is left of them.
func TestChurn(t *testing.T) {
	x := newEnd(t)
	a := x.open(t, Spec{Kind: circuit.EthernetTAP})
	a.up(t) // what is opened with the first device stays until the factory is closed
	a.Close("")
	a.wait(t)
	waitFor(t, "end of the workers", func() bool { return x.factory.workers.idle() })
	fds, routines := descriptors(t), runtime.NumGoroutine()
	for round := range 3 {
		var all []*session
		for i := range 20 {
			s := Spec{Kind: circuit.EthernetTAP, Interface: "c%d"}
			if i%4 == 3 {
				s.Kind = circuit.IPTUN
			}
			all = append(all, x.open(t, s))
			if i%3 == round {
				all[i].Close("at once")
			}
		}
		for i, c := range all {
			if i%3 != round {
				c.up(t)
				c.Close("")
			}
			if e := c.wait(t); !e.Closed {
				t.Errorf("%+v", e)
			}
		}
	}
	waitFor(t, "end of the workers", func() bool { return x.factory.workers.idle() })
	if n := x.factory.Running(); n != 0 {
		t.Errorf("%d bridges are open", n)
	}
	if out := x.ns.ip(t, "-o", "link"); strings.Count(out, "\n") != 1 {
		t.Errorf("left: %s", out)
	}
	waitFor(t, fmt.Sprintf("state as before: %d descriptors, %d goroutines", fds, routines), func() bool {
		return descriptors(t) <= fds && runtime.NumGoroutine() <= routines
	})
}

func (w *workers) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running == 0
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// room is circuit.Frames without an end.
type room struct {
	frames int
	buf    [circuit.MaxFrame]byte
}

func (r *room) Room(_ *circuit.Burst, n int) []byte { r.frames++; return r.buf[:n] }

// Both ways of the data path allocate nothing, whatever the frames.
func TestAllocatesNothing(t *testing.T) {
	for name, spec := range map[string]Spec{
		"Ethernet": {Kind: circuit.EthernetTAP}, "VLAN": {Kind: circuit.EthernetTAP, VLAN: 7}, "IP": {Kind: circuit.IPTUN},
	} {
		x := newEnd(t)
		frames := &room{}
		b, err := x.factory.Open(spec, &room{}, func(circuit.Exit) {})
		if err != nil {
			t.Fatal(err)
		}
		c := &session{Bridge: b, exits: make(chan circuit.Exit)}
		c.up(t)
		header := frameOf("\x08\x00")
		if spec.Kind == circuit.IPTUN {
			header = nil
		}
		super := append(bytes.Clone(header), udp4(0, 40*1000)...)
		g := ip.GSO{Type: ip.GSOUDP, SegmentSize: 1000, HeaderLen: uint16(len(header) + 28), NeedsChecksum: true, ChecksumStart: uint16(len(header) + 20), ChecksumOffset: 6}
		r := &reader{burst: circuit.NewBurst(new(kernel.SendCounts))}
		tap := newTAPBridge(x.factory, &spec, frames, nil) // without a device, so that nobody else sends
		out := testing.AllocsPerRun(100, func() { tap.send(r, g, super) })
		if out != 0 || frames.frames != 101*40 {
			t.Errorf("%s, out: %v allocations, %d frames", name, out, frames.frames)
		}
		if spec.VLAN != 0 {
			header = frameOf("\x81\x00\x00\x07", "\x08\x00")
		}
		var packets [][]byte
		for i := range 32 {
			packets = append(packets, append(bytes.Clone(header), udp4(uint16(i), 1000)...))
		}
		if spec.Kind == circuit.EthernetTAP {
			odd := bytes.Clone(packets[0])
			odd[len(header)-1] = 6 // ARP
			packets = append(packets, odd)
		}
		burst, now := circuit.NewBurst(new(kernel.SendCounts)), time.Now()
		scratch := make([]byte, 2000)
		in := testing.AllocsPerRun(100, func() {
			for i, p := range packets {
				if spec.VLAN != 0 { // popping changes the frame
					if i > 0 {
						continue
					}
					p = scratch[:copy(scratch, p)]
				}
				b.Deliver(burst, now, p)
			}
			burst.Flush()
		})
		if s := b.Stats(); in != 0 || s.FramesIn < 101 || s.DropMalformed+s.DropNotUp+s.DropVLAN != 0 {
			t.Errorf("%s, in: %v allocations, %+v", name, in, s)
		}
		b.Close("")
	}
}

// A device that is made again has the address that it is given, for its neighbours.
func TestMAC(t *testing.T) {
	x := newEnd(t)
	for _, mac := range []net.HardwareAddr{{2, 0, 0, 0, 0, 7}, {2, 0, 0, 0, 0, 7}, {2, 0, 0, 0, 0, 8}} {
		c := x.open(t, Spec{Kind: circuit.EthernetTAP, Interface: "lan", MAC: mac})
		c.up(t)
		if out := x.ns.ip(t, "link", "show", "lan"); !strings.Contains(out, mac.String()) {
			t.Errorf("want %v: %s", mac, out)
		}
		c.Close("")
		c.wait(t)
	}
}
