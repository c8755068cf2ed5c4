package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/scenario"
)

// tcpTime is how long a connection sends.
const tcpTime = 700 * time.Millisecond

// tcpPath is two namespaces and a tunnel between them.
type tcpPath struct {
	name     string
	from, to *scenario.NS
	addr     netip.Addr // of the far end, inside
	cpus     [2]int     // of each end
}

// The other ways that TCP takes.
const (
	unmerged = "adit unmerged" // on a kernel that merges nothing
	oneByOne = "one by one"    // bare: a floor with a system call for each packet
)

// tcp measures one TCP connection through a session between two adits, and the
// same where the kernel merges nothing; through the floor at both ends, and
// through bare calls for each packet. Each end has one processor, for its tunnel and its
// TCP, as two small machines would.
func (b *bench) tcp(ctx context.Context, r *report, rounds int) {
	b.Logf("bench: TCP through a session")
	paths := []tcpPath{
		b.aditPath("adit", true),
		b.aditPath(unmerged, false),
		b.floorPath("floor", false),
		b.floorPath(oneByOne, true),
	}
	b.measureTCP(ctx, r, rounds, paths)
}

// measureTCP measures paths in turn, and compares each with the first.
func (b *bench) measureTCP(ctx context.Context, r *report, rounds int, paths []tcpPath) {
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
	if r.tcp == nil {
		r.tcp, r.tcpRatio = map[string]float64{}, map[string]float64{}
	}
	line := "bench: one TCP connection"
	for _, p := range paths {
		r.tcp[p.name] = middle(seen[p.name])
		r.tcpRatio[p.name] = ratio(seen[paths[0].name], seen[p.name])
		line += fmt.Sprintf("; %s %.2f Gbit/s", p.name, r.tcp[p.name]/1e9)
	}
	b.Logf("%s", line)
}

// aditPath is a session between two adits.
func (b *bench) aditPath(name string, merge bool) tcpPath {
	n := scenario.NewNativeNet(b)
	argv := func(cpu int) []string {
		argv := on(cpu, b.adit)
		if !merge {
			argv = b.unmerging(argv...)
		}
		return argv
	}
	b.runAdit(n.B, argv(b.measured), lnsDocument(n, 1))
	lac := b.runAdit(n.A, argv(b.generator), lacDocument(n, 1))
	lac.await(b, "session for TCP", func(ctx context.Context) (bool, error) {
		all, err := lac.client.Sessions(ctx)
		return err == nil && len(all) == 1 && all[0].LocalAddress.IsValid(), err
	})
	return tcpPath{name, n.A, n.B, innerServer, [2]int{b.generator, b.measured}}
}

func (b *bench) floorPath(name string, single bool) tcpPath {
	n := scenario.NewNativeNet(b)
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, l2tpPort) }
	far := innerServer.Next()
	for _, e := range []struct {
		ns          *scenario.NS
		own, other  netip.Addr
		here, there netip.Addr // inside
		cpu         int
	}{
		{n.A, n.AddrA(), n.AddrB(), far, innerServer, b.generator},
		{n.B, n.AddrB(), n.AddrA(), innerServer, far, b.measured},
	} {
		o := floorOptions{listen: at(e.own), peer: at(e.other), tun: "floor0", single: single}
		b.runFloor(e.ns, e.cpu, o)
		// The MTU of adit's sessions.
		e.ns.MustRun(b, "ip", "link", "set", o.tun, "mtu", "1400", "up")
		e.ns.MustRun(b, "ip", "addr", "add", e.here.String(), "peer", e.there.String(), "dev", o.tun)
	}
	return tcpPath{name, n.A, n.B, innerServer, [2]int{b.generator, b.measured}}
}

// transfer sends for a time and returns the bits a second that arrived. Each end
// has the processor of its tunnel's end.
func (p tcpPath) transfer() (bits float64, err error) {
	var listener, from, to int
	if err = p.to.Do(func() (err error) {
		listener, err = listenTCP(p.addr)
		return err
	}); err != nil {
		return 0, err
	}
	defer unix.Close(listener)
	if err = p.from.Do(func() (err error) {
		from, err = dialTCP(listener)
		return err
	}); err != nil {
		return 0, err
	}
	defer unix.Close(from)
	if to, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC); err != nil {
		return 0, os.NewSyscallError("accept", err)
	}
	defer unix.Close(to)
	if err = errors.Join(limitTCP(from), limitTCP(to)); err != nil {
		return 0, err
	}
	sent := make(chan error, 1)
	go func() { sent <- onProcessor(p.cpus[0], func() error { return fill(from) }) }()
	var n int64
	begin := time.Now()
	err = onProcessor(p.cpus[1], func() (err error) {
		n, err = drain(to)
		return err
	})
	elapsed := time.Since(begin).Seconds()
	return float64(n) * 8 / elapsed, errors.Join(err, <-sent)
}

// onProcessor runs f on a thread of its own, which stays on one processor.
func onProcessor(cpu int, f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		err := unix.SchedSetaffinity(0, &set)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// The sockets block, so that nothing but their threads has to wake up.

func listenTCP(addr netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: addr.As4()})
	}
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	return fd, os.NewSyscallError("listen", err)
}

// dialTCP connects to a socket that listens, from the namespace of this thread.
func dialTCP(listener int) (int, error) {
	to, err := unix.Getsockname(listener)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = limitTCP(fd); err == nil {
		err = unix.Connect(fd, to)
	}
	return fd, os.NewSyscallError("connect", err)
}

// limitTCP ends a call that hangs.
func limitTCP(fd int) error {
	tv := unix.NsecToTimeval(int64(10 * time.Second))
	return errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
}

// tcpBlock is what one call writes or reads at most.
const tcpBlock = 256 << 10

// fill writes until the time is over.
func fill(fd int) error {
	block := make([]byte, tcpBlock)
	for begin := time.Now(); time.Since(begin) < tcpTime; {
		if _, err := unix.Write(fd, block); err != nil && err != unix.EINTR {
			return os.NewSyscallError("write", err)
		}
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
}

// drain reads to the end.
func drain(fd int) (n int64, err error) {
	block := make([]byte, tcpBlock)
	for {
		m, err := unix.Read(fd, block)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, os.NewSyscallError("read", err)
		case m == 0:
			return n, nil
		}
		n += int64(max(m, 0))
	}
}
