package pseudowire

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/proto/ip"
	"adit/proto/l2tp"
)

func prefixesOf(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func ethernet(n string) Spec {
	return Spec{Kind: circuit.EthernetTAP, Type: l2tp.PseudowireEthernet, Interface: "pw%d", Addresses: prefixesOf("10.5.0."+n+"/24", "fd05::"+n+"/64")}
}

// ping waits until the address answers, and pings it then.
func (n *namespace) ping(t testing.TB, args ...string) {
	t.Helper()
	waitFor(t, "answer of "+args[len(args)-1], func() bool {
		_, err := n.try("ping", "-c1", "-W1", args[len(args)-1])
		return err == nil
	})
	n.run(t, "ping", append([]string{"-c3", "-i0.01", "-W2"}, args...)...)
}

// bulk sends octets over TCP from one namespace to the other and compares hashes.
func bulk(t testing.TB, from, to *namespace, address string, octets int64) {
	t.Helper()
	var l net.Listener
	var c net.Conn
	var err error
	to.do(func() { l, err = net.Listen("tcp", net.JoinHostPort(address, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sum := make(chan [sha256.Size]byte, 1)
	go func() {
		h := sha256.New()
		if s, err := l.Accept(); err == nil {
			_, _ = io.Copy(h, s)
			_ = s.Close()
		}
		sum <- [sha256.Size]byte(h.Sum(nil))
	}()
	from.do(func() { c, err = net.DialTimeout("tcp", l.Addr().String(), 10*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c, h), rand.NewChaCha8([32]byte{1}), octets); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case got := <-sum:
		if got != [sha256.Size]byte(h.Sum(nil)) {
			t.Error("the data differ")
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the transfer does not end")
	}
}

func TestEthernet(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	a, b := pair(t, x, y, ethernet("1"), ethernet("2"))
	if name := a.Info().Interface; name != "pw0" {
		t.Errorf("the interface is called %q", name)
	}
	octets := int64(16 << 20)
	if os.Getenv("ADIT_LAB") != "" {
		octets = 4 << 20 // the machine is emulated, and its own kernel runs this test too
	}
	for _, to := range []string{"10.5.0.2", "fd05::2"} {
		x.ns.ping(t, to)
		bulk(t, x.ns, y.ns, to, octets)
	}
	x.ns.ping(t, "-M", "do", "-s", "1472", "10.5.0.2")
	x.ns.ping(t, "-M", "do", "-s", "1452", "fd05::2")
	sa, sb := a.Stats(), b.Stats()
	if sa.FramesIn == 0 || sb.FramesIn < 2*uint64(octets)/1500 || sa.FramesOut < sb.FramesIn || sa.DropMalformed+sb.DropMalformed+sb.DropClosed+sb.DropVLAN != 0 {
		t.Errorf("%+v\n%+v", sa, sb)
	}
}

// RFC 4719 section 3.1: "The entire Ethernet frame, without the preamble or frame check
// sequence (FCS), is encapsulated in L2TPv3 and is sent as a single packet by the
// ingress LCCE." And section 2.1: an Ethernet VLAN is connected to another one.
func TestVLAN(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	sx, sy := ethernet("1"), ethernet("2")
	sx.Type, sx.VLAN, sy.Type, sy.VLAN = l2tp.PseudowireEthernetVLAN, 7, l2tp.PseudowireEthernetVLAN, 7
	a, b := pair(t, x, y, sx, sy)
	bad := make(chan []byte, 1)
	a.wire.watch(func(f []byte) {
		if len(f) < 18 || f[12] != 0x81 || f[13] != 0 || f[14] != 0 || f[15] != 7 {
			select {
			case bad <- f:
			default:
			}
		}
	})
	for _, to := range []string{"10.5.0.2", "fd05::2"} {
		x.ns.ping(t, to)
		bulk(t, x.ns, y.ns, to, 4<<20)
	}
	x.ns.ping(t, "-M", "do", "-s", "1472", "10.5.0.2")
	select {
	case f := <-bad:
		t.Errorf("a frame without the tag is on the wire: %x", f)
	default:
	}
	before := b.Stats()
	a.wire.watch(nil)
	a.wire.bring(frameOf("\x81\x00\x00\x08", "\x08\x06", strings.Repeat("x", 46)), frameOf("\x08\x06", strings.Repeat("x", 46)), frameOf("\x08"))
	after := b.Stats()
	if after.DropVLAN-before.DropVLAN != 2 || after.DropMalformed-before.DropMalformed != 1 {
		t.Errorf("%+v\n%+v", before, after)
	}
}

func TestIPTUN(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	sx, sy := ethernet("1"), ethernet("2")
	sx.Kind, sy.Kind, sx.Type, sy.Type, sx.MTU, sy.MTU = circuit.IPTUN, circuit.IPTUN, l2tp.PseudowireIP, l2tp.PseudowireIP, 1400, 1400
	a, b := pair(t, x, y, sx, sy)
	a.wire.watch(func(f []byte) {
		if len(f) > 1400 || f[0]>>4 != 4 && f[0]>>4 != 6 {
			t.Errorf("on the wire: %x", f)
		}
	})
	for _, to := range []string{"10.5.0.2", "fd05::2"} {
		x.ns.ping(t, to)
		bulk(t, x.ns, y.ns, to, 8<<20)
	}
	x.ns.ping(t, "-M", "do", "-s", "1372", "10.5.0.2")
	a.wire.bring(nil, []byte("E"), []byte("\x50"+strings.Repeat("x", 40)))
	if s := b.Stats(); s.DropMalformed != 3 || s.FramesIn < 2*(8<<20)/1400 {
		t.Errorf("%+v", s)
	}
}

// A frame that fits no message goes nowhere, and is counted.
func TestTooLong(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	sx, sy := ethernet("1"), ethernet("2")
	sx.MTU, sy.MTU = 20000, 20000
	a, _ := pair(t, x, y, sx, sy)
	x.ns.ping(t, "-M", "do", "-s", "8972", "10.5.0.2")
	if s := a.Stats(); s.DropTooLong != 0 {
		t.Errorf("%+v", s)
	}
	if out, err := x.ns.try("ping", "-c1", "-W1", "-M", "do", "-s", "9200", "10.5.0.2"); err == nil {
		t.Error(out)
	}
	if s := a.Stats(); s.DropTooLong != 1 {
		t.Errorf("%+v", s)
	}
}

// RFC 3931 section 5.4.5: "all data traffic for that session MUST cease (or not begin)
// in the direction of the sender of the Circuit Status AVP until the circuit is
// advertised as Active."
func TestPeerInactive(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	a, b := pair(t, x, y, ethernet("1"), ethernet("2"))
	x.ns.ping(t, "10.5.0.2")
	reporter := a.Bridge.(circuit.StatusReporter)
	carrier := func(want bool) {
		t.Helper()
		waitFor(t, "carrier as it should be", func() bool {
			return strings.Contains(x.ns.ip(t, "-o", "link", "show", "pw0"), "NO-CARRIER") != want
		})
	}
	carrier(true)
	reporter.SetPeerActive(false)
	carrier(false)
	before := a.Stats().FramesOut
	if out, err := y.ns.try("ping", "-c1", "-W1", "10.5.0.1"); err == nil {
		t.Error(out)
	}
	if s := a.Stats(); s.FramesOut != before {
		t.Errorf("%d frames were sent to a peer whose circuit is not active", s.FramesOut-before)
	}
	// What is read all the same is dropped.
	ta := a.Bridge.(*tapBridge)
	sent := make(chan struct{})
	x.poller.Post(func(time.Time) {
		ta.send(&x.factory.reader, ip.GSO{}, frameOf("\x08\x06", strings.Repeat("x", 46)))
		close(sent)
	})
	<-sent
	if s := a.Stats(); s.FramesOut != before || s.DropNotUp == 0 {
		t.Errorf("%+v", s)
	}
	reporter.SetPeerActive(true)
	carrier(true)
	x.ns.ping(t, "10.5.0.2")
	select {
	case active := <-a.status:
		t.Errorf("our own circuit is said to be active: %v", active)
	default:
	}
	_ = b
}

// RFC 4719 section 2.3.2: "The SLI message MUST be sent any time there is a status
// change of any values identified in the Circuit Status AVP."
func TestCircuitChanged(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	a, _ := pair(t, x, y, ethernet("1"), ethernet("2"))
	x.ns.ping(t, "10.5.0.2")
	for range 3 {
		x.ns.ip(t, "link", "set", "pw0", "down")
		a.changed(t, false)
		x.ns.ip(t, "link", "set", "pw0", "up")
		a.changed(t, true)
	}
	x.ns.ping(t, "10.5.0.2")
	// Frames of the peer are counted while it is down.
	x.ns.ip(t, "link", "set", "pw0", "down")
	a.changed(t, false)
	before := a.Stats().DropNotUp
	if out, err := y.ns.try("ping", "-c1", "-W1", "10.5.0.1"); err == nil {
		t.Error(out)
	}
	if s := a.Stats(); s.DropNotUp == before {
		t.Errorf("%+v", s)
	}
}

// Somebody deletes the device, renames it, or has the name already.
func TestDeviceOfOthers(t *testing.T) {
	x, y := newEnd(t), newEnd(t)
	a, b := pair(t, x, y, ethernet("1"), ethernet("2"))
	y.ns.ip(t, "link", "set", "pw0", "down") // older kernels rename no other
	b.changed(t, false)
	y.ns.ip(t, "link", "set", "pw0", "name", "uplink", "up")
	b.changed(t, true)
	waitFor(t, "new name", func() bool { return b.Info().Interface == "uplink" })
	x.ns.ip(t, "link", "delete", "pw0")
	e := a.wait(t)
	if e.Closed || e.Err == nil || e.Result.Result != l2tp.CDNLossOfCarrier || !strings.Contains(e.Text, "pw0 was deleted") {
		t.Errorf("%+v", e)
	}
	s := ethernet("3")
	s.Interface = "uplink"
	c := y.open(t, s)
	e = c.wait(t)
	if e.Closed || e.Result.Result != l2tp.CDNNoFacilitiesPermanent || !strings.Contains(e.Text, "choose another name") {
		t.Errorf("%+v", e)
	}
	b.Close("done")
	b.Close("twice")
	if e = b.wait(t); !e.Closed || e.Text != "done" || e.Stats.FramesOut == 0 {
		t.Errorf("%+v", e)
	}
	if out := y.ns.ip(t, "-o", "link"); strings.Contains(out, "uplink") {
		t.Errorf("left: %s", out)
	}
	before := b.Stats().DropNotUp
	b.Deliver(nil, time.Now(), frameOf("\x08\x06"))
	if s := b.Stats(); s.DropNotUp != before+1 {
		t.Errorf("%+v", s)
	}
}
