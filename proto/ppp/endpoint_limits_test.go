package ppp

import (
	"errors"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// An Echo-Request is answered with our Magic-Number, a flood of them ten times a
// second, and not before LCP is open.
func TestEchoRequest(t *testing.T) {
	b := upBench(t, nil)
	b.recv(lcpHead + "09 55 000c aabbccdd 70696e67")
	b.want(lcpHead + "0a 55 000c 01020304 70696e67")
	b.wait(time.Second)
	for range 1000 {
		b.recv(lcpHead + "09 56 0008 aabbccdd")
	}
	if n := len(b.acts); n != echoRate {
		t.Errorf("%d of a flood were answered, want %d", n, echoRate)
	}
	b.acts = nil
	b.wait(time.Second)
	b.recv(lcpHead + "09 57 0008 aabbccdd")
	b.want(lcpHead + "0a 57 0008 01020304")
	c := b.e.Counters()
	if c.EchoesAnswered != 12 || c.EchoesSuppressed != 990 {
		t.Errorf("counters %+v", c)
	}
	b.recv(lcpHead + "09 58 0007 aabbcc")
	b.recv(lcpHead + "0b 59 0008 aabbccdd") // Discard-Request
	b.want()

	b = lnsBench(t, nil)
	b.acts = nil
	b.recv(lcpHead + "09 55 0008 aabbccdd")
	b.want()
}

// "truncated to comply with the peer's established MRU", which Length may not
// exceed.
func TestRepliesFitMRU(t *testing.T) {
	b := plainBench(t, nil)
	b.recv(lcpHead + "01 08 0008 0104 0080")
	b.recv(lcpHead + "02 02 0014 0206 00000000 0506 05060708 0702 0802")
	b.acts = nil
	long := make([]byte, 1000)
	b.step(Receive{Frame: packetFrame(ProtocolLCP, EchoRequest, 1, long)})
	b.step(Receive{Frame: packetFrame(ProtocolLCP, 99, 1, long)})
	b.step(Receive{Frame: packetFrame(ProtocolCCP, ConfigureRequest, 1, long)})
	if len(b.acts) != 3 {
		t.Fatalf("%d replies", len(b.acts))
	}
	for i, a := range b.acts {
		p, info, err := Split(a.(Send).Frame)
		if err != nil || p != ProtocolLCP || len(info) != minMRU {
			t.Errorf("reply %d: %v, %d octets, %v", i, p, len(info), err)
		}
		if _, err := ParsePacket(info); err != nil {
			t.Error(err)
		}
	}
}

// Echo-Requests go out every EchoInterval; an answer keeps the link, and
// EchoFailures without any end it.
func TestEchoKeepalive(t *testing.T) {
	b := upBench(t, func(c *Config) { c.EchoInterval, c.EchoFailures = 10*time.Second, 3 })
	b.wait(10*time.Second - 1)
	b.want()
	b.wait(1)
	b.want(lcpHead + "09 01 0008 01020304")
	b.wait(20 * time.Second)
	b.want(lcpHead+"09 02 0008 01020304", lcpHead+"09 03 0008 01020304")
	b.recv(lcpHead + "0a 01 0008 aabbccdd") // any answer
	b.wait(30 * time.Second)
	b.acts = nil
	b.wait(10*time.Second - 1)
	b.want()
	b.wait(1)
	b.want("NetworkDown IPv4", lcpHead+"05 02 0026 "+hexOf(CauseEchoTimeout.String()))
	b.wantFinished(6*time.Second, CauseEchoTimeout)

	// A peer that does not know Echo-Requests is not asked any more.
	b = upBench(t, func(c *Config) { c.EchoInterval, c.EchoFailures = 10*time.Second, 3 })
	b.wait(10 * time.Second)
	b.recv(lcpHead + "07 09 000c 09 01 0008 01020304")
	b.acts = nil
	b.wait(time.Hour)
	b.want()

	// Our own come back: the line is looped.
	b = upBench(t, func(c *Config) { c.EchoInterval, c.EchoFailures = 10*time.Second, 100 })
	for range maxLoops {
		b.wait(10 * time.Second)
		for _, a := range b.acts {
			if s, ok := a.(Send); ok {
				b.acts = nil
				b.step(Receive(s))
			}
		}
	}
	b.wantFinished(6*time.Second, CauseLoop)
}

// RFC 1661 section 5.7: an unknown protocol is reported back, ten times a second;
// "Protocol-Reject packets can only be sent in the LCP Opened state", and before
// the network phase all but LCP and authentication is discarded.
func TestUnknownProtocol(t *testing.T) {
	b := lnsBench(t, nil)
	b.acts = nil
	const ccp = "ff03 80fd 01 01 000f 1a04 7800 1804 7800 1503 2f" // pppd's CCP: Deflate, BSD-Compress
	b.recv(ccp)
	b.want()
	b = upBench(t, nil)
	b.recv(ccp)
	b.want(lcpHead + "08 01 0015 80fd 01 01 000f 1a04 7800 1804 7800 1503 2f")
	b.recv("80fd 05 02 0004") // Address and Control compressed
	b.want(lcpHead + "08 02 000a 80fd 05 02 0004")
	b.recv("57 60000000") // IPv6 is not configured; Protocol compressed
	b.want(lcpHead + "08 03 000a 0057 60000000")
	b.recv("21 45000000")
	b.want()
	b.recv("ff03 8020 01") // no protocol can have an even number
	b.want(lcpHead + "08 04 0007 8020 01")
	for range 100 {
		b.recv(ccp)
	}
	c := b.e.Counters()
	if len(b.acts) != 6 || c.ProtocolRejectsOut != rejectRate || c.RejectsSuppressed != 94 || c.NetworkFrames != 2 {
		t.Errorf("%d actions, counters %+v", len(b.acts), c)
	}
}

// RFC 1661 section 5.6: an unknown code, of LCP and of an NCP.
func TestUnknownCode(t *testing.T) {
	b := upBench(t, nil)
	b.recv(lcpHead + "63 07 0006 abcd 000000")
	b.want(lcpHead + "07 01 000d 63 07 0006 abcd 000000")
	b.recv(ipcpHead + "08 07 0006 abcd")
	b.want(ipcpHead + "07 02 000a 08 07 0006 abcd")
	b.recv(lcpHead + "0d 07 000c aabbccdd 00000e10") // Time-Remaining
	b.recv(lcpHead + "0c 07 000d aabbccdd 4d5352 0d ff")
	b.want()
	if got := b.e.Identification(); got != "MSR.." {
		t.Errorf("identification %q", got)
	}
}

// RXJ-: "This event communicates an unrecoverable error that terminates the
// connection." RXJ+ does nothing.
func TestCodeReject(t *testing.T) {
	b := upBench(t, nil)
	b.recv(lcpHead + "07 01 0008 0c 01 0004")
	b.recv(lcpHead + "07 01 0006 01 01") // what was rejected is cut off
	b.want()
	b.recv(lcpHead + "07 01 0008 01 01 0004")
	b.want("NetworkDown IPv4", lcpHead+"05 02 0029 "+hexOf("peer rejects Configure-Request of LCP"))
}

// As above, to the end.
func TestFatalRejects(t *testing.T) {
	for _, frame := range []string{
		lcpHead + "07 01 0008 01 01 0004",
		lcpHead + "08 01 000a c021 01 01 0004",
	} {
		b := upBench(t, nil)
		b.recv(frame)
		b.wantFinished(6*time.Second, CauseLCPFailed)
	}
	b := lnsBench(t, nil)
	b.recv(lcpHead + "07 01 0008 01 01 0004")
	b.wantFinished(0, CauseLCPFailed)
	b = lnsBench(t, nil)
	b.recv(lcpHead + "08 01 000a c021 01 01 0004") // not Opened: discarded
	b.wantPhase(PhaseEstablish)

	// The protocol of the authentication that was agreed on.
	b = lnsBench(t, nil)
	b.recv(lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 03 0004")
	b.recv(lcpHead + "08 01 000a c223 01 01 0004")
	b.wantFinished(6*time.Second, CauseAuthRefused)
}

// The times of a verdict end the link; traffic puts off the idle timeout.
func TestSessionAndIdleTimeout(t *testing.T) {
	b := lnsBench(t, func(c *Config) { c.Authenticate = []Method{MethodPAP} })
	b.recv(lcpHead + "02 01 001c 0104 0578 0206 00000000 0304 c023 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 03 0004")
	b.recv(papHead + "01 44 000c 03 666f6f 03 626172")
	b.step(Authenticated{Number: 1, Verdict: Verdict{Accept: true, User: "bar", Grant: Grant{
		Peer: dnsAddr, SessionTimeout: time.Hour, IdleTimeout: 10 * time.Minute}}})
	b.recv(ipcpHead + "02 01 000a 0306 0a000001")
	b.wait(2 * time.Second)
	b.acts = nil
	b.recv(ipcpHead + "01 01 000a 0306 0a000035")
	b.want(ipcpHead+"02 01 000a 0306 0a000035", "NetworkUp IPv4 10.0.0.1-10.0.0.53 dns=[invalid IP invalid IP] wins=[invalid IP invalid IP] 0-0 user=bar")
	up := b.now
	b.wait(9 * time.Minute)
	if !b.e.WantsTraffic() {
		t.Error("an idle timeout, and nobody is asked about traffic")
	}
	b.e.Traffic(b.now)
	b.wait(10*time.Minute - 1)
	b.want()
	if at := b.e.Deadline(); !at.Equal(up.Add(19 * time.Minute)) {
		t.Errorf("idle at %v, want 19 min after it was up", at.Sub(up))
	}
	b.e.Traffic(b.now)
	for b.now.Before(up.Add(time.Hour - time.Second)) {
		b.wait(time.Second)
		b.e.Traffic(b.now)
	}
	b.wantPhase(PhaseNetwork)
	b.wantFinished(10*time.Second, CauseSessionTimeout)

	b = upBench(t, nil)
	b.e.granted.idle = time.Minute
	b.wantFinished(time.Minute+6*time.Second, CauseIdleTimeout)
	if d := b.now.Sub(linkStart); d != time.Minute+6*time.Second {
		t.Errorf("ended after %v", d)
	}
}

// A link that does not come up ends: in time, and in frames.
func TestSetupLimits(t *testing.T) {
	// The peer asks again and again for what it does not get.
	b := lnsBench(t, nil)
	for i := 0; b.e.Phase() == PhaseEstablish; i++ {
		if i > maxSetupParts {
			t.Fatal("it still negotiates")
		}
		b.recv(lcpHead + "01 08 0006 0d02")
	}
	b.wantFinished(6*time.Second, CauseLCPFailed)

	// The same, slowly, and with Naks so that we never run out of requests.
	b = lnsBench(t, func(c *Config) { c.MaxConfigure = 100 })
	for b.e.Phase() == PhaseEstablish && b.now.Sub(linkStart) < time.Hour {
		b.recv(lcpHead + "01 08 0006 0d02")
		b.step(Receive{Frame: packetFrame(ProtocolLCP, ConfigureNak, b.e.lcp.id, nil)})
		b.wait(time.Second)
	}
	if d := b.now.Sub(linkStart); d != setupTimeout {
		t.Errorf("given up after %v", d)
	}
	b.wantFinished(6*time.Second, CauseLCPFailed)

	// An open link that negotiates IPCP without end.
	b = upBench(t, nil)
	for i := 0; b.e.Phase() == PhaseNetwork; i++ {
		if i > maxSetupParts {
			t.Fatal("it still negotiates")
		}
		b.recv(ipcpHead + "01 01 000a 0306 0a000002")
	}
	b.wantFinished(6*time.Second, CauseNoNetwork)

	// One that does so now and then lives.
	b = upBench(t, nil)
	for range 1000 {
		b.recv(ipcpHead + "01 01 000a 0306 0a000002")
		b.step(Receive{Frame: packetFrame(ProtocolIPCP, ConfigureAck, b.e.ipcp.id, b.e.ipcp.request(b.e, nil))})
		if !b.e.Up(IPv4) {
			t.Fatal("IPv4 is not up")
		}
		b.wait(30 * time.Second)
	}

	// A peer that does not show who it is.
	b = lnsBench(t, nil)
	b.recv(lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802")
	b.recv(lcpHead + "01 03 0004")
	b.wait(authTimeout)
	b.wantPhase(PhaseTerminate)
	b.wantFinished(6*time.Second, CauseAuthTimeout)
}

// While LCP negotiates, a peer that sent a Terminate-Request may go on; if it
// does not, the link ends with the next timeout.
func TestTerminateWhileNegotiating(t *testing.T) {
	b := lnsBench(t, nil)
	b.acts = nil
	b.recv(lcpHead + "05 01 0004")
	b.want(lcpHead + "06 01 0004")
	b.wantFinished(3*time.Second, CausePeerTerminated)

	b = lnsBench(t, nil)
	b.recv(lcpHead + "05 01 0004")
	b.recv(lcpHead + "01 01 0004")
	b.acts = nil
	b.wait(3 * time.Second)
	b.want(lcpHead + "01 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 01020304 0702 0802")
}

// failing is a source of octets that has had enough after n of them.
type failing struct{ n int }

func (f *failing) Read(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, errors.New("no more")
	}
	return len(b), nil
}

// Without random numbers nothing is sent that should have had one in it.
func TestNoRandom(t *testing.T) {
	b := newBench(t, &Config{Rand: &failing{}}, Grant{})
	b.step(Start{})
	b.want("Finished 2: the source of random numbers failed")

	b = lnsBench(t, func(c *Config) { c.Rand = &failing{4} })
	b.acts = nil
	b.recv(lcpHead + "02 01 001d 0104 0578 0206 00000000 0305 c223 05 0506 00000001 0702 0802")
	b.recv(lcpHead + "01 03 0004")
	if n := len(b.acts); show(b.acts[n-1]) != "Finished 2: the source of random numbers failed" {
		t.Error(show(b.acts[n-1]))
	}
	for _, a := range b.acts {
		if s, ok := a.(Send); ok {
			t.Errorf("sent %x", s.Frame)
		}
	}
}

// An endpoint whose networks are up takes less than 1,000 octets in all.
func TestEndpointMemory(t *testing.T) {
	const n = 10_000
	cfg := &Config{Name: "lns", Authenticate: []Method{MethodCHAP}, IPv4: true, IPv6: true,
		EchoInterval: time.Minute, Rand: &counting{}}
	live := make([]*Endpoint, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range live {
		e := New(cfg, Grant{Local: lnsAddr, Peer: clientAddr})
		feed := func(p Protocol, c Code, id uint8, data []byte) {
			e.Step(linkStart, Receive{Frame: packetFrame(p, c, id, data)})
		}
		e.Step(linkStart, Start{})
		feed(ProtocolLCP, ConfigureAck, 1, e.lcp.request(e, nil))
		feed(ProtocolLCP, ConfigureRequest, 1, nil)
		feed(ProtocolCHAP, chapResponse, e.auth.id, append(append([]byte{16}, make([]byte, 16)...), "somebody@example.net"...))
		e.Step(linkStart, Authenticated{Number: e.number, Verdict: Verdict{Accept: true, Message: "Welcome"}})
		feed(ProtocolIPCP, ConfigureAck, 1, e.ipcp.request(e, nil))
		feed(ProtocolIPCP, ConfigureRequest, 1, []byte{3, 6, 10, 0, 0, 2})
		feed(ProtocolIPv6CP, ConfigureAck, 1, e.ipv6cp.request(e, nil))
		feed(ProtocolIPv6CP, ConfigureRequest, 1, []byte{1, 10, 9, 9, 9, 9, 9, 9, 9, 9})
		if !e.Up(IPv4) || !e.Up(IPv6) {
			t.Fatalf("the networks of endpoint %d are not up: %v, %v, %v", i, e.phase, e.ipcp.state, e.ipv6cp.state)
		}
		live[i] = e
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("an Endpoint: %d octets itself, %d on the heap in all", unsafe.Sizeof(Endpoint{}), each)
	if each >= 1000 {
		t.Errorf("%d octets for an endpoint, want less than 1,000", each)
	}
	runtime.KeepAlive(live)
}
