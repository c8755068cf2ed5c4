package l2tp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cdnSamples = []sample{
	{"CDN, result only", `8008 0000 0000 000e 8008 0000 0001 0003 8008 0000 000e 00ff`,
		&CDN{ResultCode: ResultCode{Result: CDNAdministrative}, AssignedSessionID: 0xff}},
	{"CDN with everything", `
		8008 0000 0000 000e
		800e 0000 0001 0002 0007 62757379
		8008 0000 000e 0000
		800c 0000 000c 0011 45 627379
		000e 0000 002e 0010 c223 01 626164`,
		&CDN{
			ResultCode:    ResultCode{Result: CDNGeneralError, Error: ErrorTryAnother, Message: "busy"},
			Q931Cause:     &Q931Cause{Cause: 17, Message: 0x45, Advisory: "bsy"},
			PPPDisconnect: &PPPDisconnect{Code: DisconnectAuthFailed, Protocol: 0xc223, Direction: DirectionPeer, Message: "bad"},
		}},
}

func TestCDN(t *testing.T) { testSamples(t, cdnSamples) }

const cdnStart = "8008 0000 0000 000e 8008 0000 0001 0003 8008 0000 000e 00ff"

// RFC 3145 section 3.4: "Where multiple network protocols are in use, multiple
// copies of this AVP MAY be given to indicate failure reasons for each NCP."
func TestPPPDisconnectCopies(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, cdnStart+
		"000b 0000 002e 0011 8021 00 000b 0000 002e 0012 8057 00"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &PPPDisconnect{Code: DisconnectNoNCP, Protocol: 0x8057}
	if diff := cmp.Diff(want, m.(*CDN).PPPDisconnect); diff != "" {
		t.Error(diff)
	}
	if m.Rest().Ignored != nil {
		t.Errorf("ignored: %v", m.Rest().Ignored)
	}
}

// RFC 3145 section 4: "A draft form of this AVP used Vendor ID 43 (3Com
// Corporation) and vendor-specific Attribute Type 46. Implementations MAY
// accept AVPs with these values as equivalent".
func TestPPPDisconnectDraft(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, cdnStart+"000b 002b 002e 0003 0000 01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &PPPDisconnect{Code: DisconnectNormal, Direction: DirectionPeer}
	if diff := cmp.Diff(want, m.(*CDN).PPPDisconnect); diff != "" {
		t.Error(diff)
	}
}

// RFC 3145 section 2: "The length MUST be at least 11."
func TestPPPDisconnectShort(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, cdnStart+"000a 0000 002e 0003 0000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cdn := m.(*CDN); cdn.PPPDisconnect != nil || len(cdn.Ignored) != 1 {
		t.Errorf("%+v", cdn)
	}
}
