package l2tp

import (
	"fmt"
	"testing"
)

func TestStrings(t *testing.T) {
	for _, test := range []struct {
		value fmt.Stringer
		want  string
	}{
		{TypeStopCCN, "StopCCN"}, {TypeSLI, "SLI"}, {MessageType(13), "message type 13"},
		{FramingType(0), "none"}, {FramingSync | FramingAsync, "sync|async"}, {FramingType(0x80000001), "sync|0x80000000"},
		{BearerDigital, "digital"}, {BearerAnalog, "analog"}, {BearerType(4), "0x4"},
		{ProxyAuthText, "text"}, {ProxyAuthCHAP, "CHAP"}, {ProxyAuthPAP, "PAP"}, {ProxyAuthNone, "none"},
		{ProxyAuthMSCHAPv1, "MS-CHAPv1"}, {ProxyAuthType(6), "proxy authen type 6"},
		{ProtocolVersion1, "1.0"},
		{AVPHostName, "Host Name (7)"}, {AVPType(20), "AVP 20"}, {AVPECNCapability, "ECN Capability (103)"},
		{AVP{Vendor: 9, Type: 1, Value: []byte("secret")}, "AVP 1 of vendor 9, 6 octets"},
		{AccessText(AccessAgentCircuitID, "a b\n"), `Agent-Circuit-Id (1 of vendor 3561) "a b\n"`},
		{AccessText(AccessAgentRemoteID, "\xff\xfe"), "Agent-Remote-Id (2 of vendor 3561) fffe"},
		{AccessText(AccessAgentRemoteID, "x"), "Agent-Remote-Id (2 of vendor 3561) 78"},
		{AccessRate(AccessMaximumDataRateDownstream, 1<<40), "Maximum-Data-Rate-Downstream (136 of vendor 3561) 1099511627776"},
		{AccessLineAVP{AccessActualInterleavingDelayDown, []byte{0, 0, 1, 0}}, "Actual-Interleaving-Delay-Downstream (142 of vendor 3561) 256"},
		{AccessLineAVP{AccessIWFSession, []byte{0, 0, 0, 1}}, "IWF-Session (254 of vendor 3561) 1"},
		{AccessLineAVP{AccessLoopEncapsulation, []byte{1, 2, 0}}, "Access-Loop-Encapsulation (144 of vendor 3561) 010200"},
		{AccessLineAVP{Type: 7}, "AVP 7 of vendor 3561 "},
		{kindText, "text"}, {kindOctets, "octets"}, {kindFields, "fields"}, {kindNone, "none"},
		{kindUint16, "uint16"}, {kindUint32, "uint32"}, {kindUint64, "uint64"}, {kind(9), "kind 9"},
		{ErrorTryAnother, "try another"}, {ErrorCode(10), "error code 10"},
		{ResultCode{Result: 2, Error: 8, Message: "x\ny"}, `result 2 (general error), error 8 (unknown AVP with the M bit set): "x\ny"`},
		{ResultCode{Result: 1}, "result 1"},
		{ResultCode{Result: 99, Error: 99}, "result 99, error 99"},
		{Q931Cause{Cause: 17, Message: 69, Advisory: "busy"}, `Q.931 cause 17, message 69: "busy"`},
		{PPPDisconnect{Code: 16, Protocol: 0xc223, Direction: 1, Message: "no"}, `PPP disconnect code 16 (authentication failed), protocol 0xc223, at peer: "no"`},
		{PPPDisconnect{Code: 3, Direction: 2}, "PPP disconnect code 3 (normal disconnection, LCP Terminate-Request sent), at local"},
		{PPPDisconnect{Code: 99, Direction: 3}, "PPP disconnect code 99, direction 3"},
	} {
		if got := test.value.String(); got != test.want {
			t.Errorf("%T: %q, want %q", test.value, got, test.want)
		}
	}
}

// The same number means different things in the two messages.
func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		result ResultCode
		in     MessageType
		want   string
	}{
		{ResultCode{Result: 1}, TypeCDN, "result 1 (call disconnected due to loss of carrier)"},
		{ResultCode{Result: 1}, TypeStopCCN, "result 1 (general request to clear control connection)"},
		{ResultCode{Result: CDNNoAppropriateFraming}, TypeCDN, "result 11 (call connected but no appropriate framing detected)"},
		{ResultCode{Result: StopCCNFSMError}, TypeStopCCN, "result 7 (finite state machine error)"},
		{ResultCode{Result: CDNDiffserv}, TypeCDN, "result 12 (Diffserv code point not acceptable)"},
		{ResultCode{Result: 9}, TypeStopCCN, "result 9"},
		{ResultCode{Result: 13}, TypeCDN, "result 13"},
		{ResultCode{Result: 2, Error: 4, Message: "full"}, TypeCDN, `result 2 (general error), error 4 (insufficient resources): "full"`},
	} {
		if got := test.result.DescribeVersion(Version, test.in); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
