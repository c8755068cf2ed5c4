package tunnel

import (
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"adit/proto/l2tp"
)

func testLine() []l2tp.AccessLineAVP {
	return []l2tp.AccessLineAVP{
		l2tp.AccessText(l2tp.AccessAgentCircuitID, "node eth 1/2"),
		l2tp.AccessRate(l2tp.AccessActualDataRateDownstream, 1<<40),
	}
}

// RFC 5515 section 3: "The Access Line AVPs are sent as part of the L2TP Incoming-
// Call-Request (ICRQ) control message."
func TestAccessLineSent(t *testing.T) {
	p := dialled(t, testConfig())
	line := testLine()
	p.step(PlaceCall{Call: Call{Access: line}})
	icrq, _ := sentOf[*l2tp.ICRQ](p)
	if !reflect.DeepEqual(icrq.AccessLine, testLine()) {
		t.Errorf("sent %v", icrq.AccessLine)
	}
	line[0].Value[0] = 'X'
	p.send(find[CallPlaced](p).Session, &l2tp.ICRP{AssignedSessionID: 600})
	if got := find[CallUp](p).Call.Access; !reflect.DeepEqual(got, testLine()) {
		t.Errorf("the call has %v: it was not copied", got)
	}
}

// A line that cannot be written ends its call and nothing else.
func TestAccessLineUnsendable(t *testing.T) {
	p := dialled(t, testConfig())
	p.step(PlaceCall{Call: Call{Access: []l2tp.AccessLineAVP{l2tp.AccessText(l2tp.AccessAgentRemoteID, "x")}}})
	if down := find[CallDown](p); !errors.Is(down.Cause.Err, ErrEncode) || !p.tunnel.Established() {
		t.Errorf("cause %+v, state %v", down.Cause, p.tunnel.State())
	}
}

func TestAccessLineReceived(t *testing.T) {
	p := accepted(t, testConfig())
	p.send(0, &l2tp.ICRQ{AssignedSessionID: 600, AccessLine: testLine()})
	requested := find[CallRequested](p)
	if !reflect.DeepEqual(requested.Call.Access, testLine()) {
		t.Errorf("requested %v", requested.Call.Access)
	}
	p.step(AcceptCall{Session: requested.Session})
	p.send(requested.Session, message(l2tp.TypeICCN))
	if up := find[CallUp](p); !reflect.DeepEqual(up.Call.Access, testLine()) {
		t.Errorf("up %v", up.Call.Access)
	}
}

// RFC 5515 section 4: "The Mandatory (M) bit within the Message Type AVP SHOULD be
// clear (i.e., not set) for the CSUN and CSURQ control messages, to allow for an
// L2TP Control Connection Endpoint (LCCE) to maintain the control connection if
// the message type is unknown." They are acknowledged, and that is all; what comes
// behind them is not held up.
func TestConnectSpeedUpdateIgnored(t *testing.T) {
	for _, messageType := range []uint16{28, 29} {
		p := accepted(t, testConfig())
		p.send(0, &l2tp.ICRQ{AssignedSessionID: 600})
		id := find[CallRequested](p).Session
		p.step(AcceptCall{Session: id})
		p.send(id, message(l2tp.TypeICCN))
		// Message Type, M clear; Connect Speed Update (97) of section 6.1.
		csun := []byte{0, 8, 0, 0, 0, 0, 0, byte(messageType), 0, 18, 0, 0, 0, 97, 0, 0}
		csun = binary.BigEndian.AppendUint16(csun, uint16(id))
		csun = append(csun, 0, 0xf, 0xa0, 0, 0, 0x1f, 0x40, 0)
		for _, session := range []uint32{0, id} {
			p.sendRaw(session, csun)
			actions := p.actions
			if drop := find[Drop](p); len(actions) != 1 || !errors.Is(drop.Reason, l2tp.ErrUnknownMessage) {
				t.Errorf("message %d: %v", messageType, actions)
			}
			sent := p.sent
			if len(sent) == 0 {
				p.wait(time.Second)
				sent = p.sent
			}
			if len(sent) != 1 || sent[0].Message != nil || sent[0].Nr != p.ns {
				t.Errorf("message %d is answered by %v, want a ZLB with Nr %d", messageType, sent, p.ns)
			}
		}
		p.send(id, &l2tp.CDN{AssignedSessionID: 600, ResultCode: l2tp.ResultCode{Result: 3}})
		if count[CallDown](p) != 1 || !p.tunnel.Established() {
			t.Errorf("after message %d: %v, %v", messageType, p.actions, p.tunnel.State())
		}
	}
}
