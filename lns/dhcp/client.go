package dhcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/internal/sparing"
)

// The ports of RFC 2131 section 4.1.
const (
	serverPort = 67 // of servers and of relays
	clientPort = 68
)

// maxReplies is how many answers wait for the loop; what is more is dropped and
// counted, and asked for again by its lease.
const maxReplies = 4096

// reopenAfter is the time between two tries to open a socket that failed.
const reopenAfter = time.Second

// way is how servers are reached: from a relay's address, or on an interface.
type way struct {
	relay netip.Addr
	iface string
}

func wayOf(group *config.DHCP) way {
	if group.Mode == config.DHCPClient {
		return way{iface: group.Interface}
	}
	return way{relay: group.Relay}
}

func (w way) String() string {
	if w.iface != "" {
		return "interface " + w.iface
	}
	return "relay address " + w.relay.String()
}

// link is a socket. Close ends a Read that waits, with net.ErrClosed.
type link interface {
	// Read reads one DHCP message.
	Read(b []byte) (n int, from sender, err error)
	Send(b []byte, to destination) error
	Close() error
}

// openLink opens the socket of a way. Its errors say what to do.
func openLink(w way) (link, error) {
	if w.iface != "" {
		return openBroadcast(w.iface)
	}
	return openRelay(w.relay)
}

// port is a socket and its reader, which opens it again when it fails.
type port struct {
	mu     sync.Mutex
	link   link // nil: it failed, and is not open again yet
	closed bool
}

// Client takes leases and keeps them. Any goroutine may use it.
type Client struct {
	counts
	log     *logrus.Entry
	table   *table
	open    func(way) (link, error)
	mail    *loop.Mailbox
	replies chan *reply
	closing chan struct{}
	done    chan struct{} // the loop has ended
	readers sync.WaitGroup
	sockets sparing.Lines

	mu     sync.Mutex
	closed bool
	ports  map[way]*port
}

// New opens the sockets of the groups and begins to serve. A nil log discards.
// An error says which socket cannot be opened and what to do.
func New(groups map[string]*config.DHCP, log *logrus.Entry) (*Client, error) {
	return newClient(groups, log, openLink)
}

func newClient(groups map[string]*config.DHCP, log *logrus.Entry, open func(way) (link, error)) (*Client, error) {
	if log == nil {
		discard := logrus.New()
		discard.SetOutput(io.Discard)
		log = logrus.NewEntry(discard)
	}
	c := &Client{
		log: log, open: open, ports: make(map[way]*port),
		mail: loop.NewMailbox(), replies: make(chan *reply, maxReplies),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	c.table = newTable(log, &c.counts)
	c.table.send = c.send
	if err := c.Reload(groups); err != nil {
		close(c.done) // there is no loop to wait for
		return nil, errors.Join(err, c.Close(context.Background()))
	}
	go c.run()
	return c, nil
}

// Reload opens the sockets of groups that were not there before. Leases go on as
// they are; those of a group that is no longer there are renewed as it said.
func (c *Client) Reload(groups map[string]*config.DHCP) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if _, err := c.port(wayOf(groups[name])); err != nil {
			all = append(all, fmt.Errorf("dhcp %s: %w", name, err))
		}
	}
	return errors.Join(all...)
}

// port is the socket of a way, opened where it is not yet.
func (c *Client) port(w way) (*port, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.ports[w]; p != nil {
		return p, nil
	}
	if c.closed {
		return nil, ErrClosed
	}
	l, err := c.open(w)
	if err != nil {
		return nil, err
	}
	p := &port{link: l}
	c.ports[w] = p
	c.readers.Go(func() { c.read(w, p) })
	return p, nil
}

// Acquire begins to take a lease from the servers of a group. It does not wait,
// and calls no event before it has returned to a caller that holds what events
// need.
func (c *Client) Acquire(group *config.DHCP, req Request, events Events) *Handle {
	l := newLease(group, req, events)
	if !c.mail.Put(func() { c.begin(l) }) && events.Acquired != nil {
		go events.Acquired(Lease{}, ErrClosed)
	}
	return &Handle{client: c, lease: l}
}

func (c *Client) begin(l *lease) {
	if _, err := c.port(wayOf(l.group)); err != nil {
		c.table.end(l, err)
		return
	}
	c.table.begin(time.Now(), l)
}

// run owns the table.
func (c *Client) run() {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.table.expire(time.Now())
		if at := c.table.deadlines.Next(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
		select {
		case <-c.mail.Ready():
			c.mail.Run()
		case r := <-c.replies:
			c.table.receive(time.Now(), r)
			// A deadline is not passed over for long, and the timer is not set for
			// every answer of a burst.
			for range min(len(c.replies), 64) {
				c.table.receive(time.Now(), <-c.replies)
			}
		case <-timer.C:
		case <-c.closing:
			c.mail.Close() // what was wanted before
			c.table.close()
			return
		}
	}
}

// send is the table's way out.
func (c *Client) send(l *lease, to destination, m []byte) {
	p, err := c.port(wayOf(l.group))
	if err == nil {
		err = p.send(m, to)
	}
	if err != nil {
		c.add(countSendErrors)
		c.table.failures.Log(c.table.entry(l).WithError(err), logrus.WarnLevel,
			"a DHCP message cannot be sent: see that there is a route to the server and that the interface is up")
	}
}

var errNotOpen = errors.New("dhcp: the socket failed and could not be opened again yet")

func (p *port) send(m []byte, to destination) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link == nil {
		return errNotOpen
	}
	return p.link.Send(m, to)
}

// read reads a port until the Client is closed.
func (c *Client) read(w way, p *port) {
	p.mu.Lock()
	l := p.link
	p.mu.Unlock()
	for l != nil {
		err := c.readLink(w, l)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// The interface has gone away or down, mostly.
		c.sockets.Log(c.log.WithError(err), logrus.WarnLevel,
			"the DHCP socket of "+w.String()+" failed and is opened again: see that its interface is up")
		l.Close()
		l = c.reopen(w, p)
	}
}

// readLink reads a socket until it fails.
func (c *Client) readLink(w way, l link) error {
	buf := make([]byte, 4096)
	for {
		n, from, err := l.Read(buf)
		if err != nil {
			return err
		}
		r, err := parseReply(buf[:n])
		if err != nil {
			c.add(countMalformed)
			continue
		}
		r.from, r.via = from, w
		select {
		case c.replies <- r:
		default:
			c.add(countDroppedQueue)
		}
	}
}

// reopen opens the socket of a port again, as soon as that can be; nil: the
// Client was closed before.
func (c *Client) reopen(w way, p *port) link {
	p.mu.Lock()
	p.link = nil
	p.mu.Unlock()
	for {
		select {
		case <-c.closing:
			return nil
		case <-time.After(reopenAfter):
		}
		l, err := c.open(w)
		if err != nil {
			continue
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			l.Close()
			return nil
		}
		p.link = l
		p.mu.Unlock()
		c.sockets.Log(c.log, logrus.InfoLevel, "the DHCP socket of "+w.String()+" is open again")
		return l
	}
}

func (p *port) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.link == nil {
		return nil
	}
	return p.link.Close()
}

// Close ends the Client, after what was asked of it before. Acquisitions under
// way have ErrClosed. Leases that are held are not released: their servers keep
// them until they run out, and who acquires by the same key gets them again.
// Nothing is called after Close has returned nil.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		close(c.closing)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("dhcp: closing: %w", context.Cause(ctx))
	}
	c.mu.Lock()
	ports := c.ports
	c.ports = nil
	c.mu.Unlock()
	var all []error
	for _, p := range ports {
		all = append(all, p.close())
	}
	c.readers.Wait()
	return errors.Join(all...)
}
