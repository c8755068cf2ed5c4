package tunnel

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"adit/proto/l2tp"
)

// What other implementations do, or have been seen to do, at the edge of the
// RFC and beyond it.

// avps is a payload made of AVPs in hexadecimal.
func avps(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A peer that refuses our SCCRQ answers it with a StopCCN. RFC 2661 section
// 4.4.3: "The L2TP peer MUST place this value in the Tunnel ID header field of
// all control and data messages that it subsequently transmits over the
// associated tunnel." So the ZLB that acknowledges the StopCCN carries the
// Assigned Tunnel ID that the StopCCN told us: with another, the peer would not
// know what it belongs to, and would repeat its StopCCN to the end.
func TestStopCCNTellsTheTunnelID(t *testing.T) {
	const id = "8008 0000 0009 0014" // Assigned Tunnel ID 20
	for name, c := range map[string]struct {
		payload string
		want    uint32
	}{
		"well written":       {"8008 0000 0000 0004" + id + "8008 0000 0001 0004", peerID},
		"no Result Code":     {"8008 0000 0000 0004" + id, peerID},
		"no ID":              {"8008 0000 0000 0004" + "8008 0000 0001 0004", 0},
		"unknown mandatory":  {"8008 0000 0000 0004" + id + "8008 0000 0001 0004" + "8006 0009 0063", peerID},
		"Tunnel ID 0 in AVP": {"8008 0000 0000 0004" + "8008 0000 0009 0000" + "8008 0000 0001 0004", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, testConfig())
			p.sendRaw(0, avps(t, c.payload))
			if find[TunnelDown](p); len(p.sent) != 1 || p.sent[0].Message != nil || p.sent[0].TunnelID != c.want {
				t.Errorf("sent %v, want a ZLB to tunnel %d", p.sent, c.want)
			}
		})
	}
}

// A StopCCN without Assigned Tunnel ID, or a CDN without Assigned Session ID,
// whose header says well enough what it is about: the reason that it gives is
// what the operator wants to read, and not that an AVP was missing.
func TestGoodbyeWithoutID(t *testing.T) {
	p := accepted(t, testConfig())
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 5})
	requested := find[CallRequested](p)
	p.sendRaw(requested.Session, avps(t, "8008 0000 0000 000e 8008 0000 0001 0006"))
	if c := find[CallDown](p).Cause; c.Result.Result != l2tp.CDNInvalidDestination || !c.Remote || c.Err != nil {
		t.Errorf("call: %+v", c)
	}
	p.sendRaw(0, avps(t, "8008 0000 0000 0004 8008 0000 0001 0006"))
	if c := find[TunnelDown](p).Cause; c.Result.Result != l2tp.StopCCNShuttingDown || !c.Remote || c.Err != nil {
		t.Errorf("tunnel: %+v", c)
	}
}

// RFC 2661 section 5.3: "The value of 0 for Session ID and Tunnel ID is special
// and MUST NOT be used as an Assigned Session ID or Assigned Tunnel ID."
func TestNoCDNAssignsSessionZero(t *testing.T) {
	p := dialled(t, testConfig())
	p.send(0, &l2tp.ICRP{AssignedSessionID: 5})
	cdn, at := sentOf[*l2tp.CDN](p)
	if cdn.AssignedSessionID == 0 || at.SessionID != 5 {
		t.Errorf("%v", p.sent)
	}
}

// RFC 2661 section 4.4.4 has one bit in the Framing Type of an ICCN, "the type
// of PPP framing negotiated"; the L2TP client of Android sets both. What is
// meant is that either will do. Reserved bits are nobody's framing.
func TestICCNWithSeveralFramings(t *testing.T) {
	for _, c := range []struct {
		ours, theirs l2tp.FramingType
		up           bool
	}{
		{l2tp.FramingSync, l2tp.FramingSync | l2tp.FramingAsync, true},
		{l2tp.FramingSync, l2tp.FramingSync | 4, true},
		{l2tp.FramingSync, 0, true},
		{l2tp.FramingSync, l2tp.FramingAsync, false},
		{l2tp.FramingSync, 4, false},
	} {
		cfg := testConfig()
		cfg.Framing = c.ours
		p := accepted(t, cfg)
		p.send(0, &l2tp.ICRQ{AssignedSessionID: 5})
		id := find[CallRequested](p).Session
		p.step(AcceptCall{Session: id})
		p.send(id, &l2tp.ICCN{TxConnectSpeed: 100_000_000, FramingType: c.theirs})
		if up := count[CallUp](p) == 1; up != c.up {
			t.Errorf("we have %v, the ICCN says %v: up %v; %v", c.ours, c.theirs, up, p.actions)
		}
	}
}

// RFC 2661 section 4.4.3: the Framing Capabilities are "the types of framing
// that will be accepted or requested by the sender". An end that has none could
// have no call at all, so one that says so all the same has left the AVP blank.
func TestPeerWithoutFramingCapabilities(t *testing.T) {
	for _, want := range []l2tp.FramingType{0, l2tp.FramingAsync, l2tp.FramingSync} {
		p := dial(t, testConfig())
		sccrp := theirSCCRP()
		sccrp.FramingCapabilities = 0
		p.send(0, sccrp)
		p.ack()
		p.step(PlaceCall{Call: Call{Direction: Incoming, FramingType: want}})
		id := find[CallPlaced](p).Session
		p.send(id, &l2tp.ICRP{AssignedSessionID: 5})
		if want == 0 {
			want = l2tp.FramingSync
		}
		if iccn, _ := sentOf[*l2tp.ICCN](p); iccn.FramingType != want {
			t.Errorf("ICCN says %v, want %v", iccn.FramingType, want)
		}
	}
}

// The SCCRQ of Android's client as a log of xl2tpd shows it, with a window of
// one: RFC 2661 section 5.8: "An implementation may support a receive window of
// only 1". Nothing may be sent to it before the last message is acknowledged.
func TestWindowOfOne(t *testing.T) {
	packet := avps(t, `c802 0045 0000 0000 0000 0000
		8008 0000 0000 0001 8008 0000 0002 0100 800f 0000 0007 616e6f6e796d6f7573
		800a 0000 0003 00000003 8008 0000 0009 0d6a 8008 0000 000a 0001`)
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil {
		t.Fatal(err)
	}
	core, actions, err := Accept(epoch, testConfig(), h, payload)
	if err != nil {
		t.Fatal(err)
	}
	if peer := core.Peer(); peer.HostName != "anonymous" || peer.TunnelID != 0x0d6a || peer.ReceiveWindow != 1 {
		t.Errorf("peer %+v", peer)
	}
	p := &peer{t: t, tunnel: core, now: epoch, to: 10, ns: 1}
	p.take(actions)
	p.send(0, &l2tp.SCCCN{})
	for id := uint32(1); id <= 3; id++ {
		p.send(0, &l2tp.ICRQ{AssignedSessionID: id})
		p.step(AcceptCall{Session: find[CallRequested](p).Session})
		if id == 1 {
			sentOf[*l2tp.ICRP](p)
			p.nr-- // this ICRP is not acknowledged for now
		} else if len(p.sentTypes()) != 0 {
			t.Fatalf("sent %v with a message unacknowledged", p.sent)
		}
	}
	for id := uint32(2); id <= 3; id++ {
		p.nr++
		p.ack()
		if _, at := sentOf[*l2tp.ICRP](p); at.SessionID != id || len(p.sentTypes()) != 1 {
			t.Fatalf("sent %v, want the ICRP of call %d", p.sent, id)
		}
		p.nr--
	}
}

// The Ns of a ZLB is nothing to go by: RFC 2661 section 5.8: "All control
// messages take up one slot in the control message sequence number space, except
// the ZLB acknowledgement." A HELLO that only ZLBs answer, whatever their Ns,
// has been answered.
func TestHelloAnsweredByOddZLBs(t *testing.T) {
	p := accepted(t, testConfig())
	for _, ns := range []uint16{0, 1, 77, 0xffff} {
		p.wait(DefaultHelloInterval)
		sentOf[*l2tp.HELLO](p)
		zlb := l2tp.AppendControl(nil, p.to, 0, ns, p.nr, nil)
		binary.BigEndian.PutUint16(zlb[6:], ns) // xl2tpd puts Session IDs in some
		h, _, err := l2tp.ParseHeader(zlb)
		if err != nil {
			t.Fatal(err)
		}
		p.step(Receive{Header: h})
		if !p.tunnel.Acknowledged() || count[Drop](p) != 0 {
			t.Fatalf("Ns %d: %v", ns, p.actions)
		}
	}
	p.wait(DefaultHelloInterval - 1)
	if len(p.sent) != 0 || !p.tunnel.Established() {
		t.Errorf("state %v, sent %v", p.tunnel.State(), p.sent)
	}
}

// Vendors' AVPs, of the access line (RFC 5515) or private, and AVPs that have no
// place in the message do no harm as long as they are not mandatory and unknown:
// a Result Code in an ICRQ, which a client was seen to send, a Bearer Type that
// is 0, Cisco's NAS port.
func TestOddICRQ(t *testing.T) {
	p := accepted(t, testConfig())
	p.sendRaw(0, avps(t, `8008 0000 0000 000a 8008 0000 000e 0001 800a 0000 000f 00000000
		800a 0000 0012 00000000 800a 0000 0001 00010000
		0016 0de9 0002 44455520 51534320 43503235 30353732 000e 0009 0064 0102030405060708`))
	if c := find[CallRequested](p).Call; c.CallSerial != 0 || len(p.sent) != 1 || p.sent[0].Message != nil {
		t.Errorf("call %+v, sent %v", c, p.sent)
	}
}
