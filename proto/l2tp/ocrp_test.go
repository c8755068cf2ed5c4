package l2tp

import "testing"

var ocrpSamples = []sample{
	{"OCRP", `8008 0000 0000 0008 8008 0000 000e 0001`, &OCRP{AssignedSessionID: 1}},
	{"OCRP with channel", `8008 0000 0000 0008 8008 0000 000e 0001 000a 0000 0019 0a0b0c0d`,
		&OCRP{AssignedSessionID: 1, PhysicalChannelID: ptr[uint32](0x0a0b0c0d)}},
}

func TestOCRP(t *testing.T) { testSamples(t, ocrpSamples) }
