package pppbridge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// lnsSpec is a session of an LNS.
func lnsSpec(session uint32) *Spec {
	s := testSpec()
	s.LNS, s.LocalTunnel, s.LocalSession = true, 7, session
	return s
}

// wantFilter compares the last filter with that of some sources.
func (k *fakeKernel) wantFilter(t *testing.T, sources ...string) {
	t.Helper()
	var all []netip.Prefix
	for _, s := range sources {
		all = append(all, netip.MustParsePrefix(s))
	}
	want, err := kernel.SourceFilter(all)
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.filter, want) {
		t.Errorf("the filter of %v is\n%v, want\n%v", sources, k.filter, want)
	}
}

func filtered(ops []string) []string { return slices.Concat([]string{"filter"}, ops) }

// The interface of a subscriber has its filter before anything passes, with what
// is his at the time and nothing else.
func TestKernelLinkSourceFilter(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	l := o.open(t, k.plane, lnsSpec(1))
	k.wantOps(t, "open session", "open channel")
	o.on(func() { l.Up(ppp.IPv4, testNetwork) })
	k.wantOps(t, slices.Concat(opsUnit, filtered(opsIPv4))...)
	k.wantFilter(t, "10.0.0.2/32", "192.0.2.0/24")
	o.on(func() { l.Up(ppp.IPv6, testNetwork) })
	k.wantOps(t, filtered(opsIPv6)...)
	k.wantFilter(t, "10.0.0.2/32", "192.0.2.0/24", "2001:db8::/56", "fe80::304/128")

	// IPCP comes up again, with another address.
	other := testNetwork
	other.PeerIPv4, other.Routes = netip.MustParseAddr("10.0.0.3"), nil
	o.on(func() { l.Down(ppp.IPv4) })
	k.wantOps(t, "0x21 NPMODE_DROP", "- route 192.0.2.0/24", "- 10.0.0.1/32 10.0.0.2")
	o.on(func() { l.Up(ppp.IPv4, other) })
	k.wantOps(t, "filter", "up 70 mtu 1400", "+ 10.0.0.1/32 10.0.0.3", "0x21 NPMODE_PASS")
	k.wantFilter(t, "10.0.0.3/32", "2001:db8::/56", "fe80::304/128")
	o.close(t, l)
	k.wantOps(t, opsEnd...)
}

// A client takes what comes: the world is behind an LNS.
func TestKernelLinkClientUnfiltered(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	l := o.open(t, k.plane, testSpec())
	o.on(func() { l.Up(ppp.IPv4, testNetwork) })
	k.wantOps(t, slices.Concat([]string{"open session", "open channel"}, opsUnit, opsIPv4)...)
	if n := k.plane.table.len(); n != 0 {
		t.Errorf("%d addresses are taken", n)
	}
	o.close(t, l)
}

// A kernel without filters: a warning, once, and the sessions go on.
func TestKernelLinkWithoutFilters(t *testing.T) {
	k, o := newFakeKernel(t), newTestOwner(t)
	k.setFail("filter", &kernel.Error{Op: "set", Kind: kernel.ErrNotSupported, Err: unix.ENOTTY})
	log := newTestLog()
	var links []*kernelLink
	for i := range 3 {
		s := lnsSpec(uint32(i))
		s.Log = log.entry
		l := o.open(t, k.plane, s)
		n := testNetwork
		n.PeerIPv4, n.Routes = netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}), nil
		o.on(func() { l.Up(ppp.IPv4, n) })
		waitFor(t, 5*time.Second, "the worker", func() bool { return slices.Contains(k.asked(), "0x21 NPMODE_PASS") })
		links = append(links, l)
	}
	if n := strings.Count(log.String(), "are not checked"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log)
	}
	for _, l := range links {
		o.close(t, l)
	}
	if len(o.failed) != 0 {
		t.Error(<-o.failed)
	}
}

// A filter that cannot be set, or that would be too long, ends the session, and
// nothing has passed.
func TestKernelLinkFilterFails(t *testing.T) {
	many := testNetwork
	many.Routes = nil
	for i := range 2000 {
		many.Routes = append(many.Routes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24))
	}
	refused := errors.New("refused")
	for _, c := range []struct {
		name string
		fail error
		n    ppp.Network
		want error
	}{
		{"refused", refused, testNetwork, refused},
		{"too many", nil, many, kernel.ErrTooManySources},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, o := newFakeKernel(t), newTestOwner(t)
			k.setFail("filter", c.fail)
			l := o.open(t, k.plane, lnsSpec(1))
			o.on(func() { l.Up(ppp.IPv4, c.n) })
			select {
			case err := <-o.failed:
				if !errors.Is(err, c.want) {
					t.Errorf("failed: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("nobody is told")
			}
			o.close(t, l)
			if ops := k.asked(); slices.Contains(ops, "0x21 NPMODE_PASS") || k.left() != 0 {
				t.Errorf("left %d files; asked %q", k.left(), ops)
			}
			if n := k.plane.table.len(); n != 0 {
				t.Errorf("%d addresses are left in the table", n)
			}
		})
	}
}

func (o *testOwner) wantTaken(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-o.failed:
		if !errors.Is(err, ErrAddressTaken) {
			t.Errorf("%s: failed: %v", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s: not refused", what)
	}
}

// An address is one session's from when its protocol is up until the kernel has
// nothing of it any more.
func TestKernelLinkAddressTaken(t *testing.T) {
	k, first, second := newFakeKernel(t), newTestOwner(t), newTestOwner(t)
	a := first.open(t, k.plane, lnsSpec(1))
	k.wantOps(t, "open session", "open channel")
	b := second.open(t, k.plane, lnsSpec(2))
	k.wantOps(t, "open session", "open channel")
	up := func(o *testOwner, l *kernelLink, f ppp.Family, n ppp.Network) { o.on(func() { l.Up(f, n) }) }
	addressOnly, routeOnly, prefixOnly, neither := testNetwork, testNetwork, testNetwork, testNetwork
	addressOnly.Routes = nil
	routeOnly.PeerIPv4, routeOnly.Routes = netip.MustParseAddr("10.0.0.9"), []netip.Prefix{netip.MustParsePrefix("192.0.2.77/24")}
	neither.PeerIPv4, neither.Routes = netip.MustParseAddr("10.0.0.9"), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}
	prefixOnly.Routes = testNetwork.Routes[1:]

	up(first, a, ppp.IPv4, testNetwork)
	up(first, a, ppp.IPv6, testNetwork)
	k.wantOps(t, slices.Concat(opsUnit, filtered(opsIPv4), filtered(opsIPv6))...)
	up(second, b, ppp.IPv4, addressOnly)
	second.wantTaken(t, "the same address")
	// It is told once; the owner would close it.
	b.owner.Post(func(time.Time) { b.told = false })
	up(second, b, ppp.IPv4, routeOnly)
	second.wantTaken(t, "the same network")
	b.owner.Post(func(time.Time) { b.told = false })
	up(second, b, ppp.IPv6, prefixOnly)
	second.wantTaken(t, "the same prefix")
	b.owner.Post(func(time.Time) { b.told = false })
	k.wantOps(t)
	if n := k.plane.table.len(); n != 3 {
		t.Errorf("%d prefixes are taken", n)
	}
	// A part of a network may be another's; the longer one wins.
	up(second, b, ppp.IPv4, neither)
	k.wantOps(t, slices.Concat(opsUnit, filtered([]string{"up 70 mtu 1400", "+ 10.0.0.1/32 10.0.0.9", "+ route 192.0.2.0/25", "0x21 NPMODE_PASS"}))...)
	second.on(func() { b.Down(ppp.IPv4) })
	k.wantOps(t, "0x21 NPMODE_DROP", "- route 192.0.2.0/25", "- 10.0.0.1/32 10.0.0.9")

	// As long as the kernel is not done, the address is not free.
	release := k.hold("- 10.0.0.1/32 10.0.0.2")
	first.on(func() { a.Down(ppp.IPv4) })
	<-k.held
	up(second, b, ppp.IPv4, addressOnly)
	second.wantTaken(t, "while it is taken down")
	b.owner.Post(func(time.Time) { b.told = false })
	release()
	waitFor(t, 5*time.Second, "the address", func() bool { return k.plane.table.owner(testNetwork.PeerIPv4) == nil })
	k.asked()
	// Up and down again before a worker could do it.
	release = k.hold("+ 10.0.0.1/32 10.0.0.2")
	up(first, a, ppp.IPv4, testNetwork)
	<-k.held
	changed := testNetwork
	changed.PeerIPv4 = netip.MustParseAddr("10.0.0.5")
	up(first, a, ppp.IPv4, changed)
	first.on(func() { a.Down(ppp.IPv4) })
	if h := k.plane.table.owner(changed.PeerIPv4); h != nil {
		t.Error("an address that never was in the kernel is not given back")
	}
	if h := k.plane.table.owner(testNetwork.PeerIPv4); h != &a.addressHolder {
		t.Error("an address that the kernel has is given back")
	}
	k.mu.Lock()
	delete(k.holds, "- 10.0.0.1/32 10.0.0.2")
	k.mu.Unlock()
	release()
	waitFor(t, 5*time.Second, "the address", func() bool { return k.plane.table.owner(testNetwork.PeerIPv4) == nil })

	// The end of the session gives everything back, once the interface is gone.
	if n := k.plane.table.len(); n != 1 {
		t.Errorf("%d prefixes are taken", n)
	}
	release = k.hold("close unit")
	first.on(a.Close)
	<-k.held
	up(second, b, ppp.IPv6, prefixOnly)
	second.wantTaken(t, "at the end of the other")
	k.mu.Lock()
	delete(k.holds, "close unit")
	k.mu.Unlock()
	release()
	first.wantClosed(t)
	if n := k.plane.table.len(); n != 0 {
		t.Errorf("%d prefixes are taken", n)
	}
	second.close(t, b)
}

// All planes of a Factory have one table: a session on the shared TUN, one with
// a TUN of its own and one on the kernel plane do not get one address. A worker
// makes the TUN, so the whole process has to be in the namespace.
func TestAddressTakenAcrossPlanes(t *testing.T) {
	self := wholeNamespace(t)
	if self == nil {
		return
	}
	r := &rig{lnsNS: self, clientNS: newNamespace(t), lns: newTestFactory(t, Config{}), client: newTestFactory(t, Config{})}
	r.lnsW, r.clientW = newWires(t)
	r.openTUN(t, r.lnsNS, r.lns, TUNConfig{Name: "lns0", MTU: 1400})
	r.openTUN(t, r.clientNS, r.client, TUNConfig{Name: "cli0", MTU: 1400})
	k, o := newFakeKernel(t), newTestOwner(t)
	k.plane.table = &r.lns.tun.table
	refuse := func(id uint32, grant ppp.Grant, holder int, pattern string) {
		t.Helper()
		grant.Routes = nil
		lns := openEnd(t, r.lns, r.lnsW, id, Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}, Interface: pattern})
		client := openEnd(t, r.client, r.clientW, id, Spec{Endpoint: clientConfig("user", "secret")})
		e := lns.wait(t)
		if want := fmt.Sprintf("%v/32 is that of session %d", grant.Peer, holder); !errors.Is(e.Err, ErrAddressTaken) || !strings.Contains(e.Text, want) {
			t.Errorf("%+v, want %q", e, want)
		}
		client.wait(t)
	}
	network := func(n byte) ppp.Network { return ppp.Network{LocalIPv4: grantOf(n).Local, PeerIPv4: grantOf(n).Peer} }

	lns, client := r.open(t, 1, grantOf(2))
	refuse(2, grantOf(2), 1, "sub%d")
	first := o.open(t, k.plane, lnsSpec(3))
	o.on(func() { first.Up(ppp.IPv4, network(2)) })
	o.wantTaken(t, "that of the shared TUN")
	o.close(t, first)

	second := o.open(t, k.plane, lnsSpec(4))
	o.on(func() { second.Up(ppp.IPv4, network(3)) })
	refuse(5, grantOf(3), 4, "")
	refuse(6, grantOf(3), 4, "sub%d")
	// A packet out of the shared TUN for it has no business there.
	if l := r.lns.tun.table.find(grantOf(3).Local, grantOf(3).Peer); l != nil {
		t.Errorf("session %d gets the packets of another plane's", l.session)
	}

	grant := grantOf(4)
	own := openEnd(t, r.lns, r.lnsW, 7, Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}, Interface: "sub%d"})
	ownClient := openEnd(t, r.client, r.clientW, 7, Spec{Endpoint: clientConfig("user", "secret")})
	waitFor(t, 10*time.Second, "PPP", func() bool { return own.Info().PeerIP.IsValid() }, own.log, ownClient.log)
	refuse(8, grantOf(4), 7, "")
	third := o.open(t, k.plane, lnsSpec(9))
	o.on(func() { third.Up(ppp.IPv4, network(4)) })
	o.wantTaken(t, "that of a TUN of its own")
	o.close(t, third)
	if l := r.lns.tun.table.find(grant.Local, grant.Peer); l != nil {
		t.Errorf("session %d gets packets out of a TUN that is not its own", l.session)
	}

	o.close(t, second)
	for _, e := range []*session{client, ownClient} {
		e.end(t)
	}
	lns.wait(t)
	own.wait(t)
	if n := r.lns.tun.table.len(); n != 0 {
		t.Errorf("%d prefixes are taken at the end", n)
	}
}
