package l2tp

import "testing"

var icrqSamples = []sample{
	{"ICRQ with what it must have", `
		8008 0000 0000 000a
		8008 0000 000e 23b8
		800a 0000 000f 00000001`,
		&ICRQ{AssignedSessionID: 0x23b8, CallSerialNumber: 1}},
	{"ICRQ with everything", `
		8008 0000 0000 000a
		8008 0000 000e 0001
		800a 0000 000f fffffffe
		800a 0000 0012 00000001
		000a 0000 0019 00000000
		8009 0000 0016 313233
		800a 0000 0015 34353637
		8008 0000 0017 3839`,
		&ICRQ{
			AssignedSessionID: 1, CallSerialNumber: 0xfffffffe, BearerType: BearerDigital,
			PhysicalChannelID: ptr[uint32](0), CallingNumber: "123", CalledNumber: "4567", SubAddress: "89",
		}},
}

func TestICRQ(t *testing.T) { testSamples(t, icrqSamples) }
