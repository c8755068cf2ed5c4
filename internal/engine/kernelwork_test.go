package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/pppbridge"
	"adit/proto/tunnel"
)

func pathTo(port uint16) kernelPath {
	return kernelPath{peer: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
}

// TestKernelWorkers: what is asked for on one path is done in its order, other paths do
// not wait for one that hangs, and more than the bound never hang at one time.
func TestKernelWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w kernelWorkers
		var mu sync.Mutex
		var did []string
		atOnce, most := 0, 0
		job := func(name string, takes time.Duration) func() {
			return func() {
				mu.Lock()
				atOnce++
				most = max(most, atOnce)
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				atOnce--
				did = append(did, name)
			}
		}
		w.add(pathTo(1), job("hangs", 5*time.Second))
		w.add(pathTo(1), job("after it", 0))
		for i := range 3 {
			w.add(pathTo(2), job(fmt.Sprint("other ", i), time.Second))
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		mu.Lock()
		if want := []string{"other 0", "other 1", "other 2"}; !slices.Equal(did, want) {
			t.Errorf("while one hangs, done is %q, want %q", did, want)
		}
		mu.Unlock()
		if w.idle() {
			t.Error("idle while one hangs")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if want := []string{"hangs", "after it"}; !slices.Equal(did[3:], want) || !w.idle() {
			t.Errorf("after it, done is %q, want %q", did[3:], want)
		}
		for i := range uint16(20) {
			w.add(pathTo(i), job("one of many", time.Second))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if most != maxKernelWorkers || len(did) != 25 || len(w.paths) != 0 || w.running != 0 {
			t.Errorf("%d at one time, %d done, %d paths and %d goroutines left", most, len(did), len(w.paths), w.running)
		}
		for range 2 {
			for i := range uint16(maxKernelWorkers + 1) {
				w.add(pathTo(i), job("at the end", time.Second))
			}
		}
		synctest.Wait()
		start := time.Now()
		w.close()
		if len(did) != 25+maxKernelWorkers || time.Since(start) != time.Second {
			t.Errorf("close waited %v, and %d were done", time.Since(start), len(did)-25)
		}
		w.add(pathTo(1), func() { t.Error("done after close") })
	})
}

// slowL2TP is a fakeL2TP that hangs when it is asked for the tunnel of one peer, until it
// is let go, and notes the order of what it was asked for.
type slowL2TP struct {
	fakeL2TP
	hangs  func(kernel.L2TPTunnel) bool
	asked  chan bool // one has come that hangs
	letGo  chan bool
	goOn   func()   // lets all go
	events []string // under mu
}

func newSlowL2TP(hangs func(kernel.L2TPTunnel) bool) *slowL2TP {
	k := &slowL2TP{hangs: hangs, asked: make(chan bool, 10), letGo: make(chan bool)}
	k.goOn = sync.OnceFunc(func() { close(k.letGo) })
	k.tunnels, k.sessions = map[uint32]kernel.L2TPTunnel{}, map[uint32]kernel.L2TPSession{}
	return k
}

func (k *slowL2TP) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, fmt.Sprintf(format, args...))
}

func (k *slowL2TP) CreateTunnel(t kernel.L2TPTunnel) error {
	if k.hangs(t) {
		k.asked <- true
		<-k.letGo
	}
	k.note("create %d", t.ID)
	return k.fakeL2TP.CreateTunnel(t)
}

func (k *slowL2TP) DeleteTunnel(id uint32) error {
	k.note("delete %d", id)
	return k.fakeL2TP.DeleteTunnel(id)
}

// oneShard is a node whose tunnels all have one loop, with a kernel.
func oneShard(t *testing.T, l2tp KernelL2TP) *realNode {
	t.Helper()
	d := newRealNode(t, "lns")
	d.Engine.Close(t.Context())
	opt := d.opt
	opt.Shards, opt.L2TP = 1, l2tp
	e, err := New(opt)
	must(t, err)
	d.Engine = e
	d.frames = &fakePseudowires{}
	d.pseudowires = d.frames
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		d.Close(ctx)
	})
	return d
}

// TestNetlinkThatHangs: while the kernel does not answer for one tunnel, all other tunnels
// of its shard are served, and so are its own control messages.
func TestNetlinkThatHangs(t *testing.T) {
	stuckAt := netip.MustParseAddr("127.0.0.3")
	k := newSlowL2TP(func(t kernel.L2TPTunnel) bool { return t.Peer.Addr() == stuckAt })
	lns := oneShard(t, k)
	t.Cleanup(k.goOn) // however the test ends
	lns.role.serve(func() *CallSpec { return kernelSpec(false) })
	lns.role.tunnelSpec.KernelPlane = true
	version3(lns.role.tunnelSpec)
	to := lns.listen(t, "127.0.0.1")
	dial := func(from string) (lac *realNode, line *Tunnel) {
		lac = withCircuits(t, "lac")
		spec := testTunnelSpec("lac", lac.role)
		version3(spec)
		r := &spec.Tunnel.Reliable
		r.RetransmitInitial, r.RetransmitCap, r.MaxRetransmits = 100*time.Millisecond, 100*time.Millisecond, 20
		must(t, lac.Dial(netip.AddrPortFrom(netip.MustParseAddr(from), 0), to, spec))
		lac.await(t, "up")
		lns.await(t, "up")
		return lac, lac.role.tunnel(0)
	}
	call := func() *CallSpec { s := ethernetSpec(); s.Wire = kernelSpec(false).Wire; return s }

	stuck, first := dial("127.0.0.3")
	<-k.asked
	held := first.PlaceCall(ethernetCall(), call())
	stuck.await(t, "call up")
	other, second := dial("127.0.0.4")
	second.PlaceCall(ethernetCall(), call())
	other.await(t, "call up")
	lns.await(t, "call up")
	if _, spec := lns.frames.circuit(0); spec.Session.Tunnel != second.PeerID() {
		t.Errorf("the first call that is served is one of tunnel %d", spec.Session.Tunnel)
	}
	// The tunnel that hangs is not deaf: it answers, and its calls end.
	held.Close(tunnel.Cause{})
	stuck.await(t, "call down")
	lns.await(t, "call down")
	first.PlaceCall(ethernetCall(), call())
	stuck.await(t, "call up")
	id := first.PeerID()
	first.Stop(tunnel.Cause{})
	lns.await(t, "call down")
	lns.await(t, "down")
	if got := lns.role.got(); got.callsUp != 1 {
		t.Errorf("%d calls were up", got.callsUp)
	}
	if slot, _ := lns.table.connections.find(id); slot == nil {
		t.Error("the ID of a tunnel that is being made in the kernel is free")
	}
	// When the kernel has come to itself, what it made for the tunnel is taken away.
	k.goOn()
	if !eventually(func() bool { has, _ := k.has(); return len(has) == 1 && has[0].ID != id && lns.kernelWork.idle() }) {
		has, _ := k.has()
		t.Errorf("the kernel has %v", has)
	}
	k.mu.Lock()
	at := slices.Index(k.events, fmt.Sprint("create ", id))
	if at < 0 || !slices.Contains(k.events[at:], fmt.Sprint("delete ", id)) {
		t.Errorf("the kernel was asked for %q", k.events)
	}
	k.mu.Unlock()
	second.Stop(tunnel.Cause{})
	for range 2 { // the call, and the tunnel
		<-lns.events
	}
	if !eventually(func() bool { has, _ := k.has(); open, _ := lns.sockets(); return len(has) == 0 && open == 1 }) {
		open, _ := lns.sockets()
		t.Errorf("%d sockets are open after all tunnels", open)
	}
}

// TestSessionThatHangs: a PPP call that waits for its session in the kernel keeps the
// first frames of its peer, and ends in good order while it waits.
func TestSessionThatHangs(t *testing.T) {
	k := &slowSessions{asked: make(chan uint32, 10), letGo: make(chan bool, 10)}
	k.tunnels, k.sessions = map[uint32]kernel.L2TPTunnel{}, map[uint32]kernel.L2TPSession{}
	lac, lns := withCircuits(t, "lac"), oneShard(t, k)
	fakes := &fakeBridges{}
	lns.bridges = fakes
	lns.role.serve(func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.PPPDKernel}} })
	dial3(t, lac, lns, config.EncapsulationUDP, "127.0.0.1", "127.0.0.2", nil)
	spec := &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}}
	gone := lac.role.tunnel(0).PlaceCall(incoming(), spec)
	lac.await(t, "call up")
	<-k.asked
	gone.Close(tunnel.Cause{})
	lac.await(t, "call down")
	lns.await(t, "call down")
	k.letGo <- true
	if !eventually(func() bool { _, has := k.has(); return len(has) == 0 && lns.kernelWork.idle() }) {
		t.Error("the session of a call that is over is left in the kernel")
	}
	if n := len(fakes.list()); n != 0 {
		t.Errorf("%d bridges for a call that is over", n)
	}
	// The next one waits, and is served then.
	lac.role.tunnel(0).PlaceCall(incoming(), spec)
	lac.await(t, "call up")
	id := <-k.asked
	lcp := []byte{0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4}
	var early int
	sendLCP := func(s *shard) {
		for _, tu := range s.tunnels {
			if c := tu.calls[id]; c != nil {
				s.receiveFrame(time.Now(), controlFrame{frame: lcp, slot: tu.slot, tunnel: tu.id, session: id})
				early = len(c.early)
			}
		}
	}
	must(t, lns.ask(t.Context(), sendLCP))
	if early != 1 {
		t.Errorf("%d frames are kept for a call that waits for the kernel", early)
	}
	k.letGo <- true
	lns.await(t, "call up")
	if all := fakes.list(); len(all) != 1 || all[0].spec.LocalSession != id {
		t.Errorf("%d bridges", len(all))
	}
	fakes.list()[0].exit(circuit.Exit{Text: "test"})
	lns.await(t, "call down")
	if !eventually(func() bool { _, has := k.has(); return len(has) == 0 }) {
		t.Error("the session of a call that has ended is left in the kernel")
	}
}

// slowSessions hangs when it is asked for a session.
type slowSessions struct {
	fakeL2TP
	asked chan uint32
	letGo chan bool
}

func (k *slowSessions) CreateSession(s kernel.L2TPSession) (kernel.L2TPSession, error) {
	k.asked <- s.ID
	<-k.letGo
	return k.fakeL2TP.CreateSession(s)
}

// TestKernelThatIsTooSlow: what has waited too long for a worker is not asked for any
// more, and a call that leaves the choice goes by userspace.
func TestKernelThatIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now()
		if err := promptly(since, func() error { return errTest }); err != errTest {
			t.Errorf("in time: %v", err)
		}
		time.Sleep(kernelPatience + time.Second)
		if err := promptly(since, func() error { t.Error("called"); return nil }); err != errKernelBusy {
			t.Errorf("too late: %v", err)
		}
	})
	k := newSlowL2TP(func(kernel.L2TPTunnel) bool { return true })
	lac, lns := withCircuits(t, "lac"), oneShard(t, k)
	t.Cleanup(k.goOn)
	lns.role.serve(func() *CallSpec { return kernelSpec(true) })
	dial3(t, lac, lns, config.EncapsulationUDP, "127.0.0.1", "127.0.0.2", nil)
	lac.role.tunnel(0).PlaceCall(ethernetCall(), ethernetSpec())
	lac.await(t, "call up")
	<-k.asked
	k.mu.Lock()
	k.fail = errKernelBusy
	k.mu.Unlock()
	k.letGo <- true
	lns.await(t, "call up")
	if _, spec := lns.frames.circuit(0); spec.Kind != circuit.EthernetTAP {
		t.Errorf("the bridge was asked for with %+v", spec)
	}
}

// TestCloseWithNetlinkThatHangs: the end of the engine waits for the request under way,
// and leaves no descriptor.
func TestCloseWithNetlinkThatHangs(t *testing.T) {
	k := newSlowL2TP(func(kernel.L2TPTunnel) bool { return true })
	lac := withCircuits(t, "lac")
	newRealNode(t, "first").Close(t.Context())
	before := descriptors(t)
	lns := oneShard(t, k)
	t.Cleanup(k.goOn)
	lns.role.tunnelSpec.KernelPlane = true
	dial3(t, lac, lns, config.EncapsulationUDP, "127.0.0.1", "127.0.0.2", nil)
	<-k.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan bool)
	go func() { lns.Close(ctx); close(closed) }()
	k.letGo <- true
	<-closed
	lac.Close(ctx)
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
