package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"adit/internal/config"
)

var (
	oneServer   = netip.MustParseAddr("192.0.2.10")
	otherServer = netip.MustParseAddr("192.0.2.11")
	theirs      = netip.MustParseAddr("10.1.0.5")
)

// fakeLink is a link whose other end is the test. All that is sent is noted.
type fakeLink struct {
	in     chan datagram
	closed chan struct{}
	sent   chan note
}

type datagram struct {
	b    []byte
	from sender
}

// note is a message that was sent.
type note struct {
	at time.Duration // since the test began
	to destination
	m  *dhcpv4.DHCPv4
}

func (f *fakeLink) Read(b []byte) (int, sender, error) {
	select {
	case d := <-f.in:
		return copy(b, d.b), d.from, nil
	case <-f.closed:
		return 0, sender{}, net.ErrClosed
	}
}

func (f *fakeLink) Close() error { close(f.closed); return nil }

// fixture is a Client in a bubble, as a relay of two servers.
type fixture struct {
	t     *testing.T
	c     *Client
	link  *fakeLink
	group *config.DHCP
	began time.Time
}

func (x *fixture) Send(b []byte, to destination) error {
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		x.t.Errorf("sent what cannot be read: %v", err)
		return nil
	}
	x.link.sent <- note{time.Since(x.began), to, m}
	return nil
}

type fakeSender struct {
	*fakeLink
	*fixture
}

func (f fakeSender) Send(b []byte, to destination) error { return f.fixture.Send(b, to) }

// bubble runs a test with a Client whose delays have no jitter, and checks that
// nothing but what the test took was sent.
func bubble(t *testing.T, mode config.DHCPMode, run func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &fixture{
			t: t, began: time.Now(),
			link:  &fakeLink{in: make(chan datagram), closed: make(chan struct{}), sent: make(chan note, 1000)},
			group: &config.DHCP{Name: "g", Mode: mode, Timeout: 30 * time.Second},
		}
		if mode == config.DHCPRelay {
			x.group.Servers, x.group.Relay = []netip.Addr{oneServer, otherServer}, netip.MustParseAddr("10.1.0.1")
		} else {
			x.group.Interface = "eth9"
		}
		var err error
		if x.c, err = newClient(map[string]*config.DHCP{"g": x.group}, nil, func(way) (link, error) {
			return fakeSender{x.link, x}, nil
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		x.c.table.random = func(n int64) int64 { return n / 2 }
		run(x)
		if err := x.c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		x.nothing()
	})
}

// want takes the messages that were sent at a time, which are of one kind: one to
// each of the destinations.
func (x *fixture) want(at time.Duration, kind dhcpv4.MessageType, to ...netip.Addr) *dhcpv4.DHCPv4 {
	x.t.Helper()
	time.Sleep(at - time.Since(x.began))
	synctest.Wait()
	var last *dhcpv4.DHCPv4
	for _, server := range to {
		select {
		case n := <-x.link.sent:
			if n.at != at || n.m.MessageType() != kind || n.to.server != server || n.to.broadcast == server.IsValid() {
				x.t.Fatalf("at %v a %v to %+v, want at %v a %v to %v", n.at, n.m.MessageType(), n.to, at, kind, server)
			}
			last = n.m
		default:
			x.t.Fatalf("at %v there is no %v to %v", at, kind, server)
		}
	}
	return last
}

func (x *fixture) nothing() {
	x.t.Helper()
	synctest.Wait()
	select {
	case n := <-x.link.sent:
		x.t.Errorf("at %v a %v to %v, which nobody awaits", n.at, n.m.MessageType(), n.to)
	default:
	}
}

var both = []netip.Addr{oneServer, otherServer}

// answer has a server answer to a message.
func (x *fixture) answer(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, from, yiaddr netip.Addr, lease time.Duration) {
	x.t.Helper()
	x.raw(answerTo(m, kind, from, yiaddr, lease), netip.AddrPortFrom(from, serverPort))
}

func (x *fixture) raw(b []byte, from netip.AddrPort) {
	x.link.in <- datagram{b, sender{addr: from, mac: [6]byte{2, 0, 0, 0, 0, 9}}}
	synctest.Wait()
}

func answerTo(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, from, yiaddr netip.Addr, lease time.Duration) []byte {
	a := *m
	a.OpCode, a.HopCount, a.YourIPAddr = dhcpv4.OpcodeBootReply, 0, net.IPv4zero
	a.Options = dhcpv4.Options{}
	a.UpdateOption(dhcpv4.OptMessageType(kind))
	a.UpdateOption(dhcpv4.OptServerIdentifier(ip(from)))
	if kind != dhcpv4.MessageTypeNak {
		a.YourIPAddr = ip(yiaddr)
		seconds := binary.BigEndian.AppendUint32(nil, uint32(lease/time.Second))
		a.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionIPAddressLeaseTime, seconds))
	}
	return a.ToBytes()
}

// bound makes a lease of 1000 s of the address at the time that it is.
func (x *fixture) bound(key string, address netip.Addr, to ...netip.Addr) *holder {
	x.t.Helper()
	at := time.Since(x.began)
	h := acquire(x.c, x.group, Request{Key: key})
	m := x.want(at, dhcpv4.MessageTypeDiscover, to...)
	x.answer(m, dhcpv4.MessageTypeOffer, oneServer, address, 1000*time.Second)
	m = x.want(at, dhcpv4.MessageTypeRequest, to...)
	x.answer(m, dhcpv4.MessageTypeAck, oneServer, address, 1000*time.Second)
	h.lease(x.t)
	return h
}

func (x *fixture) counts(want map[string]uint64) {
	x.t.Helper()
	got := x.c.Counts()
	for name, n := range want {
		if v, ok := got[name]; !ok || v != n {
			x.t.Errorf("%s is %d, want %d", name, v, n)
		}
	}
}

// RFC 2131 section 4.1: "the delay before the first retransmission SHOULD be 4
// seconds [...]. The delay before the next retransmission SHOULD be 8 seconds".
// The group's time ends it.
func TestNobodyAnswers(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		h := acquire(x.c, x.group, Request{Key: "k", Wanted: theirs})
		first := x.want(0, dhcpv4.MessageTypeDiscover, both...)
		if !first.RequestedIPAddress().Equal(ip(theirs)) || !first.GatewayIPAddr.Equal(ip(x.group.Relay)) || first.HopCount != 1 ||
			first.ClientHWAddr[0]&3 != 2 || !first.ClientIPAddr.IsUnspecified() || first.Options.Get(dhcpv4.OptionClientIdentifier)[0] != 255 {
			t.Errorf("the DHCPDISCOVER is %s", first.Summary())
		}
		for _, at := range []time.Duration{4, 12, 28} {
			if m := x.want(at*time.Second, dhcpv4.MessageTypeDiscover, both...); m.TransactionID != first.TransactionID || m.NumSeconds != 0 {
				t.Errorf("sent again with xid %s after %s", m.TransactionID, first.TransactionID)
			}
		}
		x.nothing()
		time.Sleep(2*time.Second - time.Nanosecond)
		synctest.Wait()
		if len(h.failed) != 0 {
			t.Error("it is given up too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(h.failed) != 1 || <-h.failed != ErrTimeout || x.c.Held() != 0 {
			t.Error("it is not given up")
		}
		h.handle.Release()
		x.counts(map[string]uint64{"dhcp_discovers": 4, "dhcp_timeouts": 1, "dhcp_releases": 0})
	})
}

// RFC 2131 section 4.4.5: T1 is half of the lease, T2 seven eighths; "the client
// SHOULD wait one-half of the remaining time until T2 (in RENEWING state) and
// one-half of the remaining lease time (in REBINDING state), down to a minimum
// of 60 seconds, before retransmitting the DHCPREQUEST message." T1 is earlier by
// a twentieth, which is the middle of its fuzz.
func TestRenewTimes(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		h := x.bound("k", theirs, both...)
		s := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
		m := x.want(s(475), dhcpv4.MessageTypeRequest, oneServer)
		// RFC 2131 section 4.3.2, RENEWING: "'server identifier' MUST NOT be filled
		// in, 'requested IP address' option MUST NOT be filled in, 'ciaddr' MUST be
		// filled in with client's IP address."
		if m.ServerIdentifier() != nil || m.RequestedIPAddress() != nil || !m.ClientIPAddr.Equal(ip(theirs)) || !m.GatewayIPAddr.Equal(ip(x.group.Relay)) {
			t.Errorf("the DHCPREQUEST of RENEWING is %s", m.Summary())
		}
		x.want(s(675), dhcpv4.MessageTypeRequest, oneServer)
		x.want(s(775), dhcpv4.MessageTypeRequest, oneServer)
		x.want(s(835), dhcpv4.MessageTypeRequest, oneServer)
		x.want(s(875), dhcpv4.MessageTypeRequest, both...)
		m = x.want(s(937.5), dhcpv4.MessageTypeRequest, both...)
		// Another server may extend it then. Its time counts from the request.
		x.answer(m, dhcpv4.MessageTypeAck, otherServer, theirs, 100*time.Second)
		if l := <-h.renewed; l.Server != otherServer || l.Acquired.Sub(x.began) != s(875) {
			t.Errorf("renewed: %+v", l)
		}
		// 100 s from 875 s on: T1 at 922.5 s is over, so at once.
		x.want(s(937.5), dhcpv4.MessageTypeRequest, otherServer)
		x.want(s(962.5), dhcpv4.MessageTypeRequest, both...)
		time.Sleep(s(12.5) - time.Nanosecond)
		synctest.Wait()
		if len(h.lost) != 0 {
			t.Error("lost too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(h.lost) != 1 || <-h.lost != ErrExpired || x.c.Held() != 1 {
			t.Error("not lost when it ran out")
		}
		h.handle.Release() // nothing is sent for what is lost
		synctest.Wait()
		if x.c.Held() != 0 {
			t.Error("it is held yet")
		}
		x.counts(map[string]uint64{"dhcp_lost": 1, "dhcp_releases": 0})
	})
}

// A client without a relay asks as after INIT-REBOOT: "'requested IP address'
// option MUST be filled in with client's notion of its previously assigned
// address. 'ciaddr' MUST be zero." A stranger's DHCPNAK counts only at T2.
func TestClientRenews(t *testing.T) {
	bubble(t, config.DHCPClient, func(x *fixture) {
		h := x.bound("k", theirs, netip.Addr{})
		m := x.want(475*time.Second, dhcpv4.MessageTypeRequest, netip.Addr{})
		if m.ServerIdentifier() != nil || !m.RequestedIPAddress().Equal(ip(theirs)) || !m.ClientIPAddr.IsUnspecified() || !m.IsBroadcast() ||
			!m.GatewayIPAddr.IsUnspecified() || m.HopCount != 0 {
			t.Errorf("the DHCPREQUEST is %s", m.Summary())
		}
		x.answer(m, dhcpv4.MessageTypeNak, otherServer, theirs, 0)
		if len(h.lost) != 0 {
			t.Error("a stranger's DHCPNAK took the lease")
		}
		x.answer(m, dhcpv4.MessageTypeNak, oneServer, theirs, 0)
		if len(h.lost) != 1 || <-h.lost != ErrWithdrawn {
			t.Error("the server's DHCPNAK did not take the lease")
		}
		x.counts(map[string]uint64{"dhcp_naks": 2, "dhcp_lost": 1, "dhcp_dropped_state": 1})
	})
}

// RFC 2131 section 4.4.4: "The client unicasts DHCPRELEASE messages to the
// server. Because the client is declining the use of the IP address supplied by
// the server, the client broadcasts DHCPDECLINE messages."
func TestReleaseAndDecline(t *testing.T) {
	bubble(t, config.DHCPClient, func(x *fixture) {
		h := x.bound("k", theirs, netip.Addr{})
		h.handle.Release()
		h.handle.Release()
		synctest.Wait()
		n := <-x.link.sent
		if n.m.MessageType() != dhcpv4.MessageTypeRelease || n.to.server != oneServer || n.to.source != theirs || n.to.mac[5] != 9 ||
			!n.m.ClientIPAddr.Equal(ip(theirs)) || !n.m.ServerIdentifier().Equal(ip(oneServer)) || n.m.RequestedIPAddress() != nil {
			t.Errorf("to %+v: %s", n.to, n.m.Summary())
		}
		h = x.bound("k", theirs, netip.Addr{})
		h.handle.Decline()
		m := x.want(0, dhcpv4.MessageTypeDecline, netip.Addr{})
		if !m.ClientIPAddr.IsUnspecified() || !m.RequestedIPAddress().Equal(ip(theirs)) || !m.ServerIdentifier().Equal(ip(oneServer)) {
			t.Errorf("%s", m.Summary())
		}
		// While it is acquired: nothing to give back, one answer.
		h = acquire(x.c, x.group, Request{Key: "k"})
		x.want(0, dhcpv4.MessageTypeDiscover, netip.Addr{})
		h.handle.Release()
		synctest.Wait()
		if len(h.failed) != 1 || <-h.failed != ErrReleased || x.c.Held() != 0 {
			t.Error("an acquisition is not given up")
		}
		x.counts(map[string]uint64{"dhcp_releases": 1, "dhcp_declines": 1})
	})
}

// TestLyingServer: what another session has is declined, and asked for once more;
// then another server may have the word until the next message would be sent.
func TestLyingServer(t *testing.T) {
	for _, rescued := range []bool{false, true} {
		t.Run(fmt.Sprint(rescued), func(t *testing.T) {
			bubble(t, config.DHCPRelay, func(x *fixture) {
				x.bound("first", theirs, both...)
				h := acquire(x.c, x.group, Request{Key: "second"})
				m := x.want(0, dhcpv4.MessageTypeDiscover, both...)
				x.answer(m, dhcpv4.MessageTypeOffer, otherServer, theirs, time.Hour)
				x.want(0, dhcpv4.MessageTypeDecline, otherServer)
				again := x.want(0, dhcpv4.MessageTypeDiscover, both...)
				if again.TransactionID == m.TransactionID {
					t.Error("the same xid")
				}
				x.answer(again, dhcpv4.MessageTypeOffer, otherServer, theirs, time.Hour)
				x.want(0, dhcpv4.MessageTypeDecline, otherServer)
				if rescued {
					x.answer(again, dhcpv4.MessageTypeOffer, oneServer, theirs.Next(), time.Hour)
					x.answer(x.want(0, dhcpv4.MessageTypeRequest, both...), dhcpv4.MessageTypeAck, oneServer, theirs.Next(), time.Hour)
					if l := h.lease(t); l.Address != theirs.Next() {
						t.Errorf("%+v", l)
					}
					return
				}
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if len(h.failed) != 1 || <-h.failed != ErrConflict || x.c.Held() != 1 {
					t.Error("it does not fail")
				}
				x.counts(map[string]uint64{"dhcp_conflicts": 2, "dhcp_declines": 2})
			})
		})
	}
}

// A server that reserves nothing offers one address to two at a time: the second
// asks again, and nothing is declined.
func TestOfferedTwice(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		first := acquire(x.c, x.group, Request{Key: "first"})
		a := x.want(0, dhcpv4.MessageTypeDiscover, both...)
		second := acquire(x.c, x.group, Request{Key: "second"})
		b := x.want(0, dhcpv4.MessageTypeDiscover, both...)
		x.answer(a, dhcpv4.MessageTypeOffer, oneServer, theirs, time.Hour)
		a = x.want(0, dhcpv4.MessageTypeRequest, both...)
		x.answer(b, dhcpv4.MessageTypeOffer, oneServer, theirs, time.Hour)
		x.nothing()
		x.answer(a, dhcpv4.MessageTypeAck, oneServer, theirs, time.Hour)
		first.lease(t)
		again := x.want(75*time.Millisecond, dhcpv4.MessageTypeDiscover, both...)
		if again.TransactionID != b.TransactionID {
			t.Error("another xid")
		}
		x.answer(again, dhcpv4.MessageTypeOffer, oneServer, theirs.Next(), time.Hour)
		x.answer(x.want(75*time.Millisecond, dhcpv4.MessageTypeRequest, both...), dhcpv4.MessageTypeAck, oneServer, theirs.Next(), time.Hour)
		if l := second.lease(t); l.Address != theirs.Next() {
			t.Errorf("%+v", l)
		}
		x.counts(map[string]uint64{"dhcp_conflicts": 0, "dhcp_declines": 0})
	})
}

// A refused request starts the acquisition over once; a server that does not
// answer to it is left after three.
func TestRefused(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		h := acquire(x.c, x.group, Request{Key: "k"})
		for range 2 {
			m := x.want(0, dhcpv4.MessageTypeDiscover, both...)
			x.answer(m, dhcpv4.MessageTypeOffer, oneServer, theirs, time.Hour)
			m = x.want(0, dhcpv4.MessageTypeRequest, both...)
			if !m.RequestedIPAddress().Equal(ip(theirs)) || !m.ServerIdentifier().Equal(ip(oneServer)) || !m.ClientIPAddr.IsUnspecified() {
				t.Errorf("the DHCPREQUEST is %s", m.Summary())
			}
			x.answer(m, dhcpv4.MessageTypeNak, oneServer, theirs, 0)
		}
		if len(h.failed) != 1 || <-h.failed != ErrRefused || x.c.Held() != 0 {
			t.Error("it goes on")
		}
		acquire(x.c, x.group, Request{Key: "k"})
		x.answer(x.want(0, dhcpv4.MessageTypeDiscover, both...), dhcpv4.MessageTypeOffer, oneServer, theirs, time.Hour)
		for _, at := range []time.Duration{0, 4, 12} {
			x.want(at*time.Second, dhcpv4.MessageTypeRequest, both...)
		}
		if m := x.want(28*time.Second, dhcpv4.MessageTypeDiscover, both...); m.NumSeconds != 28 {
			t.Errorf("secs is %d", m.NumSeconds)
		}
	})
}

// TestForged: answers from elsewhere, for another, late or malformed change
// nothing, and each is counted.
func TestForged(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		h := acquire(x.c, x.group, Request{Key: "k"})
		m := x.want(0, dhcpv4.MessageTypeDiscover, both...)
		good := answerTo(m, dhcpv4.MessageTypeOffer, oneServer, theirs, time.Hour)
		edit := func(at int, b byte) []byte {
			c := slices.Clone(good)
			c[at] ^= b
			return c
		}
		from := netip.AddrPortFrom(oneServer, serverPort)
		x.raw(good, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.99"), serverPort))
		x.raw(good, netip.AddrPortFrom(oneServer, 6767))
		x.raw(edit(4, 1), from)  // xid
		x.raw(edit(33, 1), from) // chaddr
		x.raw(edit(0, 3), from)  // op: a request
		x.raw(edit(16, 255), from)
		x.raw(edit(236, 1), from) // the cookie
		x.raw(good[:200], from)
		x.raw(nil, from)
		x.answer(m, dhcpv4.MessageTypeAck, oneServer, theirs, time.Hour)
		x.answer(m, dhcpv4.MessageTypeOffer, oneServer, netip.MustParseAddr("127.0.0.1"), time.Hour)
		x.nothing()
		x.counts(map[string]uint64{
			"dhcp_dropped_source": 2, "dhcp_dropped_unknown": 2, "dhcp_dropped_state": 1, "dhcp_malformed": 6, "dhcp_offers": 0,
		})
		if len(h.acquired)+len(h.failed) != 0 {
			t.Error("a forged answer counts")
		}
	})
}

// A second lease of a key is another client; the first one is always the same.
func TestSlots(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		h := x.bound("k", theirs, both...)
		id := h.handle.lease.identity
		second := x.bound("k", theirs.Next(), both...)
		if second.handle.lease.identity == id || second.handle.lease.identity != identify("k", 1) || id != identify("k", 0) {
			t.Error("the identities")
		}
		h.handle.Release()
		x.want(0, dhcpv4.MessageTypeRelease, oneServer)
		if again := x.bound("k", theirs, both...); again.handle.lease.identity != id {
			t.Error("the first identity is not used again")
		}
	})
}

func TestCloseAndBusy(t *testing.T) {
	bubble(t, config.DHCPRelay, func(x *fixture) {
		x.c.table.acquiring = maxAcquiring
		h := acquire(x.c, x.group, Request{Key: "k"})
		synctest.Wait()
		if len(h.failed) != 1 || <-h.failed != ErrBusy || x.c.Held() != 0 {
			t.Error("more than the bound")
		}
		x.c.table.acquiring = 0
		h = acquire(x.c, x.group, Request{Key: "k"})
		x.want(0, dhcpv4.MessageTypeDiscover, both...)
		if err := x.c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		late := acquire(x.c, x.group, Request{Key: "k"})
		synctest.Wait()
		if len(h.failed) != 1 || <-h.failed != ErrClosed || len(late.failed) != 1 || <-late.failed != ErrClosed {
			t.Error("after Close")
		}
		x.counts(map[string]uint64{"dhcp_dropped_busy": 1})
	})
}

// TestReply: what a server can tell, with options in the fields sname and file.
func TestReply(t *testing.T) {
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}, YourIPAddr: net.IP{10, 1, 0, 5},
		Options: dhcpv4.Options{
			53: {5}, 54: {192, 0, 2, 10}, 51: {0, 0, 14, 16}, 1: {255, 255, 255, 0}, 52: {3},
			// RFC 3442's example: 10.27.129/24, and the default route; bits beyond the mask are zeroed.
			121: {24, 10, 27, 129, 10, 1, 0, 1, 0, 10, 1, 0, 2, 12, 10, 31, 0, 0, 0, 0},
		},
	}
	b := m.ToBytes()
	copy(b[fileOffset:], []byte{3, 8, 10, 1, 0, 1, 10, 1, 0, 2, 255})
	copy(b[snameOffset:], append(append([]byte{6, 4, 192, 0, 2, 53, 44, 4, 192, 0, 2, 54, 15, 7}, "example"...), 255))
	r, err := parseReply(b)
	if err != nil {
		t.Fatal(err)
	}
	l := r.lease
	if l.Address != theirs || l.Prefix != netip.MustParsePrefix("10.1.0.0/24") || l.Router != netip.MustParseAddr("10.1.0.1") || l.Domain != "example" ||
		fmt.Sprint(l.DNS, l.WINS) != "[192.0.2.53] [192.0.2.54]" || l.Duration != time.Hour || l.Server != oneServer {
		t.Errorf("%+v", l)
	}
	if got, want := fmt.Sprint(l.Routes), "[{10.27.129.0/24 10.1.0.1} {0.0.0.0/0 10.1.0.2} {10.16.0.0/12 0.0.0.0}]"; got != want {
		t.Errorf("routes %s, want %s", got, want)
	}
	for cut := range len(b) {
		if _, err := parseReply(b[:cut]); err == nil && b[cut] != 0 {
			t.Errorf("cut to %d octets it is good", cut)
		} else if err != nil && cut < fileEnd && errors.Is(err, errReply) == false {
			t.Errorf("%v", err)
		}
	}
}

func FuzzReply(f *testing.F) {
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}, YourIPAddr: net.IP{10, 1, 0, 5},
		Options: dhcpv4.Options{53: {2}, 54: {192, 0, 2, 10}, 51: {0, 0, 0, 60}, 52: {3}, 121: {8, 10, 1, 2, 3, 4}},
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b)
		if err != nil {
			if !errors.Is(err, errReply) {
				t.Errorf("%v is no errReply", err)
			}
			return
		}
		if !usable(r.lease.Server) || (r.kind != dhcpv4.MessageTypeNak && !usable(r.lease.Address)) ||
			(r.kind == dhcpv4.MessageTypeAck && r.lease.Duration <= 0) {
			t.Errorf("%+v", r)
		}
		c := new(counts)
		table := newTable(nil, c)
		table.times(&r.lease)
		if l := r.lease; l.Duration > 0 && l.Duration != Infinite && (l.RenewAfter <= 0 || l.RenewAfter > l.RebindAfter || l.RebindAfter >= l.Duration) {
			t.Errorf("T1 %v, T2 %v of %v", l.RenewAfter, l.RebindAfter, l.Duration)
		}
	})
}

func FuzzPacket(f *testing.F) {
	from, to := netip.AddrPortFrom(oneServer, serverPort), netip.AddrPortFrom(everybody, clientPort)
	f.Add(buildPacket(from, to, []byte("payload")), false)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		if from, payload, ok := parsePacket(b, whole); ok && (!from.Addr().Is4() || len(payload)+ipHeader+udpHeader > len(b)) {
			t.Errorf("from %v, %d octets of %d", from, len(payload), len(b))
		}
	})
}

func TestPacket(t *testing.T) {
	from, to := netip.AddrPortFrom(oneServer, serverPort), netip.AddrPortFrom(everybody, clientPort)
	for _, payload := range []string{"", "odd", "even"} {
		p := buildPacket(from, to, []byte(payload))
		if got, b, ok := parsePacket(p, false); !ok || got != from || string(b) != payload {
			t.Errorf("%q: %v %q %v", payload, got, b, ok)
		}
		for i := ipHeader; i < len(p); i++ {
			p[i] ^= 1
			if _, _, ok := parsePacket(p, false); ok {
				t.Errorf("%q with octet %d wrong is good", payload, i)
			}
			p[i] ^= 1
		}
	}
}
