package tunnel

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"adit/proto/l2tp"
)

// "idle | Receive SCCRQ, not acceptable | Send StopCCN, Clean up | idle": the
// packet that Refuse makes ends the tunnel of whoever sent the SCCRQ.
func TestRefuse(t *testing.T) {
	p := dial(t, testConfig())
	sccrq, sent := sentOf[*l2tp.SCCRQ](p)
	result := l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized, Message: "not from here"}
	packet := Refuse([]byte("prefix"), sent.Header, sccrq, result, 77)
	if !bytes.HasPrefix(packet, []byte("prefix")) {
		t.Fatalf("dst is lost: %x", packet)
	}
	h, payload, err := l2tp.ParseHeader(packet[len("prefix"):])
	if err != nil || h.TunnelID != 10 || h.SessionID != 0 || h.Ns != 0 || h.Nr != 1 {
		t.Fatalf("header %+v, %v", h, err)
	}
	p.step(Receive{Header: h, Payload: payload})
	down := find[TunnelDown](p)
	if !down.Cause.Remote || down.Cause.Result != result {
		t.Errorf("cause %+v", down.Cause)
	}
	if got := Refuse(nil, sent.Header, nil, result, 77); got != nil {
		t.Errorf("an answer to nobody: %x", got)
	}
}

// Packets that cannot begin a tunnel make no state and get no answer.
func TestAcceptErrors(t *testing.T) {
	encode := func(m l2tp.Message) []byte {
		b, err := l2tp.AppendMessage(nil, m, l2tp.AppendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sccrq := encode(theirSCCRQ())
	first := l2tp.Header{Control: true, HasSequence: true, HasLength: true, Version: 2}
	second, data := first, first
	second.Ns = 1
	data.Control = false
	for name, c := range map[string]struct {
		h       l2tp.Header
		payload []byte
	}{
		"not first":            {second, sccrq},
		"data":                 {data, sccrq},
		"another message":      {first, encode(theirSCCRP())},
		"ZLB":                  {first, nil},
		"truncated":            {first, sccrq[:23]},
		"no tunnel ID":         {first, sccrq[:20]},
		"unknown message type": {first, []byte{0x80, 8, 0, 0, 0, 0, 0, 99}},
	} {
		tunnel, actions, err := Accept(epoch, testConfig(), c.h, c.payload)
		if tunnel != nil || actions != nil || err == nil {
			t.Errorf("%s: %v, %v, %v", name, tunnel, actions, err)
		}
	}
	if tunnel, _, err := Accept(epoch, testConfig(), first, sccrq); err != nil || tunnel.State() != WaitCtlConn {
		t.Errorf("the good one: %v", err)
	}
}

// An SCCRQ that cannot be read, but says whom to answer, is answered.
func TestAcceptAnswersUnreadable(t *testing.T) {
	payload, err := l2tp.AppendMessage(nil, theirSCCRQ(), l2tp.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	payload = append(payload, 0x80, 6, 0, 0, 3, 0xe7) // AVP 999 with the M bit
	h := l2tp.Header{Control: true, HasSequence: true, HasLength: true, Version: 2}
	tunnel, actions, err := Accept(epoch, testConfig(), h, payload)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, tunnel: tunnel}
	p.take(actions)
	stop, sent := sentOf[*l2tp.StopCCN](p)
	if sent.TunnelID != peerID || sent.Nr != 1 || stop.ResultCode.Error != l2tp.ErrorUnknownMandatoryAVP {
		t.Errorf("sent %v", sent)
	}
	if !strings.Contains(stop.ResultCode.Message, "999") {
		t.Errorf("the StopCCN does not name the AVP: %v", stop.ResultCode)
	}
	if find[Gone](p); tunnel.State() != Finished {
		t.Errorf("state %v", tunnel.State())
	}
}

// Without a host name, or without random numbers where they are needed, there is
// no tunnel, and a clear end at once.
func TestUnusableConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no host name":     {func(c *Config) { c.HostName = "" }, ErrEncode},
		"no tunnel ID":     {func(c *Config) { c.LocalID = 0 }, ErrEncode},
		"tie, no rand":     {func(c *Config) { c.TieBreaker, c.Rand = true, nil }, ErrRandom},
		"challenge, short": {func(c *Config) { c.Challenge, c.Secret, c.Rand = true, []byte("x"), strings.NewReader("short") }, ErrRandom},
		"no secret":        {func(c *Config) { c.Challenge = true }, ErrAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			c.change(&cfg)
			tunnel, actions := Dial(epoch, cfg)
			p := &peer{t: t, tunnel: tunnel}
			p.take(actions)
			if err := find[TunnelDown](p).Cause.Err; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if find[Gone](p); len(p.sent) != 0 || !tunnel.Deadline().IsZero() {
				t.Errorf("sent %v", p.sent)
			}
		})
	}
	cfg := testConfig()
	cfg.Rand = io.LimitReader(cfg.Rand, 2)
	p := dialled(t, cfg)
	p.step(PlaceCall{Ref: 1})
	p.step(PlaceCall{Ref: 2})
	if down := find[CallDown](p); down.Ref != 2 || down.Cause.Err != ErrRandom {
		t.Errorf("actions %v", p.actions)
	}
	// A refusal needs no randomness to be sent.
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 600})
	if cdn, _ := sentOf[*l2tp.CDN](p); cdn.AssignedSessionID == 0 || cdn.ResultCode.Result != l2tp.CDNNoFacilitiesTemporary {
		t.Errorf("sent %v", p.sent)
	}
}
