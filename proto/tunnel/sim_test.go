package tunnel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"adit/internal/simnet"
	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// simCall is what the owner of one end knows of one call.
type simCall struct {
	up, down int
	peer     uint32
	cause    Cause
}

// simTunnel is a tunnel with an owner who does random things.
type simTunnel struct {
	end      *simEnd
	core     *Tunnel
	timer    *simnet.Timer
	ups      int
	doubted  uint64 // AuthFailures when it came up
	downs    int
	gone     int
	stopped  bool
	calls    map[uint32]*simCall // by session; an ID does not come twice in a run
	unplaced int                 // calls that ended without an ID
	live     []uint32            // sessions that the owner may close
}

// simEnd is a host: it takes packets apart and gives them to their tunnel.
type simEnd struct {
	run     *simRun
	name    simnet.Addr
	other   simnet.Addr
	nextID  uint32
	tunnels map[uint32]*simTunnel
	all     []*simTunnel
}

// simMode is what the two ends of a run speak.
type simMode struct {
	a, b     uint8 // versions
	fallback bool  // of a
	digests  []l2tp.DigestType
	other    bool // b's secret is a's other one
}

// simModes take turns.
var simModes = []simMode{
	{a: l2tp.Version, b: l2tp.Version},
	{a: l2tp.Version3, b: l2tp.Version3},
	{a: l2tp.Version3, b: l2tp.Version3, fallback: true},
	{a: l2tp.Version, b: l2tp.Version},
	{a: l2tp.Version3, b: l2tp.Version3, digests: []l2tp.DigestType{l2tp.DigestSHA1, l2tp.DigestMD5}},
	{a: l2tp.Version3, b: l2tp.Version3, other: true},
	{a: l2tp.Version3, b: l2tp.Version, fallback: true},
}

type simRun struct {
	mode  simMode
	t     *testing.T
	seed  uint64
	net   *simnet.Net
	rand  *rand.Rand
	a, b  *simEnd
	trace strings.Builder

	version3 int // half sessions of version 3 compared
	ties     int // sessions that lost one
}

func (r *simRun) fatalf(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("seed %d at %v: %s", r.seed, r.net.Now().Sub(simnet.Start), fmt.Sprintf(format, args...))
}

// randReader makes Config.Rand of a seeded source.
type randReader struct{ *rand.Rand }

func (r randReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:1701")
	addrB = netip.MustParseAddrPort("192.0.2.2:1701")
)

func newSimRun(t *testing.T, seed uint64) *simRun {
	chance := rand.New(rand.NewPCG(seed, 99))
	link := simnet.Link{
		Loss:      chance.Float64() * 0.3,
		Duplicate: chance.Float64() * 0.2,
		Reorder:   chance.Float64() * 0.4,
		Delay:     time.Duration(chance.IntN(200)) * time.Millisecond,
		Jitter:    time.Duration(chance.IntN(200)) * time.Millisecond,
	}
	r := &simRun{mode: simModes[seed%uint64(len(simModes))], t: t, seed: seed, net: simnet.New(seed, link), rand: chance}
	r.a, r.b = r.newEnd(addrA, addrB, 100), r.newEnd(addrB, addrA, 200)
	return r
}

func (r *simRun) newEnd(name, other simnet.Addr, firstID uint32) *simEnd {
	e := &simEnd{run: r, name: name, other: other, nextID: firstID, tunnels: map[uint32]*simTunnel{}}
	r.net.Attach(name, func(now time.Time, from simnet.Addr, packet []byte) { e.receive(now, packet) })
	return e
}

func (e *simEnd) config() Config {
	r := e.run.rand
	e.nextID++
	c := Config{
		LocalID: e.nextID, HostName: e.name.String(),
		Secret: []byte("secret"), Challenge: r.IntN(2) == 0, HideAVPs: r.IntN(2) == 0,
		Bearer:        l2tp.BearerDigital,
		ReceiveWindow: uint16(1 + r.IntN(8)),
		HelloInterval: time.Duration(5+r.IntN(60)) * time.Second,
		CallTimeout:   time.Duration(20+r.IntN(60)) * time.Second,
		MaxSessions:   4 + r.IntN(30),
		AllowIncoming: true, AllowOutgoing: true,
		Rand:     randReader{r},
		Reliable: reliable.Config{MaxRetransmits: 12, AckDelay: time.Duration(r.IntN(3)) * 50 * time.Millisecond},
	}
	mode := e.run.mode
	if c.Version = mode.b; e.name == addrA {
		c.Version, c.Fallback = mode.a, mode.fallback
		if mode.other {
			c.Secret, c.OtherSecret = []byte("new secret"), []byte("secret")
		}
	}
	if c.Version == l2tp.Version3 {
		c.RouterID, c.Digests, c.TieBreaker = c.LocalID, mode.digests, r.IntN(4) > 0
		c.Pseudowires = []l2tp.PseudowireType{l2tp.PseudowirePPP, l2tp.PseudowireEthernet}
		if !c.Fallback {
			c.LocalID |= 0x70000000
		}
	}
	return c
}

// call is a call with what only version 3 has set at random.
func (r *simRun) call(c Call) Call {
	c.Pseudowire = []l2tp.PseudowireType{l2tp.PseudowirePPP, l2tp.PseudowireEthernet}[r.rand.IntN(2)]
	c.RemoteEndID = []byte{byte(r.rand.IntN(12))}
	c.Local.CookieLength = 4 * r.rand.IntN(3)
	c.LocalStatus = l2tp.CircuitNew | l2tp.CircuitStatus(r.rand.IntN(2))
	if r.rand.IntN(2) == 0 {
		c.Local.Sublayer, c.Local.Sequencing = l2tp.SublayerDefault, l2tp.SequencingLevel(r.rand.IntN(3))
	}
	return c
}

func (e *simEnd) add(core *Tunnel, actions []Action) *simTunnel {
	s := &simTunnel{end: e, core: core, calls: map[uint32]*simCall{}}
	e.tunnels[core.LocalID()] = s
	e.all = append(e.all, s)
	s.timer = e.run.net.At(time.Time{}, func(time.Time) { s.step(Tick{}) })
	s.perform(actions)
	return s
}

func (e *simEnd) receive(now time.Time, packet []byte) {
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil {
		e.run.fatalf("packet %x: %v", packet, err)
	}
	ev := Receive{Header: h, Payload: payload, Packet: packet}
	if h.TunnelID != 0 {
		if s := e.tunnels[h.TunnelID]; s != nil {
			s.step(ev)
		}
		return
	}
	m, err := l2tp.ParseMessage(h.Version, payload, []byte("secret"))
	if err != nil {
		return
	}
	var id uint32
	switch m := m.(type) {
	case *l2tp.SCCRQ:
		id = m.AssignedTunnelID
	case *l2tp.StopCCN:
		id = m.AssignedTunnelID
	}
	for _, s := range e.tunnels {
		if s.core.Peer().TunnelID == id && !s.core.Initiator() {
			s.step(ev)
			return
		}
	}
	if _, ok := m.(*l2tp.SCCRQ); ok {
		core, actions, err := AcceptPacket(now, e.config(), ev)
		if err != nil {
			e.run.fatalf("Accept: %v", err)
		}
		e.add(core, actions)
	}
}

func (s *simTunnel) step(ev Event) {
	s.perform(s.core.Step(s.end.run.net.Now(), ev))
}

func (s *simTunnel) call(id uint32) *simCall {
	if id == 0 {
		s.end.run.fatalf("session 0")
	}
	c := s.calls[id]
	if c == nil {
		c = new(simCall)
		s.calls[id] = c
		s.live = append(s.live, id)
	}
	return c
}

func (s *simTunnel) perform(actions []Action) {
	r := s.end.run
	later := func(ev Event) {
		r.net.After(time.Duration(r.rand.IntN(8000))*time.Millisecond, func(time.Time) { s.step(ev) })
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Send:
			if s.gone > 0 {
				r.fatalf("%s: Send after Gone", s.end.name)
			}
			r.net.Send(s.end.name, s.end.other, a.Packet)
		case CallPlaced:
			s.call(a.Session)
		case CallRequested:
			s.call(a.Session)
			switch r.rand.IntN(10) {
			case 0: // never answered: the deadline ends it
			case 1:
				later(RejectCall{Session: a.Session})
			default:
				later(AcceptCall{Session: a.Session, Connected: r.rand.IntN(2) == 0, Call: r.call(Call{})})
				if a.Call.Direction == Outgoing {
					r.net.After(9*time.Second, func(time.Time) { s.step(ConnectCall{Session: a.Session}) })
				}
			}
		case CallUp:
			c := s.call(a.Session)
			c.up++
			c.peer = a.PeerSession
			if c.up > 1 || c.down > 0 || a.PeerSession == 0 || s.ups == 0 || s.downs > 0 {
				r.fatalf("%s: %+v out of place", s.end.name, a)
			}
			switch r.rand.IntN(5) {
			case 0:
				later(CloseCall{Session: a.Session})
			case 3:
				later(SetCircuitStatus{Session: a.Session, Status: l2tp.CircuitStatus(r.rand.IntN(2))})
			case 1:
				later(SetLinkInfo{Session: a.Session})
			case 2:
				later(ReportWANErrors{Session: a.Session})
			}
		case CallDown:
			if a.Session == 0 {
				s.unplaced++
				continue
			}
			c := s.call(a.Session)
			c.down++
			c.cause = a.Cause
			if a.Cause.Err == ErrSessionTie {
				r.ties++
			}
			if c.down > 1 || s.downs > 0 {
				r.fatalf("%s: %+v out of place", s.end.name, a)
			}
		case TunnelUp:
			s.ups++
			s.doubted = s.core.Stats().AuthFailures
		case TunnelDown:
			s.downs++
		case Gone:
			s.gone++
			delete(s.end.tunnels, s.core.LocalID())
		}
	}
	s.timer.Reset(s.core.Deadline())
}

// place has the end place some calls at random times.
func (s *simTunnel) place(calls int) {
	r := s.end.run
	for range calls {
		r.net.After(time.Duration(r.rand.IntN(20000))*time.Millisecond, func(time.Time) {
			s.step(PlaceCall{Call: r.call(Call{Direction: Direction(r.rand.IntN(2)), CalledNumber: "1", CallSerial: r.rand.Uint32()})})
			if r.rand.IntN(4) == 0 && len(s.live) > 0 {
				s.step(CloseCall{Session: s.live[r.rand.IntN(len(s.live))]})
			}
		})
	}
}

// agree checks that two ends of a tunnel that is quiet and up have the same
// calls, with the same IDs.
func (r *simRun) agree(x, y *simTunnel) {
	r.t.Helper()
	for _, dir := range [][2]*simTunnel{{x, y}, {y, x}} {
		for s := range dir[0].core.Sessions() {
			if s.State != CallEstablished {
				r.fatalf("%s: session %d is still %v", dir[0].end.name, s.ID, s.State)
			}
			other, ok := dir[1].core.Session(s.PeerID)
			if !ok || other.State != CallEstablished || other.PeerID != s.ID ||
				other.LNS == s.LNS || other.Direction != s.Direction || other.Call.CallSerial != s.Call.CallSerial {
				r.fatalf("%s: session %+v has no other half: %+v", dir[0].end.name, s, other)
			}
			if dir[0].core.Peer().Version == l2tp.Version3 {
				r.agree3(&s.Call, &other.Call)
			}
		}
	}
}

// agree3 checks what only version 3 has: what one end wants is what the other is told.
func (r *simRun) agree3(ours, theirs *Call) {
	r.t.Helper()
	r.version3++
	if ours.Pseudowire != theirs.Pseudowire || !bytes.Equal(ours.RemoteEndID, theirs.RemoteEndID) {
		r.fatalf("%v %x and %v %x", ours.Pseudowire, ours.RemoteEndID, theirs.Pseudowire, theirs.RemoteEndID)
	}
	l, p := ours.Local, theirs.Peer
	if !bytes.Equal(l.Cookie, p.Cookie) || l.Sublayer != p.Sublayer || l.Sequencing != p.Sequencing || len(l.Cookie) != p.CookieLength {
		r.fatalf("wanted %+v, told %+v", l, p)
	}
	if (ours.LocalStatus^theirs.PeerStatus)&l2tp.CircuitActive != 0 {
		r.fatalf("circuit %v, told %v", ours.LocalStatus, theirs.PeerStatus)
	}
}

// ended checks what is left of a tunnel at the end of a run.
func (r *simRun) ended(s *simTunnel) {
	r.t.Helper()
	if s.downs != 1 || s.gone != 1 || s.ups > 1 || s.core.State() != Finished {
		r.fatalf("%s: %d up, %d down, %d gone, %v", s.end.name, s.ups, s.downs, s.gone, s.core.State())
	}
	for id, c := range s.calls {
		if c.down != 1 {
			r.fatalf("%s: call %d has %d CallDown", s.end.name, id, c.down)
		}
	}
	leaked(r.t, s.core)
}

// leaked fails the test if a tunnel without calls keeps anything of one.
func leaked(t testing.TB, c *Tunnel) {
	t.Helper()
	if len(c.sessions) != 0 || len(c.byPeer) != 0 || len(c.byEnd) != 0 || c.pending.head != nil || c.pending.tail != nil ||
		c.unsent.head != nil || c.unsent.tail != nil {
		t.Fatalf("leaked: %v %v %v %v", c.sessions, c.byPeer, c.pending, c.unsent)
	}
	used := 0
	for _, p := range c.ids.pages {
		used += p.count
		if p.number == 0 {
			used--
		}
	}
	if used != len(c.ids.freed) {
		t.Fatalf("%d IDs used, %d of them freed", used, len(c.ids.freed))
	}
}

// simResult is what happened in some runs.
type simResult struct{ established, connected, version3, ties int }

func (s *simResult) add(r simResult) {
	s.established += r.established
	s.connected += r.connected
	s.version3 += r.version3
	s.ties += r.ties
}

// lifetime runs one tunnel from dialling to Gone and returns what happened.
func lifetime(t *testing.T, seed uint64) (result simResult) {
	r := newSimRun(t, seed)
	core, actions := Dial(r.net.Now(), r.a.config())
	a := r.a.add(core, actions)
	a.place(r.rand.IntN(15))
	early := r.rand.IntN(5) == 0 // somebody stops in the middle
	stop := func(s *simTunnel, after time.Duration) {
		if s == nil || s.gone > 0 {
			return
		}
		s.stopped = true
		r.net.After(after, func(time.Time) { s.step(Stop{}) })
	}
	if early {
		stop(a, time.Duration(r.rand.IntN(25000))*time.Millisecond)
	}
	r.net.RunFor(3 * time.Second)
	if len(r.b.all) > 0 && !early {
		r.b.all[0].place(r.rand.IntN(15))
	}
	if early && r.rand.IntN(2) == 0 && len(r.b.all) > 0 {
		stop(r.b.all[0], time.Duration(r.rand.IntN(22000))*time.Millisecond)
	}
	r.net.RunFor(300 * time.Second)
	var b *simTunnel
	for _, s := range r.b.all {
		if s.core.LocalID() == a.core.Peer().TunnelID {
			b = s
		}
	}
	if !early && a.downs == 0 && b != nil && b.downs == 0 {
		r.agree(a, b)
		result.connected = 1
		if want := min(r.mode.a, r.mode.b); a.core.Peer().Version != want || b.core.Peer().Version != want {
			r.fatalf("versions %d and %d, want %d", a.core.Peer().Version, b.core.Peer().Version, want)
		}
	}
	// Both at once, one after the other, or only one.
	stop(a, time.Duration(r.rand.IntN(3))*time.Second)
	if r.rand.IntN(2) == 0 {
		stop(b, time.Duration(r.rand.IntN(3))*time.Second)
	}
	r.net.RunFor(600 * time.Second)
	for _, s := range append(r.a.all, r.b.all...) {
		r.ended(s)
		for _, c := range s.calls {
			result.established += c.up
		}
		// An acknowledgement may overtake the SCCRP that has the nonce it needs.
		if n := s.core.Stats().AuthFailures; s.ups > 0 && n > s.doubted {
			r.fatalf("%s: %d messages not believed", s.end.name, n-s.doubted)
		}
	}
	if !r.net.Quiet() {
		r.fatalf("not quiet")
	}
	result.version3, result.ties = r.version3, r.ties
	return result
}

// Two tunnel ends over a network that loses, repeats and reorders: every run
// ends, the ends agree, every call has exactly one end, nothing is left over.
func TestSimulatedLifetimes(t *testing.T) {
	seeds := simnet.Rounds(2000)
	var sum simResult
	for seed := range uint64(seeds) {
		sum.add(lifetime(t, seed))
	}
	t.Logf("%d seeds: %d tunnels compared end with end, %d half calls established, %d of version 3 compared, %d lost ties",
		seeds, sum.connected, sum.established, sum.version3, sum.ties)
	if sum.connected < seeds/2 || sum.established < seeds || sum.version3 < seeds || sum.ties < seeds/100 {
		t.Errorf("%+v of %d seeds: the test shows little", sum, seeds)
	}
}

// A run is a function of its seed.
func TestSimulationIsDeterministic(t *testing.T) {
	run := func() string {
		r := newSimRun(t, 7)
		r.net.Tap(func(now time.Time, from, to simnet.Addr, packet []byte, fate simnet.Fate) {
			fmt.Fprintln(&r.trace, now.UnixNano(), from, fate, binary.BigEndian.Uint16(packet[8:]), len(packet))
		})
		core, actions := Dial(r.net.Now(), r.a.config())
		r.a.add(core, actions).place(10)
		r.net.RunFor(time.Minute)
		return r.trace.String()
	}
	first := run()
	if len(first) < 1000 || first != run() {
		t.Errorf("two runs of one seed differ, or nothing happened (%d octets of trace)", len(first))
	}
}
