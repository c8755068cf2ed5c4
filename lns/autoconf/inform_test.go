package autoconf

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// windowsInform is what the VPN client of Windows sends, with the options that it has
// in its order: 53, 61, 12, 60 "MSFT 5.0", 55 with 1, 3, 6, 15, 31, 33, 43, 44, 46,
// 47, 119, 121, 249, 252. The addresses are of RFC 5737 and RFC 1918.
func windowsInform() []byte {
	m := unhex(`01 08 06 00 3c1a9b02 0000 0000 0a090002 00000000 00000000 00000000
		005345000000 00000000000000000000`)
	m = append(m, make([]byte, 192)...)
	m = append(m, unhex(`63825363 35 01 08 3d 07 08 005345000000 0c 06 485552545a49 3c 08 4d53465420352e30
		37 0e 01 03 06 0f 1f 21 2b 2c 2e 2f 77 79 f9 fc ff`)...)
	return m
}

func askInform(t *testing.T, c *Core, l *Link, src, dst string, data []byte) *dhcpv4.DHCPv4 {
	t.Helper()
	packets := c.Answer(start, l, datagram4(addr(src), addr(dst), portDHCPClient, portDHCPServer, data))
	if len(packets) == 0 {
		return nil
	}
	m, err := dhcpv4.FromBytes(unwrap(t, packets[0], l.Local, l.Peer, portDHCPServer, portDHCPClient))
	if err != nil || len(packets) != 1 {
		t.Fatalf("%d packets: %v", len(packets), err)
	}
	return m
}

// RFC 2131 section 4.3.5 and RFC 3442: what Windows asks, and what it is told, octet
// by octet.
func TestInformOfWindows(t *testing.T) {
	for _, dst := range []string{"255.255.255.255", "10.9.0.1"} {
		c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		m := askInform(t, c, l, "10.9.0.2", dst, windowsInform())
		if m == nil {
			t.Fatalf("to %s: no answer: %v", dst, c.counts.all())
		}
		if m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != [4]byte{0x3c, 0x1a, 0x9b, 2} || m.ClientHWAddr.String() != "00:53:45:00:00:00" ||
			m.ClientIPAddr.String() != "10.9.0.2" || !m.YourIPAddr.IsUnspecified() {
			t.Errorf("%v", m)
		}
		routes := unhex("08 0a 0a090001 19 c0a80500 0a090001")
		want := map[dhcpv4.OptionCode][]byte{
			dhcpv4.OptionDHCPMessageType: {5}, dhcpv4.OptionServerIdentifier: {10, 9, 0, 1}, dhcpv4.OptionSubnetMask: {255, 255, 255, 255},
			dhcpv4.OptionDomainNameServer: {192, 0, 2, 53, 192, 0, 2, 54}, dhcpv4.OptionDomainName: []byte("example.net"),
			dhcpv4.OptionNetBIOSOverTCPIPNameServer: {192, 0, 2, 42}, dhcpv4.OptionClasslessStaticRoute: routes, optionMicrosoftRoutes: routes,
			dhcpv4.OptionClientIdentifier: unhex("08 005345000000"),
		}
		for code, value := range want {
			if got := m.Options.Get(code); !slices.Equal(got, value) {
				t.Errorf("option %v: %x, want %x", code, got, value)
			}
		}
		// "The server MUST NOT send a lease expiration time to the client".
		if len(m.Options) != len(want) {
			t.Errorf("options that nobody wanted: %v", m.Options)
		}
		wantCounts(t, c, map[counter]uint64{countInforms: 1})
	}
}

// A client that wants nothing in particular gets everything, one that wants little
// gets that.
func TestInformParameterList(t *testing.T) {
	for _, list := range []dhcpv4.OptionCodeList{nil, {dhcpv4.OptionDomainNameServer, optionMicrosoftRoutes}} {
		m, err := dhcpv4.FromBytes(windowsInform())
		if err != nil {
			t.Fatal(err)
		}
		delete(m.Options, 61)
		want := 2 + len(list)
		if delete(m.Options, 55); list != nil {
			m.UpdateOption(dhcpv4.OptParameterRequestList(list...))
		} else {
			want = 8
		}
		c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		if r := askInform(t, c, l, "10.9.0.2", "10.9.0.1", m.ToBytes()); r == nil || len(r.Options) != want {
			t.Errorf("%v: %v", list, r)
		}
	}
}

// A message is no longer than the client takes, and what is left out is the end of
// the routes, in both options alike.
func TestInformRoutesFit(t *testing.T) {
	for _, size := range []uint16{0, 100, 600, 1000, 65535} {
		c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		l.PushRoutes = prefixes("2001:db8::/32")
		for i := range 250 {
			l.PushRoutes = append(l.PushRoutes, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24))
		}
		m, err := dhcpv4.FromBytes(windowsInform())
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			m.UpdateOption(dhcpv4.OptMaxMessageSize(size))
		}
		packets := c.Answer(start, l, datagram4(addr("10.9.0.2"), broadcastIP, 68, 67, m.ToBytes()))
		most := min(max(int(size), 576), 1400)
		if len(packets) != 1 || len(packets[0]) > most || len(packets[0]) < most-24 {
			t.Fatalf("%d: %d packets, %d octets", size, len(packets), len(packets[0]))
		}
		r, err := dhcpv4.FromBytes(unwrap(t, packets[0], l.Local, l.Peer, 67, 68))
		if err != nil {
			t.Fatal(err)
		}
		a, b := r.Options.Get(dhcpv4.OptionClasslessStaticRoute), r.Options.Get(optionMicrosoftRoutes)
		if len(a) == 0 || !slices.Equal(a, b) || len(a)%8 != 0 {
			t.Errorf("%d: %x, %x", size, a, b)
		}
		for i, route := range r.ClasslessStaticRoute() {
			if want := fmt.Sprintf("172.16.%d.0/24", i); route.Dest.String() != want || route.Router.String() != "10.9.0.1" {
				t.Errorf("%d: route %v, want %s", size, route, want)
			}
		}
	}
}

// What is not answered, and why.
func TestInformRefused(t *testing.T) {
	with := func(f func(m *dhcpv4.DHCPv4)) []byte {
		m, err := dhcpv4.FromBytes(windowsInform())
		if err != nil {
			t.Fatal(err)
		}
		f(m)
		return m.ToBytes()
	}
	kind := func(k dhcpv4.MessageType) []byte {
		return with(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(k)) })
	}
	for name, c := range map[string]struct {
		src, dst string
		data     []byte
		count    counter
	}{
		"Discover":        {"0.0.0.0", "255.255.255.255", kind(dhcpv4.MessageTypeDiscover), dropNotInform},
		"Request":         {"10.9.0.2", "255.255.255.255", kind(dhcpv4.MessageTypeRequest), dropNotInform},
		"Release":         {"10.9.0.2", "10.9.0.1", kind(dhcpv4.MessageTypeRelease), dropNotInform},
		"BOOTP":           {"10.9.0.2", "10.9.0.1", with(func(m *dhcpv4.DHCPv4) { delete(m.Options, 53) }), dropNotInform},
		"another address": {"10.9.0.2", "10.9.0.1", with(func(m *dhcpv4.DHCPv4) { m.ClientIPAddr = []byte{10, 9, 0, 3} }), dropAddress},
		"no address":      {"10.9.0.2", "10.9.0.1", with(func(m *dhcpv4.DHCPv4) { m.ClientIPAddr = []byte{0, 0, 0, 0} }), dropAddress},
		"to another":      {"10.9.0.2", "10.9.0.9", windowsInform(), dropAddress},
		"a reply":         {"10.9.0.2", "10.9.0.1", with(func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }), dropInvalid},
		"relayed":         {"10.9.0.2", "10.9.0.1", with(func(m *dhcpv4.DHCPv4) { m.GatewayIPAddr = []byte{10, 0, 0, 1} }), dropInvalid},
		"cookie":          {"10.9.0.2", "10.9.0.1", append(windowsInform()[:236], 1, 2, 3, 4), dropMalformed},
		"truncated":       {"10.9.0.2", "10.9.0.1", windowsInform()[:200], dropMalformed},
	} {
		core, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		if m := askInform(t, core, l, c.src, c.dst, c.data); m != nil {
			t.Errorf("%s: %v", name, m)
		}
		wantCounts(t, core, map[counter]uint64{c.count: 1})
	}
	// IPv4 is not up.
	core, l := newTestCore(t), &Link{Subscriber: Subscriber{LocalID: 1}}
	core.Answer(start, l, datagram4(addr("10.9.0.2"), broadcastIP, 68, 67, windowsInform()))
	wantCounts(t, core, map[counter]uint64{dropAddress: 1})
}
