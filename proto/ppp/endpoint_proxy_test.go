package ppp

import (
	"encoding/hex"
	"testing"
	"time"
)

func octetsOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(packed(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// proxyOf is what a LAC negotiated: CHAP, and the peer's response.
func proxyOf(t *testing.T) *Proxy {
	t.Helper()
	return &Proxy{
		InitialReceived: octetsOf(t, "0104 05d4 0506 11223344 1104 05dc"),
		LastSent:        octetsOf(t, "0104 05d4 0305 c22305 0506 a1a2a3a4"),
		LastReceived:    octetsOf(t, "0104 05d4 0506 11223344"),
		Method:          MethodCHAP, Name: "bob@example.net", ID: 0x33,
		Challenge: []byte("0123456789abcdef"), Response: testResponse(MethodCHAP, 0x33, []byte("0123456789abcdef"), "word"),
	}
}

// proxyBench starts an LNS on what a LAC negotiated.
func proxyBench(t *testing.T, change func(*Config, *Proxy)) *bench {
	t.Helper()
	cfg := &Config{Name: "lns", Compress: true, Authenticate: []Method{MethodMSCHAPv2, MethodCHAP, MethodPAP}, IPv4: true}
	p := proxyOf(t)
	if change != nil {
		change(cfg, p)
	}
	b := newBench(t, cfg, Grant{Local: lnsAddr, Peer: clientAddr})
	b.step(Start{Proxy: p})
	return b
}

// RFC 2661 section 4.4.5: "allowing PPP to continue without renegotiation of
// LCP". The peer gets its answer under the LAC's Identifier.
func TestProxyTakenOver(t *testing.T) {
	b := proxyBench(t, nil)
	b.want("LinkUp {PeerMRU:1492 LocalMRU:1492 PeerACCM:4294967295 LocalACCM:4294967295 PeerPFC:false PeerACFC:false Proxied:true}",
		"Authenticate 2 name=bob@example.net proxied=true")
	b.step(Authenticated{Number: 7, Verdict: Verdict{Accept: true}}) // nobody asked
	b.want()
	b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true, Message: "in"}})
	b.want(chapHead+"03 33 0006 696e", ipcpHead+"01 01 000a 0306 0a000001")
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	b.recv(ipcpHead + "01 01 000a 0306 0a000002")
	b.want(ipcpHead+"02 01 000a 0306 0a000002",
		"NetworkUp IPv4 10.0.0.1-10.0.0.2 dns=[invalid IP invalid IP] wins=[invalid IP invalid IP] 0-0 user=bob@example.net")
	// The LAC's Magic-Number is ours.
	b.recv(lcpHead + "09 55 0008 11223344")
	b.want(lcpHead + "0a 55 0008 a1a2a3a4")
	// It did not hear that it is in: RFC 1994 section 4.1, "any Response packets
	// received having the current Challenge Identifier MUST return the same reply
	// Code previously returned".
	const again = "10 00112233445566778899aabbccddeeff 626f62406578616d706c652e6e6574"
	for range 3 {
		b.recv(chapHead + "02 33 0024 " + again)
		b.want(chapHead + "03 33 0004")
	}
	// Or it answered another challenge of the LAC's than the last that we know of.
	b.recv(chapHead + "02 34 0024 " + again)
	b.want(chapHead + "01 34 0018 10 0102030405060708090a0b0c0d0e0f10 6c6e73")
	b.recv(chapHead + "02 34 0024 " + again)
	b.want("Authenticate 2 name=bob@example.net proxied=false")
	b.step(Authenticated{Number: 2, Verdict: Verdict{Accept: true}})
	b.want(chapHead + "03 34 0004")
	b.recv(chapHead + "02 35 0024 " + again)
	b.want()
	// The peer negotiates anew: so do we, and it has to show who it is, to us.
	b.recv(lcpHead + "01 21 000a 0506 11223344")
	b.want("NetworkDown IPv4",
		lcpHead+"01 01 0019 0206 00000000 0305 c22381 0506 11121314 0702 0802", lcpHead+"02 21 000a 0506 11223344")
	b.recv(lcpHead + "02 01 0019 0206 00000000 0305 c22381 0506 11121314 0702 0802")
	b.want("LinkUp {PeerMRU:1500 LocalMRU:1500 PeerACCM:4294967295 LocalACCM:0 PeerPFC:false PeerACFC:false Proxied:false}",
		chapHead+"01 16 0018 10 161718191a1b1c1d1e1f202122232425 6c6e73")
}

// PAP's answer goes under the Identifier of the peer's request too; a peer that
// did not get it gets it again. RFC 1334 section 2.2.1: "the authenticator MUST
// allow repeated Authenticate-Request packets after completing the Authentication
// phase."
func TestProxyPAP(t *testing.T) {
	b := proxyBench(t, func(_ *Config, p *Proxy) {
		p.LastSent = octetsOf(t, "0304 c023 0506 a1a2a3a4")
		p.Method, p.Challenge, p.Response = MethodPAP, nil, []byte("word")
	})
	b.want("LinkUp", "Authenticate 1 name=bob@example.net proxied=true")
	b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true}})
	b.want(papHead+"02 33 0005 00", ipcpHead+"01 01 000a 0306 0a000001")
	b.recv(papHead + "01 34 0019 0f 626f62406578616d706c652e6e6574 04 776f7264")
	b.want(papHead + "02 34 0005 00")
	b.wantPhase(PhaseNetwork)
}

// Refused or incomplete, the peer has to show us; by the method of the LAC, to
// which it agreed.
func TestProxyNotBelieved(t *testing.T) {
	b := proxyBench(t, nil)
	b.acts = nil
	b.step(Authenticated{Number: 1, Verdict: Verdict{Message: "no"}})
	b.want(chapHead + "01 02 0018 10 02030405060708090a0b0c0d0e0f1011 6c6e73")
	b.wantPhase(PhaseAuthenticate)

	for name, change := range map[string]func(*Proxy){
		"no authentication": func(p *Proxy) { p.Method = 0 },
		"no name":           func(p *Proxy) { p.Name = "" },
		"no challenge":      func(p *Proxy) { p.Challenge = nil },
		"no response":       func(p *Proxy) { p.Response = nil },
		"another method":    func(p *Proxy) { p.Method = MethodPAP },
	} {
		b = proxyBench(t, func(_ *Config, p *Proxy) { change(p) })
		if len(b.acts) != 2 || show(b.acts[1])[:10] != "ff03c22301" {
			t.Errorf("%s: %v", name, b.acts)
		}
	}
	// The decision never comes.
	b = proxyBench(t, nil)
	b.wantFinished(authTimeout+6*time.Second, CauseAuthTimeout)
}

// What does not satisfy our own policy is negotiated by us, from the begin.
func TestProxyRenegotiated(t *testing.T) {
	for name, change := range map[string]func(*Config, *Proxy){
		"policy":                    func(c *Config, _ *Proxy) { c.Proxy = ProxyRenegotiate },
		"nothing sent":              func(_ *Config, p *Proxy) { p.LastSent = nil },
		"nothing received":          func(_ *Config, p *Proxy) { p.LastReceived = nil },
		"no authentication":         func(_ *Config, p *Proxy) { p.LastSent = octetsOf(t, "0506 a1a2a3a4") },
		"a method that is not ours": func(c *Config, _ *Proxy) { c.Authenticate = []Method{MethodPAP} },
		"nobody need authenticate":  func(c *Config, _ *Proxy) { c.Authenticate = nil },
		"MS-CHAP":                   func(_ *Config, p *Proxy) { p.LastSent = octetsOf(t, "0305 c22380") },
		"MRU too large":             func(_ *Config, p *Proxy) { p.LastSent = octetsOf(t, "0104 2000 0305 c22305") },
		"MRU too small":             func(_ *Config, p *Proxy) { p.LastReceived = octetsOf(t, "0104 0001") },
		"multilink sent":            func(_ *Config, p *Proxy) { p.LastSent = octetsOf(t, "0305 c22305 1104 05dc") },
		"multilink received":        func(_ *Config, p *Proxy) { p.LastReceived = octetsOf(t, "1104 05dc") },
		"peer demands":              func(_ *Config, p *Proxy) { p.LastReceived = octetsOf(t, "0304 c023") },
		"cut sent":                  func(_ *Config, p *Proxy) { p.LastSent = octetsOf(t, "0305 c223") },
		"cut received":              func(_ *Config, p *Proxy) { p.LastReceived = octetsOf(t, "05") },
		"looped":                    func(_ *Config, p *Proxy) { p.LastReceived = octetsOf(t, "0506 a1a2a3a4") },
	} {
		b := proxyBench(t, change)
		if len(b.acts) != 1 || show(b.acts[0])[:10] != "ff03c02101" || b.e.Phase() != PhaseEstablish {
			t.Errorf("%s: phase %v, %v", name, b.e.Phase(), b.acts)
		}
		if b.e.lcp.theirs != lcpDefaults || b.e.loops != 0 {
			t.Errorf("%s: %+v stays of it", name, b.e.lcp.theirs)
		}
	}
}

// After the LAC's authentication ours asks again, when Rechallenge says so; a
// peer that is another then is not kept.
func TestProxyRechallenge(t *testing.T) {
	for _, name := range []string{"bob@example.net", "eve@example.net"} {
		b := proxyBench(t, func(c *Config, _ *Proxy) { c.Rechallenge = time.Hour })
		b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true}})
		b.recv(ipcpHead + "02 01 000a 0306 0a000001")
		b.recv(ipcpHead + "01 01 000a 0306 0a000002")
		b.acts = nil
		b.wait(time.Hour - 1)
		b.want()
		b.wait(1)
		b.want(chapHead + "01 34 0018 10 0102030405060708090a0b0c0d0e0f10 6c6e73")
		b.step(Receive{Frame: packetFrame(ProtocolCHAP, chapResponse, 0x34, append(append([]byte{16}, make([]byte, 16)...), name...))})
		b.want("Authenticate 2 name=" + name)
		b.step(Authenticated{Number: 2, Verdict: Verdict{Accept: true}})
		if name[0] == 'b' {
			b.want(chapHead + "03 34 0004")
			b.wantPhase(PhaseNetwork)
		} else {
			b.wantFinished(6*time.Second, CauseAuthFailed)
		}
	}
}
