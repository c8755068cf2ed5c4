package tunnel

import (
	"fmt"
	"testing"

	"adit/proto/l2tp"
)

// message makes a well-formed message of each type for the table tests. Session
// IDs that it assigns are 700.
func message(t l2tp.MessageType) l2tp.Message {
	switch t {
	case l2tp.TypeSCCRQ:
		return theirSCCRQ()
	case l2tp.TypeSCCRP:
		return theirSCCRP()
	case l2tp.TypeSCCCN:
		return &l2tp.SCCCN{}
	case l2tp.TypeStopCCN:
		return &l2tp.StopCCN{AssignedTunnelID: peerID, ResultCode: l2tp.ResultCode{Result: l2tp.StopCCNShuttingDown}}
	case l2tp.TypeHELLO:
		return &l2tp.HELLO{}
	case l2tp.TypeOCRQ:
		return &l2tp.OCRQ{AssignedSessionID: 700, MaximumBPS: 64000, BearerType: l2tp.BearerDigital, FramingType: l2tp.FramingSync, CalledNumber: "1",
			Request3: l2tp.Request3{PseudowireType: l2tp.PseudowirePPP},
			Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitActive},
		}
	case l2tp.TypeOCRP:
		return &l2tp.OCRP{AssignedSessionID: 700, Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitActive}}
	case l2tp.TypeOCCN:
		return &l2tp.OCCN{AssignedSessionID: 700, TxConnectSpeed: 64000, FramingType: l2tp.FramingSync}
	case l2tp.TypeICRQ:
		return icrq(700)
	case l2tp.TypeICRP:
		return &l2tp.ICRP{AssignedSessionID: 700, Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitActive}}
	case l2tp.TypeICCN:
		return &l2tp.ICCN{AssignedSessionID: 700, TxConnectSpeed: 64000, FramingType: l2tp.FramingSync}
	case l2tp.TypeCDN:
		return &l2tp.CDN{AssignedSessionID: 700, ResultCode: l2tp.ResultCode{Result: l2tp.CDNBusy}}
	case l2tp.TypeWEN:
		return &l2tp.WEN{AssignedSessionID: 700}
	case l2tp.TypeSLI:
		status := l2tp.CircuitStatus(0)
		return &l2tp.SLI{AssignedSessionID: 700, CircuitStatus: &status}
	case l2tp.TypeACK:
		return &l2tp.ACK{}
	}
	panic("no such message")
}

// icrq is an ICRQ that both versions can have.
func icrq(id uint32) *l2tp.ICRQ {
	return &l2tp.ICRQ{AssignedSessionID: id, Request3: l2tp.Request3{PseudowireType: l2tp.PseudowirePPP}, Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitActive}}
}

var allTypes = []l2tp.MessageType{
	l2tp.TypeSCCRQ, l2tp.TypeSCCRP, l2tp.TypeSCCCN, l2tp.TypeStopCCN, l2tp.TypeHELLO,
	l2tp.TypeOCRQ, l2tp.TypeOCRP, l2tp.TypeOCCN, l2tp.TypeICRQ, l2tp.TypeICRP, l2tp.TypeICCN,
	l2tp.TypeCDN, l2tp.TypeWEN, l2tp.TypeSLI,
}

// outcome sums up what a step did to the tunnel.
func (p *peer) outcome(before State) string {
	switch {
	case count[TunnelUp](p) > 0:
		return "up"
	case count[TunnelDown](p) > 0:
		c := find[TunnelDown](p).Cause
		if c.Remote {
			return "clean up"
		}
		stop, _ := sentOf[*l2tp.StopCCN](p)
		if stop.ResultCode != c.Result {
			p.t.Errorf("StopCCN says %v, TunnelDown %v", stop.ResultCode, c.Result)
		}
		return fmt.Sprintf("StopCCN %d", c.Result.Result)
	case p.tunnel.State() != before:
		return p.tunnel.State().String()
	case count[CallRequested](p) > 0:
		return "call"
	case len(p.sentTypes()) > 0:
		return fmt.Sprint("sends ", p.sentTypes())
	case count[Drop](p) > 0:
		return "drop"
	}
	return "none"
}

// RFC 2661 section 7.2.1, row by row; HELLO is fine everywhere (section 6.5: "A
// peer MUST NOT expect HELLO messages at any time or interval"), and what has no
// row is an improper sequence (section 7.1).
func TestEveryMessageInEveryTunnelState(t *testing.T) {
	want := map[State]map[l2tp.MessageType]string{
		WaitCtlReply: {l2tp.TypeSCCRP: "up", l2tp.TypeStopCCN: "clean up", l2tp.TypeHELLO: "none"},
		WaitCtlConn:  {l2tp.TypeSCCCN: "up", l2tp.TypeStopCCN: "clean up", l2tp.TypeHELLO: "none"},
		Established: {
			l2tp.TypeStopCCN: "clean up", l2tp.TypeHELLO: "none",
			l2tp.TypeICRQ: "call", l2tp.TypeOCRQ: "call",
			// The idle rows of sections 7.4 and 7.5: there is no session.
			l2tp.TypeICRP: "sends [CDN]", l2tp.TypeOCRP: "sends [CDN]",
			l2tp.TypeICCN: "drop", l2tp.TypeOCCN: "drop", l2tp.TypeCDN: "drop",
			l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop",
		},
		Dead: {},
	}
	otherwise := map[State]string{
		WaitCtlReply: "StopCCN 7", WaitCtlConn: "StopCCN 7", Established: "StopCCN 7", Dead: "drop",
	}
	in := map[State]func(*testing.T, Config) *peer{
		WaitCtlReply: func(t *testing.T, cfg Config) *peer { return dial(t, cfg) },
		WaitCtlConn:  func(t *testing.T, cfg Config) *peer { return accept(t, cfg, theirSCCRQ()) },
		Established:  func(t *testing.T, cfg Config) *peer { return dialled(t, cfg) },
		Dead: func(t *testing.T, cfg Config) *peer {
			p := dialled(t, cfg)
			p.step(Stop{})
			return p
		},
	}
	for name, config := range testConfigs {
		for state, begin := range in {
			for _, m := range allTypes {
				t.Run(name+"/"+state.String()+"/"+m.String(), func(t *testing.T) {
					p := begin(t, config())
					if p.tunnel.State() != state {
						t.Fatalf("state is %v", p.tunnel.State())
					}
					if state == WaitCtlReply && m != l2tp.TypeSCCRP {
						p.nonce = nil // it has not told any
					}
					p.send(0, message(m))
					expect, ok := want[state][m]
					if !ok {
						expect = otherwise[state]
					}
					if got := p.outcome(state); got != expect {
						t.Errorf("%s, want %s; actions %v, sent %v", got, expect, p.actions, p.sent)
					}
				})
			}
		}
	}
}

// callStage brings a call to a state; it returns our Session ID.
type callStage struct {
	table string // of RFC 2661
	state SessionState
	begin func(*testing.T, Config) (*peer, uint32)
}

func placeStage(d Direction, messages ...l2tp.Message) func(*testing.T, Config) (*peer, uint32) {
	return func(t *testing.T, cfg Config) (*peer, uint32) {
		p := dialled(t, cfg)
		p.step(PlaceCall{Ref: "ref", Call: Call{Direction: d, CalledNumber: "1"}})
		id := find[CallPlaced](p).Session
		for _, m := range messages {
			p.send(id, m)
		}
		p.ack()
		return p, id
	}
}

func requestStage(m l2tp.Message, then ...any) func(*testing.T, Config) (*peer, uint32) {
	return func(t *testing.T, cfg Config) (*peer, uint32) {
		p := dialled(t, cfg)
		p.send(0, m)
		id := find[CallRequested](p).Session
		for _, step := range then {
			switch step := step.(type) {
			case l2tp.Message:
				p.send(id, step)
			case AcceptCall:
				step.Session = id
				p.step(step)
			case ConnectCall:
				step.Session = id
				p.step(step)
			}
		}
		p.ack()
		return p, id
	}
}

var callStages = []callStage{
	{"7.4.1", CallWaitReply, placeStage(Incoming)},
	{"7.4.1", CallEstablished, placeStage(Incoming, &l2tp.ICRP{AssignedSessionID: 600})},
	{"7.4.2", CallWaitOwner, requestStage(icrq(600))},
	{"7.4.2", CallWaitConnect, requestStage(icrq(600), AcceptCall{Ref: "ref"})},
	{"7.4.2", CallEstablished, requestStage(icrq(600), AcceptCall{Ref: "ref"}, message(l2tp.TypeICCN))},
	{"7.5.1", CallWaitOwner, requestStage(ocrq(600))},
	{"7.5.1", CallWaitCSAnswer, requestStage(ocrq(600), AcceptCall{Ref: "ref"})},
	{"7.5.1", CallEstablished, requestStage(ocrq(600), AcceptCall{Ref: "ref", Connected: true})},
	{"7.5.2", CallWaitReply, placeStage(Outgoing)},
	{"7.5.2", CallWaitConnect, placeStage(Outgoing, &l2tp.OCRP{AssignedSessionID: 600})},
	{"7.5.2", CallEstablished, placeStage(Outgoing, &l2tp.OCRP{AssignedSessionID: 600}, message(l2tp.TypeOCCN))},
}

func ocrq(id uint32) *l2tp.OCRQ {
	m := message(l2tp.TypeOCRQ).(*l2tp.OCRQ)
	m.AssignedSessionID = id
	return m
}

// The tables of RFC 2661 sections 7.4.1, 7.4.2, 7.5.1 and 7.5.2: what is not
// here is "Send CDN, Clean up". SLI goes from LNS to LAC only, WEN from LAC to
// LNS only, and both need an established call.
var callRows = map[string]map[SessionState]map[l2tp.MessageType]string{
	"7.4.1": {
		CallWaitReply: {
			l2tp.TypeICRP: "established", l2tp.TypeICCN: "clean up", l2tp.TypeCDN: "clean up",
			l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop",
		},
		CallEstablished: {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "info", l2tp.TypeWEN: "drop"},
	},
	"7.4.2": {
		CallWaitOwner: {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop"},
		CallWaitConnect: {
			l2tp.TypeICCN: "established", l2tp.TypeCDN: "clean up",
			l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop",
		},
		CallEstablished: {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "drop", l2tp.TypeWEN: "errors"},
	},
	"7.5.1": {
		CallWaitOwner:    {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop"},
		CallWaitCSAnswer: {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop"},
		CallEstablished:  {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "info", l2tp.TypeWEN: "drop"},
	},
	"7.5.2": {
		CallWaitReply: {
			l2tp.TypeOCRP: "wait-connect", l2tp.TypeCDN: "clean up",
			l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop",
		},
		CallWaitConnect: {
			l2tp.TypeOCCN: "established", l2tp.TypeCDN: "clean up",
			l2tp.TypeSLI: "drop", l2tp.TypeWEN: "drop",
		},
		CallEstablished: {l2tp.TypeCDN: "clean up", l2tp.TypeSLI: "drop", l2tp.TypeWEN: "errors"},
	},
}

// callOutcome sums up what a step did to a call.
func (p *peer) callOutcome(id uint32, before SessionState) string {
	p.t.Helper()
	switch {
	case count[CallDown](p) > 0:
		down := find[CallDown](p)
		if down.Session != id {
			p.t.Errorf("CallDown for %d, want %d", down.Session, id)
		}
		if _, there := p.tunnel.Session(id); there {
			p.t.Error("the session is still there after CallDown")
		}
		if len(p.sentTypes()) == 0 {
			return "clean up"
		}
		cdn, _ := sentOf[*l2tp.CDN](p)
		if cdn.AssignedSessionID != id {
			p.t.Errorf("CDN assigns %d, want %d", cdn.AssignedSessionID, id)
		}
		return "CDN"
	case count[LinkInfo](p) > 0:
		return "info"
	case count[CircuitStatus](p) > 0:
		return "status"
	case count[WANErrors](p) > 0:
		return "errors"
	}
	s, there := p.tunnel.Session(id)
	switch {
	case !there:
		return "gone without CallDown"
	case s.State != before:
		return s.State.String()
	case count[Drop](p) > 0:
		return "drop"
	}
	return "none"
}

// callRow is what a message does in a state. The tables of RFC 3931 sections 7.3.1,
// 7.3.2, 7.4.2 and 7.4.1 are those of RFC 2661 but for the ties (v3tie_test.go). An
// SLI of version 3 tells the status of either end's circuit, before the session is up
// as well, and of a pseudowire both ends may be LACs, which send WEN.
func callRow(version uint8, stage callStage, m l2tp.MessageType) string {
	switch {
	case version == l2tp.Version3 && m == l2tp.TypeSLI && stage.state == CallEstablished:
		return "status"
	case version == l2tp.Version3 && m == l2tp.TypeSLI:
		return "none"
	case version == l2tp.Version3 && m == l2tp.TypeWEN && stage.state == CallEstablished:
		return "errors"
	}
	if want, ok := callRows[stage.table][stage.state][m]; ok {
		return want
	}
	return "CDN"
}

func TestEveryMessageInEveryCallState(t *testing.T) {
	for name, config := range testConfigs {
		t.Run(name, func(t *testing.T) { everyMessageInEveryCallState(t, config) })
	}
}

func everyMessageInEveryCallState(t *testing.T, config func() Config) {
	for _, stage := range callStages {
		for _, m := range allTypes {
			if !m.SessionLevel() {
				continue // TestEveryMessageInEveryTunnelState
			}
			t.Run(fmt.Sprintf("%s/%v/%v", stage.table, stage.state, m), func(t *testing.T) {
				p, id := stage.begin(t, config())
				s, ok := p.tunnel.Session(id)
				if !ok || s.State != stage.state {
					t.Fatalf("session %+v", s)
				}
				if lns := stage.table == "7.4.2" || stage.table == "7.5.2"; s.LNS != lns {
					t.Fatalf("LNS is %v", s.LNS)
				}
				p.send(id, message(m))
				want := callRow(p.version, stage, m)
				if got := p.callOutcome(id, stage.state); got != want {
					t.Errorf("%s, want %s; actions %v, sent %v", got, want, p.actions, p.sent)
				}
				if p.tunnel.State() != Established {
					t.Errorf("the tunnel is %v", p.tunnel.State())
				}
			})
		}
	}
}

// The rows "Local close request" and "Bearer line drop" of all four tables: "Send
// CDN, Clean up", and in wait-tunnel "Clean up" without a word.
func TestCloseInEveryCallState(t *testing.T) {
	for name, config := range testConfigs {
		t.Run(name, func(t *testing.T) { closeInEveryCallState(t, config) })
	}
}

func closeInEveryCallState(t *testing.T, config func() Config) {
	for _, stage := range callStages {
		t.Run(fmt.Sprintf("%s/%v", stage.table, stage.state), func(t *testing.T) {
			p, id := stage.begin(t, config())
			cause := Cause{
				Result: l2tp.ResultCode{Result: l2tp.CDNLossOfCarrier, Message: "line dropped"},
				Q931:   &l2tp.Q931Cause{Cause: 16, Message: 0x45, Advisory: "normal"},
				PPP:    &l2tp.PPPDisconnect{Code: l2tp.DisconnectNormal, Direction: l2tp.DirectionPeer},
			}
			s, _ := p.tunnel.Session(id)
			p.step(CloseCall{Session: id, Cause: cause})
			if got := p.callOutcome(id, stage.state); got != "CDN" {
				t.Fatalf("%s; actions %v, sent %v", got, p.actions, p.sent)
			}
			cdn, sent := sentOf[*l2tp.CDN](p)
			if to := sent.SessionID | cdn.RemoteSessionID; to != s.PeerID {
				t.Errorf("CDN to session %d, want %d", to, s.PeerID)
			}
			if cdn.ResultCode != cause.Result || *cdn.Q931Cause != *cause.Q931 || *cdn.PPPDisconnect != *cause.PPP {
				t.Errorf("CDN %v", describe(cdn))
			}
			if down := find[CallDown](p); down.Cause.Remote || down.Cause.Result != cause.Result {
				t.Errorf("CallDown %v", describe(down))
			}
			// "established | Receive CDN | Clean up": the peer's own CDN, which
			// crossed with ours, finds nothing and does nothing.
			p.send(id, message(l2tp.TypeCDN))
			if count[CallDown](p) != 0 || find[Drop](p).Reason != ErrUnknownSession || len(p.sentTypes()) != 0 {
				t.Errorf("crossing CDN: actions %v, sent %v", p.actions, p.sent)
			}
		})
	}
	t.Run("wait-tunnel", func(t *testing.T) {
		p := dial(t, config())
		p.step(PlaceCall{Ref: "ref"})
		id := find[CallPlaced](p).Session
		p.step(CloseCall{Session: id})
		if down := find[CallDown](p); down.Ref != "ref" || down.Session != id || len(p.sent) != 0 {
			t.Errorf("actions %v, sent %v", p.actions, p.sent)
		}
		p.send(0, theirSCCRP())
		if got := fmt.Sprint(p.sentTypes()); got != "[SCCCN]" {
			t.Errorf("sent %v", got)
		}
	})
}
