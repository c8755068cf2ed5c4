package scenario

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// looseSources has the kernel take any source address, so that what is stopped
// was stopped by adit. It is called before adit makes interfaces.
func looseSources(t *testing.T, ns *NS) {
	t.Helper()
	for _, which := range []string{"all", "default"} {
		ns.Sysctl(t, "net/ipv4/conf/"+which+"/rp_filter", "0")
	}
}

// checkSources sends from a client's interface to an address behind the LNS: what
// has the client's own source address arrives, and what has another's does not.
func checkSources(t *testing.T, n *Net, c Interface, dst, own netip.Addr, others ...netip.Addr) {
	t.Helper()
	const needed, mine = 3, "from its own address"
	var in *net.UDPConn
	err := n.B.Do(func() (err error) {
		in, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	to := in.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	right := boundUDP(t, n.A, c.Name, own)
	wrong := map[string]*net.UDPConn{}
	for _, a := range others {
		wrong["from "+a.String()] = boundUDP(t, n.A, c.Name, a)
	}
	send := func(from *net.UDPConn, text string) {
		t.Helper()
		if _, err := from.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(dst, to)); err != nil {
			t.Fatalf("send from %v: %v", from.LocalAddr(), err)
		}
	}
	arrived := 0
	buf := make([]byte, 2000)
	for try := 0; try < 10*needed && arrived < needed; try++ {
		for text, from := range wrong {
			send(from, text)
		}
		send(right, mine) // what came before it on the link has had its time
		_ = in.SetReadDeadline(time.Now().Add(3 * time.Second))
		for {
			size, from, err := in.ReadFromUDPAddrPort(buf)
			if err != nil {
				break // lost on the way
			}
			if text := string(buf[:size]); text != mine || from.Addr().Unmap() != own {
				t.Errorf("out of the session of %v: %q of %v", own, text, from)
				continue
			}
			arrived++
			break
		}
	}
	if arrived < needed {
		t.Errorf("from %v to %v %d packets arrived", own, dst, arrived)
	}
}

// boundUDP is a socket that sends out of one interface, from one address.
func boundUDP(t *testing.T, ns *NS, iface string, source netip.Addr) (c *net.UDPConn) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, iface)
		}); e != nil {
			return e
		}
		return err
	}}
	err := ns.Do(func() error {
		p, err := config.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(source, 0).String())
		if err == nil {
			c = p.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		t.Fatalf("bind to %v on %s: %v", source, iface, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// checkForgeries tries a few source addresses: that of another subscriber, and
// one that nobody has, to which the LNS has a route elsewhere; in IPv6 one beside
// the client's prefix. routed is the interface of the client who has one.
func checkForgeries(t *testing.T, n *Net, lns *AditDaemon, p plane, clients []Interface, routed string) {
	t.Helper()
	const far4, nobody, nobody6 = "10.98.0.1", "10.98.7.7", "fd96::2"
	n.B.MustRun(t, "ip", "addr", "add", far4+"/32", "dev", "lo")
	n.B.Route(t, netip.MustParsePrefix(nobody+"/32"), n.AddrA())
	c := clients[0]
	own, _ := c.IPv4()
	another, _ := clients[1].IPv4()
	n.A.MustRun(t, "ip", "addr", "add", nobody+"/32", "dev", c.Name)
	n.A.MustRun(t, "ip", "route", "add", far4+"/32", "dev", c.Name)
	checkSources(t, n, c, netip.MustParseAddr(far4), own, another, netip.MustParseAddr(nobody))

	n.A.MustRun(t, "ip", "addr", "add", nobody6+"/128", "dev", routed, "nodad")
	checkSources(t, n, Interface{Name: routed}, netip.MustParseAddr("fd98::1"), netip.MustParseAddr("fd97::2"), netip.MustParseAddr(nobody6))

	if p.kernel() {
		if log := lns.Log(); strings.Contains(log, "are not checked") {
			t.Errorf("the kernel has no filters:\n%s", log)
		}
		return
	}
	var counted []string
	for _, v := range lns.Sessions(t) {
		if v.Drops["source"] > 0 {
			counted = append(counted, fmt.Sprint(v.RemoteAddress))
		}
	}
	if !strings.Contains(strings.Join(counted, " ")+" ", own.String()+" ") {
		t.Errorf("source addresses were counted in the sessions of %v, not in that of %v", counted, own)
	}
}
