package l2tp

import "testing"

var ocrqSamples = []sample{
	{"OCRQ with everything", `
		8008 0000 0000 0007
		8008 0000 000e 0102
		800a 0000 000f 00000009
		800a 0000 0010 00002580
		800a 0000 0011 0001f400
		800a 0000 0012 00000003
		800a 0000 0013 00000003
		8009 0000 0015 353535
		8007 0000 0017 31`,
		&OCRQ{
			AssignedSessionID: 0x0102, CallSerialNumber: 9, MinimumBPS: 9600, MaximumBPS: 128000,
			BearerType: BearerAnalog | BearerDigital, FramingType: FramingAsync | FramingSync,
			CalledNumber: "555", SubAddress: "1",
		}},
	{"OCRQ with no number", `
		8008 0000 0000 0007
		8008 0000 000e 0102
		800a 0000 000f 00000009
		800a 0000 0010 00000000
		800a 0000 0011 ffffffff
		800a 0000 0012 00000000
		800a 0000 0013 00000001
		8006 0000 0015`,
		&OCRQ{AssignedSessionID: 0x0102, CallSerialNumber: 9, MaximumBPS: 0xffffffff, FramingType: FramingSync}},
}

func TestOCRQ(t *testing.T) { testSamples(t, ocrqSamples) }
