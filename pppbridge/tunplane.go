package pppbridge

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// TUNConfig is the TUN that sessions of the built-in endpoint share.
type TUNConfig struct {
	// Name of the interface; "%d" in it is replaced by a free number.
	Name string
	// MTU in octets; 0: 1,500.
	MTU int
	// Queues to read from, each but the first with a goroutine of its own; 0: 1.
	Queues int
	// Aggregates are routed to the TUN from the start: the pools that peers get
	// their addresses from. A peer within them costs no call of the kernel.
	Aggregates []netip.Prefix
	// Addresses are ours, and on the TUN as long as it is open, with or without
	// sessions: Linux takes the routes of an interface away with its last address.
	Addresses []netip.Addr
	// Counts is of the further queues' messages; nil: nobody looks.
	Counts *kernel.SendCounts
}

// ErrNoTUN says that a session wants the shared TUN, and there is none.
var ErrNoTUN = errors.New("the TUN that sessions share was not opened")

// PlaneCounts is what the userspace plane dropped that belongs to no session.
type PlaneCounts struct {
	NoSession atomic.Uint64 // out of the TUN, to an address that no session has
	Malformed atomic.Uint64 // out of the TUN, and no IP packet
	LinkScope atomic.Uint64 // out of the TUN, multicast or link-local: for no session
	ReadError atomic.Uint64
	ICMP      atomic.Uint64 // ICMP errors sent
	ICMPLimit atomic.Uint64 // ICMP errors not sent: too many
	AskLimit  atomic.Uint64 // of peers, asking the router itself: too many
}

// tunPlane is the userspace plane of a Factory: the shared TUN, who has which
// address, and the worker that tells the kernel.
type tunPlane struct {
	poller  *kernel.Poller // serves the first queue, and interfaces of their own
	reader  *tunReader     // the poller's
	log     *logrus.Entry
	table   addressTable
	work    tunWorker
	outbox  outbox
	counts  PlaneCounts
	setting sync.Mutex

	shared     atomic.Pointer[circuit.Device]
	aggregates []netip.Prefix
	first      *queueHandler  // of the first queue
	queues     []*queuePoller // of the further queues
}

func newTUNPlane(f *Factory) *tunPlane {
	p := &tunPlane{poller: f.cfg.Poller, log: f.cfg.Log}
	p.reader = newTUNReader(p, f.cfg.Burst)
	p.outbox.plane = p
	return p
}

// Kind is Plane's.
func (p *tunPlane) Kind() circuit.Kind { return circuit.Builtin }

// Open is Plane's.
func (p *tunPlane) Open(spec *Spec, frames circuit.Frames, events LinkEvents) (Link, error) {
	l := newTUNLink(p, spec, frames, events)
	if spec.Interface == "" {
		d := p.shared.Load()
		if d == nil {
			return nil, ErrNoTUN
		}
		l.device.Store(d)
	} else if _, err := p.work.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// OpenTUN opens the TUN that sessions of the built-in endpoint share, brings it
// up and routes the aggregates to it. It is called once, before the first such
// session; it makes some dozen blocking system calls.
func (f *Factory) OpenTUN(cfg TUNConfig) error { return f.tun.openShared(cfg) }

// TUN tells of the shared TUN: its name and how many queues it has. The name is
// empty if it was not opened. The error is why it has fewer queues than were
// asked for.
func (f *Factory) TUN() (name string, queues int, fewer error) {
	if d := f.tun.shared.Load(); d != nil {
		return d.TUN.Name(), d.TUN.Queues(), d.TUN.SteeringError()
	}
	return "", 0, nil
}

// PlaneCounts is what the userspace plane dropped that belongs to no session.
func (f *Factory) PlaneCounts() *PlaneCounts { return &f.tun.counts }

func (p *tunPlane) openShared(cfg TUNConfig) (err error) {
	p.setting.Lock()
	defer p.setting.Unlock()
	if p.shared.Load() != nil {
		return errors.New("the TUN that sessions share is open already")
	}
	tun, err := kernel.OpenTUN(kernel.TUNOptions{Name: cfg.Name, Queues: cfg.Queues, MTU: cfg.MTU})
	if err != nil {
		return err
	}
	d := circuit.NewDevice(tun)
	defer func() {
		if err != nil {
			p.closeQueues()
			d.Release()
		}
	}()
	links, err := p.work.open()
	if err != nil {
		return err
	}
	if err = setUpShared(links, tun.Index(), &cfg); err != nil {
		return err
	}
	p.first = &queueHandler{reader: p.reader, device: d, queue: tun.Queue(0), poller: p.poller}
	if err = p.first.watch(); err != nil {
		return err
	}
	for i := 1; i < tun.Queues(); i++ {
		if err = p.addQueue(d, i, cfg.Counts); err != nil {
			return err
		}
	}
	for _, a := range cfg.Addresses {
		// There already; so it is wanted once more than by sessions.
		p.work.want(tun.Index(), addressThing(a), 1, p.log)
	}
	p.aggregates = cfg.Aggregates
	p.shared.Store(d)
	return nil
}

// setUpShared brings the TUN up. It has no link-local address of its own: each
// session has another one, and we answer for it.
func setUpShared(links *kernel.Links, index int, cfg *TUNConfig) error {
	if err := links.DisableIPv6AutoLinkLocal(index); err != nil && !errors.Is(err, kernel.ErrNotSupported) {
		return err
	}
	if err := links.SetUp(index, 0); err != nil {
		return err
	}
	for _, a := range cfg.Addresses {
		if err := links.AddAddress(index, netip.PrefixFrom(a, a.BitLen()), netip.Addr{}); err != nil {
			return err
		}
	}
	for _, a := range cfg.Aggregates {
		if err := links.AddRoute(index, a, kernel.RouteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// queuePoller reads a further queue of the shared TUN.
type queuePoller struct {
	poller *kernel.Poller
	done   chan struct{}
}

func (p *tunPlane) addQueue(d *circuit.Device, i int, counts *kernel.SendCounts) error {
	poller, err := kernel.NewPoller()
	if err != nil {
		return err
	}
	if counts == nil {
		counts = new(kernel.SendCounts)
	}
	h := &queueHandler{reader: newTUNReader(p, circuit.NewBurst(counts)), device: d, queue: d.TUN.Queue(i), poller: poller}
	if err = h.watch(); err != nil {
		poller.Close()
		return err
	}
	q := &queuePoller{poller: poller, done: make(chan struct{})}
	p.queues = append(p.queues, q)
	go func() {
		defer close(q.done)
		if err := poller.Run(); err != nil {
			p.log.WithError(err).Error("a queue of the TUN is not read any more")
		}
	}()
	return nil
}

// closeQueues ends the goroutines of the further queues.
func (p *tunPlane) closeQueues() {
	if p.first != nil {
		p.first.unwatch()
	}
	for _, q := range p.queues {
		q.poller.Stop()
		<-q.done
		q.poller.Close()
	}
	p.queues = nil
}

// close ends the plane; no session is left.
func (p *tunPlane) close() {
	p.setting.Lock()
	defer p.setting.Unlock()
	d := p.shared.Swap(nil)
	if d != nil {
		p.closeQueues()
	}
	// What the worker still has to take away is of the device.
	p.work.close()
	if d != nil {
		d.Release()
	}
}

// outbox takes control frames from the goroutines of owners to the poller's, so
// that one goroutine makes them into messages, in order.
type outbox struct {
	plane  *tunPlane
	mu     sync.Mutex
	items  []outItem
	spare  []outItem
	posted bool
}

// outItem is a frame to be sent; without one, the end of the link.
type outItem struct {
	link  *tunLink
	frame []byte
}

func (o *outbox) add(item outItem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items = append(o.items, item)
	if !o.posted {
		o.posted = o.plane.poller.Post(o.drain)
	}
}

// drain runs in the poller's goroutine.
func (o *outbox) drain(now time.Time) {
	o.mu.Lock()
	items := o.items
	o.items, o.posted = o.spare[:0], false
	o.mu.Unlock()
	burst := o.plane.reader.burst
	for i := range items {
		if items[i].frame != nil {
			items[i].link.sendNow(burst, items[i].frame)
		}
	}
	burst.Flush()
	for i := range items {
		if items[i].frame == nil {
			items[i].link.end(now)
		}
	}
	clear(items)
	o.mu.Lock()
	if o.spare = items; cap(o.spare) > 4096 {
		o.spare = nil
	}
	o.mu.Unlock()
}

// String names the plane in errors.
func (p *tunPlane) String() string { return fmt.Sprint(p.Kind()) }
