package tunnel

import (
	"testing"

	"adit/proto/l2tp"
)

// RFC 3931 section 5.4.4: "Session-level control messages defined in this document that
// might be subject to a reverse lookup by a receiving peer include the CDN, WEN, and SLI."
// That such a message cannot be read does not change whose it is.
func TestUnreadableMessageIsLookedUpByThePeersID(t *testing.T) {
	status := l2tp.CircuitStatus(0)
	for _, m := range []l2tp.Message{
		&l2tp.SLI{AssignedSessionID: 600, CircuitStatus: &status},
		&l2tp.WEN{AssignedSessionID: 600},
		&l2tp.CDN{AssignedSessionID: 600, ResultCode: l2tp.ResultCode{Result: l2tp.CDNAdministrative}},
	} {
		p, id := requestStage(icrq(600), AcceptCall{Ref: "ref"})(t, testConfig3())
		m.Rest().Extra = []l2tp.AVP{{Mandatory: true, Type: 999}}
		p.send(0, m)
		if down, n := find[CallDown](p), count[CallDown](p); n != 1 || down.Session != id || down.Ref != "ref" || p.tunnel.Len() != 0 {
			t.Errorf("%s: %v", m.Type(), p.actions)
		}
		cdns := 0
		for _, sent := range p.sentTypes() {
			if sent == l2tp.TypeCDN {
				cdns++
			}
		}
		if want := m.Type() != l2tp.TypeCDN; (cdns == 1) != want {
			t.Errorf("%s: %d CDNs", m.Type(), cdns)
		}
	}
}

// Nothing is found by an ID that nobody has, and least of all by 0.
func TestFindNothing(t *testing.T) {
	for name, config := range testConfigs {
		p, id := requestStage(icrq(600), AcceptCall{Ref: "ref"})(t, config())
		if p.tunnel.find(id, 0) == nil || p.tunnel.find(0, 600) == nil {
			t.Errorf("%s: the session is not found", name)
		}
		if p.tunnel.find(0, 0) != nil || p.tunnel.find(id+1, 600) != nil || p.tunnel.find(0, 601) != nil {
			t.Errorf("%s: a session is found by the ID of none", name)
		}
	}
}
