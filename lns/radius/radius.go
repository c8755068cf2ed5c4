// Package radius carries requests to RADIUS servers: which server is asked and
// when the next one is, RFC 2865 section 2.5, what proves that an answer is the
// server's, RFC 2865 section 3 and RFC 3579 section 3.2, and accounting records
// that are kept on disk until a server has taken them, RFC 2866 section 2. What
// the attributes mean is its callers' matter.
package radius

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/lns/subscriber"
)

// Why there is no answer.
var (
	// ErrNoServer: the group has no server at all, or none that is alive, and those
	// that are not have as many requests under way as they may.
	ErrNoServer = errors.New("no RADIUS server of the group is alive")
	// ErrNoAnswer: servers were asked, and none answered.
	ErrNoAnswer = errors.New("no RADIUS server answered")
	// ErrBusy: so many requests wait that no more are taken.
	ErrBusy = errors.New("too many RADIUS requests wait already")
	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("the RADIUS client is closed")
)

// Build adds a request's attributes to p, of which Code, Identifier,
// Authenticator and Secret are set: with the latter two passwords are hidden, RFC
// 2865 section 5.2. It is called once for each server that is asked, on a
// goroutine of the Client, so it must not wait and always add the same. The
// Message-Authenticator is none of its business. An error ends the request.
type Build func(p *radius.Packet) error

// Encode adds what an accounting record says to p, of which only Code is set. It
// need not add Acct-Delay-Time. It must not wait, and it is called on the
// goroutine of Account's caller.
type Encode func(p *radius.Packet, r *subscriber.Record)

// Reply is a server's answer to an Access-Request. It is proven to be his.
type Reply struct {
	// Packet is an Access-Accept, an Access-Reject or an Access-Challenge; its
	// Secret is the one that it was hidden with.
	Packet *radius.Packet
	// Request is the Request Authenticator of what it answers.
	Request [16]byte
	// Server is who answered.
	Server *config.RADIUSServer
}

// Request is an Access-Request to be sent.
type Request struct {
	Group *config.RADIUSGroup
	// Server is the only one that is asked, if it is set: the one that sent the
	// State which the request returns, and that no other knows.
	Server *config.RADIUSServer
	Build  Build
}

// Options are what New needs beside the configuration.
type Options struct {
	// Dir is a folder for accounting records, which is made if it is not there. No
	// two Clients share it.
	Dir string
	// Encode makes the attributes of accounting records.
	Encode Encode
	// Log gets what an operator should know; nil: nothing.
	Log *logrus.Entry
	// Limit bounds the octets of accounting records on disk; 0: DefaultLimit.
	Limit int64

	dial func(server *config.RADIUSServer, remote netip.AddrPort) (net.Conn, error) // nil: the system's UDP
}

// DefaultLimit is how many octets of accounting records are kept on disk.
const DefaultLimit = 256 << 20

// Client asks the servers of a configuration. Any goroutine may use it.
type Client struct {
	transport *transport
	books     *books
	encode    Encode
	log       *logrus.Entry
	closed    sync.Once
}

// New starts a Client. What a Client left in the folder before is sent: records
// that no server has taken, and for every session that was open when the daemon
// was killed a Stop with the cause NAS-Reboot. The error says what is wrong with
// the folder.
func New(cfg *config.RADIUS, o Options) (*Client, error) {
	if o.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(quiet)
	}
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.dial == nil {
		o.dial = dialUDP
	}
	c := &Client{transport: newTransport(o.dial, o.Log), encode: o.Encode, log: o.Log}
	store, err := openStore(o.Dir, o.Limit, o.Log)
	if err != nil {
		return nil, fmt.Errorf("accounting records cannot be kept: %w", err)
	}
	c.books = newBooks(cfg, store, c.transport, o.Log)
	c.books.recover(store.found)
	go c.transport.run()
	go c.books.run()
	return c, nil
}

// Replace has accounting go by another configuration. Requests go by the group
// that they name anyway.
func (c *Client) Replace(cfg *config.RADIUS) {
	c.books.replace(cfg)
	c.transport.keep(cfg)
}

// Authenticate asks the servers of a group, one after the other until one has
// answered. done is called exactly once, later, on a goroutine of the Client, and
// must not wait: with the answer, or with an error that is one of this package's
// or Build's.
func (c *Client) Authenticate(r Request, done func(*Reply, error)) {
	servers := []*config.RADIUSServer{r.Server}
	if r.Server == nil {
		servers = r.Group.Servers
	}
	c.transport.submit(&request{
		kind: authentication, servers: servers, done: done,
		build: r.Build,
	})
}

// Account keeps a record on disk and sends it to the servers of a group until one
// has taken it, also after the daemon was started anew. Records of one session
// are sent in the order of their coming. It does not wait.
func (c *Client) Account(group *config.RADIUSGroup, r subscriber.Record) {
	p := &radius.Packet{Code: radius.CodeAccountingRequest}
	c.encode(p, &r)
	c.books.add(group.Name, &r, p)
}

// On says to the servers of groups that accounting begins here, and has Close say
// that it ends: Accounting-On and Accounting-Off, RFC 2866 section 5.1. A group
// for which that is so already is left alone. Account of a group comes after its
// On.
func (c *Client) On(groups ...*config.RADIUSGroup) {
	for _, g := range groups {
		if c.books.turnOn(g.Name) {
			c.Account(g, subscriber.Record{Kind: subscriber.RecordOn, Time: now()})
		}
	}
}

// Close sends Accounting-Off and what else is to be sent, for as long as ctx
// lasts; what no server has taken by then stays on disk. Requests that are under
// way end with ErrClosed. The error is ctx's, if records are left.
func (c *Client) Close(ctx context.Context) (err error) {
	c.closed.Do(func() {
		for _, name := range c.books.turnOff() {
			c.Account(&config.RADIUSGroup{Name: name}, subscriber.Record{Kind: subscriber.RecordOff, Time: now()})
		}
		err = c.books.drain(ctx)
		c.transport.stop()
		err = errors.Join(err, c.books.stop())
	})
	return err
}
