package l2tp

import (
	"errors"
	"testing"
)

var icrpSamples = []sample{
	{"ICRP", `8008 0000 0000 000b 8008 0000 000e 3cc1`, &ICRP{AssignedSessionID: 0x3cc1}},
}

func TestICRP(t *testing.T) { testSamples(t, icrpSamples) }

// "The Assigned Session ID is a 2 octet non-zero unsigned integer." An ID of 0
// is neither taken nor sent, in all messages that assign one.
func TestZeroID(t *testing.T) {
	for _, m := range []Message{&SCCRQ{HostName: "a"}, &SCCRP{HostName: "a"}, &ICRQ{}, &ICRP{}, &OCRQ{}, &OCRP{}} {
		if _, err := AppendMessage(nil, m, AppendOptions{}); !errors.Is(err, ErrValueMissing) {
			t.Errorf("%s with ID 0 written: %v", m.Type(), err)
		}
	}
	for _, wire := range []string{
		"8008 0000 0000 000b 8008 0000 000e 0000",
		"8008 0000 0000 0008 8008 0000 000e 0000",
		"8008 0000 0000 000a 8008 0000 000e 0000 800a 0000 000f 00000001",
		`8008 0000 0000 0001 8008 0000 0002 0100 8009 0000 0007 6c6163
		 800a 0000 0003 00000003 8008 0000 0009 0000`,
	} {
		_, err := ParseMessage(Version, octets(t, wire), nil)
		if !errors.Is(err, ErrAVPValue) {
			t.Errorf("%s: %v", wire, err)
			continue
		}
		if e := checkTyped(t, err); e.Result.Error != ErrorValue {
			t.Errorf("%v: %v", e, e.Result)
		}
	}
}
