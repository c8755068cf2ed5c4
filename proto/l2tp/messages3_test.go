package l2tp

import (
	"testing"

	"adit/internal/simnet"
)

// The messages of version 3, written by hand from the figures of RFC 3931 section 5.4.
var samples3 = []sample{
	{"SCCRQ with what it must have", `
		8008 0000 0000 0001
		8009 0000 0007 6c6163
		800a 0000 003c 0a000001
		800a 0000 003d 12345678
		8008 0000 003e 0005`,
		&SCCRQ{HostName: "lac", RouterID: 0x0a000001, AssignedTunnelID: 0x12345678, Pseudowires: []PseudowireType{PseudowireEthernet}}},
	{"SCCRQ with everything", `
		8008 0000 0000 0001
		8009 0000 0007 6c6163
		800a 0000 003c ffffffff
		8016 0000 0049 000102030405060708090a0b0c0d0e0f
		800a 0000 003d ffffffff
		800c 0000 003e 0005 0004 0007
		000b 0000 0048 656e2d6762
		8008 0000 000a 0008
		800e 0000 0005 8001020304050607
		000a 0000 0008 61646974`,
		&SCCRQ{
			HostName: "lac", RouterID: 0xffffffff, AssignedTunnelID: 0xffffffff,
			Pseudowires: []PseudowireType{PseudowireEthernet, PseudowireEthernetVLAN, PseudowirePPP},
			Nonce:       []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, PreferredLanguage: "en-gb",
			ReceiveWindowSize: 8, TieBreaker: ptr[uint64](0x8001020304050607), VendorName: "adit",
		}},
	{"SCCRP with what it must have", `
		8008 0000 0000 0002
		8007 0000 0007 62
		800a 0000 003c 00000000
		800a 0000 003d 00000001
		8008 0000 003e 0006`,
		&SCCRP{HostName: "b", AssignedTunnelID: 1, Pseudowires: []PseudowireType{PseudowireHDLC}}},
	{"SCCRP with everything", `
		8008 0000 0000 0002
		8007 0000 0007 62
		800a 0000 003c 0a000002
		8008 0000 0049 abcd
		800a 0000 003d 80000001
		8008 0000 003e 0001
		0008 0000 0048 6465
		000a 0000 0008 61646974
		8008 0000 000a ffff`,
		&SCCRP{
			HostName: "b", RouterID: 0x0a000002, Nonce: []byte{0xab, 0xcd}, AssignedTunnelID: 0x80000001,
			Pseudowires: []PseudowireType{PseudowireFrameRelay}, PreferredLanguage: "de", VendorName: "adit", ReceiveWindowSize: 0xffff,
		}},
	{"SCCCN", "8008 0000 0000 0003", &SCCCN{}},
	{"StopCCN of one that has no ID", `
		8008 0000 0000 0004
		8008 0000 0001 0006`,
		&StopCCN{ResultCode: ResultCode{Result: StopCCNShuttingDown}}},
	{"StopCCN", `
		8008 0000 0000 0004
		800a 0000 003d 12345678
		800e 0000 0001 0002 0009 6f766572`,
		&StopCCN{AssignedTunnelID: 0x12345678, ResultCode: ResultCode{Result: StopCCNGeneralError, Error: ErrorTryAnotherDirected, Message: "over"}}},
	{"HELLO", "8008 0000 0000 0006", &HELLO{}},
	{"ACK", "8008 0000 0000 0014", &ACK{}},
	{"ICRQ with what it must have", `
		8008 0000 0000 000a
		800a 0000 003f 00010203
		800a 0000 0040 00000000
		000a 0000 000f 00000001
		8008 0000 0044 0005
		800a 0000 0042 00000064
		8008 0000 0047 0003`,
		&ICRQ{
			AssignedSessionID: 0x00010203, CallSerialNumber: 1,
			Request3: Request3{PseudowireType: PseudowireEthernet, RemoteEndID: []byte{0, 0, 0, 100}},
			Session3: Session3{CircuitStatus: CircuitActive | CircuitNew},
		}},
	{"ICRQ with everything", `
		8008 0000 0000 000a
		800a 0000 003f ffffffff
		800a 0000 0040 00000001
		000a 0000 000f fffffffe
		8008 0000 0044 0007
		8006 0000 0042
		0008 0000 0043 0102
		800e 0000 0005 0102030405060708
		8008 0000 0047 0000
		800e 0000 0041 1122334455667788
		8008 0000 0045 0001
		8008 0000 0046 0002
		000e 0000 004a 00000002540be400
		000e 0000 004b ffffffffffffffff
		000a 0000 0012 00000001
		000a 0000 0019 00000007
		0009 0000 0016 313233
		0008 0000 0015 3435
		0008 0000 0017 3839
		000a 0de9 0001 61626364`,
		&ICRQ{
			AssignedSessionID: 0xffffffff, RemoteSessionID: 1, CallSerialNumber: 0xfffffffe,
			BearerType: BearerDigital, PhysicalChannelID: ptr[uint32](7), CallingNumber: "123", CalledNumber: "45", SubAddress: "89",
			AccessLine: []AccessLineAVP{AccessText(AccessAgentCircuitID, "abcd")},
			Request3: Request3{
				PseudowireType: PseudowirePPP, RemoteEndID: []byte{}, ApplicationID: ptr[uint16](0x0102),
				SessionTie: ptr[uint64](0x0102030405060708),
			},
			Session3: Session3{
				Cookie: []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, Sublayer: SublayerDefault,
				Sequencing: SequencingAll, TxConnectSpeed: 10_000_000_000, RxConnectSpeed: 0xffffffffffffffff,
			},
		}},
	{"ICRP with what it must have", `
		8008 0000 0000 000b
		800a 0000 003f 00000002
		800a 0000 0040 00010203
		8008 0000 0047 0001`,
		&ICRP{AssignedSessionID: 2, RemoteSessionID: 0x00010203, Session3: Session3{CircuitStatus: CircuitActive}}},
	{"ICRP with everything", `
		8008 0000 0000 000b
		800a 0000 003f 00000002
		800a 0000 0040 00010203
		8008 0000 0047 007c
		800a 0000 0041 01020304
		8008 0000 0045 0002
		8008 0000 0046 0001
		000e 0000 004a 0000000000000001
		000e 0000 004b 0000000000000002
		000a 0000 0019 00000000`,
		&ICRP{
			AssignedSessionID: 2, RemoteSessionID: 0x00010203, PhysicalChannelID: ptr[uint32](0),
			Session3: Session3{
				CircuitStatus: CircuitReceiveFault | CircuitTransmitFault | PseudowireReceiveFault | PseudowireTransmitFault | PseudowireStandby,
				Cookie:        []byte{1, 2, 3, 4}, Sublayer: SublayerATM, Sequencing: SequencingNonIP, TxConnectSpeed: 1,
				RxConnectSpeed: 2,
			},
		}},
	{"ICCN with what it must have", `
		8008 0000 0000 000c
		800a 0000 003f 00010203
		800a 0000 0040 00000002`,
		&ICCN{AssignedSessionID: 0x00010203, RemoteSessionID: 2}},
	{"ICCN with everything", `
		8008 0000 0000 000c
		800a 0000 003f 00010203
		800a 0000 0040 00000002
		8008 0000 0045 0000
		8008 0000 0046 0000
		8008 0000 0047 0001
		000e 0000 004a 000000003b9aca00
		000a 0000 0013 00000002
		0008 0000 001a 0104
		0008 0000 001b 0204
		0006 0000 001c
		0008 0000 001d 0003
		0009 0000 001e 757365
		0008 0000 0020 0005
		0008 0000 0021 7077
		0007 0000 0025 67
		000e 0000 004b 0000000005f5e100`,
		&ICCN{
			AssignedSessionID: 0x00010203, RemoteSessionID: 2,
			TxConnectSpeed: 1_000_000_000, RxConnectSpeed: 100_000_000, FramingType: FramingAsync,
			ProxyLCP:       &ProxyLCP{InitialReceived: []byte{1, 4}, LastSent: []byte{2, 4}, LastReceived: []byte{}},
			ProxyAuth:      &ProxyAuth{Type: ProxyAuthPAP, Name: "use", ID: 5, Response: []byte("pw")},
			PrivateGroupID: []byte("g"),
			Update3:        Update3{Sublayer: ptr(SublayerNone), Sequencing: ptr(SequencingNone), CircuitStatus: ptr(CircuitActive)},
		}},
	{"OCRQ with what it must have", `
		8008 0000 0000 0007
		800a 0000 003f 00000009
		800a 0000 0040 00000000
		000a 0000 000f 00000002
		8008 0000 0044 0004
		8007 0000 0042 61
		8008 0000 0047 0002`,
		&OCRQ{
			AssignedSessionID: 9, CallSerialNumber: 2,
			Request3: Request3{PseudowireType: PseudowireEthernetVLAN, RemoteEndID: []byte("a")},
			Session3: Session3{CircuitStatus: CircuitNew},
		}},
	{"OCRQ with everything", `
		8008 0000 0000 0007
		800a 0000 003f 00000009
		800a 0000 0040 00000008
		000a 0000 000f 00000002
		8008 0000 0044 0007
		8007 0000 0042 61
		0008 0000 0043 0000
		800e 0000 0005 0000000000000000
		8008 0000 0047 0001
		800a 0000 0041 01020304
		8008 0000 0045 0001
		8008 0000 0046 0001
		000e 0000 004a 0000000000000003
		000e 0000 004b 0000000000000004
		000a 0000 0010 00000001
		000a 0000 0011 00000002
		000a 0000 0012 00000003
		000a 0000 0013 00000001
		0007 0000 0015 35
		0007 0000 0017 36`,
		&OCRQ{
			AssignedSessionID: 9, RemoteSessionID: 8, CallSerialNumber: 2,
			MinimumBPS: 1, MaximumBPS: 2, BearerType: BearerDigital | BearerAnalog, FramingType: FramingSync, CalledNumber: "5", SubAddress: "6",
			Request3: Request3{PseudowireType: PseudowirePPP, RemoteEndID: []byte("a"), ApplicationID: ptr[uint16](0), SessionTie: ptr[uint64](0)},
			Session3: Session3{
				CircuitStatus: CircuitActive, Cookie: []byte{1, 2, 3, 4}, Sublayer: SublayerDefault, Sequencing: SequencingNonIP,
				TxConnectSpeed: 3, RxConnectSpeed: 4,
			},
		}},
	{"OCRP with what it must have", `
		8008 0000 0000 0008
		800a 0000 003f 00000002
		800a 0000 0040 00000009
		8008 0000 0047 0000`,
		&OCRP{AssignedSessionID: 2, RemoteSessionID: 9}},
	{"OCRP with everything", `
		8008 0000 0000 0008
		800a 0000 003f 00000002
		800a 0000 0040 00000009
		8008 0000 0047 0001
		800a 0000 0041 ffffffff
		8008 0000 0045 0001
		8008 0000 0046 0002
		000e 0000 004a 0000000000000005
		000e 0000 004b 0000000000000006
		000a 0000 0019 00000003`,
		&OCRP{
			AssignedSessionID: 2, RemoteSessionID: 9, PhysicalChannelID: ptr[uint32](3),
			Session3: Session3{
				CircuitStatus: CircuitActive, Cookie: []byte{255, 255, 255, 255}, Sublayer: SublayerDefault,
				Sequencing: SequencingAll, TxConnectSpeed: 5, RxConnectSpeed: 6,
			},
		}},
	{"OCCN with what it must have", `
		8008 0000 0000 0009
		800a 0000 003f 00000002
		800a 0000 0040 00000009`,
		&OCCN{AssignedSessionID: 2, RemoteSessionID: 9}},
	{"OCCN with everything", `
		8008 0000 0000 0009
		800a 0000 003f 00000002
		800a 0000 0040 00000009
		8008 0000 0045 0001
		8008 0000 0046 0002
		8008 0000 0047 0002
		000e 0000 004a 0000000000000007
		000a 0000 0013 00000001
		000e 0000 004b 0000000000000008`,
		&OCCN{
			AssignedSessionID: 2, RemoteSessionID: 9,
			TxConnectSpeed: 7, FramingType: FramingSync, RxConnectSpeed: 8,
			Update3: Update3{Sublayer: ptr(SublayerDefault), Sequencing: ptr(SequencingAll), CircuitStatus: ptr(CircuitNew)},
		}},
	{"CDN", `
		8008 0000 0000 000e
		8008 0000 0001 000d
		800a 0000 003f 00000002
		800a 0000 0040 00000000`,
		&CDN{ResultCode: ResultCode{Result: CDNTieLost}, AssignedSessionID: 2}},
	{"CDN with everything", `
		8008 0000 0000 000e
		800c 0000 0001 0002 0003 6162
		800a 0000 003f 00000000
		800a 0000 0040 00000009
		000a 0000 000c 0010 4d 21
		000c 0000 002e 0003 c021 01 78`,
		&CDN{
			ResultCode: ResultCode{Result: CDNGeneralError, Error: ErrorValue, Message: "ab"}, RemoteSessionID: 9,
			Q931Cause:     &Q931Cause{Cause: 16, Message: 0x4d, Advisory: "!"},
			PPPDisconnect: &PPPDisconnect{Code: DisconnectNormal, Protocol: 0xc021, Direction: DirectionPeer, Message: "x"},
		}},
	{"WEN", `
		8008 0000 0000 000f
		800a 0000 003f 00000002
		800a 0000 0040 00000009
		0020 0000 0022 0000 00000001 00000002 00000003 00000004 00000005 ffffffff`,
		&WEN{AssignedSessionID: 2, RemoteSessionID: 9, CallErrors: CallErrors{
			CRCErrors: 1, FramingErrors: 2, HardwareOverruns: 3, BufferOverruns: 4, TimeoutErrors: 5, AlignmentErrors: 0xffffffff,
		}}},
	{"SLI with what it must have", `
		8008 0000 0000 0010
		800a 0000 003f 00000002
		800a 0000 0040 00000000`,
		&SLI{AssignedSessionID: 2}},
	{"SLI with everything", `
		8008 0000 0000 0010
		800a 0000 003f 00000002
		800a 0000 0040 00000009
		8008 0000 0047 0000
		0010 0000 0023 0000 000a0000 ffffffff`,
		&SLI{AssignedSessionID: 2, RemoteSessionID: 9, CircuitStatus: ptr(CircuitStatus(0)), HasACCM: true, SendACCM: 0xa0000, RecvACCM: 0xffffffff}},
}

func TestMessages3(t *testing.T) { testSamplesVersion(t, Version3, samples3) }

// Every octet of every message with every value: no panic, typed errors, and what is
// accepted can be written and means the same again.
func TestCorrupted3(t *testing.T) {
	kinds := map[MessageType]bool{}
	for _, s := range samples3 {
		kinds[s.msg.Type()] = true
		wire := octets(t, s.hex)
		for i := range wire {
			old := wire[i]
			n := simnet.Rounds(64)
			for v := range n {
				wire[i] = old + byte(v*256/n)
				checkMessageVersion(t, Version3, wire)
			}
			wire[i] = old
		}
	}
	if len(kinds) != 15 {
		t.Errorf("%d kinds of message", len(kinds))
	}
}
