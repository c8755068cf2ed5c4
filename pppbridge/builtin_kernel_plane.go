package pppbridge

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
)

// kernelWorkers is how many workers set interfaces up at one time. The kernel
// does it under one lock (RTNL), so more would wait for each other; what removes
// an interface waits outside that lock for a grace period, so one is too few.
const kernelWorkers = 4

// pppSession is a kernel.PPPoX.
type pppSession interface {
	FD() int
	Stats() (kernel.L2TPStats, error)
	Close() error
}

// pppFrames is where control frames are read and written: a kernel.PPPChannel or
// kernel.PPPUnit, see there.
type pppFrames interface {
	FD() int
	Read(buf []byte) (int, error)
	Write(frame []byte) error
	Close() error
}

type pppChannel interface {
	pppFrames
	Connect(unit int) error
	Disconnect() error
}

type pppUnit interface {
	pppFrames
	Number() int
	Index() int
	Name() string
	SetMRU(octets int) error
	SetNPMode(protocol uint16, mode kernel.NPMode) error
	SetPassFilter(program []unix.SockFilter) error
	Idle() (sent, received time.Duration, err error)
}

// linkSetter is what a kernelLink needs of kernel.Links.
type linkSetter interface {
	SetUp(index, mtu int) error
	Rename(index int, name string) (string, error)
	DisableIPv6AutoLinkLocal(index int) error
	AddAddress(index int, local netip.Prefix, peer netip.Addr) error
	RemoveAddress(index int, local netip.Prefix, peer netip.Addr) error
	AddRoute(index int, dst netip.Prefix, opts kernel.RouteOptions) error
	RemoveRoute(index int, dst netip.Prefix, opts kernel.RouteOptions) error
}

// kernelPlane is what the built-in endpoints on the kernel plane have in common.
// It is a Plane; its links are kernelLinks.
type kernelPlane struct {
	poller  *kernel.Poller
	links   linkSetter
	workers linkWorkers
	table   *addressTable // of the Factory
	// unfiltered is done once, where the kernel has no filters for ppp interfaces.
	unfiltered sync.Once
	// buf is for the poller's goroutine: the kernel says EOVERFLOW about a
	// frame that is longer, which no control frame within our MRU is.
	buf [MaxFrame]byte

	openSession func(*Spec) (pppSession, error)
	openChannel func(pppSession) (pppChannel, error)
	openUnit    func() (pppUnit, error)
	close       func()
}

// newKernelPlane makes a plane for the network namespace of now, where the
// kernel has PPP: the error is that of kernel.ProbePPP, or of rtnetlink. Who has
// which address is written down in table.
func newKernelPlane(poller *kernel.Poller, table *addressTable) (*kernelPlane, error) {
	if err := kernel.ProbePPP(); err != nil {
		return nil, err
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		return nil, err
	}
	return &kernelPlane{
		poller: poller, links: links, table: table, workers: linkWorkers{limit: kernelWorkers}, close: links.Close,
		openSession: openSession,
		openChannel: func(x pppSession) (pppChannel, error) {
			c, err := kernel.OpenChannel(x.(*kernel.PPPoX))
			if err != nil { // not a nil *PPPChannel in an interface
				return nil, err
			}
			return c, nil
		},
		openUnit: func() (pppUnit, error) {
			u, err := kernel.OpenUnit(-1)
			if err != nil {
				return nil, err
			}
			return u, nil
		},
	}, nil
}

// Close gives back what the plane holds. Its links are closed before it.
func (p *kernelPlane) Close() { p.close() }

// linkWorkers do what has to be waited for. A link is in the queue once at most,
// which bounds it; a worker that has nothing to do ends.
type linkWorkers struct {
	limit int

	mu      sync.Mutex
	running int
	queue   []*kernelLink
}

func (w *linkWorkers) add(l *kernelLink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, l)
	if w.running < w.limit {
		w.running++
		go w.run()
	}
}

func (w *linkWorkers) run() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue = nil
			w.running--
			w.mu.Unlock()
			return
		}
		l := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		l.work()
	}
}

// drainSession hands over the frames that came between the opening of a session
// and that of its channel; bound, the socket would keep them for ever. Without
// it a peer whose Configure-Request came first would wait for its time-out.
func drainSession(x pppSession, deliver func(frame []byte)) {
	var buf [MaxFrame]byte
	for range framesPerEvent {
		n, err := unix.Read(x.FD(), buf[:])
		if err != nil || n <= 0 {
			return
		}
		deliver(buf[:n])
	}
}
