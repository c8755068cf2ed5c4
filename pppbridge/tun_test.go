package pppbridge

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/lab"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/ppp"
)

// open opens both ends of a session, with CHAP, and waits for IPv4 and IPv6.
func (r *rig) open(t *testing.T, id uint32, grant ppp.Grant) (lns, client *session) {
	t.Helper()
	lns = openEnd(t, r.lns, r.lnsW, id, Spec{
		LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}, ClampMSS: true,
	})
	client = openEnd(t, r.client, r.clientW, id, Spec{
		Endpoint: clientConfig(fmt.Sprintf("user%d", id), "secret"), ClampMSS: true,
		Grant: &ppp.Grant{Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8:ff::/48")}},
	})
	for _, e := range []*session{lns, client} {
		waitFor(t, 10*time.Second, "PPP", func() bool {
			i := e.Info()
			return i.LocalIP.IsValid() && i.LocalIPv6.IsValid()
		}, lns.log, client.log)
	}
	return lns, client
}

func grantOf(n byte) ppp.Grant {
	return ppp.Grant{
		Local: netip.MustParseAddr("10.9.0.1"), Peer: netip.AddrFrom4([4]byte{10, 9, 0, n}),
		Routes: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/48", n))},
	}
}

// Two of our endpoints, each with its TUN in a namespace of its own, come to an
// agreement with CHAP, and sockets talk through them; at the end nothing is left.
func TestTUNEndToEnd(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d queues", queues), func(t *testing.T) { endToEnd(t, queues) })
	}
}

func endToEnd(t *testing.T, queues int) {
	goroutines := runtime.NumGoroutine()
	r := newRig(t, queues)
	lnsLinks, clientLinks := r.lnsNS.links(t), r.clientNS.links(t)
	lns, client := r.open(t, 7, grantOf(2))
	if i := lns.Info(); i.User != "user7" || i.PeerIP.String() != "10.9.0.2" || i.Phase != "up" || i.Interface != "lns0" || len(i.Routes) != 1 {
		t.Errorf("info of the LNS: %+v", i)
	}
	waitFor(t, 5*time.Second, "the addresses", func() bool { return r.lnsNS.hasAddress("10.9.0.1") && r.clientNS.hasAddress("10.9.0.2") })
	addIPv6(t, lnsLinks, "lns0", "2001:db8:ff::1")
	addIPv6(t, clientLinks, "cli0", "2001:db8:2::2")

	ping(t, r.clientNS, "10.9.0.1", lns, client)
	ping(t, r.lnsNS, "10.9.0.2", lns, client)
	for _, a := range [][2]string{{"10.9.0.1", "10.9.0.2"}, {"2001:db8:ff::1", "2001:db8:2::2"}} {
		waitFor(t, 5*time.Second, a[0], func() bool { return r.lnsNS.hasAddress(a[0]) && r.clientNS.hasAddress(a[1]) })
		udpBurst(t, r.clientNS, r.lnsNS, a[1], a[0])
		udpBurst(t, r.lnsNS, r.clientNS, a[0], a[1])
		tcpTransfer(t, r.clientNS, r.lnsNS, a[0])
		tcpTransfer(t, r.lnsNS, r.clientNS, a[1])
	}
	spoof(t, r, clientLinks, lns)

	if e := client.end(t); e.Closed || e.Text != "the test is over" {
		t.Errorf("exit of the client: %+v", e)
	}
	e := lns.wait(t)
	if e.Closed || e.PPP == nil || e.PPP.Code != 3 || e.PPP.Direction != 1 || e.Result.Result != 3 {
		t.Errorf("exit of the LNS: %+v", e)
	}
	if n := r.lns.tun.table.len() + r.client.tun.table.len(); n != 0 {
		t.Errorf("%d entries are left in the tables", n)
	}
	waitFor(t, 5*time.Second, "the addresses to go", func() bool { return !r.lnsNS.hasAddress("10.9.0.1") && !r.clientNS.hasAddress("10.9.0.2") })
	for _, p := range []*tunPlane{r.lns.tun, r.client.tun} {
		waitFor(t, 5*time.Second, "the worker to forget", func() bool {
			p.work.mu.Lock()
			defer p.work.mu.Unlock()
			return len(p.work.wanted) == 0 && len(p.work.queue) == 0
		})
	}
	r.lns.Close()
	r.client.Close()
	if _, err := lnsLinks.Index("lns0"); err == nil {
		t.Error("the TUN is left")
	}
	// The rig itself has readers, pollers, forkers and threads that end with the
	// test; the sessions' loops are gone.
	if n := runtime.NumGoroutine(); n > goroutines+14 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

func addIPv6(t *testing.T, l *kernel.Links, name, addr string) {
	t.Helper()
	index, err := l.Index(name)
	if err == nil {
		a := netip.MustParseAddr(addr)
		err = l.AddAddress(index, netip.PrefixFrom(a, 128), netip.Addr{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func ping(t *testing.T, ns *namespace, to string, lns, client *session) {
	t.Helper()
	if err := lab.InstallPrograms(t.Context(), os.Stderr, "ping"); err != nil {
		need.Lack(t, "needs ping: %v", err)
	}
	var out []byte
	var err error
	ns.do(func() {
		out, err = exec.Command("ping", "-c", "3", "-i", "0.05", "-W", "5", "-s", "1000", to).CombinedOutput()
	})
	if err != nil || !strings.Contains(string(out), " 0% packet loss") {
		t.Errorf("ping %s: %v\n%s\n%+v\n%+v", to, err, out, lns.Stats(), client.Stats())
	}
}

// udpBurst sends super packets (UDP_SEGMENT): each datagram arrives as it was,
// in order.
func udpBurst(t *testing.T, from, to *namespace, src, dst string) {
	t.Helper()
	const size, segments, bursts = 1200, 40, 10
	var in, out *net.UDPConn
	var err error
	to.do(func() { in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(dst)}) })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	_ = in.SetReadBuffer(4 << 20)
	from.do(func() {
		out, err = net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(src)}, in.LocalAddr().(*net.UDPAddr))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	raw, _ := out.SyscallConn()
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	if err != nil {
		t.Fatal(err)
	}
	for b := range bursts {
		super := make([]byte, size*segments-b) // the last one shorter
		for s := range segments {
			binary.BigEndian.PutUint32(super[s*size:], uint32(b*segments+s))
			for i := 4; i < size && s*size+i < len(super); i++ {
				super[s*size+i] = byte(b + s + i)
			}
		}
		if _, err := out.Write(super); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65536)
		_ = in.SetReadDeadline(time.Now().Add(5 * time.Second))
		for s := range segments {
			n, err := in.Read(buf)
			if err != nil {
				t.Fatalf("%s to %s, burst %d: %d datagrams came: %v", src, dst, b, s, err)
			}
			if want := super[s*size : min((s+1)*size, len(super))]; !bytes.Equal(buf[:n], want) {
				t.Fatalf("%s to %s: datagram %d of burst %d is wrong (%d octets, number %d)", src, dst, s, b, n, binary.BigEndian.Uint32(buf))
			}
		}
	}
}

func tcpTransfer(t *testing.T, from, to *namespace, dst string) {
	t.Helper()
	const size = 2 << 20
	var l net.Listener
	var c net.Conn
	var err error
	to.do(func() { l, err = net.Listen("tcp", net.JoinHostPort(dst, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sum := make(chan string, 1)
	go func() {
		in, err := l.Accept()
		if err != nil {
			sum <- err.Error()
			return
		}
		defer in.Close()
		h := sha256.New()
		n, err := io.Copy(h, in)
		sum <- fmt.Sprintf("%x %d %v", h.Sum(nil), n, err)
	}()
	from.do(func() { c, err = net.DialTimeout("tcp", l.Addr().String(), 5*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_ = c.SetDeadline(start.Add(20 * time.Second))
	if _, err := c.Write(pattern(size)); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case got := <-sum:
		if want := patternSum(size) + fmt.Sprintf(" %d <nil>", size); got != want {
			t.Errorf("TCP to %s: %s, want %s", dst, got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("TCP to %s does not end", dst)
	}
	t.Logf("TCP to %s: %.2f Gbit/s", dst, size*8/time.Since(start).Seconds()/1e9)
}

// spoof sends from another subscriber's address: nothing of it comes out, and
// it is counted.
func spoof(t *testing.T, r *rig, links *kernel.Links, lns *session) {
	t.Helper()
	index, err := links.Index("cli0")
	if err == nil {
		err = links.AddAddress(index, netip.MustParsePrefix("10.9.0.99/32"), netip.Addr{})
	}
	if err == nil {
		err = links.AddRoute(index, netip.MustParsePrefix("10.9.0.1/32"), kernel.RouteOptions{Replace: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	// Our own client sends it by its only session's route.
	r.client.tun.table.mu.Lock()
	routes := r.client.tun.table.routes.Load()
	var l *addressHolder
	for _, v := range routes.All() {
		l = v
	}
	r.client.tun.table.routes.Store(routes.InsertPersist(netip.MustParsePrefix("10.9.0.1/32"), l))
	r.client.tun.table.mu.Unlock()
	defer r.client.tun.table.disclaim(l, netip.MustParsePrefix("10.9.0.1/32"))
	var in, out *net.UDPConn
	r.lnsNS.do(func() { in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("10.9.0.1")}) })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r.clientNS.do(func() {
		out, err = net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP("10.9.0.99")}, in.LocalAddr().(*net.UDPAddr))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	before := lns.Stats().DropSource
	for range 5 {
		if _, err := out.Write([]byte("from somebody else")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, 5*time.Second, "five drops", func() bool { return lns.Stats().DropSource >= before+5 })
	_ = in.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := in.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d octets came from a false address", n)
	}
}

// Many clients share a TUN, all with the same peer: the packets of each go by
// its own session, by their source address, and come back by it.
func TestTUNManyClients(t *testing.T) {
	const clients = 20
	r := newRig(t, 2)
	var all [clients][2]*session
	for i := range all {
		grant := ppp.Grant{Local: netip.MustParseAddr("10.9.0.1"), Peer: netip.AddrFrom4([4]byte{10, 9, 0, byte(100 + i)})}
		all[i][0] = openEnd(t, r.lns, r.lnsW, uint32(i+1), Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}})
		all[i][1] = openEnd(t, r.client, r.clientW, uint32(i+1), Spec{Endpoint: clientConfig(fmt.Sprint("user", i), "secret")})
	}
	var echo net.PacketConn
	for i, e := range all {
		own := fmt.Sprintf("10.9.0.%d", 100+i)
		waitFor(t, 20*time.Second, own, func() bool {
			return e[0].Info().PeerIP.IsValid() && r.clientNS.hasAddress(own) && r.lnsNS.hasAddress("10.9.0.1")
		}, e[0].log, e[1].log)
	}
	var err error
	r.lnsNS.do(func() { echo, err = net.ListenPacket("udp", "10.9.0.1:0") })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	defer echo.Close()
	for i, e := range all {
		var c *net.UDPConn
		r.clientNS.do(func() {
			c, err = net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 9, 0, byte(100+i))}, echo.LocalAddr().(*net.UDPAddr))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		before, beforeOut := e[0].Stats(), e[1].Stats()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 1500)
		if _, err = c.Write(make([]byte, 1000+i)); err == nil {
			var n int
			if n, err = c.Read(buf); n != 1000+i {
				t.Errorf("client %d: %d octets came back", i, n)
			}
		}
		if err != nil {
			t.Errorf("client %d: %v", i, err)
		}
		// They are counted after they have gone.
		waitFor(t, 5*time.Second, fmt.Sprintf("the counters of session %d", i), func() bool {
			a, b := difference(e[0].Stats(), before), difference(e[1].Stats(), beforeOut)
			return min(a.BytesIn, a.BytesOut, b.BytesIn, b.BytesOut) >= uint64(1000+i)
		}, e[0].log, e[1].log)
	}
	for _, e := range all {
		e[1].loop.Post(func(now time.Time) { e[1].Terminate(now, "the test is over") })
	}
	for _, e := range all {
		e[1].wait(t)
		e[0].wait(t)
	}
}

// The second session with an address is refused, and the first goes on.
func TestTUNAddressTaken(t *testing.T) {
	r := newRig(t, 1)
	lns, client := r.open(t, 1, grantOf(2))
	grant := grantOf(2)
	grant.Routes = nil // so that the refusal is always about the same address
	second := openEnd(t, r.lns, r.lnsW, 2, Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}})
	other := openEnd(t, r.client, r.clientW, 2, Spec{Endpoint: clientConfig("user2", "secret")})
	e := second.wait(t)
	if e.Err == nil || !strings.Contains(e.Text, "another session has the address: 10.9.0.2/32 is that of session 1") {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(second.log.String(), "10.9.0.2/32") {
		t.Errorf("log: %s", second.log)
	}
	other.wait(t)
	waitFor(t, 5*time.Second, "the addresses", func() bool { return r.lnsNS.hasAddress("10.9.0.1") && r.clientNS.hasAddress("10.9.0.2") })
	ping(t, r.lnsNS, "10.9.0.2", lns, client)
	client.end(t)
	lns.wait(t)
}

// A peer with the wrong password never has a network, and both exits say why.
func TestTUNWrongPassword(t *testing.T) {
	r := newRig(t, 1)
	grant := grantOf(2)
	lns := openEnd(t, r.lns, r.lnsW, 1, Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}})
	client := openEnd(t, r.client, r.clientW, 1, Spec{Endpoint: clientConfig("user", "wrong")})
	e := lns.wait(t)
	if e.PPP == nil || e.PPP.Code != 16 || e.PPP.Protocol != 0xc223 || e.PPP.Direction != 1 {
		t.Errorf("LNS: %+v %v", e, e.PPP)
	}
	if e := client.wait(t); e.PPP == nil || e.PPP.Code != 16 && e.PPP.Code != 3 {
		t.Errorf("client: %+v %v", e, e.PPP)
	}
	if lns.Stats().BytesOut == 0 || r.lns.tun.table.len() != 0 {
		t.Errorf("%+v", lns.Stats())
	}
}
