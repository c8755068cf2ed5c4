package tunnel

import (
	"maps"
	"slices"
	"testing"
	"time"

	"adit/proto/l2tp"
)

// fuzzer turns octets into events. What it makes is now and then sensible.
type fuzzer struct{ data []byte }

func (f *fuzzer) byte() byte {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return b
}

func (f *fuzzer) bytes(n int) []byte {
	n = min(n, len(f.data))
	b := f.data[:n]
	f.data = f.data[n:]
	return b
}

// session picks a Session ID: mostly one that is there, and the same one each
// time the same input is run.
func (f *fuzzer) session(t *Tunnel) uint32 {
	n := int(f.byte())
	if n < 200 && len(t.sessions) > 0 {
		ids := slices.Sorted(maps.Keys(t.sessions))
		return ids[n%len(ids)]
	}
	return uint32(n)
}

func (f *fuzzer) event(p *peer) Event {
	session := f.session(p.tunnel)
	call := Call{Direction: Direction(f.byte() & 1)}
	switch f.byte() % 16 {
	case 0:
		return Tick{}
	case 1:
		p.now = p.now.Add(time.Duration(f.byte()) * 500 * time.Millisecond)
		return Tick{}
	case 2:
		call.RemoteEndID = f.bytes(1)
		return PlaceCall{Call: call}
	case 3:
		return AcceptCall{Session: session, Connected: f.byte()&1 == 0}
	case 4:
		return RejectCall{Session: session}
	case 5:
		return ConnectCall{Session: session}
	case 6:
		return CloseCall{Session: session}
	case 7:
		if f.byte()&1 == 0 {
			return SetCircuitStatus{Session: session, Status: l2tp.CircuitStatus(f.byte() & 3)}
		}
		return SetLinkInfo{Session: session}
	case 8:
		return ReportWANErrors{Session: session}
	case 9:
		if f.byte() < 16 {
			return Stop{}
		}
		return Tick{}
	case 10:
		return Lose{}
	case 11: // octets as they are
		payload := f.bytes(int(f.byte()))
		return p.packet(session, payload)
	case 12: // any header
		h := l2tp.Header{
			Control: f.byte() > 10, HasSequence: true, HasLength: true, Version: 2,
			TunnelID: uint32(f.byte()), SessionID: session, Ns: uint16(f.byte()), Nr: uint16(f.byte()),
		}
		if h.TunnelID&1 == 0 {
			h.Version, h.TunnelID = p.version, p.to
		}
		return Receive{Header: h, Payload: f.bytes(int(f.byte()))}
	default:
		m := message(allTypes[int(f.byte())%len(allTypes)])
		if f.byte()&3 == 0 {
			session = 0
		}
		switch m := m.(type) {
		case *l2tp.ICRQ:
			m.AssignedSessionID = uint32(f.byte()) + 1
			session = 0
		case *l2tp.OCRQ:
			m.AssignedSessionID = uint32(f.byte()) + 1
			session = 0
		case *l2tp.ICRP:
			m.AssignedSessionID = uint32(f.byte()) + 1
		case *l2tp.OCRP:
			m.AssignedSessionID = uint32(f.byte()) + 1
		case *l2tp.CDN:
			m.AssignedSessionID = uint32(f.byte())
		}
		f.version3(m)
		return p.event(session, m)
	}
}

// version3 changes what only a request of version 3 has.
func (f *fuzzer) version3(m l2tp.Message) {
	switch m := m.(type) {
	case *l2tp.ICRQ:
		m.RemoteEndID, m.Sublayer, m.Sequencing = f.bytes(1), l2tp.SublayerType(f.byte()&3), l2tp.SequencingLevel(f.byte()&3)
		m.PseudowireType = l2tp.PseudowireType(f.byte() & 7)
		if tie := uint64(f.byte()); tie != 0 {
			m.SessionTie = &tie
		}
		if id := f.byte(); id&1 != 0 {
			m.ApplicationID = new(uint16(id & 2))
		}
	case *l2tp.ICRP:
		m.Sublayer, m.Sequencing, m.Cookie = l2tp.SublayerType(f.byte()&3), l2tp.SequencingLevel(f.byte()&3), f.bytes(4*int(f.byte()&1))
		if len(m.Cookie) != 4 {
			m.Cookie = nil
		}
	}
}

// fuzzConfigs are what FuzzStep can choose from.
var fuzzConfigs = []func() Config{
	testConfig, testConfig3, testConfigs["v3 authenticated"], testConfigs["v3 with two digests and two secrets"], fallbackConfig,
}

// tally holds the promises of the actions against each other.
type tally struct {
	p                    *peer
	open                 map[uint32]bool
	tunnelUp, down, gone int
}

func (c *tally) check() {
	t := c.p.t
	for _, a := range c.p.actions {
		if c.gone > 0 {
			if _, ok := a.(Drop); !ok {
				t.Fatalf("%v after Gone", describe(a))
			}
		}
		switch a := a.(type) {
		case CallPlaced:
			if a.Session == 0 || c.open[a.Session] {
				t.Fatalf("%v out of place", describe(a))
			}
			c.open[a.Session] = true
		case CallRequested:
			if a.Session == 0 || c.open[a.Session] {
				t.Fatalf("%v out of place", describe(a))
			}
			c.open[a.Session] = true
		case CallUp:
			if !c.open[a.Session] || c.tunnelUp == 0 || c.down > 0 || a.PeerSession == 0 {
				t.Fatalf("%v out of place", describe(a))
			}
		case CallDown:
			if a.Session != 0 && !c.open[a.Session] {
				t.Fatalf("%v out of place", describe(a))
			}
			delete(c.open, a.Session)
		case TunnelUp:
			c.tunnelUp++
		case TunnelDown:
			c.down++
			if len(c.open) != 0 {
				t.Fatalf("TunnelDown before the CallDown of %v", c.open)
			}
		case Gone:
			c.gone++
		}
	}
	if c.tunnelUp > 1 || c.down > 1 || c.gone > 1 || c.gone > c.down {
		t.Fatalf("%d up, %d down, %d gone", c.tunnelUp, c.down, c.gone)
	}
	if c.p.tunnel.Len() != len(c.open) {
		t.Fatalf("%d sessions, %d calls told of", c.p.tunnel.Len(), len(c.open))
	}
}

// FuzzStep feeds a tunnel with any events in any order. It must not panic, keep
// its promises, and end when it is told to.
func FuzzStep(f *testing.F) {
	f.Add([]byte{}, true, uint8(0))
	f.Add([]byte("\x00\x00\x0d\x01\x01\x00\x00\x02\x00\x00\x02\xff\x00\x0d\x08\x01\x05"), true, uint8(0))
	f.Add([]byte("\x00\x00\x0d\x01\x01\x00\x00\x02\x00\x00\x02\xff\x00\x0d\x08\x01\x05"), true, uint8(2))
	f.Add([]byte("\x00\x00\x0d\x02\x01\xff\x00\x0d\x08\x00\x05\x00\x00\x03\x00\x00\x00\x0d\x0a\x01"), false, uint8(0))
	f.Add([]byte("\x00\x00\x0d\x02\x01\xff\x00\x0d\x08\x00\x05\x00\x00\x03\x00\x00\x00\x0d\x0a\x01"), false, uint8(2))
	f.Add([]byte("\x00\x00\x09\x00\x00\x00\x01\x20\x00\x00\x0b\x10\x80\x08\x00\x00\x00\x00\x00\x0e"), true, uint8(0))
	f.Add([]byte("\x00\x00\x09\x00\x00\x00\x01\x20\x00\x00\x0b\x10\x80\x08\x00\x00\x00\x00\x00\x0e"), true, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, initiator bool, mode uint8) {
		cfg := fuzzConfigs[int(mode)%len(fuzzConfigs)]()
		cfg.TieBreaker = mode&0x80 != 0
		cfg.MaxSessions = 8
		var p *peer
		if initiator {
			p = dial(t, cfg)
		} else {
			cfg.Fallback = false
			p = accept(t, cfg, theirSCCRQ())
		}
		p.trusting = true // it breaks the order in which the nonces are told
		if mode&0x40 != 0 {
			p.version = l2tp.Version // an answer to a fallback, or a stranger
		}
		c := &tally{p: p, open: map[uint32]bool{}}
		c.check()
		in := &fuzzer{data}
		for len(in.data) > 0 {
			p.step(in.event(p))
			c.check()
		}
		p.step(Stop{})
		c.check()
		p.wait(5 * time.Minute)
		c.check()
		if p.tunnel.State() != Finished || c.gone != 1 {
			t.Fatalf("state %v", p.tunnel.State())
		}
		leaked(t, p.tunnel)
	})
}
