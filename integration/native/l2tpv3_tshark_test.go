package native

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/proto/l2tp"
)

// The two ends of the dissected control connection.
var (
	dissectedA = netip.MustParseAddr("192.0.2.1")
	dissectedB = netip.MustParseAddr("192.0.2.2")
)

const (
	idOfA = 0x0a0b0c0d // Control Connection IDs: 168496141
	idOfB = 0x81020304 // 2164392708
)

// dissected is one packet, and what tshark has to say of it: the fields of want and no
// other ones that any row has.
type dissected struct {
	fromB bool
	msg   l2tp.Message // a control message; nil: data
	data  l2tp.DataHeader3
	frame string // hex
	// avps are the types of the AVPs, mandatory their M bits.
	avps, mandatory string
	want            map[string]string
}

// unknownAVP is what tshark says of the Application ID, AVP 67, of which it reads the
// header alone, as no RFC defines it.
const unknownAVP = "Vendor-Specific AVP data"

func pointer[T any](v T) *T { return &v }

// controlRows are every message of version 3 in an order that makes sense, with the
// values of its fields as tshark writes them.
func controlRows(nonceA, nonceB []byte) []dissected {
	return []dissected{
		{msg: &l2tp.SCCRQ{
			HostName: "a.example", RouterID: 0xc0000201, AssignedTunnelID: idOfA, Nonce: nonceA,
			Pseudowires:       []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowireHDLC, l2tp.PseudowireATMAAL5},
			PreferredLanguage: "en", ReceiveWindowSize: 16, TieBreaker: pointer[uint64](0x0102030405060708), VendorName: "adit",
		}, avps: "0,59,7,60,73,61,62,72,10,5,8", mandatory: "1,1,1,1,1,1,1,0,1,1,0", want: map[string]string{
			"l2tp.avp.message_type": "1", "l2tp.avp.host_name": "a.example", "l2tp.avp.router_id": "3221225985",
			"l2tp.avp.assigned_control_conn_id": "168496141", "l2tp.avp.nonce": "000102030405060708090a0b0c0d0e0f",
			"l2tp.avp.pw_type": "5,6,2", "l2tp.avp.preferred_language": "en", "l2tp.avp.receive_window_size": "16",
			"l2tp.tie_breaker": "0x0102030405060708", "l2tp.avp.vendor_name": "adit",
		}},
		{fromB: true, msg: &l2tp.SCCRP{
			HostName: "b.example", RouterID: 7, AssignedTunnelID: idOfB, Nonce: nonceB,
			Pseudowires: []l2tp.PseudowireType{l2tp.PseudowireEthernet}, PreferredLanguage: "de", ReceiveWindowSize: 4, VendorName: "b",
		}, avps: "0,59,7,60,73,61,62,72,8,10", mandatory: "1,1,1,1,1,1,1,0,0,1", want: map[string]string{
			"l2tp.avp.message_type": "2", "l2tp.avp.host_name": "b.example", "l2tp.avp.router_id": "7",
			"l2tp.avp.assigned_control_conn_id": "2164392708", "l2tp.avp.nonce": "a0a1a2a3a4a5a6a7a8a9",
			"l2tp.avp.pw_type": "5", "l2tp.avp.preferred_language": "de", "l2tp.avp.receive_window_size": "4", "l2tp.avp.vendor_name": "b",
		}},
		{msg: &l2tp.SCCCN{}, avps: "0,59", mandatory: "1,1", want: map[string]string{"l2tp.avp.message_type": "3"}},
		{fromB: true, msg: &l2tp.ACK{}, avps: "0,59", mandatory: "1,1", want: map[string]string{"l2tp.avp.message_type": "20"}},
		{msg: &l2tp.HELLO{}, avps: "0,59", mandatory: "1,1", want: map[string]string{"l2tp.avp.message_type": "6"}},
		{msg: &l2tp.ICRQ{
			AssignedSessionID: 0xaaaaaaaa, CallSerialNumber: 9, PhysicalChannelID: pointer[uint32](77),
			Request3: l2tp.Request3{PseudowireType: l2tp.PseudowireEthernet, RemoteEndID: []byte("office"), ApplicationID: pointer[uint16](0), SessionTie: pointer[uint64](0x1112131415161718)},
			Session3: l2tp.Session3{
				CircuitStatus: l2tp.CircuitActive | l2tp.CircuitNew,
				Cookie:        []byte{0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8}, Sublayer: l2tp.SublayerDefault,
				Sequencing: l2tp.SequencingAll, TxConnectSpeed: 10_000_000_000, RxConnectSpeed: 20_000_000_000,
			},
		}, avps: "0,59,63,64,15,68,66,67,5,71,65,69,70,74,75,25", mandatory: "1,1,1,1,0,1,1,0,1,1,1,1,1,0,0,0", want: map[string]string{
			"l2tp.avp.message_type": "10", "l2tp.avp.local_session_id": "2863311530", "l2tp.avp.remote_session_id": "0",
			"l2tp.avp.call_serial_number": "9", "l2tp.avp.pseudowire_type": "5", "l2tp.avp.remote_end_id": "office",
			"_ws.expert.message": unknownAVP,
			"l2tp.tie_breaker":   "0x1112131415161718", "l2tp.avp.circuit_status": "1", "l2tp.avp.circuit_type": "1",
			"l2tp.avp.assigned_cookie": "a1a2a3a4a5a6a7a8", "l2tp.avp.layer2_specific_sublayer": "1", "l2tp.avp.data_sequencing": "2",
			"l2tp.avp.tx_connect_speed_v3": "10000000000", "l2tp.avp.rx_connect_speed_v3": "20000000000", "l2tp.avp.physical_channel": "77",
		}},
		{fromB: true, msg: &l2tp.ICRP{
			AssignedSessionID: 0xbbbbbbbb, RemoteSessionID: 0xaaaaaaaa, PhysicalChannelID: pointer[uint32](78),
			Session3: l2tp.Session3{
				Cookie: []byte{0xb1, 0xb2, 0xb3, 0xb4}, Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingNonIP,
				TxConnectSpeed: 1, RxConnectSpeed: 2,
			},
		}, avps: "0,59,63,64,71,65,69,70,74,75,25", mandatory: "1,1,1,1,1,1,1,1,0,0,0", want: map[string]string{
			"l2tp.avp.message_type": "11", "l2tp.avp.local_session_id": "3149642683", "l2tp.avp.remote_session_id": "2863311530",
			"l2tp.avp.circuit_status": "0", "l2tp.avp.circuit_type": "0", "l2tp.avp.assigned_cookie": "b1b2b3b4",
			"l2tp.avp.layer2_specific_sublayer": "1", "l2tp.avp.data_sequencing": "1",
			"l2tp.avp.tx_connect_speed_v3": "1", "l2tp.avp.rx_connect_speed_v3": "2", "l2tp.avp.physical_channel": "78",
		}},
		{msg: &l2tp.ICCN{
			AssignedSessionID: 0xaaaaaaaa, RemoteSessionID: 0xbbbbbbbb, TxConnectSpeed: 3, RxConnectSpeed: 4,
			Update3: l2tp.Update3{Sublayer: pointer(l2tp.SublayerDefault), Sequencing: pointer(l2tp.SequencingAll), CircuitStatus: pointer(l2tp.CircuitActive)},
		}, avps: "0,59,63,64,69,70,71,74,75", mandatory: "1,1,1,1,1,1,1,0,0", want: map[string]string{
			"l2tp.avp.message_type": "12", "l2tp.avp.local_session_id": "2863311530", "l2tp.avp.remote_session_id": "3149642683",
			"l2tp.avp.layer2_specific_sublayer": "1", "l2tp.avp.data_sequencing": "2", "l2tp.avp.circuit_status": "1",
			"l2tp.avp.circuit_type": "0", "l2tp.avp.tx_connect_speed_v3": "3", "l2tp.avp.rx_connect_speed_v3": "4",
		}},
		{fromB: true, msg: &l2tp.OCRQ{
			AssignedSessionID: 0x0000bbbb, CallSerialNumber: 10, MinimumBPS: 1, MaximumBPS: 2, BearerType: l2tp.BearerAnalog, FramingType: l2tp.FramingSync,
			CalledNumber: "0800", SubAddress: "1",
			Request3: l2tp.Request3{PseudowireType: l2tp.PseudowireHDLC, RemoteEndID: []byte("42"), ApplicationID: pointer[uint16](0xabcd)},
			Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitNew},
		}, avps: "0,59,63,64,15,68,66,67,71,16,17,18,19,21,23", mandatory: "1,1,1,1,0,1,1,0,1,0,0,0,0,0,0", want: map[string]string{
			"l2tp.avp.message_type": "7", "l2tp.avp.local_session_id": "48059", "l2tp.avp.remote_session_id": "0",
			"l2tp.avp.call_serial_number": "10", "l2tp.avp.pseudowire_type": "6", "l2tp.avp.remote_end_id": "42",
			"_ws.expert.message":      unknownAVP,
			"l2tp.avp.circuit_status": "0", "l2tp.avp.circuit_type": "1", "l2tp.avp.minimum_bps": "1", "l2tp.avp.maximum_bps": "2",
			"l2tp.avp.analog_bearer_type": "1", "l2tp.avp.digital_bearer_type": "0", "l2tp.avp.async_framing_type": "0",
			"l2tp.avp.sync_framing_type": "1", "l2tp.avp.called_number": "0800", "l2tp.avp.sub_address": "1",
		}},
		{msg: &l2tp.OCRP{AssignedSessionID: 0x0000aaaa, RemoteSessionID: 0x0000bbbb, Session3: l2tp.Session3{CircuitStatus: l2tp.CircuitActive}},
			avps: "0,59,63,64,71", mandatory: "1,1,1,1,1", want: map[string]string{
				"l2tp.avp.message_type": "8", "l2tp.avp.local_session_id": "43690", "l2tp.avp.remote_session_id": "48059",
				"l2tp.avp.circuit_status": "1", "l2tp.avp.circuit_type": "0",
			}},
		{msg: &l2tp.OCCN{AssignedSessionID: 0x0000aaaa, RemoteSessionID: 0x0000bbbb, TxConnectSpeed: 1 << 40},
			avps: "0,59,63,64,74", mandatory: "1,1,1,1,0", want: map[string]string{
				"l2tp.avp.message_type": "9", "l2tp.avp.local_session_id": "43690", "l2tp.avp.remote_session_id": "48059",
				"l2tp.avp.tx_connect_speed_v3": "1099511627776",
			}},
		{msg: &l2tp.ICRQ{
			AssignedSessionID: 0x00aa00aa,
			CallingNumber:     "99", CalledNumber: "98",
			Request3: l2tp.Request3{PseudowireType: l2tp.PseudowireATMAAL5, RemoteEndID: []byte("atm")},
			Session3: l2tp.Session3{Sublayer: l2tp.SublayerATM},
		}, avps: "0,59,63,64,15,68,66,71,69,22,21", mandatory: "1,1,1,1,0,1,1,1,1,0,0", want: map[string]string{
			"l2tp.avp.message_type": "10", "l2tp.avp.local_session_id": "11141290", "l2tp.avp.remote_session_id": "0",
			"l2tp.avp.call_serial_number": "0", "l2tp.avp.pseudowire_type": "2", "l2tp.avp.remote_end_id": "atm",
			"l2tp.avp.circuit_status": "0", "l2tp.avp.circuit_type": "0", "l2tp.avp.layer2_specific_sublayer": "2",
			"l2tp.avp.calling_number": "99", "l2tp.avp.called_number": "98",
		}},
		{fromB: true, msg: &l2tp.ICRP{AssignedSessionID: 0x00bb00bb, RemoteSessionID: 0x00aa00aa, Session3: l2tp.Session3{Sublayer: l2tp.SublayerATM}},
			avps: "0,59,63,64,71,69", mandatory: "1,1,1,1,1,1", want: map[string]string{
				"l2tp.avp.message_type": "11", "l2tp.avp.local_session_id": "12255419", "l2tp.avp.remote_session_id": "11141290",
				"l2tp.avp.circuit_status": "0", "l2tp.avp.circuit_type": "0", "l2tp.avp.layer2_specific_sublayer": "2",
			}},
		{msg: &l2tp.ICCN{AssignedSessionID: 0x00aa00aa, RemoteSessionID: 0x00bb00bb, FramingType: l2tp.FramingAsync, PrivateGroupID: []byte("g")},
			avps: "0,59,63,64,19,37", mandatory: "1,1,1,1,0,0", want: map[string]string{
				"l2tp.avp.message_type": "12", "l2tp.avp.local_session_id": "11141290", "l2tp.avp.remote_session_id": "12255419",
				"l2tp.avp.async_framing_type": "1", "l2tp.avp.sync_framing_type": "0", "l2tp.avp.private_group_id": "67",
			}},
		{fromB: true, msg: &l2tp.SLI{
			AssignedSessionID: 0xbbbbbbbb, RemoteSessionID: 0xaaaaaaaa, CircuitStatus: pointer(l2tp.CircuitActive),
			HasACCM: true, SendACCM: 0x000a0000, RecvACCM: 0xffffffff,
		}, avps: "0,59,63,64,71,35", mandatory: "1,1,1,1,1,0", want: map[string]string{
			"l2tp.avp.message_type": "16", "l2tp.avp.local_session_id": "3149642683", "l2tp.avp.remote_session_id": "2863311530",
			"l2tp.avp.circuit_status": "1", "l2tp.avp.circuit_type": "0", "l2tp.avp.send_accm": "655360", "l2tp.avp.receive_accm": "4294967295",
		}},
		{msg: &l2tp.WEN{AssignedSessionID: 0xaaaaaaaa, RemoteSessionID: 0xbbbbbbbb, CallErrors: l2tp.CallErrors{
			CRCErrors: 1, FramingErrors: 2, HardwareOverruns: 3, BufferOverruns: 4, TimeoutErrors: 5, AlignmentErrors: 6,
		}}, avps: "0,59,63,64,34", mandatory: "1,1,1,1,0", want: map[string]string{
			"l2tp.avp.message_type": "15", "l2tp.avp.local_session_id": "2863311530", "l2tp.avp.remote_session_id": "3149642683",
			"l2tp.avp.crc_errors": "1", "l2tp.avp.framing_errors": "2", "l2tp.avp.hardware_overruns": "3",
			"l2tp.avp.buffer_overruns": "4", "l2tp.avp.time_out_errors": "5", "l2tp.avp.alignment_errors": "6",
		}},
	}
}

// dataRows are data messages of the three sessions.
func dataRows() []dissected {
	const frame = "ffffffffffff0200000000019000aabbccdd"
	return []dissected{
		{data: l2tp.DataHeader3{SessionID: 0xbbbbbbbb, Cookie: []byte{0xb1, 0xb2, 0xb3, 0xb4}, Sublayer: l2tp.SublayerDefault, HasSequence: true, Sequence: 0xfffffe},
			frame: frame, want: map[string]string{
				"l2tp.sid": "0xbbbbbbbb", "l2tp.cookie": "b1b2b3b4", "l2tp.avp.pseudowire_type": "5", "l2tp.l2_spec_s": "1", "l2tp.l2_spec_sequence": "16777214",
				"eth.src": "02:00:00:00:00:01", "eth.dst": "ff:ff:ff:ff:ff:ff", "eth.type": "0x9000",
			}},
		{fromB: true, data: l2tp.DataHeader3{SessionID: 0xaaaaaaaa, Cookie: []byte{0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8}, Sublayer: l2tp.SublayerDefault},
			frame: frame, want: map[string]string{
				"l2tp.sid": "0xaaaaaaaa", "l2tp.cookie": "a1a2a3a4a5a6a7a8", "l2tp.avp.pseudowire_type": "5", "l2tp.l2_spec_s": "0", "l2tp.l2_spec_sequence": "0",
				"eth.src": "02:00:00:00:00:01", "eth.dst": "ff:ff:ff:ff:ff:ff", "eth.type": "0x9000",
			}},
		// tshark learns no pseudowire type from an OCRQ.
		{data: l2tp.DataHeader3{SessionID: 0x0000bbbb}, frame: "0f00 2000 aabb", want: map[string]string{
			"l2tp.sid": "0x0000bbbb", "l2tp.avp.pseudowire_type": "0",
		}},
		{data: l2tp.DataHeader3{SessionID: 0x00bb00bb, Sublayer: l2tp.SublayerATM, HasSequence: true, Sequence: 1, Flags: 0x06},
			frame: "aaaa03000000 88b5 00", want: map[string]string{
				"l2tp.sid": "0x00bb00bb", "l2tp.avp.pseudowire_type": "2", "l2tp.l2_spec_s": "1", "l2tp.l2_spec_sequence": "1",
				"l2tp.l2_spec_t": "0", "l2tp.l2_spec_g": "1", "l2tp.l2_spec_c": "1", "l2tp.l2_spec_u": "0",
			}},
	}
}

// endRows are how sessions and the control connection end.
func endRows() []dissected {
	return []dissected{
		{msg: &l2tp.CDN{
			ResultCode:        l2tp.ResultCode{Result: l2tp.CDNGeneralError, Error: l2tp.ErrorVendorSpecific, Message: "enough"},
			AssignedSessionID: 0xaaaaaaaa, RemoteSessionID: 0xbbbbbbbb,
			Q931Cause:     &l2tp.Q931Cause{Cause: 16, Message: 0x4d, Advisory: "clear"},
			PPPDisconnect: &l2tp.PPPDisconnect{Code: 3, Protocol: 0xc021, Direction: 1, Message: "bye"},
		}, avps: "0,59,1,63,64,12,46", mandatory: "1,1,1,1,1,0,0", want: map[string]string{
			"l2tp.avp.message_type": "14", "l2tp.result_code": "2", "l2tp.avp.error_code": "6", "l2tp.avp.error_message": "enough",
			"l2tp.avp.local_session_id": "2863311530", "l2tp.avp.remote_session_id": "3149642683",
			"l2tp.avp.cause_code": "16", "l2tp.avp.cause_msg": "77", "l2tp.avp.advisory_msg": "clear",
			"l2tp.avp.disconnect_code": "3", "l2tp.avp.control_protocol_number": "49185", "l2tp.avp.cause_code_direction": "1",
			"l2tp.avp.cause_code_message": "bye",
		}},
		{fromB: true, msg: &l2tp.StopCCN{AssignedTunnelID: idOfB, ResultCode: l2tp.ResultCode{Result: l2tp.StopCCNShuttingDown}},
			avps: "0,59,61,1", mandatory: "1,1,1,1", want: map[string]string{
				"l2tp.avp.message_type": "4", "l2tp.avp.assigned_control_conn_id": "2164392708", "l2tp.result_code": "6",
			}},
	}
}

// Every message of version 3 and its data messages, over UDP and over IP and with each
// digest, as tshark reads them: each field has the value that was encoded, and the
// digests are right by tshark's own computation.
func TestL2TPv3Dissected(t *testing.T) {
	scenario.Installed(t, "tshark")
	for _, digest := range []l2tp.DigestType{l2tp.DigestMD5, l2tp.DigestSHA1} {
		for _, ip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, over IP %v", digest, ip), func(t *testing.T) {
				nonceA := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
				nonceB := []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9}
				rows := slices.Concat(controlRows(nonceA, nonceB), dataRows(), endRows())
				packets := encodeRows(t, rows, digest, ip, nonceA, nonceB)
				compareDissected(t, rows, readByTshark(t, packets, rows))
			})
		}
	}
}

// A digest of another secret is what tshark complains about, so its silence means
// something.
func TestTsharkKnowsDigests(t *testing.T) {
	scenario.Installed(t, "tshark")
	rows := controlRows([]byte{1}, []byte{2})[:3]
	for i := range rows {
		rows[i].want = nil
	}
	packets := encodeRows(t, rows, l2tp.DigestMD5, false, []byte{1}, []byte{2})
	packets[2][len(packets[2])-1] ^= 1
	got := readByTshark(t, packets, rows)
	if got[2]["_ws.expert.message"] != "Incorrect Digest" || got[1]["_ws.expert.message"] != "" {
		t.Errorf("expert messages %q and %q", got[1]["_ws.expert.message"], got[2]["_ws.expert.message"])
	}
}

// encodeRows makes packets of rows, and adds to what is wanted what their headers have.
func encodeRows(t *testing.T, rows []dissected, digest l2tp.DigestType, ip bool, nonceA, nonceB []byte) [][]byte {
	t.Helper()
	keys := [][]byte{l2tp.SharedKey([]byte("sesame"))}
	var packets [][]byte
	var ns [2]uint16
	for i := range rows {
		r := &rows[i]
		from, to, id, side, local, remote := dissectedA, dissectedB, uint32(idOfB), 0, nonceA, nonceB
		if r.fromB {
			from, to, id, side, local, remote = dissectedB, dissectedA, idOfA, 1, nonceB, nonceA
		}
		if r.msg == nil {
			frame := hexOctets(t, r.frame)
			r.data.IP = ip
			b := append(make([]byte, l2tp.DataHeader3Len(&r.data)), frame...)
			if l2tp.PutDataHeader3(b, &r.data) != len(b)-len(frame) {
				t.Fatalf("row %d is not written", i)
			}
			packets = append(packets, ipPacket(from, to, ip, b))
			continue
		}
		if r.msg.Type() == l2tp.TypeSCCRQ {
			id = 0
		}
		payload, err := l2tp.AppendMessage(nil, r.msg, l2tp.AppendOptions{Version: l2tp.Version3, Digests: []l2tp.DigestType{digest}})
		if err != nil {
			t.Fatal(err)
		}
		b := l2tp.AppendControl3(nil, id, ns[side], ns[1-side], payload)
		if err := l2tp.Sign(b, keys, local, remote); err != nil {
			t.Fatal(err)
		}
		r.want = maps.Clone(r.want)
		if r.want != nil {
			maps.Copy(r.want, map[string]string{
				"l2tp.ccid": fmt.Sprintf("0x%08x", id), "l2tp.Ns": fmt.Sprint(ns[side]), "l2tp.Nr": fmt.Sprint(ns[1-side]), "l2tp.length": fmt.Sprint(len(b)),
				"l2tp.avp.type": r.avps, "l2tp.avp.mandatory": r.mandatory, "l2tp.avp.hidden": strings.TrimSuffix(strings.Repeat("0,", 1+strings.Count(r.avps, ",")), ","),
				// Behind the header, the Message Type and the AVP's header.
				"l2tp.avp.message_digest": fmt.Sprintf("%x", b[12+8+6:12+8+6+1+digest.Len()]),
			})
		}
		if r.msg.Type() != l2tp.TypeACK {
			ns[side]++
		}
		if ip {
			if r.want != nil {
				r.want["l2tp.sid"] = "0x00000000"
			}
			b = l2tp.AppendIPControl(nil, b)
		}
		packets = append(packets, ipPacket(from, to, ip, b))
	}
	return packets
}

func compareDissected(t *testing.T, rows []dissected, got []map[string]string) {
	t.Helper()
	if len(got) != len(rows) {
		t.Fatalf("%d packets of %d", len(got), len(rows))
	}
	for i, r := range rows {
		for field, value := range got[i] {
			if value != r.want[field] {
				t.Errorf("packet %d, %T: %s is %q, want %q", i+1, r.msg, field, value, r.want[field])
			}
		}
	}
}

// readByTshark has tshark read packets, and returns the fields that any row wants.
func readByTshark(t *testing.T, packets [][]byte, rows []dissected) []map[string]string {
	t.Helper()
	all := map[string]bool{"_ws.expert.message": true, "_ws.malformed": true}
	for _, r := range rows {
		for field := range r.want {
			all[field] = true
		}
	}
	fields := slices.Sorted(maps.Keys(all))
	name := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(name, rawCapture(packets), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", name, "-o", "l2tp.shared_secret:sesame", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var list []map[string]string
	for line := range strings.Lines(string(out)) {
		m := map[string]string{}
		for i, value := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			m[fields[i]] = value
		}
		list = append(list, m)
	}
	return list
}

// rawCapture is a pcap file of IP packets.
func rawCapture(packets [][]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 101, 0, 0, 0) // LINKTYPE_RAW
	for i, p := range packets {
		for _, n := range []uint32{uint32(i), 0, uint32(len(p)), uint32(len(p))} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		b = append(b, p...)
	}
	return b
}

// ipPacket puts message into an IPv4 packet of protocol 115, or of UDP between the
// ports 1701, without a checksum.
func ipPacket(from, to netip.Addr, ip bool, message []byte) []byte {
	protocol := byte(17)
	if ip {
		protocol = 115
	} else {
		udp := []byte{0x06, 0xa5, 0x06, 0xa5}
		udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(message)))
		message = append(append(udp, 0, 0), message...)
	}
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(message)))
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	return append(b, message...)
}

func hexOctets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
