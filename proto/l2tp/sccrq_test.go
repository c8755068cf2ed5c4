package l2tp

import (
	"errors"
	"testing"
)

var sccrqSamples = []sample{
	{"SCCRQ with what it must have", `
		8008 0000 0000 0001
		8008 0000 0002 0100
		8009 0000 0007 6c6163
		800a 0000 0003 00000003
		8008 0000 0009 1234`,
		&SCCRQ{
			ProtocolVersion: ProtocolVersion1, HostName: "lac",
			FramingCapabilities: FramingSync | FramingAsync, AssignedTunnelID: 0x1234,
		}},
	{"SCCRQ with everything", `
		8008 0000 0000 0001
		8008 0000 0002 0100
		8009 0000 0007 6c6163
		800a 0000 0003 00000001
		8008 0000 0009 ffff
		800a 0000 0004 00000002
		8008 0000 000a 0008
		8016 0000 000b 000102030405060708090a0b0c0d0e0f
		000e 0000 0005 8001020304050607
		0008 0000 0006 0690
		000a 0000 0008 61646974`,
		&SCCRQ{
			ProtocolVersion: ProtocolVersion1, HostName: "lac",
			FramingCapabilities: FramingSync, AssignedTunnelID: 0xffff,
			BearerCapabilities: BearerAnalog, ReceiveWindowSize: 8,
			Challenge:  []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			TieBreaker: ptr[uint64](0x8001020304050607), FirmwareRevision: 0x0690, VendorName: "adit",
		}},
}

func TestSCCRQ(t *testing.T) { testSamples(t, sccrqSamples) }

// "5 - The protocol version of the requester is not supported; Error Code
// indicates highest version supported"
func TestProtocolVersion(t *testing.T) {
	for _, test := range []struct {
		name, version string
		ok            bool
	}{
		{"1.0", "0100", true},
		{"another revision of version 1", "0107", true},
		{"version 2", "0200", false},
		{"version 0", "0000", false},
	} {
		for _, m := range []MessageType{TypeSCCRQ, TypeSCCRP} {
			t.Run(test.name+" in "+m.String(), func(t *testing.T) {
				_, err := ParseMessage(Version, octets(t, typeAVP(m)+"800800000002"+test.version+
					"8007 0000 0007 61 800a 0000 0003 00000000 8008 0000 0009 0102"), nil)
				if test.ok {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !errors.Is(err, ErrUnsupportedVersion) {
					t.Fatal(err)
				}
				e := checkTyped(t, err)
				want := ResultCode{Result: StopCCNUnsupportedVersion, Error: 0x0100}
				if e.Scope != ScopeTunnel || e.Result != want || e.AssignedTunnelID != 0x0102 {
					t.Errorf("%+v", e)
				}
			})
		}
	}
}

// A peer that leaves the version to its zero value means the only one there is.
func TestProtocolVersionDefault(t *testing.T) {
	b, err := AppendMessage(nil, &SCCRQ{HostName: "a", AssignedTunnelID: 1}, AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMessage(Version, b, nil)
	if err != nil || m.(*SCCRQ).ProtocolVersion != ProtocolVersion1 {
		t.Errorf("%+v, %v", m, err)
	}
}
