package tunnel

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// epoch is when the tests begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// counter is a source of "random" octets that count up, so that IDs in tests can
// be foretold: the first Session ID is 0x0102 of a tunnel without challenge.
type counter struct{ next byte }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		c.next++
		b[i] = c.next
	}
	return len(b), nil
}

// testConfig3 is testConfig of version 3, without authentication.
func testConfig3() Config {
	c := testConfig()
	c.Version, c.LocalID, c.RouterID = l2tp.Version3, 0x1000000a, 0x0a000001
	c.Pseudowires = []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowirePPP}
	return c
}

// testConfigs are those that tests of both versions run with.
var testConfigs = map[string]func() Config{
	"v2": testConfig,
	"v3": testConfig3,
	"v3 authenticated": func() Config {
		c := testConfig3()
		c.Secret = []byte("s3cret")
		return c
	},
	"v3 with two digests and two secrets": func() Config {
		c := testConfig3()
		c.Secret, c.OtherSecret = []byte("s3cret"), []byte("0ther")
		c.Digests = []l2tp.DigestType{l2tp.DigestSHA1, l2tp.DigestMD5}
		return c
	},
}

// testConfig is a configuration that allows everything.
func testConfig() Config {
	return Config{
		LocalID:       10,
		HostName:      "here",
		Bearer:        l2tp.BearerDigital | l2tp.BearerAnalog,
		Rand:          &counter{},
		AllowIncoming: true,
		AllowOutgoing: true,
		Reliable:      reliable.Config{},
	}
}

// peer is the other end of a tunnel under test: it speaks whatever a test tells
// it to, well-formed or not, with the sequence numbers that belong there.
type peer struct {
	t       testing.TB
	tunnel  *Tunnel
	now     time.Time
	ns, nr  uint16
	to      uint32 // the tunnel ID to write in headers
	secret  []byte
	actions []Action // of the last step, without Send
	sent    []sentMessage

	// What only a peer of version 3 has.
	version uint8             // of its messages: 2, which 0 stands for, or 3
	digests []l2tp.DigestType // in its messages
	nonce   []byte            // its own, in its SCCRQ or SCCRP
	theirs  []byte            // the tunnel's
	last    []byte            // packet of the tunnel

	trusting bool // it does not check the tunnel's digests
}

func newPeer(t testing.TB, cfg Config) *peer {
	p := &peer{t: t, now: epoch, secret: cfg.Secret, version: max(cfg.Version, l2tp.Version)}
	if cfg.Version == l2tp.Version3 && len(cfg.Secret) > 0 {
		p.digests, p.nonce = []l2tp.DigestType{l2tp.DigestMD5}, []byte("the peer's nonce")
	}
	return p
}

// sentMessage is a control message that the tunnel sent.
type sentMessage struct {
	l2tp.Header
	Message l2tp.Message // nil: a ZLB
}

func (s sentMessage) String() string {
	name := "ZLB"
	if s.Message != nil {
		name = describe(s.Message)
	}
	if s.Version == l2tp.Version3 {
		return fmt.Sprintf("v3 to=%d ns=%d nr=%d %s", s.TunnelID, s.Ns, s.Nr, name)
	}
	return fmt.Sprintf("tunnel=%d session=%d ns=%d nr=%d %s", s.TunnelID, s.SessionID, s.Ns, s.Nr, name)
}

// peerID is the tunnel ID of the other end in these tests.
const peerID = 20

var theirPseudowires = []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowirePPP, l2tp.PseudowireHDLC}

func theirSCCRQ() *l2tp.SCCRQ {
	return &l2tp.SCCRQ{
		RouterID: 0x0a000002, Pseudowires: theirPseudowires,
		HostName: "there", AssignedTunnelID: peerID, ReceiveWindowSize: 8,
		FramingCapabilities: l2tp.FramingSync | l2tp.FramingAsync,
		BearerCapabilities:  l2tp.BearerDigital | l2tp.BearerAnalog,
	}
}

func theirSCCRP() *l2tp.SCCRP {
	return &l2tp.SCCRP{
		RouterID: 0x0a000002, Pseudowires: theirPseudowires,
		HostName: "there", AssignedTunnelID: peerID, ReceiveWindowSize: 8,
		FramingCapabilities: l2tp.FramingSync | l2tp.FramingAsync,
		BearerCapabilities:  l2tp.BearerDigital | l2tp.BearerAnalog,
	}
}

// dial begins a tunnel of ours.
func dial(t testing.TB, cfg Config) *peer {
	t.Helper()
	p := newPeer(t, cfg)
	p.to = cfg.LocalID
	tunnel, actions := Dial(p.now, cfg)
	p.tunnel = tunnel
	p.take(actions)
	return p
}

// accept begins a tunnel of the peer's.
func accept(t testing.TB, cfg Config, m l2tp.Message) *peer {
	t.Helper()
	p := newPeer(t, cfg)
	p.accept(cfg, m)
	return p
}

func (p *peer) accept(cfg Config, m l2tp.Message) {
	p.t.Helper()
	tunnel, actions, err := AcceptPacket(p.now, cfg, p.event(0, m))
	if err != nil {
		p.t.Fatalf("Accept: %v", err)
	}
	p.tunnel, p.to = tunnel, cfg.LocalID
	p.take(actions)
}

// dialled is a tunnel of ours that is established.
func dialled(t testing.TB, cfg Config) *peer {
	t.Helper()
	p := dial(t, cfg)
	p.send(0, theirSCCRP())
	p.ack()
	if !p.tunnel.Established() {
		t.Fatalf("state %v after SCCRP: %v", p.tunnel.State(), p.actions)
	}
	return p
}

// accepted is a tunnel of the peer's that is established.
func accepted(t testing.TB, cfg Config) *peer {
	t.Helper()
	p := accept(t, cfg, theirSCCRQ())
	p.send(0, &l2tp.SCCCN{})
	if !p.tunnel.Established() {
		t.Fatalf("state %v after SCCCN: %v", p.tunnel.State(), p.actions)
	}
	return p
}

func (p *peer) encode(session uint32, m l2tp.Message) (l2tp.Header, []byte) {
	p.t.Helper()
	ev := p.event(session, m)
	return ev.Header, ev.Payload
}

// event is a message as the tunnel receives it.
func (p *peer) event(session uint32, m l2tp.Message) Receive {
	p.t.Helper()
	switch m := m.(type) {
	case *l2tp.SCCRQ:
		m.Nonce = p.nonce
	case *l2tp.SCCRP:
		m.Nonce = p.nonce
	}
	opt := l2tp.AppendOptions{}
	if p.version == l2tp.Version3 {
		setRemote(m, session)
		opt.Version, opt.Digests = p.version, p.digests
	}
	payload, err := l2tp.AppendMessage(nil, m, opt)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.packet(session, payload)
}

// setRemote sets the Remote Session ID of a message that has one.
func setRemote(m l2tp.Message, id uint32) {
	if f := reflect.ValueOf(m).Elem().FieldByName("RemoteSessionID"); f.IsValid() {
		f.SetUint(uint64(id))
	}
}

// packet is any payload as the tunnel receives it, with its digest.
func (p *peer) packet(session uint32, payload []byte) Receive {
	p.t.Helper()
	packet := l2tp.AppendControl(nil, p.to, session, p.ns, p.nr, payload)
	if p.version == l2tp.Version3 {
		packet = l2tp.AppendControl3(nil, p.to, p.ns, p.nr, payload)
		if len(p.digests) > 0 {
			_ = l2tp.Sign(packet, [][]byte{l2tp.SharedKey(p.secret)}, p.nonce, p.theirs)
		}
	}
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil {
		p.t.Fatal(err)
	}
	if m, _ := l2tp.PeekMessageType(payload); len(payload) > 0 && m != l2tp.TypeACK {
		p.ns++
	}
	return Receive{Header: h, Payload: payload, Packet: packet}
}

func (p *peer) header(session uint32, payload []byte) l2tp.Header {
	p.t.Helper()
	return p.packet(session, payload).Header
}

// send gives a message to the tunnel.
func (p *peer) send(session uint32, m l2tp.Message) {
	p.t.Helper()
	p.step(p.event(session, m))
}

// sendRaw gives AVPs to the tunnel as they are.
func (p *peer) sendRaw(session uint32, payload []byte) {
	p.t.Helper()
	p.step(p.packet(session, payload))
}

// ack gives a ZLB to the tunnel, or an Explicit Acknowledgement.
func (p *peer) ack() {
	p.t.Helper()
	if len(p.digests) > 0 && p.version == l2tp.Version3 {
		p.step(p.event(0, &l2tp.ACK{}))
		return
	}
	p.step(p.packet(0, nil))
}

// wait lets time pass, with a Tick at every Deadline on the way.
func (p *peer) wait(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	var actions []Action
	var sent []sentMessage
	for n := 0; ; n++ {
		next := p.tunnel.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		if n > 10000 {
			p.t.Fatalf("Deadline stands still at %v", next)
		}
		if next.After(p.now) {
			p.now = next
		}
		p.step(Tick{})
		actions, sent = append(actions, p.actions...), append(sent, p.sent...)
	}
	p.now = end
	p.actions, p.sent = actions, sent
}

func (p *peer) step(ev Event) {
	p.t.Helper()
	p.take(p.tunnel.Step(p.now, ev))
}

// take reads what a step returned.
func (p *peer) take(actions []Action) {
	p.t.Helper()
	p.actions, p.sent = nil, nil
	for _, a := range actions {
		s, ok := a.(Send)
		if !ok {
			p.actions = append(p.actions, a)
			continue
		}
		h, payload, err := l2tp.ParseHeader(s.Packet)
		if err != nil {
			p.t.Fatalf("the tunnel sent %x: %v", s.Packet, err)
		}
		m := sentMessage{Header: h}
		if len(payload) > 0 {
			if m.Message, err = l2tp.ParseMessage(h.Version, payload, p.secret); err != nil {
				p.t.Fatalf("the tunnel sent %x: %v", s.Packet, err)
			}
			if h.Ns == p.nr && m.Message.Type() != l2tp.TypeACK {
				p.nr++
			}
		}
		p.last = bytes.Clone(s.Packet)
		p.verify(m, s.Packet)
		p.sent = append(p.sent, m)
	}
}

// verify checks the digest of what the tunnel sent, if the two ends authenticate.
func (p *peer) verify(m sentMessage, packet []byte) {
	p.t.Helper()
	switch m := m.Message.(type) {
	case *l2tp.SCCRQ:
		p.theirs = m.Nonce
	case *l2tp.SCCRP:
		p.theirs = m.Nonce
	}
	if len(p.digests) == 0 || m.Version != l2tp.Version3 || p.trusting {
		return
	}
	if err := l2tp.Verify(packet, [][]byte{l2tp.SharedKey(p.secret)}, p.nonce, p.theirs); err != nil {
		p.t.Fatalf("the tunnel sent %v: %v", m, err)
	}
}

// find returns the last action of type A; it fails the test if there is none.
func find[A Action](p *peer) A {
	p.t.Helper()
	var found A
	n := 0
	for _, a := range p.actions {
		if a, ok := a.(A); ok {
			found = a
			n++
		}
	}
	if n == 0 {
		p.t.Fatalf("no %T in %v", found, p.actions)
	}
	return found
}

func count[A Action](p *peer) int {
	n := 0
	for _, a := range p.actions {
		if _, ok := a.(A); ok {
			n++
		}
	}
	return n
}

// sentOf returns the last message of type M sent; it fails the test if there is
// none.
func sentOf[M l2tp.Message](p *peer) (M, sentMessage) {
	p.t.Helper()
	for i := len(p.sent) - 1; i >= 0; i-- {
		if m, ok := p.sent[i].Message.(M); ok {
			return m, p.sent[i]
		}
	}
	var m M
	p.t.Fatalf("no %T among %v", m, p.sent)
	return m, sentMessage{}
}

// sentTypes are the types of the messages sent, without ZLBs.
func (p *peer) sentTypes() []l2tp.MessageType {
	var types []l2tp.MessageType
	for _, s := range p.sent {
		if s.Message != nil && s.Message.Type() != l2tp.TypeACK {
			types = append(types, s.Message.Type())
		}
	}
	return types
}

// describe writes a message, an action or a part of one with its non-zero
// fields.
func describe(v any) string {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() != reflect.Struct {
		return fmt.Sprint(v)
	}
	var b strings.Builder
	b.WriteString(r.Type().Name())
	describeFields(&b, r)
	return b.String()
}

func describeFields(b *strings.Builder, r reflect.Value) {
	for i := range r.NumField() {
		f := r.Type().Field(i)
		v := r.Field(i)
		if v.IsZero() || !f.IsExported() || f.Name == "Unparsed" {
			continue
		}
		if f.Anonymous {
			describeFields(b, v)
			continue
		}
		fmt.Fprintf(b, " %s=%s", f.Name, describeValue(v))
	}
}

func describeValue(v reflect.Value) string {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		v = v.Elem()
	}
	if err, ok := v.Interface().(error); ok {
		return fmt.Sprintf("%q", err.Error())
	}
	switch v.Kind() {
	case reflect.Pointer:
		return describeValue(v.Elem())
	case reflect.Struct:
		var b strings.Builder
		describeFields(&b, v)
		return "{" + strings.TrimPrefix(b.String(), " ") + "}"
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return fmt.Sprint(v.Interface())
		}
		return fmt.Sprintf("%x", v.Bytes())
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
