package autoconf

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
	"adit/internal/loop"
	"adit/internal/sparing"
)

const defaultQueue = 4096

// Service answers for all links. Its methods may be called from any goroutine and
// do not block.
type Service struct {
	core    *Core
	log     *logrus.Entry
	box     *loop.Mailbox
	waiting atomic.Int64 // packets in the mailbox
	queue   int64
	done    chan struct{}
	end     sync.Once
	stop    chan struct{}

	// The goroutine's own.
	links     map[string]*attached
	byIndex   map[int]*attached // those with an interface of their own
	deadlines loop.Deadlines[*attached]
	socket    socket
	refused   sparing.Lines
}

// attached is a link, and where its packets go.
type attached struct {
	Link
	deadline loop.Deadline[*attached]
	id       string
	iface    string
	send     func(packet []byte) // nil: to the interface of the index
	index    int                 // 0: unknown
}

// New starts a Service. Where Attach has no send, it is for interfaces of the
// network namespace of now. A nil log is none.
func New(cfg Config, log *logrus.Entry) (*Service, error) {
	core, err := NewCore(cfg.DUID, func(below time.Duration) time.Duration { return rand.N(below) })
	if err != nil {
		return nil, err
	}
	if log == nil {
		quiet := logrus.New()
		quiet.SetLevel(logrus.PanicLevel)
		log = logrus.NewEntry(quiet)
	}
	s := &Service{
		core: core, log: log, box: loop.NewMailbox(), queue: int64(cfg.Queue), done: make(chan struct{}), stop: make(chan struct{}),
		links: make(map[string]*attached), byIndex: make(map[int]*attached),
	}
	if s.queue <= 0 {
		s.queue = defaultQueue
	}
	s.socket.open()
	go s.run()
	return s, nil
}

// Attach says that the link is up, or that another family of it is: a second Attach
// of the same id takes the place of the first. id is the Acct-Session-Id. iface is
// the name of the network interface; send sends a packet to the peer, from any
// goroutine. A nil send: the interface leads to this peer alone, and what he asks
// comes out of it.
func (s *Service) Attach(id string, sub Subscriber, iface string, send func(packet []byte)) {
	s.box.Put(func() { s.attach(time.Now(), id, &sub, iface, send) })
}

// Update changes the facts of a link that is attached; of another it does nothing.
// A family that is down has no LocalID, or no Local.
func (s *Service) Update(id string, sub Subscriber) {
	s.box.Put(func() {
		if a := s.links[id]; a != nil {
			s.learn(time.Now(), a, &sub)
		}
	})
}

// Detach says that the link is down.
func (s *Service) Detach(id string) {
	s.box.Put(func() {
		if a := s.links[id]; a != nil {
			s.detach(a)
		}
	})
}

// Packet takes a packet of the peer's, where Attach had a send. It keeps it.
func (s *Service) Packet(id string, packet []byte) {
	s.packet(func() *attached { return s.links[id] }, packet)
}

// packet queues a packet, if there is room.
func (s *Service) packet(of func() *attached, packet []byte) {
	if s.waiting.Add(1) > s.queue {
		s.waiting.Add(-1)
		s.core.counts.add(dropQueueFull)
		return
	}
	if !s.box.Put(func() {
		s.waiting.Add(-1)
		a := of()
		if a == nil {
			s.core.counts.add(dropNoLink)
			return
		}
		now := time.Now()
		s.sendAll(a, s.core.Answer(now, &a.Link, packet))
		s.deadlines.Set(&a.deadline, a.Deadline())
	}) {
		s.waiting.Add(-1)
	}
}

// Counts are the counters, by name.
func (s *Service) Counts() map[string]uint64 { return s.core.counts.all() }

// Close ends the goroutines and waits for them. Closing twice does nothing.
func (s *Service) Close() {
	s.end.Do(func() { close(s.stop) })
	<-s.done
}

func (s *Service) run() {
	defer close(s.done)
	defer s.socket.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.tick(time.Now())
		if next := s.deadlines.Next(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-s.box.Ready():
			s.box.Run()
		case <-timer.C:
		case <-s.stop:
			s.box.Close()
			return
		}
	}
}

func (s *Service) tick(now time.Time) {
	for {
		a, ok := s.deadlines.Due(now)
		if !ok {
			return
		}
		s.sendAll(a, s.core.Tick(now, &a.Link))
		s.deadlines.Set(&a.deadline, a.Deadline())
	}
}

func (s *Service) attach(now time.Time, id string, sub *Subscriber, iface string, send func([]byte)) {
	a := s.links[id]
	if a == nil {
		a = &attached{id: id}
		a.deadline.Owner = a
		s.links[id] = a
	}
	a.send = send
	if send == nil && (a.index == 0 || a.iface != iface) {
		s.find(a, iface)
	}
	a.iface = iface
	s.learn(now, a, sub)
}

// find looks for the link's own interface.
func (s *Service) find(a *attached, iface string) {
	s.forget(a)
	index, err := s.socket.index(s, iface)
	if err != nil {
		s.refused.Log(s.log.WithError(err).WithField("session", a.id), logrus.WarnLevel,
			"what the subscriber asks for by DHCP and by Router Solicitations is not answered")
		return
	}
	// An interface of the same index before this one is gone, and its link soon.
	if old := s.byIndex[index]; old != nil {
		old.index = 0
	}
	a.index, s.byIndex[index] = index, a
}

func (s *Service) forget(a *attached) {
	if a.index != 0 {
		delete(s.byIndex, a.index)
		a.index = 0
	}
}

// learn takes new facts, and advertises them anew if that is what they change. RFC
// 4861 section 6.2.4: "In such cases, the router MAY transmit up to
// MAX_INITIAL_RTR_ADVERTISEMENTS unsolicited advertisements, using the same rules as
// when an interface becomes an advertising interface."
func (s *Service) learn(now time.Time, a *attached, sub *Subscriber) {
	same := bytes.Equal(advertisement(&a.Subscriber, allNodes), advertisement(sub, allNodes))
	a.Subscriber = *sub
	if !same {
		s.core.Begin(now, &a.Link)
	}
	s.deadlines.Set(&a.deadline, a.Deadline())
}

func (s *Service) detach(a *attached) {
	s.deadlines.Set(&a.deadline, time.Time{})
	s.forget(a)
	delete(s.links, a.id)
}

func (s *Service) sendAll(a *attached, packets [][]byte) {
	for _, p := range packets {
		switch {
		case a.send != nil:
			a.send(p)
		case a.index == 0:
			s.core.counts.add(dropNoLink)
			continue
		default:
			if err := s.socket.packets.Send(a.index, p); err != nil {
				s.core.counts.add(dropSend)
				s.refused.Log(s.log.WithError(err).WithField("session", a.id), logrus.DebugLevel, "an answer to the subscriber is lost")
				continue
			}
		}
		s.core.counts.add(countSent)
	}
}

// socket is the packet socket for links with interfaces of their own, and the
// goroutine that reads it: both from the first such link on.
type socket struct {
	packets *kernel.LinkPackets
	err     error // why there is none
	started bool
	done    chan struct{}
}

// open opens the socket in the namespace of now.
func (k *socket) open() { k.packets, k.err = kernel.OpenLinkPackets() }

// index finds an interface, and starts to read.
func (k *socket) index(s *Service, iface string) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	if !k.started {
		if k.err = k.packets.Start(); k.err != nil {
			return 0, k.err
		}
		k.started, k.done = true, make(chan struct{})
		go k.read(s)
	}
	return k.packets.Index(iface)
}

func (k *socket) read(s *Service) {
	defer close(k.done)
	buf := make([]byte, 65536)
	for {
		n, index, err := k.packets.Receive(buf)
		if err != nil {
			select {
			case <-s.stop:
				return
			default:
			}
			// ENETDOWN, say, when an interface goes: the socket goes on.
			s.refused.Log(s.log.WithError(err), logrus.DebugLevel, "what subscribers ask is not received")
			continue
		}
		s.packet(func() *attached { return s.byIndex[index] }, append([]byte(nil), buf[:n]...))
	}
}

func (k *socket) close() {
	if k.packets == nil {
		return
	}
	k.packets.Close()
	if k.done != nil {
		<-k.done
	}
}
