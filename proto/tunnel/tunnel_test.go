package tunnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// A value that does not fit ends the call it belongs to, and only that.
func TestUnsendableCall(t *testing.T) {
	p := dialled(t, testConfig())
	p.step(PlaceCall{Ref: "long", Call: Call{CalledNumber: strings.Repeat("1", 2000)}})
	if down := find[CallDown](p); !errors.Is(down.Cause.Err, ErrEncode) {
		t.Errorf("cause %+v", down.Cause)
	}
	// The ICRQ fits and the ICCN does not: then the peer has to be told.
	p.step(PlaceCall{Ref: "group", Call: Call{PrivateGroupID: make([]byte, 2000)}})
	id := find[CallPlaced](p).Session
	p.send(id, &l2tp.ICRP{AssignedSessionID: 600})
	if down := find[CallDown](p); down.Ref != "group" || !errors.Is(down.Cause.Err, ErrEncode) {
		t.Errorf("cause %+v", down.Cause)
	}
	if cdn, sent := sentOf[*l2tp.CDN](p); sent.SessionID != 600 || cdn.ResultCode.Error != l2tp.ErrorValue {
		t.Errorf("sent %v", p.sent)
	}
	if count[CallUp](p) != 0 || !p.tunnel.Established() {
		t.Errorf("actions %v, state %v", p.actions, p.tunnel.State())
	}
	leaked(t, p.tunnel)
}

// What the owner hands in is copied, and what the peer sent is not kept.
func TestCallIsCopied(t *testing.T) {
	p := dialled(t, testConfig())
	channel, group, last := uint32(7), []byte("group"), []byte("last")
	p.step(PlaceCall{Call: Call{
		PhysicalChannelID: &channel, PrivateGroupID: group,
		ProxyLCP:  &l2tp.ProxyLCP{LastSent: last},
		ProxyAuth: &l2tp.ProxyAuth{Type: l2tp.ProxyAuthPAP, Name: "n", Response: last},
	}})
	channel = 8
	group[0], last[0] = 'X', 'X'
	p.send(find[CallPlaced](p).Session, &l2tp.ICRP{AssignedSessionID: 600})
	iccn, _ := sentOf[*l2tp.ICCN](p)
	if string(iccn.PrivateGroupID) != "group" || string(iccn.ProxyLCP.LastSent) != "last" || string(iccn.ProxyAuth.Response) != "last" {
		t.Errorf("ICCN %v", describe(iccn))
	}
	if c := find[CallUp](p).Call; *c.PhysicalChannelID != 7 {
		t.Errorf("channel %d", *c.PhysicalChannelID)
	}
}

// The counters of Stats, and the accessors.
func TestStats(t *testing.T) {
	p := accepted(t, testConfig())
	p.now = p.now.Add(time.Second)
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 600})
	id := find[CallRequested](p).Session
	p.step(AcceptCall{Session: id})
	p.send(id, message(l2tp.TypeICCN))
	p.send(9, &l2tp.ICRQ{AssignedSessionID: 601})
	s := p.tunnel.Stats()
	if s.SessionsOpened != 1 || s.Refused != 1 || s.Received != 5 || s.Sent != 3 ||
		!s.EstablishedAt.Equal(epoch) || !s.LastReceived.Equal(p.now) || s.AuthFailures != 0 {
		t.Errorf("%+v", s)
	}
	n := 0
	for range p.tunnel.Sessions() {
		n++
		break
	}
	if n != 1 || p.tunnel.Len() != 1 || p.tunnel.LocalID() != 10 || p.tunnel.Initiator() || p.tunnel.Peer().HostName != "there" {
		t.Errorf("%d sessions, %+v", n, p.tunnel.Peer())
	}
}

// What can be printed has a name.
func TestStrings(t *testing.T) {
	for v, want := range map[fmt.Stringer]string{
		WaitCtlReply: "wait-ctl-reply", WaitCtlConn: "wait-ctl-conn", Established: "established",
		Dead: "dead", Finished: "finished", State(99): "State(99)",
		CallWaitTunnel: "wait-tunnel", CallWaitReply: "wait-reply", CallWaitOwner: "wait-owner",
		CallWaitConnect: "wait-connect", CallWaitCSAnswer: "wait-cs-answer",
		CallEstablished: "established", SessionState(99): "SessionState(99)",
		Incoming: "incoming", Outgoing: "outgoing", Direction(9): "Direction(9)",
		Both: "both", Ours: "ours", Theirs: "theirs", Neither: "neither", Winner(9): "Winner(9)",
	} {
		if got := v.String(); got != want {
			t.Errorf("%#v is %q, want %q", v, got, want)
		}
	}
}

// Packets that the owner should not have given to this tunnel change nothing.
func TestWrongHeader(t *testing.T) {
	p := dialled(t, testConfig())
	payload, err := l2tp.AppendMessage(nil, message(l2tp.TypeStopCCN), l2tp.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*l2tp.Header)
		want   error
	}{
		"data":           {func(h *l2tp.Header) { h.Control = false }, ErrUnexpected},
		"another tunnel": {func(h *l2tp.Header) { h.TunnelID = 11 }, ErrWrongTunnel},
		"no sequence":    {func(h *l2tp.Header) { h.HasSequence = false }, reliable.DropNotControl},
		"future Nr":      {func(h *l2tp.Header) { h.Nr = 999 }, reliable.DropNeverSent},
	} {
		h := p.header(0, nil)
		c.change(&h)
		p.step(Receive{Header: h, Payload: payload})
		if got := find[Drop](p).Reason; got != c.want || p.tunnel.State() != Established || len(p.sent) != 0 {
			t.Errorf("%s: %v, want %v; state %v, sent %v", name, got, c.want, p.tunnel.State(), p.sent)
		}
	}
}
