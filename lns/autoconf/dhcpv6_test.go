package autoconf

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"adit/proto/ip"
)

var clientID = &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionClientID, OptionData: unhex("0003 0001 020000000002")}

func serverID() dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: testDUID}
}

// message makes a client's message. It goes through octets on its way to the core.
func message(kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind, TransactionID: [3]byte{1, 2, 3}}
	for _, o := range append([]dhcpv6.Option{clientID}, options...) {
		m.AddOption(o)
	}
	return m
}

func askNA(id byte, addrs ...string) dhcpv6.Option {
	o := &dhcpv6.OptIANA{IaId: [4]byte{3: id}}
	for _, a := range addrs {
		o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(a)})
	}
	return o
}

func askPD(id byte, prefixes ...string) dhcpv6.Option {
	o := &dhcpv6.OptIAPD{IaId: [4]byte{3: id}}
	for _, p := range prefixes {
		_, n, err := net.ParseCIDR(p)
		if err != nil {
			panic(err)
		}
		o.Options.Add(&dhcpv6.OptIAPrefix{Prefix: n})
	}
	return o
}

// words writes an answer down in one line.
func words(m *dhcpv6.Message) string {
	if m == nil {
		return "nothing"
	}
	w := []string{strings.ToLower(m.MessageType.String())}
	inside := func(options dhcpv6.Options) {
		for _, o := range options {
			switch o := o.(type) {
			case *dhcpv6.OptIAAddress:
				w = append(w, fmt.Sprintf("%v %v/%v", o.IPv6Addr, o.PreferredLifetime, o.ValidLifetime))
			case *dhcpv6.OptIAPrefix:
				w = append(w, fmt.Sprintf("%v %v/%v", o.Prefix, o.PreferredLifetime, o.ValidLifetime))
			case *dhcpv6.OptStatusCode:
				w = append(w, o.StatusCode.String())
			default:
				w = append(w, o.String())
			}
		}
	}
	for _, o := range m.Options.Options {
		switch o := o.(type) {
		case *dhcpv6.OptIANA:
			w = append(w, fmt.Sprintf("NA%d %v/%v", o.IaId[3], o.T1, o.T2))
			inside(o.Options.Options)
		case *dhcpv6.OptIATA:
			w = append(w, fmt.Sprintf("TA%d", o.IaId[3]))
			inside(o.Options.Options)
		case *dhcpv6.OptIAPD:
			w = append(w, fmt.Sprintf("PD%d %v/%v", o.IaId[3], o.T1, o.T2))
			inside(o.Options.Options)
		default:
			switch o.Code() {
			case dhcpv6.OptionServerID:
			case dhcpv6.OptionClientID:
				if !bytes.Equal(o.ToBytes(), clientID.OptionData) {
					w = append(w, "another client")
				}
			case dhcpv6.OptionRapidCommit:
				w = append(w, "rapid")
			default:
				inside(dhcpv6.Options{o})
			}
		}
	}
	return strings.Join(w, " ")
}

const (
	leaseNA = "NA1 30m0s/48m0s 2001:db8:1:2::77 1h0m0s/2h0m0s"
	leasePD = "PD2 30m0s/48m0s 2001:db8:aa00::/56 1h0m0s/2h0m0s"
	otherNA = "2001:db8:9::1"
	otherPD = "2001:db8:bb00::/56"
)

// RFC 8415 section 18.3, message by message.
func TestDHCPv6(t *testing.T) {
	everything, nothing := func(*Subscriber) {}, func(s *Subscriber) { s.IPv6, s.Delegated = Subscriber{}.IPv6, nil }
	rapid := &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit}
	oro := dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionInformationRefreshTime)
	ta := &dhcpv6.OptIATA{IaId: [4]byte{3: 3}}
	none := "NA1 0s/0s NoAddrsAvail PD2 0s/0s NoPrefixAvail"
	for _, c := range []struct {
		name string
		has  func(*Subscriber)
		m    *dhcpv6.Message
		want string
	}{
		{"Solicit", everything, message(dhcpv6.MessageTypeSolicit, askNA(1), askPD(2)), "advertise " + leaseNA + " " + leasePD},
		{"Solicit, hints", everything, message(dhcpv6.MessageTypeSolicit, askNA(1, otherNA), askPD(2, "::/48", otherPD)), "advertise " + leaseNA + " " + leasePD},
		{"Solicit, rapid", everything, message(dhcpv6.MessageTypeSolicit, rapid, askPD(2)), "reply rapid " + leasePD},
		{"Solicit, nothing", nothing, message(dhcpv6.MessageTypeSolicit, askNA(1), askPD(2)), "advertise " + none},
		{"Solicit, temporary", everything, message(dhcpv6.MessageTypeSolicit, ta), "advertise TA3 NoAddrsAvail"},
		{"Solicit, options", everything, message(dhcpv6.MessageTypeSolicit, oro), "advertise DNS: [2001:db8::53] Domain Search List: [example.net]"},
		{"Request", everything, message(dhcpv6.MessageTypeRequest, serverID(), askNA(1, "2001:db8:1:2::77"), askPD(2, "2001:db8:aa00::/56")), "reply " + leaseNA + " " + leasePD},
		{"Request, another prefix", everything, message(dhcpv6.MessageTypeRequest, serverID(), askNA(1), askPD(2, otherPD)), "reply " + leaseNA + " " + leasePD},
		{"Request, not on link", everything, message(dhcpv6.MessageTypeRequest, serverID(), askNA(1, otherNA), askPD(2)), "reply NA1 0s/0s NotOnLink " + leasePD},
		{"Request, another of the link", everything, message(dhcpv6.MessageTypeRequest, serverID(), askNA(1, "2001:db8:1:2::78")), "reply " + leaseNA},
		{"Request, nothing", nothing, message(dhcpv6.MessageTypeRequest, serverID(), askNA(1), askPD(2)), "reply " + none},
		{"two IAs", everything, message(dhcpv6.MessageTypeRequest, serverID(), askPD(2), askPD(4)), "reply " + leasePD + " PD4 0s/0s NoPrefixAvail"},
		{"two IAs, the second has it", everything, message(dhcpv6.MessageTypeRenew, serverID(), askPD(4), askPD(2, "2001:db8:aa00::/56")), "reply PD4 0s/0s NoPrefixAvail " + leasePD},
		{"Renew", everything, message(dhcpv6.MessageTypeRenew, serverID(), askNA(1, "2001:db8:1:2::77"), askPD(2, "2001:db8:aa00::/56")), "reply " + leaseNA + " " + leasePD},
		{"Renew, others", everything, message(dhcpv6.MessageTypeRenew, serverID(), askNA(1, otherNA), askPD(2, otherPD)), "reply " + leaseNA + " 2001:db8:9::1 0s/0s " + leasePD + " 2001:db8:bb00::/56 0s/0s"},
		{"Renew, nothing", nothing, message(dhcpv6.MessageTypeRenew, serverID(), askNA(1), askPD(2, otherPD)), "reply NA1 0s/0s NoAddrsAvail PD2 0s/0s 2001:db8:bb00::/56 0s/0s"},
		{"Rebind", everything, message(dhcpv6.MessageTypeRebind, askPD(2, "2001:db8:aa00::/56")), "reply " + leasePD},
		{"Rebind, of another session", everything, message(dhcpv6.MessageTypeRebind, askPD(2, otherPD)), "reply " + leasePD + " 2001:db8:bb00::/56 0s/0s"},
		{"Confirm", everything, message(dhcpv6.MessageTypeConfirm, askNA(1, "2001:db8:1:2::77", "2001:db8:1:2::1")), "reply Success"},
		{"Confirm, not on link", everything, message(dhcpv6.MessageTypeConfirm, askNA(1, "2001:db8:1:2::77"), askNA(2, otherNA)), "reply NotOnLink"},
		{"Confirm, no address", everything, message(dhcpv6.MessageTypeConfirm, askNA(1), askPD(2, otherPD)), "nothing"},
		{"Release", everything, message(dhcpv6.MessageTypeRelease, serverID(), askNA(1, "2001:db8:1:2::77"), askPD(2)), "reply Success"},
		{"Release, unknown", nothing, message(dhcpv6.MessageTypeRelease, serverID(), askNA(1, otherNA), askPD(2), ta), "reply Success NA1 0s/0s NoBinding PD2 0s/0s NoBinding TA3 NoBinding"},
		{"Decline", everything, message(dhcpv6.MessageTypeDecline, serverID(), askNA(1, "2001:db8:1:2::77")), "reply Success"},
		{"Information-request", everything, message(dhcpv6.MessageTypeInformationRequest, oro), "reply DNS: [2001:db8::53] Domain Search List: [example.net] Information Refresh Time: 1h0m0s"},
		{"Information-request, ours", everything, message(dhcpv6.MessageTypeInformationRequest, serverID()), "reply"},
		// Section 16, what is discarded.
		{"Solicit, server", everything, message(dhcpv6.MessageTypeSolicit, serverID()), "nothing"},
		{"Confirm, server", everything, message(dhcpv6.MessageTypeConfirm, serverID(), askNA(1, otherNA)), "nothing"},
		{"Rebind, server", everything, message(dhcpv6.MessageTypeRebind, serverID(), askPD(2)), "nothing"},
		{"Request, no server", everything, message(dhcpv6.MessageTypeRequest, askPD(2)), "nothing"},
		{"Renew, another server", everything, message(dhcpv6.MessageTypeRenew, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: unhex("0004 ff112233445566778899aabbccddeeff")}, askPD(2)), "nothing"},
		{"Information-request, IA", everything, message(dhcpv6.MessageTypeInformationRequest, askPD(2)), "nothing"},
		{"Information-request, another server", everything, message(dhcpv6.MessageTypeInformationRequest, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: clientID.OptionData}), "nothing"},
		{"Advertise", everything, message(dhcpv6.MessageTypeAdvertise, serverID()), "nothing"},
		{"Reply", everything, message(dhcpv6.MessageTypeReply, serverID()), "nothing"},
		{"Reconfigure", everything, message(dhcpv6.MessageTypeReconfigure, serverID()), "nothing"},
		{"unknown", everything, message(77, serverID()), "nothing"},
	} {
		core, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		c.has(&l.Subscriber)
		if got := words(ask6(t, core, l, allDHCP, c.m)); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
		count := countDHCPv6
		if c.want == "nothing" {
			count = dropInvalid
		}
		wantCounts(t, core, map[counter]uint64{count: 1})
	}
}

// Without a Client Identifier only an Information-request is answered, and its
// answer has none either (RFC 8415 section 16.10).
func TestDHCPv6NoClient(t *testing.T) {
	for kind := dhcpv6.MessageTypeSolicit; kind <= dhcpv6.MessageTypeInformationRequest; kind++ {
		c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		m := &dhcpv6.Message{MessageType: kind}
		if kind != dhcpv6.MessageTypeSolicit && kind != dhcpv6.MessageTypeConfirm && kind != dhcpv6.MessageTypeRebind {
			m.AddOption(serverID())
		}
		r := ask6(t, c, l, allDHCP, m)
		if (r != nil) != (kind == dhcpv6.MessageTypeInformationRequest) || r != nil && r.GetOneOption(dhcpv6.OptionClientID) != nil {
			t.Errorf("%v: %v", kind, r)
		}
	}
}

// RFC 8415 section 18.4: what is sent to our own address is to be sent to all.
func TestDHCPv6Unicast(t *testing.T) {
	for kind, want := range map[dhcpv6.MessageType]string{
		dhcpv6.MessageTypeSolicit: "advertise UseMulticast", dhcpv6.MessageTypeConfirm: "reply UseMulticast", dhcpv6.MessageTypeRequest: "reply UseMulticast",
		dhcpv6.MessageTypeInformationRequest: "reply UseMulticast",
	} {
		c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
		m := message(kind)
		if kind == dhcpv6.MessageTypeRequest {
			m.AddOption(serverID())
		}
		if got := words(ask6(t, c, l, addr("fe80::1"), m)); got != want {
			t.Errorf("%v: %s", kind, got)
		}
	}
	c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
	if r := ask6(t, c, l, addr("fe80::9"), message(dhcpv6.MessageTypeSolicit)); r != nil {
		t.Errorf("to another: %v", r)
	}
	c.Answer(start, l, datagram6(addr("2001:db8::1"), allDHCP, 546, 547, message(dhcpv6.MessageTypeSolicit).ToBytes()))
	wantCounts(t, c, map[counter]uint64{dropAddress: 2})
}

// Every truncation is dropped, or answered as what it is; octets too few are counted.
func TestDHCPv6Truncated(t *testing.T) {
	c, l := newTestCore(t), &Link{Subscriber: testSubscriber()}
	whole := message(dhcpv6.MessageTypeSolicit, askNA(1, otherNA), askPD(2, otherPD)).ToBytes()
	answered := 0
	for n := range whole {
		l.asking = Link{}.asking
		answered += len(c.Answer(start, l, datagram6(peer6, allDHCP, 546, 547, whole[:n])))
	}
	// After the Client Identifier, and after the IA_NA.
	if answered != 2 {
		t.Errorf("%d truncated messages were answered: %v", answered, c.counts.all())
	}
}

func TestDUID(t *testing.T) {
	a, b := NewDUID(), NewDUID()
	if len(a) != 18 || bytes.Equal(a, b) || a[1] != 4 || a[8]>>4 != 4 || a[10]>>6 != 2 {
		t.Errorf("%x %x", a, b)
	}
	for _, bad := range [][]byte{nil, {0, 4}, {0, 4, 1}, slices.Repeat([]byte{9}, 131)} {
		if _, err := NewCore(bad, half); !errors.Is(err, ErrDUID) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	if _, err := NewCore(slices.Repeat([]byte{9}, 130), half); err != nil {
		t.Error(err)
	}
}

func TestAppendName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, want := range map[string]string{
		"example.net": "\x07example\x03net\x00", "net.": "\x03net\x00", long: "\x3f" + long + "\x00",
		"": "", ".": "", "a..b": "", ".a": "", long + "a": "", long + "a.b": "", strings.Repeat(long+".", 4): "",
	} {
		b, ok := appendName([]byte("x"), name)
		if ok != (want != "") || string(b) != "x"+want {
			t.Errorf("%q: %q, %v", name, b, ok)
		}
	}
}

// Whatever a peer sends: no panic, and what comes back are whole packets to him.
func FuzzAnswer(f *testing.F) {
	f.Add(solicitation(peer6))
	f.Add(datagram4(addr("10.9.0.2"), broadcastIP, 68, 67, windowsInform()))
	for kind := dhcpv6.MessageTypeSolicit; kind <= dhcpv6.MessageTypeInformationRequest; kind++ {
		f.Add(datagram6(peer6, allDHCP, 546, 547, message(kind, serverID(), askNA(1, otherNA), askPD(2, otherPD)).ToBytes()))
		f.Add(datagram6(peer6, allDHCP, 546, 547, message(kind, askNA(1, otherNA), askPD(2, otherPD, "::/48")).ToBytes()))
	}
	c, err := NewCore(testDUID, half)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		// The checksums are what a fuzzer cannot guess.
		var h ip.Header
		if h.Parse(packet) == nil && h.Length >= h.HeaderLen+8 {
			packet = slices.Clone(packet)
			switch u := packet[h.HeaderLen:h.Length]; h.Protocol {
			case ip.ProtocolUDP:
				u[4], u[5], u[6], u[7] = byte(len(u)>>8), byte(len(u)), 0, 0
				putUDP(u, h.Src, h.Dst, uint16(u[0])<<8|uint16(u[1]), uint16(u[2])<<8|uint16(u[3]))
			case ip.ProtocolICMPv6:
				u[2], u[3] = 0, 0
				sum := ip.Checksum(u, ip.PseudoHeader(h.Src, h.Dst, h.Protocol, len(u)))
				u[2], u[3] = byte(sum>>8), byte(sum)
			}
		}
		l := &Link{Subscriber: testSubscriber()}
		packets := c.Answer(start, l, packet)
		if at := l.Deadline(); !at.IsZero() {
			packets = append(packets, c.Tick(at, l)...)
		}
		for _, p := range packets {
			if h, _, ok := parse(p); !ok || h.Length != len(p) || h.Dst != l.Peer && h.Dst != allNodes && interfaceID(h.Dst) == 0 {
				t.Errorf("%x", p)
			}
		}
	})
}
