package autoconf

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"adit/proto/ip"
)

// An advertisement, octet by octet: RFC 4861 sections 4.2 and 4.6, RFC 8106 sections
// 5.1 and 5.2, RFC 4191 section 2.3.
func TestAdvertisement(t *testing.T) {
	s := testSubscriber()
	got := advertisement(&s, allNodes)
	want := unhex(`
		60000000 0098 3a ff fe800000000000000000000000000001 ff020000000000000000000000000001
		86 00 0000 40 c0 0708 00000000 00000000
		03 04 40 40 00001c20 00000e10 00000000 20010db8000100020000000000000000
		05 01 0000 00000578
		19 03 0000 00000708 20010db8000000000000000000000053
		1f 03 0000 00000708 076578616d706c65 036e657400 000000
		18 02 30 00 00000708 20010db800050000`)
	want[5] = byte(len(want) - 40)
	copy(want[42:44], got[42:44]) // the checksum, which parse verifies
	if !bytes.Equal(got, want) {
		t.Errorf("\n%x, want\n%x", got, want)
	}
	if h, _, ok := parse(got); !ok || h.Src != addr("fe80::1") || h.Dst != allNodes || got[7] != 255 {
		t.Errorf("%+v, %v", h, ok)
	}
}

// What a subscriber has not is not advertised.
func TestAdvertisementFlags(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Subscriber)
		flags  byte
		kinds  []byte
	}{
		"nothing":       {func(s *Subscriber) { *s = Subscriber{LocalID: 1} }, 0, nil},
		"delegated":     {func(s *Subscriber) { *s = Subscriber{LocalID: 1, Delegated: s.Delegated} }, flagOther, nil},
		"address":       {func(s *Subscriber) { *s = Subscriber{LocalID: 1, IPv6: s.IPv6} }, flagManaged, nil},
		"name servers":  {func(s *Subscriber) { *s = Subscriber{LocalID: 1, DNSv6: s.DNSv6} }, flagOther, []byte{optionDNSServers}},
		"bad domain":    {func(s *Subscriber) { *s = Subscriber{LocalID: 1, Domain: "a..b"} }, flagOther, nil},
		"small MTU":     {func(s *Subscriber) { *s = Subscriber{LocalID: 1, MTU: 1279} }, 0, nil},
		"least MTU":     {func(s *Subscriber) { *s = Subscriber{LocalID: 1, MTU: 1280} }, 0, []byte{optionMTU}},
		"longer prefix": {func(s *Subscriber) { *s = Subscriber{LocalID: 1, Prefixes: prefixes("2001:db8::/56")} }, 0, nil},
		"default route": {func(s *Subscriber) { *s = Subscriber{LocalID: 1, PushRoutes6: prefixes("::/0")} }, 0, []byte{optionRoute}},
	} {
		s := testSubscriber()
		c.change(&s)
		_, m, ok := parse(advertisement(&s, allNodes))
		if !ok || m[5] != c.flags {
			t.Errorf("%s: flags %#x, want %#x", name, m[5], c.flags)
		}
		var kinds []byte
		for o := m[16:]; len(o) > 0; o = o[8*int(o[1]):] {
			kinds = append(kinds, o[0])
		}
		if !bytes.Equal(kinds, c.kinds) || !optionsValid(m[16:], false) {
			t.Errorf("%s: options %v, want %v", name, kinds, c.kinds)
		}
	}
}

// However much there is, every link takes an advertisement; what is needed most
// is in it.
func TestAdvertisementFits(t *testing.T) {
	s := testSubscriber()
	for i := range 200 {
		s.PushRoutes6 = append(s.PushRoutes6, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i)}), 128))
		s.DNSv6 = append(s.DNSv6, addr("2001:db8::54"))
	}
	p := advertisement(&s, allNodes)
	if _, m, ok := parse(p); !ok || len(p) > 1280 || len(p) < 1280-24 || m[16] != optionPrefix || !optionsValid(m[16:], false) {
		t.Errorf("%d octets: %x", len(p), p)
	}
}

// RFC 4861 section 6.1.1: "A router MUST silently discard any received Router
// Solicitation messages that do not satisfy all of the following validity checks".
func TestSolicitationValid(t *testing.T) {
	none := netip.IPv6Unspecified()
	plain := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	with := func(more ...byte) []byte { return append(slices.Clone(plain), more...) }
	sourceOption := []byte{1, 1, 2, 0, 0, 0, 0, 2}
	badSum := solicitation(peer6)
	badSum[42] ^= 1
	for name, c := range map[string]struct {
		packet []byte
		count  counter
	}{
		"good":                      {solicitation(peer6), countSolicitations},
		"no address yet":            {solicitation(none), countSolicitations},
		"to us":                     {icmp6(peer6, addr("fe80::1"), 255, plain), countSolicitations},
		"reserved field":            {icmp6(peer6, allRouters, 255, []byte{typeSolicitation, 0, 0, 0, 1, 2, 3, 4}), countSolicitations},
		"source link-layer option":  {icmp6(peer6, allRouters, 255, with(sourceOption...)), countSolicitations},
		"unknown option":            {icmp6(peer6, allRouters, 255, with(200, 1, 0, 0, 0, 0, 0, 0)), countSolicitations},
		"hop limit 254":             {icmp6(peer6, allRouters, 254, plain), dropInvalid},
		"code 1":                    {icmp6(peer6, allRouters, 255, []byte{typeSolicitation, 1, 0, 0, 0, 0, 0, 0}), dropInvalid},
		"an advertisement":          {icmp6(peer6, allRouters, 255, []byte{typeAdvertisement, 0, 0, 0, 0, 0, 0, 0}), dropInvalid},
		"checksum":                  {badSum, dropMalformed},
		"four octets":               {icmp6(peer6, allRouters, 255, plain[:4]), dropMalformed},
		"option of length 0":        {icmp6(peer6, allRouters, 255, with(200, 0, 0, 0, 0, 0, 0, 0)), dropInvalid},
		"option beyond the end":     {icmp6(peer6, allRouters, 255, with(200, 2, 0, 0, 0, 0, 0, 0)), dropInvalid},
		"half an option":            {icmp6(peer6, allRouters, 255, with(200)), dropInvalid},
		"unspecified, with address": {icmp6(none, allRouters, 255, with(sourceOption...)), dropInvalid},
		"from a global address":     {icmp6(addr("2001:db8::1"), allRouters, 255, plain), dropAddress},
		"to another":                {icmp6(peer6, addr("fe80::7"), 255, plain), dropAddress},
	} {
		core, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		if got := core.Answer(start, l, c.packet); got != nil {
			t.Errorf("%s: answered at once: %x", name, got)
		}
		if core.counts[c.count].Load() != 1 || l.Deadline().IsZero() != (c.count != countSolicitations) {
			t.Errorf("%s: %v, deadline %v", name, core.counts.all(), l.Deadline())
		}
	}
}

// The times of RFC 4861 sections 6.2.4 and 6.2.6, to the nanosecond.
func TestSchedule(t *testing.T) {
	c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
	to := func(p [][]byte) (all []netip.Addr) {
		for _, b := range p {
			var h ip.Header
			if err := h.Parse(b); err != nil {
				t.Fatal(err)
			}
			all = append(all, h.Dst)
		}
		return all
	}
	next := func(after time.Duration, want ...netip.Addr) {
		t.Helper()
		at := l.Deadline()
		if at.Sub(start) != after {
			t.Fatalf("the next is due after %v, want %v", at.Sub(start), after)
		}
		if early := c.Tick(at.Add(-1), l); early != nil {
			t.Errorf("at %v: too early", after)
		}
		if got := to(c.Tick(at, l)); !slices.Equal(got, want) {
			t.Errorf("at %v: to %v, want %v", after, got, want)
		}
	}
	if !l.Deadline().IsZero() {
		t.Error("it is due before it has begun")
	}
	c.Begin(start, l)
	next(0, allNodes)
	next(16*time.Second, allNodes)
	next(32*time.Second, allNodes)
	next(432*time.Second, allNodes) // 200 s and a half of 400 s
	// "MUST be delayed by a random time between 0 and MAX_RA_DELAY_TIME seconds. (If a
	// single advertisement is sent in response to multiple solicitations, the delay
	// is relative to the first solicitation.)"
	ask := func(after time.Duration, src netip.Addr) { c.Answer(start.Add(after), l, solicitation(src)) }
	ask(440*time.Second, peer6)
	ask(440*time.Second+100*time.Millisecond, peer6)
	next(440*time.Second+250*time.Millisecond, peer6)
	ask(450*time.Second, netip.IPv6Unspecified())
	next(450*time.Second+250*time.Millisecond, allNodes)
	// "rate limited to no more than one advertisement every MIN_DELAY_BETWEEN_RAS
	// seconds."
	ask(451*time.Second, netip.IPv6Unspecified())
	ask(452*time.Second, netip.IPv6Unspecified())
	next(453*time.Second+500*time.Millisecond, allNodes)
	c.Begin(start.Add(454*time.Second), l) // new facts
	next(456*time.Second+500*time.Millisecond, allNodes)
	next(472*time.Second+500*time.Millisecond, allNodes)
	// "If the computed value corresponds to a time later than the time the next
	// multicast Router Advertisement is scheduled to be sent, ... send the
	// advertisement at the already-scheduled time."
	ask(488*time.Second+400*time.Millisecond, netip.IPv6Unspecified())
	next(488*time.Second+500*time.Millisecond, allNodes)
	l.LocalID = 0
	c.Begin(start.Add(500*time.Second), l)
	if !l.Deadline().IsZero() || c.Tick(start.Add(time.Hour), l) != nil {
		t.Error("IPv6 is down, and it advertises")
	}
}

// One peer cannot have more answers than its bucket has tokens.
func TestAnswerRate(t *testing.T) {
	c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
	for range 100 {
		c.Answer(start, l, solicitation(peer6))
	}
	wantCounts(t, c, map[counter]uint64{countSolicitations: asksAtOnce, dropRate: 100 - asksAtOnce})
	c.Answer(start.Add(time.Second), l, solicitation(peer6))
	wantCounts(t, c, map[counter]uint64{countSolicitations: asksAtOnce + 1, dropRate: 100 - asksAtOnce})
}
