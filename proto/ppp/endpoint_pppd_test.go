package ppp

import (
	"net/netip"
	"testing"
)

// An exchange that pppd 2.4.9 had with an LNS that asks for EAP, then PAP, as it
// came, Magic-Numbers of ours apart: it does no EAP and would rather have CHAP,
// asks for VJ compression, CCP and two name servers where there is one, and gives
// both of its networks up in the end, because its machine has no interface.
func TestPppdByPAP(t *testing.T) {
	cfg := &Config{Name: "lns", Compress: true, Authenticate: []Method{MethodEAP, MethodPAP}, IPv4: true, IPv6: true}
	b := newBench(t, cfg, Grant{Local: lnsAddr, Peer: clientAddr, DNS: [2]netip.Addr{dnsAddr}})
	b.step(Start{})
	b.want(lcpHead + "01 01 0018 0206 00000000 0304 c227 0506 01020304 0702 0802")
	b.recv("ff03c0210101001402060000000005062840d8a407020802")
	b.want("ff03c0210201001402060000000005062840d8a407020802")
	b.recv("ff03c021030100090305c22305")
	b.want(lcpHead + "01 02 0018 0206 00000000 0304 c023 0506 01020304 0702 0802")
	b.recv("ff03c021 02020018 0206000000000304c0230506 01020304 07020802")
	b.want("LinkUp {PeerMRU:1500 LocalMRU:1500 PeerACCM:0 LocalACCM:0 PeerPFC:true PeerACFC:true Proxied:false}")
	b.recv("ff03c021090000082840d8a4")
	b.want("ff03c021 0a000008 01020304")
	b.recv("ff03c0230101000d03626f6204776f7264")
	b.want("Authenticate 1 name=bob proxied=false")
	b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true}})
	b.want("ff03c0230201000500", "ff0380210101000a03060a000001", ipv6cpHead+"01 01 000e 010a 040708090a0b0c0d")
	b.recv("ff0380fd0101000f1a0478001804780015032f")
	b.want("ff03c0210801001580fd0101000f1a0478001804780015032f")
	b.recv("ff0380210101001c0206002d0f01030600000000810600000000830600000000")
	b.want("ff038021040100100206002d0f01830600000000")
	b.recv("ff0380570101000e010af901539a371ec702")
	b.want("ff0380570201000e010af901539a371ec702")
	b.recv("ff0380210201000a03060a000001")
	b.want()
	b.step(Receive{Frame: packetFrame(ProtocolIPv6CP, ConfigureAck, 1, b.e.ipv6cp.request(b.e, nil))})
	b.want("NetworkUp IPv6")
	b.recv("ff03802101020010030600000000810600000000")
	b.want("ff0380210302001003060a00000281060a000035")
	b.recv("ff03805705020022496e7465726661636520636f6e66696775726174696f6e206661696c6564")
	b.want("NetworkDown IPv6", "ff03805706020004")
	b.recv("ff0380210103001003060a00000281060a000035")
	b.want("ff0380210203001003060a00000281060a000035",
		"NetworkUp IPv4 10.0.0.1-10.0.0.2 dns=[invalid IP invalid IP] wins=[invalid IP invalid IP] 0-0 user=bob")
	b.recv("ff03802105040022496e7465726661636520636f6e66696775726174696f6e206661696c6564")
	b.want("NetworkDown IPv4", "ff03802106040004")
	b.recv("ff03c021050200204e6f206e6574776f726b2070726f746f636f6c732072756e6e696e67")
	b.want("ff03c02106020004")
	f := b.wantFinished(restartTimer, CausePeerTerminated)
	if f.Text != `peer terminated the link: it said "No network protocols running"` {
		t.Errorf("text %q", f.Text)
	}
}

// The same pppd as the server of our client: 10.9.0.1 gives 10.9.0.2, and its one
// name server for both.
func TestPppdServes(t *testing.T) {
	b := newBench(t, &Config{Compress: true, IPv4: true, RequestDNS: true}, Grant{})
	b.step(Start{})
	b.want("ff03c021010100140206000000000506 01020304 07020802")
	b.recv("ff03c021010100140206000000000506cf04da1707020802")
	b.want("ff03c021020100140206000000000506cf04da1707020802")
	b.recv("ff03c021020100140206000000000506 01020304 07020802")
	b.want("LinkUp", "ff03802101010016030600000000810600000000830600000000")
	b.recv("ff038021010100100206002d0f0103060a090001")
	b.want("ff0380210401000a0206002d0f01")
	b.recv("ff0380210301001603060a09000281060a09003583060a090035")
	b.want("ff0380210102001603060a09000281060a09003583060a090035")
	b.recv("ff0380210102000a03060a090001")
	b.want("ff0380210202000a03060a090001")
	b.recv("ff0380210202001603060a09000281060a09003583060a090035")
	b.want("NetworkUp IPv4 10.9.0.2-10.9.0.1 dns=[10.9.0.53 10.9.0.53] wins=[invalid IP invalid IP] 0-0 user=")
}
