package tunnel

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
)

// RFC 2661 section 5.8: "A peer MUST NOT withhold acknowledgment of messages as a
// technique for flow controlling control messages." One that does, and goes on
// asking, costs us a bounded amount of memory and its tunnel.
func TestOverload(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions = 10
	p := dialled(t, cfg)
	limit := defaultQueue(10)
	for i := range 2 * limit {
		_, payload := p.encode(0, &l2tp.ICRQ{AssignedSessionID: uint32(1000 + i)})
		h := p.header(0, nil)
		h.Ns, h.Nr = p.ns-1, 2 // nothing new is acknowledged
		p.step(Receive{Header: h, Payload: payload})
		if queued := p.tunnel.ch.Stats(); queued.InFlight+queued.SendQueue > limit {
			t.Fatalf("%d messages in the queue, limit %d", queued.InFlight+queued.SendQueue, limit)
		}
		if p.tunnel.State() == Dead {
			break
		}
	}
	if down := find[TunnelDown](p); down.Cause.Err != ErrOverload || count[CallDown](p) != 10 {
		t.Fatalf("actions %v", p.actions)
	}
	leaked(t, p.tunnel)
	p.wait(time.Minute)
	find[Gone](p)
}

// Calls that are placed faster than the peer's window takes them wait where they
// can still be closed in silence, and all get their turn.
func TestManyCallsAtOnce(t *testing.T) {
	p := dialled(t, testConfig())
	const calls = 500
	var ids []uint32
	for i := range calls {
		p.step(PlaceCall{Ref: i})
		ids = append(ids, find[CallPlaced](p).Session)
		if q := p.tunnel.Stats().SendQueue; q > maxUnsentRequests {
			t.Fatalf("%d messages wait for the window", q)
		}
	}
	p.step(CloseCall{Session: ids[calls-1]})
	if len(p.sent) != 0 {
		t.Errorf("a call of which the peer has not heard was closed with %v", p.sent)
	}
	seen := 0
	for n := 0; p.tunnel.unsent.head != nil || !p.tunnel.Acknowledged(); n++ {
		if n > calls {
			t.Fatal("the calls do not get through")
		}
		p.ack()
		for _, m := range p.sentTypes() {
			if m == l2tp.TypeICRQ {
				seen++
			}
		}
	}
	// Some had gone out before.
	if seen < calls-20 || seen > calls-1 {
		t.Errorf("%d ICRQs after the first acknowledgement", seen)
	}
	for _, id := range ids[:calls-1] {
		if s, ok := p.tunnel.Session(id); !ok || s.State != CallWaitReply {
			t.Fatalf("session %d: %+v", id, s)
		}
	}
}

// A tunnel keeps little between steps, however much one of them did, and the
// actions of a step are what it says and nothing of the step before.
func TestStepForgets(t *testing.T) {
	p := dialled(t, testConfig())
	for range 200 {
		p.step(PlaceCall{Call: Call{CalledNumber: strings.Repeat("1", 500)}})
		p.ack()
	}
	p.step(Stop{})
	if n := count[CallDown](p); n != 200 {
		t.Fatalf("%d CallDown", n)
	}
	p.step(Tick{})
	if len(p.actions) != 0 || len(p.sent) != 0 {
		t.Errorf("actions %v, sent %v", p.actions, p.sent)
	}
	if cap(p.tunnel.actions) > keepActions || cap(p.tunnel.packets) > keepPackets {
		t.Errorf("room for %d actions and %d octets is kept", cap(p.tunnel.actions), cap(p.tunnel.packets))
	}
}

// RFC 2661 section 5.7: "it is not necessary to clear each session individually
// when tearing down the whole tunnel": the StopCCN does not wait behind what is
// in the queue.
func TestStopOvertakesTheQueue(t *testing.T) {
	p := dialled(t, testConfig())
	for range 50 {
		p.step(PlaceCall{})
	}
	if p.tunnel.Stats().SendQueue < 20 {
		t.Fatalf("only %d messages wait", p.tunnel.Stats().SendQueue)
	}
	p.step(Stop{})
	var sent []l2tp.MessageType
	for range 10 {
		sent = append(sent, p.sentTypes()...)
		p.ack()
	}
	if fmt.Sprint(sent) != "[StopCCN]" || !p.tunnel.Acknowledged() {
		t.Errorf("sent %v, acknowledged %v", sent, p.tunnel.Acknowledged())
	}
}

// To a peer that has stopped nothing is said any more but acknowledgements, also
// of what it has not acknowledged.
func TestStopCCNSilencesTheQueue(t *testing.T) {
	p := dialled(t, testConfig())
	p.step(PlaceCall{})
	p.step(PlaceCall{})
	_, payload := p.encode(0, message(l2tp.TypeStopCCN))
	h := p.header(0, nil)
	h.Ns, h.Nr = p.ns-1, 2 // the SCCCN is acknowledged, the ICRQs are not
	p.step(Receive{Header: h, Payload: payload})
	if len(p.sentTypes()) != 0 || len(p.sent) != 1 || p.tunnel.State() != Dead {
		t.Fatalf("sent %v, state %v", p.sent, p.tunnel.State())
	}
	p.wait(20 * time.Second)
	if len(p.sent) != 0 {
		t.Errorf("sent %v", p.sent)
	}
	// "maintain enough control connection state to properly accept StopCCN
	// retransmissions over at least a full retransmission cycle".
	p.step(Receive{Header: h, Payload: payload})
	if len(p.sent) != 1 || p.sent[0].Message != nil || p.sent[0].Nr != h.Ns+1 {
		t.Errorf("sent %v", p.sent)
	}
	p.wait(10 * time.Second)
	if p.tunnel.State() != Dead {
		t.Error("gone before the end of the cycle")
	}
	p.wait(2 * time.Second)
	find[Gone](p)
}
