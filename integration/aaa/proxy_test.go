package aaa

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"adit/integration/scenario"
)

// proxy stands before a RADIUS server and does what bad servers and networks do.
// What is nil does nothing.
type proxy struct {
	// Addr is where it listens, on the loopback of the namespace.
	Addr netip.AddrPort

	mu       sync.Mutex
	trouble  trouble
	ns       *scenario.NS
	server   netip.AddrPort
	conn     *net.UDPConn
	upstream map[netip.AddrPort]*net.UDPConn
	wg       sync.WaitGroup
	closed   bool
}

// trouble is what a proxy does.
type trouble struct {
	// lose says whether a request is lost.
	lose func(request []byte) bool
	// delay is how long a request is on its way.
	delay func(request []byte) time.Duration
	// answer stands in for sending an answer to the client.
	answer func(answer []byte, send func([]byte))
}

// newProxy starts a proxy before a port of a server.
func newProxy(t *testing.T, ns *scenario.NS, server netip.AddrPort, what trouble) *proxy {
	t.Helper()
	p := &proxy{ns: ns, server: server, trouble: what, upstream: map[netip.AddrPort]*net.UDPConn{}}
	if err := ns.Do(func() (err error) {
		p.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.Addr = p.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	p.wg.Go(func() { p.requests(t) })
	t.Cleanup(p.close)
	return p
}

// set has it do something else from now on.
func (p *proxy) set(what trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = what
}

func (p *proxy) does() trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.conn.Close()
	for _, c := range p.upstream {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// requests carries what clients send.
func (p *proxy) requests(t *testing.T) {
	buf := make([]byte, 4096)
	for {
		n, client, err := p.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		what, request := p.does(), append([]byte(nil), buf[:n]...)
		if what.lose != nil && what.lose(request) {
			continue
		}
		c, err := p.to(client)
		if err != nil {
			t.Errorf("a socket of the proxy: %v", err)
			return
		}
		if what.delay != nil {
			if d := what.delay(request); d > 0 {
				time.AfterFunc(d, func() { _, _ = c.Write(request) }) // it may be closed by then
				continue
			}
		}
		_, _ = c.Write(request) // the server may be down
	}
}

// to is the socket towards the server that stands for a client's.
func (p *proxy) to(client netip.AddrPort) (*net.UDPConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.upstream[client]
	if c != nil {
		return c, nil
	}
	if p.closed {
		return nil, net.ErrClosed
	}
	if err := p.ns.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.server))
		return err
	}); err != nil {
		return nil, err
	}
	p.upstream[client] = c
	p.wg.Go(func() { p.answers(c, client) })
	return c, nil
}

// answers carries what the server answers to one client.
func (p *proxy) answers(c *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, 4096)
	send := func(b []byte) { _, _ = p.conn.WriteToUDPAddrPort(b, client) } // it may be closed by then
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the server is down
		}
		if what := p.does(); what.answer != nil {
			what.answer(buf[:n], send)
		} else {
			send(buf[:n])
		}
	}
}

// closedPort is one of the loopback where nobody listens.
func closedPort(t *testing.T, ns *scenario.NS) netip.AddrPort {
	t.Helper()
	var at netip.AddrPort
	if err := ns.Do(func() error {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			return err
		}
		at = c.LocalAddr().(*net.UDPAddr).AddrPort()
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
	return at
}
