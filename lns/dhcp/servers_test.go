package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/scenario"
	"adit/internal/config"
	"adit/internal/need"
	"adit/lns/subscriber"
	"adit/proto/l2tp"
)

// The networks that the servers serve: one that is relayed, with giaddr in it,
// and one on the link itself.
var (
	relayed = scenario.DHCPSubnet{
		Prefix: netip.MustParsePrefix("10.64.0.0/16"), Router: netip.MustParseAddr("10.64.0.1"),
		First: netip.MustParseAddr("10.64.1.0"), Last: netip.MustParseAddr("10.64.40.255"),
	}
	direct = scenario.DHCPSubnet{
		Prefix: netip.MustParsePrefix("10.77.0.0/16"), Router: netip.MustParseAddr("10.77.0.1"),
		First: netip.MustParseAddr("10.77.1.0"), Last: netip.MustParseAddr("10.77.8.255"), OnLink: true,
	}
	giaddr  = relayed.Router
	ourDNS  = netip.MustParseAddr("192.0.2.53")
	ourName = "subscribers.example"
)

var allKinds = []scenario.DHCPKind{scenario.Kea, scenario.Dnsmasq, scenario.ISCDHCP}

// site is a namespace with us and one with a server.
type site struct {
	net    *scenario.Net
	groups map[string]*config.DHCP
	opts   scenario.DHCPOptions
}

func newSite(t testing.TB, kind scenario.DHCPKind) *site {
	t.Helper()
	trees, err := scenario.UnpackDHCP(t.Context(), os.Stderr, kind)
	if err != nil {
		need.Lack(t, "needs %s: %v", kind, err)
	}
	s := newBareSite(t)
	link := s.net.Links[0].Right
	s.opts = scenario.DHCPOptions{
		Kind: kind, Trees: trees, Interface: link.Interface, Subnets: []scenario.DHCPSubnet{relayed, direct},
		Lease: 2 * time.Minute, Renew: time.Minute, DNS: ourDNS, Domain: ourName, Dir: t.TempDir(),
	}
	if kind == scenario.Kea {
		s.opts.Address = direct.Router
		s.net.A.Route(t, netip.PrefixFrom(direct.Router, 32), s.net.AddrB())
		s.groups["relay"].Servers = []netip.Addr{direct.Router}
	}
	if kind == scenario.ISCDHCP {
		s.opts.Subnets = append(s.opts.Subnets, scenario.DHCPSubnet{Prefix: netip.PrefixFrom(link.IPv4, 30).Masked(), OnLink: true})
	}
	return s
}

func newBareSite(t testing.TB) *site {
	t.Helper()
	s := &site{}
	if scenario.InLab() {
		s.net = scenario.NewNet(t)
	} else {
		s.net = scenario.NewNativeNet(t)
	}
	a, b := s.net.A, s.net.B
	a.MustRun(t, "ip", "addr", "add", giaddr.String()+"/32", "dev", "lo")
	b.Route(t, relayed.Prefix, s.net.AddrA())
	b.MustRun(t, "ip", "addr", "add", netip.PrefixFrom(direct.Router, direct.Prefix.Bits()).String(), "dev", s.net.Links[0].Right.Interface)
	s.groups = map[string]*config.DHCP{
		"relay": {
			Name: "relay", Mode: config.DHCPRelay, Servers: []netip.Addr{s.net.AddrB()}, Relay: giaddr,
			Option82: true, Timeout: 10 * time.Second,
		},
		"client": {Name: "client", Mode: config.DHCPClient, Interface: s.net.Links[0].Left.Interface, Timeout: 10 * time.Second},
	}
	return s
}

func (s *site) client(t testing.TB) *Client {
	t.Helper()
	var c *Client
	if err := s.net.A.Do(func() (err error) {
		c, err = New(s.groups, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// holder is who has a lease, and what was told of it.
type holder struct {
	handle   *Handle
	acquired chan Lease
	failed   chan error
	renewed  chan Lease
	lost     chan error
}

func acquire(c *Client, group *config.DHCP, req Request) *holder {
	h := &holder{
		acquired: make(chan Lease, 2), failed: make(chan error, 2),
		renewed: make(chan Lease, 100), lost: make(chan error, 2),
	}
	h.handle = c.Acquire(group, req, Events{
		Acquired: func(l Lease, err error) {
			if err != nil {
				h.failed <- err
				return
			}
			h.acquired <- l
		},
		Renewed: func(l Lease) { h.renewed <- l },
		Lost:    func(err error) { h.lost <- err },
	})
	return h
}

// lease waits for what Acquired has.
func (h *holder) lease(t *testing.T) Lease {
	t.Helper()
	select {
	case l := <-h.acquired:
		return l
	case err := <-h.failed:
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came of an acquisition")
	}
	return Lease{}
}

// wait waits for an event.
func wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	panic("not reached")
}

func lineOf(i int) *subscriber.Line {
	return &subscriber.Line{Tunnel: 1, Session: uint32(i + 1), CallingNumber: fmt.Sprintf("line %d", i), CalledNumber: "the exchange"}
}

// TestServers: a hundred leases of each server, as a relay and as a client; the
// server's own file has them, and has them no more when they are released; the
// same keys get the same addresses from a Client that knows nothing of them.
func TestServers(t *testing.T) {
	for _, kind := range allKinds {
		t.Run(kind.String(), func(t *testing.T) {
			s := newSite(t, kind)
			server := scenario.DHCPD(t, s.net.B, s.opts)
			for _, name := range []string{"relay", "client"} {
				t.Run(name, func(t *testing.T) { hundred(t, s, server, name) })
			}
		})
	}
}

func hundred(t *testing.T, s *site, server *scenario.DHCPServer, name string) {
	subnet := relayed
	if name == "client" {
		subnet = direct
	}
	c := s.client(t)
	const count = 100
	var holders [count]*holder
	begin := func(c *Client) (got [count]netip.Addr) {
		for i := range holders {
			holders[i] = acquire(c, s.groups[name], Request{Key: fmt.Sprintf("user%d", i), Line: lineOf(i)})
		}
		seen := map[netip.Addr]bool{}
		for i, h := range holders {
			l := h.lease(t)
			got[i] = l.Address
			if !subnet.Prefix.Contains(l.Address) || seen[l.Address] || l.Prefix != subnet.Prefix || l.Router != subnet.Router ||
				len(l.DNS) != 1 || l.DNS[0] != ourDNS || l.Domain != ourName || l.Duration != s.opts.Lease {
				t.Fatalf("lease %d: %+v", i, l)
			}
			seen[l.Address] = true
		}
		return got
	}
	first := begin(c)
	held := 0
	scenario.WaitFor(t, 10*time.Second, "the leases in the server's file", func() bool {
		held = 0
		for _, l := range server.Leases(t) {
			if subnet.Prefix.Contains(l.Address) {
				held++
			}
		}
		return held == count
	})
	if name == "relay" {
		seesOption82(t, s.opts.Kind, server, first[7])
	}

	// The process dies, and nothing was released.
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = s.client(t)
	if again := begin(c); again != first {
		t.Errorf("after a restart the addresses are %v, before it they were %v", again, first)
	}
	// A socket of dhcpd's has room for some ninety messages, and a release is said once.
	const some = 25
	for released := 0; released < count; {
		for _, h := range holders[released : released+some] {
			h.handle.Release()
		}
		released += some
		scenario.WaitFor(t, 20*time.Second, "the releases to be sent", func() bool { return c.Counts()["dhcp_releases"] == uint64(released) })
		// dnsmasq writes its file anew, so that for a moment there may be no lease in it.
		scenario.WaitFor(t, 20*time.Second, "the released leases to leave the server's file", func() bool {
			held = 0
			for _, l := range server.Leases(t) {
				if subnet.Prefix.Contains(l.Address) {
					held++
				}
			}
			return held <= count-released
		})
	}
	counts := c.Counts()
	if counts["dhcp_releases"] != count || c.Held() != 0 || counts["dhcp_malformed"] != 0 || counts["dhcp_conflicts"] != 0 {
		t.Errorf("%d are held, counts %v", c.Held(), counts)
	}
}

// seesOption82: the server knows the line of the lease at the address.
func seesOption82(t *testing.T, kind scenario.DHCPKind, server *scenario.DHCPServer, address netip.Addr) {
	t.Helper()
	text := ""
	for _, l := range server.Leases(t) {
		if l.Address == address {
			text = l.Text
		}
	}
	switch kind {
	case scenario.Kea:
		// Sub-option, length, text, of both.
		if want := fmt.Sprintf("0106%X020C%X", "line 7", "the exchange"); !strings.Contains(text, want) {
			t.Errorf("Kea's lease has no %s: %s", want, text)
		}
	case scenario.Dnsmasq:
		// What it sends back, in octets of hexadecimal.
		if !strings.Contains(server.Log(), "agent-id  01:06:6c:69:6e:65:20:37:02:0c:") {
			t.Error("dnsmasq's log has no Option 82 of line 7")
		}
	case scenario.ISCDHCP:
		if !strings.Contains(text, `option agent.circuit-id "line 7"`) || !strings.Contains(text, `option agent.remote-id "the exchange"`) {
			t.Errorf("dhcpd's lease has no line: %s", text)
		}
	}
}

// TestRenewal: with a T1 of three seconds every server extends the lease, both
// ways, and the address stays.
func TestRenewal(t *testing.T) {
	for _, kind := range allKinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, kind)
			s.opts.Renew = 3 * time.Second
			scenario.DHCPD(t, s.net.B, s.opts)
			c := s.client(t)
			var all sync.WaitGroup
			for name, group := range s.groups {
				h := acquire(c, group, Request{Key: "user", Line: lineOf(0)})
				l := h.lease(t)
				if l.RenewAfter > 3*time.Second || l.RenewAfter < 1800*time.Millisecond {
					t.Errorf("%s: T1 is %v", name, l.RenewAfter)
				}
				all.Go(func() {
					for range 2 {
						select {
						case again := <-h.renewed:
							if again.Address != l.Address || !again.Acquired.After(l.Acquired) {
								t.Errorf("%s: renewed %+v, before it was %+v", name, again, l)
							}
						case <-time.After(30 * time.Second):
							t.Errorf("%s: not renewed", name)
						}
					}
				})
			}
			all.Wait()
			counts := c.Counts()
			if counts["dhcp_naks"] != 0 || counts["dhcp_lost"] != 0 || counts["dhcp_requests"] < 6 {
				t.Errorf("counts %v", counts)
			}
		})
	}
}

// TestServerForgets: a server that was started anew with other addresses refuses
// to renew, and then gives one of those.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	s := newSite(t, scenario.Dnsmasq)
	s.opts.Renew = 3 * time.Second
	server := scenario.DHCPD(t, s.net.B, s.opts)
	c := s.client(t)
	h := acquire(c, s.groups["relay"], Request{Key: "user"})
	before := h.lease(t)
	server.Stop(t)
	other := relayed
	other.First, other.Last = netip.MustParseAddr("10.64.99.1"), netip.MustParseAddr("10.64.99.9")
	s.opts.Subnets, s.opts.Dir = []scenario.DHCPSubnet{other}, t.TempDir()
	scenario.DHCPD(t, s.net.B, s.opts)
	if err := wait(t, "a lost lease", h.lost); err != ErrWithdrawn {
		t.Errorf("lost by %v", err)
	}
	h.handle.Release()
	h = acquire(c, s.groups["relay"], Request{Key: "user", Wanted: before.Address})
	if l := h.lease(t); l.Address == before.Address {
		t.Errorf("the server gave %v, which is not its own", l.Address)
	}
}

// TestServerGone: without a server a lease runs out when it should.
func TestServerGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, scenario.Kea)
	s.opts.Lease, s.opts.Renew = 4*time.Second, 2*time.Second
	server := scenario.DHCPD(t, s.net.B, s.opts)
	c := s.client(t)
	h := acquire(c, s.groups["relay"], Request{Key: "user"})
	l := h.lease(t)
	server.Stop(t)
	if err := wait(t, "a lease that ran out", h.lost); err != ErrExpired || time.Since(l.Acquired) < l.Duration {
		t.Errorf("after %v lost by %v", time.Since(l.Acquired), err)
	}
}

// TestServerDown: there is an error within the time of the group.
func TestServerDown(t *testing.T) {
	t.Parallel()
	s := newBareSite(t)
	c := s.client(t)
	for name, group := range s.groups {
		group.Timeout = time.Second
		began := time.Now()
		h := acquire(c, group, Request{Key: "user"})
		if err := wait(t, "an error", h.failed); err != ErrTimeout || time.Since(began) < time.Second || time.Since(began) > 5*time.Second {
			t.Errorf("%s: after %v: %v", name, time.Since(began), err)
		}
	}
	if c.Held() != 0 || c.Counts()["dhcp_timeouts"] != 2 {
		t.Errorf("%d are held, counts %v", c.Held(), c.Counts())
	}
}

// TestAccessLine: what the LAC told of the line comes before the numbers of the
// call, RFC 5515 sections 3.1 and 3.2.
func TestAccessLine(t *testing.T) {
	line := lineOf(7)
	line.Access = []l2tp.AccessLineAVP{{Type: 1, Value: []byte("slot 3 port 9")}}
	group := &config.DHCP{Mode: config.DHCPRelay, Option82: true}
	l := newLease(group, Request{Line: line}, Events{})
	if got, want := string(l.agent.option()), "\x01\x0dslot 3 port 9\x02\x0cthe exchange"; got != want {
		t.Errorf("Option 82 is %q, want %q", got, want)
	}
	line.Access = append(line.Access, l2tp.AccessLineAVP{Type: 2, Value: []byte(strings.Repeat("x", 300))})
	l = newLease(group, Request{Line: line}, Events{})
	if got := l.agent.option(); len(got) != 2+13+2+subOption || len(got) > 255 {
		t.Errorf("Option 82 has %d octets", len(got))
	}
	group.Option82 = false
	if l = newLease(group, Request{Line: line}, Events{}); l.agent.option() != nil {
		t.Error("Option 82 without the wish for it")
	}
}

// TestSockets: what stands in the way of a socket is said, and another program
// with the port on all addresses does not.
func TestSockets(t *testing.T) {
	s := newBareSite(t)
	open := func(group *config.DHCP) error {
		return s.net.A.Do(func() error {
			c, err := New(map[string]*config.DHCP{"g": group}, nil)
			if err != nil {
				return err
			}
			return c.Close(context.Background())
		})
	}
	elsewhere := *s.groups["relay"]
	elsewhere.Relay = netip.MustParseAddr("192.0.2.77")
	if err := open(&elsewhere); !errors.Is(err, ErrNotOurs) {
		t.Errorf("an address of nobody: %v", err)
	}
	if err := open(&config.DHCP{Mode: config.DHCPClient, Interface: "eth99"}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("an interface that is not there: %v", err)
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	for address, want := range map[string]error{"0.0.0.0:67": nil, giaddr.String() + ":67": ErrPortTaken} {
		var other net.PacketConn
		if err := s.net.A.Do(func() (err error) {
			other, err = shared.ListenPacket(t.Context(), "udp4", address)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := open(s.groups["relay"]); !errors.Is(err, want) {
			t.Errorf("beside a socket of %s: %v, want %v", address, err, want)
		}
		other.Close()
	}
}

// TestInterfaceReturns: the socket of an interface that went down is opened again.
func TestInterfaceReturns(t *testing.T) {
	s := newBareSite(t)
	group := s.groups["client"]
	var c *Client
	if err := s.net.A.Do(func() (err error) {
		c, err = newClient(map[string]*config.DHCP{"client": group}, nil, func(w way) (l link, err error) {
			err = s.net.A.Do(func() error { l, err = openLink(w); return err })
			return l, err
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p, err := c.port(wayOf(group))
	if err != nil {
		t.Fatal(err)
	}
	current := func() link {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.link
	}
	first := current()
	s.net.A.MustRun(t, "ip", "link", "set", group.Interface, "down")
	s.net.A.MustRun(t, "ip", "link", "set", group.Interface, "up")
	scenario.WaitFor(t, 10*time.Second, "another socket", func() bool { l := current(); return l != nil && l != first })
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// BenchmarkAcquire is logins against a server: leases acquired and released, 50
// at a time: dnsmasq, which logs, loses what is more.
func BenchmarkAcquire(b *testing.B) {
	const atOnce = 50
	for _, kind := range allKinds {
		b.Run(kind.String(), func(b *testing.B) {
			s := newSite(b, kind)
			scenario.DHCPD(b, s.net.B, s.opts)
			c := s.client(b)
			done, room := make(chan error, atOnce), atOnce
			finish := func() {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				room++
			}
			b.ResetTimer()
			for i := range b.N {
				if room == 0 {
					finish()
				}
				room--
				var h *Handle
				ready := make(chan struct{})
				h = c.Acquire(s.groups["relay"], Request{Key: fmt.Sprint("user", i%2000)}, Events{Acquired: func(_ Lease, err error) {
					<-ready
					h.Release()
					done <- err
				}})
				close(ready)
			}
			for room < atOnce {
				finish()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leases/s")
		})
	}
}
