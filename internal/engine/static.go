package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/proto/l2tp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
	"adit/pseudowire"
)

// StaticSpec is a session that no control connection has set up: both ends are
// configured alike, RFC 3931 section 3.1. It is on the userspace plane.
type StaticSpec struct {
	Name          string // for people and for the socket, as TunnelSpec.Name
	Encapsulation config.Encapsulation
	// Local and Peer are addresses of one family; the ports are 0 for EncapsulationIP.
	Local, Peer netip.AddrPort
	// ZeroChecksum: over UDP and IPv6 the peer may leave out checksums, RFC 6935. Ours
	// are there all the same.
	ZeroChecksum bool
	// ID is our Session ID, PeerID the peer's; neither is 0.
	ID, PeerID uint32
	// Cookie is what we expect from the peer, PeerCookie what we send; 0, 4 or 8
	// octets.
	Cookie, PeerCookie []byte
	Sublayer           l2tp.SublayerType // both ways
	// SendSequence puts numbers into what we send, RequireSequence drops what comes
	// without; both need the default sublayer.
	SendSequence, RequireSequence bool
	ReorderTimeout                time.Duration // 0: late frames are dropped, none is held
	// Bridge says where the frames go; not to the kernel plane.
	Bridge pseudowire.Spec
	// Ended is told once, when the bridge has ended and the Session ID is free again.
	// Any goroutine. Nil: nobody wants to know.
	Ended func(circuit.Exit)
}

// Static is a session of OpenStatic. Its methods may be called from any goroutine.
type Static struct {
	engine *Engine
	spec   StaticSpec
	slot   *tunnelSlot
	data   *dataSession
	since  atomic.Pointer[staticSince]
	bridge circuit.Bridge // of data too
	via    transport
	zero   bool // messages without a checksum are taken for it
}

// staticSince is a state and when it began.
type staticSince struct {
	state StaticState
	at    time.Time
}

// StaticState is the life of a Static.
type StaticState uint8

// The states of a Static.
const (
	StaticOpen    StaticState = iota // its bridge runs
	StaticClosing                    // Close was called, the bridge is still ending
	StaticEnded                      // nothing is left
)

// String is the state's name for people.
func (s StaticState) String() string {
	switch s {
	case StaticOpen:
		return "open"
	case StaticClosing:
		return "closing"
	case StaticEnded:
		return "ended"
	}
	return fmt.Sprintf("StaticState(%d)", uint8(s))
}

// StaticInfo is a static session at one instant.
type StaticInfo struct {
	Spec      StaticSpec
	State     StaticState
	Since     time.Time // in State
	LastHeard time.Time // zero: never
	Kind      circuit.Kind
	Bridge    circuit.Info
	Stats     circuit.Stats
	Rx, Tx    Traffic
	Sequence  sequence.Counters
}

// Errors of OpenStatic, besides those of kernel.ListenUDP and kernel.ListenIP115 and
// of the pseudowire's Open.
var (
	// ErrSessionID says that another session has the Session ID.
	ErrSessionID = errors.New("another session of this end has this Session ID: choose another one, at both ends")
	// ErrStatic says that a StaticSpec cannot be; the text after it says why.
	ErrStatic = errors.New("the static session cannot be opened")
)

// check says what is wrong with the specification; nil: nothing.
func (s *StaticSpec) check() error {
	switch {
	case s.ID == 0 || s.PeerID == 0:
		return fmt.Errorf("%w: Session ID 0 is that of control messages", ErrStatic)
	case !l2tp.CookieLengthOK(len(s.Cookie)) || !l2tp.CookieLengthOK(len(s.PeerCookie)):
		return fmt.Errorf("%w: a cookie has 0, 4 or 8 octets", ErrStatic)
	case s.Sublayer == l2tp.SublayerNone && (s.SendSequence || s.RequireSequence):
		return fmt.Errorf("%w: sequence numbers need a sublayer", ErrStatic)
	case s.Bridge.Kind.KernelPlane():
		return fmt.Errorf("%w: the kernel is to move its data, so nobody here is", ErrStatic)
	case !s.Peer.Addr().IsValid() || s.Peer.Addr().IsUnspecified():
		return fmt.Errorf("%w: the peer's address has to be known", ErrStatic)
	case s.Local.Addr().IsValid() && s.Local.Addr().Unmap().Is4() != s.Peer.Addr().Unmap().Is4():
		return fmt.Errorf("%w: both addresses have to be of one family", ErrStatic)
	case s.Encapsulation == config.EncapsulationUDP && s.Peer.Port() == 0:
		return fmt.Errorf("%w: the peer's UDP port has to be known", ErrStatic)
	}
	return nil
}

// OpenStatic begins a session without a control connection. Data flows as soon as its
// bridge is there; a bridge that cannot be made is told by spec.Ended.
func (e *Engine) OpenStatic(spec StaticSpec) (*Static, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	path, err := e.staticPath(&spec)
	if err != nil {
		return nil, err
	}
	defer path.via.release()
	return e.openStatic(spec, path)
}

// staticPath is the way of the session's data messages. Its socket is held for the
// caller.
func (e *Engine) staticPath(spec *StaticSpec) (Path, error) {
	if spec.Encapsulation == config.EncapsulationIP {
		return e.ipPath(spec.Local.Addr(), spec.Peer.Addr())
	}
	return e.udpPath(spec.Local, spec.Peer, spec.Name)
}

// sharedDestination is that of another static session on the same way; nil: there is
// none. Messages to one destination go to the kernel together, whatever their session.
func (e *Engine) sharedDestination(path *Path) *kernel.Destination {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.statics {
		if p := s.slot.path.Load(); p.via == path.via && p.Local == path.Local && p.Peer == path.Peer {
			return p.destination
		}
	}
	return nil
}

func (e *Engine) openStatic(spec StaticSpec, path Path) (*Static, error) {
	if path.destination = e.sharedDestination(&path); path.destination == nil {
		path.via.prepare(&path)
	}
	s := &Static{engine: e, spec: spec, slot: &tunnelSlot{}, via: path.via}
	s.slot.path.Store(&path)
	s.set(StaticOpen)
	s.data = s.newData(&path)
	if !e.table.sessions.claim(spec.ID, s.slot) {
		return nil, fmt.Errorf("session %d: %w", spec.ID, ErrSessionID)
	}
	err := s.hold()
	if err == nil {
		err = e.openStaticBridge(s)
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// openStaticBridge opens the bridge and lets data in. The engine's lock is held, so that
// Close finds the session, and the end of the bridge, which any goroutine may tell as
// soon as it is there, waits for its beginning.
func (e *Engine) openStaticBridge(s *Static) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Load() {
		return ErrClosed
	}
	spec := s.spec.Bridge
	if spec.Log == nil {
		spec.Log = e.log.WithField("session_name", s.spec.Name)
	}
	bridge, err := e.pseudowires.Open(spec, s.data, s.ended)
	if err != nil {
		return err
	}
	s.bridge, s.data.bridge = bridge, bridge
	e.statics[s] = true
	e.table.sessions.set(s.spec.ID, s.slot, s.data)
	return nil
}

// hold keeps open what the session's data comes by, and has the data let in. What it
// could not do before an error, release may undo.
func (s *Static) hold() error {
	s.via.hold()
	switch via := s.via.(type) {
	case ipTransport:
		via.admitData()
	case *socket:
		if s.spec.ZeroChecksum && s.spec.Peer.Addr().Unmap().Is6() {
			if err := via.takeZero(); err != nil {
				return err
			}
			s.zero = true
		}
	}
	return nil
}

// release undoes hold, and frees the Session ID.
func (s *Static) release() {
	s.engine.table.sessions.release(s.spec.ID, s.slot)
	switch via := s.via.(type) {
	case ipTransport:
		via.refuseData()
	case *socket:
		if s.zero {
			via.refuseZero()
		}
	}
	s.via.release()
}

// newData makes the session as the data path sees it.
func (s *Static) newData(path *Path) *dataSession {
	spec, e := &s.spec, s.engine
	local := tunnel.Wire{Cookie: spec.Cookie, Sublayer: spec.Sublayer}
	// The numbers of an ATM-Specific Sublayer are the frame's.
	ours := spec.Sublayer == l2tp.SublayerDefault
	if ours {
		// Nobody has said that numbers are to be ignored: those that come are used.
		local.Sequencing = l2tp.SequencingAll
	}
	peer := tunnel.Wire{Cookie: spec.PeerCookie, Sublayer: spec.Sublayer}
	d := &dataSession{
		slot: s.slot, peerID: spec.PeerID, counters: &e.counters, required: ours && spec.RequireSequence,
		sequence: sequence.New(sequence.Config{
			Bits: sequence.Bits24, Send: ours && spec.SendSequence, Required: ours && spec.RequireSequence,
			ReorderTimeout: spec.ReorderTimeout, Buffers: e.buffers,
		}),
		wire3: newWire3(spec.Bridge.Type, path.encapsulation() == config.EncapsulationIP, spec.PeerID, &local, &peer),
	}
	d.deadline.Owner = d
	return d
}

func (s *Static) set(state StaticState) { s.since.Store(&staticSince{state, time.Now()}) }

// ended is the end of the bridge.
func (s *Static) ended(exit circuit.Exit) {
	e := s.engine
	e.mu.Lock()
	delete(e.statics, s)
	e.ending++
	e.mu.Unlock()
	s.release()
	s.set(StaticEnded)
	if s.spec.Ended != nil {
		s.spec.Ended(exit)
	}
	e.mu.Lock()
	e.ending--
	e.mu.Unlock()
}

// noStatics says that there is no static session, nor one whose end is being told.
func (e *Engine) noStatics() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.statics) == 0 && e.ending == 0
}

// Close ends the session; spec.Ended follows. Closing twice does nothing.
func (s *Static) Close(reason string) {
	was := s.since.Load()
	if was.state != StaticOpen || !s.since.CompareAndSwap(was, &staticSince{StaticClosing, time.Now()}) {
		return
	}
	s.engine.table.sessions.set(s.spec.ID, s.slot, nil)
	s.bridge.Close(reason)
}

// SetPeerActive takes the carrier of the session's device away while its peer is known
// to be dead.
func (s *Static) SetPeerActive(active bool) {
	if r, ok := s.bridge.(circuit.StatusReporter); ok {
		r.SetPeerActive(active)
	}
}

// LastHeard is when the last data message came from the peer with the right cookie; the
// zero time: never.
func (s *Static) LastHeard() time.Time {
	if at := s.slot.lastData.Load(); at != 0 {
		return s.engine.epoch.Add(time.Duration(at))
	}
	return time.Time{}
}

// Info is the session now.
func (s *Static) Info() StaticInfo {
	since, d := s.since.Load(), s.data
	return StaticInfo{
		Spec: s.spec, State: since.state, Since: since.at, LastHeard: s.LastHeard(),
		Kind: s.bridge.Kind(), Bridge: s.bridge.Info(), Stats: s.bridge.Stats(),
		Rx: traffic(&d.rx), Tx: traffic(&d.tx), Sequence: d.sequence.Receiver.Counters(),
	}
}

func traffic(t *circuit.Traffic) Traffic { return Traffic{t.Frames.Load(), t.Octets.Load()} }

// Statics are the static sessions that have not ended, in no order.
func (e *Engine) Statics() []*Static {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.statics))
}

// closeStatics ends them all.
func (e *Engine) closeStatics(reason string) {
	for _, s := range e.Statics() {
		s.Close(reason)
	}
}
