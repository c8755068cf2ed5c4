package pseudowire

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
)

// gathered is circuit.Frames that keep what goes to the peer.
type gathered struct {
	frames [][]byte
}

func (g *gathered) Room(_ *circuit.Burst, n int) []byte {
	b := make([]byte, n)
	g.frames = append(g.frames, b)
	return b
}

// Whatever tags a frame has, one more goes outside of them, and the frame comes back as
// it was: priority tags, service tags, and more of them than anybody looks through.
func TestTagsOnTags(t *testing.T) {
	tag := func(kind, info uint16) []byte {
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, kind), info)
	}
	addresses := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01")
	for name, tags := range map[string][][]byte{
		"untagged":       {},
		"priority":       {tag(typeVLAN, 5<<13)},
		"the same VLAN":  {tag(typeVLAN, 7)},
		"QinQ":           {tag(typeQinQ, 100), tag(typeVLAN, 7)},
		"four":           {tag(typeQinQ, 1), tag(typeQinQ, 2), tag(typeVLAN, 3), tag(typeVLAN, 4)},
		"tag and no end": {tag(typeVLAN, 7)[:2]},
	} {
		frame := bytes.Join(append(append([][]byte{addresses}, tags...), []byte{0x88, 0xb5}, []byte("payload")), nil)
		g := &gathered{}
		f := NewFactory(Config{})
		b := newTAPBridge(f, &Spec{Kind: circuit.EthernetTAP, VLAN: 7, Log: discardLog()}, g, nil)
		b.send(&f.reader, ip.GSO{}, bytes.Clone(frame))
		if len(g.frames) != 1 {
			t.Fatalf("%s: %d frames, %+v", name, len(g.frames), b.Stats())
		}
		if out := g.frames[0]; !bytes.Equal(out[:12], addresses) || !bytes.Equal(out[12:16], tag(typeVLAN, 7)) {
			t.Errorf("%s: sent %x", name, out)
		}
		if back, ours := popTag(g.frames[0], 7); !ours || !bytes.Equal(back, frame) {
			t.Errorf("%s: %x comes back as %x", name, frame, back)
		}
	}
}

// Frames of every length, and of every shape that a length can have, are delivered while
// the device is deleted under them: nothing panics, and each is accounted for.
func TestDeletedWhileFramesFlow(t *testing.T) {
	for _, s := range []Spec{{Kind: circuit.EthernetTAP}, {Kind: circuit.EthernetTAP, VLAN: 7}, {Kind: circuit.IPTUN}} {
		x := newEnd(t)
		c := x.open(t, s)
		name := c.up(t)
		stop, sent := make(chan struct{}), make(chan uint64)
		go func() {
			b, n := circuit.NewBurst(new(kernel.SendCounts)), uint64(0)
			frame := make([]byte, circuit.MaxFrame)
			for at := 0; ; at++ {
				select {
				case <-stop:
					sent <- n
					return
				default:
				}
				for size := range 80 {
					frame[0], frame[12] = byte(at), byte(size)
					c.Deliver(b, time.Now(), frame[:size])
					n++
				}
				c.Deliver(b, time.Now(), frame)
				n++
				b.Flush()
			}
		}()
		waitFor(t, "frames", func() bool { s := c.Stats(); return s.FramesIn+s.DropMalformed > 100 })
		x.ns.ip(t, "link", "del", name)
		if e := c.wait(t); e.Closed || e.Err == nil {
			t.Errorf("%+v", e)
		}
		close(stop)
		n := <-sent
		a := c.Stats()
		if got := a.FramesIn + a.DropMalformed + a.DropVLAN + a.DropNotUp + a.DropClosed + a.DropQueueFull + a.DropTooLong; got != n {
			t.Errorf("%v: %d frames of %d are accounted for: %+v", s.Kind, got, n, a)
		}
	}
}
