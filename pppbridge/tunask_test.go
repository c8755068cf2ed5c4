package pppbridge

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"adit/proto/ip"
	"adit/proto/ppp"
)

// udp6 makes an IPv6 packet with a UDP datagram.
func udp6(src, dst string, srcPort, dstPort uint16) []byte {
	u := make([]byte, 16)
	binary.BigEndian.PutUint16(u, srcPort)
	binary.BigEndian.PutUint16(u[2:], dstPort)
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	return packet6(src, dst, ip.ProtocolUDP, u)
}

// solicit makes a Router Solicitation.
func solicit(src, dst string, hops byte) []byte {
	p := packet6(src, dst, ip.ProtocolICMPv6, []byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0})
	p[7] = hops
	return p
}

// What a peer asks the router itself is taken out; whatever only looks like it goes
// where it went before.
func TestTUNQuestions(t *testing.T) {
	d := newDataPath(t, Spec{})
	now := time.Now()
	dhcp := func(src, dst string, port uint16) []byte { return datagram4(src, dst, 68, port, make([]byte, 40)) }
	fragment := dhcp("10.9.0.2", "255.255.255.255", 67)
	fragment[6] = 0x20
	short := packet6("fe80::2", "ff02::2", ip.ProtocolICMPv6, []byte{routerSolicitation, 0, 0, 0})
	for name, c := range map[string]struct {
		packet []byte
		asked  bool
	}{
		"DHCP to all":                   {dhcp("10.9.0.2", "255.255.255.255", 67), true},
		"DHCP to us":                    {dhcp("10.9.0.2", "10.9.0.1", 67), true},
		"DHCP from nobody yet":          {dhcp("0.0.0.0", "255.255.255.255", 67), true},
		"DHCP from another":             {dhcp("10.9.0.3", "255.255.255.255", 67), false},
		"DHCP to another server":        {dhcp("10.9.0.2", "10.1.1.1", 67), false},
		"another port":                  {dhcp("10.9.0.2", "10.9.0.1", 53), false},
		"a fragment":                    {fragment, false},
		"Router Solicitation":           {solicit("fe80::2", "ff02::2", 255), true},
		"Router Solicitation to us":     {solicit("fe80::2", "fe80::1", 255), true},
		"Router Solicitation of nobody": {solicit("::", "ff02::2", 255), true},
		"forwarded":                     {solicit("fe80::2", "ff02::2", 64), false},
		"of another":                    {solicit("fe80::3", "ff02::2", 255), false},
		"too short":                     {short, false},
		"DHCPv6":                        {udp6("fe80::2", "ff02::1:2", 546, 547), true},
		"DHCPv6 to us":                  {udp6("fe80::2", "fe80::1", 546, 547), true},
		"DHCPv6 of another":             {udp6("fe80::3", "ff02::1:2", 546, 547), false},
		"DHCPv6 of nobody":              {udp6("::", "ff02::1:2", 546, 547), false},
		"multicast DNS":                 {udp6("fe80::2", "ff02::fb", 5353, 5353), false},
	} {
		f := ppp.ProtocolIPv4
		if c.packet[0]>>4 == 6 {
			f = ppp.ProtocolIPv6
		}
		before := d.link.Stats()
		frame := frameOf(f, c.packet)
		d.link.Deliver(d.burst, now, frame)
		d.burst.Flush()
		now = now.Add(time.Minute)
		frame[len(frame)-1] ^= 0xff // it was a copy
		var got []byte
		select {
		case got = <-d.asked:
		default:
		}
		if (got != nil) != c.asked || c.asked && !bytes.Equal(got, c.packet) {
			t.Errorf("%s: asked is %x", name, got)
		}
		after := d.link.Stats()
		if c.asked && (after.FramesIn != before.FramesIn+1 || after.DropSource+after.DropNotUp != before.DropSource+before.DropNotUp) {
			t.Errorf("%s: %+v, before %+v", name, after, before)
		}
	}
}

// A flood costs a counter, and no more memory than its first few.
func TestTUNQuestionFlood(t *testing.T) {
	d := newDataPath(t, Spec{})
	now := time.Unix(1000, 0)
	frame := frameOf(ppp.ProtocolIPv6, solicit("fe80::2", "ff02::2", 255))
	for range 1000 {
		d.link.Deliver(d.burst, now, frame)
	}
	if n, limited := len(d.asked), d.f.PlaneCounts().AskLimit.Load(); n != asksAtOnce || limited != 1000-asksAtOnce {
		t.Errorf("%d were asked, %d limited", n, limited)
	}
	if n := testing.AllocsPerRun(100, func() { d.link.Deliver(d.burst, now, frame) }); n != 0 {
		t.Errorf("%v allocations for one that is dropped", n)
	}
	for _, c := range []struct{ after, want int }{{1, asksPerSecond}, {3, 2 * asksPerSecond}, {1000, asksAtOnce}} {
		for len(d.asked) > 0 {
			<-d.asked
		}
		now = time.Unix(1000+int64(c.after), 0)
		for range 100 {
			d.link.Deliver(d.burst, now, frame)
		}
		if len(d.asked) != c.want {
			t.Errorf("after %d s: %d", c.after, len(d.asked))
		}
	}
}

// A client does not answer for the network behind it: nothing is taken out.
func TestTUNQuestionsOfAnLNS(t *testing.T) {
	d := newDataPath(t, Spec{})
	d.link.lns = false
	d.link.Deliver(d.burst, time.Now(), frameOf(ppp.ProtocolIPv6, solicit("fe80::2", "ff02::2", 255)))
	d.link.Deliver(d.burst, time.Now(), frameOf(ppp.ProtocolIPv4, datagram4("10.9.0.2", "10.9.0.1", 68, 67, nil)))
	d.burst.Flush()
	d.link.lns = true
	if len(d.asked) != 0 {
		t.Errorf("%d were asked", len(d.asked))
	}
}

// Attachment.Send: what is a packet of a family that is up and not too long goes to
// the peer, after Close nothing does.
func TestTUNSendOwn(t *testing.T) {
	d := newDataPath(t, Spec{})
	a := d.attached[ppp.IPv6]
	if a.Interface != "dp0" || a.Send == nil || d.attached[ppp.IPv4].Send == nil {
		t.Fatalf("%+v", d.attached)
	}
	packet := udp6("fe80::1", "fe80::2", 547, 546)
	last := d.link.last.Load()
	before := d.link.Stats()
	a.Send(packet)
	waitFor(t, 5*time.Second, "the frame", func() bool { return d.link.Stats().FramesOut == before.FramesOut+1 })
	if n := d.link.Stats().BytesOut - before.BytesOut; n != uint64(len(packet)+pppHeader) || d.link.last.Load() != last {
		t.Errorf("%d octets; it keeps the link from being idle", n)
	}
	a.Send(packet[:30])
	a.Send(nil)
	a.Send(packet6("fe80::1", "fe80::2", 17, make([]byte, 1400)))
	d.link.Down(ppp.IPv6)
	a.Send(packet)
	s := d.link.Stats()
	if s.DropMalformed != before.DropMalformed+2 || s.DropTooBig != before.DropTooBig+1 || s.DropNotUp != before.DropNotUp+1 {
		t.Errorf("%+v", s)
	}
	d.link.Close()
	a.Send(packet)
	if s := d.link.Stats(); s.FramesOut != before.FramesOut+1 || s.DropNotUp != before.DropNotUp+2 {
		t.Errorf("after Close: %+v", s)
	}
}

// tellingAccess writes down what it is told.
type tellingAccess struct {
	testAccess
	mu       sync.Mutex
	events   []string
	networks [2]ppp.Network
	attached [2]Attachment
	packets  chan []byte
}

func (a *tellingAccess) NetworkUp(f ppp.Family, n ppp.Network, at Attachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, "up "+f.String())
	a.networks[f], a.attached[f] = n, at
}

func (a *tellingAccess) NetworkDown(f ppp.Family) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, "down "+f.String())
}

func (a *tellingAccess) Packet(p []byte) { a.packets <- p }

func (a *tellingAccess) told() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

// The whole way, between two endpoints: the client's machine broadcasts a question,
// the LNS's Access gets it and answers by Send, and the answer comes out of the
// client's TUN.
func TestTUNQuestionAndAnswer(t *testing.T) {
	r := newRig(t, 1)
	access := &tellingAccess{testAccess: testAccess{password: "secret"}, packets: make(chan []byte, 10)}
	grant := grantOf(2)
	lns := openEnd(t, r.lns, r.lnsW, 3, Spec{LNS: true, Endpoint: lnsConfig(), Grant: &grant, Access: access})
	client := openEnd(t, r.client, r.clientW, 3, Spec{Endpoint: clientConfig("user3", "secret")})
	waitFor(t, 10*time.Second, "both families", func() bool { return len(access.told()) == 2 && r.clientNS.hasAddress("10.9.0.2") }, lns.log, client.log)
	access.mu.Lock()
	n4, n6, at := access.networks[ppp.IPv4], access.networks[ppp.IPv6], access.attached
	access.mu.Unlock()
	if n4.User != "user3" || n4.PeerIPv4 != netip.MustParseAddr("10.9.0.2") || n4.LocalIPv4 != netip.MustParseAddr("10.9.0.1") ||
		n6.LocalID == 0 || n6.PeerID == 0 || len(n6.Routes) != 1 || at[0].Interface != "lns0" || at[1].Send == nil {
		t.Errorf("%+v %+v %+v", n4, n6, at)
	}
	var c *net.UDPConn
	var err error
	// The route to the LNS comes after the address.
	waitFor(t, 10*time.Second, "a way to the LNS", func() bool {
		r.clientNS.do(func() {
			c, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 2), Port: 68}, &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 67})
		})
		return err == nil
	}, lns.log, client.log)
	defer c.Close()
	if _, err = c.Write([]byte("what is my domain?")); err != nil {
		t.Fatal(err)
	}
	select {
	case p := <-access.packets:
		if !bytes.HasSuffix(p, []byte("what is my domain?")) {
			t.Errorf("%x", p)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("nobody was asked: %+v", lns.Stats())
	}
	at[0].Send(datagram4("10.9.0.1", "10.9.0.2", 67, 68, []byte("example.net")))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 100)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "example.net" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	client.end(t)
	exit := lns.wait(t)
	if e := access.told(); len(e) != 4 || e[2][:4] != "down" || e[3][:4] != "down" || e[2] == e[3] {
		t.Errorf("%q", e)
	}
	if exit.Stats != lns.Stats() || exit.Stats.FramesIn == 0 || exit.Stats.BytesOut == 0 {
		t.Errorf("counters at the end: %+v, %+v", exit.Stats, lns.Stats())
	}
}
