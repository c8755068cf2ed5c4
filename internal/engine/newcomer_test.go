package engine

import (
	"testing"

	"adit/proto/l2tp"
)

// RFC 3931 section 5.4.3: "The Router Identifier is a 4-octet unsigned integer." 0 is one, so an
// SCCRQ that has it offers version 3 as any other does.
func TestOfferOfRouterIDZero(t *testing.T) {
	for _, id := range []uint32{0, 1} {
		sccrq := &l2tp.SCCRQ{
			HostName: "lac", AssignedTunnelID: 7, ControlConnectionID: 7,
			RouterID: id, Pseudowires: []l2tp.PseudowireType{l2tp.PseudowirePPP},
		}
		payload, err := l2tp.AppendMessage(nil, sccrq, l2tp.AppendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r, ok := readRequest(l2tp.Version, payload)
		if !ok || !r.offers3 || r.routerID != id || r.tunnelID != 7 {
			t.Errorf("Router ID %d: %+v, %v", id, r, ok)
		}
		if !r.may(l2tp.Version) || !r.may(l2tp.Version3) {
			t.Errorf("Router ID %d: it may be answered in both versions: %+v", id, r)
		}
	}
}
