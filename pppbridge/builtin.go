package pppbridge

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// ErrAddressTaken says that another session has an address or prefix already.
// The newer session is refused: to take it from a subscriber who is there would
// let anybody with the same password, or a mistake in a table, cut him off.
var ErrAddressTaken = errors.New("another session has the address")

// builtin is a Stepper: a Bridge that speaks PPP itself. What it negotiates for
// is a Link: that is all that differs between the data planes.
//
// Its own state belongs to the owner's goroutine, as Stepper says.
type builtin struct {
	endpoint *ppp.Endpoint
	link     Link
	subject  *subject
	onExit   func(circuit.Exit)

	ending *ending       // nil: nobody wants its end
	exit   *circuit.Exit // once finished
	number uint32        // of the Authenticate action that is to be answered; 0: none
	auth   ppp.Protocol
	kind   circuit.Kind

	told [2]bool // by ppp.Family: Access was told of its NetworkUp

	closing atomic.Bool
	phase   atomic.Uint32 // ppp.Phase
	known   atomic.Pointer[known]
}

// ending is why a bridge is to end.
type ending struct {
	closed  bool   // by Close
	reason  string // of Close or Terminate
	failure error  // of the link
}

// subject is what of a Spec is needed again whenever the peer has to show who
// it is: a Spec for each of 100,000 sessions would be some 50 MB.
type subject struct {
	access Access
	owner  Owner
	log    *logrus.Entry
	proxy  *ppp.Proxy // until Begin
	lns    bool
	only6  bool // IPv6 alone was configured
}

// known is what Info and Access are told; it is replaced, never changed.
type known struct {
	user            string
	routes          []netip.Prefix
	localID, peerID uint64
	local, peer     [4]byte        // zero: none
	servers         *[4]netip.Addr // DNS and WINS that the peer told us; nil: none
}

// NewBuiltin makes the bridge of one session, with a link of the plane. It does
// not block. onExit is called exactly once if there was no error, where the
// plane calls LinkEvents.Closed. Stop is the most time from Close to the end; 0:
// 10 s. Spec.Endpoint and Spec.Owner are required.
func NewBuiltin(spec Spec, frames circuit.Frames, onExit func(circuit.Exit), plane Plane) (Stepper, error) {
	switch {
	case spec.Endpoint == nil || spec.Owner == nil:
		return nil, errors.New("open the built-in endpoint: it was given no configuration or no owner")
	case len(spec.Endpoint.Authenticate) > 0 && spec.Access == nil:
		return nil, errors.New("open the built-in endpoint: nobody is there to authenticate the peer")
	}
	if spec.Log == nil {
		spec.Log = discardLog()
	}
	var grant ppp.Grant
	if spec.Grant != nil {
		grant = *spec.Grant
	}
	if spec.LocalIP.IsValid() {
		grant.Local = spec.LocalIP
	}
	if spec.RemoteIP.IsValid() {
		grant.Peer = spec.RemoteIP
	}
	b := &builtin{
		endpoint: ppp.New(spec.Endpoint, grant), subject: newSubject(&spec), onExit: onExit, kind: plane.Kind(),
	}
	link, err := plane.Open(&spec, frames, (*builtinEvents)(b))
	if err != nil {
		return nil, err
	}
	b.link = link
	return b, nil
}

func newSubject(s *Spec) *subject {
	return &subject{access: s.Access, owner: s.Owner, log: s.Log, proxy: proxyOf(s), lns: s.LNS,
		only6: s.Endpoint.IPv6 && !s.Endpoint.IPv4}
}

// proxyOf is what the LAC negotiated before us, as the endpoint wants it; nil if
// it did not tell.
func proxyOf(s *Spec) *ppp.Proxy {
	if s.ProxyLCP == nil && s.ProxyAuth == nil {
		return nil
	}
	p := &ppp.Proxy{}
	if l := s.ProxyLCP; l != nil {
		p.InitialReceived, p.LastSent, p.LastReceived = l.InitialReceived, l.LastSent, l.LastReceived
	}
	if a := s.ProxyAuth; a != nil && a.Complete() {
		switch a.Type {
		case l2tp.ProxyAuthCHAP:
			p.Method = ppp.MethodCHAP
		case l2tp.ProxyAuthPAP:
			p.Method = ppp.MethodPAP
		default:
			// Not by a protocol of ours: we do it again.
			return p
		}
		p.Name, p.ID, p.Challenge, p.Response = a.Name, a.ID, a.Challenge, a.Response
	}
	return p
}

// Kind is Bridge's.
func (b *builtin) Kind() circuit.Kind { return b.kind }

// SetACCM is Bridge's: nothing is escaped in L2TP.
func (b *builtin) SetACCM(_, _ uint32) {}

// Deliver is Bridge's.
func (b *builtin) Deliver(burst *circuit.Burst, now time.Time, frame []byte) {
	b.link.Deliver(burst, now, frame)
}

// Stats is Bridge's.
func (b *builtin) Stats() circuit.Stats { return b.link.Stats() }

// Info is Bridge's.
func (b *builtin) Info() circuit.Info {
	i := circuit.Info{Interface: b.link.Name(), Phase: ppp.Phase(b.phase.Load()).String()}
	if k := b.known.Load(); k != nil {
		i.User, i.LocalIP, i.PeerIP, i.Routes = k.user, addr4(k.local), addr4(k.peer), k.routes
		if k.localID != 0 {
			i.LocalIPv6, i.PeerIPv6 = linkLocal(k.localID), linkLocal(k.peerID)
		}
		if k.local != [4]byte{} || k.localID != 0 {
			i.Phase = "up"
		}
	}
	return i
}

// Begin is Stepper's.
func (b *builtin) Begin(now time.Time) {
	proxy := b.subject.proxy
	b.subject.proxy = nil
	b.step(now, ppp.Start{Proxy: proxy})
}

// Control is Stepper's.
func (b *builtin) Control(now time.Time, frame []byte) { b.step(now, ppp.Receive{Frame: frame}) }

// Deadline is Stepper's.
func (b *builtin) Deadline() time.Time {
	if b.exit != nil {
		return time.Time{}
	}
	return b.endpoint.Deadline()
}

// Tick is Stepper's.
func (b *builtin) Tick(now time.Time) {
	if b.exit != nil {
		return
	}
	if b.endpoint.WantsTraffic() {
		if idle, ok := b.link.Idle(now); ok {
			b.endpoint.Traffic(now.Add(-idle))
		}
	}
	b.step(now, ppp.Tick{})
}

// Terminate is Stepper's.
func (b *builtin) Terminate(now time.Time, reason string) {
	if b.exit == nil {
		b.end().reason = reason
		b.step(now, ppp.Close{Cause: ppp.CauseAdministrative})
	}
}

// Close is Bridge's. Nothing more passes to the peer, so nothing is said.
func (b *builtin) Close(reason string) {
	if b.closing.Swap(true) {
		return
	}
	end := func(now time.Time) {
		e := b.end()
		e.closed, e.reason = true, reason
		b.step(now, ppp.Close{Cause: ppp.CauseLowerLayer})
	}
	if !b.subject.owner.Post(end) {
		// The owner has ended, so nobody else is at our state.
		b.ending = &ending{closed: true, reason: reason}
		b.finish(ppp.CauseAdministrative, reason)
	}
}

func (b *builtin) end() *ending {
	if b.ending == nil {
		b.ending = new(ending)
	}
	return b.ending
}

// builtinEvents is a builtin as its link sees it.
type builtinEvents builtin

// Up is LinkEvents'.
func (e *builtinEvents) Up(f ppp.Family, a Attachment) {
	b := (*builtin)(e)
	if k := b.known.Load(); k != nil && b.exit == nil && b.subject.access != nil {
		b.told[f] = true
		b.subject.access.NetworkUp(f, k.network(), a)
	}
}

// Packet is LinkEvents'.
func (e *builtinEvents) Packet(packet []byte) {
	if e.subject.access != nil {
		e.subject.access.Packet(packet)
	}
}

// Failed is LinkEvents'.
func (e *builtinEvents) Failed(now time.Time, err error) { (*builtin)(e).fail(now, err) }

// Closed is LinkEvents'. The counters are the last: nothing passes any more.
func (e *builtinEvents) Closed(time.Time) {
	e.exit.Stats = e.link.Stats()
	e.onExit(*e.exit)
}

// fail ends PPP because the link has failed.
func (b *builtin) fail(now time.Time, err error) {
	if b.exit != nil {
		return
	}
	if e := b.end(); e.failure == nil {
		e.failure = err
	}
	cause := ppp.CauseLowerLayer
	if errors.Is(err, ErrAddressTaken) {
		cause = ppp.CauseNoAddress
	}
	b.step(now, ppp.Close{Cause: cause})
}

// step has the endpoint take an event, and does what it says.
func (b *builtin) step(now time.Time, ev ppp.Event) {
	if b.exit != nil {
		return
	}
	for _, a := range b.endpoint.Step(now, ev) {
		b.perform(a)
	}
	b.phase.Store(uint32(b.endpoint.Phase()))
}

func (b *builtin) perform(a ppp.Action) {
	switch a := a.(type) {
	case ppp.Send:
		if p, _, err := ppp.Split(a.Frame); err == nil && isAuth(p) {
			b.auth = p
		}
		b.link.SendControl(a.Frame)
	case ppp.LinkUp:
		b.link.LCPUp(a.Link)
		b.subject.owner.LinkUp(a.Link)
	case ppp.Authenticate:
		b.authenticate(a)
	case ppp.NetworkUp:
		b.learn(a.Network)
		b.link.Up(a.Family, a.Network)
		b.logUp(a)
	case ppp.NetworkDown:
		b.forget(a.Family)
		b.link.Down(a.Family)
		b.networkDown(a.Family)
	case ppp.Finished:
		b.finish(a.Cause, a.Text)
	}
}

func isAuth(p ppp.Protocol) bool {
	return p == ppp.ProtocolPAP || p == ppp.ProtocolCHAP || p == ppp.ProtocolEAP
}

// authenticate asks Access, whose answer comes by the owner's queue, so that it
// never runs inside a Step.
func (b *builtin) authenticate(a ppp.Authenticate) {
	b.number = a.Number
	owner, number := b.subject.owner, a.Number
	var answered atomic.Bool
	answer := func(v ppp.Verdict) {
		if answered.Swap(true) {
			return
		}
		owner.Post(func(now time.Time) {
			if b.number == number {
				b.number = 0
				b.step(now, ppp.Authenticated{Number: number, Verdict: v})
			}
		})
	}
	if b.subject.access == nil {
		answer(ppp.Verdict{}) // nobody knows the peer
		return
	}
	b.subject.access.Authenticate(a.Request, answer)
}

func (b *builtin) learn(n ppp.Network) {
	k := &known{
		user: n.User, local: as4(n.LocalIPv4), peer: as4(n.PeerIPv4), localID: n.LocalID, peerID: n.PeerID, routes: n.Routes,
	}
	if s := [4]netip.Addr{n.DNS[0], n.DNS[1], n.WINS[0], n.WINS[1]}; s != [4]netip.Addr{} {
		k.servers = &s
	}
	b.known.Store(k)
}

// network is what learn was told, without what was forgotten since.
func (k *known) network() ppp.Network {
	n := ppp.Network{
		User: k.user, LocalIPv4: addr4(k.local), PeerIPv4: addr4(k.peer), LocalID: k.localID, PeerID: k.peerID, Routes: k.routes,
	}
	if s := k.servers; s != nil {
		n.DNS, n.WINS = [2]netip.Addr(s[:2]), [2]netip.Addr(s[2:])
	}
	return n
}

func (b *builtin) forget(f ppp.Family) {
	old := b.known.Load()
	if old == nil {
		return
	}
	k := *old
	if f == ppp.IPv4 {
		k.local, k.peer, k.servers = [4]byte{}, [4]byte{}, nil
	} else {
		k.localID, k.peerID = 0, 0
	}
	b.known.Store(&k)
}

func (b *builtin) logUp(a ppp.NetworkUp) {
	log, n := b.subject.log, &a.Network
	if n.User != "" {
		log = log.WithField("user", n.User)
	}
	if a.Family == ppp.IPv4 {
		log.WithFields(logrus.Fields{"local": n.LocalIPv4, "peer": n.PeerIPv4}).Info("PPP is up for IPv4")
		return
	}
	log.WithFields(logrus.Fields{"local": linkLocal(n.LocalID), "peer": linkLocal(n.PeerID)}).Info("PPP is up for IPv6")
}

// finish is the end of PPP; that of the bridge follows when the link is gone.
func (b *builtin) finish(c ppp.Cause, text string) {
	if b.exit != nil {
		return
	}
	e := causeExit(c, text, b.auth, b.subject)
	if why := b.ending; why != nil {
		if why.failure != nil {
			e.Err, e.Text = why.failure, why.failure.Error()
			if c == ppp.CauseLowerLayer {
				e.Result = resultOf(l2tp.CDNNoFacilitiesTemporary, "")
			}
		}
		if e.Closed = why.closed; why.reason != "" && (why.closed || c == ppp.CauseAdministrative) {
			e.Text = why.reason
		}
	}
	b.exit = &e
	b.number = 0
	b.phase.Store(uint32(ppp.PhaseDead))
	b.known.Store(nil)
	b.link.Close()
	b.networkDown(ppp.IPv4)
	b.networkDown(ppp.IPv6)
}

// networkDown tells Access, if it was told of the family's NetworkUp.
func (b *builtin) networkDown(f ppp.Family) {
	if b.told[f] {
		b.told[f] = false
		b.subject.access.NetworkDown(f)
	}
}

// addr4 is the address; the zero Addr for none.
func addr4(a [4]byte) netip.Addr {
	if a == [4]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom4(a)
}

// linkLocal is the address that an interface identifier makes, RFC 5072 section
// 5.
func linkLocal(id uint64) netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80}
	for i := range 8 {
		a[15-i] = byte(id >> (8 * i))
	}
	return netip.AddrFrom16(a)
}
