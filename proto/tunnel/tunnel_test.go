package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// RFC 2661 section 4.4.3: "The lower value "wins", and the "loser" MUST silently
// discard its tunnel. In the case where a tie breaker is present on both sides,
// and the value is equal, both sides MUST discard their tunnels. If a tie breaker
// is received, and an outstanding SCCRQ had no tie breaker value, the initiator
// which included the Tie Breaker AVP "wins". If neither side issues a tie
// breaker, then two separate tunnels are opened."
func TestResolveTie(t *testing.T) {
	low, high := []byte{0, 0, 0, 0, 0, 0, 1, 255}, []byte{0, 0, 0, 0, 0, 0, 2, 0}
	for _, c := range []struct {
		ours, theirs []byte
		want         Winner
	}{
		{nil, nil, Both}, {low, nil, Ours}, {nil, low, Theirs},
		{low, high, Ours}, {high, low, Theirs}, {low, bytes.Clone(low), Neither},
	} {
		if got := ResolveTie(c.ours, c.theirs); got != c.want {
			t.Errorf("ResolveTie(%x, %x) = %v, want %v", c.ours, c.theirs, got, c.want)
		}
	}
}

// Both ends dial at once; the one that loses takes the other's tunnel.
func TestTieBreaker(t *testing.T) {
	cfg := testConfig()
	cfg.TieBreaker = true
	p := dial(t, cfg)
	sccrq, _ := sentOf[*l2tp.SCCRQ](p)
	ours, ok := p.tunnel.TieBreaker()
	if !ok || sccrq.TieBreaker == nil || !bytes.Equal(ours, TieBytes(sccrq)) {
		t.Fatalf("tie breaker %x, in the SCCRQ %x", ours, TieBytes(sccrq))
	}
	theirs := theirSCCRQ()
	if ResolveTie(ours, TieBytes(theirs)) != Ours {
		t.Error("an SCCRQ without a tie breaker does not lose")
	}
	lower := uint64(1)
	theirs.TieBreaker = &lower
	if got := ResolveTie(ours, TieBytes(theirs)); got != Theirs {
		t.Errorf("winner %v", got)
	}
	p.step(Lose{})
	if len(p.sent) != 0 || p.tunnel.State() != Finished || find[TunnelDown](p).Cause.Err != ErrTieLost {
		t.Errorf("state %v, actions %v, sent %v", p.tunnel.State(), p.actions, p.sent)
	}
	if _, ok := p.tunnel.TieBreaker(); ok {
		t.Error("a tunnel that is gone has a tie breaker")
	}
}

// "idle | Receive SCCRQ, not acceptable | Send StopCCN, Clean up | idle": the
// packet that Refuse makes ends the tunnel of whoever sent the SCCRQ.
func TestRefuse(t *testing.T) {
	p := dial(t, testConfig())
	sccrq, sent := sentOf[*l2tp.SCCRQ](p)
	result := l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized, Message: "not from here"}
	packet := Refuse([]byte("prefix"), sent.Header, sccrq, result, 77)
	if !bytes.HasPrefix(packet, []byte("prefix")) {
		t.Fatalf("dst is lost: %x", packet)
	}
	h, payload, err := l2tp.ParseHeader(packet[len("prefix"):])
	if err != nil || h.TunnelID != 10 || h.SessionID != 0 || h.Ns != 0 || h.Nr != 1 {
		t.Fatalf("header %+v, %v", h, err)
	}
	p.step(Receive{h, payload})
	down := find[TunnelDown](p)
	if !down.Cause.Remote || down.Cause.Result != result {
		t.Errorf("cause %+v", down.Cause)
	}
	if got := Refuse(nil, sent.Header, nil, result, 77); got != nil {
		t.Errorf("an answer to nobody: %x", got)
	}
}

// Packets that cannot begin a tunnel make no state and get no answer.
func TestAcceptErrors(t *testing.T) {
	encode := func(m l2tp.Message) []byte {
		b, err := l2tp.AppendMessage(nil, m, l2tp.AppendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sccrq := encode(theirSCCRQ())
	first := l2tp.Header{Control: true, HasSequence: true, HasLength: true, Version: 2}
	second, data := first, first
	second.Ns = 1
	data.Control = false
	for name, c := range map[string]struct {
		h       l2tp.Header
		payload []byte
	}{
		"not first":            {second, sccrq},
		"data":                 {data, sccrq},
		"another message":      {first, encode(theirSCCRP())},
		"ZLB":                  {first, nil},
		"truncated":            {first, sccrq[:23]},
		"no tunnel ID":         {first, sccrq[:20]},
		"unknown message type": {first, []byte{0x80, 8, 0, 0, 0, 0, 0, 99}},
	} {
		tunnel, actions, err := Accept(epoch, testConfig(), c.h, c.payload)
		if tunnel != nil || actions != nil || err == nil {
			t.Errorf("%s: %v, %v, %v", name, tunnel, actions, err)
		}
	}
	if tunnel, _, err := Accept(epoch, testConfig(), first, sccrq); err != nil || tunnel.State() != WaitCtlConn {
		t.Errorf("the good one: %v", err)
	}
}

// An SCCRQ that cannot be read, but says whom to answer, is answered.
func TestAcceptAnswersUnreadable(t *testing.T) {
	payload, err := l2tp.AppendMessage(nil, theirSCCRQ(), l2tp.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	payload = append(payload, 0x80, 6, 0, 0, 3, 0xe7) // AVP 999 with the M bit
	h := l2tp.Header{Control: true, HasSequence: true, HasLength: true, Version: 2}
	tunnel, actions, err := Accept(epoch, testConfig(), h, payload)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, tunnel: tunnel}
	p.take(actions)
	stop, sent := sentOf[*l2tp.StopCCN](p)
	if sent.TunnelID != peerID || sent.Nr != 1 || stop.ResultCode.Error != l2tp.ErrorUnknownMandatoryAVP {
		t.Errorf("sent %v", sent)
	}
	if !strings.Contains(stop.ResultCode.Message, "999") {
		t.Errorf("the StopCCN does not name the AVP: %v", stop.ResultCode)
	}
	if find[Gone](p); tunnel.State() != Finished {
		t.Errorf("state %v", tunnel.State())
	}
}

// A value that does not fit ends the call it belongs to, and only that.
func TestUnsendableCall(t *testing.T) {
	p := dialled(t, testConfig())
	p.step(PlaceCall{Ref: "long", Call: Call{CalledNumber: strings.Repeat("1", 2000)}})
	if down := find[CallDown](p); !errors.Is(down.Cause.Err, ErrEncode) {
		t.Errorf("cause %+v", down.Cause)
	}
	// The ICRQ fits and the ICCN does not: then the peer has to be told.
	p.step(PlaceCall{Ref: "group", Call: Call{PrivateGroupID: make([]byte, 2000)}})
	id := find[CallPlaced](p).Session
	p.send(id, &l2tp.ICRP{AssignedSessionID: 600})
	if down := find[CallDown](p); down.Ref != "group" || !errors.Is(down.Cause.Err, ErrEncode) {
		t.Errorf("cause %+v", down.Cause)
	}
	if cdn, sent := sentOf[*l2tp.CDN](p); sent.SessionID != 600 || cdn.ResultCode.Error != l2tp.ErrorValue {
		t.Errorf("sent %v", p.sent)
	}
	if count[CallUp](p) != 0 || !p.tunnel.Established() {
		t.Errorf("actions %v, state %v", p.actions, p.tunnel.State())
	}
	leaked(t, p.tunnel)
}

// Without a host name, or without random numbers where they are needed, there is
// no tunnel, and a clear end at once.
func TestUnusableConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no host name":     {func(c *Config) { c.HostName = "" }, ErrEncode},
		"no tunnel ID":     {func(c *Config) { c.LocalID = 0 }, ErrEncode},
		"tie, no rand":     {func(c *Config) { c.TieBreaker, c.Rand = true, nil }, ErrRandom},
		"challenge, short": {func(c *Config) { c.Challenge, c.Secret, c.Rand = true, []byte("x"), strings.NewReader("short") }, ErrRandom},
		"no secret":        {func(c *Config) { c.Challenge = true }, ErrAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			c.change(&cfg)
			tunnel, actions := Dial(epoch, cfg)
			p := &peer{t: t, tunnel: tunnel}
			p.take(actions)
			if err := find[TunnelDown](p).Cause.Err; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if find[Gone](p); len(p.sent) != 0 || !tunnel.Deadline().IsZero() {
				t.Errorf("sent %v", p.sent)
			}
		})
	}
	cfg := testConfig()
	cfg.Rand = io.LimitReader(cfg.Rand, 2)
	p := dialled(t, cfg)
	p.step(PlaceCall{Ref: 1})
	p.step(PlaceCall{Ref: 2})
	if down := find[CallDown](p); down.Ref != 2 || down.Cause.Err != ErrRandom {
		t.Errorf("actions %v", p.actions)
	}
	// A refusal needs no randomness to be sent.
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 600})
	if cdn, _ := sentOf[*l2tp.CDN](p); cdn.AssignedSessionID == 0 || cdn.ResultCode.Result != l2tp.CDNNoFacilitiesTemporary {
		t.Errorf("sent %v", p.sent)
	}
}

// RFC 2661 section 5.8: "A peer MUST NOT withhold acknowledgment of messages as a
// technique for flow controlling control messages." One that does, and goes on
// asking, costs us a bounded amount of memory and its tunnel.
func TestOverload(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions = 10
	p := dialled(t, cfg)
	limit := defaultQueue(10)
	for i := range 2 * limit {
		_, payload := p.encode(0, &l2tp.ICRQ{AssignedSessionID: uint16(1000 + i)})
		h := p.header(0, nil)
		h.Ns, h.Nr = p.ns-1, 2 // nothing new is acknowledged
		p.step(Receive{h, payload})
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
	var ids []uint16
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

// What the owner hands in is copied, and what the peer sent is not kept.
func TestCallIsCopied(t *testing.T) {
	p := dialled(t, testConfig())
	channel, group, last := uint32(7), []byte("group"), []byte("last")
	p.step(PlaceCall{Call: Call{
		PhysicalChannelID: &channel, PrivateGroupID: group,
		ProxyLCP:  &l2tp.ProxyLCP{LastSent: last},
		ProxyAuth: &l2tp.ProxyAuth{Type: l2tp.ProxyAuthPAP, Name: "n", Response: last},
	}})
	channel = 8
	group[0], last[0] = 'X', 'X'
	p.send(find[CallPlaced](p).Session, &l2tp.ICRP{AssignedSessionID: 600})
	iccn, _ := sentOf[*l2tp.ICCN](p)
	if string(iccn.PrivateGroupID) != "group" || string(iccn.ProxyLCP.LastSent) != "last" || string(iccn.ProxyAuth.Response) != "last" {
		t.Errorf("ICCN %v", describe(iccn))
	}
	if c := find[CallUp](p).Call; *c.PhysicalChannelID != 7 {
		t.Errorf("channel %d", *c.PhysicalChannelID)
	}
}

// RFC 2661 section 4.3: with a shared secret AVPs can be hidden. Two ends that
// hide understand each other, and the number called is not to be read on the wire.
func TestHiding(t *testing.T) {
	link := newPair(t, func(c *Config) {
		c.Secret, c.HideAVPs, c.Challenge = []byte("s3cret"), true, true
	})
	link.step(link.a, PlaceCall{Call: Call{CalledNumber: "5551234"}})
	link.settle()
	for _, packet := range link.packets {
		if bytes.Contains(packet, []byte("5551234")) {
			t.Errorf("in the clear: %q", packet)
		}
	}
	if requested := link.find(CallRequested{}).(CallRequested); requested.Call.CalledNumber != "5551234" {
		t.Errorf("called %q", requested.Call.CalledNumber)
	}
}

// RFC 2661 section 5.1.1: "a single shared secret MUST exist between the LAC and
// LNS".
func TestDifferentSecrets(t *testing.T) {
	n := byte(0)
	link := newPair(t, func(c *Config) {
		n++
		c.Secret, c.Challenge = []byte{n}, true
	})
	if link.a.Established() || link.b.Established() {
		t.Fatalf("established: %v, %v", link.a.State(), link.b.State())
	}
	if got := link.a.Stats().AuthFailures + link.b.Stats().AuthFailures; got == 0 {
		t.Error("no failure counted")
	}
	// The text tells an operator at either end what to look at.
	down := link.find(TunnelDown{}).(TunnelDown)
	if !strings.Contains(down.Cause.Result.Message, "secret") || down.Cause.Result.Result != l2tp.StopCCNNotAuthorized {
		t.Errorf("cause %v", down.Cause.Result)
	}
}

// pair is two tunnel ends with a perfect wire between them.
type pair struct {
	t       *testing.T
	a, b    *Tunnel
	now     time.Time
	wire    []wirePacket
	packets [][]byte // all that went over it
	actions []Action // of both ends
	trace   []string
	lose    func(sentMessage) bool
}

type wirePacket struct {
	to     **Tunnel
	packet []byte
}

// newPair makes two ends and lets them set up their tunnel.
func newPair(t *testing.T, change func(*Config)) *pair {
	l := &pair{t: t, now: epoch}
	cfg := testConfig()
	change(&cfg)
	var actions []Action
	l.a, actions = Dial(l.now, cfg)
	l.perform(l.a, actions)
	other := testConfig()
	other.LocalID = 20
	change(&other)
	h, payload, err := l2tp.ParseHeader(l.wire[0].packet)
	if err != nil {
		t.Fatal(err)
	}
	l.wire = nil
	if l.b, actions, err = Accept(l.now, other, h, payload); err != nil {
		t.Fatal(err)
	}
	l.perform(l.b, actions)
	l.settle()
	return l
}

func (l *pair) step(end *Tunnel, ev Event) { l.perform(end, end.Step(l.now, ev)) }

func (l *pair) perform(from *Tunnel, actions []Action) {
	for _, a := range actions {
		s, ok := a.(Send)
		if !ok {
			l.actions = append(l.actions, a)
			continue
		}
		to, arrow := &l.a, "<-"
		if from == l.a {
			to, arrow = &l.b, "->"
		}
		packet := bytes.Clone(s.Packet)
		h, payload, _ := l2tp.ParseHeader(packet)
		m := sentMessage{Header: h}
		name := "ZLB"
		if len(payload) > 0 {
			m.Message, _ = l2tp.ParseMessage(payload, from.cfg.Secret)
			name = m.Message.Type().String()
		}
		l.trace = append(l.trace, fmt.Sprintf("%s %s Nr: %d, Ns: %d", arrow, name, h.Nr, h.Ns))
		l.packets = append(l.packets, packet)
		if l.lose == nil || !l.lose(m) {
			l.wire = append(l.wire, wirePacket{to, packet})
		}
	}
}

// settle delivers what is on the wire until there is nothing.
func (l *pair) settle() {
	for len(l.wire) > 0 {
		p := l.wire[0]
		l.wire = l.wire[1:]
		h, payload, err := l2tp.ParseHeader(p.packet)
		if err != nil {
			l.t.Fatal(err)
		}
		l.step(*p.to, Receive{h, payload})
	}
}

// tick lets time pass to the next deadline of either end.
func (l *pair) tick() {
	l.now = earliest(l.a.Deadline(), l.b.Deadline())
	l.step(l.a, Tick{})
	l.step(l.b, Tick{})
	l.settle()
}

func (l *pair) find(like Action) Action {
	l.t.Helper()
	for _, a := range l.actions {
		if fmt.Sprintf("%T", a) == fmt.Sprintf("%T", like) {
			return a
		}
	}
	l.t.Fatalf("no %T in %v", like, l.actions)
	return nil
}

// RFC 2661 appendix B.1 and B.2, number by number.
func TestAppendixB(t *testing.T) {
	l := newPair(t, func(c *Config) { c.Reliable = reliable.Config{} })
	wantTrace(t, l, "B.1",
		"-> SCCRQ Nr: 0, Ns: 0",
		"<- SCCRP Nr: 1, Ns: 0",
		"-> SCCCN Nr: 1, Ns: 1",
		"<- ZLB Nr: 2, Ns: 1",
	)

	// "An existing tunnel has a new session requested by the LAC. The ICRP is
	// lost and must be retransmitted by the LNS." There an acknowledgement
	// waits for the reply, so here too.
	l = newPair(t, func(c *Config) {
		c.Reliable = reliable.Config{AckDelay: 100 * time.Millisecond}
	})
	for !l.a.Acknowledged() || !l.b.Acknowledged() {
		l.tick()
	}
	l.trace, l.actions = nil, nil
	lost := false
	l.lose = func(m sentMessage) bool {
		_, is := m.Message.(*l2tp.ICRP)
		first := is && !lost
		lost = lost || is
		return first
	}
	l.step(l.a, PlaceCall{})
	l.settle()
	l.now = l.now.Add(time.Millisecond) // "LAC's timer started first, so fires first"
	l.step(l.b, AcceptCall{Session: l.find(CallRequested{}).(CallRequested).Session})
	for l.a.Stats().SessionsOpened == 0 || !l.a.Acknowledged() {
		l.tick()
	}
	wantTrace(t, l, "B.2",
		"-> ICRQ Nr: 1, Ns: 2",
		"<- ICRP Nr: 3, Ns: 1",
		"-> ICRQ Nr: 1, Ns: 2",
		"<- ZLB Nr: 3, Ns: 2",
		"<- ICRP Nr: 3, Ns: 1",
		"-> ICCN Nr: 2, Ns: 3",
		"<- ZLB Nr: 4, Ns: 2",
	)
}

func wantTrace(t *testing.T, l *pair, name string, want ...string) {
	t.Helper()
	if got := strings.Join(l.trace, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, strings.Join(want, "\n"))
	}
}

// The counters of Stats, and the accessors.
func TestStats(t *testing.T) {
	p := accepted(t, testConfig())
	p.now = p.now.Add(time.Second)
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 600})
	id := find[CallRequested](p).Session
	p.step(AcceptCall{Session: id})
	p.send(id, message(l2tp.TypeICCN))
	p.send(9, &l2tp.ICRQ{AssignedSessionID: 601})
	s := p.tunnel.Stats()
	if s.SessionsOpened != 1 || s.Refused != 1 || s.Received != 5 || s.Sent != 3 ||
		!s.EstablishedAt.Equal(epoch) || !s.LastReceived.Equal(p.now) || s.AuthFailures != 0 {
		t.Errorf("%+v", s)
	}
	n := 0
	for range p.tunnel.Sessions() {
		n++
		break
	}
	if n != 1 || p.tunnel.Len() != 1 || p.tunnel.LocalID() != 10 || p.tunnel.Initiator() || p.tunnel.Peer().HostName != "there" {
		t.Errorf("%d sessions, %+v", n, p.tunnel.Peer())
	}
}

// What can be printed has a name.
func TestStrings(t *testing.T) {
	for v, want := range map[fmt.Stringer]string{
		WaitCtlReply: "wait-ctl-reply", WaitCtlConn: "wait-ctl-conn", Established: "established",
		Dead: "dead", Finished: "finished", State(99): "State(99)",
		CallWaitTunnel: "wait-tunnel", CallWaitReply: "wait-reply", CallWaitOwner: "wait-owner",
		CallWaitConnect: "wait-connect", CallWaitCSAnswer: "wait-cs-answer",
		CallEstablished: "established", SessionState(99): "SessionState(99)",
		Incoming: "incoming", Outgoing: "outgoing", Direction(9): "Direction(9)",
		Both: "both", Ours: "ours", Theirs: "theirs", Neither: "neither", Winner(9): "Winner(9)",
	} {
		if got := v.String(); got != want {
			t.Errorf("%#v is %q, want %q", v, got, want)
		}
	}
}

// Packets that the owner should not have given to this tunnel change nothing.
func TestWrongHeader(t *testing.T) {
	p := dialled(t, testConfig())
	payload, err := l2tp.AppendMessage(nil, message(l2tp.TypeStopCCN), l2tp.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*l2tp.Header)
		want   error
	}{
		"data":           {func(h *l2tp.Header) { h.Control = false }, ErrUnexpected},
		"another tunnel": {func(h *l2tp.Header) { h.TunnelID = 11 }, ErrWrongTunnel},
		"no sequence":    {func(h *l2tp.Header) { h.HasSequence = false }, reliable.DropNotControl},
		"future Nr":      {func(h *l2tp.Header) { h.Nr = 999 }, reliable.DropNeverSent},
	} {
		h := p.header(0, nil)
		c.change(&h)
		p.step(Receive{h, payload})
		if got := find[Drop](p).Reason; got != c.want || p.tunnel.State() != Established || len(p.sent) != 0 {
			t.Errorf("%s: %v, want %v; state %v, sent %v", name, got, c.want, p.tunnel.State(), p.sent)
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
	p.step(Receive{h, payload})
	if len(p.sentTypes()) != 0 || len(p.sent) != 1 || p.tunnel.State() != Dead {
		t.Fatalf("sent %v, state %v", p.sent, p.tunnel.State())
	}
	p.wait(20 * time.Second)
	if len(p.sent) != 0 {
		t.Errorf("sent %v", p.sent)
	}
	// "maintain enough control connection state to properly accept StopCCN
	// retransmissions over at least a full retransmission cycle".
	p.step(Receive{h, payload})
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
