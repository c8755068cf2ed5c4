package l2tp

import "testing"

var sccrpSamples = []sample{
	{"SCCRP with everything", `
		8008 0000 0000 0002
		8008 0000 0002 0100
		8011 0000 0007 6c6e732e6578616d 706c65
		800a 0000 0003 00000002
		8008 0000 0009 0001
		800a 0000 0004 00000003
		0008 0000 0006 0100
		000a 0000 0008 61646974
		8008 0000 000a 0010
		8007 0000 000b 2a
		8016 0000 000d 59ebe4f11a2711acc5f0a1c9edcbcdd1`,
		&SCCRP{
			ProtocolVersion: ProtocolVersion1, HostName: "lns.example",
			FramingCapabilities: FramingAsync, AssignedTunnelID: 1,
			BearerCapabilities: BearerAnalog | BearerDigital, FirmwareRevision: 0x0100,
			VendorName: "adit", ReceiveWindowSize: 16, Challenge: []byte{42},
			ChallengeResponse: []byte{
				0x59, 0xeb, 0xe4, 0xf1, 0x1a, 0x27, 0x11, 0xac,
				0xc5, 0xf0, 0xa1, 0xc9, 0xed, 0xcb, 0xcd, 0xd1,
			},
		}},
}

func TestSCCRP(t *testing.T) { testSamples(t, sccrpSamples) }
