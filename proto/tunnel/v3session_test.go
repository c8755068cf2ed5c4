package tunnel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"adit/proto/l2tp"
)

func ethernet(c Call) Call {
	c.Pseudowire, c.RemoteEndID = l2tp.PseudowireEthernet, []byte("circuit 7")
	c.LocalStatus = l2tp.CircuitActive | l2tp.CircuitNew
	return c
}

// A session in both directions with all that version 3 has: each end is told what the
// other wants, in the messages of RFC 3931 sections 6.6 to 6.11.
func TestPseudowireSession(t *testing.T) {
	for _, direction := range []Direction{Incoming, Outgoing} {
		link := newPair(t, func(c *Config) {
			id := c.LocalID
			*c = testConfig3()
			c.LocalID |= id << 8
			c.Rand = randReader{rand.New(rand.NewPCG(uint64(id), 1))}
			c.Secret, c.HideAVPs = []byte("s3cret"), true
		})
		ours := Wire{CookieLength: 8, Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}
		theirs := Wire{CookieLength: 4, Sublayer: l2tp.SublayerATM}
		link.step(link.a, PlaceCall{Ref: "a", Call: ethernet(Call{
			Direction: direction, Local: ours, ApplicationID: new(uint16(9)), CallSerial: 77, TxConnectSpeed: 1e9, RxConnectSpeed: 1e8})})
		link.settle()
		asked := link.find(CallRequested{}).(CallRequested)
		c := asked.Call
		if c.Pseudowire != l2tp.PseudowireEthernet || string(c.RemoteEndID) != "circuit 7" || c.ApplicationID == nil || *c.ApplicationID != 9 || c.CallSerial != 77 ||
			c.TxConnectSpeed != 1e9 || c.RxConnectSpeed != 1e8 || c.PeerStatus != 3 || c.Direction != direction ||
			len(c.Peer.Cookie) != 8 || c.Peer.CookieLength != 8 || c.Peer.Sublayer != l2tp.SublayerDefault || c.Peer.Sequencing != l2tp.SequencingAll {
			t.Fatalf("%v: asked %s", direction, describe(c))
		}
		link.actions = nil
		link.step(link.b, AcceptCall{Session: asked.Session, Ref: "b", Connected: true, Call: Call{Local: theirs, LocalStatus: l2tp.CircuitNew}})
		link.settle()
		ups := map[any]CallUp{}
		for _, a := range link.actions {
			if up, ok := a.(CallUp); ok {
				ups[up.Ref] = up
			}
		}
		a, b := ups["a"], ups["b"]
		if a.PeerSession != b.Session || b.PeerSession != a.Session || a.LNS == b.LNS || b.Session != asked.Session {
			t.Fatalf("%v: %+v", direction, ups)
		}
		if !bytes.Equal(a.Call.Local.Cookie, b.Call.Peer.Cookie) || !bytes.Equal(b.Call.Local.Cookie, a.Call.Peer.Cookie) ||
			len(b.Call.Local.Cookie) != 4 || bytes.Equal(a.Call.Local.Cookie, make([]byte, 8)) {
			t.Errorf("%v: cookies %x %x %x %x", direction, a.Call.Local.Cookie, b.Call.Peer.Cookie, b.Call.Local.Cookie, a.Call.Peer.Cookie)
		}
		if a.Call.Peer.Sublayer != l2tp.SublayerATM || a.Call.PeerStatus != l2tp.CircuitNew || b.Call.PeerStatus != 3 {
			t.Errorf("%v: %s", direction, describe(a.Call))
		}
		for _, packet := range link.packets {
			if bytes.Contains(packet, []byte("circuit 7")) || bytes.Contains(packet, a.Call.Local.Cookie) {
				t.Errorf("%v: in the clear: %q", direction, packet)
			}
		}
	}
}

// RFC 3931 section 5.4.4: "A peer MUST NOT request an incoming or outgoing call with a PW
// Type AVP specifying a value not advertised [...]. Attempts to do so MUST result in the
// call being rejected via a CDN with the Result Code set to 14". And: "If sequencing is
// requested without requesting a L2-Specific Sublayer AVP, the session MUST be
// disconnected with a Result Code of 15".
func TestRequestsThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*l2tp.ICRQ)
		result uint16
		err    error
	}{
		"pseudowire":           {func(m *l2tp.ICRQ) { m.PseudowireType = l2tp.PseudowireHDLC }, 14, ErrPseudowire},
		"sequencing":           {func(m *l2tp.ICRQ) { m.Sequencing = l2tp.SequencingNonIP }, 15, ErrSublayer},
		"unknown sublayer":     {func(m *l2tp.ICRQ) { m.Sublayer = 3 }, 2, ErrSublayer},
		"unknown sequencing":   {func(m *l2tp.ICRQ) { m.Sublayer, m.Sequencing = 1, 3 }, 2, ErrSublayer},
		"no local session ID":  {nil, 2, nil},
		"remote ID in request": {func(m *l2tp.ICRQ) { m.RemoteSessionID = 5 }, 2, ErrSessionID},
	} {
		p := dialled(t, testConfig3())
		m := icrq(600)
		if c.change == nil {
			payload, _ := l2tp.AppendMessage(nil, m, l2tp.AppendOptions{Version: l2tp.Version3})
			payload = bytes.Replace(payload, []byte{0, 63, 0, 0, 2, 88}, []byte{0, 63, 0, 0, 0, 0}, 1)
			p.sendRaw(0, payload)
		} else {
			c.change(m)
			p.send(m.RemoteSessionID, m)
		}
		cdn, _ := sentOf[*l2tp.CDN](p)
		if cdn.ResultCode.Result != c.result || cdn.AssignedSessionID == 0 || p.tunnel.Len() != 0 || c.err != nil && find[Drop](p).Reason != c.err ||
			c.change != nil && cdn.RemoteSessionID != 600 {
			t.Errorf("%s: %v, %v", name, describe(cdn), p.actions)
		}
		if p.tunnel.Stats().Refused != 1 || !p.tunnel.Established() {
			t.Errorf("%s: %+v", name, p.tunnel.Stats())
		}
	}
}

// The same of replies and of connect messages: the session that is there ends.
func TestRepliesThatCannotBe(t *testing.T) {
	all, none := l2tp.SequencingAll, l2tp.SublayerNone
	begin := map[string]func() (*peer, uint32){
		"ICRP": func() (*peer, uint32) { return placeStage(Incoming)(t, testConfig3()) },
		"OCRP": func() (*peer, uint32) { return placeStage(Outgoing)(t, testConfig3()) },
		"ICCN": func() (*peer, uint32) { return requestStage(icrq(700), AcceptCall{})(t, testConfig3()) },
		"OCCN": func() (*peer, uint32) {
			return placeStage(Outgoing, &l2tp.OCRP{AssignedSessionID: 700})(t, testConfig3())
		},
	}
	for name, m := range map[string]l2tp.Message{
		"ICRP": &l2tp.ICRP{AssignedSessionID: 700, Session3: l2tp.Session3{Sequencing: all}},
		"OCRP": &l2tp.OCRP{AssignedSessionID: 700, Session3: l2tp.Session3{Sequencing: all}},
		"ICCN": &l2tp.ICCN{AssignedSessionID: 700, Update3: l2tp.Update3{Sequencing: &all, Sublayer: &none}},
		"OCCN": &l2tp.OCCN{AssignedSessionID: 700, Update3: l2tp.Update3{Sequencing: &all}},
	} {
		p, id := begin[name]()
		p.send(id, m)
		cdn, _ := sentOf[*l2tp.CDN](p)
		if cdn.ResultCode.Result != 15 || cdn.RemoteSessionID != 700 || cdn.AssignedSessionID != id || find[CallDown](p).Cause.Err != ErrSublayer {
			t.Errorf("%s: %v, %v", name, describe(cdn), p.actions)
		}
	}
}

// What our owner wants and cannot have does not go out.
func TestOwnWishesThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		call   Call
		result uint16
		err    error
	}{
		"pseudowire": {Call{Pseudowire: l2tp.PseudowireEthernetVLAN}, 14, ErrPseudowire},
		"sequencing": {Call{Local: Wire{Sequencing: l2tp.SequencingAll}}, 15, ErrSublayer},
		"cookie":     {Call{Local: Wire{CookieLength: 5}}, 2, ErrCookie},
		"own cookie": {Call{Local: Wire{Cookie: []byte("abc")}}, 2, ErrCookie},
	} {
		p := dialled(t, testConfig3())
		p.step(PlaceCall{Ref: name, Call: c.call})
		down := find[CallDown](p)
		if down.Ref != name || down.Cause.Result.Result != c.result || down.Cause.Err != c.err || len(p.sent) != 0 || p.tunnel.Len() != 0 {
			t.Errorf("%s: %v, sent %v", name, p.actions, p.sent)
		}
		if name == "pseudowire" {
			continue // the peer asked for it
		}
		p.send(0, icrq(600))
		p.step(AcceptCall{Session: find[CallRequested](p).Session, Ref: name, Call: c.call})
		cdn, _ := sentOf[*l2tp.CDN](p)
		if cdn.ResultCode.Result != c.result || find[CallDown](p).Cause.Err != c.err {
			t.Errorf("%s: %v, sent %v", name, p.actions, p.sent)
		}
	}
}

// A cookie that the owner has made goes as it is.
func TestCookieOfTheOwner(t *testing.T) {
	p := dialled(t, testConfig3())
	p.step(PlaceCall{Call: Call{Local: Wire{Cookie: []byte("cook"), CookieLength: 8}}})
	m, _ := sentOf[*l2tp.ICRQ](p)
	if string(m.Cookie) != "cook" || m.PseudowireType != l2tp.PseudowirePPP || m.CircuitStatus != 3 {
		t.Error(describe(m))
	}
	if s, _ := p.tunnel.Session(m.AssignedSessionID); s.Call.Local.CookieLength != 4 {
		t.Errorf("CookieLength %d of a cookie of 4 octets", s.Call.Local.CookieLength)
	}
}

// RFC 3931 section 5.4.5: "The ICCN, OCCN, and SLI control messages all MAY contain this
// AVP to update the status of the circuit after establishment of the L2TP session is
// requested."
func TestCircuitStatusBeforeTheSessionIsUp(t *testing.T) {
	told := func(p *peer) string {
		text := ""
		for _, s := range p.sent {
			var status *l2tp.CircuitStatus
			switch m := s.Message.(type) {
			case *l2tp.ICRQ:
				status = &m.CircuitStatus
			case *l2tp.ICRP:
				status = &m.CircuitStatus
			case *l2tp.ICCN:
				status = m.CircuitStatus
			case *l2tp.SLI:
				status = m.CircuitStatus
			}
			if status != nil {
				text += fmt.Sprint(s.Message.Type(), " ", *status, "; ")
			}
		}
		return text
	}
	want := func(p *peer, want string) {
		t.Helper()
		if got := told(p); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	p := dialled(t, testConfig3())
	p.step(PlaceCall{Call: ethernet(Call{})})
	id := find[CallPlaced](p).Session
	want(p, "ICRQ active, new; ")
	p.step(SetCircuitStatus{Session: id, Status: 0})
	want(p, "")
	p.send(id, &l2tp.ICRP{AssignedSessionID: 700, Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitNew}})
	want(p, "ICCN inactive; ")
	p.ack()
	p.step(SetCircuitStatus{Session: id, Status: l2tp.CircuitActive})
	want(p, "SLI active; ")

	// The recipient in wait-owner and wait-connect.
	p.send(0, icrq(601))
	id = find[CallRequested](p).Session
	p.ack()
	p.step(SetCircuitStatus{Session: id, Status: l2tp.CircuitActive})
	p.step(AcceptCall{Session: id})
	want(p, "ICRP active; ")
	p.step(SetCircuitStatus{Session: id, Status: 0})
	want(p, "")
	p.send(id, message(l2tp.TypeSLI)) // theirs is inactive, and was active in the ICRQ
	if count[CircuitStatus](p) != 0 {
		t.Error(p.actions)
	}
	p.send(id, &l2tp.ICCN{AssignedSessionID: 601})
	if up := find[CallUp](p); up.Call.PeerStatus != 0 {
		t.Error(describe(up))
	}
	p.ack()
	if s, _ := p.tunnel.Session(id); s.Call.LocalStatus != 0 {
		t.Error(s)
	}
	// An event for what is not there, and in version 2.
	p.step(SetCircuitStatus{Session: 4})
	if find[Drop](p).Reason != ErrUnknownSession {
		t.Error(p.actions)
	}
	p.step(SetLinkInfo{Session: id})
	if find[Drop](p).Reason != ErrWrongVersion {
		t.Error(p.actions)
	}
	p = dialled(t, testConfig())
	p.step(SetCircuitStatus{Session: 4})
	if find[Drop](p).Reason != ErrWrongVersion {
		t.Error(p.actions)
	}
}

// An end that has changed its mind before the session is up says so as soon as it is.
func TestCircuitStatusIsToldWhenTheSessionIsUp(t *testing.T) {
	p, id := placeStage(Outgoing)(t, testConfig3())
	p.step(SetCircuitStatus{Session: id, Status: 0})
	p.send(id, &l2tp.OCRP{AssignedSessionID: 700})
	p.send(id, message(l2tp.TypeOCCN))
	find[CallUp](p)
	if m, _ := sentOf[*l2tp.SLI](p); *m.CircuitStatus != 0 || m.RemoteSessionID != 700 || m.AssignedSessionID != id {
		t.Error(describe(m))
	}
	// That it is no longer new is no news.
	p, id = placeStage(Outgoing)(t, testConfig3())
	p.step(SetCircuitStatus{Session: id, Status: l2tp.CircuitActive})
	p.send(id, &l2tp.OCRP{AssignedSessionID: 700})
	p.send(id, message(l2tp.TypeOCCN))
	if find[CallUp](p); len(p.sentTypes()) != 0 {
		t.Errorf("sent %v", p.sent)
	}
}

// RFC 3931 section 5.4.4: "The peer must then use the Local Session ID AVP to perform a
// reverse lookup to find its session context. Session-level control messages defined in
// this document that might be subject to a reverse lookup by a receiving peer include the
// CDN, WEN, and SLI."
func TestReverseLookup(t *testing.T) {
	p, id := requestStage(icrq(600), AcceptCall{Ref: "ref"}, message(l2tp.TypeICCN))(t, testConfig3())
	status := l2tp.CircuitStatus(0)
	p.send(0, &l2tp.SLI{AssignedSessionID: 600, CircuitStatus: &status})
	if got := find[CircuitStatus](p); got != (CircuitStatus{Ref: "ref", Session: id}) {
		t.Error(got)
	}
	p.send(0, &l2tp.SLI{AssignedSessionID: 601, CircuitStatus: &status})
	if find[Drop](p).Reason != ErrUnknownSession {
		t.Error(p.actions)
	}
	p.send(0, &l2tp.WEN{AssignedSessionID: 600, CallErrors: l2tp.CallErrors{HardwareOverruns: 3}})
	if got := find[WANErrors](p); got.Session != id || got.Errors.HardwareOverruns != 3 {
		t.Error(got)
	}
	p.send(0, &l2tp.CDN{AssignedSessionID: 600, ResultCode: l2tp.ResultCode{Result: l2tp.CDNAdministrative}})
	if got := find[CallDown](p); got.Session != id || !got.Cause.Remote {
		t.Error(got)
	}
	// And by us: a call that is closed before the reply.
	p.step(PlaceCall{})
	id = find[CallPlaced](p).Session
	p.ack()
	p.step(CloseCall{Session: id})
	if m, _ := sentOf[*l2tp.CDN](p); m.RemoteSessionID != 0 || m.AssignedSessionID != id {
		t.Error(describe(m))
	}
}

// A message that names no session by its header does by its AVP, also if it cannot be
// read: that session ends, and no other.
func TestBadMessageOfASession(t *testing.T) {
	p, id := requestStage(icrq(600), AcceptCall{Ref: "ref"})(t, testConfig3())
	m := message(l2tp.TypeICCN).(*l2tp.ICCN)
	m.AssignedSessionID, m.RemoteSessionID = 600, id
	m.Extra = []l2tp.AVP{{Mandatory: true, Type: 999}}
	p.send(id, m)
	cdn, _ := sentOf[*l2tp.CDN](p)
	if cdn.ResultCode.Error != l2tp.ErrorUnknownMandatoryAVP || cdn.RemoteSessionID != 600 || cdn.AssignedSessionID != id || p.tunnel.Len() != 0 {
		t.Errorf("%v %v", describe(cdn), p.actions)
	}
}

// Session IDs of version 3: 32 bits at random, not 0, not in use, not soon again.
func TestWideIDs(t *testing.T) {
	var ids wideIDs
	r := randReader{rand.New(rand.NewPCG(1, 2))}
	none := func(uint32) bool { return false }
	high := 0
	for range 1000 {
		id, err := ids.take(epoch, r, none)
		if err != nil || id == 0 {
			t.Fatal(id, err)
		}
		if id > 0xffff {
			high++
		}
		ids.free(epoch, id)
	}
	if high < 990 || len(ids.recent) != 1000 {
		t.Errorf("%d beyond 16 bits, %d in quarantine", high, len(ids.recent))
	}
	zeros := bytes.NewReader(append(make([]byte, 8), 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 8))
	ids.free(epoch, 7)
	if id, err := ids.take(epoch, zeros, func(id uint32) bool { return id == 9 }); id != 8 || err != nil {
		t.Error(id, err)
	}
	if _, err := ids.take(epoch, zeros, none); err == nil {
		t.Error("no error without random numbers")
	}
	all := func(uint32) bool { return true }
	if _, err := ids.take(epoch, r, all); err != ErrTooManySessions {
		t.Error(err)
	}
	if _, err := ids.take(epoch.Add(idQuarantine), r, none); err != nil || ids.recent != nil || ids.freed != nil {
		t.Errorf("%v, %d kept", err, len(ids.freed))
	}
	// Their number is bounded, and the oldest goes first.
	ids = wideIDs{}
	for id := range uint32(maxQuarantine + 10) {
		ids.free(epoch, id+1)
	}
	if len(ids.freed) != maxQuarantine || len(ids.recent) != maxQuarantine || ids.taken(10) || !ids.taken(11) {
		t.Errorf("%d and %d kept", len(ids.freed), len(ids.recent))
	}
	// A hook's proposals have 32 bits too.
	next := uint32(0x80000000)
	cfg := testConfig3()
	cfg.NewSessionID = func() uint32 { next++; return next }
	p := dialled(t, cfg)
	p.step(PlaceCall{})
	if got := find[CallPlaced](p).Session; got != 0x80000001 {
		t.Errorf("%#x", got)
	}
}

// A tunnel with as many sessions as it may have, all up and down at once.
func TestManySessionsOfVersion3(t *testing.T) {
	cfg := testConfigs["v3 authenticated"]()
	cfg.Rand = randReader{rand.New(rand.NewPCG(1, 1))}
	p := dialled(t, cfg)
	const calls = 2000
	for i := range uint32(calls) {
		m := icrq(i + 1)
		m.RemoteEndID = fmt.Append(nil, i)
		p.send(0, m)
		id := find[CallRequested](p).Session
		p.step(AcceptCall{Session: id})
		p.ack()
		p.send(id, &l2tp.ICCN{AssignedSessionID: i + 1})
		find[CallUp](p)
	}
	if p.tunnel.Len() != calls || p.tunnel.Stats().AuthFailures != 0 {
		t.Fatalf("%d calls, %+v", p.tunnel.Len(), p.tunnel.Stats())
	}
	p.step(Stop{})
	if n := count[CallDown](p); n != calls {
		t.Errorf("%d ended", n)
	}
	leaked(t, p.tunnel)
	p.ack()
	p.wait(2 * time.Minute)
	find[Gone](p)
}
