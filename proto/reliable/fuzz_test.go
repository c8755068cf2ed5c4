package reliable

import (
	"encoding/binary"
	"testing"
	"time"

	"adit/proto/l2tp"
)

// FuzzChannel feeds a Channel any sequence of packets, sends and times, and
// checks that it stays within its bounds and keeps the order.
//
// Each operation takes 6 octets: kind, Ns and Nr relative to what is expected
// (so that the fuzzer finds the interesting ones), and an amount.
func FuzzChannel(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0, 9, 4, 0, 0, 0, 0, 200}, uint16(0), uint16(4))
	f.Add([]byte{0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0, 5, 0, 0xff, 0xff, 0, 0, 5}, uint16(65535), uint16(1))
	f.Add([]byte{1, 0, 0, 0, 0, 9, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 9, 5, 0, 0, 0, 0, 9}, uint16(32767), uint16(0))
	f.Fuzz(func(t *testing.T, ops []byte, start, window uint16) {
		cfg := Config{ReceiveWindow: window, MaxQueue: 20, AckDelay: 50 * time.Millisecond}
		dissect := dissect
		if len(ops)%2 == 1 {
			cfg.Version, cfg.Ack, dissect = l2tp.Version3, []byte(explicitAck), dissect3
		}
		c := newAt(cfg, start, start)
		now := t0
		delivered := start
		ops = ops[:min(len(ops), 6*300)] // so that no input takes long
		for ; len(ops) >= 6; ops = ops[6:] {
			amount := int(ops[5])
			switch ops[0] % 8 {
			case 1, 2:
				_ = c.Send(now, uint32(amount), make([]byte, amount))
			case 3:
				h := control(c.next, c.una+binary.BigEndian.Uint16(ops[3:]))
				_ = c.Receive(now, h, nil)
			case 4:
				now = now.Add(time.Duration(amount) * 10 * time.Millisecond)
			case 5:
				c.SetPeer(uint32(amount), binary.BigEndian.Uint16(ops[1:]))
			case 6:
				if amount == 77 {
					c.CloseReceive()
				}
				c.DropWaiting()
			default:
				h := control(c.next+binary.BigEndian.Uint16(ops[1:]), c.una+binary.BigEndian.Uint16(ops[3:]))
				_ = c.Receive(now, h, bodies[:amount*257])
			}
			// Some messages are left lying for a while.
			for ops[0]&0x80 == 0 {
				if _, _, ok := c.NextMessage(); !ok {
					break
				}
				delivered++
			}
			fuzzTransmit(t, c, now, dissect)
			checkBounds(t, c, delivered)
		}
	})
}

var bodies [255 * 257]byte

// fuzzTransmit checks that a Transmit leaves nothing to do for the same instant.
func fuzzTransmit(t *testing.T, c *Channel, now time.Time, dissect func(testing.TB, []byte) packet) {
	packets := 0
	c.Transmit(now, func(b []byte) {
		packets++
		if p := dissect(t, b); p.nr != c.next {
			t.Fatalf("%v, expected next %d", p, c.next)
		}
	})
	if packets > 20+1 {
		t.Fatalf("%d packets at once", packets)
	}
	if d := c.Deadline(); !d.IsZero() && !d.After(now) {
		t.Fatalf("deadline %v stands at %v", d, now)
	}
	c.Transmit(now, func(b []byte) { t.Fatalf("second Transmit at one instant sent % x", b) })
}

func checkBounds(t *testing.T, c *Channel, delivered uint16) {
	if c.err != nil {
		if len(c.queue)+len(c.ready)+len(c.early) > 0 {
			t.Fatal("a dead channel keeps messages")
		}
		return
	}
	if !c.closed && delivered+uint16(len(c.ready)) != c.next {
		t.Fatalf("%d delivered, %d ready, next %d", delivered, len(c.ready), c.next)
	}
	if n := len(c.ready) + len(c.early); n > int(c.cfg.ReceiveWindow) {
		t.Fatalf("%d messages kept in a window of %d", n, c.cfg.ReceiveWindow)
	}
	size := 0
	for i, m := range c.early {
		size += len(m.payload)
		if ahead := m.ns - c.next; ahead == 0 || ahead >= c.cfg.ReceiveWindow || i > 0 && !before(c.early[i-1].ns, m.ns) {
			t.Fatalf("early message %d with %d expected", m.ns, c.next)
		}
	}
	if size != c.earlySize || size > maxEarly {
		t.Fatalf("%d octets kept, counted %d", size, c.earlySize)
	}
	if len(c.queue) > c.cfg.MaxQueue || c.sent > len(c.queue) {
		t.Fatalf("queue %d, sent %d", len(c.queue), c.sent)
	}
	if s := c.Stats(); s.Window < 1 || s.Window > s.PeerWindow {
		t.Fatalf("congestion window %d of %d", s.Window, s.PeerWindow)
	}
}
