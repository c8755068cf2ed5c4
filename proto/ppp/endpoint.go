package ppp

import (
	"io"
	"time"
)

// Endpoint is one end of a PPP link: LCP, authentication and the network control
// protocols. It does nothing by itself: Step gives it what happened and returns
// what is to be done, and Deadline says when it wants a Tick. It is not safe for
// use from several goroutines.
type Endpoint struct {
	cfg  *Config
	base time.Time     // of all times below
	now  time.Duration // of the Step under way
	acts []Action      // of the Step under way

	own     compactGrant // what New was given
	granted compactGrant // with the verdict over it
	user    string       // of flagIdentified
	ident   string       // from the peer's Identification

	auth   *authenticator // the peer has to show who it is; nil: it need not, or LCP is down
	answer *answerer      // we have to
	proxy  *proxyAuth     // the LAC's authentication, until it is decided

	lcp    lcpLayer
	ipcp   ipcpLayer
	ipv6cp ipv6cpLayer

	setupAt, authAt, echoAt, sessionAt time.Duration // deadlines; 0: none
	trafficAt                          time.Duration
	partsAt                            time.Duration // begin of the count of parts

	count   Counters
	text    string // for Finished
	number  uint32 // of the last Authenticate action
	parts   uint16
	echoes  limiter // Echo-Replies sent
	rejects limiter // Protocol-Rejects and Code-Rejects sent
	pending uint8   // Echo-Requests without answer
	id      uint8   // of the last packet that is no Configure- or Terminate-Request
	loops   uint8   // in a row
	refused uint8   // attempts of the peer to show who it is, of all this link
	phase   Phase
	cause   Cause
	up      [families]bool
	flags   endpointFlags
}

// endpointFlags are an Endpoint's yes and no.
type endpointFlags uint16

const (
	flagStarted endpointFlags = 1 << iota
	flagFinished
	flagClosing       // a cause was found, or the owner closes
	flagAuthenticated // the peer showed who it is, or need not
	flagAnswered      // so did we
	flagProxied       // LCP was taken over
	flagNoEcho        // the peer rejected Echo-Requests
	flagIdentified    // the peer was let in once; it stays who it was then
	flagNoRandom      // Config.Rand failed
)

func (e *Endpoint) has(f endpointFlags) bool { return e.flags&f != 0 }

// Counters says what an Endpoint has met.
type Counters struct {
	FramesIn, FramesOut uint32 // of control protocols
	NetworkFrames       uint32 // frames of network protocols that came to Step
	Malformed           uint32 // dropped: no frame, no packet, or no list of options
	Discarded           uint32 // dropped: not for this phase, or not a reply to our request
	ProtocolRejectsIn   uint32
	ProtocolRejectsOut  uint32
	CodeRejectsOut      uint32
	RejectsSuppressed   uint32 // Protocol- and Code-Rejects not sent: too many
	Loops               uint32 // our own Magic-Number came back
	EchoesAnswered      uint32
	EchoesSuppressed    uint32 // Echo-Requests not answered: too many
	Renegotiations      uint32 // LCP left Opened and began anew
}

// New makes an endpoint of a link that does not carry frames yet. cfg must not
// change any more; grant is what the peer gets unless a verdict says otherwise.
func New(cfg *Config, grant Grant) *Endpoint {
	e := &Endpoint{cfg: cfg, own: compact(grant)}
	e.granted = e.own
	return e
}

// Phase returns where the link is.
func (e *Endpoint) Phase() Phase { return e.phase }

// Up says whether packets of a family may flow.
func (e *Endpoint) Up(f Family) bool { return int(f) < families && e.up[f] }

// Counters returns what was met so far.
func (e *Endpoint) Counters() Counters { return e.count }

// Identification returns what the peer called itself by RFC 1570 section 2.1, at
// most 64 octets, with what cannot be printed replaced; empty if it did not.
func (e *Endpoint) Identification() string { return e.ident }

// WantsTraffic says whether there is an idle timeout, so that Traffic matters.
func (e *Endpoint) WantsTraffic() bool { return e.granted.idle > 0 }

// Traffic tells when the last packet passed, for the idle timeout. It is to be
// called before a Tick.
func (e *Endpoint) Traffic(at time.Time) {
	if d := at.Sub(e.base); e.has(flagStarted) && d > e.trafficAt {
		e.trafficAt = d
	}
}

// Step gives the endpoint an event and returns what has to be done, in order.
// The slice is the caller's. A now before that of an earlier Step counts as that
// one: time does not go back.
func (e *Endpoint) Step(now time.Time, ev Event) []Action {
	if e.has(flagFinished) {
		return nil
	}
	if !e.has(flagStarted) {
		// The base lies a moment before, so that no time is zero, which says none.
		e.base = now.Add(-1)
	}
	e.now = max(e.now, now.Sub(e.base))
	now = e.time()
	switch ev := ev.(type) {
	case Start:
		e.start(ev.Proxy)
	case Receive:
		if e.has(flagStarted) {
			e.receive(now, ev.Frame)
		}
	case Tick:
		if e.has(flagStarted) {
			e.tick(now)
		}
	case Authenticated:
		e.verdict(now, ev)
	case Close:
		e.close(ev.Cause)
	}
	if e.has(flagNoRandom) && !e.has(flagFinished) {
		e.abandon("the source of random numbers failed")
	}
	acts := e.acts
	e.acts = nil
	return acts
}

// start begins the link: LCP is opened, and the lower layer is up.
func (e *Endpoint) start(p *Proxy) {
	if e.has(flagStarted) {
		return
	}
	e.flags |= flagStarted
	e.partsAt = e.now
	e.setupAt = e.now + e.cfg.setupTimeout()
	e.phase = PhaseEstablish
	e.lcp.theirs = lcpDefaults
	if p != nil && e.cfg.Proxy == ProxyAccept && e.takeOver(p) {
		return
	}
	e.run(&e.lcp, evOpen)
	e.run(&e.lcp, evUp)
}

// close ends the link because its owner wants it.
func (e *Endpoint) close(c Cause) {
	switch {
	case !e.has(flagStarted) || c == CauseLowerLayer:
		// Nobody is there to be told.
		e.setCause(c, c.String())
		e.networksDown()
		e.finish()
	default:
		e.fail(e.time(), c, c.String())
	}
}

// setCause remembers why the link ends; the first reason counts.
func (e *Endpoint) setCause(c Cause, text string) {
	if e.cause == CauseNone {
		e.cause, e.text = c, text
	}
}

// fail ends the link in good order: Terminate-Request, then Finished.
func (e *Endpoint) fail(_ time.Time, c Cause, text string) {
	if e.has(flagClosing | flagFinished) {
		return
	}
	e.setCause(c, text)
	e.ending()
	e.run(&e.lcp, evClose)
	if s := e.lcp.state; s < stateClosing {
		e.finish()
	}
}

// ending notes that from now on there is only the way to the end.
func (e *Endpoint) ending() {
	e.flags |= flagClosing
	e.setupAt, e.authAt, e.echoAt, e.sessionAt = 0, 0, 0, 0
	e.phase = PhaseTerminate
}

// abandon ends the link at once and in silence: nothing of what was made in
// this Step is sent.
func (e *Endpoint) abandon(text string) {
	kept := e.acts[:0]
	for _, a := range e.acts {
		if _, ok := a.(Send); !ok {
			kept = append(kept, a)
		}
	}
	e.acts = kept
	e.cause, e.text = CauseAdministrative, text
	e.networksDown()
	e.finish()
}

// finish says that the link is over.
func (e *Endpoint) finish() {
	if e.has(flagFinished) {
		return
	}
	e.setCause(CauseLCPFailed, CauseLCPFailed.String())
	e.networksDown()
	e.flags |= flagFinished
	e.phase = PhaseDead
	e.auth, e.answer, e.proxy = nil, nil, nil
	e.act(Finished{Cause: e.cause, Text: e.text})
}

// act has an action performed.
func (e *Endpoint) act(a Action) { e.acts = append(e.acts, a) }

// send puts a packet on the link. Its Address, Control and Protocol fields are
// never compressed: there is little to gain, and every peer understands these.
//
// RFC 1661 section 6.6: "The Address and Control fields MUST NOT be compressed
// when sending any LCP packet."
func (e *Endpoint) send(p Protocol, packet []byte) {
	if e.has(flagFinished) {
		return
	}
	e.count.FramesOut++
	b := make([]byte, 0, addressControlLen+2+len(packet))
	e.act(Send{Frame: append(AppendHeader(b, p), packet...)})
}

// random returns n octets from Config.Rand.
func (e *Endpoint) random(n int) []byte {
	b := make([]byte, n)
	if e.cfg.Rand == nil {
		e.flags |= flagNoRandom
		return b
	}
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		e.flags |= flagNoRandom
	}
	return b
}
