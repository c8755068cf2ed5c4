package l2tp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// captures are what two xl2tpd 1.3.18 sent each other over loopback (LNS with
// "challenge = yes", secret "sesame"; pppd could not start, hence the CDNs). The
// octets are the UDP payloads, whole.
var captures = []struct {
	wire   string
	header Header
	msg    Message
}{
	{`c8020079000000000000000080080000000000018008000000020100800a0000000300000003
	  800a00000004000000000008000000060690800800000007766d00130000000878656c6572616e6365
	  2e636f6d800800000009e92880080000000a000480160000000ba978ceb977c56a99227fd3ab502821ce`,
		Header{Length: 0x79},
		&SCCRQ{
			ProtocolVersion: ProtocolVersion1, HostName: "vm", FramingCapabilities: 3,
			AssignedTunnelID: 0xe928, ReceiveWindowSize: 4, FirmwareRevision: 0x690, VendorName: "xelerance.com",
			Challenge: []byte{
				0xa9, 0x78, 0xce, 0xb9, 0x77, 0xc5, 0x6a, 0x99, 0x22, 0x7f, 0xd3, 0xab, 0x50, 0x28, 0x21, 0xce,
			},
		}},
	// With "hidden bit = yes" it sends a Random Vector, though nothing hidden.
	{`c80200a50cb800000000000180080000000000028016000000249cb78e482088576c31f6ba95d0ff3104
	  8008000000020100800a0000000300000003800a00000004000000000008000000060690800800000007
	  766d00130000000878656c6572616e63652e636f6d800800000009b72d80080000000a00048016000000
	  0d1ece281ebd37037646d5d3dd857a3fd680160000000ba9fc9548e153486e103402b46e1b2ca0`,
		Header{Length: 0xa5, TunnelID: 0x0cb8, Nr: 1},
		&SCCRP{
			ProtocolVersion: ProtocolVersion1, HostName: "vm", FramingCapabilities: 3,
			AssignedTunnelID: 0xb72d, ReceiveWindowSize: 4, FirmwareRevision: 0x690, VendorName: "xelerance.com",
			Challenge: []byte{
				0xa9, 0xfc, 0x95, 0x48, 0xe1, 0x53, 0x48, 0x6e, 0x10, 0x34, 0x02, 0xb4, 0x6e, 0x1b, 0x2c, 0xa0,
			},
			ChallengeResponse: []byte{
				0x1e, 0xce, 0x28, 0x1e, 0xbd, 0x37, 0x03, 0x76, 0x46, 0xd5, 0xd3, 0xdd, 0x85, 0x7a, 0x3f, 0xd6,
			},
		}},
	{`c802002a7f60000000010001800800000000000380160000000d5827c1072d703b9e41de0fab98a40d75`,
		Header{Length: 0x2a, TunnelID: 0x7f60, Ns: 1, Nr: 1},
		&SCCCN{ChallengeResponse: []byte{
			0x58, 0x27, 0xc1, 0x07, 0x2d, 0x70, 0x3b, 0x9e, 0x41, 0xde, 0x0f, 0xab, 0x98, 0xa4, 0x0d, 0x75,
		}}},
	{`c80200307f60000000020001800800000000000a80080000000e23b8800a0000000f00000001800a0000001200000000`,
		Header{Length: 0x30, TunnelID: 0x7f60, Ns: 2, Nr: 1},
		&ICRQ{AssignedSessionID: 0x23b8, CallSerialNumber: 1}},
	{`c802001ce92823b800010003800800000000000b80080000000e3cc1`,
		Header{Length: 0x1c, TunnelID: 0xe928, SessionID: 0x23b8, Ns: 1, Nr: 3},
		&ICRP{AssignedSessionID: 0x3cc1}},
	{`c80200327f603cc100030002800800000000000c800a0000001800000000800a0000001300000001000a0000002600000000`,
		Header{Length: 0x32, TunnelID: 0x7f60, SessionID: 0x3cc1, Ns: 3, Nr: 2},
		&ICCN{FramingType: FramingSync}},
	{`c8020026e92823b800020004800800000000000e800a000000010001000080080000000e3cc1`,
		Header{Length: 0x26, TunnelID: 0xe928, SessionID: 0x23b8, Ns: 2, Nr: 4},
		&CDN{ResultCode: ResultCode{Result: CDNLossOfCarrier}, AssignedSessionID: 0x3cc1}},
	{`c8020038ffff00000000000180080000000000048008000000091d93801c0000000100020006
	  496e76616c69642048696464656e20415650`,
		Header{Length: 0x38, TunnelID: 0xffff, Nr: 1},
		&StopCCN{AssignedTunnelID: 0x1d93, ResultCode: ResultCode{
			Result: StopCCNGeneralError, Error: ErrorVendorSpecific, Message: "Invalid Hidden AVP",
		}}},
}

func TestCaptures(t *testing.T) {
	for _, c := range captures {
		t.Run(c.msg.Type().String(), func(t *testing.T) {
			packet := octets(t, c.wire)
			h, payload, err := ParseHeader(packet)
			if err != nil {
				t.Fatal(err)
			}
			want := c.header
			want.Control, want.HasLength, want.HasSequence, want.Version = true, true, true, 2
			if diff := cmp.Diff(want, h); diff != "" {
				t.Error(diff)
			}
			// The secret is not needed, and does no harm.
			for _, s := range [][]byte{nil, secret} {
				m, err := ParseMessage(Version, payload, s)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.msg, m); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// A ZLB is a header and nothing else. xl2tpd sends them with a Session ID.
func TestCapturedZLB(t *testing.T) {
	h, payload, err := ParseHeader(octets(t, "c802000ce92823b800020004"))
	if err != nil || len(payload) != 0 || h.SessionID != 0x23b8 || h.Ns != 2 || h.Nr != 4 {
		t.Errorf("%+v, %x, %v", h, payload, err)
	}
}
