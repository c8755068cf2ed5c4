package ppp

import (
	"testing"
	"time"
)

// Without Config.Compress the peer is not asked to compress fields, its own wish
// is acknowledged, and a LAC's agreement to take such frames is not taken over.
func TestCompress(t *testing.T) {
	plain := func(c *Config) { c.Compress = false }
	b := lnsBench(t, plain)
	b.want(lcpHead + "01 01 0019 0104 0578 0206 00000000 0305 c22305 0506 01020304")
	b.recv(lcpHead + "01 07 0008 0702 0802")
	b.want(lcpHead + "02 07 0008 0702 0802")
	b.openLCP()
	if l := b.e.Link(); !l.PeerPFC || !l.PeerACFC {
		t.Errorf("%+v", l)
	}
	for _, compress := range []bool{false, true} {
		for _, option := range []string{"0702", "0802"} {
			b = proxyBench(t, func(c *Config, p *Proxy) {
				c.Compress = compress
				p.LastSent = append(p.LastSent, octetsOf(t, option)...)
			})
			if took := b.e.Phase() == PhaseAuthenticate; took != compress {
				t.Errorf("Compress %t: the LAC's %s was taken over: %t", compress, option, took)
			}
		}
	}
}

// A clock that goes back does not stop the endpoint's.
func TestTimeGoesBack(t *testing.T) {
	b := lnsBench(t, nil)
	b.wait(2 * time.Second)
	b.step(Tick{})
	at := b.e.Deadline()
	b.acts = nil
	for _, back := range []time.Duration{time.Second, time.Hour, 1000 * time.Hour} {
		b.now = linkStart.Add(-back)
		b.step(Tick{})
		b.recv(lcpHead + "09 55 0008 aabbccdd")
		b.e.Traffic(b.now)
	}
	b.want()
	if d := b.e.Deadline(); !d.Equal(at) {
		t.Errorf("deadline %v, and was %v", d, at)
	}
	b.recv(lcpHead + "01 03 0004")
	b.openLCP() // in the past, which counts as 2 s
	if d := b.e.auth.deadline().Sub(linkStart); d != 5*time.Second {
		t.Errorf("the challenge is repeated at +%v", d)
	}
	b.now = linkStart
	b.wantFinished(2*setupTimeout, CauseAuthTimeout)
	if d := b.now.Sub(linkStart); d < authTimeout {
		t.Errorf("given up at +%v", d)
	}
}

// A peer whose address is up asks for others: the packets stop before it is told
// anything, and flow again for the address that is its own only.
func TestAddressWhileUp(t *testing.T) {
	for _, row := range []struct{ name, address string }{
		{"somebody else's", "0a000003"}, {"the LNS's", "0a000001"}, {"none", "00000000"},
		{"broadcast", "ffffffff"}, {"loopback", "7f000001"}, {"multicast", "e0000001"},
	} {
		b := upBench(t, nil)
		b.recv(ipcpHead + "01 02 000a 0306 " + row.address)
		b.want("NetworkDown IPv4", ipcpHead+"01 02 000a 0306 0a000001", ipcpHead+"03 02 000a 0306 0a000002")
		b.recv(ipcpHead + "02 02 000a 0306 0a000001")
		b.want()
		if b.e.Up(IPv4) || b.e.Network().PeerIPv4.IsValid() {
			t.Errorf("%s: up", row.name)
		}
		b.recv(ipcpHead + "01 03 000a 0306 0a000002")
		b.want(ipcpHead+"02 03 000a 0306 0a000002", "NetworkUp IPv4 10.0.0.1-10.0.0.2")
		// Both in one request: each has to be right.
		b.recv(ipcpHead + "01 04 0010 0306 0a000002 0306 " + row.address)
		b.want("NetworkDown IPv4", ipcpHead+"01 03 000a 0306 0a000001", ipcpHead+"03 04 000a 0306 0a000002")
	}
}

// RFC 5072 section 4.1: "If the next Configure-Request does not include this
// option, the peer MUST NOT send another Configure-Nak with this option
// included." So it is too when the first of them came while IPv6 was up.
func TestIPv6CPPromptsOnce(t *testing.T) {
	b := ipv6Bench(t, Grant{})
	b.recv(ipv6cpHead + "02 01 000e 010a 05060708090a0b0c")
	b.recv(ipv6cpHead + "01 05 000e 010a 1122334455667788")
	if !b.e.Up(IPv6) {
		t.Fatal("not up")
	}
	for range 2 { // each negotiation by itself
		if got := firstReplyOf(b, ipv6cpHead+"01 06 0004", ConfigureNak); got == "" {
			t.Fatal("the peer was not asked for its identifier")
		}
		if got := firstReplyOf(b, ipv6cpHead+"01 07 0004", ConfigureAck); got != "ff038057"+packed("02 07 0004") {
			t.Fatalf("%s", got)
		}
		b.step(Receive{Frame: packetFrame(ProtocolIPv6CP, ConfigureAck, b.e.ipv6cp.id, b.e.ipv6cp.request(b.e, nil))})
		if !b.e.Up(IPv6) {
			t.Fatal("not up again")
		}
	}
}

// firstReplyOf gives the endpoint a frame and returns the first packet of a code
// that it sent.
func firstReplyOf(b *bench, frame string, c Code) string {
	b.t.Helper()
	b.acts = nil
	b.recv(frame)
	for _, a := range b.acts {
		if s, ok := a.(Send); ok && s.Frame[4] == byte(c) {
			return show(s)
		}
	}
	return ""
}

// The peer cannot bring it about that both ends have the same identifier: not by
// a Configure-Nak with its own, nor after it rejected ours.
func TestIPv6CPSameIdentifier(t *testing.T) {
	b := ipv6Bench(t, Grant{})
	b.recv(ipv6cpHead + "01 05 000e 010a 1122334455667788")
	b.acts = nil
	b.recv(ipv6cpHead + "03 01 000e 010a 1122334455667788")
	b.want(ipv6cpHead + "01 02 000e 010a 0d0e0f1011121314")
	b.recv(ipv6cpHead + "02 02 000e 010a 0d0e0f1011121314")
	b.want("NetworkUp IPv6 invalid IP-invalid IP dns=[invalid IP invalid IP] wins=[invalid IP invalid IP] d0e0f1011121314-1122334455667788")

	b = ipv6Bench(t, Grant{})
	b.recv(ipv6cpHead + "04 01 000e 010a 05060708090a0b0c")
	if got := firstReplyOf(b, ipv6cpHead+"01 05 000e 010a 05060708090a0b0c", ConfigureNak); got == "" {
		t.Error("the peer may have our identifier")
	}
}
