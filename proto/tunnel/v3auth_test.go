package tunnel

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
)

func secretConfig() Config { return testConfigs["v3 authenticated"]() }

// packets are the whole control messages among actions.
func packets(actions []Action) (out [][]byte) {
	for _, a := range actions {
		if s, ok := a.(Send); ok {
			out = append(out, bytes.Clone(s.Packet))
		}
	}
	return out
}

// byHand computes the digest of a message of ours with nothing but RFC 3931 section
// 5.4.1: the digest of 16 octets is at a fixed offset, after the header of 12, the
// Message Type AVP of 8, the header of its own AVP of 6 and the Digest Type.
func byHand(packet []byte, secret, nonces string) []byte {
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write([]byte{2})
	mac = hmac.New(md5.New, mac.Sum(nil))
	mac.Write([]byte(nonces))
	zeroed := bytes.Clone(packet)
	clear(zeroed[27:43])
	mac.Write(zeroed)
	return mac.Sum(nil)
}

// RFC 3931 section 5.4.1, "Calculation of the Message Digest", of the SCCRQ without
// nonces, of all else with them, and of a message that is sent again.
func TestDigestsOfOurs(t *testing.T) {
	cfg := secretConfig()
	core, actions := Dial(epoch, cfg)
	sccrq := packets(actions)[0]
	m, _ := l2tp.ParseMessage(l2tp.Version3, sccrq[12:], nil)
	ours := string(m.(*l2tp.SCCRQ).Nonce)
	if len(ours) != 16 || !bytes.Equal(byHand(sccrq, "s3cret", ""), sccrq[27:43]) {
		t.Fatalf("SCCRQ % x", sccrq)
	}
	p := newPeer(t, cfg)
	p.tunnel, p.to = core, cfg.LocalID
	p.take(actions)
	ev := p.event(0, theirSCCRP())
	scccn := packets(core.Step(epoch, ev))[0]
	nonces := ours + "the peer's nonce"
	if !bytes.Equal(byHand(scccn, "s3cret", nonces), scccn[27:43]) {
		t.Errorf("SCCCN % x", scccn)
	}
	again := packets(core.Step(core.Deadline(), Tick{}))[0]
	if !bytes.Equal(again, scccn) {
		t.Errorf("again % x", again)
	}
	_ = core.Step(core.now(), p.event(0, &l2tp.HELLO{}))
	again = packets(core.Step(core.Deadline(), Tick{}))[0]
	if bytes.Equal(again[27:43], scccn[27:43]) || !bytes.Equal(byHand(again, "s3cret", nonces), again[27:43]) {
		t.Errorf("with a newer Nr % x", again)
	}
}

func (t *Tunnel) now() time.Time { return t.ch.LastReceived() }

// RFC 3931 section 5.4.1: "If the calculation fails, the message MUST be dropped." Of a
// good message with any one bit turned nothing is believed: no state changes, nothing is
// sent, nothing is acknowledged. With its bits right it is taken.
func TestEveryBitCounts(t *testing.T) {
	for name, begin := range map[string]func() (*peer, Receive){
		"HELLO": func() (*peer, Receive) { p := dialled(t, secretConfig()); return p, p.event(0, &l2tp.HELLO{}) },
		"StopCCN": func() (*peer, Receive) {
			p := accepted(t, secretConfig())
			return p, p.event(0, message(l2tp.TypeStopCCN))
		},
		"ACK": func() (*peer, Receive) {
			p := dial(t, secretConfig())
			p.send(0, theirSCCRP())
			return p, p.event(0, &l2tp.ACK{})
		},
		"SCCCN": func() (*peer, Receive) {
			p := accept(t, secretConfig(), theirSCCRQ())
			return p, p.event(0, &l2tp.SCCCN{})
		},
		"SCCRP": func() (*peer, Receive) { p := dial(t, secretConfig()); return p, p.event(0, theirSCCRP()) },
	} {
		p, good := begin()
		state, stats := p.tunnel.State(), p.tunnel.ch.Stats()
		for bit := range 8 * len(good.Packet) {
			packet := bytes.Clone(good.Packet)
			packet[bit/8] ^= 1 << (bit % 8)
			h, payload, err := l2tp.ParseHeader(packet)
			if err != nil || !h.Control {
				continue // it does not get as far
			}
			if bit/8 < 2 && versionOf(h) == l2tp.Version3 {
				continue // a reserved bit that the digest covers and the header does not keep
			}
			p.step(Receive{Header: h, Payload: payload, Packet: packet})
			drop := find[Drop](p).Reason
			if drop != ErrDigest && drop != ErrWrongTunnel && drop != ErrWrongVersion {
				t.Fatalf("%s, bit %d: %v", name, bit, drop)
			}
			if len(p.actions) != 1 || len(p.sent) != 0 || p.tunnel.State() != state || p.tunnel.ch.Stats() != stats {
				t.Fatalf("%s, bit %d: actions %v, sent %v, %v", name, bit, p.actions, p.sent, p.tunnel.State())
			}
		}
		if p.tunnel.Stats().AuthFailures == 0 {
			t.Errorf("%s: no failure counted", name)
		}
		p.step(good)
		if count[Drop](p) != 0 || p.tunnel.ch.Stats() == stats {
			t.Errorf("%s: the good message: %v", name, p.actions)
		}
	}
}

// RFC 3931 section 6.15: "ZLB messages are only permitted when Control Message
// Authentication [...] is not enabled", and section 5.4.1: "at least one Message Digest
// AVP MUST be present in all messages".
func TestNothingWithoutDigest(t *testing.T) {
	p := dialled(t, secretConfig())
	p.digests = nil
	for _, ev := range []Receive{p.packet(0, nil), p.event(0, &l2tp.ACK{}), p.event(0, &l2tp.HELLO{}), p.event(0, message(l2tp.TypeStopCCN)), {
		// Nor with a digest that nobody can check.
		Header: l2tp.Header{Control: true, Version: l2tp.Version3, TunnelID: p.to, Ns: 1}, Payload: []byte("\x80\x08\x00\x00\x00\x00\x00\x06"),
	}} {
		p.step(ev)
		if find[Drop](p).Reason != ErrDigest || len(p.actions) != 1 || len(p.sent) != 0 {
			t.Errorf("%+v: %v, sent %v", ev.Header, p.actions, p.sent)
		}
	}
	if !p.tunnel.Established() {
		t.Error(p.tunnel.State())
	}
}

// RFC 3931 section 4.3: "Control Message Authentication is always bidirectional; either
// both sides participate in authentication, or neither does."
func TestAuthenticationOfOneEndOnly(t *testing.T) {
	check := func(name string, p *peer, word string) {
		t.Helper()
		stop, sent := sentOf[*l2tp.StopCCN](p)
		down := find[TunnelDown](p)
		if stop.ResultCode.Result != l2tp.StopCCNNotAuthorized || sent.TunnelID != peerID || down.Cause.Err != ErrAuthentication ||
			!strings.Contains(stop.ResultCode.Message, word) || p.tunnel.Stats().AuthFailures != 1 {
			t.Errorf("%s: %v, %v", name, stop, p.actions)
		}
	}
	// The peer would drop a StopCCN with a digest that it cannot check.
	unsigned := func(p *peer) {
		t.Helper()
		if l2tp.HasDigest(p.last) {
			t.Error("the StopCCN has a digest")
		}
	}
	cfg := secretConfig()
	p := newPeer(t, testConfig3())
	p.secret = nil
	p.accept(cfg, theirSCCRQ())
	check("no nonce in SCCRQ", p, "Nonce")
	unsigned(p)
	find[Gone](p)

	p = newPeer(t, cfg)
	ev := p.event(0, theirSCCRQ())
	core, actions, err := AcceptPacket(epoch, testConfig3(), ev)
	if err != nil {
		t.Fatal(err)
	}
	p.tunnel, p.digests = core, nil
	p.take(actions)
	check("nonce in SCCRQ and no secret", p, "no secret")

	// It has our nonce, and a digest by it, but sends none of its own.
	p = dial(t, cfg)
	p.nonce = nil
	p.send(0, theirSCCRP())
	check("no nonce in SCCRP", p, "Nonce")

	p = dial(t, testConfig3())
	p.nonce, p.secret, p.digests = []byte("nonce"), []byte("secret"), []l2tp.DigestType{l2tp.DigestMD5}
	ev = p.event(0, theirSCCRP())
	p.digests = nil
	p.step(ev)
	check("nonce in SCCRP and no secret", p, "no secret")
}

// An SCCRQ with a wrong digest makes no tunnel and gets no answer.
func TestAcceptWrongDigest(t *testing.T) {
	p := newPeer(t, secretConfig())
	p.secret = []byte("another")
	ev := p.event(0, theirSCCRQ())
	core, actions, err := AcceptPacket(epoch, secretConfig(), ev)
	if core != nil || actions != nil || !errors.Is(err, ErrDigest) {
		t.Errorf("%v %v %v", core, actions, err)
	}
	// Nor one whose packet is not there to be checked.
	p.secret = []byte("s3cret")
	ev = p.event(0, theirSCCRQ())
	if core, _, err = Accept(epoch, secretConfig(), ev.Header, ev.Payload); core != nil || err != ErrNotFirst && err != ErrDigest {
		t.Errorf("%v %v", core, err)
	}
}

// RFC 3931 section 5.4.1: "two shared secrets MAY be configured for a given LCCE. [...]
// each (separately) MUST be used for calculating a digest to be compared to the Message
// Digest(s) received."
func TestTwoSecrets(t *testing.T) {
	for secret, want := range map[string]bool{"new": true, "old": true, "wrong": false} {
		ours := testConfig3()
		ours.Secret, ours.OtherSecret = []byte("new"), []byte("old")
		theirs := testConfig3()
		theirs.Secret = []byte(secret)
		// They dial, and we; helper_test.go checks each digest of ours with their secret.
		p := newPeer(t, theirs)
		ev := p.event(0, theirSCCRQ())
		core, actions, err := AcceptPacket(epoch, ours, ev)
		if (err == nil) != want {
			t.Fatalf("%s: Accept: %v", secret, err)
		}
		if want {
			p.tunnel, p.to = core, ours.LocalID
			p.take(actions)
			p.send(0, &l2tp.SCCCN{})
			p.send(0, icrq(600))
			p.step(Stop{})
			_, _ = sentOf[*l2tp.StopCCN](p)
		}
		p = newPeer(t, theirs)
		if !want {
			p.digests = nil // for there is nothing to be checked
		}
		core, actions = Dial(epoch, ours)
		p.tunnel, p.to = core, ours.LocalID
		p.take(actions)
		p.digests = []l2tp.DigestType{l2tp.DigestMD5}
		p.send(0, theirSCCRP())
		if p.tunnel.Established() != want {
			t.Errorf("%s: Dial: %v", secret, p.actions)
		}
	}
}

// RFC 3931 section 4.3: the nonces "guard against control message spoofing and replay
// attacks". Whoever has recorded a whole conversation can begin another one with its
// SCCRQ, and gets no further.
func TestReplay(t *testing.T) {
	cfg := secretConfig()
	p := newPeer(t, cfg)
	var recorded []Receive
	record := func(ev Receive) Receive { recorded = append(recorded, ev); return ev }
	core, actions, err := AcceptPacket(epoch, cfg, record(p.event(0, theirSCCRQ())))
	if err != nil {
		t.Fatal(err)
	}
	p.tunnel, p.to = core, cfg.LocalID
	p.take(actions)
	p.step(record(p.event(0, &l2tp.SCCCN{})))
	p.step(record(p.event(0, icrq(600))))
	p.step(record(p.event(0, message(l2tp.TypeStopCCN))))
	if p.tunnel.State() != Dead || len(recorded) != 4 {
		t.Fatal(p.tunnel.State())
	}
	other := secretConfig()
	other.Rand = &counter{next: 100} // the same tunnel ID, and a nonce of its own
	core, actions, err = AcceptPacket(epoch, other, recorded[0])
	if err != nil {
		t.Fatal(err)
	}
	p = newPeer(t, other)
	p.tunnel, p.to = core, other.LocalID
	p.take(actions)
	for i, ev := range recorded[1:] {
		p.step(ev)
		if len(p.actions) != 1 || find[Drop](p).Reason != ErrDigest || len(p.sent) != 0 {
			t.Errorf("message %d: %v, sent %v", i+1, p.actions, p.sent)
		}
	}
	// The SCCRQ of a tunnel that lives is one that was sent again.
	if !core.Began(recorded[0].Payload) {
		t.Error("it does not know its SCCRQ")
	}
	p.step(recorded[0])
	if p.tunnel.State() != WaitCtlConn || len(p.sentTypes()) != 0 || len(p.sent) != 1 {
		t.Errorf("%v, sent %v", p.actions, p.sent)
	}
	p.wait(20 * time.Minute)
	find[Gone](p)
}

// RFC 3931 section 4.3: "If Control Message Authentication is disabled, the Message
// Digest AVP still MAY be sent as an integrity check of the message."
func TestIntegrityCheck(t *testing.T) {
	cfg := testConfig3()
	cfg.Digests = []l2tp.DigestType{l2tp.DigestSHA1}
	for _, digests := range [][]l2tp.DigestType{nil, {l2tp.DigestMD5}, {l2tp.DigestSHA1}} {
		p := newPeer(t, cfg)
		p.digests = digests
		p.accept(cfg, theirSCCRQ())
		p.send(0, &l2tp.SCCCN{})
		if !p.tunnel.Established() || !l2tp.HasDigest(p.last) {
			t.Errorf("%v: %v", digests, p.actions)
		}
		ev := p.event(0, &l2tp.HELLO{})
		ev.Packet[len(ev.Packet)-1] ^= 1
		p.step(ev)
		if dropped := count[Drop](p) == 1 && find[Drop](p).Reason == ErrDigest; dropped != (digests != nil) {
			t.Errorf("%v: damaged: %v", digests, p.actions)
		}
	}
	// Also where we send none ourselves.
	p := newPeer(t, testConfig3())
	p.digests = []l2tp.DigestType{l2tp.DigestMD5}
	ev := p.event(0, theirSCCRQ())
	ev.Packet[30] ^= 1
	if _, _, err := AcceptPacket(epoch, testConfig3(), ev); err != ErrDigest {
		t.Error(err)
	}
}

// A StopCCN of an end that has not seen the other's nonce is signed with its own alone.
func TestStopBeforeTheNoncesAreKnown(t *testing.T) {
	// The initiator gives up before our SCCRP reached it.
	p := accept(t, secretConfig(), theirSCCRQ())
	p.to, p.theirs = 0, nil
	p.send(0, message(l2tp.TypeStopCCN))
	if !find[TunnelDown](p).Cause.Remote {
		t.Error(p.actions)
	}
	if m := p.sent[0].Message; len(p.sent) != 1 || m == nil || m.Type() != l2tp.TypeACK {
		t.Errorf("sent %v", p.sent)
	}
	// We do; helper_test.go checks it.
	p = dial(t, secretConfig())
	p.nonce = nil
	p.step(Stop{})
	p.wait(2 * time.Second) // the SCCRQ again, then nothing, as the StopCCN waits for the window
	ev := p.event(0, message(l2tp.TypeStopCCN))
	p.step(ev)
	if p.tunnel.State() != Dead {
		t.Error(p.tunnel.State())
	}
	// The recipient refuses our SCCRQ.
	p = dial(t, secretConfig())
	p.nonce = nil
	p.send(0, message(l2tp.TypeStopCCN))
	if down := find[TunnelDown](p); !down.Cause.Remote || down.Cause.Result.Result != l2tp.StopCCNShuttingDown {
		t.Error(p.actions)
	}
}

// What is wrong between two ends that drop each other's messages is said to their
// operators.
func TestSilentFailureIsExplained(t *testing.T) {
	p := dial(t, secretConfig())
	p.secret = []byte("another")
	p.step(p.event(0, theirSCCRP()))
	p.digests = nil
	p.wait(3 * time.Minute)
	down := find[TunnelDown](p)
	if !strings.Contains(down.Cause.Result.Message, "the same secret") {
		t.Errorf("%v", down)
	}
}

// RFC 3931 has no Challenge.
func TestNoChallengeInVersion3(t *testing.T) {
	cfg := secretConfig()
	cfg.Challenge = true
	p := dialled(t, cfg)
	if !p.tunnel.Established() || p.tunnel.challenge != nil {
		t.Error(p.actions)
	}
}

// RFC 3931 section 5.4.1: "This message authenticity and integrity checking MUST be
// performed before utilizing any information contained within the control message." So an
// SCCRP that somebody without the secret has made does not end the set-up, nor
// acknowledge our SCCRQ, and the peer's is taken after it.
func TestForgedReplyEndsNothing(t *testing.T) {
	for name, forge := range map[string]func(p *peer){
		"neither nonce nor digest": func(p *peer) { p.nonce, p.digests = nil, nil },
		"no nonce, wrong secret":   func(p *peer) { p.nonce, p.secret = nil, []byte("wrong") },
		"nonce without digest":     func(p *peer) { p.digests = nil },
		"integrity check alone":    func(p *peer) { p.nonce, p.secret = nil, nil },
	} {
		p := dial(t, secretConfig())
		good := p.event(0, theirSCCRP())
		forger, stats := *p, p.tunnel.ch.Stats()
		forge(&forger)
		for _, m := range []l2tp.Message{theirSCCRP(), message(l2tp.TypeStopCCN)} {
			forger.ns = 0
			p.step(forger.event(0, m))
			if len(p.actions) != 1 || find[Drop](p).Reason != ErrDigest || p.tunnel.ch.Stats() != stats {
				t.Errorf("%s, %v: %v", name, m.Type(), p.actions)
			}
		}
		p.step(good)
		if !p.tunnel.Established() {
			t.Errorf("%s: then the peer's own: %v", name, p.actions)
		}
	}
}

// RefusePacket's StopCCN is one that a peer with the same secret believes, and nothing
// comes of an SCCRQ that the peer has not sent.
func TestRefusePacket(t *testing.T) {
	result := l2tp.ResultCode{Result: l2tp.StopCCNAlreadyExists, Message: "ours has won"}
	for name, config := range testConfigs {
		cfg := config()
		cfg.TieBreaker = true
		core, actions := Dial(epoch, cfg)
		sccrq := packets(actions)[0]
		receive := func(packet []byte) Receive {
			h, payload, err := l2tp.ParseHeader(packet)
			if err != nil {
				t.Fatal(err)
			}
			return Receive{Header: h, Payload: payload, Packet: packet}
		}
		other := config()
		other.LocalID++
		actions, err := RefusePacket(epoch, other, receive(sccrq), result)
		if sent := packets(actions); err != nil || len(sent) != 1 {
			t.Fatalf("%s: %v, %d packets", name, err, len(sent))
		}
		var down TunnelDown
		for _, a := range core.Step(epoch, receive(packets(actions)[0])) {
			if d, ok := a.(TunnelDown); ok {
				down = d
			}
		}
		if !down.Cause.Remote || down.Cause.Result != result || (down.Cause.Err == ErrTieLost) != (cfg.Version == l2tp.Version3) {
			t.Errorf("%s: %+v", name, down)
		}
		if len(cfg.Secret) == 0 || cfg.Version != l2tp.Version3 {
			continue
		}
		forged := bytes.Clone(sccrq)
		forged[len(forged)-1] ^= 1
		if actions, err = RefusePacket(epoch, other, receive(forged), result); err != ErrDigest || actions != nil {
			t.Errorf("%s: %v, %v", name, actions, err)
		}
	}
}
