package autoconf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"adit/proto/ip"
)

var (
	testDUID = unhex("0004 00112233445566778899aabbccddeeff")
	start    = time.Unix(1_000_000, 0)
	peerID   = uint64(0x0200_00ff_fe00_0002)
	peer6    = linkLocal(peerID)
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		panic(err)
	}
	return b
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// testSubscriber has everything.
func testSubscriber() Subscriber {
	return Subscriber{
		Local: addr("10.9.0.1"), Peer: addr("10.9.0.2"),
		DNS: [2]netip.Addr{addr("192.0.2.53"), addr("192.0.2.54")}, WINS: [2]netip.Addr{addr("192.0.2.42")},
		PushRoutes: prefixes("10.0.0.0/8", "192.168.5.0/25"),
		LocalID:    1, Prefixes: prefixes("2001:db8:1:2::/64"), IPv6: addr("2001:db8:1:2::77"),
		Delegated: prefixes("2001:db8:aa00::/56"), DNSv6: []netip.Addr{addr("2001:db8::53")},
		PushRoutes6: prefixes("2001:db8:5::/48"), MTU: 1400, Domain: "example.net",
	}
}

// half is a source of randomness that has none.
func half(below time.Duration) time.Duration { return below / 2 }

func newTestCore(t testing.TB) *Core {
	t.Helper()
	c, err := NewCore(testDUID, half)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantCounts fails unless exactly these counters have counted.
func wantCounts(t *testing.T, c *Core, want map[counter]uint64) {
	t.Helper()
	for i := range counters {
		if got := c.counts[i].Load(); got != want[i] {
			t.Errorf("%v is %d, want %d", i, got, want[i])
		}
	}
}

// icmp6 makes an ICMPv6 packet.
func icmp6(src, dst netip.Addr, hops byte, message []byte) []byte {
	m := slices.Clone(message)
	binary.BigEndian.PutUint16(m[2:], ip.Checksum(m, ip.PseudoHeader(src, dst, ip.ProtocolICMPv6, len(m))))
	return append(header6(nil, src, dst, ip.ProtocolICMPv6, hops, len(m)), m...)
}

func solicitation(src netip.Addr) []byte {
	return icmp6(src, allRouters, 255, []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0})
}

// unwrap6 takes a UDP datagram out of its packet, whose checksums have to be right.
func unwrap(t *testing.T, packet []byte, src, dst netip.Addr, srcPort, dstPort uint16) []byte {
	t.Helper()
	h, u, ok := parse(packet)
	if !ok || h.Length != len(packet) || h.Src != src || h.Dst != dst || h.Protocol != ip.ProtocolUDP ||
		binary.BigEndian.Uint16(u) != srcPort || binary.BigEndian.Uint16(u[2:]) != dstPort || binary.BigEndian.Uint16(u[6:]) == 0 {
		t.Fatalf("%+v %x", h, packet)
	}
	if h.Version == 4 && ip.Checksum(packet[:20], 0) != 0 {
		t.Errorf("header checksum: %x", packet[:20])
	}
	return u[lengthUDP:]
}

// ask6 sends a DHCPv6 message to the core; nil: there is no answer.
func ask6(t *testing.T, c *Core, l *Link, to netip.Addr, m *dhcpv6.Message) *dhcpv6.Message {
	t.Helper()
	packets := c.Answer(start, l, datagram6(peer6, to, portDHCPv6Client, portDHCPv6Server, m.ToBytes()))
	l.asking = Link{}.asking // more may be asked
	if len(packets) == 0 {
		return nil
	}
	r, err := dhcpv6.MessageFromBytes(unwrap(t, packets[0], linkLocal(l.LocalID), peer6, portDHCPv6Server, portDHCPv6Client))
	if err != nil || len(packets) != 1 {
		t.Fatalf("%d packets: %v", len(packets), err)
	}
	if r.TransactionID != m.TransactionID || !bytes.Equal(r.Options.ServerID().ToBytes(), testDUID) {
		t.Errorf("answer %v", r)
	}
	return r
}
