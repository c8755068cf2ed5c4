package tunnel

import (
	"testing"

	"adit/proto/l2tp"
)

// RFC 3931 section 5.4.4 of the Rx Connect Speed AVP: "Presence of this AVP implies that
// the connection speed may be asymmetric with respect to the transmit connect speed given
// in the Tx Connect Speed AVP." Every message of the set-up may have either or none of
// the two, and what it leaves out stays as it was said before.
func TestConnectSpeedsOfVersion3(t *testing.T) {
	for _, test := range []struct {
		name                string
		asked, connected    [2]uint64 // Tx, Rx; 0: absent
		wantAsked, wantCall [2]uint32
	}{
		{"both, then none", [2]uint64{9, 5}, [2]uint64{}, [2]uint32{9, 5}, [2]uint32{9, 5}},
		{"none, then both", [2]uint64{}, [2]uint64{9, 5}, [2]uint32{}, [2]uint32{9, 5}},
		{"both, then both", [2]uint64{1, 2}, [2]uint64{9, 5}, [2]uint32{1, 2}, [2]uint32{9, 5}},
		{"Rx alone", [2]uint64{0, 5}, [2]uint64{}, [2]uint32{0, 5}, [2]uint32{0, 5}},
		{"Tx, then Rx", [2]uint64{9, 0}, [2]uint64{0, 5}, [2]uint32{9, 0}, [2]uint32{9, 5}},
		{"both, then Tx: as fast both ways", [2]uint64{1, 2}, [2]uint64{9, 0}, [2]uint32{1, 2}, [2]uint32{9, 0}},
		{"what does not fit", [2]uint64{1 << 40, 1 << 32}, [2]uint64{}, [2]uint32{0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff}},
	} {
		p := dialled(t, testConfig3())
		m := icrq(600)
		m.TxConnectSpeed, m.RxConnectSpeed = test.asked[0], test.asked[1]
		p.send(0, m)
		asked := find[CallRequested](p)
		if got := [2]uint32{asked.Call.TxConnectSpeed, asked.Call.RxConnectSpeed}; got != test.wantAsked {
			t.Errorf("%s: asked with %d, want %d", test.name, got, test.wantAsked)
		}
		p.step(AcceptCall{Session: asked.Session})
		p.send(asked.Session, &l2tp.ICCN{AssignedSessionID: 600, TxConnectSpeed: test.connected[0], RxConnectSpeed: test.connected[1]})
		up := find[CallUp](p)
		if got := [2]uint32{up.Call.TxConnectSpeed, up.Call.RxConnectSpeed}; got != test.wantCall {
			t.Errorf("%s: up with %d, want %d", test.name, got, test.wantCall)
		}
	}
}
