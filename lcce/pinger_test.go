package lcce

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/ip"
)

// An echo request has the form of RFC 792 and RFC 4443, and its reply is told from those
// of others.
func TestEcho(t *testing.T) {
	s := signature{1, 2, 3, 4, 5, 6, 7, 8}
	four := s.appendEcho(nil, true, 9, 0x0a0b0c0d)
	if got := hex.EncodeToString(four); got != "0800"+hex.EncodeToString(four[2:4])+"010200090102030405060708"+"0a0b0c0d" || ip.Checksum(four, 0) != 0 {
		t.Errorf("%s", got)
	}
	if got := hex.EncodeToString(s.appendEcho(nil, false, 9, 1)); got != "800000000102000901020304050607080000"+"0001" {
		t.Errorf("%s", got)
	}
	reply := append([]byte(nil), four...)
	reply[0] = echoReply4
	if token, ok := s.parseReply(reply, true); !ok || token != 0x0a0b0c0d {
		t.Errorf("%x, %t", token, ok)
	}
	for n := range reply {
		if _, ok := s.parseReply(reply[:n], true); ok {
			t.Errorf("%d octets are a reply", n)
		}
	}
	for _, at := range []int{0, 1, 8, 15} {
		bad := append([]byte(nil), reply...)
		bad[at] ^= 0x40
		if _, ok := s.parseReply(bad, true); ok {
			t.Errorf("with another octet %d it is still a reply", at)
		}
	}
	if _, ok := s.parseReply(reply, false); ok {
		t.Error("a reply of IPv4 is one of IPv6")
	}
	if _, ok := s.parseReply(append(reply, 0), true); ok {
		t.Error("a longer reply is one")
	}
}

// Requests over loopback are answered, once each, in both families, whatever else of
// ICMP there is.
func TestPingsOverLoopback(t *testing.T) {
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		from  netip.Addr
		token uint32
	}
	answers := make(chan answer, 16)
	p := newPinger(poller, func(from netip.Addr, token uint32) { answers <- answer{from, token} })
	other := newPinger(poller, func(netip.Addr, uint32) {}) // its requests are none of ours
	ended := make(chan error, 1)
	go func() { ended <- poller.Run() }()
	defer func() {
		poller.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.close()
		other.close()
		poller.Close()
		if err := p.send(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1"), 1); err == nil {
			t.Error("a pinger that is closed sends")
		}
	}()
	for i, text := range []string{"127.0.0.1", "::1"} {
		addr, socket := netip.MustParseAddr(text), p.four
		if !addr.Is4() {
			socket = p.six
		}
		if socket.err != nil {
			need.Lack(t, "no socket for ICMP: %v", socket.err)
		}
		if err := other.send(addr, addr, 99); err != nil {
			t.Fatal(err)
		}
		want := answer{addr, uint32(1000 + i)}
		if err := p.send(addr, addr, want.token); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answers:
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s does not answer", text)
		}
	}
	if len(answers) != 0 {
		t.Errorf("another answer: %+v", <-answers)
	}
	if err := p.send(netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("127.0.0.1"), 1); err == nil {
		t.Error("it is sent from an address that this machine does not have")
	}
}
