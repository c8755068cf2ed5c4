package radius

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"adit/internal/config"
	"adit/lns/subscriber"
)

// packetIn is what a server of the test has been sent.
type packetIn struct {
	at     time.Time
	server string
	conn   *memoryConn
	wire   []byte
}

func (p packetIn) identifier() byte { return p.wire[1] }

// parsed is the packet with a secret.
func (p packetIn) parsed(t testing.TB, secret string) *radius.Packet {
	t.Helper()
	packet, err := radius.Parse(p.wire, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// answer sends an answer that the server of the secret would send, with its
// Message-Authenticator if signed.
func (p packetIn) answer(t testing.TB, secret string, code radius.Code, signed bool, attributes ...*radius.AVP) {
	t.Helper()
	p.conn.deliver(answerTo(t, p.wire, secret, code, signed, attributes...))
}

func answerTo(t testing.TB, request []byte, secret string, code radius.Code, signed bool, attributes ...*radius.AVP) []byte {
	t.Helper()
	packet, err := radius.Parse(request, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	response := packet.Response(code)
	if signed {
		response.Attributes = append(response.Attributes, &radius.AVP{Type: rfc2869.MessageAuthenticator_Type, Attribute: make([]byte, 16)})
	}
	response.Attributes = append(response.Attributes, attributes...)
	if signed {
		// RFC 3579 section 3.2, by layeh's encoding and not by ours.
		wire, err := response.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		copy(response.Attributes[0].Attribute, hmacMD5(wire, []byte(secret)))
	}
	wire, err := response.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// memoryNet is servers in memory: on is called with each packet, on the loop's
// goroutine.
type memoryNet struct {
	mu    sync.Mutex
	conns []*memoryConn
	all   []packetIn
	on    func(packetIn)
}

// memoryConn is a connected socket.
type memoryConn struct {
	net    *memoryNet
	server string
	in     chan any // []byte or error
	closed chan struct{}
	once   sync.Once
}

func (n *memoryNet) dial(server *config.RADIUSServer, _ netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &memoryConn{net: n, server: server.Name, in: make(chan any, 4096), closed: make(chan struct{})}
	n.conns = append(n.conns, c)
	return c, nil
}

// packets is what has been sent to a server so far; "": to any.
func (n *memoryNet) packets(server string) (list []packetIn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.all {
		if server == "" || p.server == server {
			list = append(list, p)
		}
	}
	return list
}

func (c *memoryConn) deliver(what any) {
	select {
	case c.in <- what:
	case <-c.closed:
	}
}

func (c *memoryConn) Read(b []byte) (int, error) {
	select {
	case what := <-c.in:
		if err, ok := what.(error); ok {
			return 0, err
		}
		return copy(b, what.([]byte)), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *memoryConn) Write(b []byte) (int, error) {
	p := packetIn{at: time.Now(), server: c.server, conn: c, wire: append([]byte(nil), b...)}
	c.net.mu.Lock()
	c.net.all = append(c.net.all, p)
	on := c.net.on
	c.net.mu.Unlock()
	if on != nil {
		on(p)
	}
	return len(b), nil
}

func (c *memoryConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (*memoryConn) LocalAddr() net.Addr              { return nil }
func (*memoryConn) RemoteAddr() net.Addr             { return nil }
func (*memoryConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*memoryConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*memoryConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// rig is a Client and its servers, in a bubble.
type rig struct {
	*Client
	t     testing.TB
	net   *memoryNet
	cfg   *config.RADIUS
	group *config.RADIUSGroup
	lines *logLines
}

// logLines keeps what is logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// testConfig is servers of those names in one group, "group".
func testConfig(names ...string) (*config.RADIUS, *config.RADIUSGroup) {
	g := &config.RADIUSGroup{Name: "group"}
	cfg := &config.RADIUS{Servers: map[string]*config.RADIUSServer{}, Groups: map[string]*config.RADIUSGroup{"group": g}}
	for i, name := range names {
		s := &config.RADIUSServer{
			Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), AuthPort: 1812, AcctPort: 1813,
			Secret: config.Secret("secret of " + name), Timeout: 3 * time.Second, Retries: 2, DeadTime: time.Minute,
			MaxPending: 256, RequireMessageAuthenticator: true,
		}
		cfg.Servers[name] = s
		g.Servers = append(g.Servers, s)
	}
	return cfg, g
}

// newRig starts a Client with servers of those names. It is closed, without
// waiting for records, at the end of the test, which has to be in a bubble.
func newRig(t testing.TB, names ...string) *rig {
	t.Helper()
	cfg, group := testConfig(names...)
	r := &rig{t: t, cfg: cfg, group: group, net: &memoryNet{}}
	r.start(t.TempDir(), 0)
	return r
}

// start makes the Client anew.
func (r *rig) start(dir string, limit int64) {
	r.t.Helper()
	r.lines = &logLines{}
	log := logrus.New()
	log.SetOutput(r.lines)
	var err error
	r.Client, err = New(r.cfg, Options{Dir: dir, Encode: encodeForTest, Log: logrus.NewEntry(log), Limit: limit, dial: r.net.dial})
	if err != nil {
		r.t.Fatal(err)
	}
	c := r.Client
	r.t.Cleanup(func() { _ = kill(c) })
}

// kill ends a Client as kill -9 would: nothing is written any more that was not.
func kill(c *Client) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.books.mu.Lock()
	clear(c.books.on) // no Accounting-Off
	c.books.mu.Unlock()
	return c.Close(ctx)
}

// outcome is what a request came to.
type outcome struct {
	*Reply
	err error
	at  time.Time
}

// ask sends an Access-Request for a user and returns where its outcome comes.
func (r *rig) ask(user string) <-chan outcome {
	return r.askFor(Request{Group: r.group, Build: func(p *radius.Packet) error {
		return rfc2865.UserName_SetString(p, user)
	}})
}

func (r *rig) askFor(req Request) <-chan outcome {
	c := make(chan outcome, 2) // a second one is an error that is found by its being there
	r.Authenticate(req, func(reply *Reply, err error) { c <- outcome{reply, err, time.Now()} })
	return c
}

// encodeForTest is what the tests' records are on the wire.
func encodeForTest(p *radius.Packet, r *subscriber.Record) {
	p.Add(rfc2866.AcctStatusType_Type, number(uint32(r.Kind)))
	if r.Session != nil {
		p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(r.Session.Line.ID))
		if r.Session.User != "" {
			p.Add(rfc2865.UserName_Type, radius.Attribute(r.Session.User))
		}
		if r.Kind != subscriber.RecordStart {
			p.Add(rfc2866.AcctInputOctets_Type, number(uint32(r.Session.Counters.OctetsIn)))
			p.Add(rfc2866.AcctSessionTime_Type, number(uint32(r.Session.Duration/time.Second)))
		}
	}
}

// record makes a record of a session.
func record(kind subscriber.RecordKind, id string, octets uint64) subscriber.Record {
	r := subscriber.Record{Kind: kind, Time: time.Now(), Session: &subscriber.RecordSession{User: "user of " + id}}
	r.Session.Line.ID = id
	r.Session.Counters.OctetsIn = octets
	r.Session.Duration = time.Duration(octets) * time.Second
	return r
}

// said is what an Accounting-Request says.
type said struct {
	kind   subscriber.RecordKind
	id     string
	octets uint32
	delay  uint32
	cause  uint32
}

func saidBy(t testing.TB, p packetIn) said {
	t.Helper()
	packet := p.parsed(t, "secret of "+p.server)
	n := func(key radius.Type) uint32 {
		if a := packet.Get(key); len(a) == 4 {
			return binary.BigEndian.Uint32(a)
		}
		return 0
	}
	return said{
		kind: subscriber.RecordKind(n(rfc2866.AcctStatusType_Type)), id: string(packet.Get(rfc2866.AcctSessionID_Type)),
		octets: n(rfc2866.AcctInputOctets_Type), delay: n(rfc2866.AcctDelayTime_Type), cause: n(rfc2866.AcctTerminateCause_Type),
	}
}

// answerAll has every server answer each packet at once.
func (r *rig) answerAll() {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.on = func(p packetIn) {
		code := radius.CodeAccessAccept
		if radius.Code(p.wire[0]) == radius.CodeAccountingRequest {
			code = radius.CodeAccountingResponse
		}
		p.answer(r.t, "secret of "+p.server, code, code == radius.CodeAccessAccept)
	}
}

// silence has no server answer.
func (r *rig) silence() {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.on = nil
}

func (r *rig) server(name string, k bool) ServerState {
	r.t.Helper()
	for _, s := range r.Servers() {
		if s.Name == name && s.Accounting == k {
			return s
		}
	}
	r.t.Fatalf("server %s was not asked", name)
	return ServerState{}
}
