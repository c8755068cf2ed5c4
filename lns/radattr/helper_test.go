package radattr

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"layeh.com/radius"

	"adit/lns/subscriber"
	"adit/proto/l2tp"
)

// unhex reads octets as RFCs print them.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, secret, text string) *radius.Packet {
	t.Helper()
	p, err := radius.Parse(unhex(t, text), []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ourNAS and aLine are what the tests of requests have in common.
var ourNAS = NAS{Identifier: "lns1.example", Address: netip.MustParseAddr("192.0.2.1")}

func aLine() *subscriber.Line {
	return &subscriber.Line{
		ID: "6e1f-1", LNS: true,
		Tunnel: 17, PeerTunnel: 900, Session: 34, PeerSession: 901,
		Local: netip.MustParseAddrPort("192.0.2.1:1701"), Peer: netip.MustParseAddrPort("198.51.100.7:1701"),
		HostName: "lns1", PeerHostName: "lac7", PeerName: "wholesale",
		CallingNumber: "0301234567", CalledNumber: "0800555", CallSerial: 77,
		TxSpeed: 52000000, RxSpeed: 10000000, PrivateGroupID: "vpn-a",
		Access: []l2tp.AccessLineAVP{
			{Type: 1, Value: []byte("access1 eth 0/1:7")},
			{Type: 2, Value: []byte("house 12")},
			{Type: 129, Value: []byte{0, 0, 0, 0, 0, 0x98, 0x96, 0x80}}, // 10,000,000
			{Type: 130, Value: []byte{0, 0, 0, 2, 0x54, 0x0b, 0xe4, 0}}, // 10,000,000,000
			{Type: 133, Value: []byte{0, 0, 0, 0, 1, 0x31, 0x2d, 0}},    // 20,000,000
			{Type: 140, Value: []byte{0, 0, 0, 8}},
			{Type: 144, Value: []byte{1, 2, 0}},
			{Type: 145, Value: []byte{5, 0, 0, 0}},
			{Type: 254, Value: []byte{0, 0, 0, 1}},
		},
	}
}

// values are the values of the attributes of a type; vendor is 0 for none.
func values(p *radius.Packet, vendor uint32, t radius.Type) (all [][]byte) {
	for _, a := range p.Attributes {
		if vendor == 0 && a.Type == t {
			all = append(all, a.Attribute)
		}
		if vendor == 0 || a.Type != 26 {
			continue
		}
		if id, v, err := radius.VendorSpecific(a.Attribute); err == nil && id == vendor && len(v) >= 2 && v[0] == byte(t) {
			all = append(all, v[2:])
		}
	}
	return all
}
