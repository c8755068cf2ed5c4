package ppp

import (
	"testing"
	"time"
)

const (
	lcpHead    = "ff03 c021 "
	ipcpHead   = "ff03 8021 "
	ipv6cpHead = "ff03 8057 "
	papHead    = "ff03 c023 "
	chapHead   = "ff03 c223 "
)

// lnsBench is an LNS that asks for CHAP, with its Configure-Request sent. Its
// Magic-Number is 01020304.
func lnsBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	cfg := &Config{Name: "lns", MRU: 1400, Compress: true, Authenticate: []Method{MethodCHAP}, IPv4: true}
	if change != nil {
		change(cfg)
	}
	b := newBench(t, cfg, Grant{Local: lnsAddr, Peer: clientAddr})
	b.step(Start{})
	return b
}

// plainBench is an LNS with LCP open and no authentication, and IPCP's first
// Configure-Request sent.
func plainBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := lnsBench(t, func(c *Config) {
		c.Authenticate = nil
		c.MRU = 0
		if change != nil {
			change(c)
		}
	})
	b.want(lcpHead + "01 01 0014 0206 00000000 0506 01020304 0702 0802")
	b.recv(lcpHead + "02 01 0014 0206 00000000 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 07 000a 0506 aabbccdd")
	return b
}

// upBench is plainBench with IPv4 up.
func upBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := plainBench(t, change)
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	b.recv(ipcpHead + "01 01 000a 0306 0a000002")
	if !b.e.Up(IPv4) {
		t.Fatal("IPv4 is not up")
	}
	b.acts = nil
	return b
}

// A peer whose packets are those of a Livingston PortMaster (its debug trace of
// LCP and IPCP, with VJ compression asked for) comes in by CHAP.
func TestPortMaster(t *testing.T) {
	b := lnsBench(t, nil)
	b.wantPhase(PhaseEstablish)
	b.want(lcpHead + "01 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 03 00 14 02 06 00 00 00 00 05 06 2b 3a eb 57 07 02 08 02")
	b.want(lcpHead + "02 03 00 14 02 06 00 00 00 00 05 06 2b 3a eb 57 07 02 08 02")
	b.recv(lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802")
	b.wantPhase(PhaseAuthenticate)
	b.want("LinkUp {PeerMRU:1400 LocalMRU:1400 PeerACCM:0 LocalACCM:0 PeerPFC:true PeerACFC:true Proxied:false}",
		chapHead+"01 06 0018 10 060708090a0b0c0d0e0f101112131415 6c6e73")
	// "Any non-LCP packets received during this phase MUST be silently discarded."
	b.recv(ipcpHead + "01 01 00 10 02 06 00 2d 0f 00 03 06 c0 a8 0a 20")
	b.want()
	b.recv(chapHead + "02 06 0019 10 00112233445566778899aabbccddeeff 75736572")
	b.want("Authenticate 2 name=user proxied=false")
	b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true, Message: "hi"}})
	b.want(chapHead+"03 06 0006 6869", ipcpHead+"01 01 000a 0306 0a000001")
	b.wantPhase(PhaseNetwork)
	b.recv(ipcpHead + "01 01 00 10 02 06 00 2d 0f 00 03 06 c0 a8 0a 20")
	b.want(ipcpHead + "04 01 000a 0206 002d0f00")
	b.recv(ipcpHead + "01 02 000a 0306 c0a80a20")
	b.want(ipcpHead + "03 02 000a 0306 0a000002")
	b.recv(ipcpHead + "01 03 000a 0306 0a000002")
	b.want(ipcpHead + "02 03 000a 0306 0a000002")
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	b.want("NetworkUp IPv4 10.0.0.1-10.0.0.2 dns=[invalid IP invalid IP] wins=[invalid IP invalid IP] 0-0 user=user")
	if !b.e.Deadline().IsZero() {
		t.Errorf("an idle link without echoes wants a Tick at %v", b.e.Deadline())
	}
	b.recv(lcpHead + "05 09 0008 62796521")
	b.want("NetworkDown IPv4", lcpHead+"06 09 0004")
	b.wantPhase(PhaseTerminate)
	b.wait(3*time.Second - 1)
	b.want()
	f := b.wantFinished(1, CausePeerTerminated)
	if f.Text != `peer terminated the link: it said "bye!"` {
		t.Errorf("text %q", f.Text)
	}
}

// An HP router's LCP options (its debug output: MRU, PAP, Magic-Number, MRRU,
// Endpoint-Discriminator): multilink is rejected, in the order it came.
func TestRejectsMultilink(t *testing.T) {
	b := lnsBench(t, func(c *Config) { c.Answer, c.Secrets = []Method{MethodPAP}, testSecrets{"u", "p"} })
	b.acts = nil
	b.recv(lcpHead + "01 2a 001f 0104 05dc 0304 c023 0506 31180c00 1104 05dc 1309 01 fa4d432c8451")
	b.want(lcpHead + "04 2a 0011 1104 05dc 1309 01 fa4d432c8451")
	b.recv(lcpHead + "01 2b 0012 0104 05dc 0304 c023 0506 31180c00")
	b.want(lcpHead + "02 2b 0012 0104 05dc 0304 c023 0506 31180c00")
}

// A modem's request for CHAP (a Quectel EC20's first packet) gets what we do,
// or that we do none.
func TestPeerDemandsAuthentication(t *testing.T) {
	const request = lcpHead + "01 00 0019 0206 00000000 0305 c22305 0506 a01b7cc7 0702 0802"
	b := lnsBench(t, nil)
	b.acts = nil
	b.recv(request)
	b.want(lcpHead + "04 00 0009 0305 c22305")
	b.recv(lcpHead + "05 01 0004") // it insists
	b.want(lcpHead + "06 01 0004")
	b.wantFinished(3*time.Second, CauseOurAuthRefused)

	b = lnsBench(t, func(c *Config) { c.Answer, c.Secrets = []Method{MethodMSCHAPv2, MethodPAP}, testSecrets{} })
	b.acts = nil
	b.recv(request)
	b.want(lcpHead + "03 00 0009 0305 c22381")
	b.recv(request) // it does not do MS-CHAPv2
	b.want(lcpHead + "03 00 0008 0304 c023")
	for range 3 {
		b.recv(request)
	}
	b.acts = nil
	// Max-Failure: "converted to Configure-Reject packets".
	b.recv(request)
	b.want(lcpHead + "04 00 0009 0305 c22305")
}

// RFC 1661 section 4.6: "it SHOULD default to three (3) seconds", ten times.
func TestConfigureRetransmission(t *testing.T) {
	b := lnsBench(t, nil)
	const request = lcpHead + "01 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802"
	b.want(request)
	for range 9 {
		b.wait(3*time.Second - 1)
		b.want()
		b.wait(1)
		b.want(request)
	}
	b.wait(3 * time.Second)
	b.want("Finished 4: LCP came to no agreement: no answer to 10 Configure-Requests")
	if d := b.now.Sub(linkStart); d != 30*time.Second {
		t.Errorf("gave up after %v", d)
	}
}

// Terminate-Requests: "SHOULD default to two (2) transmissions."
func TestClose(t *testing.T) {
	b := upBench(t, nil)
	b.step(Close{Cause: CauseAdministrative})
	request := lcpHead + "05 02 001f 636c6f736564206279207468652061646d696e6973747261746f72"
	b.want("NetworkDown IPv4", request)
	b.step(Close{Cause: CauseIdleTimeout}) // the first counts
	b.want()
	b.wait(3 * time.Second)
	b.want(request)
	b.recv(lcpHead + "01 09 0004") // nothing is negotiated any more
	b.want()
	b.wait(3*time.Second - 1)
	b.want()
	b.wait(1)
	b.want("Finished 2: closed by the administrator")

	b = upBench(t, nil)
	b.step(Close{Cause: CauseSessionTimeout})
	b.acts = nil
	b.recv(lcpHead + "06 02 0004")
	b.want("Finished 14: session timeout")

	b = upBench(t, nil)
	b.step(Close{Cause: CauseLowerLayer})
	b.want("NetworkDown IPv4", "Finished 3: line is down")
	b.step(Close{Cause: CauseLowerLayer})
	b.want()

	b = newBench(t, &Config{}, Grant{})
	b.step(Close{Cause: CauseAdministrative})
	b.want("Finished 2:")

	b = lnsBench(t, nil) // while LCP negotiates
	b.acts = nil
	b.step(Close{Cause: CauseAdministrative})
	b.want(request)
	b.wantFinished(6*time.Second, CauseAdministrative)
}

// A Configure-Request while Opened: "The implementation MUST be prepared to
// immediately renegotiate the Configuration Options."
func TestRenegotiation(t *testing.T) {
	b := upBench(t, nil)
	b.recv(lcpHead + "01 08 000a 0506 aabbccde")
	b.want("NetworkDown IPv4", lcpHead+"01 02 0014 0206 00000000 0506 05060708 0702 0802",
		lcpHead+"02 08 000a 0506 aabbccde")
	b.wantPhase(PhaseEstablish)
	if b.e.Up(IPv4) || b.e.Counters().Renegotiations != 1 || b.e.Link() != (Link{}) {
		t.Error("the link is up while LCP negotiates")
	}
	b.recv(lcpHead + "02 02 0014 0206 00000000 0506 05060708 0702 0802")
	b.want("LinkUp", ipcpHead+"01 02 000a 0306 0a000001")
	b.recv(ipcpHead + "02 02 000a 0306 0a000001")
	b.recv(ipcpHead + "01 02 000a 0306 0a000002")
	b.want(ipcpHead+"02 02 000a 0306 0a000002", "NetworkUp IPv4")
}

// A reply that the network doubled, or that is not to our last request, or that
// does not fit it, changes nothing.
func TestInvalidReplies(t *testing.T) {
	b := upBench(t, nil)
	for _, frame := range []string{
		lcpHead + "02 01 0014 0206 00000000 0506 01020304 0702 0802", // again
		lcpHead + "03 01 000a 0506 01020304",
		lcpHead + "04 01 0006 0702",
		ipcpHead + "02 01 000a 0306 0a000001",
	} {
		b.recv(frame)
		b.want()
	}
	if n := b.e.Counters().Discarded; n != 4 {
		t.Errorf("%d discarded, want 4", n)
	}
	b = lnsBench(t, nil)
	b.acts = nil
	for _, frame := range []string{
		lcpHead + "02 02 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802", // Identifier
		lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020305 0702 0802", // a value
		lcpHead + "02 01 0018 0104 0578 0206 00000000 0506 01020304 0702 0802",              // an option less
		lcpHead + "04 01 0008 0304 c023",                                                    // was not asked for
		lcpHead + "04 01 0008 0802 0702",                                                    // not in our order
	} {
		b.recv(frame)
		b.want()
		if b.e.lcp.state != stateReqSent {
			t.Fatalf("%s: state %v", frame, b.e.lcp.state)
		}
	}
}

// The peer names another method of ours in its Configure-Nak; rejects all; or
// refuses to be asked.
func TestMethodNegotiation(t *testing.T) {
	three := func(c *Config) { c.Authenticate = []Method{MethodEAP, MethodMSCHAPv2, MethodPAP} }
	b := lnsBench(t, three)
	b.want(lcpHead + "01 01 001c 0104 0578 0206 00000000 0304 c227 0506 01020304 0702 0802")
	b.recv(lcpHead + "03 01 0008 0304 c023")
	b.want(lcpHead + "01 02 001c 0104 0578 0206 00000000 0304 c023 0506 01020304 0702 0802")
	b.recv(lcpHead + "03 02 0009 0305 c22305") // CHAP is not ours: the next in order
	b.want(lcpHead + "01 03 001d 0104 0578 0206 00000000 0305 c22381 0506 01020304 0702 0802")
	b.recv(lcpHead + "03 03 0008 0304 c227") // it was refused before
	b.want(lcpHead + "05 04 0044 " + hexOf("the peer does none of the authentication protocols that we ask f"))
	b.wantFinished(6*time.Second, CauseAuthRefused)

	b = lnsBench(t, three)
	b.acts = nil
	b.recv(lcpHead + "04 01 0008 0304 c227")
	b.wantFinished(6*time.Second, CauseAuthRefused)
}

// RFC 1661 section 6.4: our own Configure-Request comes back, and so on.
func TestLoop(t *testing.T) {
	b := lnsBench(t, func(c *Config) { c.Authenticate = nil })
	for round := 0; b.e.Phase() != PhaseDead; round++ {
		if round > 200 {
			t.Fatal("it never ends")
		}
		acts := b.acts
		b.acts = nil
		for _, a := range acts {
			if s, ok := a.(Send); ok {
				b.step(Receive(s))
			}
		}
		if f, ok := b.finished(); ok && f.Cause != CauseLoop {
			t.Fatalf("finished with %v", f.Cause)
		}
	}
	if n := b.e.Counters().Loops; n != maxLoops {
		t.Errorf("%d loops, want %d", n, maxLoops)
	}
}

// "A Magic-Number of zero is illegal and MUST always be Nak'd"; and what else is
// Nak'd or rejected in LCP.
func TestLCPOptions(t *testing.T) {
	for _, row := range []struct{ name, request, reply string }{
		{"magic zero", "01 05 000a 0506 00000000", "03 05 000a 0506 05060708"},
		{"MRU too small", "01 05 0008 0104 007f", "03 05 0008 0104 05dc"},
		{"MRU small", "01 05 0008 0104 0080", "02 05 0008 0104 0080"},
		{"MRU large", "01 05 0008 0104 ffff", "02 05 0008 0104 ffff"},
		{"MRU length", "01 05 0007 0103 05", "03 05 0008 0104 05dc"},
		{"ACCM length", "01 05 0007 0203 05", "03 05 000a 0206 00000000"},
		{"PFC with value", "01 05 0007 0703 00", "04 05 0007 0703 00"},
		{"quality", "01 05 000c 0408 c025 00000064", "04 05 000c 0408 c025 00000064"},
		{"callback", "01 05 0007 0d03 06", "04 05 0007 0d03 06"},
		{"unknown before known", "01 05 000f ee02 0104 0001 ef05 010203", "04 05 000b ee02 ef05 010203"},
		{"nothing", "01 05 0004", "02 05 0004"},
		{"the same twice", "01 05 000c 0104 0001 0104 0002", "03 05 0008 0104 05dc"},
	} {
		b := lnsBench(t, nil)
		b.acts = nil
		b.recv(lcpHead + row.request)
		var got string
		if len(b.acts) == 1 {
			got = show(b.acts[0])
		}
		if want := "ff03c021" + packed(row.reply); got != want {
			t.Errorf("%s: %s, want %s", row.name, got, want)
		}
	}
	b := lnsBench(t, nil)
	b.acts = nil
	b.recv(lcpHead + "01 05 0008 0105 0001") // beyond the packet
	b.recv(lcpHead + "01 05 0005 01")
	b.want()
	if n := b.e.Counters().Malformed; n != 2 {
		t.Errorf("%d malformed, want 2", n)
	}
}

// A peer that rejects or Naks our options gets a request that minds it.
func TestLCPReplies(t *testing.T) {
	for _, row := range []struct{ name, reply, next string }{
		{"Nak MRU", "03 01 0008 0104 0514", "0104 0514 0206 00000000 0305 c22305 0506 01020304 0702 0802"},
		{"Nak MRU above ours", "03 01 0008 0104 2000", "0104 0578 0206 00000000 0305 c22305 0506 01020304 0702 0802"},
		{"Nak ACCM", "03 01 000a 0206 000a0000", "0104 0578 0206 000a0000 0305 c22305 0506 01020304 0702 0802"},
		{"Nak magic", "03 01 000a 0506 99999999", "0104 0578 0206 00000000 0305 c22305 0506 05060708 0702 0802"},
		{"Nak unasked", "03 01 0008 1104 05dc", "0104 0578 0206 00000000 0305 c22305 0506 01020304 0702 0802"},
		{"Reject MRU", "04 01 0008 0104 0578", "0206 00000000 0305 c22305 0506 01020304 0702 0802"},
		{"Reject much", "04 01 000e 0506 01020304 0702 0802", "0104 0578 0206 00000000 0305 c22305"},
	} {
		b := lnsBench(t, nil)
		b.acts = nil
		b.recv(lcpHead + row.reply)
		p := packed(row.next)
		want := "ff03c021" + packed("01 02 00") + hexOf(string([]byte{byte(4 + len(p)/2)})) + p
		if got := show(b.acts[0]); len(b.acts) != 1 || got != want {
			t.Errorf("%s: %s, want %s", row.name, got, want)
		}
	}
}
