package pppbridge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

var (
	opsUnit = []string{
		"open unit", "0x21 NPMODE_DROP", "0x57 NPMODE_DROP", "0x2b NPMODE_DROP", "0x29 NPMODE_DROP", "0x281 NPMODE_DROP", "0x283 NPMODE_DROP",
		"mru 1492", "rename 70 sub%d", "no link-local 70", "connect 7",
	}
	opsIPv4 = []string{"up 70 mtu 1400", "+ 10.0.0.1/32 10.0.0.2", "+ route 192.0.2.0/24", "0x21 NPMODE_PASS"}
	opsIPv6 = []string{"up 70 mtu 1400", "+ fe80::102/64 invalid IP", "+ route 2001:db8::/56", "0x57 NPMODE_PASS"}
	opsEnd  = []string{"disconnect", "close unit", "close channel", "close session"}
)

func testSpec() *Spec { return &Spec{MTU: 1400, MRU: 1492, Interface: "sub%d", Log: discardLog()} }

// The life of a link: what is asked of the kernel, in which order, and which way
// each frame takes.
func TestKernelLinkLife(t *testing.T) {
	before := openDescriptors(t)
	k, o := newFakeKernel(t), newTestOwner(t)
	poller := openDescriptors(t)
	release := k.hold("open channel")
	l := o.open(t, k.plane, testSpec())
	<-k.held

	// Before the channel is there the session itself is the way out.
	const lcp, ipcp = "\xc0\x21\x01\x01\x00\x04", "\x80\x21\x01\x01\x00\x04"
	o.on(func() { l.SendControl([]byte("\xff\x03" + lcp)) })
	if got := readPeer(t, k.last("session").peer); got != lcp {
		t.Errorf("by the session: %x", got)
	}
	release()
	k.wantOps(t, "open session", "open channel")

	channel := k.last("channel")
	writePeer(t, channel.peer, "\xc0\x21early")
	o.wantFrame(t, "LCP", "\xc0\x21early")
	for _, frame := range []string{"\xff\x03" + lcp, ipcp} {
		o.on(func() { l.SendControl([]byte(frame)) })
		if got := readPeer(t, channel.peer); got != strings.TrimPrefix(frame, "\xff\x03") {
			t.Errorf("by the channel: %x", got)
		}
	}
	o.on(func() { l.SendControl(nil); l.SendControl([]byte{0xff, 3}) })

	// Packets and frames that are too long, before there is an interface.
	for _, frame := range []string{"\x00\x21packet", "\x00\x57packet", "\xc0\x21" + string(make([]byte, MaxFrame)), "\xc0\x21late"} {
		writePeer(t, channel.peer, frame)
	}
	o.wantFrame(t, "what comes after them", "\xc0\x21late")
	if s := l.Stats(); s.DropNotUp != 2 || s.DropTooLong != 1 || s.FramesIn != 5 || s.Kernel == nil {
		t.Errorf("%+v", s)
	}
	if _, ok := l.Idle(time.Now()); ok || l.Name() != "" {
		t.Errorf("an interface %q before a network", l.Name())
	}

	o.on(func() { l.LCPUp(ppp.Link{PeerMRU: 1460}); l.Up(ppp.IPv4, testNetwork) })
	k.wantOps(t, slices.Concat(opsUnit, opsIPv4)...)
	o.wantUps(t, ppp.IPv4)
	o.on(func() { l.Up(ppp.IPv6, testNetwork) })
	k.wantOps(t, opsIPv6...)
	o.wantUps(t, ppp.IPv4, ppp.IPv6)
	if d, ok := l.Idle(time.Now()); d != 4*time.Second || !ok || l.Name() != "sub4" {
		t.Errorf("idle %v, %v; named %q", d, ok, l.Name())
	}
	writePeer(t, k.last("unit").peer, "\x80\x57ipv6cp")
	o.wantFrame(t, "IPv6CP by the unit", "\x80\x57ipv6cp")
	writePeer(t, channel.peer, "\xc0\x21echo")
	o.wantFrame(t, "LCP by the channel", "\xc0\x21echo")

	o.on(func() { l.Down(ppp.IPv4) })
	k.wantOps(t, "0x21 NPMODE_DROP", "- route 192.0.2.0/24", "- 10.0.0.1/32 10.0.0.2")
	o.on(func() { l.LCPUp(ppp.Link{PeerMRU: 1300}); l.Up(ppp.IPv4, testNetwork) })
	k.wantOps(t, slices.Concat([]string{"up 70 mtu 1300"}, opsIPv4[1:])...)
	o.wantUps(t, ppp.IPv4, ppp.IPv6, ppp.IPv4)

	o.close(t, l)
	k.wantOps(t, opsEnd...)
	if s := l.Stats(); s.Kernel != nil || s.FramesIn != 5 {
		t.Errorf("after the end: %+v", s)
	}
	o.on(func() { l.SendControl([]byte(lcp)); l.Up(ppp.IPv4, testNetwork); l.Down(ppp.IPv6); l.Close() })
	k.wantOps(t)
	if n := k.plane.poller.Watched(); n != 0 || len(o.failed) != 0 || len(o.closed) != 0 {
		t.Errorf("%d descriptors watched, %d failures, %d more ends", n, len(o.failed), len(o.closed))
	}
	if n := openDescriptors(t); n != poller || poller < before {
		t.Errorf("%d descriptors, %d before", n, poller)
	}
}

// A session that ends while a worker is at any of its steps leaves nothing, and
// takes no step but its end after that.
func TestKernelLinkClosedAtEachStep(t *testing.T) {
	steps := slices.Concat([]string{"open channel"}, opsUnit, opsIPv4, opsIPv6[1:])
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			k, o := newFakeKernel(t), newTestOwner(t)
			release := k.hold(step)
			l := o.open(t, k.plane, testSpec())
			o.on(func() { l.Up(ppp.IPv4, testNetwork); l.Up(ppp.IPv6, testNetwork) })
			if got := <-k.held; got != step {
				t.Fatalf("held at %q", got)
			}
			var ups int
			o.on(func() { l.Close(); ups = len(o.ups) })
			waitFor(t, 5*time.Second, "the poller to let go", func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.phase == linkReleased
			})
			k.asked()
			release()
			o.wantClosed(t)
			o.on(func() {
				if len(o.ups) != ups || ups > 1 {
					t.Errorf("told of %d networks, %d of them after the end", len(o.ups), len(o.ups)-ups)
				}
			})
			ops := k.asked()
			if want := "close session"; len(ops) == 0 || ops[len(ops)-1] != want {
				t.Errorf("the last of %q is not %q", ops, want)
			}
			// Within its step it may go on, but not to the next family.
			if step != "0x57 NPMODE_PASS" && slices.Contains(ops, "0x57 NPMODE_PASS") && !slices.Contains(opsIPv6[1:], step) {
				t.Errorf("it went on: %q", ops)
			}
			if k.left() != 0 || k.plane.poller.Watched() != 0 || len(o.failed) != 0 {
				t.Errorf("left %d files, %d watched, %d failures", k.left(), k.plane.poller.Watched(), len(o.failed))
			}
		})
	}
}

// Whatever the kernel refuses is told once, and closing leaves nothing then
// either. What a session can do without only leaves a line in the log.
func TestKernelLinkRefusals(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		op    string
		err   error
		fatal bool
	}{
		{"open channel", refused, true},
		{"open unit", refused, true},
		{"0x21 NPMODE_DROP", refused, true},
		{"0x57 NPMODE_DROP", refused, true},
		{"0x283 NPMODE_DROP", refused, false}, // a kernel without MPLS
		{"mru 1492", refused, true},
		{"rename 70 sub%d", refused, true},
		{"no link-local 70", refused, true},
		{"no link-local 70", kernel.ErrNotSupported, false}, // a kernel without IPv6
		{"connect 7", refused, true},
		{"up 70 mtu 1400", refused, true},
		{"+ 10.0.0.1/32 10.0.0.2", refused, true},
		{"+ 10.0.0.1/32 10.0.0.2", kernel.ErrPermission, true},
		{"+ route 192.0.2.0/24", refused, false},
		{"0x21 NPMODE_PASS", refused, true},
		{"+ fe80::102/64 invalid IP", refused, true},
		{"+ fe80::102/64 invalid IP", kernel.ErrPermission, false}, // IPv6 disabled
		{"+ fe80::102/64 invalid IP", kernel.ErrNotSupported, false},
		{"+ route 2001:db8::/56", refused, false},
		{"0x57 NPMODE_PASS", refused, true},
		{"disconnect", refused, false},
		{"close unit", refused, false},
	} {
		t.Run(c.op+" "+c.err.Error(), func(t *testing.T) {
			k, o := newFakeKernel(t), newTestOwner(t)
			k.setFail(c.op, c.err)
			l := o.open(t, k.plane, testSpec())
			o.on(func() { l.Up(ppp.IPv4, testNetwork); l.Up(ppp.IPv6, testNetwork) })
			if c.fatal {
				select {
				case err := <-o.failed:
					if !errors.Is(err, c.err) {
						t.Errorf("failed: %v", err)
					}
				case <-time.After(5 * time.Second):
					t.Error("nobody is told")
				}
			} else {
				waitFor(t, 5*time.Second, "the workers", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return !l.queued })
			}
			// A link that has failed does nothing more.
			o.on(func() { l.Down(ppp.IPv4); l.Up(ppp.IPv4, testNetwork) })
			o.close(t, l)
			if ops := k.asked(); !c.fatal && !slices.Contains(ops, "0x21 NPMODE_PASS") {
				t.Errorf("IPv4 is not up: %q", ops)
			}
			if k.left() != 0 || k.plane.poller.Watched() != 0 || len(o.failed) != 0 {
				t.Errorf("left %d files, %d watched, %d more failures", k.left(), k.plane.poller.Watched(), len(o.failed))
			}
		})
	}
}

// The end of the channel is told once, and does not keep the poller busy.
func TestKernelLinkChannelEnds(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	l := o.open(t, k.plane, testSpec())
	o.on(func() { l.Up(ppp.IPv4, testNetwork) })
	k.wantOps(t, slices.Concat([]string{"open session", "open channel"}, opsUnit, opsIPv4)...)
	if n := k.plane.poller.Watched(); n != 2 {
		t.Errorf("%d descriptors are watched", n)
	}
	for _, kind := range []string{"channel", "unit"} {
		if err := unix.Shutdown(k.last(kind).peer, unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, 5*time.Second, "the poller to let go", func() bool { return k.plane.poller.Watched() == 0 })
	if err := <-o.failed; !errors.Is(err, kernel.ErrEnd) {
		t.Errorf("failed: %v", err)
	}
	o.close(t, l)
	k.wantOps(t, opsEnd...)
	if len(o.failed) != 0 || k.left() != 0 {
		t.Errorf("%d more failures, %d files left", len(o.failed), k.left())
	}
}

// A session that the kernel does not take is an error of Open.
func TestKernelLinkOpenFails(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	refused := errors.New("refused")
	k.setFail("open session", refused)
	spec := testSpec()
	spec.Owner = o
	if l, err := k.plane.Open(spec, nil, testEvents{}); l != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v", l, err)
	}
	if k.plane.Kind() != circuit.BuiltinKernel {
		t.Errorf("kind %v", k.plane.Kind())
	}
}

// However many sessions want an interface, a few workers make them.
func TestKernelLinkWorkersAreFew(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	release := k.hold("open unit")
	const n = 200
	links := make([]*kernelLink, n)
	for i := range links {
		links[i] = o.open(t, k.plane, testSpec())
		o.on(func() { links[i].Up(ppp.IPv4, testNetwork) })
	}
	for range kernelWorkers {
		<-k.held
	}
	k.plane.workers.mu.Lock()
	if w := k.plane.workers.running; w != kernelWorkers {
		t.Errorf("%d workers", w)
	}
	k.plane.workers.mu.Unlock()
	go func() { // the others pass
		for range n - kernelWorkers {
			<-k.held
		}
	}()
	release()
	waitFor(t, 20*time.Second, "all of them", func() bool {
		k.plane.workers.mu.Lock()
		defer k.plane.workers.mu.Unlock()
		return k.plane.workers.running == 0
	})
	k.mu.Lock()
	if k.most > kernelWorkers {
		t.Errorf("%d steps at one time", k.most)
	}
	k.mu.Unlock()
	for _, l := range links {
		if l.Name() != "sub4" {
			t.Fatalf("a link without its interface: %q", l.Name())
		}
		o.on(l.Close)
	}
	for range links {
		o.wantClosed(t)
	}
	if k.left() != 0 || k.plane.poller.Watched() != 0 {
		t.Errorf("left %d files, %d watched", k.left(), k.plane.poller.Watched())
	}
}

func TestKernelLinkMTU(t *testing.T) {
	for _, c := range []struct{ peer, endpoint, configured, want int }{
		{1500, 0, 0, 1500},
		{1460, 0, 0, 1460},
		{1500, 1492, 0, 1492},
		{1500, 1492, 1400, 1400},
		{1500, 1400, 1492, 1400},
		{1280, 1492, 1400, 1280},
	} {
		l := &kernelLink{maxMTU: maxMTU(&Spec{MTU: c.configured, Endpoint: &ppp.Config{MRU: uint16(c.endpoint)}}), mru: uint16(c.peer)}
		if got := l.mtu(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if got := maxMTU(&Spec{}); got != 0 {
		t.Errorf("without a configuration: %d", got)
	}
}

// Frames of control protocols cost nothing that the collector sees.
func TestKernelLinkAllocations(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	l := o.open(t, k.plane, testSpec())
	k.wantOps(t, "open session", "open channel")
	frame, buf := []byte("\xff\x03\xc0\x21\x09\x01\x00\x08abcd"), make([]byte, 100)
	var n float64
	o.on(func() {
		n = testing.AllocsPerRun(100, func() {
			l.SendControl(frame)
			if _, err := unix.Read(k.last("channel").peer, buf); err != nil {
				t.Error(err)
			}
		})
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	if n := testing.AllocsPerRun(100, func() { l.Deliver(nil, time.Time{}, frame) }); n != 0 {
		t.Errorf("%v allocations a late frame", n)
	}
	o.close(t, l)
	if size := unsafe.Sizeof(kernelLink{}); size > 336 {
		t.Errorf("a link is %d octets", size)
	} else {
		t.Logf("a link is %d octets", size)
	}
}

func TestLinkPhaseString(t *testing.T) {
	for p, want := range map[linkPhase]string{linkOpen: "open", linkReleasing: "releasing", linkReleased: "released", linkGone: "gone", 9: "phase(9)"} {
		if p.String() != want {
			t.Errorf("%d: %q", uint8(p), p)
		}
	}
}
