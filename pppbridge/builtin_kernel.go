package pppbridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

// kernelLink is the built-in endpoint's link on the kernel plane: a PPPoX socket
// and its PPP channel, and from the first network protocol on a unit with its
// interface. The kernel moves the packets; the frames of control protocols are
// read in the poller's goroutine and handed to the owner.
//
// An interface costs milliseconds and addresses tens of microseconds of
// blocking system calls, so none of them is made on the owner's goroutine: it
// says what it wants, and a worker brings the kernel there, one step after the
// other. A session that ends meanwhile is one more thing wanted; the worker
// finds it after the step that it is at, and takes down whatever there is then.
//
// The unit is not made before a network protocol is up: a peer that has not
// shown who it is gets no interface, and floods of such peers no RTNL lock.
// Until then every frame of the peer is read from the channel.
//
// Methods without a word on it are called on the owner's goroutine.
type kernelLink struct {
	plane  *kernelPlane
	owner  Owner
	entry  *logrus.Entry
	events LinkEvents
	// Of the Spec only what is needed later: it is large.
	pattern  string // of the interface's name; empty: the kernel's
	maxMTU   uint16 // 0: what the peer takes
	localMRU uint16 // 0: the kernel's

	addressHolder // as an LNS

	channel pppChannel // set once by a worker, under mu

	mu       sync.Mutex
	wanted   [2]*ppp.Network // by ppp.Family; nil: down
	mru      uint16          // of the peer
	phase    linkPhase
	queued   bool // a worker has it, or will
	socket   pppSession
	unit     pppUnit
	name     string // of the interface
	handles  [2]kernel.Handle
	lastSeen kernel.L2TPStats // when the session was last there
	// applied is what the worker has made of wanted, or is at. It alone changes
	// it, under mu.
	applied [2]*ppp.Network

	broken bool // the worker's own

	closing bool // the owner's own, as told
	told    bool
	early   atomic.Uint64
	notUp   atomic.Uint64
	tooLong atomic.Uint64
}

// linkPhase is where a kernelLink is on its way to its end.
type linkPhase uint8

const (
	linkOpen      linkPhase = iota
	linkReleasing           // closed by its owner; the poller is still to let go of it
	linkReleased            // the poller reads nothing of it any more
	linkGone
)

var linkPhaseNames = [...]string{"open", "releasing", "released", "gone"}

// String names the phase.
func (p linkPhase) String() string {
	if int(p) < len(linkPhaseNames) {
		return linkPhaseNames[p]
	}
	return fmt.Sprintf("phase(%d)", uint8(p))
}

// Kind is BuiltinKernel.
func (p *kernelPlane) Kind() circuit.Kind { return circuit.BuiltinKernel }

// Open opens the session in the kernel at once, so that it knows it from the
// moment it is up, and has a worker open its channel. Frames are not needed: the
// kernel makes the messages.
func (p *kernelPlane) Open(spec *Spec, _ circuit.Frames, events LinkEvents) (Link, error) {
	x, err := p.openSession(spec)
	if err != nil {
		return nil, err
	}
	l := &kernelLink{
		plane: p, owner: spec.Owner, entry: spec.Log, events: events, socket: x, mru: ppp.DefaultMRU,
		pattern: spec.Interface, maxMTU: maxMTU(spec), localMRU: uint16(spec.MRU),
		addressHolder: addressHolder{tunnel: spec.LocalTunnel, session: spec.LocalSession, lns: spec.LNS},
	}
	if l.entry == nil {
		l.entry = discardLog()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue()
	return l, nil
}

// maxMTU is the most that is configured for the interface; 0: nothing is.
func maxMTU(spec *Spec) uint16 {
	most := uint16(spec.MTU)
	if e := spec.Endpoint; e != nil && e.MRU != 0 && (most == 0 || e.MRU < most) {
		most = e.MRU
	}
	return most
}

// openSession opens the session in the kernel, with its options set.
func openSession(spec *Spec) (pppSession, error) {
	x, err := kernel.OpenSession(max(spec.Version, 2), spec.UDP, spec.Peer, spec.LocalTunnel, spec.PeerTunnel, spec.LocalSession, spec.PeerSession)
	if err != nil {
		return nil, err
	}
	if err := setSessionOptions(x, spec); err != nil {
		_ = x.Close()
		return nil, err
	}
	return x, nil
}

// setSessionOptions sets what the kernel does about sequence numbers.
func setSessionOptions(x *kernel.PPPoX, s *Spec) error {
	for _, err := range [...]error{
		x.SetLNSMode(s.LNS),
		x.SetSendSeq(s.SendSequence),
		x.SetRecvSeq(s.RequireSequence),
		x.SetReorderTimeout(s.ReorderTimeout),
	} {
		if err != nil {
			return err
		}
	}
	if s.KernelDebug != 0 {
		return x.SetDebug(s.KernelDebug)
	}
	return nil
}

// SendControl sends a frame of a control protocol, with or without Address and
// Control. It does not block; like any line, it may lose it.
func (l *kernelLink) SendControl(frame []byte) {
	frame = withoutAddress(frame)
	if l.closing || len(frame) == 0 {
		return
	}
	l.mu.Lock()
	channel, fd := l.channel, -1
	if l.socket != nil {
		fd = l.socket.FD()
	}
	l.mu.Unlock()
	if channel != nil {
		_ = channel.Write(frame)
		return
	}
	// The session itself takes frames before its channel is there.
	_, _ = unix.Write(fd, frame)
}

// withoutAddress takes the Address and Control fields off, which the kernel puts
// there itself. Those of control protocols have Protocol fields of two octets.
func withoutAddress(frame []byte) []byte {
	if len(frame) >= 2 && frame[0] == ppp.AllStations && frame[1] == ppp.UnnumberedInformation {
		return frame[2:]
	}
	return frame
}

// LCPUp takes what LCP agreed on. It has its effect with the next Up.
func (l *kernelLink) LCPUp(link ppp.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mru = link.PeerMRU
}

// Up says that packets of a family may flow. It is done soon, by a worker; until
// then they are dropped. Addresses that another session has are refused.
func (l *kernelLink) Up(f ppp.Family, n ppp.Network) {
	if err := l.want(f, &n); err != nil {
		l.log().WithError(err).Warn("the session cannot have the address that it was given")
		l.fail(err)
	}
}

// Down says that packets of a family may not flow any more.
func (l *kernelLink) Down(f ppp.Family) { _ = l.want(f, nil) }

func (l *kernelLink) want(f ppp.Family, n *ppp.Network) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != linkOpen {
		return nil
	}
	if err := l.claim(f, n); err != nil {
		return err
	}
	before := l.wanted[f]
	l.wanted[f] = n
	l.disclaim(f, before)
	l.enqueue()
	return nil
}

// enqueue gives it to a worker unless one has it. mu is held.
func (l *kernelLink) enqueue() {
	if !l.queued {
		l.queued = true
		l.plane.workers.add(l)
	}
}

// Close takes the link down: the interface vanishes with its addresses and
// routes, the kernel forgets the session. It returns at once. Closing twice does
// nothing.
func (l *kernelLink) Close() {
	if l.closing {
		return
	}
	l.closing = true
	l.mu.Lock()
	l.phase = linkReleasing
	l.mu.Unlock()
	// First the poller lets go of the descriptors: were they closed before, it
	// might read from others of the same number.
	if !l.plane.poller.Post(func(time.Time) { l.release() }) {
		l.release()
	}
}

// release runs in the poller's goroutine, or after its end.
func (l *kernelLink) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.handles {
		l.plane.poller.Remove(h)
	}
	l.handles = [2]kernel.Handle{}
	l.phase = linkReleased
	l.enqueue()
}

// Deliver drops: data of a kernel session that still reached us came before the
// session was there. Any goroutine.
func (l *kernelLink) Deliver(*circuit.Burst, time.Time, []byte) { l.early.Add(1) }

// Name is the interface's name; empty until there is one. Any goroutine.
func (l *kernelLink) Name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.name
}

// Stats asks the kernel for the session's counters. Any goroutine.
func (l *kernelLink) Stats() circuit.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	live := l.readStats()
	s := circuit.Stats{
		FramesIn: l.lastSeen.RxPackets, BytesIn: l.lastSeen.RxBytes,
		FramesOut: l.lastSeen.TxPackets, BytesOut: l.lastSeen.TxBytes,
		DropNotUp: l.notUp.Load(), DropTooLong: l.tooLong.Load(), DropClosed: l.early.Load(),
	}
	if live {
		last := l.lastSeen
		s.Kernel = &last
	}
	return s
}

// readStats is called with mu held.
func (l *kernelLink) readStats() (ok bool) {
	if l.socket == nil {
		return false
	}
	s, err := l.socket.Stats()
	if err == nil {
		l.lastSeen = s
	}
	return err == nil
}

// Idle is how long no packet went either way, in whole seconds; false if there
// is no interface. It is a system call that may wait for another's interface
// being made, so it is for idle timeouts and not for each frame.
func (l *kernelLink) Idle(time.Time) (time.Duration, bool) {
	l.mu.Lock()
	u := l.unit
	l.mu.Unlock()
	if u == nil {
		return 0, false
	}
	sent, received, err := u.Idle()
	return min(sent, received), err == nil
}

// fail tells the owner, once, that the link cannot go on. Any goroutine.
func (l *kernelLink) fail(err error) {
	_ = l.owner.Post(func(now time.Time) { // an owner that has ended needs no word
		if !l.told && !l.closing {
			l.told = true
			l.events.Failed(now, err)
		}
	})
}
