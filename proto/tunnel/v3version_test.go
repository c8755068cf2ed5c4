package tunnel

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
)

// fallbackConfig offers both versions.
func fallbackConfig() Config {
	c := testConfig3()
	c.LocalID, c.Fallback = 10, true
	return c
}

// RFC 3931 section 4.7.3: "This is accomplished by sending an SCCRQ with its Ver field
// set to 2 (for L2TPv2), and ensuring that any L2TPv3-specific AVPs [...] in the message
// are sent with each M bit set to 0, and that all L2TPv2 AVPs are present as they would
// be for L2TPv2."
func TestOfferOfBothVersions(t *testing.T) {
	cfg := fallbackConfig()
	cfg.Secret, cfg.Challenge = []byte("s3cret"), true
	_, actions := Dial(epoch, cfg)
	packet := packets(actions)[0]
	if !bytes.Equal(packet[:2], []byte{0xc8, 2}) || !bytes.Equal(packet[4:8], make([]byte, 4)) {
		t.Errorf("header % x", packet[:12])
	}
	mandatory := map[l2tp.AVPType]bool{}
	for rest := packet[12:]; len(rest) > 0; {
		n := int(rest[0]&3)<<8 | int(rest[1])
		mandatory[l2tp.AVPType(uint16(rest[4])<<8|uint16(rest[5]))] = rest[0]&0x80 != 0
		rest = rest[n:]
	}
	for avp, want := range map[l2tp.AVPType]bool{
		l2tp.AVPProtocolVersion: true, l2tp.AVPFramingCapabilities: true, l2tp.AVPAssignedTunnelID: true,
		l2tp.AVPHostName: true, l2tp.AVPChallenge: true,
		l2tp.AVPRouterID: false, l2tp.AVPAssignedControlConnectionID: false, l2tp.AVPPseudowireCapabilities: false,
		l2tp.AVPNonce: false, l2tp.AVPMessageDigest: false,
	} {
		if m, ok := mandatory[avp]; !ok || m != want {
			t.Errorf("%v: there %v, M %v", avp, ok, m)
		}
	}
	if !bytes.Equal(byHand(packet, "s3cret", ""), packet[27:43]) {
		t.Error("wrong digest")
	}
}

// RFC 3931 section 4.7.3, both ways, with and without authentication: the two ends get
// as high as both can, and have a session.
func TestFallback(t *testing.T) {
	for _, secret := range []string{"", "s3cret"} {
		for _, version := range []uint8{l2tp.Version, l2tp.Version3} {
			ends := 0
			link := newPair(t, func(c *Config) {
				*c = fallbackConfig()
				if ends++; ends == 2 {
					c.LocalID, c.Version, c.Fallback = 20, version, false
				}
				if secret != "" {
					c.Secret, c.Challenge = []byte(secret), true
				}
			})
			name := fmt.Sprintf("version %d, secret %q", version, secret)
			if !link.a.Established() || !link.b.Established() || link.a.Peer().Version != version || link.b.Peer().Version != version {
				t.Fatalf("%s: %v %+v, %v %+v", name, link.a.State(), link.a.Peer(), link.b.State(), link.b.Peer())
			}
			if version == l2tp.Version3 && (link.a.Peer().RouterID == 0 || len(link.b.Peer().Pseudowires) != 2) {
				t.Errorf("%s: %+v", name, link.b.Peer())
			}
			link.step(link.a, PlaceCall{Ref: "a", Call: Call{CalledNumber: "1"}})
			link.settle()
			link.step(link.b, AcceptCall{Session: link.find(CallRequested{}).(CallRequested).Session})
			link.settle()
			if up := link.find(CallUp{}).(CallUp); up.PeerSession == 0 {
				t.Errorf("%s: %+v", name, up)
			}
			for i, packet := range link.packets {
				if want := map[bool]uint8{true: 2, false: version}[i == 0]; packet[1] != want {
					t.Errorf("%s: packet %d has version %d", name, i, packet[1])
				}
			}
		}
	}
}

// "If a message is received with the Ver field set to 2, it must be assumed that the peer
// implementation is L2TPv2-only". Then there is no way back, nor from version 3.
func TestVersionIsDecidedOnce(t *testing.T) {
	for _, version := range []uint8{l2tp.Version, l2tp.Version3} {
		p := dial(t, fallbackConfig())
		p.version = version
		p.send(0, theirSCCRP())
		find[TunnelUp](p)
		p.version = l2tp.Version + l2tp.Version3 - version
		state := p.tunnel.ch.Stats()
		for _, ev := range []Receive{p.event(0, &l2tp.HELLO{}), p.event(0, message(l2tp.TypeStopCCN)), p.packet(0, nil)} {
			p.step(ev)
			if len(p.actions) != 1 || find[Drop](p).Reason != ErrWrongVersion || p.tunnel.ch.Stats() != state {
				t.Errorf("version %d: %v", version, p.actions)
			}
		}
	}
}

// A message of version 3 with a wrong digest decides nothing.
func TestForgedAnswerDecidesNothing(t *testing.T) {
	cfg := fallbackConfig()
	cfg.Secret = []byte("s3cret")
	p := dial(t, cfg)
	sccrq, _ := sentOf[*l2tp.SCCRQ](p)
	p.version, p.secret, p.nonce, p.digests = l2tp.Version3, []byte("wrong"), []byte("nonce"), []l2tp.DigestType{l2tp.DigestMD5}
	p.send(0, theirSCCRP())
	if find[Drop](p).Reason != ErrDigest || !p.tunnel.undecided {
		t.Fatal(p.actions)
	}
	p.version, p.digests, p.ns = l2tp.Version, nil, 0
	response := l2tp.ChallengeResponse(l2tp.TypeSCCRP, cfg.Secret, sccrq.Challenge)
	reply := theirSCCRP()
	reply.ChallengeResponse = response[:]
	p.send(0, reply)
	if find[TunnelUp](p); p.tunnel.Peer().Version != l2tp.Version {
		t.Error(p.tunnel.Peer())
	}
}

// We stop before we know the version: the StopCCN waits for the peer's ID, and is then
// one of the peer's version.
func TestStopBeforeTheVersionIsKnown(t *testing.T) {
	for _, version := range []uint8{l2tp.Version, l2tp.Version3} {
		p := dial(t, fallbackConfig())
		p.step(Stop{Cause: Cause{Result: l2tp.ResultCode{Result: l2tp.StopCCNShuttingDown}}})
		p.version = version
		p.send(0, theirSCCRP())
		stop, sent := sentOf[*l2tp.StopCCN](p)
		if sent.Version != version || sent.TunnelID != peerID || stop.AssignedTunnelID != 10 || stop.ResultCode.Result != l2tp.StopCCNShuttingDown {
			t.Errorf("version %d: %v", version, p.sent)
		}
	}
}

// RFC 3931 section 5.4.2, Result Code 5: "The protocol version of the requester is not
// supported, Error Code indicates highest version supported." It goes in the requester's
// version, as the requester could not read another.
func TestVersionThatIsNotAllowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		ours   Config
		theirs uint8
		offer  uint32
		want   string
	}{
		{"3 and 3", testConfig3(), 3, 0, "SCCRP 3"},
		{"2 and 2", testConfig(), 2, 0, "SCCRP 2"},
		{"3 and both", testConfig3(), 2, 0x12345678, "SCCRP 3"},
		{"2 and both", testConfig(), 2, 0x12345678, "SCCRP 2"},
		{"3 and 2", testConfig3(), 2, 0, "StopCCN 2 error 3"},
		{"2 and 3", testConfig(), 3, 0, "StopCCN 3 error 2"},
	} {
		m := theirSCCRQ()
		m.ControlConnectionID = c.offer
		p := newPeer(t, testConfig())
		p.version = c.theirs
		p.accept(c.ours, m)
		got, to := "", p.sent[0].TunnelID
		switch m := p.sent[0].Message.(type) {
		case *l2tp.SCCRP:
			got = fmt.Sprintf("SCCRP %d", p.sent[0].Version)
		case *l2tp.StopCCN:
			got = fmt.Sprintf("StopCCN %d error %d", p.sent[0].Version, m.ResultCode.Error)
			if down := find[TunnelDown](p); m.ResultCode.Result != 5 || down.Cause.Err != ErrWrongVersion {
				t.Errorf("%s: %v", c.name, p.actions)
			}
			find[Gone](p)
		}
		want := uint32(peerID)
		if c.want == "SCCRP 3" && c.offer != 0 {
			want = c.offer
		}
		if got != c.want || to != want || len(p.sent) != 1 {
			t.Errorf("%s: %s to %#x, want %s to %#x", c.name, got, to, c.want, want)
		}
	}
}

// The SCCRQ that offered both comes again, of version 2 as it was, after it was answered
// in version 3.
func TestOfferComesAgain(t *testing.T) {
	m := theirSCCRQ()
	m.ControlConnectionID = peerID
	p := newPeer(t, testConfig())
	ev := p.event(0, m)
	core, actions, err := AcceptPacket(epoch, testConfig3(), ev)
	if err != nil {
		t.Fatal(err)
	}
	p.tunnel, p.to, p.version = core, core.LocalID(), l2tp.Version3
	p.take(actions)
	p.step(ev)
	if len(p.sent) != 1 || p.sent[0].Message != nil || p.sent[0].Version != l2tp.Version3 || p.tunnel.State() != WaitCtlConn {
		t.Errorf("%v, sent %v", p.actions, p.sent)
	}
	p.send(0, &l2tp.SCCCN{})
	find[TunnelUp](p)
}

// What cannot be an Assigned Tunnel ID of version 2 cannot be offered.
func TestOfferNeedsASmallID(t *testing.T) {
	cfg := fallbackConfig()
	cfg.LocalID = 0x10000
	p := dial(t, cfg)
	if find[TunnelDown](p).Cause.Err != ErrNotAllowed || len(p.sent) != 0 {
		t.Errorf("%v, sent %v", p.actions, p.sent)
	}
	find[Gone](p)
	// The session IDs of calls that are placed before the answer have to fit as well.
	p = dial(t, fallbackConfig())
	for range 20 {
		p.step(PlaceCall{})
		if id := find[CallPlaced](p).Session; id > 0xffff {
			t.Fatalf("session %#x", id)
		}
	}
}

// Refuse answers in the version of the SCCRQ.
func TestRefuseVersion3(t *testing.T) {
	h := l2tp.Header{Control: true, Version: l2tp.Version3}
	sccrq := &l2tp.SCCRQ{AssignedTunnelID: 0x89abcdef}
	packet := Refuse(nil, h, sccrq, l2tp.ResultCode{Result: l2tp.StopCCNAlreadyExists}, 0)
	got, payload, err := l2tp.ParseHeader(packet)
	if err != nil || got.Version != l2tp.Version3 || got.TunnelID != 0x89abcdef || got.Ns != 0 || got.Nr != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	m, err := l2tp.ParseMessage(l2tp.Version3, payload, nil)
	if err != nil || m.(*l2tp.StopCCN).ResultCode.Result != l2tp.StopCCNAlreadyExists {
		t.Fatalf("%v %v", m, err)
	}
}

// RFC 3931 section 5.4.3: "A StopCCN SHOULD be sent by the winner as an explicit rejection
// for the losing SCCRQ." The calls of the loser can be placed on the winner's tunnel.
func TestRejectionOfTheLosingSCCRQ(t *testing.T) {
	cfg := testConfig3()
	cfg.TieBreaker = true
	p := dial(t, cfg)
	p.step(PlaceCall{Ref: "a"})
	p.send(0, &l2tp.StopCCN{AssignedTunnelID: peerID, ResultCode: l2tp.ResultCode{Result: l2tp.StopCCNAlreadyExists}})
	if find[TunnelDown](p).Cause.Err != ErrTieLost || find[CallDown](p).Cause.Err != ErrTieLost {
		t.Errorf("%v", p.actions)
	}
}

// A tunnel of version 3 gives its peer up, and is gone, in the times of RFC 3931 section
// 4.2.
func TestTimesOfVersion3(t *testing.T) {
	cfg := testConfig3()
	cfg.SetupTimeout = -1
	p := dial(t, cfg)
	p.wait(71*time.Second - 1)
	if p.tunnel.State() != WaitCtlReply {
		t.Error(p.tunnel.State())
	}
	p.wait(1)
	if down := find[TunnelDown](p); down.Cause.Err != ErrUnreachable || strings.Contains(down.Cause.Result.Message, "digest") {
		t.Errorf("%v", down)
	}
}

// Who answers an SCCRQ of both versions in version 2 has to prove that it knows the
// secret, as it would in version 3: or somebody on the way could do without it.
func TestFallbackDoesNotSpareTheProof(t *testing.T) {
	cfg := fallbackConfig()
	cfg.Secret = []byte("s3cret") // and Challenge is false
	p := dial(t, cfg)
	sccrq, _ := sentOf[*l2tp.SCCRQ](p)
	if len(sccrq.Challenge) != challengeLen {
		t.Fatalf("Challenge % x", sccrq.Challenge)
	}
	p.version = l2tp.Version
	p.send(0, theirSCCRP())
	if down := find[TunnelDown](p); down.Cause.Err != ErrAuthentication {
		t.Errorf("%+v", down)
	}
	p = dial(t, cfg)
	p.version = l2tp.Version
	sccrq, _ = sentOf[*l2tp.SCCRQ](p)
	response := l2tp.ChallengeResponse(l2tp.TypeSCCRP, cfg.Secret, sccrq.Challenge)
	reply := theirSCCRP()
	reply.ChallengeResponse = response[:]
	p.send(0, reply)
	find[TunnelUp](p)
}
