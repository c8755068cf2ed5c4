package coa

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"adit/internal/config"
	"adit/lns/subscriber"
)

// sessions is a Handler that answers at once, and notes what it was asked. With
// hold it keeps the done functions.
type sessions struct {
	result Result
	hold   bool
	silent bool // nobody is to be answered, so that nobody needs to wait for long

	mu     sync.Mutex
	calls  int
	sel    Selector
	class  [][]byte
	change Change
	held   chan func(Result)
}

func (h *sessions) Disconnect(sel Selector, class [][]byte, done func(Result)) {
	h.mu.Lock()
	h.calls, h.sel, h.class = h.calls+1, sel, class
	h.mu.Unlock()
	h.answer(done)
}

func (h *sessions) Change(sel Selector, change Change, done func(Result)) {
	h.mu.Lock()
	h.calls, h.sel, h.change = h.calls+1, sel, change
	h.mu.Unlock()
	h.answer(done)
}

func (h *sessions) answer(done func(Result)) {
	if h.hold {
		h.held <- done
		return
	}
	done(h.result)
	done(Result{Cause: InvalidRequest}) // which nobody hears
}

func (h *sessions) asked() bool { return h.count() > 0 }

func (h *sessions) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func (h *sessions) last(t *testing.T) (Selector, [][]byte, Change) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calls != 1 {
		t.Fatalf("asked %d times", h.calls)
	}
	return h.sel, h.class, h.change
}

func configured() *config.RADIUS {
	return &config.RADIUS{
		NASIdentifier: "lns1", NASAddress: netip.MustParseAddr("192.0.2.1"),
		DynamicAuth: netip.MustParseAddrPort("127.0.0.1:0"),
		DynamicAuthClients: []*config.DynamicAuthClient{{
			Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Secret: config.Secret("s3cret"),
		}},
	}
}

func listen(t *testing.T, h Handler) *Server { return listenAt(t, h, "127.0.0.1:0") }

func listenAt(t *testing.T, h Handler, at string) *Server {
	t.Helper()
	cfg := configured()
	cfg.DynamicAuth = netip.MustParseAddrPort(at)
	s, err := Listen(cfg, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// client is a socket of somebody who asks.
func client(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next datagram.
func receive(t *testing.T, c *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// await waits until a counter has a value.
func await(t *testing.T, s *Server, counter string, want uint64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.Counts()[counter] != want; {
		if time.Now().After(end) {
			t.Fatalf("%s is %d, want %d; %v", counter, s.Counts()[counter], want, s.Counts())
		}
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
}

// disconnectRequest is one for a user, without more.
func disconnectRequest(t *testing.T, id byte, more ...radius.AVP) []byte {
	t.Helper()
	p := &radius.Packet{Code: radius.CodeDisconnectRequest, Identifier: id, Secret: []byte("s3cret")}
	p.Add(rfc2865.UserName_Type, []byte("alice"))
	for _, a := range more {
		p.Add(a.Type, a.Attribute)
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDuplicate: a copy is answered as the first was, and asks nobody; one that
// comes before the answer is there is not answered, and asks nobody either.
func TestDuplicate(t *testing.T) {
	h := &sessions{hold: true, held: make(chan func(Result), 8)}
	s := listen(t, h)
	c := client(t, "127.0.0.1:0")
	b := disconnectRequest(t, 7)
	send(t, c, s.Addr(), b)
	done := <-h.held
	send(t, c, s.Addr(), b)
	await(t, s, "coa_duplicates", 1)
	done(Result{Sessions: 1})
	first, _ := receive(t, c)
	if !radius.IsAuthenticResponse(first, b, []byte("s3cret")) || radius.Code(first[0]) != radius.CodeDisconnectACK {
		t.Errorf("answer %x", first)
	}
	h.result = Result{Cause: InvalidRequest}
	send(t, c, s.Addr(), b)
	if again, _ := receive(t, c); !bytes.Equal(first, again) {
		t.Errorf("then %x", again)
	}
	// Another port or another Identifier is another request.
	send(t, client(t, "127.0.0.1:0"), s.Addr(), b)
	(<-h.held)(Result{Sessions: 1})
	send(t, c, s.Addr(), disconnectRequest(t, 8))
	(<-h.held)(Result{Sessions: 1})
	if n := h.count(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// TestReplay: with an Event-Timestamp, a copy from another port is a copy as well.
func TestReplay(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	s := listen(t, h)
	now := uint32(time.Now().Unix())
	b := disconnectRequest(t, 7, radius.AVP{Type: rfc2869.EventTimestamp_Type, Attribute: radius.NewInteger(now)})
	for range 3 {
		c := client(t, "127.0.0.1:0")
		send(t, c, s.Addr(), b)
		receive(t, c)
	}
	if n := h.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestMalformed: nothing that is broken is answered, RFC 5176 section 2.3.
func TestMalformed(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	s := listen(t, h)
	c := client(t, "127.0.0.1:0")
	good := disconnectRequest(t, 1)
	for n := range good {
		send(t, c, s.Addr(), good[:n])
	}
	code := bytes.Clone(good)
	code[0] = byte(radius.CodeAccessRequest)
	send(t, c, s.Addr(), code)
	length := bytes.Clone(good)
	length[21] = 1
	send(t, c, s.Addr(), length)
	await(t, s, "coa_dropped_malformed", uint64(len(good)+2))
	signed := disconnectRequest(t, 1, radius.AVP{Type: rfc2869.MessageAuthenticator_Type, Attribute: make([]byte, 16)})
	send(t, c, s.Addr(), signed)
	flipped := bytes.Clone(good)
	flipped[25] ^= 1
	send(t, c, s.Addr(), flipped)
	await(t, s, "coa_dropped_bad_authenticator", 2)
	// "Octets outside the range of the Length field MUST be treated as padding and
	// ignored on reception."
	send(t, c, s.Addr(), append(bytes.Clone(good), 1, 2, 3))
	if b, _ := receive(t, c); radius.Code(b[0]) != radius.CodeDisconnectACK || b[1] != 1 {
		t.Errorf("the first answer is %x", b)
	}
	if n := h.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestAnswerFrom: the answer comes from the address that was asked, also where the
// server listens at all of them, by IPv4 and by IPv6.
func TestAnswerFrom(t *testing.T) {
	h := &sessions{result: Result{Sessions: 1}}
	for at, asked := range map[string]string{"0.0.0.0:0": "127.0.0.5", "[::]:0": "127.0.0.6", "[::1]:0": "::1"} {
		s := listenAt(t, h, at)
		to := netip.AddrPortFrom(netip.MustParseAddr(asked), s.Addr().Port())
		from := "127.0.0.1:0"
		if to.Addr().Is6() {
			from = "[::1]:0"
		}
		c := client(t, from)
		// The address that was asked names the NAS, too.
		typ := radius.Type(rfc2865.NASIPAddress_Type)
		if to.Addr().Is6() {
			typ = 95
		}
		send(t, c, to, disconnectRequest(t, 3, radius.AVP{Type: typ, Attribute: to.Addr().AsSlice()}))
		b, answered := receive(t, c)
		if answered != to || radius.Code(b[0]) != radius.CodeDisconnectACK {
			t.Errorf("%s: %s was asked, and %s answered %x", at, to, answered, b)
		}
	}
}

// TestOverload: what there is no room for is refused, and may be asked again.
func TestOverload(t *testing.T) {
	now := time.Unix(1000, 0)
	a := answers{m: make(map[requestKey]*answer)}
	for i := range maxAnswers {
		k := requestKey{from: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(i))}
		if !a.add(k, time.Time{}, now) {
			t.Fatalf("no room for %d", i)
		}
	}
	stamped := requestKey{id: 1}
	if a.add(stamped, time.Time{}, now) {
		t.Error("room beyond the limit")
	}
	now = now.Add(keepAnswer + time.Second)
	if !a.add(stamped, now.Add(timestampWindow), now) || len(a.m) != 1 {
		t.Errorf("no room when all are forgotten: %d", len(a.m))
	}
	// It may come again as long as its time is of now.
	if a.find(stamped, now.Add(2*timestampWindow)) == nil || a.find(stamped, now.Add(2*timestampWindow+2*time.Second)) != nil {
		t.Error("the answer is not kept for the window")
	}
}

// TestClose: what is done after the end is heard by nobody, and breaks nothing.
func TestClose(t *testing.T) {
	h := &sessions{hold: true, held: make(chan func(Result), 1)}
	s := listen(t, h)
	c := client(t, "127.0.0.1:0")
	send(t, c, s.Addr(), disconnectRequest(t, 1))
	done := <-h.held
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	done(Result{Sessions: 1})
	if n := s.Counts()["coa_late_results"]; n != 1 {
		t.Errorf("%d late", n)
	}
	if _, err := Listen(&config.RADIUS{}, h, nil); !errors.Is(err, ErrNoListener) {
		t.Errorf("%v", err)
	}
}

// TestMatches: all that is given has to match.
func TestMatches(t *testing.T) {
	port, other, id := uint32(17<<16|34), uint32(1), uint64(5)
	line := &subscriber.Line{ID: "6e1f-1", Tunnel: 17, Session: 34, CallingNumber: "030", CalledNumber: "0800",
		Peer: netip.MustParseAddrPort("198.51.100.7:1701")}
	a := &subscriber.Addresses{IPv4: netip.MustParseAddr("10.0.0.7"), InterfaceID: 5,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")}}
	for name, c := range map[string]struct {
		sel  Selector
		want bool
	}{
		"nothing":      {Selector{}, false},
		"user":         {Selector{User: "alice"}, true},
		"other user":   {Selector{User: "Alice"}, false},
		"session":      {Selector{SessionID: "6e1f-1"}, true},
		"numbers":      {Selector{CallingNumber: "030", CalledNumber: "0800"}, true},
		"one number":   {Selector{CallingNumber: "030", CalledNumber: "0801"}, false},
		"port":         {Selector{NASPort: &port}, true},
		"other port":   {Selector{NASPort: &other}, false},
		"port in word": {Selector{NASPortID: "l2tp 198.51.100.7 17/34"}, true},
		"other words":  {Selector{NASPortID: "l2tp 198.51.100.7 17/35"}, false},
		"address":      {Selector{Address: netip.MustParseAddr("10.0.0.7")}, true},
		"user's other": {Selector{User: "alice", Address: netip.MustParseAddr("10.0.0.8")}, false},
		"prefix":       {Selector{Prefixes: a.Prefixes, InterfaceID: &id}, true},
		"two prefixes": {Selector{Prefixes: append([]netip.Prefix{netip.MustParsePrefix("2001:db8:8::/64")}, a.Prefixes...)}, false},
	} {
		if got := c.sel.Matches(line, "alice", a); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzOpen: no datagram makes the reader panic, and what is not authentic is not
// taken for it.
func FuzzOpen(f *testing.F) {
	p := &radius.Packet{Code: radius.CodeCoARequest, Secret: []byte("s3cret")}
	p.Add(rfc2865.UserName_Type, []byte("alice"))
	p.Add(rfc2865.SessionTimeout_Type, radius.NewInteger(5))
	b, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, authentic := open(b, []byte("s3cret"))
		if p == nil {
			return
		}
		if authentic && !radius.IsAuthenticRequest(b[:int(b[2])<<8|int(b[3])], []byte("s3cret")) {
			t.Error("not authentic")
		}
		parser := parser{code: p.Code, identifier: "lns1"}
		if parser.parse(p.Attributes) == CauseNone && parser.r.sel.empty() {
			t.Error("nobody is meant")
		}
		if reply(p, InvalidRequest) == nil {
			t.Error("no answer")
		}
	})
}
