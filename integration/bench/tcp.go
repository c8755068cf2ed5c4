package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"adit/integration/scenario"
)

// tcpTime is how long a connection sends.
const tcpTime = 700 * time.Millisecond

// tcpPath is two namespaces and a tunnel between them.
type tcpPath struct {
	name     string
	from, to *scenario.NS
	addr     netip.Addr // of the far end, inside
}

// The other ways that TCP takes.
const (
	unmerged = "adit unmerged" // on a kernel that merges nothing
	oneByOne = "one by one"    // bare: a floor with a system call for each packet
)

// tcp measures one TCP connection through a session between two adits, and the
// same where the kernel merges nothing; through the floor at both ends, and
// through bare calls for each packet. All processors are for all.
func (b *bench) tcp(ctx context.Context, r *report, rounds int) {
	b.Logf("bench: TCP through a session")
	cpus, err := processors()
	if err != nil {
		b.Fatalf("%v", err)
	}
	paths := []tcpPath{
		b.aditPath("adit", on(cpus, b.adit)),
		b.aditPath(unmerged, b.unmerging(on(cpus, b.adit)...)),
		b.floorPath(cpus, "floor", false),
		b.floorPath(cpus, oneByOne, true),
	}
	seen := map[string][]float64{}
	for range rounds {
		for _, p := range paths {
			if ctx.Err() != nil {
				return
			}
			v, err := p.transfer()
			if err != nil {
				b.Fatalf("TCP, %s: %v", p.name, err)
			}
			seen[p.name] = append(seen[p.name], v)
		}
	}
	r.tcp = map[string]float64{}
	line := "bench: one TCP connection"
	for _, p := range paths {
		slices.Sort(seen[p.name])
		r.tcp[p.name] = seen[p.name][len(seen[p.name])/2]
		line += fmt.Sprintf("; %s %.2f Gbit/s", p.name, r.tcp[p.name]/1e9)
	}
	b.Logf("%s", line)
}

// aditPath is a session between two adits, started by argv.
func (b *bench) aditPath(name string, argv []string) tcpPath {
	n := scenario.NewNativeNet(b)
	b.runAdit(n.B, argv, lnsDocument(n, 1))
	lac := b.runAdit(n.A, argv, lacDocument(n, 1))
	lac.await(b, "session for TCP", func(ctx context.Context) (bool, error) {
		all, err := lac.client.Sessions(ctx)
		return err == nil && len(all) == 1 && all[0].LocalAddress.IsValid(), err
	})
	return tcpPath{name, n.A, n.B, innerServer}
}

func (b *bench) floorPath(cpus []int, name string, single bool) tcpPath {
	n := scenario.NewNativeNet(b)
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, l2tpPort) }
	far := innerServer.Next()
	for _, e := range []struct {
		ns          *scenario.NS
		own, other  netip.Addr
		here, there netip.Addr // inside
	}{{n.A, n.AddrA(), n.AddrB(), far, innerServer}, {n.B, n.AddrB(), n.AddrA(), innerServer, far}} {
		o := floorOptions{listen: at(e.own), peer: at(e.other), tun: "floor0", single: single}
		b.runFloor(e.ns, cpus, o)
		// The MTU of adit's sessions.
		e.ns.MustRun(b, "ip", "link", "set", o.tun, "mtu", "1400", "up")
		e.ns.MustRun(b, "ip", "addr", "add", e.here.String(), "peer", e.there.String(), "dev", o.tun)
	}
	return tcpPath{name, n.A, n.B, innerServer}
}

// transfer sends for a time and returns the bits a second that arrived.
func (p tcpPath) transfer() (bits float64, err error) {
	var listener net.Listener
	config := net.ListenConfig{}
	config.SetMultipathTCP(false)
	if err = p.to.Do(func() (err error) {
		listener, err = config.Listen(context.Background(), "tcp4", netip.AddrPortFrom(p.addr, 0).String())
		return err
	}); err != nil {
		return 0, err
	}
	defer listener.Close()
	var from net.Conn
	if err = p.from.Do(func() (err error) {
		from, err = net.DialTimeout("tcp4", listener.Addr().String(), 5*time.Second)
		return err
	}); err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := listener.Accept()
	if err != nil {
		return 0, err
	}
	defer to.Close()
	deadline := time.Now().Add(20 * tcpTime)
	if err := errors.Join(from.SetDeadline(deadline), to.SetDeadline(deadline)); err != nil {
		return 0, err
	}
	sent := make(chan error, 1)
	go func() { sent <- fill(from) }()
	begin := time.Now()
	n, err := drain(to)
	elapsed := time.Since(begin).Seconds()
	return float64(n) * 8 / elapsed, errors.Join(err, <-sent)
}

// fill writes until the time is over.
func fill(c net.Conn) error {
	block := make([]byte, 256<<10)
	for begin := time.Now(); time.Since(begin) < tcpTime; {
		if _, err := c.Write(block); err != nil {
			return err
		}
	}
	return c.(*net.TCPConn).CloseWrite()
}

// drain reads to the end.
func drain(c net.Conn) (n int64, err error) {
	block := make([]byte, 256<<10)
	for {
		m, err := c.Read(block)
		n += int64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
