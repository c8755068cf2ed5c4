package radattr

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"layeh.com/radius"

	"adit/lns/subscriber"
	"adit/proto/ppp"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// with makes an Access-Accept of attributes, each of them type and value.
func with(avps ...radius.AVP) *radius.Packet {
	p := radius.New(radius.CodeAccessAccept, []byte("secret"))
	for _, a := range avps {
		p.Add(a.Type, a.Attribute)
	}
	return p
}

func avp(t radius.Type, v string) radius.AVP { return radius.AVP{Type: t, Attribute: []byte(v)} }

// vsa is a Vendor-Specific with an attribute in it.
func vsa(vendor uint32, t uint8, v string) radius.AVP {
	b := append(radius.NewInteger(vendor), t, byte(len(v)+2))
	return radius.AVP{Type: 26, Attribute: append(b, v...)}
}

// TestAcceptRFC2865 are the answers of RFC 2865 sections 7.1 and 7.2: the first
// user is to be sent elsewhere by telnet, which is no service of ours.
func TestAcceptRFC2865(t *testing.T) {
	p := parse(t, "xyzzy5461", `02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf
		9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00 0e 06 c0 a8 01 03`)
	if _, _, _, err := Accept(p, [16]byte{}); !errors.Is(err, ErrService) {
		t.Errorf("telnet: %v", err)
	}
	p = parse(t, "xyzzy5461", `02 01 00 38 15 ef bc 7d ab 26 cf a3 dc 34 d9 c0
		3c 86 01 a4 06 06 00 00 00 02 07 06 00 00 00 01
		08 06 ff ff ff fe 0a 06 00 00 00 02 0d 06 00 00
		00 01 0c 06 00 00 05 dc`)
	s, message, eap, err := Accept(p, [16]byte{})
	if err != nil || message != "" || eap != nil {
		t.Errorf("%q, %x, %v", message, eap, err)
	}
	if diff := cmp.Diff(subscriber.Service{}, s, byValue); diff != "" {
		t.Error(diff) // 255.255.255.254: we choose
	}
}

func TestAcceptValues(t *testing.T) {
	for name, c := range map[string]struct {
		avps    []radius.AVP
		want    subscriber.Service
		ignored int
	}{
		"negotiate":    {[]radius.AVP{avp(8, "\xff\xff\xff\xff")}, subscriber.Service{}, 0},
		"host netmask": {[]radius.AVP{avp(8, "\x0a\x00\x00\x07"), avp(9, "\xff\xff\xff\xff")}, subscriber.Service{Address: netip.MustParseAddr("10.0.0.7")}, 0},
		"netmask first": {[]radius.AVP{avp(9, "\xff\xff\xff\xf8"), avp(8, "\x0a\x00\x00\x0f")}, subscriber.Service{
			Address: netip.MustParseAddr("10.0.0.15"), Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.8/29")},
		}, 0},
		"netmask alone": {[]radius.AVP{avp(9, "\xff\xff\xff\x00")}, subscriber.Service{}, 1},
		"routes": {[]radius.AVP{
			avp(22, "192.168.1.0/24 192.168.1.1 1 2 -1 3 400"), avp(22, "192.168.1.0 192.168.1.1 1"),
			avp(22, "172.16.0.0 0.0.0.0 1"), avp(22, "10.0.0.0"), avp(22, "to the moon"), avp(22, "2001:db8::/32"),
			avp(99, "2000:0:0:106::/64 2000::106:a00:20ff:fe99:a998 1"), avp(99, "2001:db8::1"), avp(99, "10.0.0.0/8 :: 1"),
		}, subscriber.Service{Routes: []netip.Prefix{
			netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("192.168.1.0/24"),
			netip.MustParsePrefix("172.16.0.0/16"), netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("2000:0:0:106::/64"), netip.MustParsePrefix("2001:db8::1/128"),
		}}, 3},
		"first counts":  {[]radius.AVP{avp(88, "one"), avp(88, "two")}, subscriber.Service{Pool: "one"}, 1},
		"interim":       {[]radius.AVP{avp(85, "\x00\x00\x00\x05")}, subscriber.Service{InterimInterval: time.Minute}, 0},
		"longest":       {[]radius.AVP{avp(27, "\xff\xff\xff\xff")}, subscriber.Service{SessionTimeout: (1<<32 - 1) * time.Second}, 0},
		"no limit":      {[]radius.AVP{avp(27, "\x00\x00\x00\x00")}, subscriber.Service{}, 0},
		"many sessions": {[]radius.AVP{avp(62, "\xff\xff\xff\xff")}, subscriber.Service{MaxSessions: 1<<31 - 1}, 0},
		"no server":     {[]radius.AVP{vsa(311, 28, "\x00\x00\x00\x00"), vsa(311, 29, "\x0a\x00\x00\x02")}, subscriber.Service{DNS: [2]netip.Addr{netip.MustParseAddr("10.0.0.2")}}, 0},
		"short prefix":  {[]radius.AVP{avp(123, "\x00\x30\x20\x01\x0d\xb8\x00\x01")}, subscriber.Service{Delegated: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48")}}, 0},
		"loose bits":    {[]radius.AVP{avp(97, "\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01")}, subscriber.Service{IPv6Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2::/64")}}, 0},
		"two in one": {[]radius.AVP{{Type: 26, Attribute: unhex(t, "00000137 1c06 0a000001 1d06 0a000002")}}, subscriber.Service{
			DNS: [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
		}, 0},
		"another's form": {[]radius.AVP{{Type: 26, Attribute: unhex(t, "00000abc ff")}}, subscriber.Service{}, 0},
		"rates": {[]radius.AVP{vsa(14122, 8, "\x00\x0f\x42\x40"), vsa(14988, 8, "2M/10M"), vsa(9, 1, "ip:sub-qos-policy-in=gold")}, subscriber.Service{
			Rates: []string{"WISPr-Bandwidth-Max-Down=1000000", "Mikrotik-Rate-Limit=2M/10M", "Cisco-AVPair=ip:sub-qos-policy-in=gold"},
		}, 0},
		"unknown": {[]radius.AVP{avp(250, ""), avp(13, "\x00\x00\x00\x01")}, subscriber.Service{}, 0},
		"again":   {[]radius.AVP{avp(29, "\x00\x00\x00\x01")}, subscriber.Service{}, 1},
		"tunnel":  {[]radius.AVP{avp(64, "\x00\x00\x00\x03")}, subscriber.Service{}, 1},
	} {
		p := with(c.avps...)
		s, _, _, err := Accept(p, p.Authenticator)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, s, byValue); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got := Ignored(p); len(got) != c.ignored {
			t.Errorf("%s: ignored %q", name, got)
		}
	}
}

// TestAcceptRefused: RFC 2865 section 5, "the packet MUST either be treated as an
// Access-Reject or else silently discarded", and section 5.6.
func TestAcceptRefused(t *testing.T) {
	for name, c := range map[string]struct {
		avp  radius.AVP
		want error
	}{
		"short address":      {avp(8, "\x0a\x00\x00"), ErrAttribute},
		"no address":         {avp(8, "\x00\x00\x00\x00"), ErrAttribute},
		"group address":      {avp(8, "\xe0\x00\x00\x01"), ErrAttribute},
		"loopback":           {avp(8, "\x7f\x00\x00\x01"), ErrAttribute},
		"holes in netmask":   {avp(9, "\xff\x00\xff\x00"), ErrAttribute},
		"netmask of all":     {avp(9, "\x00\x00\x00\x00"), ErrAttribute},
		"Login-User":         {avp(6, "\x00\x00\x00\x01"), ErrService},
		"Callback-Framed":    {avp(6, "\x00\x00\x00\x04"), ErrService},
		"SLIP":               {avp(7, "\x00\x00\x00\x02"), ErrService},
		"short Service-Type": {avp(6, "\x02"), ErrAttribute},
		"long timeout":       {avp(27, "\x00\x00\x00\x00\x01"), ErrAttribute},
		"no interface":       {avp(96, "\x00\x00\x00\x00\x00\x00\x00\x00"), ErrAttribute},
		"prefix of 129":      {avp(97, "\x00\x81\x20\x01"), ErrAttribute},
		"prefix cut":         {avp(97, "\x00\x40\x20\x01"), ErrAttribute},
		"group IPv6":         {avp(168, "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), ErrAttribute},
		"vendor cut":         {avp(26, "\x00\x00\x01\x37"), ErrAttribute},
		"in vendor cut":      {avp(26, "\x00\x00\x01\x37\x1c\x07\x0a\x00\x00\x01"), ErrAttribute},
		"short DNS":          {vsa(311, 28, "\x0a\x00\x01"), ErrAttribute},
		"bad key":            {vsa(311, 16, "\x80\x01short"), ErrAttribute},
		"bad proof":          {vsa(311, 26, "\x01S=1234"), ErrAttribute},
		"empty pool":         {avp(88, ""), ErrAttribute},
		"empty class":        {avp(25, ""), ErrAttribute},
	} {
		s, _, _, err := Accept(with(avp(8, "\x0a\x00\x00\x07")), [16]byte{})
		if err != nil || !s.Address.IsValid() {
			t.Fatalf("the good one: %v", err)
		}
		s, message, eap, err := Accept(with(c.avp), [16]byte{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(subscriber.Service{}, s, byValue); diff != "" || message != "" || eap != nil {
			t.Errorf("%s: something is granted: %s", name, diff)
		}
	}
}

func TestReject(t *testing.T) {
	const failure = "E=691 R=1 C=21402324255E262A28295F2B3A337C7E V=3"
	for name, c := range map[string]struct {
		p       *radius.Packet
		message string
		retry   bool
	}{
		"silent":        {with(), "", false},
		"words":         {with(avp(18, "not"), avp(18, "today")), "not\ntoday", false},
		"MS-CHAP":       {with(vsa(311, 2, "\x07"+failure)), failure, true},
		"with words":    {with(avp(18, "no"), vsa(311, 2, "\x07"+failure)), failure + " M=no", true},
		"own words":     {with(avp(18, "no"), vsa(311, 2, "\x07"+failure+" M=wrong")), failure + " M=wrong", true},
		"final":         {with(vsa(311, 2, "\x00E=647 R=0 V=3")), "E=647 R=0 V=3", false},
		"without Ident": {with(vsa(311, 2, "E=691 R=1")), "E=691 R=1", true},
		"broken":        {with(avp(18, "no"), vsa(311, 2, "\x07nonsense R=1")), "no", false},
	} {
		message, retry, _ := Reject(c.p)
		if message != c.message || retry != c.retry {
			t.Errorf("%s: %q, %v", name, message, retry)
		}
		if _, ok := ppp.ParseMSCHAPFailure(message); ok != (message != "" && message[0] == 'E') {
			t.Errorf("%s: PPP cannot read %q", name, message)
		}
	}
}

func TestChallenge(t *testing.T) {
	eap, state, message := Challenge(with(avp(79, "\x01\x02\x00\x08"), avp(24, "st"), avp(79, "abcd"), avp(18, "hello")))
	if string(eap) != "\x01\x02\x00\x08abcd" || string(state) != "st" || message != "hello" {
		t.Errorf("%q, %q, %q", eap, state, message)
	}
	if eap, state, _ := Challenge(with()); eap != nil || state != nil {
		t.Errorf("%q, %q", eap, state)
	}
}
