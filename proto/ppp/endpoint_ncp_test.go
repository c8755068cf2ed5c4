package ppp

import (
	"net/netip"
	"testing"
	"time"
)

// firstReply gives the endpoint a frame and returns what it sent first.
func firstReply(b *bench, frame string) string {
	b.t.Helper()
	b.acts = nil
	b.recv(frame)
	for _, a := range b.acts {
		if s, ok := a.(Send); ok {
			return show(s)
		}
	}
	return ""
}

// What an LNS says to the options of IPCP, RFC 1332 section 3 and RFC 1877.
func TestIPCPOptions(t *testing.T) {
	dns2 := netip.MustParseAddr("10.0.0.54")
	wins := netip.MustParseAddr("10.0.0.77")
	full := Grant{Local: lnsAddr, Peer: clientAddr, DNS: [2]netip.Addr{dnsAddr, dns2}, WINS: [2]netip.Addr{wins}}
	free := Grant{Local: lnsAddr}
	for _, row := range []struct {
		name           string
		grant          Grant
		request, reply string
	}{
		{"asks for all", full, "01 05 001c 0306 00000000 8106 00000000 8306 00000000 8206 00000000",
			"03 05 001c 0306 0a000002 8106 0a000035 8306 0a000036 8206 0a00004d"},
		{"as pppd asks", full, "01 01 0016 0306 00000000 8106 00000000 8306 00000000",
			"03 01 0016 0306 0a000002 8106 0a000035 8306 0a000036"},
		{"Windows with a second WINS", full, "01 05 0022 0306 00000000 8106 00000000 8206 00000000 8306 00000000 8406 00000000",
			"04 05 000a 8406 00000000"},
		{"takes all", full, "01 05 0016 0306 0a000002 8106 0a000035 8306 0a000036",
			"02 05 0016 0306 0a000002 8106 0a000035 8306 0a000036"},
		{"no address", full, "01 05 0004", "03 05 000a 0306 0a000002"},
		{"address length", full, "01 05 0008 0304 0a00", "03 05 000a 0306 0a000002"},
		{"old IP-Addresses", full, "01 05 000e 010a 0a000002 0a000001", "04 05 000e 010a 0a000002 0a000001"},
		{"VJ", full, "01 05 0010 0306 0a000002 0206 002d0f01", "04 05 000a 0206 002d0f01"},
		{"its own", free, "01 05 000a 0306 c0a80101", "02 05 000a 0306 c0a80101"},
		{"none to give", free, "01 05 000a 0306 00000000", "04 05 000a 0306 00000000"},
		{"multicast", free, "01 05 000a 0306 e0000001", "04 05 000a 0306 e0000001"},
		{"loopback", free, "01 05 000a 0306 7f000001", "04 05 000a 0306 7f000001"},
		{"broadcast", free, "01 05 000a 0306 ffffffff", "04 05 000a 0306 ffffffff"},
		{"ours", free, "01 05 000a 0306 0a000001", "04 05 000a 0306 0a000001"},
		{"must tell", free, "01 05 0004", "03 05 000a 0306 00000000"},
		{"no DNS", free, "01 05 0010 0306 c0a80101 8106 00000000", "04 05 000a 8106 00000000"},
	} {
		b := plainBench(t, nil)
		b.e.granted = compact(row.grant)
		if got, want := firstReply(b, ipcpHead+row.request), "ff038021"+packed(row.reply); got != want {
			t.Errorf("%s: %s, want %s", row.name, got, want)
		}
	}
}

// A peer that insists on an address which it cannot have is Nak'd Max-Failure
// times, then rejected; it may come in with the address that is meant for it.
func TestIPCPInsists(t *testing.T) {
	b := plainBench(t, nil)
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	for range 5 {
		if got := firstReply(b, ipcpHead+"01 05 000a 0306 c0a80101"); got != "ff038021"+packed("03 05 000a 0306 0a000002") {
			t.Fatal(got)
		}
	}
	if got := firstReply(b, ipcpHead+"01 05 000a 0306 c0a80101"); got != "ff038021"+packed("04 05 000a 0306 c0a80101") {
		t.Fatal(got)
	}
	b.acts = nil
	b.recv(ipcpHead + "01 06 0004")
	b.want(ipcpHead+"02 06 0004", "NetworkUp IPv4 10.0.0.1-10.0.0.2")

	// One that has no address, where there is none to give, does not.
	b = plainBench(t, nil)
	b.e.granted.peer = 0
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	b.recv(ipcpHead + "01 05 000a 0306 00000000")
	b.acts = nil
	b.recv(ipcpHead + "01 06 0004")
	b.want(ipcpHead+"02 06 0004", ipcpHead+"05 02 0004")
	b.acts = nil
	b.wantFinished(20*time.Second, CauseNoAddress)
}

// clientBench is a client with LCP open that asks for all.
func clientBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, &Config{Compress: true, IPv4: true, RequestDNS: true, RequestWINS: true}, Grant{})
	b.step(Start{})
	b.recv(lcpHead + "02 01 0014 0206 00000000 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 07 000a 0506 aabbccdd")
	return b
}

// A client takes what it is told, and minds what is rejected.
func TestIPCPClient(t *testing.T) {
	b := clientBench(t)
	b.acts = b.acts[len(b.acts)-1:]
	b.want(ipcpHead + "01 01 0022 0306 00000000 8106 00000000 8306 00000000 8206 00000000 8406 00000000")
	b.recv(ipcpHead + "04 01 0010 8206 00000000 8406 00000000")
	b.want(ipcpHead + "01 02 0016 0306 00000000 8106 00000000 8306 00000000")
	b.recv(ipcpHead + "03 02 0016 0306 0a000002 8106 0a000035 8306 00000000")
	b.want(ipcpHead + "01 03 0010 0306 0a000002 8106 0a000035")
	b.recv(ipcpHead + "02 03 0010 0306 0a000002 8106 0a000035")
	b.recv(ipcpHead + "01 09 000a 0306 0a000001")
	b.want(ipcpHead+"02 09 000a 0306 0a000001", "NetworkUp IPv4 10.0.0.2-10.0.0.1 dns=[10.0.0.53 invalid IP] wins=[invalid IP invalid IP]")

	b = clientBench(t) // an address that no host can have is not taken
	b.acts = nil
	b.recv(ipcpHead + "03 01 000a 0306 e0000005")
	b.want(ipcpHead + "01 02 0022 0306 00000000 8106 00000000 8306 00000000 8206 00000000 8406 00000000")

	b = clientBench(t) // no address for us
	b.recv(ipcpHead + "01 09 000a 0306 0a000001")
	b.recv(ipcpHead + "04 01 000a 0306 00000000")
	b.recv(ipcpHead + "02 02 001c 8106 00000000 8306 00000000 8206 00000000 8406 00000000")
	b.wantFinished(20*time.Second, CauseNoAddress)
}

// A peer that Naks for ever is given up.
func TestEndlessNak(t *testing.T) {
	b := clientBench(t)
	for i := 0; i < 300 && b.e.Phase() == PhaseNetwork; i++ {
		id := b.e.ipcp.id
		b.step(Receive{Frame: packetFrame(ProtocolIPCP, ConfigureNak, id, nil)})
		if i > maxConfigure && b.e.ipcp.state.negotiating() {
			t.Fatalf("after %d Configure-Naks it still asks", i)
		}
	}
	b.wantFinished(20*time.Second, CauseNoNetwork)

	b = lnsBench(t, nil)
	for i := 0; b.e.Phase() == PhaseEstablish; i++ {
		if i > maxConfigure {
			t.Fatal("it still asks")
		}
		b.step(Receive{Frame: packetFrame(ProtocolLCP, ConfigureNak, b.e.lcp.id, nil)})
	}
	b.wantFinished(20*time.Second, CauseLCPFailed)
}

// ipv6Bench is an LNS for IPv6 with LCP open; its identifier is 0506...0c,
// without the universal bit.
func ipv6Bench(t *testing.T, g Grant) *bench {
	t.Helper()
	b := newBench(t, &Config{Compress: true, IPv6: true}, g)
	b.step(Start{})
	b.recv(lcpHead + "02 01 0014 0206 00000000 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 07 000a 0506 aabbccdd")
	return b
}

// RFC 5072 section 4.1, sentence by sentence.
func TestIPv6CP(t *testing.T) {
	for _, row := range []struct {
		name           string
		grant          Grant
		request, reply string
	}{
		{"acknowledged", Grant{}, "01 05 000e 010a 1122334455667788", "02 05 000e 010a 1122334455667788"},
		{"zero", Grant{}, "01 05 000e 010a 0000000000000000", "03 05 000e 010a 0d0e0f1011121314"},
		{"zero, one to give", Grant{PeerID: 0x42}, "01 05 000e 010a 0000000000000000", "03 05 000e 010a 0000000000000042"},
		{"equal", Grant{}, "01 05 000e 010a 05060708090a0b0c", "03 05 000e 010a 0d0e0f1011121314"},
		{"equal to what we give", Grant{LocalID: 0x42, PeerID: 0x42}, "01 05 000e 010a 0000000000000042", "03 05 000e 010a 05060708090a0b0c"},
		{"another than configured", Grant{PeerID: 0x42}, "01 05 000e 010a 1122334455667788", "03 05 000e 010a 0000000000000042"},
		{"missing", Grant{}, "01 05 0004", "03 05 000e 010a 0d0e0f1011121314"},
		{"length", Grant{}, "01 05 0008 0104 0001", "03 05 000e 010a 0d0e0f1011121314"},
		{"compression", Grant{}, "01 05 0012 010a 1122334455667788 0204 004f", "04 05 0008 0204 004f"},
	} {
		b := ipv6Bench(t, row.grant)
		if got, want := firstReply(b, ipv6cpHead+row.request), "ff038057"+packed(row.reply); got != want {
			t.Errorf("%s: %s, want %s", row.name, got, want)
		}
	}
}

// The universal bit of what we choose is zero; a suggestion is taken, but not our
// own one come back; a rejected option is not sent again; a peer that does not
// tell its identifier is asked once.
func TestIPv6CPReplies(t *testing.T) {
	b := ipv6Bench(t, Grant{})
	b.acts = b.acts[len(b.acts)-1:]
	b.want(ipv6cpHead + "01 01 000e 010a 05060708090a0b0c") // 0x05 has no bit 0x02
	b.recv(ipv6cpHead + "03 01 000e 010a 00000000000000aa")
	b.want(ipv6cpHead + "01 02 000e 010a 00000000000000aa")
	b.recv(ipv6cpHead + "01 05 000e 010a 0000000000000000")
	b.want(ipv6cpHead + "03 05 000e 010a 0d0e0f1011121314")
	b.recv(ipv6cpHead + "03 02 000e 010a 0d0e0f1011121314")
	b.want(ipv6cpHead + "01 03 000e 010a 15161718191a1b1c")
	b.recv(ipv6cpHead + "04 03 000e 010a 15161718191a1b1c")
	b.want(ipv6cpHead + "01 04 0004")
	b.recv(ipv6cpHead + "02 04 0004")
	b.want()
	b.recv(ipv6cpHead + "01 06 0004")
	b.want(ipv6cpHead + "03 06 000e 010a 1d1e1f2021222324")
	b.recv(ipv6cpHead + "01 07 0004")
	b.want(ipv6cpHead+"02 07 0004", "NetworkUp IPv6")
	for range 100 {
		if v := b.e.newInterfaceID(0); v&universalBit != 0 || v == 0 {
			t.Fatalf("identifier %x", v)
		}
	}
	// One for which an identifier is configured may have its own in the end.
	b = ipv6Bench(t, Grant{PeerID: 0x42})
	for range 5 {
		b.recv(ipv6cpHead + "01 05 000e 010a 1122334455667788")
	}
	if got := firstReply(b, ipv6cpHead+"01 05 000e 010a 1122334455667788"); got != "ff038057"+packed("02 05 000e 010a 1122334455667788") {
		t.Error(got)
	}
}

// Both families together; the peer has only one, and says so by a
// Protocol-Reject, a Terminate-Request or silence; then none.
func TestOneFamilyOfTwo(t *testing.T) {
	both := func(c *Config) { c.IPv6 = true }
	b := upBench(t, both)
	b.recv(lcpHead + "08 07 0014 8057 01 01 000e 010a 05060708090a0b0c")
	b.want()
	b.wait(time.Hour)
	b.want() // it is not asked again
	b.recv(ipv6cpHead + "01 07 000e 010a 1122334455667788")
	b.want()

	b = upBench(t, both)
	for i := 0; i < 9; i++ {
		b.wait(3 * time.Second)
		b.want(ipv6cpHead + "01 01 000e 010a 05060708090a0b0c")
	}
	b.wait(time.Hour)
	b.want()
	if !b.e.Up(IPv4) || b.e.Up(IPv6) {
		t.Error("not IPv4 alone")
	}
	// It thinks better of it.
	b.recv(ipv6cpHead + "01 07 000e 010a 1122334455667788")
	b.recv(ipv6cpHead + "02 02 000e 010a 0d0e0f1011121314")
	if !b.e.Up(IPv6) {
		t.Fatal("IPv6 is not up")
	}
	b.acts = nil
	b.recv(ipcpHead + "05 08 0004")
	b.want("NetworkDown IPv4", ipcpHead+"06 08 0004")
	b.wait(time.Hour)
	b.want()
	b.recv(lcpHead + "08 07 000a 0057 60000000") // it rejects IPv6 packets now
	b.want("NetworkDown IPv6", ipv6cpHead+"05 03 0004")
	b.recv(ipv6cpHead + "06 03 0004")
	b.want(lcpHead + "05 02 002c " + hexOf(CauseNoNetwork.String()))
	b.wantFinished(6*time.Second, CauseNoNetwork)
}

// Neither family: there is nothing to do on the link.
func TestNoFamily(t *testing.T) {
	b := plainBench(t, func(c *Config) { c.IPv4 = false })
	b.wantFinished(6*time.Second, CauseNoNetwork)

	b = plainBench(t, nil)
	b.recv(lcpHead + "08 07 0010 8021 01 01 000a 0306 0a000001")
	b.wantFinished(6*time.Second, CauseNoNetwork)
}
